/*
 * protocol/jeton-verifier-thread.c - what goes on beside verifying: a map is got where there is none
 * that is in force, and uses are told to the agent. It sleeps but for that, and whoever finds no map
 * wakes it.
 *
 * Uses that could not be told, because there was no agent to tell, are told to the next one.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "protocol/base/time.h"
#include "protocol/client-replies.h"
#include "protocol/jeton-verifier.h"
#include "protocol/json.h"

enum {
	CALL_MS = 2000, /* for each of its calls */
	REPORT_US = 3 * 1000 * 1000,
	/* It takes a 20th of the time at most. */
	REPORT_SHARE = 20,
	/* Between maps, and after failures, each time twice as long: */
	PAUSE_MIN_US = 50 * 1000,
	PAUSE_MAX_US = 2 * 1000 * 1000,
	/* Where there was an answer, and it was no map. */
	PAUSE_REFUSED_US = 5 * 1000 * 1000,
	/* One of a thousand uses: names, an id, two numbers. */
	MESSAGE_MAX = VERIFIER_USES_A_CALL * 90 + 32,
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- getting a map ---- */

static int get_map(struct jeton_verifier *v)
{
	struct reply_fd reply;
	_cleanup_close_ int fd = -1;
	int r;

	/* A map is believed, so it is taken of those alone to whom a value would be told. */
	r = client_call_json(v->jeton, SPAN("io.jeton.Verifier.GetMap"),
			     CALL_SECRET | CALL_REPEATABLE | CALL_WANTS_FD, SPAN("{}"));
	r = client_answer(v->jeton, r, REPLY_FD, &reply);
	if (r != 0)
		return r;
	fd = steal_fd(&v->jeton->reply_fd);
	return fd < 0 ? -EBADMSG : map_hold_put(v->hold, fd);
}

/* How long no other one is asked for. */
static uint64_t pause_after(struct jeton_verifier *v, int r)
{
	if (r == 0)
		v->pause_us = PAUSE_MIN_US;
	else if (r > 0 || r == -EBADMSG || r == -EPROTONOSUPPORT)
		v->pause_us = PAUSE_REFUSED_US;
	else if (v->pause_us < PAUSE_MAX_US)
		v->pause_us *= 2;
	return v->pause_us;
}

static void renew_map(struct jeton_verifier *v)
{
	uint64_t pause;

	map_hold_drop(v->hold);
	pause = pause_after(v, get_map(v));
	pthread_mutex_lock(&v->lock);
	v->next_map_us = now_us() + pause;
	v->wants_map = false;
	pthread_mutex_unlock(&v->lock);
}

/* ---- telling uses ---- */

static void write_use(struct json_writer *w, const struct map_use *use)
{
	char id[TOKEN_ID_LEN];

	token_id_write(use->id, id);
	json_open(w, '{');
	json_key(w, "id");
	json_put_string(w, (struct span){ id, sizeof(id) });
	json_key(w, "count");
	json_put_int(w, (int64_t)use->count);
	json_key(w, "lastUSec");
	json_put_int(w, (int64_t)use->last_us);
	json_close(w, '}');
}

static int tell(struct jeton_verifier *v, size_t n)
{
	struct json_writer w;
	int r;

	json_writer_init(&w, v->message, MESSAGE_MAX);
	json_open(&w, '{');
	json_key(&w, "uses");
	json_open(&w, '[');
	for (size_t i = 0; i < n; i++)
		write_use(&w, &v->uses[i]);
	json_close(&w, ']');
	json_close(&w, '}');
	/* Not repeatable: it would be counted twice. Nor is it sent to whoever has no right to know. */
	r = client_call_json(v->jeton, SPAN("io.jeton.Verifier.ReportUses"), CALL_SECRET,
			     (struct span){ w.buf, w.n });
	return r == 0 ? client_done(v->jeton, 0) : r;
}

