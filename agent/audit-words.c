/*
 * agent/audit-words.c - see audit-words.h. The numbers are for ever: units/jeton.catalog says of
 * each what to do, and people search for them. tests/ground/test-audit-words holds the catalog and
 * the page to these tables.
 */
#include "agent/audit-words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "protocol/token.h"

static const struct {
	const char *name;
	const char *method;	/* NULL: it is no method's */
	const char *message_id; /* of what was done; NULL: that is not told */
	const char *done;	/* %T is the token's id, %C the credential's name */
} operations[] = {
	[AUDIT_ISSUE] = { "issue", "Issue", "b478a75572bc98431e53e044d6ec267a",
			  "token %T was issued" },
	[AUDIT_DERIVE] = { "derive", "Derive", "664fe5a55fb0065a4ed67a02022e7947",
			   "token %T was derived from another" },
	[AUDIT_MINT] = { "mint", NULL, "a1978d7d7ff220133ae7c0e1c508cfb3",
			 "token %T was minted for the credential %C" },
	[AUDIT_ROTATE] = { "rotate", "Rotate", "accb5d6d996a103b3a2a8b780d4067f7",
			   "token %T was given a successor" },
	[AUDIT_REVOKE] = { "revoke", "Revoke", "c1ca8b2f84f2db7a972c7b03fedda7bc",
			   "token %T was revoked" },
	[AUDIT_EXPIRE] = { "expire", NULL, "9690c10f2449aea2126fd75f6d125b6f",
			   "token %T came to its end" },
	[AUDIT_SPEND] = { "spend", NULL, "cbf626a58c5174b50fb289649e7251fa",
			  "token %T was used for the last time" },
	[AUDIT_VERIFY] = { "verify", "Verify", "1380ba44a48b7596e02c9a5f656f88a4",
			   "token %T was found good" },
	[AUDIT_PUT] = { "put", "Put", "ee8638c134b33704f7c22e2e326058a9",
			"the credential %C was put in" },
	[AUDIT_FORGET] = { "forget", "Forget", "33fde167fc68b7b063f0b47789f664a6",
			   "the credential %C was forgotten" },
	[AUDIT_FETCH] = { "fetch", "Fetch", "82446e083e84f77063906318b8b955e6",
			  "the credential %C was fetched" },
	[AUDIT_LOAD] = { "load-credential", NULL, "6d0622b106bf8e3f5fdbe61599ffa785",
			 "the credential %C was given out by LoadCredential=" },
	[AUDIT_RELOAD] = { "reload", "Reload", "4377fdbc195dbd49eca86a610cd6f160",
			   "the policies were read again" },
	[AUDIT_LOCK] = { "lock", "Lock", "9b7fa2ce9854cb77298d1a62835f845a",
			 "the agent was locked" },
	[AUDIT_UNLOCK] = { "unlock", "Unlock", "f09876804bfc30122ef843cd705445c8",
			   "the agent was unlocked" },
	[AUDIT_REKEY] = { "rekey", "Rekey", "eb93ecb74b9c4e2f0a3c3ccf3cc6272e",
			  "the keys of the store were changed" },
	[AUDIT_BACKUP] = { "backup", "Backup", "5f8c40458a477499234f4f0af962700e",
			   "a backup was made" },
	[AUDIT_RESTORE] = { "restore", NULL, "0d6309f053d4cbc66d5305e386040bee",
			    "token %T was brought in from a backup" },
	[AUDIT_GAP] = { "gap", NULL, "d922ce711ac43196768abaa7666978ec", NULL },
	[AUDIT_LIST] = { "list", "List", NULL, NULL },
	[AUDIT_DESCRIBE] = { "describe", "Describe", NULL, NULL },
	[AUDIT_LIST_CREDENTIALS] = { "list-credentials", "ListCredentials", NULL, NULL },
	[AUDIT_WATCH] = { "watch", "Watch", NULL, NULL },
	[AUDIT_EXPLAIN] = { "explain", "Explain", NULL, NULL },
	[AUDIT_GET_STATUS] = { "get-status", "GetStatus", NULL, NULL },
	[AUDIT_READ_AUDIT] = { "read-audit", "ReadAudit", NULL, NULL },
};

