/*
 * ctl/select.c - from what people say to tokens.
 *
 * A name may look like an id, so even for an id it is asked whether a token has it as its name: or
 * one could be revoked that nobody meant.
 */
#include "ctl/select.h"

#include <errno.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/output.h"
#include "ctl/unused.h"
#include "protocol/base/time.h"
#include "protocol/client.h"

static void selected_done(struct selected *s)
{
	jeton_token_free(s->token);
	free(s->json);
}

void selection_done(struct selection *s)
{
	for (size_t i = 0; i < s->n; i++)
		selected_done(&s->items[i]);
	free(s->items);
}

/* What on_token() works on. */
struct asking {
	struct jeton *jeton;
	const struct args *args;
	struct selection selection;
	struct unused unused;
};

static void asking_done(struct asking *s)
{
	selection_done(&s->selection);
	unused_done(&s->unused);
}

/* Whether the filters that need to know no other token let it through. */
static bool is_wanted(const struct args *a, const struct jeton_token *t)
{
	bool active = t->state == JETON_STATE_ACTIVE;

	if (!active && !a->ended)
		return false;
	if (a->expiring_s != JETON_UNSET)
		return active &&
		       (t->expires_us - (int64_t)a->now_us) / (int64_t)USEC_PER_SEC < a->expiring_s;
	return true;
}

static char *copy_json(const struct jeton *jeton)
{
	struct json_value info;

	if (!json_member(json_root(jeton_raw_reply(jeton).parameters), "info", &info))
		return NULL;
	return strndup(info.raw.p, info.raw.n);
}

static int selection_add(struct selection *s, struct jeton *jeton, const struct args *a,
			 const struct jeton_token *t)
{
	struct selected item = { jeton_token_dup(t), a->json ? copy_json(jeton) : NULL };

	if (s->n == s->size && item.token) {
		size_t size = s->size ? s->size * 2 : 64;
		struct selected *items = reallocarray(s->items, size, sizeof(*items));

		if (items) {
			s->items = items;
			s->size = size;
		}
	}
	if (!item.token || s->n == s->size || (a->json && !item.json)) {
		selected_done(&item);
		return -ENOMEM;
	}
	s->items[s->n++] = item;
	return 0;
}

static int on_token(void *userdata, const struct jeton_token *t)
{
	struct asking *s = userdata;
	int r = 0;

	if (s->args->unused_s != JETON_UNSET)
		r = unused_note(&s->unused, t);
	if (r == 0 && is_wanted(s->args, t))
		r = selection_add(&s->selection, s->jeton, s->args, t);
	return r;
}

void selection_keep(struct selection *s,
		    bool (*is_kept)(const struct jeton_token *token, void *userdata),
		    void *userdata)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (is_kept(s->items[i].token, userdata))
			s->items[kept++] = s->items[i];
		else
			selected_done(&s->items[i]);
	}
	s->n = kept;
}

static bool is_unused(const struct jeton_token *token, void *unused)
{
	return unused_is(unused, token->id);
}

static void keep_unused(struct asking *s)
{
	int64_t span_us;

	if (__builtin_mul_overflow(s->args->unused_s, (int64_t)USEC_PER_SEC, &span_us))
		span_us = INT64_MAX;
	unused_judge(&s->unused, (int64_t)s->args->now_us - span_us);
	selection_keep(&s->selection, is_unused, &s->unused);
}

int selection_ask(struct jeton *jeton, const struct args *a, struct selection *ret)
{
	_cleanup_(asking_done) struct asking s = { .jeton = jeton, .args = a };
	struct jeton_filter filter = JETON_FILTER_INIT;
	int r;

	if (a->owner && a->all_users)
		return fail(EXIT_USAGE,
			    "--owner and --all-users both say whose tokens: give one of them");
	r = ask_user(a->owner, &filter.owner_uid);
	if (r != EXIT_DONE)
		return r;
	filter.all = a->all_users;
	if (!a->ended && a->unused_s == JETON_UNSET)
		filter.state = JETON_STATE_ACTIVE;
	r = jeton_list(jeton, &filter, on_token, &s);
	if (r != 0)
		return ask_failed(jeton, r);
	if (a->unused_s != JETON_UNSET)
		keep_unused(&s);
	*ret = s.selection;
	s.selection = (struct selection){ NULL, 0, 0 };
	return EXIT_DONE;
}

