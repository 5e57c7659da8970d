/* agent/method-lock.c - Lock and Unlock. */
#include <errno.h>
#include <stddef.h>

#include "agent/change.h"
#include "agent/lock.h"
#include "agent/method.h"
#include "agent/reply.h"

struct passphrase_call {
	struct span passphrase;
};

static const struct field passphrase_fields[] = {
	{ "passphrase", offsetof(struct passphrase_call, passphrase), FIELD_STRING, true, NULL },
};

static bool passphrase_call_parse(struct request *req, struct passphrase_call *call,
				  struct bad_parameter *bad)
{
	if (!params_read(&req->call.params, passphrase_fields, ARRAY_SIZE(passphrase_fields),
			 &req->agent->text, call, sizeof(*call), bad))
		return false;
	bad->name = SPAN("passphrase");
	return call->passphrase.n > 0 && call->passphrase.n <= PASSPHRASE_MAX;
}

/* After wrong ones it takes a while: the caller is told how long. */
static void write_result(struct request *req, void *userdata)
{
	(void)userdata;
	switch (lock_last_result(req->agent)) {
	case LOCK_DONE:
		reply_empty(req);
		return;
	case LOCK_WRONG_PASSPHRASE:
		reply_wrong_passphrase(req, lock_retry_after_s(req->agent));
		return;
	case LOCK_STORE_FAILED:
		reply_store_failed(req, NULL);
		return;
	case LOCK_NO_MEMORY:
		reply_limit(req, "memory", 0);
		return;
	}
}

/* One after the other: what another one brings about decides what becomes of this one. */
static enum dispatched wait_for_turn(struct request *req)
{
	struct pending *p = pending_new_again(req);

	if (p && lock_wait(req->agent, p) == 0)
		return DISPATCH_LATER;
	pending_cancel(p);
	return reply_limit(req, "memory", 0);
}

static enum dispatched begin(struct request *req, struct span passphrase,
			     int (*how)(struct agent *a, struct span passphrase, uid_t by,
					struct pending *p))
{
	struct pending *p = pending_new(req, write_result, NULL);

	if (p && how(req->agent, passphrase, req->connection->peer.uid, p) == 0)
		return DISPATCH_LATER;
	pending_cancel(p);
	return reply_limit(req, "memory", 0);
}

enum dispatched method_lock(struct request *req)
{
	struct passphrase_call call;
	struct bad_parameter bad;

	if (!passphrase_call_parse(req, &call, &bad))
		return reply_bad_parameter(req, &bad);
	if (lock_is_busy(req->agent))
		return wait_for_turn(req);
	return begin(req, call.passphrase, lock_begin);
}

enum dispatched method_unlock(struct request *req)
{
	struct passphrase_call call;
	struct bad_parameter bad;
	unsigned wait_s;

	if (!passphrase_call_parse(req, &call, &bad))
		return reply_bad_parameter(req, &bad);
	if (lock_is_busy(req->agent))
		return wait_for_turn(req);
	if (!req->agent->locked)
		return reply_not_locked(req);
	wait_s = lock_retry_after_s(req->agent);
	if (wait_s > 0)
		return reply_wrong_passphrase(req, wait_s);
	return begin(req, call.passphrase, lock_undo);
}
