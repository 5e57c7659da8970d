/* ctl/help.c - --help. ASCII only: it is read in any locale. */
#include "ctl/help.h"

#include <stdio.h>

#include "ctl/output.h"

static void print_option(const struct option *o)
{
	char left[64];
	bool may_stop = o->kind == OPTION_JSON;

	snprintf(left, sizeof(left), "%s%c%s--%s%s%s%s", o->letter ? "-" : " ",
		 o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
		 !o->value  ? ""
		 : may_stop ? "[="
			    : " ",
		 o->value ? o->value : "", may_stop ? "]" : "");
	printf("  %-30s %s\n", left, o->help);
}

static void print_options(const char *title, const struct option *table)
{
	printf("\n%s:\n", title);
	for (; table->name; table++)
		print_option(table);
}

static void print_command(const struct command *c)
{
	printf("  %-21s %s\n", c->name, c->help);
}

static void print_more(void)
{
	puts("\njetonctl help COMMAND says how a command is used, jetonctl(1) all of it.");
}

void help_all(void)
{
	puts("jetonctl [OPTION...] COMMAND ...\n\nAsk the token agent.\n\nCommands:");
	for (const struct command *c = commands; c->name; c++)
		print_command(c);
	print_options("Options", common_options);
	print_more();
}

static bool begins_with(const char *name, char *const words[], size_t n_words)
{
	for (size_t i = 0; i < n_words; i++) {
		size_t n = strlen(words[i]);

		if (n == 0 || strncmp(name, words[i], n) != 0 || name[n] != ' ')
			return false;
		name += n + 1;
	}
	return n_words > 0;
}

bool help_group(char *const words[], size_t n_words)
{
	bool any = false;

	for (const struct command *c = commands; c->name; c++) {
		if (!begins_with(c->name, words, n_words))
			continue;
		if (!any)
			puts("Commands:");
		any = true;
		print_command(c);
	}
	if (any)
		print_more();
	return any;
}

void help_command(const struct command *c)
{
	printf("jetonctl %s%s%s\n\n%c%s.\n%s", c->name, *c->synopsis ? " " : "", c->synopsis,
	       c->help[0] - 'a' + 'A', c->help + 1, c->more ? c->more : "");
	if (c->options)
		print_options("Options", c->options);
	print_options("Options of all commands", common_options);
}

int cmd_help(const struct args *a)
{
	const struct command *c;
	struct usage_error e;
	size_t used;

	if (a->n_operands == 0) {
		help_all();
		return EXIT_DONE;
	}
	c = commands_find(a->operands, a->n_operands, &used, &e);
	if (!c && help_group(a->operands, a->n_operands))
		return EXIT_DONE;
	if (!c)
		return fail(EXIT_USAGE, "%s", e.text);
	help_command(c);
	return EXIT_DONE;
}
