/*
 * protocol/client-error.c
 *
 * One sentence for each way to fail. Those for the agent's errors name, in braces, what the error
 * brings; that is also what an error must have to be well-formed, so that the two can't drift
 * apart. Texts stand in the tables in place, as in reply-read.c.
 */
#include "protocol/client.h"

#include <errno.h>
#include <stdio.h>

#include "protocol/base/parse.h"
#include "protocol/base/time.h"
#include "protocol/reply-read.h"

struct error {
	char name[44];
	uint8_t code;
	char message[220];
};

#define AGENT(name) "io.jeton.Agent." name
#define SERVICE(name) "org.varlink.service." name

static const struct error errors[] = {
	{ AGENT("InvalidToken"), JETON_ERROR_INVALID_TOKEN,
	  "This is no token that this agent issued: check that it was copied whole, and that "
	  "it is one of this machine's." },
	{ AGENT("TokenExpired"), JETON_ERROR_TOKEN_EXPIRED,
	  "The token {id} expired at {expiredUSec}: issue a new one." },
	{ AGENT("TokenRevoked"), JETON_ERROR_TOKEN_REVOKED,
	  "The token {id} was revoked: issue a new one." },
	{ AGENT("InsufficientScope"), JETON_ERROR_INSUFFICIENT_SCOPE,
	  "The token does not reach {scope}: ask for less, or use a token whose scopes and "
	  "owner do." },
	{ AGENT("WrongBearer"), JETON_ERROR_WRONG_BEARER,
	  "The token {id} is bound to another process or unit than the one that presented it: "
	  "fetch or issue one there." },
	{ AGENT("BindingUnavailable"), JETON_ERROR_BINDING_UNAVAILABLE,
	  "The caller has no {binding} that a token could be bound to, or the kernel is too "
	  "old to tell: ask for another binding." },
	{ AGENT("ScopeExceedsAccess"), JETON_ERROR_SCOPE_EXCEEDS_ACCESS,
	  "The scope {scope} is beyond what the owner, or the parent token, has: ask for "
	  "less, or have a policy grant it." },
	{ AGENT("LifetimeOutOfRange"), JETON_ERROR_LIFETIME_OUT_OF_RANGE,
	  "The lifetime must be between {minSec} and {maxSec}." },
	{ AGENT("NoSuchToken"), JETON_ERROR_NO_SUCH_TOKEN,
	  "There is no token of this id among those you may see: list them." },
	{ AGENT("NoSuchCredential"), JETON_ERROR_NO_SUCH_CREDENTIAL,
	  "There is no credential {credential} for you: check its name, and that a policy "
	  "lets you fetch it." },
	{ AGENT("CredentialExpired"), JETON_ERROR_CREDENTIAL_EXPIRED,
	  "The credential {credential} expired at {expiredUSec}: have an administrator put in "
	  "a new one." },
	{ AGENT("CredentialEmpty"), JETON_ERROR_CREDENTIAL_EMPTY,
	  "Nothing was put into the credential {credential} yet: have an administrator do so." },
	{ AGENT("LimitReached"), JETON_ERROR_LIMIT_REACHED,
	  "The limit {limit} of {max} is reached: end what is no longer needed, or have it "
	  "raised." },
	{ AGENT("EventsMissed"), JETON_ERROR_EVENTS_MISSED,
	  "Events were missed: list what there is now, and watch anew." },
	{ AGENT("AgentLocked"), JETON_ERROR_AGENT_LOCKED,
	  "The agent is locked: an administrator can unlock it with the passphrase it was "
	  "locked with." },
	{ AGENT("NotLocked"), JETON_ERROR_NOT_LOCKED,
	  "The agent is not locked: nothing to unlock." },
	{ AGENT("WrongPassphrase"), JETON_ERROR_WRONG_PASSPHRASE,
	  "This is not the passphrase that the agent was locked with: it takes the next in "
	  "{retryAfterSec}." },
	{ AGENT("StoreFailed"), JETON_ERROR_STORE_FAILED,
	  "The agent could not write this to its disk, and nothing was changed, except that a "
	  "revocation holds until the agent stops: make room there, see its log, and try "
	  "again." },
	{ AGENT("PolicyInvalid"), JETON_ERROR_POLICY_INVALID,
	  "The policies as they stand are wrong: {file}{line}: {message}" },
	{ SERVICE("MethodNotFound"), JETON_ERROR_METHOD_NOT_FOUND,
	  "The agent does not have the method {method}: it is older than this program." },
	{ SERVICE("InterfaceNotFound"), JETON_ERROR_INTERFACE_NOT_FOUND,
	  "What answers at the socket does not have the interface {interface}: it is no Jeton "
	  "agent, or one of another version." },
	{ SERVICE("MethodNotImplemented"), JETON_ERROR_METHOD_NOT_IMPLEMENTED,
	  "The agent does not do {method} yet: it is older than this program." },
	{ SERVICE("InvalidParameter"), JETON_ERROR_INVALID_PARAMETER,
	  "The agent takes no such value for {parameter}: see the interface, io.jeton.Agent." },
	{ SERVICE("PermissionDenied"), JETON_ERROR_PERMISSION_DENIED,
	  "You may not do this: it is for administrators, or for those whom a policy lets do "
	  "it." },
	{ SERVICE("ExpectedMore"), JETON_ERROR_EXPECTED_MORE,
	  "The agent answers this only to a call that takes several replies." },
	/* Not the agent's words but about it. */
	{ "", JETON_ERROR_OTHER,
	  "The agent answered {name}, an error that this program does not know: it may be "
	  "older than the agent." },
	{ "", JETON_ERROR_UNTRUSTED_AGENT,
	  "The socket {path} is served by uid {uid}, who is neither root, nor the user jeton, "
	  "nor you, so nothing was sent: find out what it is before you trust it." },
};

