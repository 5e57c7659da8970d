/*
 * agent/method-fetch.c - Fetch: a held secret, or a token minted for this very fetch.
 *
 * A held value is opened in agent->scratch, for the length of one call; on that way there is no
 * allocation, no look-up of names and nothing to wait for. A peer that may not have a credential
 * hears the same as of one that does not exist, and does not hear it sooner: only the log has the
 * reason.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/audit.h"
#include "agent/authority.h"
#include "agent/change.h"
#include "agent/credential.h"
#include "agent/holder.h"
#include "agent/last-use.h"
#include "agent/method.h"
#include "agent/mint.h"
#include "agent/reply.h"
#include "protocol/base/time.h"
#include "protocol/token.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

struct fetch_call {
	struct span credential;
	struct field_bool as_fd;
	struct field_int min_lifetime_s;
};

static const struct field fetch_fields[] = {
	{ "credential", offsetof(struct fetch_call, credential), FIELD_STRING, true, NULL },
	{ "asFd", offsetof(struct fetch_call, as_fd), FIELD_BOOL, false, NULL },
	{ "minLifetimeSec", offsetof(struct fetch_call, min_lifetime_s), FIELD_INT, false, NULL },
};

/* What the peer gets. The value is in locked memory. */
struct fetched {
	struct span value;
	bool is_data;
	uint64_t revision; /* 0: null */
	uint64_t expires_us;
	uint64_t token_id;
};

/* ---- who may --------------------------------------------------------------------------------- */

static enum dispatched refuse(struct request *req, struct span credential, const char *why)
{
	req->agent->denied_total++;
	req->why = why;
	return reply_no_such_credential(req, credential);
}

/* Why the peer may not fetch it, for the log; NULL: it may. */
static const char *why_not(struct request *req, struct span name,
			   const struct policy_credential *credential)
{
	const struct policy *policy = req->agent->policy;
	struct subject subject;
	bool with_unit = fetch_needs_unit(policy, credential ? name : SPAN_NONE);

	if (with_unit)
		subject_with_unit(req, &subject);
	else
		subject_of(req, &subject);
	if (!peer_is_known(&req->connection->peer))
		return peer_standing_text(req->connection->peer.standing);
	if (fetch_is_allowed(policy, &subject, name, false, NULL) && credential)
		return NULL;
	/* How long a refusal takes tells nothing of what there is. */
	(void)fetch_others_match(policy, &subject, name);
	if (!with_unit && fetch_needs_unit(policy, SPAN_NONE))
		subject_with_unit(req, &subject);
	if (!credential)
		return "no policy defines a credential of this name";
	return subject.unit ? "no [Fetch] section for it matches this user and unit"
			    : "no [Fetch] section for it matches this user";
}

/* Whether what ends at expires_us (0: never) lasts as long as it is asked to. */
static bool lasts(const struct fetch_call *call, uint64_t now_us, uint64_t expires_us)
{
	return !call->min_lifetime_s.is_set || expires_us == 0 ||
	       (expires_us - now_us) / USEC_PER_SEC >= (uint64_t)call->min_lifetime_s.value;
}

/* ---- how it is given ------------------------------------------------------------------------- */

