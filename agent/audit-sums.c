/*
 * agent/audit-sums.c - see audit-sums.h. A verification looks at few slots near one another, and
 * mostly at one; a refusal may look at all keys of its table, which are 2 KiB.
 */
#include "agent/audit-sums.h"

#include <string.h>

/* ---- verifications --------------------------------------------------------------------------- */

uint32_t audit_verifier_tag(uid_t uid, const char *unit)
{
	uint32_t h = (2166136261U ^ uid) * 2654435761U;

	for (; *unit; unit++)
		h = (h ^ (unsigned char)*unit) * 16777619U;
	return h ? h : 1;
}

/* Ids are random already. */
static unsigned slot_of(uint64_t token, uint32_t tag)
{
	return (unsigned)((token ^ (uint64_t)tag * UINT64_C(0x9e3779b97f4a7c15)) >> 32) %
	       AUDIT_VERIFY_SLOTS;
}

static void take_slot(struct audit_verified *v, unsigned i, uint64_t token,
		      const struct audit_verifier *who, uint32_t n)
{
	v->hot[i].token = token;
	v->hot[i].tag = who->tag;
	v->hot[i].count = n;
	v->who[i].uid = who->uid;
	strncpy(v->who[i].unit, who->unit, AUDIT_UNIT_MAX);
}

static void add(uint32_t *count, uint32_t n)
{
	*count = n < UINT32_MAX - *count ? *count + n : UINT32_MAX;
}

void audit_verified_count(struct audit_verified *v, uint64_t token,
			  const struct audit_verifier *who, uint32_t n_times)
{
	unsigned first = slot_of(token, who->tag), empty = AUDIT_VERIFY_SLOTS;

	for (unsigned n = 0; n < AUDIT_VERIFY_PROBES; n++) {
		unsigned i = (first + n) % AUDIT_VERIFY_SLOTS;

		if (v->hot[i].count && v->hot[i].token == token && v->hot[i].tag == who->tag) {
			add(&v->hot[i].count, n_times);
			return;
		}
		if (!v->hot[i].count && empty == AUDIT_VERIFY_SLOTS)
			empty = i;
	}
	if (empty < AUDIT_VERIFY_SLOTS)
		take_slot(v, empty, token, who, n_times);
	else
		add(&v->n_others, n_times);
}

bool audit_verified_take(struct audit_verified *v, unsigned *at, struct audit_entry *ret)
{
	for (; *at < AUDIT_VERIFY_SLOTS; ++*at) {
		unsigned i = *at;

		if (!v->hot[i].count)
			continue;
		*ret = (struct audit_entry){
			.token = v->hot[i].token,
			.count = v->hot[i].count,
			.peer_uid = v->who[i].uid,
			.owner_uid = AUDIT_NO_UID,
			.result = "ok",
		};
		audit_text(ret->unit, sizeof(ret->unit), span_of(v->who[i].unit));
		v->hot[i].count = 0;
		++*at;
		return true;
	}
	if (!v->n_others)
		return false;
	*ret = (struct audit_entry){
		.count = v->n_others,
		.peer_uid = AUDIT_NO_UID,
		.owner_uid = AUDIT_NO_UID,
		.result = "ok",
	};
	v->n_others = 0;
	return true;
}

/* ---- repeats --------------------------------------------------------------------------------- */

uint64_t audit_repeat_key(uid_t uid, unsigned operation, unsigned result, uint32_t more)
{
	return (uint64_t)uid << 32 | (uint64_t)(operation + 1) << 24 |
	       (uint64_t)(result & 0xff) << 16 | (more & 0xffff);
}

static unsigned find_key(const struct audit_repeats *r, uint64_t key)
{
	unsigned i = 0;

	while (i < AUDIT_REPEAT_SLOTS && r->keys[i] != key)
		i++;
	return i;
}

enum audit_repeat audit_repeats_count(struct audit_repeats *r, uint64_t key, uint64_t token,
				      pid_t pid, struct span credential)
{
	unsigned i = find_key(r, key);
	struct audit_entry *e;

	if (i == AUDIT_REPEAT_SLOTS) {
		if (find_key(r, 0) < AUDIT_REPEAT_SLOTS)
			return AUDIT_FIRST;
		r->n_others += r->n_others < UINT32_MAX;
		return AUDIT_OTHERS;
	}
	r->counts[i] += r->counts[i] < UINT32_MAX;
	e = &r->notes[i].entry;
	if (e->token != token)
		e->token = 0, e->owner_uid = AUDIT_NO_UID;
	if (e->peer_pid != pid)
		e->peer_pid = 0;
	if (!span_is(credential, e->credential))
		e->credential[0] = '\0';
	return AUDIT_AGAIN;
}

void audit_repeats_first(struct audit_repeats *r, uint64_t key, const struct audit_note *note)
{
	unsigned i = find_key(r, 0);

	if (i == AUDIT_REPEAT_SLOTS)
		return;
	r->keys[i] = key;
	r->counts[i] = 0;
	r->notes[i] = *note;
}

bool audit_repeats_take(struct audit_repeats *r, unsigned *at, struct audit_note *ret,
			uint32_t *ret_others)
{
	*ret_others = 0;
	for (; *at < AUDIT_REPEAT_SLOTS; ++*at) {
		unsigned i = *at;

		if (!r->keys[i])
			continue;
		if (!r->counts[i]) {
			r->keys[i] = 0;
			continue;
		}
		*ret = r->notes[i];
		ret->entry.count = r->counts[i];
		r->counts[i] = 0;
		++*at;
		return true;
	}
	*ret_others = r->n_others;
	r->n_others = 0;
	return false;
}
