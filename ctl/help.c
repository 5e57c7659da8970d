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

void help_all(void)
{
	puts("jetonctl [OPTION...] COMMAND ...\n\nAsk the token agent.\n\nCommands:");
	for (const struct command *c = commands; c->name; c++)
		printf("  %-21s %s\n", c->name, c->help);
	print_options("Options", common_options);
	puts("\njetonctl help COMMAND says how a command is used, jetonctl(1) all of it.");
}

void help_command(const struct command *c)
{
	printf("jetonctl %s %s\n\n%c%s.\n%s", c->name, c->synopsis, c->help[0] - 'a' + 'A',
	       c->help + 1, c->more ? c->more : "");
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
	if (!c)
		return fail(EXIT_USAGE, "%s", e.text);
	help_command(c);
	return EXIT_DONE;
}
