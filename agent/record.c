/*
 * agent/record.c - a token as bytes.
 *
 * The layout is written down in docs/store-format.md, section "Records". What a token does not have
 * takes no bytes: a set of bits says which optional parts follow, in the order of their bits. There
 * is one way only to write given facts, and reading takes no other, so what was read and is written
 * again is the same bytes.
 */
#include "agent/record.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "protocol/base/parse.h"
#include "protocol/base/time.h"
#include "protocol/scope.h"

enum { FORMAT = 1, LIFE_BITS = 58, ROW_BITS = 48, OWNER_AT = 40 };

enum part {
	PART_OWNER_NAME = 1 << 0,
	PART_LAST_USED = 1 << 1,
	PART_LAST_USED_BY = 1 << 2,
	PART_PROCESS = 1 << 3,
	PART_UNIT = 1 << 4,
	PART_USES = 1 << 5,
	PART_PARENT = 1 << 6,
	PART_REPLACED_BY = 1 << 7,
	PART_LENGTH = 1 << 8,
	PART_CREDENTIAL = 1 << 9,
	PART_ISSUED_TO = 1 << 10,
	PART_ENDED = 1 << 11,
	PARTS_ALL = (1 << 12) - 1,
};

_Static_assert(RECORD_MAX >=
		       256 + TOKEN_NAME_MAX + SCOPES_MAX * (1 + SCOPE_MAX) + 5 * (2 + LABEL_MAX),
	       "the longest record fits");

/* ---- writing --------------------------------------------------------------------------------- */

struct writer {
	uint8_t *p;
};

static void put_bytes(struct writer *w, const void *p, size_t n)
{
	if (n > 0)
		memcpy(w->p, p, n);
	w->p += n;
}

static void put_number(struct writer *w, uint64_t value, unsigned n_bytes)
{
	for (unsigned i = 0; i < n_bytes; i++)
		*w->p++ = (uint8_t)(value >> 8 * i);
}

static void put_label(struct writer *w, struct span text)
{
	assert(text.n <= LABEL_MAX);
	put_number(w, text.n, 2);
	put_bytes(w, text.p, text.n);
}

static bool length_is_implied(const struct token_facts *f)
{
	return f->expires_us >= f->created_us && f->length_us == f->expires_us - f->created_us;
}

static unsigned parts_of(const struct token_facts *f)
{
	unsigned parts = 0;

	parts |= f->owner_name.p ? PART_OWNER_NAME : 0;
	parts |= f->last_used_us >= USEC_PER_SEC ? PART_LAST_USED : 0;
	parts |= f->last_used_by.p ? PART_LAST_USED_BY : 0;
	parts |= f->binding == BINDING_PROCESS ? PART_PROCESS : 0;
	parts |= f->binding == BINDING_UNIT ? PART_UNIT : 0;
	parts |= f->uses_left != USES_UNLIMITED ? PART_USES : 0;
	parts |= f->parent ? PART_PARENT : 0;
	parts |= f->replaced_by ? PART_REPLACED_BY : 0;
	parts |= length_is_implied(f) ? 0 : PART_LENGTH;
	parts |= f->credential.p ? PART_CREDENTIAL : 0;
	parts |= f->issued_to.p ? PART_ISSUED_TO : 0;
	parts |= f->state != TOKEN_ACTIVE ? PART_ENDED : 0;
	return parts;
}

static void put_fixed(struct writer *w, const struct token_facts *f, unsigned parts)
{
	put_number(w, FORMAT, 1);
	put_number(w, f->name.n, 1);
	put_number(w, parts, 2);
	put_number(w, f->scopes.n_bytes, 2);
	put_number(w, f->scopes.count, 1);
	put_number(w, 0, 1);
	put_number(w, f->id, 8);
	put_number(w, f->row, 8);
	put_number(w, f->created_us, 8);
	put_number(w, f->expires_us, 8);
	put_number(w, f->owner_uid, 4);
	put_bytes(w, f->hash, sizeof(f->hash));
}

static void put_holder(struct writer *w, const struct holder *h, unsigned parts)
{
	if (parts & PART_PROCESS) {
		put_bytes(w, h->boot, sizeof(h->boot));
		put_number(w, h->pidfd_inode, 8);
		put_number(w, (uint32_t)h->pid, 4);
	}
	if (parts & PART_UNIT) {
		put_bytes(w, h->invocation, sizeof(h->invocation));
		put_label(w, h->unit);
	}
}