_Static_assert(ARRAY_SIZE(operations) == AUDIT_OPERATIONS, "one each");

/* Refusals by name, from 1 on. */
static const struct {
	const char *name;
	const char *message_id;
	int priority;
} refusals[AUDIT_REFUSALS] = {
	{ "", "51f77dd9b9590886ee398101078a51d2", LOG_WARNING }, /* one of another version */
	{ "PermissionDenied", "7cec793d2b58b1e9fa9312fc245c1a1d", LOG_WARNING },
	{ "InvalidToken", "06b5f7b61074a3c041f9614e18bb30a6", LOG_WARNING },
	{ "TokenExpired", "fe39d94afabfdce642e490e15b69a611", LOG_NOTICE },
	{ "TokenRevoked", "10242e124ae9a2c31a228a36e9d4665d", LOG_WARNING },
	{ "InsufficientScope", "e0d041c8799d354850ec282e5e7e6165", LOG_NOTICE },
	{ "WrongBearer", "99a4f5efa77b3bfd6495de50af788f89", LOG_WARNING },
	{ "BindingUnavailable", "ee95fc7c6560086ea43620eeb7273c6c", LOG_WARNING },
	{ "ScopeExceedsAccess", "9b6d17902b1e0609e88293ffae573afe", LOG_NOTICE },
	{ "LifetimeOutOfRange", "edfe61ab4652ebaea289552ad242548a", LOG_NOTICE },
	{ "NoSuchToken", "fbcea3bd65260f3257301a4334af3f7a", LOG_NOTICE },
	{ "NoSuchCredential", "59416cee71945c7658744f008b4c4fe5", LOG_WARNING },
	{ "CredentialExpired", "38586fffa772a9a9ed2e172114f30521", LOG_WARNING },
	{ "CredentialEmpty", "a830e33488881859b143d961d42f7185", LOG_WARNING },
	{ "LimitReached", "4cd7e0a9312eaa83d4ee5456477ab537", LOG_WARNING },
	{ "AgentLocked", "c03d8feed00f92fc8f867b2659bb051a", LOG_NOTICE },
	{ "NotLocked", "25d2e8518b4c7dae1c9d6155c61f066e", LOG_NOTICE },
	{ "WrongPassphrase", "12c5af8d00ec8d27acac71d889709541", LOG_WARNING },
	{ "StoreFailed", "dd019f12e1814f89dd6f391bf3264cce", LOG_ERR },
	{ "PolicyInvalid", "6ffb5fe2d5d09f74994bf0b922458785", LOG_WARNING },
};

/* The unit that asked fails: another matter than a client that hears of it. */
static const char load_refused_id[] = "3c735d71e935881ae5f4f66e1db60034";

const char *audit_operation_text(enum audit_operation operation)
{
	return operations[operation].name;
}

bool audit_operation_of_method(struct span method, enum audit_operation *ret)
{
	for (size_t i = 0; i < AUDIT_OPERATIONS; i++)
		if (operations[i].method && span_is(method, operations[i].method)) {
			*ret = (enum audit_operation)i;
			return true;
		}
	return false;
}

static unsigned find_refusal(const char *name)
{
	for (unsigned i = 1; i < AUDIT_REFUSALS; i++)
		if (strcmp(refusals[i].name, name) == 0)
			return i;
	return 0;
}

unsigned audit_refusal(const char *error, const char **ret_name)
{
	const char *dot = strrchr(error, '.');
	unsigned i = find_refusal(dot ? dot + 1 : error);

	*ret_name = refusals[i].name;
	return i;
}

static const char *text_of(const struct audit_entry *entry, size_t *ret)
{
	for (size_t i = 0; i < AUDIT_OPERATIONS; i++)
		if (strcmp(operations[i].name, entry->operation) == 0) {
			*ret = i;
			return operations[i].name;
		}
	return NULL;
}

struct audit_kind audit_kind_of(const struct audit_entry *entry)
{
	size_t operation;
	unsigned refusal;