/* Trouble on this side, by errno. */
static const struct local {
	uint8_t number;
	bool only_looks; /* of calls with CALL_REPEATABLE; else of all */
	char message[220];
} locals[] = {
	{ ENOENT, false,
	  "There is no agent at {path}: start it, or name the socket of another one." },
	{ ECONNREFUSED, false, "No agent listens at {path} any more: start it again." },
	{ EACCES, false,
	  "You may not connect to {path}: ask an administrator, or use your own agent." },
	{ ETIMEDOUT, false,
	  "The agent at {path} did not answer {what} within {timeout}: see whether it hangs "
	  "or can't start, and what its log says (journalctl -u jetond)." },
	{ ECONNRESET, true,
	  "The agent at {path} closed the connection before it answered {what}: it was "
	  "stopped, or has too many connections of yours. Try again." },
	{ ECONNRESET, false,
	  "The agent at {path} closed the connection before it answered {what}: it was "
	  "stopped, or has too many connections of yours. See whether it was done before you "
	  "try again." },
	{ EBADMSG, false,
	  "What answers at {path} gave no valid answer to {what}: it is no Jeton agent, or "
	  "one of another version." },
	{ EINVAL, false,
	  "The argument {argument} can't be right: it is missing, not UTF-8, or of another "
	  "version of the library." },
	{ EMSGSIZE, false,
	  "What was to be sent with {what} is over 128 KiB, the most that a message holds." },
	{ EBUSY, false,
	  "This handle is in use, by a callback or a watch: end that first, or make another "
	  "one." },
	{ ECHILD, false,
	  "This handle was made by another process: after fork() make one of your own." },
};

/* ---- what a sentence's braces stand for ---- */

/* DETAIL_LINE: after a file's name; of a file as a whole, nothing. */
enum { DETAIL_TEXT, DETAIL_NUMBER, DETAIL_INSTANT, DETAIL_SPAN, DETAIL_LINE };

