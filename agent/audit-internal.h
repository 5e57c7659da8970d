/* agent/audit-internal.h - for audit*.c alone. */
#pragma once

#include "agent/audit-sums.h"
#include "agent/audit.h"

enum { AUDIT_QUEUE = 256 };

/* The record of the highest row that was loaded so far. */
struct audit_last {
	size_t n; /* 0: its link is made already */
	uint8_t record[AUDIT_RECORD_MAX];
};

struct audit {
	/* the chain: audit.c */
	struct audit_link prepared; /* its end, with all changes under way */
	struct audit_link kept;	    /* without them */
	uint64_t first;		    /* the oldest entry, with all changes under way */
	uint64_t max;		    /* entries that are kept */
	uint64_t n_loaded, loaded_last;
	uint64_t loaded_last_us; /* when that one was; 0: there is none */
	uint8_t *present; /* NULL: all are there that should be */
	struct audit_last *last; /* while loading */

	/* what comes into it by changes of its own: audit-queue.c */
	struct audit_entry queue[AUDIT_QUEUE];
	size_t queue_first, queue_n, queue_under_way;
	uint32_t queue_lost; /* that come after those in the queue */
	sd_event_source *queue_timer;
	bool queue_waits;

	/* what is counted: audit-calls.c */
	struct audit_repeats refused, fetched;
	struct audit_verified verified;
	sd_event_source *sums_timer;
	bool counts;		     /* something was, since the tables were last empty */
	unsigned sums_at, sums_part; /* how far they have been told */
	int store_error;	     /* why the last change failed */

	struct audit_journal *journal; /* NULL: none */
};

/* An entry about nothing yet. */
struct audit_entry audit_entry_of(struct agent *a, const struct audit_actor *who,
				  enum audit_operation operation, const char *result);

/* Tells the journal, where there is one. */
void audit_tell_journal(struct agent *a, const struct audit_note *note);

/* The entry comes into the chain by a change of its own, soon. */
void audit_queue_add(struct agent *a, const struct audit_entry *entry);

/* n entries are missing: tells the store, and the journal where that does not know it already. */
void audit_gap(struct agent *a, const char *what, uint32_t n, bool tell_journal);

/* Hands over all that waits, at once. */
void audit_queue_flush(struct agent *a);

int audit_queue_start(struct agent *a) MUST_USE;
void audit_queue_done(struct agent *a);

int audit_calls_start(struct agent *a) MUST_USE;
void audit_calls_flush(struct agent *a);
void audit_calls_done(struct agent *a);
