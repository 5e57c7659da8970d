/* tests/unit/test-complete.c - what is due at the cursor, by the tables that there are. */
#include <stdio.h>
#include <string.h>

#include "ctl/complete-line.h"
#include "ctl/complete.h"
#include "tests/unit/unit.h"

enum { WORDS_MOST = 16 };

/* The line, whose words stand apart by one space each, up to the cursor at its end. */
static struct complete_line read_line(const char *text)
{
	static char buffer[256];
	char *words[WORDS_MOST];
	struct complete_line l;
	size_t n = 0;

	snprintf(buffer, sizeof(buffer), "%s", text);
	for (char *p = buffer; p; n++) {
		char *space = strchr(p, ' ');

		ck_assert_uint_lt(n, WORDS_MOST);
		words[n] = p;
		if (space)
			*space = 0;
		p = space ? space + 1 : NULL;
	}
	complete_line_read(words, n, &l);
	return l;
}

START_TEST(every_kind_of_word_in_the_tables_has_something_to_offer_or_is_for_people_to_think_of)
{
	for (const struct command *c = commands; c->name; c++) {
		struct span operand = complete_operand(c);

		UNIT_CHECK(c->max == 0 || operand.n > 0, "%s: no operand in '%s'", c->name, c->synopsis);
		UNIT_CHECK(operand.n == 0 || complete_knows(NULL, operand),
			   "%s: say in ctl/complete.c what to offer for %.*s", c->name, (int)operand.n,
			   operand.p);
		for (const struct option *o = c->options; o && o->name; o++) {
			struct span value = span_of(o->value);

			if (!o->value || strchr(o->value, '|'))
				continue;
			UNIT_CHECK(complete_knows(o->name, value),
				   "%s --%s: say in ctl/complete.c what to offer for %s", c->name, o->name,
				   o->value);
		}
	}
}
END_TEST

START_TEST(a_command_of_several_words_is_found_word_by_word)
{
	struct complete_line l = read_line("policy explain ");

	ck_assert(!l.command && !l.unknown);
	ck_assert_str_eq(l.group, "policy explain");
	l = read_line("--user policy explain fetch mod");
	ck_assert_str_eq(l.command->name, "policy explain fetch");
	ck_assert(l.user && l.n_operands == 0 && !l.option);
	ck_assert_str_eq(l.word, "mod");
	ck_assert(read_line("polcy ").unknown);
	ck_assert(!read_line("pol").unknown);
}
END_TEST

START_TEST(options_and_their_values_are_no_operands)
{
	struct complete_line l = read_line("rotate --grace 1h --socket /s -q --owner ci one ");

	ck_assert_uint_eq(l.n_operands, 1);
	ck_assert_str_eq(l.owner, "ci");
	ck_assert_str_eq(l.socket, "/s");
	l = read_line("list --owner=ci --json ");
	ck_assert_str_eq(l.owner, "ci");
	ck_assert(l.n_operands == 0 && !l.option);
	/* Of policy explain it takes a user. */
	l = read_line("policy explain verify --user ci ");
	ck_assert(!l.user && l.n_operands == 0);
}
END_TEST

START_TEST(the_value_at_the_cursor_is_its_options)
{
	struct complete_line l = read_line("issue a --lifetime ");

	ck_assert_str_eq(l.option->name, "lifetime");
	ck_assert_str_eq(l.value, "");
	l = read_line("issue a --lifetime=3");
	ck_assert_str_eq(l.option->name, "lifetime");
	ck_assert_str_eq(l.value, "3");
	l = read_line("list --json=");
	ck_assert_str_eq(l.option->name, "json");
	ck_assert(!read_line("list --json ").option);
	ck_assert(read_line("list --ended=x").unknown);
	ck_assert(read_line("list --nothing=x").unknown);
}
END_TEST

START_TEST(what_run_runs_is_another_commands_line)
{
	struct complete_line l = read_line("run --env A=b -- ");

	ck_assert(l.only_operands && !l.others && l.n_operands == 0);
	l = read_line("run ls --env ");
	ck_assert(l.others && !l.option);
	l = read_line("run -- ls --env=");
	ck_assert(l.others && !l.option && !l.unknown);
}
END_TEST

START_TEST(the_operand_of_a_synopsis_is_the_first_word_that_is_no_options_value)
{
	struct command c = { .name = "x", .synopsis = "[--yes] [PATH... | -]" };

	ck_assert(span_is(complete_operand(&c), "PATH"));
	c.synopsis = "";
	ck_assert_uint_eq(complete_operand(&c).n, 0);
	c.synopsis = "[--json=short]";
	ck_assert_uint_eq(complete_operand(&c).n, 0);
}
END_TEST

UNIT_MAIN("completion", every_kind_of_word_in_the_tables_has_something_to_offer_or_is_for_people_to_think_of,
	  a_command_of_several_words_is_found_word_by_word, options_and_their_values_are_no_operands,
	  the_value_at_the_cursor_is_its_options, what_run_runs_is_another_commands_line,
	  the_operand_of_a_synopsis_is_the_first_word_that_is_no_options_value)
