/* agent/method-admin.c - GetStatus and Reload. */
#include <errno.h>

#include "agent/change.h"
#include "agent/credential.h"
#include "agent/method.h"
#include "agent/reply.h"
#include "agent/restore.h"
#include "agent/rules-in-force.h"

static const char *const memory_names[] = {
	[MEMORY_SECRETMEM] = "secretmem",
	[MEMORY_LOCKED] = "locked",
	[MEMORY_UNLOCKED] = "unlocked",
};

static bool has_no_parameters(struct request *req, struct bad_parameter *bad)
{
	char nothing;

	return params_read(&req->call.params, NULL, 0, &req->agent->text, &nothing, 0, bad);
}

/* Locked comes first, since it is what has to be undone first. */
static const char *state_name(const struct agent *a)
{
	return a->locked ? "locked" : a->refusing ? "refusing" : "running";
}

static void write_int(struct json_writer *w, const char *key, uint64_t value)
{
	json_key(w, key);
	json_put_int(w, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static void write_word(struct json_writer *w, const char *key, const char *word)
{
	json_key(w, key);
	json_put_string(w, span_of(word));
}

/* What may be locked at most: by the settings, and by the limit in force. */
static uint64_t locked_limit(const struct agent *a)
{
	uint64_t by_settings = a->settings.memory_limit + BUFFERS_LIMIT,
		 by_kernel = secretmem_limit();

	return by_settings < by_kernel ? by_settings : by_kernel;
}

enum dispatched method_get_status(struct request *req)
{
	struct agent *a = req->agent;
	struct bad_parameter bad;
	struct json_writer *w;

	if (!has_no_parameters(req, &bad))
		return reply_bad_parameter(req, &bad);
	w = reply_begin(req);
	write_word(w, "version", JETON_VERSION);
	write_word(w, "state", state_name(a));
	write_word(w, "memory", memory_names[a->mem.kind]);
	write_int(w, "lockedBytes", a->mem.kind == MEMORY_UNLOCKED ? 0 : a->mem.locked);
	write_int(w, "lockedLimit", locked_limit(a));
	write_int(w, "tokensActive", vault_n_active(a->vault));
	write_int(w, "tokensTotal", vault_n_active(a->vault) + vault_n_ended(a->vault));
	write_int(w, "credentials", credentials_n_held(a->credentials));
	write_int(w, "connections", a->n_connections);
	write_int(w, "startedUSec", a->started_us);
	write_int(w, "policiesLoadedUSec", a->policies_loaded_us);
	write_int(w, "verifiedTotal", a->verified_total);
	write_int(w, "deniedTotal", a->denied_total);
	return reply_end(req);
}

static void write_reloaded(struct request *req, void *userdata)
{
	(void)userdata;
	reply_empty(req);
}

static void on_reloaded(void *userdata)
{
	pending_complete(userdata);
}

enum dispatched method_reload(struct request *req)
{
	struct policy_error error;
	struct bad_parameter bad;
	struct pending *p;
	int r;

	if (!has_no_parameters(req, &bad))
		return reply_bad_parameter(req, &bad);
	if (restore_begin(req->agent))
		return restore_wait(req);
	p = pending_new(req, write_reloaded, NULL);
	r = p ? rules_reload(req->agent, on_reloaded, p, &error) : -ENOMEM;
	if (r == 0)
		return DISPATCH_LATER;
	pending_cancel(p);
	return r == -EINVAL ? reply_policy_invalid(req, &error) : reply_limit(req, "memory", 0);
}
