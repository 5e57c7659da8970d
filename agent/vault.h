/*
 * agent/vault.h - the active tokens, in locked memory: found by id, listed by owner, ended in time.
 *
 * It knows no socket, JSON, policy or disk. Changes are made in two steps, so that nothing is seen
 * before it is durable: vault_prepare_*() notes the steps of a change and reserves all memory they
 * need; when the store has kept the change, vault_commit() makes it visible, which cannot fail;
 * when not, vault_rollback() drops it. Changes are committed in the order they were prepared, or
 * rolled back in the opposite order, all that are under way together: the store promises that.
 *
 * A token costs its record (a fixed part of about 100 bytes, its name, its scopes), a slot of the
 * index and one of the order of expiry: under 160 bytes for a 16-byte name and one ordinary scope.
 * What few tokens have (a parent, children, uses, a holder, a life that is no whole seconds long)
 * costs those that have it another 72 bytes or more.
 *
 * All of it is the loop thread's.
 */
#pragma once

#include "agent/record.h"
#include "agent/secretmem.h"
#include "agent/token-facts.h"

struct vault;

/*
 * A token in the vault; REF_NONE is none. It stays the same until the token ends and may name
 * another afterwards.
 */
typedef uint32_t token_ref;
#define REF_NONE 0U

/*
 * An owner: a uid and the name that it had when the tokens were issued. Lives while it has tokens
 * (active, prepared or ended). `access` is the agent's, to keep there what it worked out for this
 * owner; on_owner_free is told before it goes.
 */
struct owner {
	uid_t uid;
	struct span name;  /* p NULL: none. In locked memory */
	uint32_t n_active; /* with those prepared and not yet visible */
	uint32_t n_minted; /* of these: for a credential */
	uint32_t n_ended;
	void *access;
};

/*
 * An empty vault. memory_limit: bytes of locked memory for records and indexes, at most. Locks the
 * first step at once (about 300 KiB). on_owner_free may be NULL.
 * Returns 0 or -ENOMEM: memory_limit or the limit on locked memory does not hold even an empty
 * vault.
 */
int vault_new(struct secretmem *mem, size_t memory_limit,
	      void (*on_owner_free)(struct owner *owner), struct vault **ret) MUST_USE;

/*
 * Frees it with all owners (on_owner_free is told). Changes and cursors must have ended before.
 * NULL is fine.
 */
void vault_free(struct vault *v);

size_t vault_locked_bytes(const struct vault *v); /* of memory_limit; what was taken is kept */
size_t vault_n_active(const struct vault *v);	  /* visible ones */
size_t vault_n_ended(const struct vault *v);

/* The highest row that any token ever had, prepared ones included. */
uint64_t vault_highest_row(const struct vault *v);

/* ---- looking --------------------------------------------------------------------------------- */

/* The visible token of this id. */
token_ref vault_find(const struct vault *v, uint64_t id);

/*
 * The same, with the same steps whether there is one or not: see index_find_evenly(). *ret_looked: the
 * same, or where there is none some other token, which is to be looked at in its place; REF_NONE where
 * there is no token at all.
 */
token_ref vault_find_evenly(const struct vault *v, uint64_t id, token_ref *ret_looked);
const struct ended_token *vault_find_ended_evenly(const struct vault *v, uint64_t id);

/*
 * Fills *ret, the hash too; spans live until the vault changes. state is TOKEN_ACTIVE, also of a
 * token that is about to end.
 */
void vault_facts(const struct vault *v, token_ref ref, struct token_facts *ret);

/* Whether the hash of its secret is this one; takes the same time wherever they differ. */
bool vault_hash_is(const struct vault *v, token_ref ref, const uint8_t hash[static TOKEN_HASH_LEN]);

/* Cheap parts of the facts, for the hot path. */
uint64_t vault_expires_us(const struct vault *v, token_ref ref);

/*
 * Whether its time is over by now_us, or ever was when its end was prepared: a clock that was set
 * back, or a store that fails, gives it no more.
 */
