/*
 * protocol/reply-read.c
 *
 * The tables hold their texts in place rather than by pointer: a position-independent program then
 * has nothing to relocate in them at its start, which is most of what jetonctl's life costs.
 */
#include "protocol/reply-read.h"

#include <errno.h>

enum type { TEXT, INT, UID, BOOL, WORD, TEXTS, DATA, OBJECT };

struct reply_field {
	char name[19];
	uint8_t type;
	uint8_t of; /* WORD: the enumeration; OBJECT: the kind */
	bool optional;
	uint16_t offset;
};

#define F(struct_, member, name_, type_, of_, optional_)                       \
	{                                                                      \
		name_, type_, of_, optional_, offsetof(struct struct_, member) \
	}
#define NEEDS(struct_, member, name, type) F(struct_, member, name, type, 0, false)
#define MAY(struct_, member, name, type) F(struct_, member, name, type, 0, true)

static const struct reply_field token_fields[] = {
	NEEDS(jeton_token, id, "id", TEXT),
	NEEDS(jeton_token, name, "name", TEXT),
	NEEDS(jeton_token, owner_uid, "ownerUid", UID),
	MAY(jeton_token, owner, "owner", TEXT),
	MAY(jeton_token, scopes, "scopes", TEXTS),
	NEEDS(jeton_token, created_us, "createdUSec", INT),
	NEEDS(jeton_token, expires_us, "expiresUSec", INT),
	MAY(jeton_token, last_used_us, "lastUsedUSec", INT),
	MAY(jeton_token, last_used_by, "lastUsedBy", TEXT),
	F(jeton_token, state, "state", WORD, WORDS_STATE, false),
	F(jeton_token, binding, "binding", WORD, WORDS_BINDING, false),
	MAY(jeton_token, uses_left, "usesLeft", INT),
	MAY(jeton_token, parent, "parent", TEXT),
	MAY(jeton_token, replaced_by, "replacedBy", TEXT),
	MAY(jeton_token, credential, "credential", TEXT),
	MAY(jeton_token, issued_to, "issuedTo", TEXT),
	MAY(jeton_token, ended_us, "endedUSec", INT),
	F(jeton_token, ended, "ended", WORD, WORDS_END, true),
};

static const struct reply_field credential_fields[] = {
	NEEDS(jeton_credential, name, "name", TEXT),
	F(jeton_credential, kind, "kind", WORD, WORDS_KIND, false),
	MAY(jeton_credential, description, "description", TEXT),
	MAY(jeton_credential, revision, "revision", INT),
	MAY(jeton_credential, updated_us, "updatedUSec", INT),
	MAY(jeton_credential, expires_us, "expiresUSec", INT),
	MAY(jeton_credential, last_fetched_us, "lastFetchedUSec", INT),
	MAY(jeton_credential, last_fetched_by, "lastFetchedBy", TEXT),
};

static const struct reply_field event_fields[] = {
	NEEDS(jeton_event, seq, "seq", INT),
	F(jeton_event, kind, "kind", WORD, WORDS_EVENT, false),
	NEEDS(jeton_event, at_us, "atUSec", INT),
	F(jeton_event, token, "token", OBJECT, REPLY_TOKEN, true),
	MAY(jeton_event, credential, "credential", TEXT),
};

static const struct reply_field audit_fields[] = {
	NEEDS(jeton_audit_entry, seq, "seq", INT),
	NEEDS(jeton_audit_entry, at_us, "atUSec", INT),
	NEEDS(jeton_audit_entry, operation, "operation", TEXT),
	NEEDS(jeton_audit_entry, result, "result", TEXT),
	MAY(jeton_audit_entry, token, "token", TEXT),
	MAY(jeton_audit_entry, credential, "credential", TEXT),
	NEEDS(jeton_audit_entry, peer_uid, "peerUid", UID),
	MAY(jeton_audit_entry, peer_pid, "peerPid", INT),
	MAY(jeton_audit_entry, peer_unit, "peerUnit", TEXT),
};

static const struct reply_field status_fields[] = {
	NEEDS(jeton_status, version, "version", TEXT),
	F(jeton_status, state, "state", WORD, WORDS_AGENT, false),
	F(jeton_status, memory, "memory", WORD, WORDS_MEMORY, false),
	NEEDS(jeton_status, locked_bytes, "lockedBytes", INT),
	NEEDS(jeton_status, locked_limit, "lockedLimit", INT),
	NEEDS(jeton_status, tokens_active, "tokensActive", INT),
	NEEDS(jeton_status, tokens_total, "tokensTotal", INT),
	NEEDS(jeton_status, credentials, "credentials", INT),
	NEEDS(jeton_status, connections, "connections", INT),
	NEEDS(jeton_status, started_us, "startedUSec", INT),
	NEEDS(jeton_status, policies_loaded_us, "policiesLoadedUSec", INT),
	NEEDS(jeton_status, verified_total, "verifiedTotal", INT),
	NEEDS(jeton_status, denied_total, "deniedTotal", INT),
};

