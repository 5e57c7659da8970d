/*
 * ctl/complete.c - candidates by the tables of commands and options, so that no shell has to be told
 * of a new one.
 *
 * The scripts in completion/ do nothing but ask this. It has no messages: where something can't be
 * had, there are fewer candidates.
 */
#include "ctl/complete.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl/ask.h"
#include "ctl/complete-line.h"
#include "ctl/output.h"

enum { SECONDS_MOST = 1, CANDIDATES_MOST = 1000 };

/* A candidate: `before` it stands what of the word is no part of it ("--file=VAR="). */
static void offer(const struct complete_line *l, struct span before, const char *text,
		  const char *help)
{
	size_t n = strlen(l->word);

	/* A name with what could steer a terminal is none to offer. */
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return;
	if (n <= before.n ? memcmp(before.p, l->word, n) != 0
			  : strncmp(text, l->word + before.n, n - before.n) != 0)
		return;
	printf("%.*s%s", (int)before.n, before.p, text);
	if (help && *help)
		printf("\t%.*s", (int)strcspn(help, "\n\t"), help);
	putchar('\n');
}

static struct span before_value(const struct complete_line *l)
{
	return (struct span){ l->word, (size_t)(l->value - l->word) };
}

/* ---- what the agent knows ---------------------------------------------------------------------- */

static void on_late(int number)
{
	(void)number;
	_exit(EXIT_DONE);
}

/* From here on a second is left. False where no agent can be asked. */
static bool open_agent(const struct complete_line *l, struct jeton **ret)
{
	const struct args a = { .socket = l->socket, .user = l->user };

	fflush(stdout);
	if (signal(SIGALRM, on_late) == SIG_ERR)
		return false;
	alarm(SECONDS_MOST);
	return ask_open(&a, ret) == EXIT_DONE;
}

struct offering {
	const struct complete_line *line;
	struct span before;
	size_t n;
};

static int on_token(void *userdata, const struct jeton_token *token)
{
	struct offering *o = userdata;

	offer(o->line, o->before, token->name, token->id);
	offer(o->line, o->before, token->id, token->name);
	return ++o->n < CANDIDATES_MOST ? 0 : 1;
}

static void offer_tokens(const struct complete_line *l)
{
	struct offering o = { l, before_value(l), 0 };
	struct jeton_filter filter = JETON_FILTER_INIT;
	_cleanup_jeton_ struct jeton *jeton = NULL;

	filter.state = JETON_STATE_ACTIVE;
	if (ask_user(l->owner, &filter.owner_uid) != EXIT_DONE || !open_agent(l, &jeton))
		return;
	/* What came before it failed is offered. */
	if (jeton_list(jeton, &filter, on_token, &o) != 0)
		return;
}

static int on_credential(void *userdata, const struct jeton_credential *c)
{
	struct offering *o = userdata;

	offer(o->line, o->before, c->name,
	      c->description ? c->description : jeton_credential_kind_text(c->kind));
	return ++o->n < CANDIDATES_MOST ? 0 : 1;
}

static void offer_credentials_after(const struct complete_line *l, struct span before)
{
	struct offering o = { l, before, 0 };
	_cleanup_jeton_ struct jeton *jeton = NULL;

	if (open_agent(l, &jeton) && jeton_list_credentials(jeton, on_credential, &o) != 0)
		return;
}

static void offer_credentials(const struct complete_line *l)
{
	offer_credentials_after(l, before_value(l));
}

/* VAR=CREDENTIAL: the variable is for people to think of. */
static void offer_pairs(const struct complete_line *l)
{
	const char *equals = strchr(l->value, '=');

	if (equals)
		offer_credentials_after(
			l, (struct span){ l->word, (size_t)(equals + 1 - l->word) });
}

/* ---- what stands in tables --------------------------------------------------------------------- */

static bool has_option(const struct option *table, const char *name)
{
	while (table && table->name && strcmp(table->name, name) != 0)
		table++;
	return table && table->name;
}

/* but_of: those that these tables have come before, with another meaning. */
static void offer_options(const struct complete_line *l, const struct option *table,
			  const struct option *but_of)
{
	char text[64];

	for (const struct option *o = table; o && o->name; o++) {
		if (has_option(but_of, o->name))
			continue;
		snprintf(text, sizeof(text), "--%s", o->name);
		offer(l, (struct span){ l->word, 0 }, text, o->help);
	}
}

/* The next words of commands that begin with those that are there, each once. */
static void offer_commands(const struct complete_line *l)
{
	size_t n = strlen(l->group);
	char last[64] = "", text[64];

	for (const struct command *c = commands; c->name; c++) {
		const char *next = c->name + n + (n > 0);
		size_t n_next;

		if (strncmp(c->name, l->group, n) != 0 || (n && c->name[n] != ' '))
			continue;
		n_next = strcspn(next, " ");
		snprintf(text, sizeof(text), "%.*s", (int)n_next, next);
		if (strcmp(text, last) != 0)
			offer(l, (struct span){ l->word, 0 }, text, next[n_next] ? NULL : c->help);
		snprintf(last, sizeof(last), "%s", text);
	}
}