bool vault_is_over(const struct vault *v, token_ref ref, uint64_t now_us);

/* Whether its end, prepared at its time, was not kept. */
bool vault_is_over_unkept(const struct vault *v, token_ref ref);

/* Whether it is active, no end of it is under way, and it was never found to be over. */
bool vault_is_sound(const struct vault *v, token_ref ref);
bool vault_is_bound(const struct vault *v, token_ref ref); /* to a process or a unit */
int64_t vault_uses_left(const struct vault *v, token_ref ref);
struct owner *vault_owner(const struct vault *v, token_ref ref);

/* The owner of this uid and name (p NULL: no name), or NULL where it has no tokens. */
struct owner *vault_find_owner(const struct vault *v, uid_t uid, struct span name);

/* Active children, those prepared included. */
unsigned vault_n_children(const struct vault *v, token_ref ref);

/* Tokens of this credential, those prepared and those ending included. */
uint32_t vault_n_minted(const struct vault *v, struct span credential);

/*
 * The next owner after `after` (NULL: the first), in no order; NULL at the end. Valid while no
 * change is made.
 */
struct owner *vault_next_owner(const struct vault *v, const struct owner *after);

/*
 * Walks visible tokens, the newest first, over any number of calls with changes in between: tokens
 * that end are passed over, new ones are not seen. all: of all owners; else of `owner`, and where
 * that is NULL of nobody. It stops by itself when the owner goes.
 */
struct vault_cursor {
	struct vault *vault;
	struct owner *owner;
	token_ref at;
	bool all;
	struct vault_cursor *next, *prev; /* the vault's */
};
void vault_cursor_init(struct vault_cursor *c, struct vault *v, struct owner *owner, bool all);
token_ref vault_cursor_peek(const struct vault_cursor *c); /* REF_NONE at the end */
void vault_cursor_step(struct vault_cursor *c);
void vault_cursor_done(struct vault_cursor *c); /* also when at the end; harmless twice */

/* ---- ended tokens: kept in the store, remembered here by a few bytes of ordinary memory each - */

struct ended_token {
	uint64_t id;
	uint64_t row;
	uint64_t ended_us;
	struct owner *owner;
	uint32_t version;
	uint32_t hash_prefix; /* 4 bytes of the hash: spares the store a look-up for each guess */
};

/* The ended token of this id, or NULL. Valid until the vault changes. */
const struct ended_token *vault_find_ended(const struct vault *v, uint64_t id);

/* Whether this could be the hash of its secret, as far as it is remembered. */
bool ended_hash_may_be(const struct ended_token *e, const uint8_t hash[static TOKEN_HASH_LEN]);

/* ---- changing -------------------------------------------------------------------------------- */

enum step_kind {
	STEP_INSERT, /* a new token */
	STEP_END,    /* leaves the vault for the store's ended ones */
	STEP_UPDATE, /* other facts of a token that stays: replaced, cut short, used */
	STEP_FORGET, /* an ended token is no longer kept */
	STEP_RECALL, /* a token that ended elsewhere is among the ended ones */
};

/*
 * What a change does, step by step, in order. Made by the prepare functions, owned by the caller,
 * who ends it with vault_commit() or vault_rollback() (each frees it), or with vault_rollback() at
 * once where preparing failed halfway. vault_change_n() steps are to be made durable as
 * vault_change_row() has them.
 *
 * Changes are under way in the order of their first steps. A change with no steps is under way not
 * at all, and may be ended whenever.
 */
struct vault_change;

struct vault_change *vault_change_new(struct vault *v); /* NULL: no memory */
size_t vault_change_n(const struct vault_change *c);

/* What step i means for the store. */
struct vault_row {
	enum step_kind kind;
	uint64_t row;
	uint64_t id;
	uid_t owner_uid;
	uint32_t old_version; /* of the row as it stands; 0 for an insert */
	uint32_t version;     /* of the row after the step; 0 for a forget */
	size_t n;	      /* bytes of record written to dst; 0 for a forget */