/* Which of these an error needs is the table of errors' affair. */
static const struct reply_field error_fields[] = {
	MAY(jeton_error_info, id, "id", TEXT),
	MAY(jeton_error_info, scope, "scope", TEXT),
	MAY(jeton_error_info, binding, "binding", TEXT),
	MAY(jeton_error_info, credential, "credential", TEXT),
	MAY(jeton_error_info, limit, "limit", TEXT),
	MAY(jeton_error_info, file, "file", TEXT),
	MAY(jeton_error_info, text, "message", TEXT),
	MAY(jeton_error_info, parameter, "parameter", TEXT),
	MAY(jeton_error_info, method, "method", TEXT),
	MAY(jeton_error_info, interface, "interface", TEXT),
	MAY(jeton_error_info, expired_us, "expiredUSec", INT),
	MAY(jeton_error_info, min_s, "minSec", INT),
	MAY(jeton_error_info, max_s, "maxSec", INT),
	MAY(jeton_error_info, max, "max", INT),
	MAY(jeton_error_info, retry_after_s, "retryAfterSec", INT),
	MAY(jeton_error_info, line, "line", INT),
};

static const struct reply_field rotated_fields[] = {
	NEEDS(reply_issued, value, "token", TEXT),
	F(reply_issued, info, "info", OBJECT, REPLY_TOKEN, false),
	F(reply_issued, previous, "previous", OBJECT, REPLY_TOKEN, false),
};

static const struct reply_field verified_fields[] = {
	F(reply_verified, info, "info", OBJECT, REPLY_TOKEN, false),
	NEEDS(reply_verified, access, "access", TEXTS),
};

static const struct reply_field info_fields[] = {
	F(reply_info, info, "info", OBJECT, REPLY_TOKEN, false),
};

static const struct reply_field listed_fields[] = {
	F(reply_info, info, "info", OBJECT, REPLY_TOKEN, true),
};

static const struct reply_field put_fields[] = {
	NEEDS(reply_put, revision, "revision", INT),
};

static const struct reply_field credentials_fields[] = {
	F(reply_credentials, credential, "credential", OBJECT, REPLY_CREDENTIAL, true),
};

static const struct reply_field fetched_fields[] = {
	MAY(reply_fetched, text, "text", TEXT),
	MAY(reply_fetched, data, "data", DATA),
	MAY(reply_fetched, fd, "fd", INT),
	MAY(reply_fetched, revision, "revision", INT),
	MAY(reply_fetched, expires_us, "expiresUSec", INT),
	MAY(reply_fetched, token_id, "tokenId", TEXT),
};

static const struct reply_field watched_fields[] = {
	F(reply_watched, event, "event", OBJECT, REPLY_EVENT, true),
};

static const struct reply_field explained_fields[] = {
	MAY(reply_explained, allowed, "allowed", BOOL),
	NEEDS(reply_explained, lines, "lines", TEXTS),
};

static const struct reply_field fd_fields[] = {
	NEEDS(reply_fd, fd, "fd", INT),
};

static const struct reply_field audited_fields[] = {
	F(reply_audited, entry, "entry", OBJECT, REPLY_AUDIT, true),
};

struct shape {
	const struct reply_field *fields;
	unsigned n;
	size_t size;
};

