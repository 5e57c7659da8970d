/*
 * ctl/options.c - one reader of options for all commands.
 *
 * Own, since getopt_long() keeps its state in globals, guesses at shortened names (which then break
 * scripts when another option is added) and speaks for itself. A kind of value is a row in `kinds`;
 * where it goes is an offset in struct args.
 */
#include "ctl/options.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "agent/policy/near.h"
#include "agent/policy/words.h"
#include "protocol/base/parse.h"
#include "protocol/base/time.h"

#define UNSET INT64_C(-1)

void args_init(struct args *a, uint64_t now_us)
{
	*a = (struct args){
		.lifetime_s = UNSET,
		.grace_s = UNSET,
		.expires_us = UNSET,
		.uses = UNSET,
		.expiring_s = UNSET,
		.unused_s = UNSET,
		.min_lifetime_s = UNSET,
		.after = UNSET,
		.since_us = UNSET,
		.now_us = now_us,
	};
}

/* The readers: 0, or a negative number, and then what is wrong is in `wrong` of their row. */

static int read_flag(const struct args *a, const char *value, void *target)
{
	(void)a, (void)value;
	*(bool *)target = true;
	return 0;
}

static int read_text(const struct args *a, const char *value, void *target)
{
	(void)a;
	if (!*value)
		return -EINVAL;
	*(const char **)target = value;
	return 0;
}

static int read_scope(const struct args *a, const char *value, void *target)
{
	struct text_list *list = target;

	(void)a;
	if (!scope_is_pattern(span_of(value)) || list->n == SCOPES_MAX)
		return -EINVAL;
	list->texts[list->n++] = value;
	list->texts[list->n] = NULL;
	return 0;
}

static int read_seconds(const struct args *a, const char *value, void *target)
{
	uint64_t us;
	int r = time_parse_span(value, &us);

	(void)a;
	if (r < 0 || us % USEC_PER_SEC != 0)
		return -EINVAL;
	*(int64_t *)target = (int64_t)(us / USEC_PER_SEC);
	return 0;
}

static int read_grace(const struct args *a, const char *value, void *target)
{
	int64_t s = 0;

	if (read_seconds(a, value, &s) < 0 || s > (int64_t)GRACE_MAX_S)
		return -EINVAL;
	*(int64_t *)target = s;
	return 0;
}

static int read_span(const struct args *a, const char *value, void *target)
{
	int64_t s = 0;

	if (read_seconds(a, value, &s) < 0 || s < 1)
		return -EINVAL;
	*(int64_t *)target = s;
	return 0;
}

static int read_when(const struct args *a, const char *value, void *target)
{
	uint64_t us;

	if (time_parse_when(value, a->now_us, &us) < 0 || us > INT64_MAX)
		return -EINVAL;
	*(int64_t *)target = (int64_t)us;
	return 0;
}

static int read_since(const struct args *a, const char *value, void *target)
{
	uint64_t span_us;

	if (time_parse_span(value, &span_us) < 0)
		return read_when(a, value, target);
	*(int64_t *)target = span_us < a->now_us ? (int64_t)(a->now_us - span_us) : 0;
	return 0;
}

static int read_number(const struct args *a, const char *value, void *target)
{
	uint64_t n;

	(void)a;
	if (parse_u64(span_of(value), INT64_MAX, &n) < 0)
		return -EINVAL;
	*(int64_t *)target = (int64_t)n;
	return 0;
}

static int read_count(const struct args *a, const char *value, void *target)
{
	int64_t n = 0;

	if (read_number(a, value, &n) < 0 || n < 1)
		return -EINVAL;
	*(int64_t *)target = n;
	return 0;
}

bool is_credential_name(const char *text)
{
	return *text && !word_check_credential(span_of(text));
}

static int read_credential(const struct args *a, const char *value, void *target)
{
	(void)a;
	if (!is_credential_name(value))
		return -EINVAL;
	*(const char **)target = value;
	return 0;
}

