/*
 * ctl/complete-line.c - by the same tables as options.c, but forgiving: what is wrong in a line that
 * is not finished is told when it is run.
 */
#include "ctl/complete-line.h"

#include <stdio.h>

bool complete_takes_word(const struct option *o)
{
	return o->value && o->kind != OPTION_JSON;
}

static const struct option *find_in(const struct option *table, const char *word, size_t n)
{
	for (const struct option *o = table; o && o->name; o++)
		if ((n > 2 && strlen(o->name) == n - 2 && !memcmp(o->name, word + 2, n - 2)) ||
		    (n == 2 && o->letter && o->letter == word[1]))
			return o;
	return NULL;
}

/* The option that a word names, whatever stands after its =. */
static const struct option *find_option(const struct complete_line *l, const char *word)
{
	size_t n = strcspn(word, "=");
	const struct option *o = l->command ? find_in(l->command->options, word, n) : NULL;

	return o ? o : find_in(common_options, word, n);
}

static void note(struct complete_line *l, const struct option *o, const char *value)
{
	if (!strcmp(o->name, "owner"))
		l->owner = value;
	else if (!strcmp(o->name, "socket"))
		l->socket = value;
	else if (!strcmp(o->name, "user") && !o->value)
		l->user = true;
}

/* One word more of a command's name, or of one that help is asked for. */
static void add_to_group(struct complete_line *l, const char *word)
{
	const struct command *c;
	size_t n = strlen(l->group);
	int r = snprintf(l->group + n, sizeof(l->group) - n, "%s%s", n ? " " : "", word);

	if (r < 0 || (size_t)r >= sizeof(l->group) - n) {
		l->unknown = true;
		return;
	}
	n = strlen(l->group);
	for (c = commands; c->name; c++)
		if (!strncmp(c->name, l->group, n) && (!c->name[n] || c->name[n] == ' '))
			break;
	if (!c->name)
		l->unknown = true;
	else if (!l->command && !c->name[n])
		l->command = c;
}

static bool asks_for_help(const struct command *c)
{
	return c && c->run == cmd_help;
}

static void take_word(struct complete_line *l, const char *word)
{
	if (!l->command) {
		add_to_group(l, word);
		if (asks_for_help(l->command))
			*l->group = 0;
		return;
	}
	if (asks_for_help(l->command))
		add_to_group(l, word);
	l->n_operands++;
	l->others = l->command->runs;
}

/* Returns how many words more it took: 0 or 1. `next` is NULL where the cursor's word is next. */
static size_t take_option(struct complete_line *l, const char *word, const char *next)
{
	const struct option *o = find_option(l, word);
	const char *equals = strchr(word, '=');

	if (!o)
		return 0;
	if (equals || !complete_takes_word(o)) {
		note(l, o, equals ? equals + 1 : NULL);
		return 0;
	}
	if (!next) {
		l->option = o;
		l->value = l->word;
		return 0;
	}
	note(l, o, next);
	return 1;
}

/* "--lifetime=3": the value is begun in the option's own word. */
static void look_at_last(struct complete_line *l)
{
	const char *equals = strchr(l->word, '=');

	if (l->option || l->others || l->only_operands || strncmp(l->word, "--", 2) != 0 || !equals)
		return;
	l->option = find_option(l, l->word);
	l->value = equals + 1;
	if (!l->option || !l->option->value)
		l->unknown = true;
}

void complete_line_read(char *const words[], size_t n, struct complete_line *ret)
{
	struct complete_line l = { .word = words[n - 1], .value = words[n - 1] };

	for (size_t i = 0; i + 1 < n && !l.unknown && !l.others; i++) {
		const char *word = words[i];

		if (l.only_operands || word[0] != '-' || !word[1])
			take_word(&l, word);
		else if (!strcmp(word, "--"))
			l.only_operands = true;
		else
			i += take_option(&l, word, i + 2 < n ? words[i + 1] : NULL);
	}
	if (!l.unknown)
		look_at_last(&l);
	*ret = l;
}

/* Whether a synopsis' word stands for what people put in: capitals, and what binds them. */
static bool is_placeholder(struct span word)
{
	size_t i = 0;

	while (i < word.n && ((word.p[i] >= 'A' && word.p[i] <= 'Z') || word.p[i] == '=' || word.p[i] == '_'))
		i++;
	return word.n > 0 && i == word.n;
}

struct span complete_operand(const struct command *c)
{
	const char *p = c->synopsis;
	const struct option *before = NULL;

	while (*p) {
		size_t n;
		struct span word;

		p += strspn(p, " [|(.");
		n = strcspn(p, " ]|).");
		word = (struct span){ p, n };
		p += n + strspn(p + n, "].|)");
		if (is_placeholder(word) && !(before && complete_takes_word(before)))
			return word;
		before = find_in(c->options, word.p, n);
	}
	return (struct span){ NULL, 0 };
}
