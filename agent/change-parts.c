/*
 * agent/change-parts.c - see change-parts.h. Events are told in the order in which their rows go to
 * the store, in the very change of what they tell of.
 */
#include "agent/change-parts.h"

#include <assert.h>
#include <errno.h>

#include "agent/watch.h"

static enum store_table table_after(enum step_kind kind)
{
	return kind == STEP_INSERT || kind == STEP_UPDATE ? STORE_ACTIVE : STORE_ENDED;
}

static int put_row(struct store_change *c, const struct vault_row *row, const uint8_t *record)
{
	int r;

	switch (row->kind) {
	case STEP_END:
		r = store_change_delete(c, STORE_ACTIVE, row->row, row->old_version);
		if (r < 0)
			return r;
		return store_change_put(c, STORE_ENDED, row->row, 0, row->version, row->owner_uid,
					record, row->n);
	case STEP_INSERT:
	case STEP_UPDATE:
	case STEP_RECALL:
		return store_change_put(c, table_after(row->kind), row->row, row->old_version,
					row->version, row->owner_uid, record, row->n);
	case STEP_FORGET:
		return store_change_delete(c, STORE_ENDED, row->row, row->old_version);
	}
	return -EINVAL;
}

static int put_tokens(struct agent *a, struct change_parts *p, struct store_change *c)
{
	uint64_t now_us = agent_now(a);
	struct vault_row row;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < vault_change_n(p->tokens); i++) {
		vault_change_row(p->tokens, i, a->scratch->record, &row);
		r = put_row(c, &row, a->scratch->record);
		if (r >= 0)
			r = events_add_step(&a->events, &p->events, c, &row, now_us);
		if (r >= 0)
			r = audit_add_step(a, &p->audit, c, &p->who, &row);
	}
	secret_wipe(a->scratch->record, sizeof(a->scratch->record));
	return r;
}

static int put_entries(struct agent *a, struct change_parts *p, struct store_change *c)
{
	int r = 0;

	p->audit.is_told = true;
	for (size_t i = 0; r >= 0 && i < p->n_entries; i++)
		r = audit_add(a, &p->audit, c, &p->entries[i]);
	return r;
}

static int add_event(struct agent *a, struct change_parts *p, struct store_change *c,
		     enum event_kind kind, const char *credential)
{
	struct event event = { .kind = kind, .at_us = agent_now(a) };

	event.credential = (char *)credential;
	return events_add(&a->events, &p->events, c, &event);
}

static int tell_of(struct agent *a, struct change_parts *p, struct store_change *c,
		   enum event_kind kind, enum audit_operation operation, const char *credential)
{
	int r = add_event(a, p, c, kind, credential);

	return r < 0 ? r : audit_add_credential(a, &p->audit, c, &p->who, operation, credential);
}

/* Their records are long: what is free of agent->out, which no reply stands in now, holds one. */
static int put_credentials(struct agent *a, struct change_parts *p, struct store_change *c)
{
	uint8_t *record = (uint8_t *)a->out.buf + a->out.n;
	struct credential_row row;
	int r = 0;

	assert(a->out.size - a->out.n >= CREDENTIAL_RECORD_MAX);
	for (size_t i = 0; r >= 0 && i < credential_change_n(p->credentials); i++) {
		credential_change_row(p->credentials, i, record, &row);
		r = store_change_put(c, STORE_CREDENTIALS, row.row, row.old_version, row.version, 0,
				     record, row.n);
		secret_wipe(record, row.n);
		if (r >= 0 && row.is_put)
			r = tell_of(a, p, c, EVENT_PUT, AUDIT_PUT, row.name);
		if (r >= 0 && row.is_forgotten)
			r = tell_of(a, p, c, EVENT_FORGOTTEN, AUDIT_FORGET, row.name);
	}
	return r;
}

struct store_change *change_parts_to_store(struct agent *a, struct change_parts *p)
{
	struct store_change *c = store_change_new(a->store);
	int r = c ? 0 : -ENOMEM;

	if (r == 0 && p->tokens)
		r = put_tokens(a, p, c);
	if (r == 0 && p->credentials)
		r = put_credentials(a, p, c);
	if (r == 0 && p->event)
		r = add_event(a, p, c, p->event, NULL);
	if (r == 0 && p->n_entries > 0)
		r = put_entries(a, p, c);
	if (r < 0) {
		audit_drop(a, &p->audit);
		events_drop(&a->events, &p->events);
		store_change_free(c);
		return NULL;
	}
	return c;
}

void change_parts_commit(struct agent *a, struct change_parts *p)
{
	if (p->tokens)
		vault_commit(p->tokens);
	if (p->credentials)
		credential_commit(p->credentials);
	if (p->events.n > 0)
		watch_wake(a);
	events_keep(&a->events, &p->events);
	audit_keep(a, &p->audit);
}

void change_parts_rollback(struct agent *a, struct change_parts *p)
{
	audit_drop(a, &p->audit);
	events_drop(&a->events, &p->events);
	credential_rollback(p->credentials);
	vault_rollback(p->tokens);
}