/* A variable of the environment that a shell could name. */
static bool is_variable(struct span name)
{
	static const char first[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";

	for (size_t i = 0; i < name.n; i++)
		if (!strchr(first, name.p[i]) && (i == 0 || name.p[i] < '0' || name.p[i] > '9'))
			return false;
	return name.n > 0 && name.n <= VARIABLE_MAX;
}

static int read_pair(const struct args *a, const char *value, void *target)
{
	struct pair_list *list = target;
	const char *equals = strchr(value, '=');
	struct pair pair;

	(void)a;
	if (!equals || list->n == PAIRS_MAX)
		return -EINVAL;
	pair = (struct pair){ { value, (size_t)(equals - value) }, equals + 1 };
	if (!is_variable(pair.variable) || !is_credential_name(pair.credential))
		return -EINVAL;
	list->pairs[list->n++] = pair;
	return 0;
}

/* "HUP" or "SIGHUP" */
static int signal_number(const char *name)
{
	const char *text;

	if (!strncmp(name, "SIG", 3))
		name += 3;
	for (int i = 1; i < NSIG; i++) {
		text = sigabbrev_np(i);
		if (text && !strcmp(text, name) && i != SIGKILL && i != SIGSTOP)
			return i;
	}
	return 0;
}

static int read_renew(const struct args *a, const char *value, void *target)
{
	int renew = !strcmp(value, "restart") ? RENEW_RESTART : signal_number(value);

	(void)a;
	if (renew == RENEW_NOT)
		return -EINVAL;
	*(int *)target = renew;
	return 0;
}

static int read_json(const struct args *a, const char *value, void *target)
{
	static const char *const modes[] = {
		[JSON_OFF] = "off",
		[JSON_SHORT] = "short",
		[JSON_PRETTY] = "pretty",
	};

	(void)a;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (!strcmp(value, modes[i])) {
			*(enum json_mode *)target = (enum json_mode)i;
			return 0;
		}
	return -EINVAL;
}

static const struct {
	int (*read)(const struct args *a, const char *value, void *target);
	const char *wrong;    /* follows the value in a message */
	const char *left_out; /* what stands for a value that is left out; NULL: it can't be */
} kinds[OPTION_KINDS] = {
	[OPTION_FLAG] = { read_flag, NULL, "" },
	[OPTION_TEXT] = { read_text, "is empty", NULL },
	[OPTION_SCOPE] = { read_scope,
			   "is no scope, or one too many: at most 32, like acme/risk:read, "
			   "acme/**:read or acme/risk:*",
			   NULL },
	[OPTION_SPAN] = { read_span,
			  "is no time span of a second or more: write it like 30d, 12h or '1h "
			  "30min'",
			  NULL },
	[OPTION_GRACE] = { read_grace,
			   "is no time span of whole seconds, 30d at most: write it like 5min, "
			   "1h or 0",
			   NULL },
	[OPTION_WHEN] = { read_when,
			  "is no time: write it like 30d, 2027-01-31 or 2027-01-31T12:00:00Z",
			  NULL },
	[OPTION_SINCE] = { read_since,
			   "is no time: write it like 2h, 2027-01-31 or 2027-01-31T12:00:00Z",
			   NULL },
	[OPTION_COUNT] = { read_count, "is no number of 1 or more", NULL },
	[OPTION_NUMBER] = { read_number, "is no number of 0 or more", NULL },
	[OPTION_CREDENTIAL] = { read_credential,
				"is no credential's name: 1 to 64 of A-Z a-z 0-9 . _ -", NULL },
	[OPTION_PAIR] = { read_pair,
			  "is not like VARIABLE=CREDENTIAL (or one too many: at most 64): a "
			  "credential's name is 1 to 64 of A-Z a-z 0-9 . _ -",
			  NULL },
	[OPTION_RENEW] = { read_renew, "is neither restart nor a signal such as HUP", NULL },
	[OPTION_JSON] = { read_json, "is not pretty, short or off", "pretty" },
};

static const struct option *find_long(const struct option *table, struct span name)
{
	for (; table && table->name; table++)
		if (span_is(name, table->name))
			return table;
	return NULL;
}

static const struct option *find_letter(const struct option *table, char letter)
{
	for (; table && table->name; table++)
		if (table->letter == letter)
			return table;
	return NULL;
}

/* The tables' names, one after the other, for near_find(). */
static const char *name_at(const void *userdata, size_t i)
{
	const struct option *const *tables = userdata;

	for (size_t t = 0; t < 2; t++)
		for (const struct option *o = tables[t]; o && o->name; o++)
			if (i-- == 0)
				return o->name;
	return NULL;
}

static const char *find_near(const struct option *own, const struct option *common,
			     struct span word)
{
	const struct option *const tables[] = { own, common };
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)word.n, word.p);
	return near_find(name, name_at, tables);
}

