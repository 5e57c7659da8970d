/*
 * agent/audit.c - see audit.h.
 *
 * Invariant: `prepared` is the end of the chain with all changes under way, `kept` without them. A
 * change that fails gives its numbers back, which works because those after it have failed, and
 * given back theirs, before.
 */
#include "agent/audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/audit-internal.h"
#include "agent/authority.h"

enum { LIST_FIRST = 2, DELETES_AT_ONCE = 2 };

/* ---- who ------------------------------------------------------------------------------------- */

void audit_actor_of(struct connection *c, struct audit_actor *ret)
{
	struct span unit = peer_unit_name(c);

	*ret = (struct audit_actor){ .uid = c->peer.uid, .pid = c->peer.pid };
	audit_text(ret->unit, sizeof(ret->unit), unit);
}

void audit_actor_itself(const struct agent *a, struct audit_actor *ret)
{
	*ret = (struct audit_actor){ .uid = a->uid, .is_itself = true };
}

struct audit_entry audit_entry_of(struct agent *a, const struct audit_actor *who,
				  enum audit_operation operation, const char *result)
{
	struct audit_entry e = {
		.at_us = agent_now(a),
		.count = 1,
		.peer_uid = who->uid,
		.peer_pid = who->pid,
		.owner_uid = AUDIT_NO_UID,
	};

	audit_text(e.operation, sizeof(e.operation), span_of(audit_operation_text(operation)));
	audit_text(e.result, sizeof(e.result), span_of(result));
	memcpy(e.unit, who->unit, sizeof(e.unit));
	return e;
}

/* ---- loading --------------------------------------------------------------------------------- */

/*
 * Which rows are there, as long as that is not all of them from the first to the last: what is not
 * there must not be deleted.
 */
enum { PRESENT_BITS = 1 << 17 };

_Static_assert(PRESENT_BITS - AUDIT_KEPT > 0, "room for all");

static void set_present(struct audit *audit, uint64_t row)
{
	audit->present[row % PRESENT_BITS / 8] |= (uint8_t)(1 << row % 8);
}

static bool is_present(const struct audit *audit, uint64_t row)
{
	return !audit->present || row > audit->loaded_last ||
	       (audit->present[row % PRESENT_BITS / 8] & 1 << row % 8);
}

int audit_init(struct agent *a)
{
	a->audit = calloc(1, sizeof(*a->audit));
	if (!a->audit)
		return -ENOMEM;
	a->audit->max = a->settings.storage == STORAGE_VOLATILE ? AUDIT_KEPT_VOLATILE : AUDIT_KEPT;
	a->audit->present = calloc(1, PRESENT_BITS / 8);
	a->audit->last = calloc(1, sizeof(*a->audit->last));
	return a->audit->present && a->audit->last ? 0 : -ENOMEM;
}

/* The next entry is tied to the last record only: a hash of each would be a sixth of a start with a thousand tokens. */
static void load_last(struct audit *audit, uint64_t row, const uint8_t *record, size_t n)
{
	struct audit_last *last = audit->last;

	audit->kept.seq = row;
	audit->loaded_last_us = audit_record_at_us(record, n);
	last->n = n <= sizeof(last->record) ? n : 0;
	if (last->n > 0)
		memcpy(last->record, record, n);
	else
		audit_chain_link(row, record, n, &audit->kept);
}

int audit_load(struct agent *a, uint64_t row, uint32_t version, const uint8_t *record, size_t n)
{
	struct audit *audit = a->audit;

	/* One that we did not write is left alone. */
	if (version == 1) {
		audit->n_loaded++;
		set_present(audit, row);
	}
	if (!audit->first || row < audit->first)
		audit->first = row;
	/* The record itself is looked at by whoever reads the audit: damage is told there. */
	if (row > audit->kept.seq)
		load_last(audit, row, record, n);
	return 0;
}

int audit_load_done(struct agent *a)
{
	struct audit *audit = a->audit;

	if (!audit->first)
		audit->first = 1;
	if (audit->last->n > 0)
		audit_chain_link(audit->kept.seq, audit->last->record, audit->last->n,
				 &audit->kept);
	free(STEAL_PTR(audit->last));
	audit->prepared = audit->kept;
	audit->loaded_last = audit->kept.seq;
	if (audit->n_loaded == audit->kept.seq + 1 - audit->first) {
		free(audit->present);
		audit->present = NULL;
	}
	return 0;
}

struct audit_link audit_last(const struct agent *a)
{
	return a->audit->kept;
}

uint64_t audit_loaded_last_us(const struct agent *a)
{
	return a->audit->loaded_last_us;
}

uint64_t audit_first(const struct agent *a)
{
	return a->audit->first;
}

/* ---- changes --------------------------------------------------------------------------------- */

