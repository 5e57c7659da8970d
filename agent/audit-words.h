/*
 * agent/audit-words.h - what entries of the audit are called: operations, results, the sentence and
 * the MESSAGE_ID that the journal has of each. Pure.
 */
#pragma once

#include "agent/audit-record.h"

enum audit_operation {
	/* What is told when it was done, too. */
	AUDIT_ISSUE,
	AUDIT_DERIVE,
	AUDIT_MINT,
	AUDIT_ROTATE,
	AUDIT_REVOKE,
	AUDIT_EXPIRE,
	AUDIT_SPEND,
	AUDIT_VERIFY,
	AUDIT_PUT,
	AUDIT_FORGET,
	AUDIT_FETCH,
	AUDIT_LOAD,
	AUDIT_RELOAD,
	AUDIT_LOCK,
	AUDIT_UNLOCK,
	AUDIT_REKEY,
	AUDIT_BACKUP,
	AUDIT_RESTORE,
	AUDIT_GAP,
	/* Only where it was refused. */
	AUDIT_LIST,
	AUDIT_DESCRIBE,
	AUDIT_LIST_CREDENTIALS,
	AUDIT_WATCH,
	AUDIT_EXPLAIN,
	AUDIT_GET_STATUS,
	AUDIT_READ_AUDIT,
	AUDIT_OPERATIONS,
};

/* "load-credential": how JETON_OPERATION= and ReadAudit have it. */
const char *audit_operation_text(enum audit_operation operation);

/* The operation that a method of io.jeton.Agent is. False: none of ours. */
bool audit_operation_of_method(struct span method, enum audit_operation *ret) MUST_USE;

/*
 * The number of a refusal, 1 to AUDIT_REFUSALS - 1, and in *ret_name its name without the
 * interface, a literal; 0 where this error (with its interface) is none: a mistake in the call, or
 * an answer that refuses nothing.
 */
enum { AUDIT_REFUSALS = 20 };
unsigned audit_refusal(const char *error, const char **ret_name);

/* What stays the same for all entries that are alike. */
struct audit_kind {
	const char *message_id; /* 32 hex digits */
	int priority;		/* as syslog has them */
};
struct audit_kind audit_kind_of(const struct audit_entry *entry);

/*
 * The sentence for people, to dst, with a NUL; cut where it does not fit. why: more of the reason
 * ("": none). own_uid: the agent's: what has that and no process was done by itself. Gives its
 * length.
 */
size_t audit_sentence(const struct audit_entry *entry, const char *why, uid_t own_uid, char *dst,
		      size_t size);