static int store(const struct option *o, const char *value, struct args *a, struct usage_error *e)
{
	if (kinds[o->kind].read(a, value, (char *)a + o->at) == 0)
		return 0;
	snprintf(e->text, sizeof(e->text), "--%s: '%.100s' %s", o->name, value,
		 kinds[o->kind].wrong);
	return -1;
}

/* What the reader walks over. */
struct walk {
	const struct option *own;
	const struct option *common;
	char **words;
	int n;
	int i; /* the word after the one being read */
};

/* "--name", "--name=value", "--name value" */
static int read_long(struct walk *w, const char *word, struct args *a, struct usage_error *e)
{
	const char *equals = strchr(word, '=');
	struct span name = { word, equals ? (size_t)(equals - word) : strlen(word) };
	const struct option *o = find_long(w->own, name);
	const char *near;

	if (!o)
		o = find_long(w->common, name);
	if (!o) {
		near = find_near(w->own, w->common, name);
		snprintf(e->text, sizeof(e->text), "unknown option '--%.*s'%s%s%s",
			 (int)(name.n < 100 ? name.n : 100), word, near ? "; did you mean --" : "",
			 near ? near : "", near ? "?" : "");
		return -1;
	}
	if (equals && o->kind == OPTION_FLAG) {
		snprintf(e->text, sizeof(e->text), "--%s takes no value", o->name);
		return -1;
	}
	if (equals)
		return store(o, equals + 1, a, e);
	if (kinds[o->kind].left_out)
		return store(o, kinds[o->kind].left_out, a, e);
	if (w->i == w->n) {
		snprintf(e->text, sizeof(e->text), "--%s needs a value: --%s %s", o->name, o->name,
			 o->value);
		return -1;
	}
	return store(o, w->words[w->i++], a, e);
}

/* "-qh": letters are flags, all of them. */
static int read_letters(struct walk *w, const char *letters, struct args *a, struct usage_error *e)
{
	for (; *letters; letters++) {
		const struct option *o = find_letter(w->own, *letters);

		if (!o)
			o = find_letter(w->common, *letters);
		if (!o) {
			snprintf(e->text, sizeof(e->text), "unknown option '-%c'", *letters);
			return -1;
		}
		if (store(o, kinds[o->kind].left_out, a, e) < 0)
			return -1;
	}
	return 0;
}

int options_read(const struct option *own, const struct option *common, char *words[], int n_words,
		 bool only_leading, struct args *a, struct usage_error *ret_error)
{
	struct walk w = { own, common, words, n_words, 0 };
	int kept = 0;

	while (w.i < n_words) {
		char *word = words[w.i++];
		int r;

		if (!strcmp(word, "--"))
			break;
		if (word[0] != '-' || !word[1]) {
			words[kept++] = word;
			if (only_leading)
				break;
			continue;
		}
		r = word[1] == '-' ? read_long(&w, word + 2, a, ret_error)
				   : read_letters(&w, word + 1, a, ret_error);
		if (r < 0)
			return -1;
	}
	while (w.i < n_words)
		words[kept++] = words[w.i++];
	/* What is left may be another command's line, which ends with NULL. */
	if (kept < n_words)
		words[kept] = NULL;
	return kept;
}