static void put_parts(struct writer *w, const struct token_facts *f, unsigned parts)
{
	if (parts & PART_OWNER_NAME)
		put_label(w, f->owner_name);
	if (parts & PART_LAST_USED)
		put_number(w, f->last_used_us / USEC_PER_SEC, 4);
	if (parts & PART_LAST_USED_BY)
		put_label(w, f->last_used_by);
	put_holder(w, &f->holder, parts);
	if (parts & PART_USES)
		put_number(w, (uint64_t)f->uses_left, 8);
	if (parts & PART_PARENT)
		put_number(w, f->parent, 8);
	if (parts & PART_REPLACED_BY)
		put_number(w, f->replaced_by, 8);
	if (parts & PART_LENGTH)
		put_number(w, f->length_us, 8);
	if (parts & PART_CREDENTIAL)
		put_label(w, f->credential);
	if (parts & PART_ISSUED_TO)
		put_label(w, f->issued_to);
	if (parts & PART_ENDED) {
		put_number(w, f->state, 1);
		put_number(w, f->ended, 1);
		put_number(w, f->ended_us, 8);
	}
}

size_t record_write(const struct token_facts *facts, uint8_t *dst)
{
	struct writer w = { dst };
	unsigned parts = parts_of(facts);

	assert(facts->name.n <= TOKEN_NAME_MAX && facts->scopes.count <= SCOPES_MAX);
	assert(facts->scopes.n_bytes <= SCOPES_MAX * (1 + SCOPE_MAX));
	put_fixed(&w, facts, parts);
	put_bytes(&w, facts->name.p, facts->name.n);
	put_bytes(&w, facts->scopes.p, facts->scopes.n_bytes);
	put_parts(&w, facts, parts);
	return (size_t)(w.p - dst);
}

/* ---- reading --------------------------------------------------------------------------------- */

/*
 * Once something is not there or wrong, `bad` is set, and all that is read from then on is nothing.
 */
struct reader {
	const uint8_t *p;
	size_t n; /* left */
	bool bad;
};

static const uint8_t *get_bytes(struct reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || n > r->n) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	r->n -= n;
	return p;
}

static uint64_t get_number(struct reader *r, unsigned n_bytes)
{
	const uint8_t *p = get_bytes(r, n_bytes);
	uint64_t value = 0;

	for (unsigned i = 0; p && i < n_bytes; i++)
		value |= (uint64_t)p[i] << 8 * i;
	return value;
}

/* A number from min to max. */
static uint64_t get_within(struct reader *r, unsigned n_bytes, uint64_t min, uint64_t max)
{
	uint64_t value = get_number(r, n_bytes);

	if (r->bad || value < min || value > max) {
		r->bad = true;
		return 0;
	}
	return value;
}

static uint64_t get_instant(struct reader *r)
{
	return get_within(r, 8, 0, (UINT64_C(1) << LIFE_BITS) - 1);
}

static struct span get_span(struct reader *r, size_t n)
{
	const uint8_t *p = get_bytes(r, n);

	return p ? (struct span){ (const char *)p, n } : SPAN_NONE;
}

/* What a reply can say: JSON has no other, and no NUL. */
static struct span get_text(struct reader *r, size_t n)
{
	struct span text = get_span(r, n);

	if (!text.p || !utf8_valid(text) || memchr(text.p, '\0', text.n))
		r->bad = true;
	return text;
}

static struct span get_label(struct reader *r)
{
	return get_text(r, (size_t)get_within(r, 2, 0, LABEL_MAX));
}

static void get_copy(struct reader *r, uint8_t *dst, size_t n)
{
	const uint8_t *p = get_bytes(r, n);

	if (p)
		memcpy(dst, p, n);
}

/* Whether these are as many scopes as they are said to be, each a good one. */
static bool scopes_are_good(const struct packed_scopes *s)
{
	unsigned n = 0;

	for (unsigned at = 0; at < s->n_bytes; n++) {
		struct span scope = { (const char *)s->p + at + 1, s->p[at] };

		if (scope.n > s->n_bytes - at - 1U || scope.n > SCOPE_MAX ||
		    !scope_is_pattern(scope))
			return false;
		at += 1U + (unsigned)scope.n;
	}
	return n == s->count;
}

