/* tests/unit/test-options.c - ctl/options.c and ctl/commands.c */
#include <signal.h>
#include <stdio.h>

#include "ctl/commands.h"
#include "protocol/base/time.h"
#include "protocol/jeton.h"
#include "tests/unit/unit.h"

#define NOW (UINT64_C(1800000000) * USEC_PER_SEC)

static const struct command *command(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	ck_abort_msg("no command %s", name);
}

/* Reads a line of words; what is left stays in `left`. */
static int read_line(const char *name, const char *line, struct args *a, struct usage_error *e,
		     char *left[])
{
	static char words[1024];
	int n = 0;

	args_init(a, NOW);
	snprintf(words, sizeof(words), "%s", line);
	for (char *p = strtok(words, " "); p; p = strtok(NULL, " "))
		left[n++] = p;
	return options_read(command(name)->options, common_options, left, n, false, a, e);
}

START_TEST(options_stand_anywhere_and_what_is_none_is_left_in_order)
{
	static const char *const lines[] = {
		"ci --lifetime 30d --scope a:b -q",
		"--lifetime=30d ci -q --scope=a:b",
		"-q --scope a:b --lifetime 30d -- ci",
	};
	struct usage_error e;
	struct args a;
	char *left[16];

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		ck_assert_int_eq(read_line("issue", lines[i], &a, &e, left), 1);
		ck_assert_str_eq(left[0], "ci");
		ck_assert_int_eq(a.lifetime_s, 30 * 86400);
		ck_assert_uint_eq(a.scopes.n, 1);
		ck_assert_str_eq(a.scopes.texts[0], "a:b");
		ck_assert_ptr_null(a.scopes.texts[1]);
		ck_assert(a.quiet);
	}
	ck_assert_int_eq(read_line("issue", "a -- --lifetime -q -", &a, &e, left), 4);
	ck_assert_str_eq(left[1], "--lifetime");
	ck_assert_int_eq(a.lifetime_s, JETON_UNSET);
	ck_assert(!a.quiet);
	ck_assert_int_eq(read_line("scan", "-", &a, &e, left), 1);
}
END_TEST

START_TEST(leading_options_stop_at_the_first_word_that_is_none)
{
	char *words[] = { (char[]){ "-q" }, (char[]){ "list" }, (char[]){ "--all-users" },
			  (char[]){ "--" } };
	struct usage_error e;
	struct args a;

	args_init(&a, NOW);
	ck_assert_int_eq(options_read(NULL, common_options, words, 4, true, &a, &e), 3);
	ck_assert_str_eq(words[0], "list");
	ck_assert_str_eq(words[1], "--all-users");
	ck_assert_str_eq(words[2], "--");
	ck_assert(a.quiet);
}
END_TEST

START_TEST(json_takes_its_mode_only_with_an_equals_sign)
{
	struct usage_error e;
	struct args a;
	char *left[16];

	ck_assert_int_eq(read_line("list", "--json", &a, &e, left), 0);
	ck_assert_int_eq(a.json, JSON_PRETTY);
	ck_assert_int_eq(read_line("list", "--json=short", &a, &e, left), 0);
	ck_assert_int_eq(a.json, JSON_SHORT);
	ck_assert_int_eq(read_line("list", "--json=short --json=off", &a, &e, left), 0);
	ck_assert_int_eq(a.json, JSON_OFF);
	ck_assert_int_eq(read_line("show", "--json short", &a, &e, left), 1);
	ck_assert_int_eq(read_line("list", "--json=no", &a, &e, left), -1);
}
END_TEST

