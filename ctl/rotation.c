/*
 * ctl/rotation.c - a token that was rotated is told of with the other one, since only both together
 * show whether the old one can go.
 */
#include "ctl/rotation.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/facts.h"
#include "ctl/moved.h"
#include "ctl/output.h"
#include "protocol/base/time.h"

DEFINE_CLEANUP(struct jeton_token *, jeton_token_free)
#define _cleanup_token_ _cleanup_(jeton_token_freep)

/* ---- show ---- */

static void print_other(const char *label, const struct jeton_token *t)
{
	char when[FACTS_WHEN_MAX], expires[FACTS_WHEN_MAX];
	bool active = t->state == JETON_STATE_ACTIVE;

	fact(label, STYLE_PLAIN, "%s, %s%s", t->id, active ? "ends " : jeton_state_text(t->state),
	     active ? facts_when(t->expires_us, expires) : "");
	if (t->last_used_us == JETON_UNSET)
		fact(NULL, STYLE_PLAIN, "never used");
	else
		fact(NULL, STYLE_PLAIN, "last used %s%s%s", facts_when(t->last_used_us, when),
		     t->last_used_by ? " by " : "", t->last_used_by ? t->last_used_by : "");
}

struct looking {
	const char *id;
	struct jeton_token *found;
};

static int on_named(void *userdata, const struct jeton_token *t)
{
	struct looking *l = userdata;

	if (!t->replaced_by || strcmp(t->replaced_by, l->id) != 0)
		return 0;
	l->found = jeton_token_dup(t);
	return 1;
}

/* The one that it replaced has its name and owner. */
static struct jeton_token *find_old(struct jeton *jeton, const struct jeton_token *token)
{
	struct jeton_filter filter = JETON_FILTER_INIT;
	struct looking l = { token->id, NULL };

	filter.name = token->name;
	if (token->owner_uid != geteuid())
		filter.owner_uid = token->owner_uid;
	return jeton_list(jeton, &filter, on_named, &l) < 0 ? NULL : l.found;
}

void rotation_print(const struct args *a, struct jeton *jeton, const struct jeton_token *token)
{
	_cleanup_token_ struct jeton_token *own = jeton_token_dup(token), *old = NULL;
	const struct jeton_token *successor;

	(void)a;
	if (!own)
		return;
	if (own->replaced_by && jeton_describe(jeton, own->replaced_by, &successor) == 0)
		print_other("The new one", successor);
	old = find_old(jeton, own);
	if (old)
		print_other("The old one", old);
}

/* ---- rotate --when-unused ---- */

enum { LOOK_MIN_MS = 1000, LOOK_MAX_MS = 30000 };

/* A use may be told late by a minute, where the agent was stopped hard. */
#define QUIET_US ((int64_t)(60 * USEC_PER_SEC))

struct waiting {
	const struct args *args;
	struct jeton *jeton;
	const struct id_text *old, *successor;
	struct moved moved;
	bool told;
};

static void waiting_done(struct waiting *w)
{
	moved_done(&w->moved);
}

enum looked { LOOKED_NOT_YET, LOOKED_MOVED, LOOKED_ENDED, LOOKED_FAILED };

/* The agent starts anew, or is locked: it is asked again later. */
static bool may_pass(int r)
{
	return r == -ECONNRESET || r == -ECONNREFUSED || r == -ENOENT || r == -ETIMEDOUT ||
	       r == JETON_ERROR_AGENT_LOCKED;
}

/* Both at this moment. 0, or what it failed with. */
static int describe(struct waiting *w, struct jeton_token **ret_old, struct jeton_token **ret_new)
{
	const struct jeton_token *token;
	int r = jeton_describe(w->jeton, w->old->text, &token);

	if (r == 0)
		*ret_old = jeton_token_dup(token);
	if (r == 0)
		r = jeton_describe(w->jeton, w->successor->text, &token);
	if (r == 0)
		*ret_new = jeton_token_dup(token);
	return r != 0 || (*ret_old && *ret_new) ? r : -ENOMEM;
}

static void tell(struct waiting *w, const struct jeton_token *old)
{
	const char *laggard = moved_laggard(&w->moved);
	char when[FACTS_WHEN_MAX];

	if (w->told)
		return;
	w->told = true;
	remark(w->args, "Waits until %s%s the new one, and then ends the old one, %s.",
	       laggard ? laggard : "somebody", laggard ? ", who used the old one, uses" : " uses",
	       w->old->text);
	remark(w->args,
	       "Interrupted, the old one ends %s; jetonctl rotate %s --when-unused goes on.",
	       facts_when(old->expires_us, when), w->old->text);
}

static enum looked judge(struct waiting *w, const struct jeton_token *old,
			 const struct jeton_token *successor, int *ret_status)
{
	if (old->state != JETON_STATE_ACTIVE) {
		remark(w->args, "The old one, %s, has ended.", old->id);
		return LOOKED_ENDED;
	}
	if (successor->state != JETON_STATE_ACTIVE) {
		*ret_status = fail(EXIT_FAILED,
				   "the new one, %s, has ended, so the old one is left as it is",
				   successor->id);
		return LOOKED_FAILED;
	}
	if (moved_note(&w->moved, old, successor) < 0) {
		*ret_status = fail(EXIT_FAILED, "there is not enough memory");
		return LOOKED_FAILED;
	}
	if (moved_all(&w->moved, (int64_t)time_now_us(), QUIET_US))
		return LOOKED_MOVED;
	tell(w, old);
	return LOOKED_NOT_YET;
}

static enum looked look(struct waiting *w, int *ret_status)
{
	_cleanup_token_ struct jeton_token *old = NULL, *successor = NULL;
	int r = describe(w, &old, &successor);

	if (r == 0)
		return judge(w, old, successor, ret_status);
	if (may_pass(r))
		return LOOKED_NOT_YET;
	*ret_status = ask_failed(w->jeton, r);
	return LOOKED_FAILED;
}

static int end_old(struct waiting *w)
{
	int r = jeton_revoke(w->jeton, w->old->text, NULL);

	if (r != 0)
		return ask_failed(w->jeton, r);
	remark(w->args, "The old one, %s, was revoked: those who used it use the new one.",
	       w->old->text);
	return EXIT_DONE;
}

int rotation_wait(const struct args *a, struct jeton *jeton, const struct id_text *old,
		  const struct id_text *successor)
{
	_cleanup_(waiting_done) struct waiting w = { a, jeton, old, successor, { 0 }, false };
	int status = EXIT_DONE, wait_ms = LOOK_MIN_MS;
	enum looked looked;

	while ((looked = look(&w, &status)) == LOOKED_NOT_YET) {
		poll(NULL, 0, wait_ms);
		wait_ms = wait_ms * 2 < LOOK_MAX_MS ? wait_ms * 2 : LOOK_MAX_MS;
	}
	return looked == LOOKED_MOVED ? end_old(&w) : status;
}
