/*
 * ctl/cmd-watch.c - watch: events as they happen, a line each.
 *
 * Where the agent goes away (a restart) it is asked again from the last event on, until it is back:
 * none is left out and none told twice. That some were missed is an error.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/commands.h"
#include "ctl/json-print.h"
#include "ctl/output.h"
#include "ctl/text.h"
#include "protocol/base/time.h"
#include "protocol/client.h"

enum { RETRY_MIN_MS = 100, RETRY_MAX_MS = 5000 };

static void print_text(const char *text)
{
	if (text)
		text_print(stdout, span_of(text));
}

static void print_event(const struct jeton_event *e)
{
	char when[64];

	printf("%" PRIi64 "  %s  %-*s", e->seq,
	       time_format_local((uint64_t)e->at_us, when, sizeof(when)),
	       e->token || e->credential ? 9 : 0, jeton_event_kind_text(e->kind));
	if (e->token) {
		printf("  ");
		print_text(e->token->id);
		printf("  ");
		print_text(e->token->name);
		printf(", of ");
		if (e->token->owner)
			print_text(e->token->owner);
		else
			printf("uid %" PRIu32, e->token->owner_uid);
	}
	if (e->credential) {
		printf("  ");
		print_text(e->credential);
	}
	putchar('\n');
}

static void print_json(const struct jeton *jeton)
{
	struct json_value event;

	if (!json_member(json_root(jeton_raw_reply(jeton).parameters), "event", &event))
		return;
	json_print(event, false, 0, stdout);
	putchar('\n');
}

/* Whether it is out. */
static bool tell(const struct args *a, const struct jeton *jeton, const struct jeton_event *e)
{
	if (a->json)
		print_json(jeton);
	else
		print_event(e);
	return fflush(stdout) == 0;
}

/* Waits for the next event, or for the reader of standard output to go. False: that one has. */
static bool wait_for_more(const struct jeton *jeton)
{
	struct pollfd p[] = {
		{ .fd = jeton_fd(jeton), .events = POLLIN },
		{ .fd = STDOUT_FILENO },
	};

	poll(p, ARRAY_SIZE(p), -1);
	return !(p[1].revents & (POLLERR | POLLHUP));
}

/* Tells events until the watch ends: what of, or 0 where nobody reads them any more. */
static int follow(const struct args *a, struct jeton *jeton, int64_t *after)
{
	const struct jeton_event *event;
	int r;

	for (;;) {
		r = jeton_watch_next(jeton, 0, &event);
		if (r == -EAGAIN) {
			if (!wait_for_more(jeton))
				return 0;
			continue;
		}
		if (r != 0)
			return r;
		*after = event->seq;
		if (!tell(a, jeton, event))
			return 0;
	}
}

/* Whether that the agent answered so may pass, as it does when it starts anew. */
static bool may_pass(int r)
{
	return r == -ECONNRESET || r == -ECONNREFUSED || r == -ENOENT || r == -ETIMEDOUT ||
	       r == -EPIPE || r == JETON_ERROR_AGENT_LOCKED;
}

/* Until it stands again; or what makes it hopeless. */
static int start_again(struct jeton *jeton, int64_t after)
{
	int wait_ms = RETRY_MIN_MS, r;

	while ((r = jeton_watch_start(jeton, after)) != 0 && may_pass(r)) {
		/* For the time alone; but a reader who has gone ends it. */
		struct pollfd p = { .fd = STDOUT_FILENO };

		if (poll(&p, 1, wait_ms) > 0 && p.revents & (POLLERR | POLLHUP))
			return 0;
		wait_ms = wait_ms * 2 < RETRY_MAX_MS ? wait_ms * 2 : RETRY_MAX_MS;
	}
	return r;
}

int cmd_watch(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	int64_t after = a->after;
	int status, r;

	status = ask_open(a, &jeton);
	if (status != EXIT_DONE)
		return status;
	r = jeton_watch_start(jeton, after);
	while (r == 0) {
		r = follow(a, jeton, &after);
		if (r == 0)
			return EXIT_DONE;
		if (!may_pass(r))
			break;
		remark(a, "The agent has gone; watching goes on when it is back.");
		r = start_again(jeton, after);
	}
	return ask_failed(jeton, r);
}
