/* agent/restore-impl.h - a restore, as its own parts share it. */
#pragma once

#include "agent/credential.h"
#include "agent/restore.h"
#include "agent/restore-file.h"
#include "agent/restore-ownerless.h"

enum { RESTORE_SLICE = 128 }; /* tokens of one change */

/* In locked memory, a large buffer of the agent's. */
struct restore_work {
	struct restore_open open;
	struct token_facts facts[RESTORE_SLICE]; /* of the slice that is being made */
};

/* What a reading of the file is for. */
enum restore_phase { RESTORE_PROVES, RESTORE_ENDED, RESTORE_ACTIVE };

struct restore {
	struct agent *agent;
	struct restore_file file;
	struct restore_work *work; /* NULL: all but over, and something calls back once */
	sd_event_source *source;
	enum restore_phase phase;
	bool has_block; /* with entries from `at` on */
	size_t at;
	bool is_waiting; /* for a change, or the removal */
	bool again;	 /* to be begun anew when that has called back */
	bool is_full;	 /* nothing more fits */
	struct ownerless ownerless;
	struct backup_order order;
	char owner[BACKUP_OWNER_MAX + 1]; /* asked for last */
	char host[BACKUP_HOST_MAX + 1];
	uint64_t taken_us;
	struct backup_result result;

	int removed; /* how the removal of the file went */

	struct vault_change *slice; /* being made; NULL: nothing is in it */
	size_t n_slice;		    /* tokens in it */
};

/*
 * The entries of the block: whether they are good, asking for their owners. 0 or a negative errno.
 */
int restore_prove_block(struct restore *r) MUST_USE;

/*
 * Takes in entries of the block, up to one slice, as the phase says. 0 or a negative errno; a
 * change may be under way then.
 */
int restore_take_some(struct restore *r) MUST_USE;

/*
 * Hands the slice over; where nothing is in it, what is under way is only waited for. The next turn
 * is when it is durable. 0 or -ENOMEM.
 */
int restore_submit_slice(struct restore *r) MUST_USE;

/* The same of a credential's change. */
int restore_submit_credential(struct restore *r, struct credential_change *change) MUST_USE;