static struct audit_entry *list_add(struct audit_list *list)
{
	size_t room = list->room ? 2 * list->room : LIST_FIRST;
	struct audit_entry *entries;

	if (list->n == list->room) {
		entries = reallocarray(list->entries, room, sizeof(*entries));
		if (!entries)
			return NULL;
		list->entries = entries;
		list->room = room;
	}
	return &list->entries[list->n];
}

/* The oldest go, so that no more than AUDIT_KEPT stay. */
static int delete_oldest(struct audit *audit, struct store_change *change, uint64_t last)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < DELETES_AT_ONCE && audit->first + audit->max <= last;
	     i++) {
		if (is_present(audit, audit->first))
			r = store_change_delete(change, STORE_AUDIT, audit->first, 1);
		audit->first++;
	}
	return r;
}

static void list_begin(const struct audit *audit, struct audit_list *list)
{
	if (list->before.seq || list->first_before)
		return;
	list->before = audit->prepared;
	list->first_before = audit->first;
}

int audit_add(struct agent *a, struct audit_list *list, struct store_change *change,
	      const struct audit_entry *entry)
{
	struct audit *audit = a->audit;
	uint8_t record[AUDIT_RECORD_MAX];
	struct audit_entry *added;
	size_t n;
	int r;

	list_begin(audit, list);
	added = list_add(list);
	if (!added)
		return -ENOMEM;
	*added = *entry;
	n = audit_chain_add(&audit->prepared, added, record);
	list->after = audit->prepared;
	list->n++;
	r = store_change_put(change, STORE_AUDIT, added->seq, 0, 1, 0, record, n);
	return r < 0 ? r : delete_oldest(audit, change, added->seq);
}

/* False: nothing to tell of. */
static bool operation_of(const struct vault_row *step, const struct audit_actor *who,
			 enum audit_operation *ret)
{
	switch (step->kind) {
	case STEP_RECALL:
		*ret = AUDIT_RESTORE;
		return true;
	case STEP_INSERT:
		/* The agent itself makes no new ones. */
		*ret = who->is_itself	    ? AUDIT_RESTORE
		       : step->credential.p ? AUDIT_MINT
		       : step->is_derived   ? AUDIT_DERIVE
					    : AUDIT_ISSUE;
		return true;
	case STEP_UPDATE:
		*ret = AUDIT_ROTATE;
		return step->is_replaced;
	case STEP_END:
		*ret = step->reason == END_USES	      ? AUDIT_SPEND
		       : step->state == TOKEN_EXPIRED ? AUDIT_EXPIRE
						      : AUDIT_REVOKE;
		return true;
	case STEP_FORGET:
		break;
	}
	return false;
}

int audit_add_step(struct agent *a, struct audit_list *list, struct store_change *change,
		   const struct audit_actor *who, const struct vault_row *step)
{
	enum audit_operation operation;
	struct audit_entry e;

	if (!operation_of(step, who, &operation))
		return 0;
	e = audit_entry_of(a, who, operation, "ok");
	e.token = step->id;
	e.owner_uid = step->owner_uid;
	audit_text(e.credential, sizeof(e.credential), step->credential);
	return audit_add(a, list, change, &e);
}

int audit_add_credential(struct agent *a, struct audit_list *list, struct store_change *change,
			 const struct audit_actor *who, enum audit_operation operation,
			 const char *credential)
{
	struct audit_entry e = audit_entry_of(a, who, operation, "ok");

	audit_text(e.credential, sizeof(e.credential), span_of(credential));
	return audit_add(a, list, change, &e);
}

static void list_done(struct audit_list *list)
{
	free(list->entries);
	*list = (struct audit_list){ .entries = NULL };
}

void audit_keep(struct agent *a, struct audit_list *list)
{
	if (list->n > 0)
		a->audit->kept = list->after;
	for (size_t i = 0; !list->is_told && i < list->n; i++) {
		struct audit_note note = { .entry = list->entries[i] };

		audit_tell_journal(a, &note);
	}
	list_done(list);
}

void audit_drop(struct agent *a, struct audit_list *list)
{
	if (list->first_before) {
		a->audit->prepared = list->before;
		a->audit->first = list->first_before;
	}
	list_done(list);
}

/* ---- birth and end --------------------------------------------------------------------------- */

int audit_start(struct agent *a)
{
	int r = audit_calls_start(a);

	return r < 0 ? r : audit_queue_start(a);
}

void audit_stop(struct agent *a)
{
	if (!a->audit)
		return;
	audit_calls_flush(a);
	audit_queue_flush(a);
}

void audit_done(struct agent *a)
{
	if (!a->audit)
		return;
	audit_calls_done(a);
	audit_queue_done(a);
	free(a->audit->present);
	free(a->audit->last);
	free(a->audit);
	a->audit = NULL;
}
