/*
 * agent/reply.h - the agent's half of writing: replies and errors, straight into agent->out.
 * Nothing is written for a call that is oneway. All return DISPATCH_DONE, so that a handler may end
 * with them.
 */
#pragma once

#include "agent/request.h"
#include "agent/token-facts.h"

/*
 * A reply: reply_begin(), members by json_key() and the like, reply_end(). Between them nothing
 * else is written to out. `continues`: more replies to this call follow.
 */
struct json_writer *reply_begin(struct request *req);
enum dispatched reply_end(struct request *req);
enum dispatched reply_end_continues(struct request *req);

/*
 * A reply of many, held back until it is known whether another follows, as the last one says so. The
 * value is one member of it, `key`. Zeroed but for the key is none yet.
 */
struct held_reply {
	const char *key;
	size_t n;
	char value[32 * 1024]; /* any token or credential, all of it escaped */
};

/* Lets go of the reply before, and starts *ret_w on the value of this one, for held_end(). */
void held_begin(struct held_reply *h, struct request *req, struct json_writer *ret_w);
void held_end(struct held_reply *h, const struct json_writer *w);
/* Lets go of the last one; where there was none, of one whose value is null. */
void held_last(struct held_reply *h, struct request *req);

/* A reply with no parameters. */
enum dispatched reply_empty(struct request *req);

/* Takes back what was written for this request, and closes the descriptor that goes with it. */
void reply_drop(struct request *req);

/* A member with a token's id; 0: null. */
void write_id(struct json_writer *w, const char *key, uint64_t id);

/* A token's public facts, as a value. */
void write_token(struct json_writer *w, const struct token_facts *facts);

/* An error with any parameters: as reply_begin(). */
struct json_writer *reply_error_begin(struct request *req, const char *error);

/* Errors with one parameter, or none (parameter NULL). */
enum dispatched reply_error(struct request *req, const char *error, const char *parameter,
			    struct span value);
enum dispatched reply_invalid_parameter(struct request *req, const char *name);
enum dispatched reply_bad_parameter(struct request *req, const struct bad_parameter *bad);
enum dispatched reply_permission_denied(struct request *req);
enum dispatched reply_limit(struct request *req, const char *limit, int64_t max);
enum dispatched reply_lifetime(struct request *req, uint64_t min_us, uint64_t max_us);
enum dispatched reply_invalid_token(struct request *req);
enum dispatched reply_no_such_token(struct request *req);
enum dispatched reply_no_such_credential(struct request *req, struct span name);
enum dispatched reply_token_expired(struct request *req, const struct token_facts *facts);
enum dispatched reply_token_revoked(struct request *req, uint64_t id);
enum dispatched reply_wrong_bearer(struct request *req, uint64_t id); /* counted as a refusal */
enum dispatched reply_binding_unavailable(struct request *req, enum token_binding binding);
enum dispatched reply_agent_locked(struct request *req);
enum dispatched reply_not_locked(struct request *req);
enum dispatched reply_wrong_passphrase(struct request *req, unsigned retry_after_s);
enum dispatched reply_policy_invalid(struct request *req, const struct policy_error *error);
void reply_store_failed(struct request *req, void *unused);