START_TEST(a_mistake_is_told_with_the_option_and_what_would_be_right)
{
	static const struct {
		const char *command, *line, *said;
	} mistakes[] = {
		{ "issue", "--lifetime 30x a", "--lifetime: '30x' is no time span" },
		{ "issue", "--lifetime 0 a", "is no time span of a second or more" },
		{ "issue", "--lifetime=500ms a", "is no time span of a second or more" },
		{ "issue", "--expires yesterday a", "is no time" },
		{ "issue", "--uses 0 a", "--uses: '0' is no number" },
		{ "issue", "--uses -1 a", "--uses: '-1' is no number" },
		{ "issue", "--scope acme a", "is no scope" },
		{ "issue", "--socket= a", "--socket: '' is empty" },
		{ "issue", "a --lifetime", "--lifetime needs a value: --lifetime SPAN" },
		{ "issue", "--lifetme 30d a",
		  "unknown option '--lifetme'; did you mean --lifetime?" },
		{ "issue", "--lifetme=30d a",
		  "unknown option '--lifetme'; did you mean --lifetime?" },
		{ "list", "--quite", "did you mean --quiet?" },
		{ "list", "--all-users=yes", "--all-users takes no value" },
		{ "list", "--xyzzy", "unknown option '--xyzzy'" },
		{ "list", "-qx", "unknown option '-x'" },
		{ "rotate", "--grace 1.5s a", "is no time span of whole seconds" },
		{ "run", "--env KEY a", "--env: 'KEY' is not like VARIABLE=CREDENTIAL" },
		{ "run", "--env 1=a a", "is not like VARIABLE=CREDENTIAL" },
		{ "run", "--env A-B=a a", "is not like VARIABLE=CREDENTIAL" },
		{ "run", "--file =a a", "is not like VARIABLE=CREDENTIAL" },
		{ "run", "--file A= a", "is not like VARIABLE=CREDENTIAL" },
		{ "run", "--file A=a/b a", "is not like VARIABLE=CREDENTIAL" },
		{ "run", "--file A=.. a", "is not like VARIABLE=CREDENTIAL" },
		{ "run", "--renew never a", "is neither restart nor a signal" },
		{ "run", "--renew=KILL a", "is neither restart nor a signal" },
		{ "run", "--renew a", "is neither restart nor a signal" },
		{ "watch", "--after -1", "is no number of 0 or more" },
		{ "watch", "--after x", "is no number of 0 or more" },
	};
	struct usage_error e;
	struct args a;
	char *left[16];

	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
		ck_assert_int_eq(read_line(mistakes[i].command, mistakes[i].line, &a, &e, left),
				 -1);
		ck_assert_msg(strstr(e.text, mistakes[i].said) != NULL, "%s: %s", mistakes[i].line,
			      e.text);
		ck_assert_ptr_null(strchr(e.text, '\n'));
	}
}
END_TEST

START_TEST(thirty_two_scopes_are_taken_and_one_more_is_not)
{
	struct usage_error e;
	struct args a;
	char *left[128], line[1024] = "a";

	for (int i = 1; i <= 33; i++) {
		strcat(line, " --scope=a:b");
		ck_assert_int_eq(read_line("issue", line, &a, &e, left), i <= 32 ? 1 : -1);
	}
}
END_TEST

START_TEST(pairs_are_read_apart_and_signals_by_their_names)
{
	struct usage_error e;
	struct args a;
	char *left[128], line[1024] = "a";

	ck_assert_int_eq(read_line("run", "--file _A1=x.y-z --env=B=c --file C=d a", &a, &e, left),
			 1);
	ck_assert_uint_eq(a.files.n, 2);
	ck_assert_uint_eq(a.envs.n, 1);
	ck_assert(span_is(a.files.pairs[0].variable, "_A1"));
	ck_assert_str_eq(a.files.pairs[0].credential, "x.y-z");
	ck_assert(span_is(a.files.pairs[1].variable, "C"));
	ck_assert_str_eq(a.envs.pairs[0].credential, "c");
	ck_assert_int_eq(a.renew, RENEW_NOT);
	for (int i = 1; i <= PAIRS_MAX + 1; i++) {
		strcat(line, " --env=A=b");
		ck_assert_int_eq(read_line("run", line, &a, &e, left), i <= PAIRS_MAX ? 1 : -1);
	}
	ck_assert_int_eq(read_line("run", "--renew=restart a", &a, &e, left), 1);
	ck_assert_int_eq(a.renew, RENEW_RESTART);
	ck_assert_int_eq(read_line("run", "--renew HUP a", &a, &e, left), 1);
	ck_assert_int_eq(a.renew, SIGHUP);
	ck_assert_int_eq(read_line("run", "--renew=SIGUSR1 a", &a, &e, left), 1);
	ck_assert_int_eq(a.renew, SIGUSR1);
}
END_TEST