/* Whether an agent may have counted them, or counts them yet though nobody waits for that any more, or will never. */
static bool is_told(const struct jeton_verifier *v, int r)
{
	switch (r) {
	case 0:
	case -EBADMSG:
	case JETON_ERROR_UNTRUSTED_AGENT:
	case JETON_ERROR_METHOD_NOT_FOUND:
	case JETON_ERROR_INTERFACE_NOT_FOUND:
	case JETON_ERROR_INVALID_PARAMETER:
	case JETON_ERROR_PERMISSION_DENIED:
		return true;
	}
	/* Locked, full, with wrong policies: an agent that will count them later. */
	if (r > 0)
		return false;
	return v->jeton->is_sent && (r != -ECONNRESET || v->jeton->is_taken);
}

/* Until all are told. An agent that does not answer, or not yes, is not told more now: each time may be a wait. */
static void report(struct jeton_verifier *v)
{
	uint64_t start_us = now_us(), took_us;
	size_t n;
	int r;

	do {
		n = map_hold_collect(v->hold, v->uses, VERIFIER_USES_A_CALL);
		r = n > 0 ? tell(v, n) : 0;
		if (!is_told(v, r))
			map_hold_put_back(v->hold, v->uses, n);
	} while (r == 0 && n == VERIFIER_USES_A_CALL);
	took_us = now_us() - start_us;
	v->next_report_us =
		start_us + took_us +
		(took_us * REPORT_SHARE > REPORT_US ? took_us * REPORT_SHARE : REPORT_US);
}

/* ---- the thread ---- */

/* Locked: until there is something to do. */
static void sleep_until(struct jeton_verifier *v, uint64_t us)
{
	const struct timespec ts = {
		.tv_sec = (time_t)(us / USEC_PER_SEC),
		.tv_nsec = (long)(us % USEC_PER_SEC * 1000),
	};

	(void)pthread_cond_timedwait(&v->wake, &v->lock, &ts);
}

/* Whether a map is to be got now; else *ret_us is no later than when it may be. */
static bool is_map_due(struct jeton_verifier *v, uint64_t *ret_us)
{
	if (map_hold_state(v->hold) != MAP_RETIRED)
		return false;
	if (v->next_map_us < *ret_us)
		*ret_us = v->next_map_us;
	return v->next_map_us <= now_us();
}

/* Waits. Returns false when it is over; *ret_map: a map is to be got. */
static bool wait_for_work(struct jeton_verifier *v, bool *ret_map)
{
	bool goes_on;

	*ret_map = false;
	pthread_mutex_lock(&v->lock);
	while (!v->is_over) {
		uint64_t until_us = v->next_report_us;

		*ret_map = is_map_due(v, &until_us);
		if (*ret_map || now_us() >= until_us)
			break;
		sleep_until(v, until_us);
	}
	goes_on = !v->is_over;
	pthread_mutex_unlock(&v->lock);
	return goes_on;
}

static void *run(void *userdata)
{
	struct jeton_verifier *v = userdata;
	bool map;

	while (wait_for_work(v, &map)) {
		if (map)
			renew_map(v);
		else
			report(v);
	}
	map_hold_drop(v->hold);
	report(v);
	return NULL;
}

static int start(struct jeton_verifier *v)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&v->thread, NULL, run, v);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int verifier_thread_start(struct jeton_verifier *v)
{
	pthread_condattr_t attr;
	int r;

	v->message = malloc(MESSAGE_MAX);
	if (!v->message)
		return -ENOMEM;
	jeton_set_timeout(v->jeton, CALL_MS);
	v->pause_us = PAUSE_MIN_US;
	v->next_report_us = now_us() + REPORT_US;
	pthread_mutex_init(&v->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&v->wake, &attr);
	pthread_condattr_destroy(&attr);
	r = start(v);
	if (r < 0) {
		pthread_cond_destroy(&v->wake);
		pthread_mutex_destroy(&v->lock);
	}
	return r;
}

void verifier_thread_stop(struct jeton_verifier *v)
{
	pthread_mutex_lock(&v->lock);
	v->is_over = true;
	pthread_cond_signal(&v->wake);
	pthread_mutex_unlock(&v->lock);
	pthread_join(v->thread, NULL);
	pthread_cond_destroy(&v->wake);
	pthread_mutex_destroy(&v->lock);
}

void verifier_thread_wake(struct jeton_verifier *v)
{
	if (v->wants_map || now_us() < v->next_map_us)
		return;
	v->wants_map = true;
	pthread_cond_signal(&v->wake);
}