/* A function, not a table: a table of pointers would have to be relocated. */
static struct shape shape_of(enum reply_kind kind)
{
#define SHAPE(fields, struct_) \
	((struct shape){ fields, ARRAY_SIZE(fields), sizeof(struct struct_) })
	switch (kind) {
	case REPLY_TOKEN:
		return SHAPE(token_fields, jeton_token);
	case REPLY_CREDENTIAL:
		return SHAPE(credential_fields, jeton_credential);
	case REPLY_EVENT:
		return SHAPE(event_fields, jeton_event);
	case REPLY_AUDIT:
		return SHAPE(audit_fields, jeton_audit_entry);
	case REPLY_STATUS:
		return SHAPE(status_fields, jeton_status);
	case REPLY_ERROR:
		return SHAPE(error_fields, jeton_error_info);
	case REPLY_ISSUED:
		return (struct shape){ rotated_fields, 2, sizeof(struct reply_issued) };
	case REPLY_ROTATED:
		return SHAPE(rotated_fields, reply_issued);
	case REPLY_VERIFIED:
		return SHAPE(verified_fields, reply_verified);
	case REPLY_INFO:
		return SHAPE(info_fields, reply_info);
	case REPLY_LISTED:
		return SHAPE(listed_fields, reply_info);
	case REPLY_PUT:
		return SHAPE(put_fields, reply_put);
	case REPLY_CREDENTIALS:
		return SHAPE(credentials_fields, reply_credentials);
	case REPLY_FETCHED:
		return SHAPE(fetched_fields, reply_fetched);
	case REPLY_WATCHED:
		return SHAPE(watched_fields, reply_watched);
	case REPLY_EXPLAINED:
		return SHAPE(explained_fields, reply_explained);
	case REPLY_FD:
		return SHAPE(fd_fields, reply_fd);
	case REPLY_AUDITED:
		return SHAPE(audited_fields, reply_audited);
	case REPLY_KINDS:
		break;
	}
	return (struct shape){ NULL, 0, 0 };
}

/* ---- one value of each type ---- */

/* What stands where a field is absent or null. */
static void read_absent(const struct reply_field *field, void *ret)
{
	if (field->type == INT)
		*(int64_t *)ret = JETON_UNSET;
	else if (field->type == BOOL)
		*(int *)ret = -1;
	/* All else: the zero that is there is NULL, or the enumeration's "not". */
}

static int read_text(struct json_value value, struct client_arena *arena, const char **ret)
{
	struct span text;
	char *dst;

	if (value.type != JSON_STRING)
		return -EBADMSG;
	/* Never longer than as written, and the quotes leave room for the NUL. */
	dst = client_arena_get(arena, value.raw.n);
	if (!dst)
		return -ENOMEM;
	if (json_string(value, dst, value.raw.n - 1, &text) < 0)
		return -EBADMSG;
	memmove(dst, text.p, text.n);
	dst[text.n] = '\0';
	*ret = dst;
	return 0;
}

static int read_int(struct json_value value, int64_t max, int64_t *ret)
{
	int64_t number;

	/* Nothing that an agent counts is below 0, so that JETON_UNSET stays free. */
	if (value.type != JSON_NUMBER || json_int(value, &number) < 0 || number < 0 || number > max)
		return -EBADMSG;
	*ret = number;
	return 0;
}

static int read_uid(struct json_value value, uint32_t *ret)
{
	int64_t number;
	int r = read_int(value, UINT32_MAX, &number);

	if (r == 0)
		*ret = (uint32_t)number;
	return r;
}

static int read_bool(struct json_value value, int *ret)
{
	if (value.type != JSON_TRUE && value.type != JSON_FALSE)
		return -EBADMSG;
	*ret = value.type == JSON_TRUE;
	return 0;
}

static int read_word(struct json_value value, enum reply_words words, int *ret)
{
	if (value.type != JSON_STRING)
		return -EBADMSG;
	*ret = reply_word(words, value);
	return 0;
}

static size_t count_elements(struct json_value array)
{
	struct json_iter it = json_iter(array);
	struct json_value element;
	size_t n = 0;

	while (json_next_element(&it, &element))
		n++;
	return n;
}

static int read_texts(struct json_value value, struct client_arena *arena, const char *const **ret)
{
	struct json_iter it;
	struct json_value element;
	const char **texts;
	int r;

	if (value.type != JSON_ARRAY)
		return -EBADMSG;
	texts = client_arena_get(arena, (count_elements(value) + 1) * sizeof(*texts));
	if (!texts)
		return -ENOMEM;
	*ret = texts;
	it = json_iter(value);
	while (json_next_element(&it, &element)) {
		r = read_text(element, arena, texts++);
		if (r < 0)
			return r;
	}
	return 0;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* In place: p's n digits, padding taken off, become the *ret_n bytes they stand for. */
static int base64_decode(char *p, size_t n, size_t *ret_n)
{
	uint32_t bits = 0;
	unsigned held = 0;
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		int digit = base64_digit(p[i]);

		if (digit < 0)
			return -EBADMSG;
		bits = bits << 6 | (uint32_t)digit;
		held += 6;
		if (held >= 8) {
			held -= 8;
			p[out++] = (char)(bits >> held & 0xff);
		}
	}
	/* What is left over must be zero, as in the one right spelling. */
	if (held == 6 || (bits & ((1u << held) - 1)) != 0)
		return -EBADMSG;
	explicit_bzero(p + out, n - out);
	*ret_n = out;
	return 0;
}

