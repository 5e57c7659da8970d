/*
 * ctl/main.c - jetonctl: from the command line to one row of the table of commands.
 *
 * A value on the command line is refused before anything else looks at the words: ps shows them to
 * all.
 */
#include <stdio.h>

#include "ctl/commands.h"
#include "ctl/complete.h"
#include "ctl/help.h"
#include "ctl/output.h"
#include "ctl/value.h"
#include "protocol/base/time.h"

static bool any_value(char *const words[], int n)
{
	struct span secret;

	for (int i = 0; i < n; i++)
		if (value_find(words[i], &secret))
			return true;
	return false;
}

static int refuse_value(void)
{
	return fail(EXIT_USAGE, "a token's value on the command line is seen by everyone who runs "
				"ps: it must be taken as leaked. "
				"End it with jetonctl revoke --leaked, which reads it from "
				"standard input, as verify and derive do");
}

/* --version, or --help, of a command or (NULL) of all. */
static int print_about(const struct args *a, const struct command *c)
{
	if (a->version)
		puts("jetonctl " JETON_VERSION);
	else if (c)
		help_command(c);
	else
		help_all();
	return EXIT_DONE;
}

static bool asks_for_help(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h");
}

static int run(const struct command *c, const struct args *a)
{
	if (a->version || a->help)
		return print_about(a, c);
	if (a->socket && a->user)
		return fail(EXIT_USAGE,
			    "--socket and --user both say which agent to ask: give one of them");
	if (a->n_operands < c->min)
		return fail(EXIT_USAGE, "%s needs more words after it: jetonctl %s %s", c->name,
			    c->name, c->synopsis);
	/* The word is not repeated: it may be a value that someone meant to give. */
	if (a->n_operands > c->max)
		return fail(EXIT_USAGE, "there is a word too many: jetonctl %s %s%s", c->name,
			    c->synopsis,
			    c->reads_value ? "; the value is read from standard input" : "");
	return c->run(a);
}

/* words: the command line without the program's name. */
static int read_and_run(char *words[], int n)
{
	const struct command *c;
	struct usage_error e;
	struct args a;
	size_t used;

	if (n > 0 && !strcmp(words[0], COMPLETE_WORD))
		return complete(words + 1, (size_t)n - 1);
	args_init(&a, time_now_us());
	n = options_read(NULL, common_options, words, n, true, &a, &e);
	if (n < 0)
		return fail(EXIT_USAGE, "%s", e.text);
	if (n == 0 && (a.version || a.help))
		return print_about(&a, NULL);
	if (n == 0)
		return fail(EXIT_USAGE,
			    "a command is needed, such as list; jetonctl help lists all");
	c = commands_find(words, (size_t)n, &used, &e);
	if (!c && asks_for_help(words[n - 1]) && help_group(words, (size_t)n - 1))
		return EXIT_DONE;
	if (!c)
		return fail(EXIT_USAGE, "%s", e.text);
	words += used;
	n = options_read(c->options, common_options, words, n - (int)used, c->runs, &a, &e);
	if (n < 0)
		return fail(EXIT_USAGE, "%s; jetonctl help %s lists its options", e.text, c->name);
	a.operands = words;
	a.n_operands = (size_t)n;
	return run(c, &a);
}

int main(int argc, char *argv[])
{
	int status;

	output_init("jetonctl");
	if (argc < 1)
		status = read_and_run(argv, 0);
	else if (any_value(argv + 1, argc - 1))
		status = refuse_value();
	else
		status = read_and_run(argv + 1, argc - 1);
	return output_finish(status);
}