	if (!text_of(entry, &operation))
		operation = AUDIT_OPERATIONS;
	if (operation == AUDIT_GAP)
		return (struct audit_kind){ operations[AUDIT_GAP].message_id, LOG_WARNING };
	if (audit_is_ok(entry) && operation < AUDIT_OPERATIONS && operations[operation].message_id)
		return (struct audit_kind){ operations[operation].message_id, LOG_INFO };
	refusal = find_refusal(entry->result);
	if (operation == AUDIT_LOAD)
		return (struct audit_kind){ load_refused_id, LOG_WARNING };
	return (struct audit_kind){ refusals[refusal].message_id, refusals[refusal].priority };
}

/* ---- sentences ------------------------------------------------------------------------------- */

struct sentence {
	char *dst;
	size_t n, size;
};

__attribute__((format(printf, 2, 3)))
static void add(struct sentence *s, const char *format, ...)
{
	va_list args;
	int r;

	va_start(args, format);
	r = vsnprintf(s->dst + s->n, s->size - s->n, format, args);
	va_end(args);
	if (r > 0)
		s->n = s->n + (size_t)r < s->size ? s->n + (size_t)r : s->size - 1;
}

static void add_token(struct sentence *s, uint64_t id)
{
	char text[TOKEN_ID_LEN];

	if (id == 0)
		return;
	token_id_write(id, text);
	add(s, "%.*s", (int)sizeof(text), text);
}

static void add_done(struct sentence *s, const char *done, const struct audit_entry *e)
{
	for (const char *p = done; *p; p++)
		if (strncmp(p, "%T", 2) == 0) {
			if (e->token)
				add_token(s, e->token);
			else
				add(s, "of more than are told one by one");
			p++;
		} else if (strncmp(p, "%C", 2) == 0) {
			add(s, "%s", e->credential);
			p++;
		} else {
			add(s, "%c", *p);
		}
	if (e->owner_uid != AUDIT_NO_UID)
		add(s, ", of uid %u,", (unsigned)e->owner_uid);
}

static void add_peer(struct sentence *s, const struct audit_entry *e, uid_t own_uid)
{
	if (e->peer_uid == own_uid && e->peer_pid == 0 && !e->unit[0] && e->count == 1) {
		add(s, " by itself");
		return;
	}
	add(s, " by uid %u", (unsigned)e->peer_uid);
	if (e->unit[0] && e->peer_pid)
		add(s, " (%s, pid %d)", e->unit, (int)e->peer_pid);
	else if (e->unit[0])
		add(s, " (%s)", e->unit);
	else if (e->peer_pid)
		add(s, " (pid %d)", (int)e->peer_pid);
}

static void add_object(struct sentence *s, const struct audit_entry *e)
{
	if (e->credential[0]) {
		add(s, " of %s", e->credential);
	} else if (e->token) {
		add(s, " of token ");
		add_token(s, e->token);
	}
}

static void add_refused(struct sentence *s, const struct audit_entry *e, size_t operation,
			uid_t own_uid)
{
	if (operation == AUDIT_LOAD) {
		add(s, "LoadCredential=%s of %s is refused", e->credential, e->unit);
		return;
	}
	add(s, "refused: %s",
	    operation < AUDIT_OPERATIONS && operations[operation].method
		    ? operations[operation].method
		    : e->operation);
	add_object(s, e);
	add_peer(s, e, own_uid);
}

size_t audit_sentence(const struct audit_entry *e, const char *why, uid_t own_uid, char *dst,
		      size_t size)
{
	struct sentence s = { dst, 0, size };
	size_t operation;

	if (!text_of(e, &operation))
		operation = AUDIT_OPERATIONS;
	if (operation == AUDIT_GAP) {
		add(&s, "%u %s missing here (%s)", e->count,
		    e->count == 1 ? "entry is" : "entries are", e->result);
		return s.n;
	}
	if (audit_is_ok(e) && operation < AUDIT_OPERATIONS && operations[operation].done) {
		add_done(&s, operations[operation].done, e);
		add_peer(&s, e, own_uid);
	} else {
		add_refused(&s, e, operation, own_uid);
	}
	if (e->count > 1)
		add(&s, ", %u times", e->count);
	if (!audit_is_ok(e) && (operation != AUDIT_LOAD || !why[0]))
		add(&s, ": %s", e->result);
	if (why[0])
		add(&s, ": %s", why);
	return s.n;
}
