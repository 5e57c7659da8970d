/*
 * protocol/jeton.c - libjeton's handle, and what concerns tokens.
 *
 * A function here says which method with which parameters, and what of the reply the caller wants;
 * how it is sent, received and read is client.h's affair.
 */
#include "protocol/jeton.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "protocol/client-replies.h"

enum {
	TIMEOUT_MS = 10 * 1000,
	/* Longer than any token there will be, and short enough to send whatever it is. */
	VALUE_MAX = 256,
};

/* ---- the handle ---- */

static int user_path(char *buf, size_t size)
{
	const char *dir = secure_getenv("XDG_RUNTIME_DIR");

	if (dir && *dir == '/')
		return snprintf(buf, size, "%s/jeton/agent.sock", dir);
	return snprintf(buf, size, "/run/user/%u/jeton/agent.sock", getuid());
}

int jeton_socket_path(unsigned int flags, char *buf, size_t size)
{
	const char *named = flags & JETON_SOCKET_NO_ENV ? NULL : secure_getenv("JETON_SOCKET");
	int n;

	if (flags & ~(unsigned)(JETON_SOCKET_USER | JETON_SOCKET_NO_ENV))
		return -EINVAL;
	if (named && *named)
		n = snprintf(buf, size, "%s", named);
	else if (flags & JETON_SOCKET_USER)
		n = user_path(buf, size);
	else
		n = snprintf(buf, size, "%s", "/run/jeton/agent.sock");
	return n >= 0 && (size_t)n < size ? n : -ENOBUFS;
}

static int set_path(struct sockaddr_un *address, const char *path)
{
	size_t n = strlen(path);

	if (n == 0)
		return -EINVAL;
	if (n >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, n + 1);
	return 0;
}

DEFINE_CLEANUP(struct jeton *, jeton_free)

int jeton_new(const char *path, struct jeton **ret_jeton)
{
	_cleanup_(jeton_freep)
	struct jeton *jeton = calloc(1, sizeof(*jeton));
	char buf[sizeof(jeton->address.sun_path)];
	int r;

	if (!jeton)
		return -ENOMEM;
	jeton->pid = getpid();
	jeton->fd = jeton->reply_fd = -1;
	jeton->timeout_ms = TIMEOUT_MS;
	if (!path) {
		r = jeton_socket_path(0, buf, sizeof(buf));
		if (r < 0)
			return r == -ENOBUFS ? -ENAMETOOLONG : r;
		path = buf;
	}
	r = set_path(&jeton->address, path);
	if (r < 0)
		return r;
	client_note(jeton, 0);
	*ret_jeton = STEAL_PTR(jeton);
	return 0;
}

void jeton_free(struct jeton *jeton)
{
	if (!jeton)
		return;
	client_close(jeton);
	client_arena_done(&jeton->arena);
	locked_unmap(&jeton->in, jeton->in.size);
	locked_unmap(&jeton->out, jeton->out_n);
	locked_unmap(&jeton->home, 0);
	if (jeton->scratch)
		munmap(jeton->scratch, sizeof(*jeton->scratch));
	free(jeton);
}

void jeton_set_timeout(struct jeton *jeton, int timeout_ms)
{
	jeton->timeout_ms = timeout_ms < 0 ? -1 : timeout_ms;
}

static int connect_now(struct jeton *jeton)
{
	int r = client_begin(jeton);

	return r < 0 ? r : client_done(jeton, client_connect(jeton, jeton->timeout_ms));
}

int jeton_connect(struct jeton *jeton)
{
	return connect_now(jeton);
}

int jeton_agent_uid(struct jeton *jeton, uint32_t *ret_uid)
{
	uid_t uid = (uid_t)-1;
	int r = connect_now(jeton);

	if (r == 0)
		r = client_done(jeton, client_agent_uid(jeton, &uid));
	if (r == 0 && ret_uid)
		*ret_uid = uid;
	return r;
}

int jeton_agent_trusted(struct jeton *jeton)
{
	int r = connect_now(jeton);

	return r < 0 ? r : client_done(jeton, client_agent_trusted(jeton));
}

const char *jeton_path(const struct jeton *jeton)
{
	return jeton->address.sun_path;
}

int jeton_fd(const struct jeton *jeton)
{
	return jeton->fd;
}

const char *jeton_error_message(const struct jeton *jeton)
{
	return *jeton->message ? jeton->message : "No error.";
}

const struct jeton_error_info *jeton_error_info(const struct jeton *jeton)
{
	return &jeton->error;
}

/* ---- tokens ---- */

