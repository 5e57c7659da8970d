/*
 * agent/method-map.c - io.jeton.Verifier: the map of tokens that a verifier reads without a call,
 * and what it did with it.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "agent/audit.h"
#include "agent/authority.h"
#include "agent/last-use.h"
#include "agent/maps.h"
#include "agent/method.h"
#include "agent/reply.h"
#include "agent/token-call.h"
#include "protocol/base/time.h"
#include "protocol/map.h"

enum {
	USES_MAX = 1000,
	/* Of a use: one thread verifies no more in a day. */
	COUNT_MAX = INT32_MAX,
};

/* What this peer's map tells. 1; 0: it is to have none; or -ENOMEM. */
static int rights_of(struct request *req, struct map_rights *ret)
{
	struct subject subject;

	verifier_of(req, &subject);
	return map_rights_of(req->agent->policy, &subject, ret);
}

static enum dispatched reply_map_limit(struct request *req, const char *limit, uint64_t max)
{
	struct json_writer *w = reply_error_begin(req, "io.jeton.Verifier.LimitReached");

	json_key(w, "limit");
	json_put_string(w, span_of(limit));
	json_key(w, "max");
	json_put_int(w, (int64_t)max);
	return reply_end(req);
}

static enum dispatched no_map(struct request *req, int r)
{
	struct agent *a = req->agent;

	if (r == -EUSERS)
		return reply_map_limit(req, "maps", MAPS_MAX);
	if (r == -ESHUTDOWN)
		return reply_map_limit(req, "maps", 0);
	if (r == -EMFILE || r == -ENFILE)
		return reply_map_limit(req, "descriptors", 0);
	return reply_map_limit(req, "memory", a->settings.memory_limit);
}

enum dispatched method_get_map(struct request *req)
{
	struct map_rights rights;
	struct agent *a = req->agent;
	struct bad_parameter bad;
	char nothing;
	int r, fd = -1;

	if (!params_read(&req->call.params, NULL, 0, &a->text, &nothing, 0, &bad))
		return reply_bad_parameter(req, &bad);
	r = rights_of(req, &rights);
	if (r == 0)
		return reply_permission_denied(req);
	if (r > 0) {
		r = maps_get(req, &rights, &fd);
		map_rights_done(&rights);
	}
	if (r == -EAGAIN)
		return DISPATCH_LATER;
	if (r < 0)
		return no_map(req, r);
	assert(a->out_fd < 0);
	a->out_fd = fd;
	a->out_fd_at = req->out_start;
	json_key(reply_begin(req), "fd");
	json_put_int(&a->out, 0);
	json_key(&a->out, "format");
	json_put_int(&a->out, MAP_FORMAT);
	return reply_end(req);
}

/* ---- uses ------------------------------------------------------------------------------------ */

struct use {
	struct span id;
	struct field_int count, last_us;
	uint64_t number; /* id's */
};

static const struct field use_fields[] = {
	{ "id", offsetof(struct use, id), FIELD_STRING, true, NULL },
	{ "count", offsetof(struct use, count), FIELD_INT, true, NULL },
	{ "lastUSec", offsetof(struct use, last_us), FIELD_INT, true, NULL },
};

struct report_call {
	struct json_value uses;
};

static const struct field report_fields[] = {
	{ "uses", offsetof(struct report_call, uses), FIELD_ARRAY, true, NULL },
};

static bool read_use(struct request *req, struct json_value value, struct use *ret)
{
	struct bad_parameter bad;

	return value.type == JSON_OBJECT &&
	       params_read(&value, use_fields, ARRAY_SIZE(use_fields), &req->agent->text, ret,
			   sizeof(*ret), &bad) &&
	       id_read(ret->id, &ret->number) && ret->count.value >= 1 && ret->last_us.value >= 0;
}

static bool are_uses(struct request *req, struct json_value uses)
{
	struct json_iter it = json_iter(uses);
	struct json_value value;
	struct use use;
	size_t n = 0;

	while (json_next_element(&it, &value))
		if (++n > USES_MAX || !read_use(req, value, &use))
			return false;
	return true;
}

/* As many Verify calls of this peer, the last one then. */
static void note_use(struct request *req, const struct map_rights *rights, const struct use *use)
{
	struct agent *a = req->agent;
	token_ref ref = vault_find(a->vault, use->number);
	uint64_t at_us = (uint64_t)use->last_us.value;
	struct token_facts facts;
	struct last_use was;
	uint32_t n = use->count.value < COUNT_MAX ? (uint32_t)use->count.value : COUNT_MAX;

	/* What it can't have verified by its map it has no uses of. */
	if (ref == REF_NONE || !maps_would_tell(a, rights, ref))
		return;
	vault_facts(a->vault, ref, &facts);
	a->verified_total += n;
	audit_verified(req, facts.id, n);
	at_us = at_us < req->now_us ? at_us : req->now_us;
	at_us -= at_us % USEC_PER_SEC;
	if (at_us < facts.created_us - facts.created_us % USEC_PER_SEC || at_us <= facts.last_used_us)
		return;
	was = (struct last_use){ facts.last_used_us, facts.last_used_by };
	facts.last_used_us = at_us;
	facts.last_used_by = peer_label(req->connection);
	last_use_verified(a, ref, &was, &facts);
}

enum dispatched method_report_uses(struct request *req)
{
	struct map_rights rights;
	struct report_call call;
	struct bad_parameter bad;
	struct json_value value;
	struct json_iter it;
	struct use use;
	int r;

	if (!params_read(&req->call.params, report_fields, ARRAY_SIZE(report_fields),
			 &req->agent->text, &call, sizeof(call), &bad))
		return reply_bad_parameter(req, &bad);
	r = rights_of(req, &rights);
	if (r == 0)
		return reply_permission_denied(req);
	if (r < 0)
		return reply_map_limit(req, "memory", 0);
	if (!are_uses(req, call.uses)) {
		map_rights_done(&rights);
		return reply_invalid_parameter(req, "uses");
	}
	req->agent->text.n = 0;
	for (it = json_iter(call.uses); json_next_element(&it, &value);)
		if (read_use(req, value, &use))
			note_use(req, &rights, &use);
	maps_in_use(req->agent, &rights);
	map_rights_done(&rights);
	return reply_empty(req);
}
