/*
 * agent/restore-take.c - the second and third reading: tokens in slices, each a change of the
 * store, credentials one by one.
 *
 * Facts borrow from the block that they stand in. So a slice is handed to the store, which copies,
 * before the next block is read.
 */
#include "agent/restore-impl.h"

#include <errno.h>

#include "agent/credential.h"
#include "agent/last-use.h"
#include "agent/restore-judge.h"

/* What is done with an entry. */
enum taken {
	TAKEN,	      /* the next one */
	TAKEN_SLICE,  /* nothing more before the slice is durable */
	TAKEN_CHANGE, /* a change of its own is under way */
	NOT_YET,      /* again, when the slice and all that is under way is durable */
};

/* ---- tokens ---------------------------------------------------------------------------------- */

/* As what each fate counts. */
static const enum backup_outcome outcomes[] = {
	[FATE_INSERT] = BACKUP_CAME_BACK,    [FATE_RECALL] = BACKUP_ENDED_CAME_BACK,
	[FATE_END] = BACKUP_ENDED_NOW,	     [FATE_KNOWN] = BACKUP_WERE_KNOWN,
	[FATE_EXPIRED] = BACKUP_HAD_EXPIRED, [FATE_BOUND] = BACKUP_WERE_BOUND,
	[FATE_NO_PARENT] = BACKUP_NO_PARENT, [FATE_NO_OWNER] = BACKUP_NO_OWNER,
};

/*
 * Adds to the slice what is to become of the token. 0, -EBUSY, or another errno: there is no room.
 * Where one did not fit none does: what ended may be among those that did not, and must not come
 * back as active.
 */
static int carry_out(struct restore *r, enum restore_fate fate, struct token_facts *facts,
		     token_ref ref)
{
	if (fate == FATE_END)
		return vault_prepare_end(r->slice, ref, facts->state, facts->ended,
					 facts->ended_us);
	if (r->is_full)
		return -ENOSPC;
	if (fate == FATE_INSERT)
		return vault_prepare_insert(r->slice, facts, ref, NULL);
	return vault_prepare_recall(r->slice, facts);
}

static enum taken take_step(struct restore *r, enum restore_fate fate, struct token_facts *facts,
			    token_ref ref)
{
	int k = carry_out(r, fate, facts, ref);

	if (k == -EBUSY)
		return NOT_YET;
	if (k < 0) {
		r->is_full = true;
		r->result.n[BACKUP_NO_ROOM]++;
		return TAKEN;
	}
	r->result.n[outcomes[fate]]++;
	return ++r->n_slice == RESTORE_SLICE ? TAKEN_SLICE : TAKEN;
}

/*
 * What ended and had no owner here has ended all the same: an active entry of that id is left out
 * as its end was. (An agent gives both the same owner; but a name may be found a moment later, and
 * a backup may be made by hand.) *fate may become another. 0 or a negative errno.
 */
static int hold_to_its_end(struct restore *r, const struct token_facts *facts,
			   enum restore_fate *fate)
{
	if (*fate == FATE_NO_OWNER && facts->state != TOKEN_ACTIVE)
		return ownerless_add(&r->ownerless, facts->id);
	if (*fate == FATE_INSERT && ownerless_has(&r->ownerless, facts->id))
		*fate = FATE_NO_OWNER;
	return 0;
}

static int take_token(struct restore *r, const struct backup_entry *e, enum taken *ret)
{
	struct agent *a = r->agent;
	struct token_facts *facts = &r->work->facts[r->n_slice];
	enum restore_fate fate;
	token_ref ref = REF_NONE;
	int k = record_read((const uint8_t *)e->record.p, e->record.n, facts);

	if (k < 0)
		return k;
	fate = restore_judge(a->vault, a->names, agent_now(a), facts, &ref);
	k = hold_to_its_end(r, facts, &fate);
	if (k < 0)
		return k;
	if (fate == FATE_WAIT) {
		*ret = NOT_YET;
	} else if (fate < FATE_KNOWN) {
		*ret = take_step(r, fate, facts, ref);
	} else {
		r->result.n[outcomes[fate]]++;
		*ret = TAKEN;
	}
	return 0;
}

/* ---- credentials ----------------------------------------------------------------------------- */

static void note_fetch(struct restore *r, const struct credential_record *record)
{
	struct agent *a = r->agent;
	const struct credential *c = credentials_find(a->credentials, record->name);

	if (!c || c->fetched_us < record->fetched_us)
		last_use_fetched(a, record->name, record->fetched_us, record->fetched_by);
}

static int take_credential(struct restore *r, const struct backup_entry *e, enum taken *ret)
{
	struct agent *a = r->agent;
	struct credential_record record;
	struct credential_change *change;
	int k = credential_record_read((const uint8_t *)e->record.p, e->record.n, &record);

	if (k < 0)
		return k;
	*ret = TAKEN;
	if (record.kind == CREDENTIAL_FETCHED) {
		note_fetch(r, &record);
		return 0;
	}
	if (r->n_slice > 0) {
		*ret = NOT_YET;
		return 0;
	}
	k = credential_prepare_restore(a->credentials, &record, &change);
	if (k == -EBUSY)
		*ret = NOT_YET;
	if (k == -EEXIST)
		r->result.n[BACKUP_CREDENTIALS_KEPT]++;
	if (k < 0)
		return k == -ENOMEM ? k : 0;
	k = restore_submit_credential(r, change);
	if (k < 0)
		return k;
	r->result.n[BACKUP_CREDENTIALS_CAME_BACK]++;
	*ret = TAKEN_CHANGE;
	return 0;
}

/* ---- slices ---------------------------------------------------------------------------------- */

/* What this phase does with an entry; the others are passed over. */
static int take_entry(struct restore *r, const struct backup_entry *e, enum taken *ret)
{
	*ret = TAKEN;
	if (e->kind == BACKUP_ENDED && r->phase == RESTORE_ENDED)
		return take_token(r, e, ret);
	if (e->kind == BACKUP_ACTIVE && r->phase == RESTORE_ACTIVE)
		return take_token(r, e, ret);
	if (e->kind == BACKUP_CREDENTIAL && r->phase == RESTORE_ACTIVE)
		return take_credential(r, e, ret);
	return 0;
}

int restore_take_some(struct restore *r)
{
	enum taken taken = TAKEN;
	struct backup_entry entry;
	int k = 1, error = 0;

	if (!r->slice && !(r->slice = vault_change_new(r->agent->vault)))
		return -ENOMEM;
	while (error == 0 && taken == TAKEN) {
		size_t before = r->at;

		k = backup_next(r->work->open.block, &r->at, &entry);
		if (k <= 0)
			break;
		error = take_entry(r, &entry, &taken);
		if (taken == NOT_YET)
			r->at = before;
	}
	if (error < 0 || k < 0)
		return error < 0 ? error : k;
	r->has_block = k > 0;
	if (taken == TAKEN_CHANGE)
		return 0;
	/* Its facts lie in the block, which the next one takes the place of. */
	return r->n_slice > 0 || taken == NOT_YET ? restore_submit_slice(r) : 0;
}