/* Its texts, for whatever goes through them all. */
static const uint16_t token_texts[] = {
	offsetof(struct jeton_token, id),	  offsetof(struct jeton_token, name),
	offsetof(struct jeton_token, owner),	  offsetof(struct jeton_token, last_used_by),
	offsetof(struct jeton_token, parent),	  offsetof(struct jeton_token, replaced_by),
	offsetof(struct jeton_token, credential), offsetof(struct jeton_token, issued_to),
};

static const char **token_text(const struct jeton_token *token, size_t i)
{
	return (const char **)((char *)(uintptr_t)token + token_texts[i]);
}

static size_t count_texts(const char *const *texts)
{
	size_t n = 0;

	while (texts && texts[n])
		n++;
	return n;
}

static size_t texts_size(const struct jeton_token *token)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(token_texts); i++)
		if (*token_text(token, i))
			n += strlen(*token_text(token, i)) + 1;
	for (size_t i = 0; i < count_texts(token->scopes); i++)
		n += strlen(token->scopes[i]) + 1;
	return n;
}

/* One piece: the struct, the list of scopes, the texts. */
struct jeton_token *jeton_token_dup(const struct jeton_token *token)
{
	size_t n_scopes = count_texts(token->scopes);
	size_t size = sizeof(*token) + (n_scopes + 1) * sizeof(char *);
	struct jeton_token *copy = malloc(size + texts_size(token));
	const char **scopes;
	char *p;

	if (!copy)
		return NULL;
	*copy = *token;
	p = (char *)copy + size;
	for (size_t i = 0; i < ARRAY_SIZE(token_texts); i++) {
		if (!*token_text(token, i))
			continue;
		*token_text(copy, i) = p;
		p = stpcpy(p, *token_text(token, i)) + 1;
	}
	scopes = (const char **)(copy + 1);
	for (size_t i = 0; i < n_scopes; i++) {
		scopes[i] = p;
		p = stpcpy(p, token->scopes[i]) + 1;
	}
	scopes[n_scopes] = NULL;
	copy->scopes = token->scopes ? scopes : NULL;
	return copy;
}

void jeton_token_free(struct jeton_token *token)
{
	free(token);
}

/*
 * Whether a value could be one: else the agent would close the connection, or be told some other
 * secret.
 */
static bool is_sendable(const char *value)
{
	size_t n = 0;

	for (; value[n]; n++)
		if (n == VALUE_MAX || value[n] <= ' ' || value[n] > '~')
			return false;
	return n > 0;
}

/* Begins a call with a value that the caller got from somewhere. Returns 0 where it may be sent. */
static int check_value(struct jeton *jeton, const char *value)
{
	int r = client_begin(jeton);

	if (r < 0)
		return r;
	if (!value)
		return client_note_invalid(jeton, "token");
	if (is_sendable(value))
		return 0;
	jeton->error.name = "io.jeton.Agent.InvalidToken";
	return client_note(jeton, JETON_ERROR_INVALID_TOKEN);
}

static int check_issue(struct jeton *jeton, const struct jeton_issue *issue)
{
	if (!issue || issue->size != sizeof(*issue))
		return client_note_invalid(jeton, "issue");
	if (issue->binding > JETON_BINDING_UNIT)
		return client_note_invalid(jeton, "binding");
	return 0;
}

/* Issue and, with a parent's value, Derive. */
static int issue_or_derive(struct jeton *jeton, const char *parent, const struct jeton_issue *issue,
			   const char **ret_value, const struct jeton_token **ret_token)
{
	bool is_bound = issue->binding != JETON_BINDING_UNSET;
	const struct param params[] = {
		PARAM_TEXT("token", parent),
		PARAM_NEEDED("name", issue->name),
		PARAM_INT("lifetimeSec", issue->lifetime_s),
		PARAM_TEXTS("scopes", issue->scopes),
		PARAM_TEXT("binding", is_bound ? jeton_binding_text(issue->binding) : NULL),
		PARAM_INT("uses", issue->uses),
		PARAM_INT("ownerUid", issue->owner_uid),
		PARAM_END,
	};
	struct reply_issued reply;
	int r = client_call(jeton, parent ? "Derive" : "Issue", parent ? CALL_SECRET : 0, params,
			    -1);

	r = client_answer(jeton, r, REPLY_ISSUED, &reply);
	if (r == 0 && ret_value)
		*ret_value = reply.value;
	if (r == 0 && ret_token)
		*ret_token = reply.info;
	return r;
}

int jeton_issue(struct jeton *jeton, const struct jeton_issue *issue, const char **ret_value,
		const struct jeton_token **ret_token)
{
	int r = client_begin(jeton);

	if (r == 0)
		r = check_issue(jeton, issue);
	return r != 0 ? r : issue_or_derive(jeton, NULL, issue, ret_value, ret_token);
}