static const struct detail {
	char name[14];
	uint8_t type;
	uint16_t offset;
} details[] = {
#define DETAIL(name, type, member)                                    \
	{                                                             \
		name, type, offsetof(struct jeton_error_info, member) \
	}
	DETAIL("name", DETAIL_TEXT, name),
	DETAIL("id", DETAIL_TEXT, id),
	DETAIL("scope", DETAIL_TEXT, scope),
	DETAIL("binding", DETAIL_TEXT, binding),
	DETAIL("credential", DETAIL_TEXT, credential),
	DETAIL("limit", DETAIL_TEXT, limit),
	DETAIL("file", DETAIL_TEXT, file),
	DETAIL("message", DETAIL_TEXT, text),
	DETAIL("parameter", DETAIL_TEXT, parameter),
	DETAIL("method", DETAIL_TEXT, method),
	DETAIL("interface", DETAIL_TEXT, interface),
	DETAIL("expiredUSec", DETAIL_INSTANT, expired_us),
	DETAIL("minSec", DETAIL_SPAN, min_s),
	DETAIL("maxSec", DETAIL_SPAN, max_s),
	DETAIL("max", DETAIL_NUMBER, max),
	DETAIL("retryAfterSec", DETAIL_SPAN, retry_after_s),
	DETAIL("line", DETAIL_LINE, line),
};

static const struct detail *find_detail(struct span name)
{
	for (size_t i = 0; i < ARRAY_SIZE(details); i++)
		if (span_is(name, details[i].name))
			return &details[i];
	return NULL;
}

static const char *text_of(const struct jeton_error_info *info, const struct detail *detail)
{
	return *(const char *const *)((const char *)info + detail->offset);
}

static int64_t number_of(const struct jeton_error_info *info, const struct detail *detail)
{
	return *(const int64_t *)((const char *)info + detail->offset);
}

static bool is_there(const struct jeton_error_info *info, const struct detail *detail)
{
	if (detail->type == DETAIL_TEXT)
		return text_of(info, detail);
	return number_of(info, detail) != JETON_UNSET;
}

/*
 * The next part of a sentence: words (false) or what stood in braces (true). False in *rest at its
 * end.
 */
static bool next_part(const char **sentence, struct span *ret)
{
	const char *p = *sentence;
	bool is_name = *p == '{';
	size_t n = strcspn(p, is_name ? "}" : "{");

	*ret = is_name ? (struct span){ p + 1, n - 1 } : (struct span){ p, n };
	*sentence = p + n + is_name;
	return is_name;
}

static bool has_all(const struct jeton_error_info *info, const char *sentence)
{
	while (*sentence) {
		struct span part;
		const struct detail *detail;

		if (!next_part(&sentence, &part))
			continue;
		detail = find_detail(part);
		if (detail && !is_there(info, detail))
			return false;
	}
	return true;
}

/* ---- writing the sentence ---- */

struct message {
	char *p;
	size_t size;
	size_t n;
};

/* What others wrote must not steer a terminal, nor pass for something else there. */
static void put(struct message *m, struct span text)
{
	bool is_clean = utf8_clean(text);

	for (size_t i = 0; i < text.n && m->n + 1 < m->size; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool is_printable = c >= 0x20 && c < 0x7f;

		m->p[m->n++] = is_printable || (is_clean && c > 0x7f) ? (char)c : '?';
	}
	m->p[m->n] = '\0';
}