static struct packed_scopes get_scopes(struct reader *r, size_t n, unsigned count)
{
	struct packed_scopes scopes = {
		.p = get_bytes(r, n),
		.n_bytes = (uint16_t)n,
		.count = (uint8_t)count,
	};

	if (!r->bad && !scopes_are_good(&scopes))
		r->bad = true;
	return scopes;
}

static void get_holder(struct reader *r, struct token_facts *f, unsigned parts)
{
	if (parts & PART_PROCESS && parts & PART_UNIT) {
		r->bad = true;
	} else if (parts & PART_PROCESS) {
		f->binding = BINDING_PROCESS;
		get_copy(r, f->holder.boot, sizeof(f->holder.boot));
		f->holder.pidfd_inode = get_number(r, 8);
		f->holder.pid = (int32_t)get_within(r, 4, 0, INT32_MAX);
	} else if (parts & PART_UNIT) {
		f->binding = BINDING_UNIT;
		get_copy(r, f->holder.invocation, sizeof(f->holder.invocation));
		f->holder.unit = get_label(r);
	}
}

static void get_parts(struct reader *r, struct token_facts *f, unsigned parts)
{
	if (parts & PART_OWNER_NAME)
		f->owner_name = get_label(r);
	if (parts & PART_LAST_USED)
		f->last_used_us = get_within(r, 4, 1, UINT32_MAX) * USEC_PER_SEC;
	if (parts & PART_LAST_USED_BY)
		f->last_used_by = get_label(r);
	get_holder(r, f, parts);
	if (parts & PART_USES)
		f->uses_left = (int64_t)get_within(r, 8, 0, INT64_MAX);
	if (parts & PART_PARENT)
		f->parent = get_within(r, 8, 1, UINT64_MAX);
	if (parts & PART_REPLACED_BY)
		f->replaced_by = get_within(r, 8, 1, UINT64_MAX);
	if (parts & PART_LENGTH)
		f->length_us = get_instant(r);
	if (parts & PART_CREDENTIAL)
		f->credential = get_label(r);
	if (parts & PART_ISSUED_TO)
		f->issued_to = get_label(r);
	if (parts & PART_ENDED) {
		f->state = (enum token_state)get_within(r, 1, TOKEN_EXPIRED, TOKEN_REVOKED);
		f->ended = (enum end_reason)get_within(r, 1, END_EXPIRED, END_ROTATED);
		f->ended_us = get_instant(r);
	}
}

static void get_all(struct reader *r, struct token_facts *f)
{
	uint64_t format = get_within(r, 1, FORMAT, FORMAT);
	size_t name_len = (size_t)get_within(r, 1, 1, TOKEN_NAME_MAX);
	unsigned parts = (unsigned)get_within(r, 2, 0, PARTS_ALL);
	size_t scopes_len = (size_t)get_within(r, 2, 0, SCOPES_MAX * (1 + SCOPE_MAX));
	unsigned n_scopes = (unsigned)get_within(r, 1, 0, SCOPES_MAX);

	(void)format;
	get_within(r, 1, 0, 0);
	f->id = get_within(r, 8, 1, UINT64_MAX);
	f->row = get_within(r, 8, 1, (UINT64_C(1) << ROW_BITS) - 1);
	f->created_us = get_instant(r);
	f->expires_us = get_instant(r);
	f->owner_uid = (uid_t)get_number(r, 4);
	get_copy(r, f->hash, sizeof(f->hash));
	f->name = get_text(r, name_len);
	f->scopes = get_scopes(r, scopes_len, n_scopes);
	f->length_us = f->expires_us >= f->created_us ? f->expires_us - f->created_us : 0;
	get_parts(r, f, parts);
	/* Anything that is said in a second way, or after the end. */
	if (r->n > 0 || parts_of(f) != parts)
		r->bad = true;
}

int record_read(const uint8_t *data, size_t n, struct token_facts *ret)
{
	struct reader r = { data, n, n > RECORD_MAX };
	struct token_facts facts = { .uses_left = USES_UNLIMITED };

	get_all(&r, &facts);
	if (r.bad)
		return -EBADMSG;
	*ret = facts;
	return 0;
}

int record_owner(const uint8_t *data, size_t n, uid_t *ret)
{
	struct reader r;

	if (n < OWNER_AT + 4)
		return -EBADMSG;
	r = (struct reader){ .p = data + OWNER_AT, .n = 4 };
	*ret = (uid_t)get_number(&r, 4);
	return 0;
}
