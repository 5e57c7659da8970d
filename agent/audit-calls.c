/*
 * agent/audit-calls.c - what calls come to that change nothing: refusals, fetches, verifications,
 * and what administrators had done. The first of a kind is told at once, the rest as sums.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/audit-internal.h"
#include "agent/authority.h"
#include "protocol/base/time.h"

enum { AT_ONCE = 64 }; /* sums told before others get their turn */
static const uint64_t PERIOD_US = 60 * USEC_PER_SEC;
static const uint64_t SLICE_US = 20 * 1000;

bool audit_has_journal(const struct agent *a)
{
	return a->audit->journal;
}

void audit_tell_journal(struct agent *a, const struct audit_note *note)
{
	if (a->audit->journal)
		audit_journal_tell(a->audit->journal, note);
}

static void tell(struct agent *a, const struct audit_note *note)
{
	audit_tell_journal(a, note);
	audit_queue_add(a, &note->entry);
}

static void count(struct agent *a)
{
	struct audit *audit = a->audit;

	if (audit->counts || !audit->sums_timer)
		return;
	audit->counts = true;
	a->sources_changed = true;
	(void)sd_event_source_set_time_relative(audit->sums_timer, PERIOD_US);
	(void)sd_event_source_set_enabled(audit->sums_timer, SD_EVENT_ONESHOT);
}

static void note_why(struct audit_note *note, const char *why)
{
	snprintf(note->why, sizeof(note->why), "%s", why);
}

static uint32_t tag_of_span(struct span text)
{
	uint32_t h = 2166136261U;

	for (size_t i = 0; i < text.n; i++)
		h = (h ^ (unsigned char)text.p[i]) * 16777619U;
	return h ^ h >> 16;
}

