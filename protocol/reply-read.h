/*
 * protocol/reply-read.h - the client's half of reading: a message to a reply, its parameters to a
 * struct.
 *
 * Table-driven: each kind of object has a table of its fields, and one function reads them all.
 * What the agent sends is not believed: a field that is missing, null where it may not be, or of
 * the wrong type makes the whole reply malformed. Members that are not known are passed over: a
 * newer agent may say more.
 */
#pragma once

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"
#include "protocol/client-memory.h"
#include "protocol/jeton.h"
#include "protocol/json.h"

/* A reply's top. Values are within the message; JSON_NULL where absent. */
struct reply_top {
	struct json_value parameters;
	struct json_value error;
	bool continues;
};

/*
 * Reads a message that json_check() took. Returns 0, or -EBADMSG where it is no reply: a member
 * that is none of a reply's, of the wrong type, or an error that says it continues.
 */
int reply_read_top(struct span message, struct reply_top *ret) MUST_USE;

/* Objects, with the struct that each is read to. */
enum reply_kind {
	REPLY_TOKEN,	  /* struct jeton_token */
	REPLY_CREDENTIAL, /* struct jeton_credential */
	REPLY_EVENT,	  /* struct jeton_event */
	REPLY_AUDIT,	  /* struct jeton_audit_entry */
	REPLY_STATUS,	  /* struct jeton_status */
	REPLY_ERROR,	  /* what of struct jeton_error_info an error brings; nothing is needed */

	/* Parameters of replies */
	REPLY_ISSUED,	   /* struct reply_issued, with no previous: Issue, Derive */
	REPLY_ROTATED,	   /* struct reply_issued: Rotate */
	REPLY_VERIFIED,	   /* struct reply_verified */
	REPLY_INFO,	   /* struct reply_info: Describe, Revoke */
	REPLY_LISTED,	   /* struct reply_info, that may be NULL */
	REPLY_PUT,	   /* struct reply_put */
	REPLY_CREDENTIALS, /* struct reply_credentials */
	REPLY_FETCHED,	   /* struct reply_fetched */
	REPLY_WATCHED,	   /* struct reply_watched */
	REPLY_EXPLAINED,   /* struct reply_explained */
	REPLY_FD,	   /* struct reply_fd: Backup */
	REPLY_AUDITED,	   /* struct reply_audited */
	REPLY_KINDS,
};

struct reply_issued {
	const char *value;
	const struct jeton_token *info;
	const struct jeton_token *previous;
};
struct reply_verified {
	const struct jeton_token *info;
	const char *const *access;
};
struct reply_info {
	const struct jeton_token *info;
};
struct reply_put {
	int64_t revision;
};
struct reply_credentials {
	const struct jeton_credential *credential;
};
struct reply_fetched {
	const char *text;
	struct span data; /* decoded; a NUL after it */
	int64_t fd;
	int64_t revision;
	int64_t expires_us;
	const char *token_id;
};
struct reply_watched {
	const struct jeton_event *event;
};
struct reply_explained {
	int allowed; /* -1: null */
	const char *const *lines;
};
struct reply_fd {
	int64_t fd;
};
struct reply_audited {
	const struct jeton_audit_entry *entry;
};

/*
 * Reads an object as `kind` to *ret; texts, lists and structs within it are made in arena. All is
 * JSON that json_check() took. Returns 0; -EBADMSG; -ENOMEM. On failure *ret is not to be used.
 */
int reply_read(enum reply_kind kind, struct json_value object, struct client_arena *arena,
	       void *ret) MUST_USE;

/* The enumerations of the interface. */
enum reply_words {
	WORDS_STATE,
	WORDS_BINDING,
	WORDS_END,
	WORDS_KIND,
	WORDS_EVENT,
	WORDS_AGENT,
	WORDS_MEMORY,
};

/* The value of jeton.h's enumeration that a JSON_STRING spells, or its OTHER. */
int reply_word(enum reply_words enumeration, struct json_value string);
