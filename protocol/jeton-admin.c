/*
 * protocol/jeton-admin.c - libjeton: what concerns the agent itself.
 */
#include "protocol/client-replies.h"

#include <errno.h>

static const struct param no_params[] = { PARAM_END };

/* Calls what answers with nothing but that it is done. */
static int command(struct jeton *jeton, const char *method, unsigned flags,
		   const struct param params[])
{
	int r = client_call(jeton, method, flags, params, -1);

	return r == 0 ? client_done(jeton, 0) : r;
}

int jeton_get_status(struct jeton *jeton, const struct jeton_status **ret_status)
{
	struct jeton_status *status;
	int r = client_call(jeton, "GetStatus", CALL_REPEATABLE, no_params, -1);

	if (r != 0)
		return r;
	status = client_arena_get(&jeton->arena, sizeof(*status));
	if (!status)
		return client_done(jeton, -ENOMEM);
	r = client_read(jeton, REPLY_STATUS, status);
	if (r == 0 && ret_status)
		*ret_status = status;
	return r;
}

int jeton_explain(struct jeton *jeton, const char *user, const char *unit, const char *credential,
		  const char *scope, int *ret_allowed, const char *const **ret_lines)
{
	const struct param params[] = {
		PARAM_TEXT("user", user),
		PARAM_TEXT("unit", unit),
		PARAM_TEXT("credential", credential),
		PARAM_TEXT("scope", scope),
		PARAM_END,
	};
	struct reply_explained reply;
	int r = client_call(jeton, "Explain", CALL_REPEATABLE, params, -1);

	r = client_answer(jeton, r, REPLY_EXPLAINED, &reply);
	if (r == 0 && ret_allowed)
		*ret_allowed = reply.allowed;
	if (r == 0 && ret_lines)
		*ret_lines = reply.lines;
	return r;
}

int jeton_reload(struct jeton *jeton)
{
	return command(jeton, "Reload", 0, no_params);
}

int jeton_lock(struct jeton *jeton, const char *passphrase)
{
	const struct param params[] = { PARAM_NEEDED("passphrase", passphrase), PARAM_END };

	return command(jeton, "Lock", CALL_SECRET, params);
}

int jeton_unlock(struct jeton *jeton, const char *passphrase)
{
	const struct param params[] = { PARAM_NEEDED("passphrase", passphrase), PARAM_END };

	return command(jeton, "Unlock", CALL_SECRET, params);
}

int jeton_rekey(struct jeton *jeton)
{
	return command(jeton, "Rekey", 0, no_params);
}

int jeton_backup(struct jeton *jeton, int *ret_fd)
{
	struct reply_fd reply;
	int r = client_call(jeton, "Backup", CALL_WANTS_FD, no_params, -1);

	if (r != 0)
		return r;
	r = reply_read(REPLY_FD, jeton->parameters, &jeton->arena, &reply);
	if (r == 0 && (reply.fd != 0 || jeton->reply_fd < 0))
		r = -EBADMSG;
	r = client_done(jeton, r);
	if (r == 0 && ret_fd)
		*ret_fd = steal_fd(&jeton->reply_fd);
	return r;
}

static int deliver_entry(const struct sink *sink, const void *entry)
{
	return sink->on_entry(sink->userdata, entry);
}

int jeton_read_audit(struct jeton *jeton, int64_t since_us, const char *token_id,
		     int (*on_entry)(void *userdata, const struct jeton_audit_entry *entry),
		     void *userdata)
{
	const struct param params[] = {
		PARAM_INT("sinceUSec", since_us),
		PARAM_TEXT("token", token_id),
		PARAM_END,
	};
	const struct sink sink = { deliver_entry, { .on_entry = on_entry }, userdata };

	return client_each(jeton, "ReadAudit", REPLY_AUDITED, params, &sink);
}