static void offer_each(const struct complete_line *l, const char *const texts[])
{
	for (; *texts; texts++)
		offer(l, before_value(l), *texts, NULL);
}

static void offer_spans(const struct complete_line *l)
{
	static const char *const spans[] = { "1h", "12h", "1d", "7d", "30d", "90d", NULL };

	offer_each(l, spans);
}

static void offer_signals(const struct complete_line *l)
{
	static const char *const signals[] = { "HUP", "USR1", "USR2", "INT", "TERM", NULL };

	offer_each(l, signals);
}

/* For people to think of. */
static void offer_nothing(const struct complete_line *l)
{
	(void)l;
}

/* ---- what the shell knows best ----------------------------------------------------------------- */

#define DEFINE_BY_SHELL(what)                                      \
	static void offer_##what(const struct complete_line *l)    \
	{                                                          \
		(void)l;                                           \
		puts("\t" #what);                                  \
	}
DEFINE_BY_SHELL(directories)
DEFINE_BY_SHELL(files)
DEFINE_BY_SHELL(programs)
DEFINE_BY_SHELL(units)
DEFINE_BY_SHELL(users)

/* ---- which of them ----------------------------------------------------------------------------- */

/* Words of synopses and of options' values; an option's own row comes before that for all. */
static const struct {
	const char *word, *option;
	void (*offer)(const struct complete_line *l);
} kinds[] = {
	{ "N", "unit", offer_units },
	{ "NAME", "unit", offer_units },
	{ "COMMAND", NULL, offer_commands },
	{ "CREDENTIAL", NULL, offer_credentials },
	{ "DIR", NULL, offer_directories },
	{ "FILE", NULL, offer_files },
	{ "N", NULL, offer_nothing },
	{ "NAME", NULL, offer_nothing },
	{ "PATH", NULL, offer_files },
	{ "S", NULL, offer_nothing },
	{ "SCOPE", NULL, offer_nothing },
	{ "SEQ", NULL, offer_nothing },
	{ "SIGNAL", NULL, offer_signals },
	{ "SPAN", NULL, offer_spans },
	{ "T", NULL, offer_tokens },
	{ "TOKEN", NULL, offer_tokens },
	{ "U", NULL, offer_users },
	{ "USER", NULL, offer_users },
	{ "VAR=CREDENTIAL", NULL, offer_pairs },
	{ "WHEN", NULL, offer_spans },
};

/* A word of a synopsis that stands for itself: "pretty". */
static bool is_literal(struct span word)
{
	return word.n > 0 && word.p[0] >= 'a' && word.p[0] <= 'z';
}

/* What to offer for one, or NULL; option: whose value it is, or NULL. */
static void (*find_kind(const char *option, struct span word))(const struct complete_line *)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (span_is(word, kinds[i].word) &&
		    (!kinds[i].option || (option && !strcmp(kinds[i].option, option))))
			return kinds[i].offer;
	return NULL;
}

/* The alternatives of "restart|SIGNAL", one after the other: false at the end. */
static bool next_word(const char **at, struct span *ret)
{
	*ret = (struct span){ *at, strcspn(*at, "|") };
	*at += ret->n + (ret->p[ret->n] == '|');
	return ret->n > 0;
}

bool complete_knows(const char *option, struct span word)
{
	return is_literal(word) || find_kind(option, word);
}

static void offer_value(const struct complete_line *l)
{
	const char *at = l->option->value;
	struct span word;
	char text[64];

	while (next_word(&at, &word)) {
		void (*of_kind)(const struct complete_line *) = find_kind(l->option->name, word);

		snprintf(text, sizeof(text), "%.*s", (int)word.n, word.p);
		if (of_kind)
			of_kind(l);
		else if (is_literal(word))
			offer(l, before_value(l), text, NULL);
	}
}

static void offer_operands(const struct complete_line *l)
{
	void (*of_kind)(const struct complete_line *) =
		find_kind(NULL, complete_operand(l->command));

	if (l->command->runs)
		offer_programs(l);
	else if (l->n_operands < l->command->max && of_kind)
		of_kind(l);
}

int complete(char *const words[], size_t n)
{
	struct complete_line l;

	if (n == 0)
		return EXIT_DONE;
	complete_line_read(words, n, &l);
	if (l.unknown)
		return EXIT_DONE;
	if (l.option)
		offer_value(&l);
	else if (l.others)
		offer_files(&l);
	else if (l.word[0] == '-' && !l.only_operands) {
		offer_options(&l, l.command ? l.command->options : NULL, NULL);
		offer_options(&l, common_options, l.command ? l.command->options : NULL);
	} else if (l.command)
		offer_operands(&l);
	else
		offer_commands(&l);
	return EXIT_DONE;
}