int jeton_derive(struct jeton *jeton, const char *parent_value, const struct jeton_issue *issue,
		 const char **ret_value, const struct jeton_token **ret_token)
{
	int r = check_value(jeton, parent_value);

	if (r == 0)
		r = check_issue(jeton, issue);
	return r != 0 ? r : issue_or_derive(jeton, parent_value, issue, ret_value, ret_token);
}

int jeton_verify(struct jeton *jeton, const char *value, const char *const *scopes, int bearer,
		 const struct jeton_token **ret_token, const char *const **ret_access)
{
	const struct param params[] = {
		PARAM_TEXT("token", value),
		PARAM_TEXTS("scopes", scopes),
		PARAM_INT("bearer", bearer >= 0 ? 0 : JETON_UNSET),
		PARAM_END,
	};
	struct reply_verified reply;
	int r = check_value(jeton, value);

	if (r != 0)
		return r;
	r = client_call(jeton, "Verify", CALL_SECRET | CALL_REPEATABLE, params, bearer >= 0 ? bearer : -1);
	r = client_answer(jeton, r, REPLY_VERIFIED, &reply);
	if (r == 0 && ret_token)
		*ret_token = reply.info;
	if (r == 0 && ret_access)
		*ret_access = reply.access;
	return r;
}

static int deliver_token(const struct sink *sink, const void *token)
{
	return sink->on_token(sink->userdata, token);
}

static int list(struct jeton *jeton, const struct jeton_filter *filter, const struct sink *sink)
{
	bool is_any = filter->state == JETON_STATE_OTHER;
	const struct param params[] = {
		PARAM_INT("ownerUid", filter->owner_uid),
		PARAM_TRUE("all", filter->all),
		PARAM_TEXT("state", is_any ? NULL : jeton_state_text(filter->state)),
		PARAM_TEXT("name", filter->name),
		PARAM_END,
	};

	return client_each(jeton, "List", REPLY_LISTED, params, sink);
}

int jeton_list(struct jeton *jeton, const struct jeton_filter *filter,
	       int (*on_token)(void *userdata, const struct jeton_token *token), void *userdata)
{
	const struct jeton_filter own = JETON_FILTER_INIT;
	const struct sink sink = { deliver_token, { .on_token = on_token }, userdata };
	int r = client_begin(jeton);

	if (r == 0 && filter && filter->size != sizeof(*filter))
		r = client_note_invalid(jeton, "filter");
	return r != 0 ? r : list(jeton, filter ? filter : &own, &sink);
}

/* Calls what answers with one token's facts. */
static int call_for_info(struct jeton *jeton, const char *method, unsigned flags,
			 const struct param params[], const struct jeton_token **ret_token)
{
	struct reply_info reply;
	int r = client_call(jeton, method, flags, params, -1);

	r = client_answer(jeton, r, REPLY_INFO, &reply);
	if (r == 0 && ret_token)
		*ret_token = reply.info;
	return r;
}

int jeton_describe(struct jeton *jeton, const char *id, const struct jeton_token **ret_token)
{
	const struct param params[] = { PARAM_NEEDED("id", id), PARAM_END };

	return call_for_info(jeton, "Describe", CALL_REPEATABLE, params, ret_token);
}

int jeton_revoke(struct jeton *jeton, const char *id, const struct jeton_token **ret_token)
{
	const struct param params[] = { PARAM_NEEDED("id", id), PARAM_END };

	return call_for_info(jeton, "Revoke", CALL_REPEATABLE, params, ret_token);
}

int jeton_revoke_value(struct jeton *jeton, const char *value, const struct jeton_token **ret_token)
{
	const struct param params[] = { PARAM_TEXT("token", value), PARAM_END };
	int r = check_value(jeton, value);

	return r != 0 ? r : call_for_info(jeton, "Revoke", CALL_SECRET | CALL_REPEATABLE, params,
					  ret_token);
}

int jeton_rotate(struct jeton *jeton, const char *id, int64_t grace_s, int64_t lifetime_s,
		 const char **ret_value, const struct jeton_token **ret_token,
		 const struct jeton_token **ret_previous)
{
	const struct param params[] = {
		PARAM_NEEDED("id", id),
		PARAM_INT("graceSec", grace_s),
		PARAM_INT("lifetimeSec", lifetime_s),
		PARAM_END,
	};
	struct reply_issued reply;
	int r = client_call(jeton, "Rotate", 0, params, -1);

	r = client_answer(jeton, r, REPLY_ROTATED, &reply);
	if (r == 0 && ret_value)
		*ret_value = reply.value;
	if (r == 0 && ret_token)
		*ret_token = reply.info;
	if (r == 0 && ret_previous)
		*ret_previous = reply.previous;
	return r;
}