START_TEST(times_are_read_as_people_write_them)
{
	struct usage_error e;
	struct args a;
	char *left[16];

	ck_assert_int_eq(read_line("issue", "a --expires 2d", &a, &e, left), 1);
	ck_assert_int_eq(a.expires_us, (int64_t)(NOW + 2 * SEC_PER_DAY * USEC_PER_SEC));
	ck_assert_int_eq(read_line("issue", "a --expires 2027-06-01T00:00:00Z", &a, &e, left), 1);
	ck_assert_int_eq(a.expires_us, INT64_C(1811808000) * 1000000);
	ck_assert_int_eq(read_line("rotate", "a --grace 0", &a, &e, left), 1);
	ck_assert_int_eq(a.grace_s, 0);
}
END_TEST

/* ---- commands ---- */

static const struct command *find(const char *first, const char *second, size_t *ret_n,
				  struct usage_error *e)
{
	char *words[] = { (char *)first, (char *)second };

	return commands_find(words, second ? 2 : 1, ret_n, e);
}

/* The words of a command's name, and how many they are. `room` holds them. */
static size_t split(const char *name, char room[static 64], char *words[static 4])
{
	size_t n = 0;

	snprintf(room, 64, "%s", name);
	for (char *p = strtok(room, " "); p; p = strtok(NULL, " "))
		words[n++] = p;
	return n;
}

START_TEST(every_command_is_found_by_its_name_and_near_misses_are_told)
{
	struct usage_error e;
	size_t n;

	for (const struct command *c = commands; c->name; c++) {
		char room[64], *words[4];
		size_t n_words = split(c->name, room, words);

		ck_assert_ptr_eq(commands_find(words, n_words, &n, &e), c);
		ck_assert_uint_eq(n, n_words);
		words[n_words] = (char *)"more";
		ck_assert_ptr_eq(commands_find(words, n_words + 1, &n, &e), c);
		ck_assert_uint_eq(n, n_words);
		ck_assert(c->min <= c->max);
		ck_assert(c->help[0] >= 'a' && c->help[0] <= 'z');
	}
	ck_assert_ptr_null(find("isue", NULL, &n, &e));
	ck_assert_str_eq(e.text, "unknown command 'isue'; did you mean issue?");
	ck_assert_ptr_null(find("policy", "chek", &n, &e));
	ck_assert_ptr_nonnull(strstr(e.text, "check"));
	ck_assert_ptr_null(find("policy", "explain", &n, &e));
	ck_assert_ptr_nonnull(strstr(e.text, "explain fetch"));
	ck_assert_ptr_null(find("xyzzy", NULL, &n, &e));
	ck_assert_ptr_nonnull(strstr(e.text, "jetonctl help"));
}
END_TEST

/* Whose user is asked about, and not whose agent is asked: that one stands before the command. */
static bool hides_a_common_one(const struct command *c, const struct option *o)
{
	return !strncmp(c->name, "policy explain ", 15) && !strcmp(o->name, "user");
}

START_TEST(no_option_is_there_twice_and_every_one_has_its_help)
{
	for (const struct command *c = commands; c->name; c++)
		for (const struct option *o = c->options; o && o->name; o++) {
			for (const struct option *p = c->options; p < o; p++)
				ck_assert_str_ne(o->name, p->name);
			for (const struct option *p = common_options; p->name; p++) {
				ck_assert(strcmp(o->name, p->name) != 0 ||
					  hides_a_common_one(c, o));
				ck_assert(!o->letter || o->letter != p->letter);
			}
			ck_assert(o->help[0] != 0);
			ck_assert((o->kind == OPTION_FLAG) == (o->value == NULL));
			ck_assert(o->at < sizeof(struct args));
		}
}
END_TEST

UNIT_MAIN("options", options_stand_anywhere_and_what_is_none_is_left_in_order,
	  leading_options_stop_at_the_first_word_that_is_none,
	  json_takes_its_mode_only_with_an_equals_sign,
	  a_mistake_is_told_with_the_option_and_what_would_be_right,
	  thirty_two_scopes_are_taken_and_one_more_is_not,
	  pairs_are_read_apart_and_signals_by_their_names, times_are_read_as_people_write_them,
	  every_command_is_found_by_its_name_and_near_misses_are_told,
	  no_option_is_there_twice_and_every_one_has_its_help)