static void put_detail(struct message *m, const struct jeton_error_info *info,
		       const struct detail *detail)
{
	char text[96];
	int64_t number;

	if (detail->type == DETAIL_TEXT) {
		put(m, span_of(text_of(info, detail)));
		return;
	}
	number = number_of(info, detail);
	if (detail->type == DETAIL_LINE && number == 0)
		return;
	if (detail->type == DETAIL_LINE)
		put(m, SPAN(":"));
	if (detail->type == DETAIL_INSTANT)
		time_format_local((uint64_t)number, text, sizeof(text));
	else if (detail->type == DETAIL_SPAN && number < INT64_MAX / (int64_t)USEC_PER_SEC)
		time_format_span((uint64_t)number * USEC_PER_SEC, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%lld", (long long)number);
	put(m, span_of(text));
}

/* What is the handle's rather than the error's. */
static void put_own(struct message *m, const struct jeton *jeton, struct span name)
{
	char text[32] = "?";
	uid_t uid;

	if (span_is(name, "path")) {
		put(m, span_of(jeton->address.sun_path));
	} else if (span_is(name, "what")) {
		put(m, jeton->method.n > 0 ? jeton->method : SPAN("the call"));
	} else if (span_is(name, "argument")) {
		put(m, span_of(jeton->argument ? jeton->argument : "given"));
	} else if (span_is(name, "timeout")) {
		int s = jeton->timeout_ms / 1000, ms = jeton->timeout_ms % 1000;

		if (ms)
			snprintf(text, sizeof(text), "%d.%03d s", s, ms);
		else
			snprintf(text, sizeof(text), "%d s", s);
		put(m, span_of(text));
	} else if (span_is(name, "uid")) {
		if (client_agent_uid(jeton, &uid) == 0)
			snprintf(text, sizeof(text), "%u", uid);
		put(m, span_of(text));
	}
}

static void put_sentence(struct message *m, const struct jeton *jeton, const char *sentence)
{
	while (*sentence) {
		struct span part;
		const struct detail *detail;

		if (!next_part(&sentence, &part)) {
			put(m, part);
			continue;
		}
		detail = find_detail(part);
		if (detail)
			put_detail(m, &jeton->error, detail);
		else
			put_own(m, jeton, part);
	}
	/* Cut off at the end of the room may be half a letter. */
	while (m->n > 0 && !utf8_valid((struct span){ m->p, m->n }))
		m->p[--m->n] = '\0';
}

static const char *sentence_of_agent(int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i].code == code)
			return errors[i].message;
	return "";
}

static const char *sentence_of_local(const struct jeton *jeton, int number)
{
	for (size_t i = 0; i < ARRAY_SIZE(locals); i++)
		if (locals[i].number == number &&
		    (!locals[i].only_looks || jeton->flags & CALL_REPEATABLE))
			return locals[i].message;
	return NULL;
}

static void forget_details(struct jeton_error_info *info)
{
	memset(info, 0, sizeof(*info));
	for (size_t i = 0; i < ARRAY_SIZE(details); i++)
		if (details[i].type != DETAIL_TEXT)
			*(int64_t *)((char *)info + details[i].offset) = JETON_UNSET;
}

int client_note(struct jeton *jeton, int result)
{
	struct message m = { jeton->message, sizeof(jeton->message), 0 };
	const char *sentence;

	m.p[0] = '\0';
	if (result <= 0)
		forget_details(&jeton->error);
	jeton->error.code = result;
	jeton->error.message = jeton->message;
	if (result == 0)
		return 0;
	sentence = result > 0 ? sentence_of_agent(result) : sentence_of_local(jeton, -result);
	if (sentence) {
		put_sentence(&m, jeton, sentence);
	} else {
		put_sentence(&m, jeton, "{what} failed: ");
		put(&m, span_of(strerror(-result)));
	}
	return result;
}

int client_note_invalid(struct jeton *jeton, const char *argument)
{
	jeton->argument = argument;
	return client_note(jeton, -EINVAL);
}

/* ---- reading it ---- */

static const struct error *find_error(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (strcmp(errors[i].name, name) == 0)
			return &errors[i];
	return NULL;
}

int client_error_read(struct jeton *jeton, const char *name, struct json_value parameters)
{
	const struct error *error = *name ? find_error(name) : NULL;
	int r;

	forget_details(&jeton->error);
	/* Of an error that is not known, a member of a known name may be anything: none is read. */
	if (error) {
		r = reply_read(REPLY_ERROR, parameters, &jeton->arena, &jeton->error);
		if (r < 0)
			return r;
		if (!has_all(&jeton->error, error->message))
			return -EBADMSG;
	}
	jeton->error.name = name;
	return error ? error->code : JETON_ERROR_OTHER;
}