/* A descriptor of a file in memory, from its start, that nobody can change. Or a negative errno. */
static int sealed_memfd(struct span value)
{
	_cleanup_close_ int fd =
		memfd_create("credential", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	/* Before Linux 6.3. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("credential", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < value.n;) {
		ssize_t n = pwrite(fd, value.p + at, value.n - at, (off_t)at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	/* For a program of another user that is given the path /proc/self/fd/N. */
	if (fchmod(fd, 0444) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* Straight into the reply. */
static void put_base64(struct json_writer *w, struct span data)
{
	size_t n = sodium_base64_encoded_len(data.n, sodium_base64_VARIANT_ORIGINAL); /* + a NUL */
	char *to = json_room_for_item(w, n + 1);

	if (!to)
		return;
	sodium_bin2base64(to + 1, n, (const uint8_t *)data.p, data.n,
			  sodium_base64_VARIANT_ORIGINAL);
	to[0] = to[n] = '"';
	w->n += n + 1;
	w->comma = true;
}

static void write_number(struct json_writer *w, const char *key, uint64_t value)
{
	json_key(w, key);
	if (value)
		json_put_int(w, (int64_t)value);
	else
		json_put_null(w);
}

static void write_value(struct json_writer *w, const struct fetched *f, bool with_fd)
{
	json_key(w, "text");
	json_put_string_or_null(w, with_fd || f->is_data ? SPAN_NONE : f->value);
	json_key(w, "data");
	if (!with_fd && f->is_data)
		put_base64(w, f->value);
	else
		json_put_null(w);
	json_key(w, "fd");
	if (with_fd)
		json_put_int(w, 0);
	else
		json_put_null(w);
}

/* Writes the reply. fd: that holds the value instead, taken over; -1: none. */
static enum dispatched give(struct request *req, const struct fetched *f, int fd)
{
	struct agent *a = req->agent;
	struct json_writer *w = reply_begin(req);

	if (fd >= 0) {
		assert(a->out_fd < 0);
		a->out_fd = fd;
		a->out_fd_at = req->out_start;
	} else {
		a->out_has_value = true;
	}
	write_value(w, f, fd >= 0);
	write_number(w, "revision", f->revision);
	write_number(w, "expiresUSec", f->expires_us);
	write_id(w, "tokenId", f->token_id);
	return reply_end(req);
}

static enum dispatched no_descriptor(struct request *req, int r)
{
	req->why = strerror(-r);
	return reply_limit(req, r == -EMFILE || r == -ENFILE ? "descriptors" : "memory", 0);
}

/* ---- held ones ------------------------------------------------------------------------------- */

static enum dispatched reply_credential_expired(struct request *req, struct span name,
						uint64_t expired_us)
{
	struct json_writer *w = reply_error_begin(req, "io.jeton.Agent.CredentialExpired");

	json_key(w, "credential");
	json_put_string(w, name);
	write_number(w, "expiredUSec", expired_us);
	return reply_end(req);
}

/* Opens the value where texts go, which is wiped after the call. */
static struct span open_value(struct agent *a, const struct credential *c)
{
	char *value = a->text.buf + a->text.n;

	assert(c->n <= a->text.size - a->text.n);
	a->text.n += c->n;
	credential_open(a->credentials, c, value);
	return (struct span){ value, c->n };
}

static enum dispatched fetch_held(struct request *req, const struct fetch_call *call)
{
	struct agent *a = req->agent;
	const struct credential *c = credentials_find(a->credentials, call->credential);
	struct fetched f;
	int fd = -1;

	if (!c || c->form == CREDENTIAL_NONE)
		return reply_error(req, "io.jeton.Agent.CredentialEmpty", "credential",
				   call->credential);
	if (c->expires_us && c->expires_us <= req->now_us)
		return reply_credential_expired(req, call->credential, c->expires_us);
	if (!lasts(call, req->now_us, c->expires_us))
		return reply_lifetime(req, 0, c->expires_us - req->now_us);
	f = (struct fetched){
		.value = open_value(a, c),
		.is_data = c->form == CREDENTIAL_DATA,
		.revision = c->revision,
		.expires_us = c->expires_us,
	};
	if (call->as_fd.value) {
		fd = sealed_memfd(f.value);
		if (fd < 0)
			return no_descriptor(req, fd);
	}
	last_use_fetched(a, call->credential, req->now_us,
			 peer_label(req->connection));
	audit_fetched(req, call->credential);
	return give(req, &f, fd);
}

/* ---- minted ones ----------------------------------------------------------------------------- */

/* Prepares the token and its reply, and hands both over. holder: as for mint_submit(). */
static enum dispatched bring_in(struct request *req, const struct fetch_call *call,
				struct token_facts *facts, struct holder_entry *holder)
{
	struct agent *a = req->agent;
	struct vault_change *change = vault_change_new(a->vault);
	struct fetched f = { .value = { a->scratch->value, TOKEN_LEN } };
	int r = change ? mint(a, change, facts, REF_NONE) : -ENOMEM, fd = -1;

	if (r == 0 && call->as_fd.value)
		r = fd = sealed_memfd(f.value);
	if (r < 0) {
		mint_done(a);
		vault_rollback(change);
		holder_unpin(a, holder);
		return call->as_fd.value && r != -ENOSPC ? no_descriptor(req, r) : mint_failed(req);
	}
	f.expires_us = facts->expires_us;
	f.token_id = facts->id;
	give(req, &f, fd);
	mint_done(a);
	last_use_fetched(a, call->credential, req->now_us, facts->issued_to);
	return mint_submit(req, change, facts->id, holder);
}

static enum dispatched fetch_minted(struct request *req, const struct fetch_call *call,
				    const struct policy_credential *c)
{
	struct agent *a = req->agent;
	uint8_t packed[PACKED_MAX];
	struct token_facts facts;
	struct holder_entry *holder;
	enum dispatched answer;
	bool ok;

	if (!c->owner.exists)
		return refuse(req, call->credential, "there is no such user as its Owner=");
	if (mint_facts_of(a, c, req->now_us, packed, &facts) == IDENTITY_WAIT)
		return change_wait_names(req);
	facts.issued_to = peer_label(req->connection);
	if (!lasts(call, req->now_us, facts.expires_us))
		return reply_lifetime(req, 0, facts.length_us);
	if (vault_n_minted(a->vault, call->credential) >= c->max_tokens)
		return reply_limit(req, "MaxTokens", (int64_t)c->max_tokens);
	answer = mint_bind_to_peer(req, &facts, &holder, &ok);
	return ok ? bring_in(req, call, &facts, holder) : answer;
}

/* ---- Fetch ----------------------------------------------------------------------------------- */

enum dispatched method_fetch(struct request *req)
{
	const struct policy_credential *credential;
	struct fetch_call call;
	struct bad_parameter bad;
	const char *why;

	if (!params_read(&req->call.params, fetch_fields, ARRAY_SIZE(fetch_fields),
			 &req->agent->text, &call, sizeof(call), &bad))
		return reply_bad_parameter(req, &bad);
	if (!credential_name_is_valid(call.credential))
		return reply_invalid_parameter(req, "credential");
	if (call.min_lifetime_s.value < 0)
		return reply_invalid_parameter(req, "minLifetimeSec");
	req->about.credential = call.credential;
	credential = policy_find_credential(req->agent->policy, call.credential);
	why = why_not(req, call.credential, credential);
	if (why)
		return refuse(req, call.credential, why);
	return credential->minted ? fetch_minted(req, &call, credential) : fetch_held(req, &call);
}
