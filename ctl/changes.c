/*
 * ctl/changes.c - events only say when to look; what decides is the revision, which grows with each
 * Put and never starts again. So nothing is missed, and nothing done for nothing, whatever happens
 * to events: between a fetch and the watch, while the agent restarts, when there were too many.
 */
#include "ctl/changes.h"

#include <errno.h>

#include "ctl/ask.h"
#include "ctl/output.h"
#include "protocol/base/time.h"

enum { ASK_MS = 5000 };

#define RETRY_MIN_US (USEC_PER_SEC / 4)
#define RETRY_MAX_US (15 * USEC_PER_SEC)

void changes_init(struct changes *c, const struct gifts *gifts)
{
	*c = (struct changes){ .gifts = gifts, .retry_us = UINT64_MAX };
}

void changes_done(struct changes *c)
{
	jeton_free(c->watch);
	c->watch = NULL;
}

void changes_start(struct changes *c)
{
	for (size_t i = 0; i < c->gifts->n; i++)
		if (!c->gifts->items[i].minted && !c->watch && c->retry_us == UINT64_MAX)
			c->retry_us = 0;
}

int changes_fd(const struct changes *c)
{
	return c->watch ? jeton_fd(c->watch) : -1;
}

static void put_off(struct changes *c, uint64_t now_us, uint64_t random)
{
	c->wait_us = c->wait_us ? c->wait_us * 2 : RETRY_MIN_US;
	if (c->wait_us > RETRY_MAX_US)
		c->wait_us = RETRY_MAX_US;
	c->retry_us = now_us + c->wait_us + random % c->wait_us;
}

/* Said once: what comes after is only more of the same. */
static void tell(struct changes *c, const char *message)
{
	if (!c->told)
		remark(c->gifts->args, "Can't watch for changes, and goes on trying: %s", message);
	c->told = true;
}

/* Whether a watch stands. */
static bool start(struct changes *c, uint64_t now_us, uint64_t random)
{
	if (ask_open(c->gifts->args, &c->watch) != EXIT_DONE) {
		put_off(c, now_us, random);
		return false;
	}
	jeton_set_timeout(c->watch, ASK_MS);
	if (jeton_watch_start(c->watch, JETON_UNSET) != 0) {
		tell(c, jeton_error_message(c->watch));
		changes_done(c);
		put_off(c, now_us, random);
		return false;
	}
	c->retry_us = UINT64_MAX;
	c->wait_us = 0;
	c->told = false;
	return true;
}

static bool is_about(const struct changes *c, const struct jeton_event *event)
{
	if (event->kind != JETON_EVENT_PUT || !event->credential)
		return false;
	for (size_t i = 0; i < c->gifts->n; i++)
		if (!strcmp(c->gifts->items[i].pair->credential, event->credential))
			return true;
	return false;
}

bool changes_pump(struct changes *c, uint64_t now_us, uint64_t random)
{
	const struct jeton_event *event;
	bool any = false;
	int r;

	/* What happened before it stood is seen by looking. */
	if (!c->watch)
		return c->retry_us <= now_us && start(c, now_us, random);
	while ((r = jeton_watch_next(c->watch, 0, &event)) == 0)
		any |= is_about(c, event);
	if (r != -EAGAIN) {
		changes_done(c);
		put_off(c, now_us, random);
	}
	return any;
}

struct looking {
	const struct gifts *gifts;
	int changed;
};

static int on_credential(void *userdata, const struct jeton_credential *credential)
{
	struct looking *l = userdata;

	for (size_t i = 0; i < l->gifts->n; i++) {
		const struct gift *gift = &l->gifts->items[i];

		if (!gift->minted && !strcmp(gift->pair->credential, credential->name) &&
		    credential->updated_us != JETON_UNSET && credential->revision > gift->revision)
			l->changed = 1;
	}
	return 0;
}

int changes_look(const struct changes *c)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	struct looking l = { c->gifts, 0 };

	if (ask_open(c->gifts->args, &jeton) != EXIT_DONE)
		return -1;
	jeton_set_timeout(jeton, ASK_MS);
	return jeton_list_credentials(jeton, on_credential, &l) == 0 ? l.changed : -1;
}