	/* What happens to the token; not of a forget or a recall. */
	struct span owner_name; /* valid until the vault changes */
	enum token_state state; /* after the step */
	bool is_derived;	/* it has a parent */
	bool is_replaced;	/* by this step, which is an update */
	enum end_reason reason; /* of an end */
	struct span credential; /* that it was minted for; p NULL: none. As long as owner_name */
};

/*
 * The record is made from the token as it stands now. So ask for all rows right after preparing,
 * before another change is prepared; of several steps on one token in one change all but the last
 * then have the record of the last. The first step that vault_prepare_end() adds is the token's
 * own, its descendants' follow.
 */
void vault_change_row(const struct vault_change *c, size_t i, uint8_t dst[static RECORD_MAX],
		      struct vault_row *ret);

/*
 * A new token with all of *facts but row and parent, which the vault gives and writes back (the id
 * is the caller's, fresh: see vault_id_is_taken()). state must be TOKEN_ACTIVE; instants may be up
 * to the year 11104; no child outlives its parent. A parent is named by ref, which may not be busy.
 * *ret_ref (may be NULL) may be asked for facts at once; it is found by id only after the commit.
 * Returns 0; -EBUSY (the parent is); -ENOSPC (the arena is full: memory_limit or the limit on
 * locked memory) or -ENOMEM.
 */
int vault_prepare_insert(struct vault_change *c, struct token_facts *facts, token_ref parent,
			 token_ref *ret_ref) MUST_USE;

bool vault_id_is_taken(const struct vault *v, uint64_t id); /* visible, prepared or ended */

/*
 * Ends a token with all that was derived from it, prepared ones included; the descendants' reason
 * is END_PARENT, their state TOKEN_REVOKED. A descendant that is already ending is passed over. A
 * token that is busy, or has descendants that are rotated at this moment, is -EBUSY, and nothing
 * was prepared: try again when what is under way is done. What vault_prepare_replace() did to the
 * token in this same change is no hindrance: this is how one is replaced without grace. Returns 0,
 * -EBUSY or -ENOMEM.
 */
int vault_prepare_end(struct vault_change *c, token_ref ref, enum token_state state,
		      enum end_reason reason, uint64_t ended_us) MUST_USE;

/*
 * Puts a token that has ended among the ended ones, though it was never active here: a backup tells
 * of it. All of *facts but row, which the vault gives and writes back; its id is not taken. *facts
 * and what it points to must live until the change's rows are made. It is known as ended at once,
 * which is what it is in any case.
 * Returns 0; -ENOSPC (no room for its owner) or -ENOMEM.
 */
int vault_prepare_recall(struct vault_change *c, struct token_facts *facts) MUST_USE;

/*
 * Notes that `by` (an id, prepared in the same change) replaces the token, and cuts its life and
 * its descendants' to end at expires_us (where it does not end sooner). -EBUSY as for
 * vault_prepare_end().
 * Returns 0, -EBUSY, -ENOSPC (the arena is full) or -ENOMEM.
 */
int vault_prepare_replace(struct vault_change *c, token_ref ref, uint64_t by, uint64_t expires_us)
	MUST_USE;

/*
 * Takes one use of a token that has a limit, at once, so that no other call gets it; a rollback
 * gives it back. The last one ends the token (state revoked, END_USES) with the commit. *ret_left:
 * what is left after it.
 * Returns 0, -ENOENT (none left: another call under way has the last), -EBUSY (the token is ending
 * otherwise) or -ENOMEM.
 */
int vault_prepare_use(struct vault_change *c, token_ref ref, uint64_t now_us, struct span by,
		      int64_t *ret_left) MUST_USE;

/*
 * Up to max tokens whose last use is not in the store yet, those first used longest ago, as
 * updates. *ret_n: how many. 0 or -ENOMEM.
 */
int vault_prepare_last_used(struct vault_change *c, size_t max, size_t *ret_n) MUST_USE;

/*
 * How many such tokens there are, or a few more: once so many were prepared, all that are among them
 * now have been.
 */
size_t vault_n_unkept(const struct vault *v);