static int read_data(struct json_value value, struct client_arena *arena, struct span *ret)
{
	const char *text;
	size_t n, digits;
	int r = read_text(value, arena, &text);

	if (r < 0)
		return r;
	n = digits = strlen(text);
	while (digits > 0 && n - digits < 2 && text[digits - 1] == '=')
		digits--;
	if (n % 4 != 0 || base64_decode((char *)text, digits, &digits) < 0)
		return -EBADMSG;
	/*
	 * Base64 is longer than what it spells: a NUL stands after it, but for nothing at all,
	 * which has one too.
	 */
	explicit_bzero((char *)text + digits, n - digits);
	*ret = (struct span){ text, digits };
	return 0;
}

static int read_object(enum reply_kind kind, struct json_value value, struct client_arena *arena,
		       const void **ret)
{
	void *object = client_arena_get(arena, shape_of(kind).size);

	if (!object)
		return -ENOMEM;
	*ret = object;
	return reply_read(kind, value, arena, object);
}

static int read_value(const struct reply_field *field, struct json_value value,
		      struct client_arena *arena, void *ret)
{
	switch ((enum type)field->type) {
	case TEXT:
		return read_text(value, arena, ret);
	case INT:
		return read_int(value, INT64_MAX, ret);
	case UID:
		return read_uid(value, ret);
	case BOOL:
		return read_bool(value, ret);
	case WORD:
		return read_word(value, (enum reply_words)field->of, ret);
	case TEXTS:
		return read_texts(value, arena, ret);
	case DATA:
		return read_data(value, arena, ret);
	case OBJECT:
		return read_object(field->of, value, arena, ret);
	}
	return -EBADMSG;
}

/* ---- an object ---- */

/*
 * The field of this name; the search begins where the last one ended, as agents write in the
 * table's order.
 */
static const struct reply_field *find_field(const struct shape *shape, struct json_value key,
					    unsigned *from)
{
	for (unsigned i = 0; i < shape->n; i++) {
		unsigned at = (*from + i) % shape->n;

		if (json_string_is(key, shape->fields[at].name)) {
			*from = at + 1;
			return &shape->fields[at];
		}
	}
	return NULL;
}

static int read_members(const struct shape *shape, struct json_value object,
			struct client_arena *arena, char *ret, uint32_t *ret_seen)
{
	struct json_iter it = json_iter(object);
	struct json_value key, value;
	unsigned from = 0;
	int r;

	while (json_next_member(&it, &key, &value)) {
		const struct reply_field *field = find_field(shape, key, &from);

		if (!field || value.type == JSON_NULL)
			continue;
		r = read_value(field, value, arena, ret + field->offset);
		if (r < 0)
			return r;
		*ret_seen |= UINT32_C(1) << (field - shape->fields);
	}
	return 0;
}

int reply_read(enum reply_kind kind, struct json_value object, struct client_arena *arena,
	       void *ret)
{
	struct shape shape = shape_of(kind);
	uint32_t seen = 0;
	int r;

	if (object.type != JSON_OBJECT)
		return -EBADMSG;
	memset(ret, 0, shape.size);
	for (unsigned i = 0; i < shape.n; i++)
		read_absent(&shape.fields[i], (char *)ret + shape.fields[i].offset);
	r = read_members(&shape, object, arena, ret, &seen);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < shape.n; i++)
		if (!shape.fields[i].optional && !(seen & UINT32_C(1) << i))
			return -EBADMSG;
	return 0;
}

int reply_read_top(struct span message, struct reply_top *ret)
{
	struct json_iter it = json_iter(json_root(message));
	struct json_value key, value;
	const struct json_value none = { .type = JSON_NULL, .raw = SPAN_NONE };
	struct reply_top top = { .parameters = none, .error = none };

	while (json_next_member(&it, &key, &value)) {
		if (value.type == JSON_NULL)
			continue;
		if (json_string_is(key, "parameters") && value.type == JSON_OBJECT)
			top.parameters = value;
		else if (json_string_is(key, "error") && value.type == JSON_STRING)
			top.error = value;
		else if (json_string_is(key, "continues") && value.type <= JSON_TRUE)
			top.continues = value.type == JSON_TRUE;
		else
			return -EBADMSG;
	}
	if (top.continues && top.error.raw.p)
		return -EBADMSG;
	*ret = top;
	return 0;
}
