/*
 * tests/fuzz/agent-model.h - what the clients of the agent know by what it has told them, and what
 * therefore must hold for all that it tells them from then on.
 *
 * The model is on the clients' side: it looks at replies, and knows accounts, policies and time as
 * the target has made them, but nothing of how the agent decides.
 */
#pragma once

#include "protocol/json.h"
#include "tests/fuzz/agent-world.h"

enum { TOKENS_MAX = 64, SCOPES_KNOWN = 8, ALL_SCOPES = (1 << SCOPES_KNOWN) - 1, NO_TOKEN = -1 };

enum method {
	METHOD_ISSUE,
	METHOD_DERIVE,
	METHOD_VERIFY,
	METHOD_LIST,
	METHOD_DESCRIBE,
	METHOD_REVOKE,
	METHOD_ROTATE,
	METHOD_PUT,
	METHOD_FORGET,
	METHOD_LIST_CREDENTIALS,
	METHOD_FETCH,
	METHOD_WATCH,
	METHOD_STATUS,
	METHOD_EXPLAIN,
	METHOD_RELOAD,
	METHOD_LOCK,
	METHOD_UNLOCK,
	METHOD_REKEY,
	METHOD_BACKUP,
	METHOD_AUDIT,
	METHOD_INFO,
	METHOD_INTERFACE,
	METHODS,
};

struct method_facts {
	const char *name; /* with its interface */
	bool needs_more;
	bool reply_is_point;
	bool administrators;
	bool when_locked;
	const char *members; /* that the parameters of a good reply begin with, between spaces */
};
extern const struct method_facts methods[METHODS];

/* A token whose issue some client was told of. */
struct known_token {
	char value[68];
	char id[12];
	uid_t owner;
	unsigned scopes; /* bits of what it was issued for, at most */
	uint64_t expires_us;
	int parent;	      /* or NO_TOKEN */
	int replaces;	      /* or NO_TOKEN */
	unsigned n_rotations; /* asked for */
	bool bound, limited;
	bool revoked;	     /* as somebody was told */
	bool may_have_ended; /* somebody has asked for that, and may not have been told */
};

/* A call that was sent and not answered yet. */
struct asked {
	enum method method;
	int token;	 /* presented or named, or NO_TOKEN */
	unsigned scopes; /* Verify: bits of those asked for */
	bool has_owner;	 /* Issue: for somebody else */
	uint64_t at_us;
	unsigned policies; /* in force since then, a bit each */
	bool was_revoked;  /* the token, as somebody was told by then */
	bool was_locked;   /* the agent, from then on */
	bool must_be_good; /* nothing speaks against it, so far */
};

struct model {
	struct agent_world *world;
	struct known_token tokens[TOKENS_MAX];
	size_t n_tokens;
};

/* The universe of plain scopes that the target asks for, by bit. */
extern const char *const scopes_known[SCOPES_KNOWN];

/* The number of the token of this id, or NO_TOKEN. */
int model_find(const struct model *m, struct span id);

/* Fills in what is known at this moment of a call that is about to be sent. */
void model_asks(const struct model *m, struct asked *asked);

/*
 * Somebody is about to ask for this token's end, or for another in its place; then one that was
 * given out before for that, and was not used, goes as well.
 */
void model_is_to_end(struct model *m, int token);
void model_is_to_rotate(struct model *m, int token);

/* Policies may have changed, or the agent was locked or unlocked, while the call is under way. */
void model_notes(const struct model *m, struct asked *asked);

/* Any token may have been ended by bytes that nobody has understood. */
void model_doubts(struct model *m);

/*
 * Holds a reply, of n bytes without its NUL, to what must be; asked NULL: to any call. Whether more
 * replies to the same call follow.
 */
bool model_replied(struct model *m, enum whom who, const struct asked *asked, const char *reply,
		   size_t n);