/* Calls back for each of them. */
void vault_each_unkept(const struct vault *v, void (*on_token)(void *userdata, token_ref ref),
		       void *userdata);

/*
 * Up to max tokens that have come to their end by now_us and are not yet ending, as ends at their
 * own time: state expired, reason END_EXPIRED, or END_ROTATED where a rotation cut them short;
 * where their parent's did, state revoked and END_PARENT. *ret_n: how many. 0 or -ENOMEM.
 */
int vault_prepare_expired(struct vault_change *c, uint64_t now_us, size_t max, size_t *ret_n)
	MUST_USE;

/*
 * The same of one token that is over (vault_is_over()) and not ending, and of all below it, out of
 * turn. 0 or -ENOMEM.
 */
int vault_prepare_over(struct vault_change *c, token_ref ref, uint64_t now_us) MUST_USE;

/* How many tokens that are over have their end prepared, and not kept yet. */
size_t vault_n_over_ending(const struct vault *v);

/*
 * Up to max ended tokens that ended before before_us, or beyond the max_per_owner last of an owner,
 * as forgets; the first to end first. Ended ones are in the order of their commits (after loading:
 * of their time), and the first that is too young hides older ones behind it. *ret_n: how many. 0
 * or -ENOMEM.
 */
int vault_prepare_forget(struct vault_change *c, uint64_t before_us, uint32_t max_per_owner,
			 size_t max, size_t *ret_n) MUST_USE;

/* When the next token ends (that is not already ending), µs since the epoch; UINT64_MAX: none. */
uint64_t vault_next_expiry_us(const struct vault *v);

/* Whether the end of that token was prepared before, and not kept. */
bool vault_is_next_unkept(const struct vault *v);

/*
 * A change to this token is under way (it is being made, replaced or ended, or cut short with its
 * parent), other than its uses being counted: wait for it before making another.
 */
bool vault_is_busy(const struct vault *v, token_ref ref);

/* Makes the change visible and frees it. Cannot fail. */
void vault_commit(struct vault_change *c);

/* Drops the change and frees it. NULL is fine. */
void vault_rollback(struct vault_change *c);

/*
 * Counts a successful verification at now_us by whoever `by` names; reaches the store by
 * vault_prepare_last_used(). No allocation where the label is the one it had. (Where a label can't
 * be kept, the old one goes and none stands there.)
 */
void vault_used(struct vault *v, token_ref ref, uint64_t now_us, struct span by);

/*
 * From now on on_token is told of each token that is or may soon be another: when it has come, when
 * its end or the cutting of its life is prepared, and when that is rolled back; before anybody else
 * is. It looks, and changes nothing here. NULL: nobody is told.
 */
void vault_watch(struct vault *v, void (*on_token)(void *userdata, token_ref ref), void *userdata);

/* ---- loading: at start, before anything else ------------------------------------------------- */

/*
 * Before the first: so many active ones will come, so that what finds them need not grow on the way.
 * It does no harm if more or fewer do. 0 or -ENOSPC: there is no room for them.
 */
int vault_expect(struct vault *v, size_t n_active) MUST_USE;

/*
 * A record from the store, visible at once. Rows may come in any order, parents before or after
 * their children.
 * 0, -ENOSPC, -ENOMEM, or -EBADMSG (an ended one's id twice, or an id of both tables; a state that is
 * not of the table).
 */
int vault_load_active(struct vault *v, const struct token_facts *facts, uint32_t version) MUST_USE;
int vault_load_ended(struct vault *v, const struct token_facts *facts, uint32_t version) MUST_USE;

/*
 * The highest row that the store ever had (store_highest_row()): the next token has a higher one.
 */
void vault_set_highest_row(struct vault *v, uint64_t row);

/*
 * Ties children to parents and puts all in order. Returns 0; -EBADMSG where a parent is missing, is
 * no older than its child or has another owner, or an id or a row is there twice; -ENOSPC or
 * -ENOMEM.
 */
int vault_load_done(struct vault *v) MUST_USE;