/* ---- TOKEN ---- */

enum { NAMED_SHOWN = 8 };

/* Who has a name: how many, and the first of them. */
struct named {
	const char *name;
	size_t n;
	struct id_text ids[NAMED_SHOWN];
};

static void id_copy(struct id_text *dst, const char *id)
{
	snprintf(dst->text, sizeof(dst->text), "%s", id);
}

static int on_named(void *userdata, const struct jeton_token *t)
{
	struct named *named = userdata;

	/* The agent was asked for just these; a name is not worth trusting it more than that. */
	if (strcmp(t->name, named->name) != 0 || t->state != JETON_STATE_ACTIVE || t->replaced_by)
		return 0;
	if (named->n < NAMED_SHOWN)
		id_copy(&named->ids[named->n], t->id);
	named->n++;
	return 0;
}

/* "A, B and 3 more" */
static const char *list_ids(const struct named *named, char *dst, size_t size)
{
	size_t at = 0, shown = named->n < NAMED_SHOWN ? named->n : NAMED_SHOWN;

	for (size_t i = 0; i < shown; i++)
		at += (size_t)snprintf(dst + at, size - at, "%s%s", i ? ", " : "",
				       named->ids[i].text);
	if (named->n > shown)
		snprintf(dst + at, size - at, " and %zu more", named->n - shown);
	return dst;
}

static int ask_named(struct jeton *jeton, const struct args *a, struct named *named)
{
	struct jeton_filter filter = JETON_FILTER_INIT;
	int r = ask_user(a->owner, &filter.owner_uid);

	if (r != EXIT_DONE)
		return r;
	filter.name = named->name;
	filter.state = JETON_STATE_ACTIVE;
	r = jeton_list(jeton, &filter, on_named, named);
	/* No name that a token can have. */
	if (r == -EINVAL || r == JETON_ERROR_INVALID_PARAMETER)
		r = 0;
	return r == 0 ? EXIT_DONE : ask_failed(jeton, r);
}

static int not_found(const struct args *a, const char *text)
{
	return fail(EXIT_FAILED,
		    "there is no active token named '%.200s'%s%s; jetonctl list shows those that "
		    "there are",
		    text, a->owner ? " of " : "", a->owner ? a->owner : "");
}

/* The text is an id by its form: is it one, or a name, or both? */
static int select_id(struct jeton *jeton, const struct named *named, const char *text,
		     struct id_text *ret)
{
	char ids[256];
	int r;

	if (named->n == 0) {
		id_copy(ret, text);
		return EXIT_DONE;
	}
	r = jeton_describe(jeton, text, NULL);
	if (r != 0 && r != JETON_ERROR_NO_SUCH_TOKEN)
		return ask_failed(jeton, r);
	if (r == 0 && (named->n > 1 || strcmp(named->ids[0].text, text) != 0))
		return fail(
			EXIT_FAILED,
			"'%s' is the id of one token and the name of another; their ids: %s, %s",
			text, text, list_ids(named, ids, sizeof(ids)));
	*ret = named->ids[0];
	return EXIT_DONE;
}

int select_token(struct jeton *jeton, const struct args *a, const char *text, struct id_text *ret)
{
	struct named named = { .name = text };
	char ids[256];
	uint64_t id;
	int r;

	r = ask_named(jeton, a, &named);
	if (r != EXIT_DONE)
		return r;
	if (named.n > 1)
		return fail(EXIT_FAILED, "%zu tokens are named '%s'; say which by its id: %s",
			    named.n, text, list_ids(&named, ids, sizeof(ids)));
	if (token_id_read(span_of(text), &id))
		return select_id(jeton, &named, text, ret);
	if (named.n == 0)
		return not_found(a, text);
	*ret = named.ids[0];
	return EXIT_DONE;
}