static uint32_t tag_of(const char *text)
{
	return tag_of_span(span_of(text));
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* The log where there is no journal, a line for what has an entry of its own. */
static void log_refusal(struct agent *a, const struct audit_note *note)
{
	char sentence[1024];

	/* A mistake in the policies has a line of its own. */
	if (audit_has_journal(a) || strcmp(note->entry.result, "PolicyInvalid") == 0)
		return;
	audit_sentence(&note->entry, note->why, a->uid, sentence, sizeof(sentence));
	log_warning("%s", sentence);
}

static void tell_refusal(struct request *req, enum audit_operation operation, const char *result,
			 struct audit_note *note)
{
	struct agent *a = req->agent;
	struct audit_actor who;

	audit_actor_of(req->connection, &who);
	*note = (struct audit_note){ .entry = audit_entry_of(a, &who, operation, result) };
	note->entry.token = req->about.token;
	audit_text(note->entry.credential, sizeof(note->entry.credential), req->about.credential);
	if (req->why)
		note_why(note, req->why);
	else if (strcmp(result, "StoreFailed") == 0 && a->audit->store_error)
		note_why(note, strerror(-a->audit->store_error));
	log_refusal(a, note);
	tell(a, note);
}

void audit_refused(struct request *req, const char *error)
{
	struct agent *a = req->agent;
	const char *method = req->connection->method, *result;
	unsigned refusal = audit_refusal(error, &result);
	enum audit_operation operation;
	struct audit_note note;
	uint64_t key;

	if (!refusal || !method || !audit_operation_of_method(span_of(method), &operation))
		return;
	key = audit_repeat_key(req->connection->peer.uid, operation, refusal, tag_of(req->why));
	if (audit_repeats_count(&a->audit->refused, key, req->about.token,
				req->connection->peer.pid, req->about.credential) == AUDIT_FIRST) {
		tell_refusal(req, operation, result, &note);
		audit_repeats_first(&a->audit->refused, key, &note);
	}
	count(a);
}

/* By somebody who is no connection, or no more. */
static void refuse_other(struct agent *a, const struct audit_actor *who,
			 enum audit_operation operation, const char *result, const char *credential,
			 uint64_t token, const char *why)
{
	const char *name;
	uint32_t more = tag_of(why);
	struct audit_note note;
	uint64_t key;

	/* Names count where it was the manager that gave them. */
	if (operation == AUDIT_LOAD && strcmp(result, "PermissionDenied") != 0)
		more ^= tag_of(who->unit) * 31 ^ tag_of(credential);
	key = audit_repeat_key(who->uid, operation, audit_refusal(result, &name), more);
	if (audit_repeats_count(&a->audit->refused, key, token, who->pid, span_of(credential)) ==
	    AUDIT_FIRST) {
		note = (struct audit_note){ .entry = audit_entry_of(a, who, operation, result) };
		note.entry.token = token;
		audit_text(note.entry.credential, sizeof(note.entry.credential),
			   span_of(credential));
		note_why(&note, why);
		tell(a, &note);
		audit_repeats_first(&a->audit->refused, key, &note);
	}
	count(a);
}

static enum audit_operation operation_named(const char *text)
{
	enum audit_operation i = 0;

	while (i < AUDIT_OPERATIONS - 1 && strcmp(audit_operation_text(i), text) != 0)
		i++;
	return i;
}

void audit_failed(struct agent *a, const struct audit_list *list, const struct audit_actor *who,
		  int r, bool is_answered)
{
	a->audit->store_error = r;
	/* What the audit itself could not keep waits, and is tried again. */
	if (list->n == 0 || list->is_told || is_answered)
		return;
	refuse_other(a, who, operation_named(list->entries[0].operation), "StoreFailed",
		     list->entries[0].credential, list->n == 1 ? list->entries[0].token : 0,
		     strerror(-r));
}

/* ---- what was done --------------------------------------------------------------------------- */

void audit_own(struct agent *a, enum audit_operation operation)
{
	struct audit_actor itself;
	struct audit_note note;

	audit_actor_itself(a, &itself);
	note = (struct audit_note){ .entry = audit_entry_of(a, &itself, operation, "ok") };
	tell(a, &note);
}

static bool is_told_when_answered(enum audit_operation operation)
{
	return operation == AUDIT_RELOAD || operation == AUDIT_LOCK || operation == AUDIT_UNLOCK ||
	       operation == AUDIT_REKEY || operation == AUDIT_BACKUP;
}

void audit_answered(struct request *req)
{
	enum audit_operation operation;
	struct audit_actor who;
	struct audit_note note;

	if (!audit_operation_of_method(span_of(req->connection->method), &operation) ||
	    !is_told_when_answered(operation))
		return;
	audit_actor_of(req->connection, &who);
	note = (struct audit_note){ .entry = audit_entry_of(req->agent, &who, operation, "ok") };
	tell(req->agent, &note);
}

/* ---- fetches --------------------------------------------------------------------------------- */

static void note_fetch(struct agent *a, const struct audit_actor *who,
		       enum audit_operation operation, struct span credential, uint64_t key)
{
	struct audit_note note = { .entry = audit_entry_of(a, who, operation, "ok") };

	audit_text(note.entry.credential, sizeof(note.entry.credential), credential);
	tell(a, &note);
	audit_repeats_first(&a->audit->fetched, key, &note);
}

/* By uid, unit and credential. */
static uint64_t fetch_key(uid_t uid, uint32_t tag, enum audit_operation operation,
			  struct span credential)
{
	return audit_repeat_key(uid, operation, 0, tag_of_span(credential) ^ tag ^ tag >> 16);
}

void audit_fetched(struct request *req, struct span credential)
{
	struct agent *a = req->agent;
	struct connection *c = req->connection;
	uint64_t key = fetch_key(c->peer.uid, peer_tag(c), AUDIT_FETCH, credential);
	struct audit_actor who;

	if (audit_repeats_count(&a->audit->fetched, key, 0, c->peer.pid, credential) ==
	    AUDIT_FIRST) {
		audit_actor_of(c, &who);
		note_fetch(a, &who, AUDIT_FETCH, credential, key);
	}
	count(a);
}

void audit_loaded(struct agent *a, const struct audit_actor *who, const char *credential,
		  const char *error, const char *why)
{
	uint64_t key;

	if (error) {
		refuse_other(a, who, AUDIT_LOAD, error, credential, 0, why);
		return;
	}
	key = fetch_key(who->uid, audit_verifier_tag(who->uid, who->unit), AUDIT_LOAD,
			span_of(credential));
	if (audit_repeats_count(&a->audit->fetched, key, 0, who->pid, span_of(credential)) ==
	    AUDIT_FIRST)
		note_fetch(a, who, AUDIT_LOAD, span_of(credential), key);
	count(a);
}

/* ---- verifications --------------------------------------------------------------------------- */

void audit_verified(struct request *req, uint64_t token, uint32_t n_times)
{
	struct connection *c = req->connection;
	struct audit *audit = req->agent->audit;
	struct audit_verifier who = { peer_tag(c), c->peer.uid, c->unit_name ? c->unit_name : "" };

	audit_verified_count(&audit->verified, token, &who, n_times);
	if (!audit->counts)
		count(req->agent);
}

/* ---- sums ------------------------------------------------------------------------------------ */

static void finish(struct agent *a, enum audit_operation operation, struct audit_entry *e)
{
	e->at_us = agent_now(a);
	audit_text(e->operation, sizeof(e->operation), span_of(audit_operation_text(operation)));
}

/* To the journal alone: with them the chain would hold little else. */
static bool tell_verified(struct agent *a, unsigned *at)
{
	struct audit_note note = { .why = "" };

	if (!audit_verified_take(&a->audit->verified, at, &note.entry))
		return false;
	finish(a, AUDIT_VERIFY, &note.entry);
	if (note.entry.peer_uid == AUDIT_NO_UID)
		note.entry.peer_uid = a->uid;
	audit_tell_journal(a, &note);
	return true;
}

static bool tell_repeats(struct agent *a, struct audit_repeats *repeats, unsigned *at)
{
	struct audit_note note;
	uint32_t n_others;

	if (audit_repeats_take(repeats, at, &note, &n_others)) {
		note.entry.at_us = agent_now(a);
		tell(a, &note);
		return true;
	}
	if (n_others)
		audit_gap(a, "crowd", n_others, true);
	return false;
}

/* The next sum of the part that is being told. False: that part is over. */
static bool tell_next(struct agent *a)
{
	struct audit *audit = a->audit;

	switch (audit->sums_part) {
	case 0:
		return tell_repeats(a, &audit->refused, &audit->sums_at);
	case 1:
		return tell_repeats(a, &audit->fetched, &audit->sums_at);
	default:
		return tell_verified(a, &audit->sums_at);
	}
}

enum { PARTS = 3 };

/* Some of what was counted. False: all of it has been told. */
static bool tell_some(struct agent *a, unsigned n)
{
	struct audit *audit = a->audit;

	while (n > 0 && audit->sums_part < PARTS)
		if (tell_next(a)) {
			n--;
		} else {
			audit->sums_part++;
			audit->sums_at = 0;
		}
	if (audit->sums_part < PARTS)
		return true;
	audit->sums_part = 0;
	return false;
}

static bool has_keys(const struct audit_repeats *repeats)
{
	for (size_t i = 0; i < AUDIT_REPEAT_SLOTS; i++)
		if (repeats->keys[i])
			return true;
	return false;
}

static bool has_counts(const struct audit_verified *v)
{
	for (size_t i = 0; i < AUDIT_VERIFY_SLOTS; i++)
		if (v->hot[i].count)
			return true;
	return v->n_others > 0;
}

static int on_time(sd_event_source *source, uint64_t at_us, void *userdata)
{
	struct agent *a = userdata;
	struct audit *audit = a->audit;

	(void)at_us;
	if (tell_some(a, AT_ONCE)) {
		(void)sd_event_source_set_time_relative(source, SLICE_US);
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	/* What was told may come again, and some has come meanwhile. */
	audit->counts = false;
	if (has_keys(&audit->refused) || has_keys(&audit->fetched) || has_counts(&audit->verified))
		count(a);
	return 0;
}

static void on_gap(void *userdata, uint32_t n)
{
	audit_gap(userdata, "journal", n, false);
}

int audit_calls_start(struct agent *a)
{
	struct audit *audit = a->audit;
	int r = sd_event_add_time(a->event, &audit->sums_timer, CLOCK_MONOTONIC, 0, 0, on_time, a);

	if (r >= 0)
		r = sd_event_source_set_enabled(audit->sums_timer, SD_EVENT_OFF);
	if (r >= 0 && a->paths.journal)
		r = audit_journal_new(a->event, a->paths.journal, a->uid, on_gap, a,
				      &audit->journal);
	return r < 0 ? r : 0;
}

void audit_calls_flush(struct agent *a)
{
	while (tell_some(a, AT_ONCE))
		;
}

void audit_calls_done(struct agent *a)
{
	audit_journal_free(a->audit->journal);
	a->audit->journal = NULL;
	a->audit->sums_timer = sd_event_source_unref(a->audit->sums_timer);
}
