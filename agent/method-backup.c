/* agent/method-backup.c - Backup: a copy of all that is held, by a descriptor. */
#include <assert.h>
#include <errno.h>

#include "agent/backup.h"
#include "agent/method.h"
#include "agent/reply.h"

static enum dispatched no_backup(struct request *req, int r)
{
	struct agent *a = req->agent;

	if (r == -EBUSY)
		return reply_limit(req, "backups", BACKUPS_MAX);
	log_limited(&a->limit_fds, agent_monotonic(a), "a backup could not be begun: %s",
		    strerror(-r));
	return reply_limit(req, r == -EMFILE || r == -ENFILE ? "descriptors" : "memory", 0);
}

enum dispatched method_backup(struct request *req)
{
	struct agent *a = req->agent;
	struct bad_parameter bad;
	char nothing;
	int r, fd;

	if (!params_read(&req->call.params, NULL, 0, &a->text, &nothing, 0, &bad))
		return reply_bad_parameter(req, &bad);
	r = backup_start(a, &fd);
	if (r < 0)
		return no_backup(req, r);
	assert(a->out_fd < 0);
	a->out_fd = fd;
	a->out_fd_at = req->out_start;
	json_key(reply_begin(req), "fd");
	json_put_int(&a->out, 0);
	return reply_end(req);
}
