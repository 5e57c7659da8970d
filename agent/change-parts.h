/*
 * agent/change-parts.h - what one change of the store is made of: tokens, credentials, and the events
 * that tell of them, and the entries of the audit. For change.c.
 */
#pragma once

#include "agent/agent.h"
#include "agent/audit.h"
#include "agent/credential.h"

/* All zeros: nothing. */
struct change_parts {
	struct vault_change *tokens;	       /* NULL: none */
	struct credential_change *credentials; /* NULL: none */
	enum event_kind event;		       /* of its own; 0: none */
	struct event_list events; /* all that it makes; filled by change_parts_to_store() */

	struct audit_actor who;		   /* whom the audit names for it */
	const struct audit_entry *entries; /* n_entries, that no other part makes */
	size_t n_entries;
	struct audit_list audit; /* all of them; filled by change_parts_to_store() */
};

/*
 * The change for the store, with all rows and the events they make. NULL: no memory; the parts are
 * then to be rolled back. agent->out has room for a record: no reply stands there but earlier ones.
 */
struct store_change *change_parts_to_store(struct agent *a, struct change_parts *p);

/* Ends all parts: visible from now on, or never there. */
void change_parts_commit(struct agent *a, struct change_parts *p);
void change_parts_rollback(struct agent *a, struct change_parts *p);
