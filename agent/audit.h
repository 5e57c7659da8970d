/*
 * agent/audit.h - who did what, and what was refused: each change and each refusal is an entry,
 * told to the journal and kept in the store as a chain.
 *
 * An entry about a change is a row of that very change: the store has both or neither. Refusals are
 * kept by changes of their own, some time later. What is good is not told each time: verifications
 * are counted, and told as sums once a minute, to the journal alone; of what a peer does again and
 * again (refusals, fetches) the first is told at once, and the repeats as a sum. All tables have
 * a fixed size, so a flood fills no disk: what has no room is told as a gap.
 *
 * Nothing here is secret, and no value ever comes here. It is all the loop's.
 */
#pragma once

#include "agent/agent.h"
#include "agent/audit-chain.h"
#include "agent/audit-words.h"
#include "agent/connection.h"
#include "agent/request.h"

/* The most that are kept, on disk and in memory (Storage=volatile). */
enum { AUDIT_KEPT = 100000, AUDIT_KEPT_VOLATILE = 10000 };

/* Whoever a change is made for. */
struct audit_actor {
	uid_t uid;
	pid_t pid;	/* 0: nobody asked, or not known */
	bool is_itself; /* the agent */
	char unit[AUDIT_UNIT_MAX + 1];
};

/* The client, with its unit, which is looked for once. */
void audit_actor_of(struct connection *c, struct audit_actor *ret);
/* The agent by itself. */
void audit_actor_itself(const struct agent *a, struct audit_actor *ret);

/* The entries of one change, until it is kept or not. Zeros: none. */
struct audit_list {
	struct audit_entry *entries;
	size_t n, room;
	struct audit_link before, after; /* the end of the chain */
	uint64_t first_before;		 /* the oldest entry */
	bool is_told;			 /* the journal has them already */
};

/* ---- birth and end --------------------------------------------------------------------------- */

/* Before the store is read. 0 or -ENOMEM. */
int audit_init(struct agent *a) MUST_USE;

/*
 * A row of the store, in any order; then, once all are there. 0: a chain that is broken stops no
 * start, and is told of by whoever reads it.
 */
int audit_load(struct agent *a, uint64_t row, uint32_t version, const uint8_t *record, size_t n)
	MUST_USE;
int audit_load_done(struct agent *a) MUST_USE;

/* With the loop. 0 or a negative errno. */
int audit_start(struct agent *a) MUST_USE;

/* Hands all that was counted or waits to the journal and the store: no more calls come. */
void audit_stop(struct agent *a);
void audit_done(struct agent *a);

/* Whether entries go to the journal: then no log line says the same. */
bool audit_has_journal(const struct agent *a);

/* The last entry that is kept, and the oldest, both as of now. */
struct audit_link audit_last(const struct agent *a);

/* When the last entry was made that was there at the start; 0: there was none. */
uint64_t audit_loaded_last_us(const struct agent *a);
uint64_t audit_first(const struct agent *a);

/*
 * What waits to come into the chain is handed to the store, before anything is read from it: whoever
 * reads the audit finds what has just been refused.
 */
void audit_keep_now(struct agent *a);

/* ---- changes --------------------------------------------------------------------------------- */

/*
 * Add an entry to a change of the store, and to the list of its entries; numbers are given here. 0
 * or -ENOMEM: then audit_drop() the list. Changes are under way in the order of their entries.
 */
int audit_add(struct agent *a, struct audit_list *list, struct store_change *change,
	      const struct audit_entry *entry) MUST_USE;
int audit_add_step(struct agent *a, struct audit_list *list, struct store_change *change,
		   const struct audit_actor *who, const struct vault_row *step) MUST_USE;
int audit_add_credential(struct agent *a, struct audit_list *list, struct store_change *change,
			 const struct audit_actor *who, enum audit_operation operation,
			 const char *credential) MUST_USE;

/*
 * The change was kept: the journal hears of it. Or it was not. Of those under way the oldest may be
 * kept, the newest dropped. Both empty the list.
 */
void audit_keep(struct agent *a, struct audit_list *list);
void audit_drop(struct agent *a, struct audit_list *list);

/*
 * A change could not be made durable; for calls that are answered with StoreFailed, the answer is
 * what is told (is_answered).
 */
void audit_failed(struct agent *a, const struct audit_list *list, const struct audit_actor *who,
		  int r, bool is_answered);

/* ---- calls ----------------------------------------------------------------------------------- */

/* The call was answered with this error (with its interface), which may be a refusal. */
void audit_refused(struct request *req, const char *error);

/* A call of administrators was answered with no error: told where no change tells of it. */
void audit_answered(struct request *req);

/* What was done on nobody's call. */
void audit_own(struct agent *a, enum audit_operation operation);

/* Successful verifications, as many. Allocates nothing, and makes no system call but for a first one. */
void audit_verified(struct request *req, uint64_t token, uint32_t n_times);

/* A held credential was fetched. */
void audit_fetched(struct request *req, struct span credential);

/*
 * LoadCredential= of a unit, asked for by `who`: error (without an interface) NULL: it was given.
 * why: for people; else "".
 */
void audit_loaded(struct agent *a, const struct audit_actor *who, const char *credential,
		  const char *error, const char *why);
