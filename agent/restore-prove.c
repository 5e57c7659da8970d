/*
 * agent/restore-prove.c - the first reading of a backup: whether all of it is good, and whose
 * tokens are in it. A block is read in one turn, as nothing changes by it.
 */
#include "agent/restore-impl.h"

#include <errno.h>
#include <string.h>

#include "agent/credential-record.h"
#include "protocol/base/parse.h"

static void ask_for_owner(struct restore *r, struct span owner)
{
	if (owner.n == 0 || span_is(owner, r->owner))
		return;
	memcpy(r->owner, owner.p, owner.n);
	r->owner[owner.n] = '\0';
	names_ask_user(r->agent->names, r->owner);
}

static int prove_token(struct restore *r, const struct backup_entry *e)
{
	struct token_facts facts;
	int k = record_read((const uint8_t *)e->record.p, e->record.n, &facts);

	if (k < 0)
		return k;
	if ((facts.state == TOKEN_ACTIVE) != (e->kind == BACKUP_ACTIVE) ||
	    facts.owner_name.n > BACKUP_OWNER_MAX)
		return -EBADMSG;
	ask_for_owner(r, facts.owner_name);
	return 0;
}

/* For the log, where another host's name is as good as any text. */
static void note_origin(struct restore *r, const struct backup_entry *e)
{
	size_t n = utf8_clean(e->host) ? e->host.n : 0;

	r->taken_us = e->taken_us;
	memcpy(r->host, e->host.p, n);
	r->host[n] = '\0';
}

static int prove(struct restore *r, const struct backup_entry *e)
{
	struct credential_record record;

	if (backup_order_add(&r->order, e) < 0)
		return -EBADMSG;
	switch (e->kind) {
	case BACKUP_HEAD:
		note_origin(r, e);
		return 0;
	case BACKUP_ACTIVE:
	case BACKUP_ENDED:
		return prove_token(r, e);
	case BACKUP_CREDENTIAL:
		return credential_record_read((const uint8_t *)e->record.p, e->record.n, &record);
	case BACKUP_END:
		break;
	}
	return 0;
}

int restore_prove_block(struct restore *r)
{
	struct backup_entry entry;
	int k, error;

	while ((k = backup_next(r->work->open.block, &r->at, &entry)) > 0) {
		error = prove(r, &entry);
		if (error < 0)
			return error;
	}
	r->has_block = false;
	return k;
}
