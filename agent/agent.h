/*
 * agent/agent.h - the one agent of this process: what its parts share. main.c builds it, from the
 * settings down to the sockets, and takes it down in the opposite order.
 */
#pragma once

#include <systemd/sd-event.h>
#include <time.h>

#include "agent/aside.h"
#include "agent/event.h"
#include "agent/lockbox.h"
#include "agent/log.h"
#include "agent/names.h"
#include "agent/paths.h"
#include "agent/policy/access.h"
#include "agent/sandbox.h"
#include "agent/secretmem.h"
#include "agent/settings.h"
#include "agent/store.h"
#include "agent/unit-name.h"
#include "agent/unsealing.h"
#include "agent/vault.h"
#include "agent/wall-clock.h"
#include "protocol/call-read.h"
#include "protocol/frame.h"

struct connection;
struct listener;
struct loop;
struct deferred;
struct pending;
struct holders;
struct watch;
struct candidate;
struct loadcred;
struct credentials;
struct audit;
struct lock;
struct carried;
struct memory_dir;
struct backup;
struct restore;
struct waiter;
struct maps;

#ifndef JETON_VERSION
#define JETON_VERSION "0.1"
#endif

enum {
	SMALL_BUF = 4 * 1024, /* what a connection borrows while it is busy */
	/*
	 * Replies are sent together up to here. With one more of the usual length they still fit into a small buffer, where
	 * the other end does not take them: large ones are few for each user.
	 */
	OUT_FLUSH = SMALL_BUF - 1024,
	OUT_MOST = 28 * 1024, /* likewise where the socket is sure to take them all */
	LARGE_BUF = OUT_MOST +
		    128 * 1024, /* holds the largest message, or replies and one of the largest */
	OUTBOX_BYTES = 40 * 1024,
	OUTBOX_CONNECTIONS = 64,
	LARGE_BUFS_PER_USER = 4,
	BUFFERS_LIMIT = 32 * 1024 * 1024, /* locked memory for buffers, beside the records */
	ADMIN_CONNECTIONS = 64,		  /* kept free for administrators */
};

/*
 * Locked memory that one call at a time uses: the loop is one thread, and no call is left half-way
 * on it.
 */
struct scratch {
	char out[OUTBOX_BYTES + LARGE_BUF]; /* replies: those that wait, and those that are made */
	char text[FRAME_BUF_MAX];   /* strings that were written with escapes */
	uint8_t record[RECORD_MAX]; /* on its way to the store */
	uint8_t hash[TOKEN_HASH_LEN];
	char value[128]; /* a token's value, while it is made */
	uint8_t random[32];
	uint8_t credentials_key[32]; /* of held values, for as long as the agent runs unlocked */
	struct lock_room {	     /* of lock.c, and of its thread while that runs */
		char passphrase[PASSPHRASE_MAX];
		size_t passphrase_n;
		struct lockbox_room box;
		uint8_t keys[64];
	} lock;
};

/* Replies that are sent at the turn's end. */
struct outbox {
	unsigned n;
	size_t n_bytes; /* at the start of scratch->out */
	struct {
		struct connection *connection; /* NULL: gone */
		size_t n_bytes;
	} of[OUTBOX_CONNECTIONS];
};

/* A user as a client: what it takes up. */
struct client {
	struct client *next;
	uid_t uid;
	unsigned n_connections;
	unsigned n_large;
	struct connection *again_first, *again_last; /* that wait for a turn: turns.c's, as all that follows */
	struct client *turns_next, *turns_prev;
	bool in_turns;
	uint64_t round;	  /* that n_spent is about */
	unsigned n_spent; /* messages */
};

struct agent {
	sd_event *event;
	struct loop *loop; /* beside it: connections */
	struct {
		bool is_one;			/* the loop has begun */
		uint64_t real_us, monotonic_us; /* 0: nobody has asked yet */
	} turn;
	bool sources_changed; /* of sd-event, outside of what it calls: loop.c looks at them then */
	struct settings settings;
	struct paths paths;
	bool user; /* a user's own agent */
	uid_t uid; /* that it runs as */

	struct sandbox sandbox;
	struct secretmem mem;
	struct region scratch_region;
	struct scratch *scratch;
	struct json_scratch *json; /* keys' positions: no secrets, ordinary memory */
	struct outbox outbox;
	struct json_writer out;	   /* into scratch->out, behind what waits there */
	size_t out_most;	   /* bytes that may gather in it before they are sent */
	struct text_space text;	   /* into scratch->text */
	bool out_has_value;	   /* something in out must be wiped */
	int out_fd;		   /* goes with the last reply in out; -1: none */
	size_t out_fd_at;	   /* where that reply starts */
	struct pool small, large;

	struct names *names;
	gid_t admin_gid;
	bool has_admin_gid;
	struct candidate *candidates; /* policies on their way into force */
	struct policy *policy; /* NULL until the first one's names are looked up: calls wait */
	uint64_t access_generation; /* grows when policies or accounts change: kept decisions of before are void */
	bool refusing; /* started with wrong policies */
	bool locked;   /* by a passphrase: see lock.h */
	struct lock *lock;
	struct policy_error policy_error;
	uint64_t policies_loaded_us;

	struct vault *vault;
	struct memory_dir *memory_dir; /* where the store is with Storage=volatile; else NULL */
	struct store *store;
	int anchor_error; /* as it was told last: see store_anchor_error() */
	enum unsealed unsealed; /* by which key it was opened */
	struct holders *holders;
	struct unit_names unit_names; /* of those who ask */
	struct events events;
	struct watch *watches;	       /* all that stand */
	sd_event_source *watch_source; /* tells them of what is new */
	bool reload_untold;	       /* its event could not be kept yet */
	struct credentials *credentials;
	struct carried *carried; /* notes of last uses; NULL: there is no place for them */
	struct {
		unsigned n_parts; /* that are under way; 0: no round is */
		size_t n_uses;	  /* still to be kept by this round */
		size_t n_fetches; /* in the change under way */
		bool failed;
		bool again; /* another round was asked for meanwhile */
		uint64_t retry_us; /* after one that failed: not before, monotonic */
	} keep;		    /* last-use.c's */
	struct audit *audit;
	struct maps *maps; /* that verifiers have; NULL: none ever had one */
	uint64_t *denied; /* ids: see denied.h */
	size_t n_denied;
	sd_event_source *expiry_timer, *keep_timer, *names_timer;
	uint64_t next_expiry_us; /* where expiry_timer stands */
	struct wall_clock wall_clock;
	sd_event_source *store_source, *names_source;
	struct deferred *deferred_first, *deferred_last;
	struct pending *waiting_calls; /* whose end is not known yet */
	bool sweeping, forgetting; /* a change of upkeep.c is under way */

	struct listener *listener, *credential_listener;
	struct loadcred *loadcreds; /* units whose credentials are being sent */
	struct backup *backups;	    /* on their way to who asked for them */
	unsigned n_backups;
	struct restore *restore; /* that is under way */
	struct waiter *restore_waiters; /* calls that wait for it */
	struct aside restore_removal;	/* of its file */
	uint64_t restore_rests_until_us; /* after one that failed; monotonic */
	struct connection *connections; /* all */
	size_t n_connections;
	struct client *clients[256];
	struct connection *half_first, *half_last;	 /* with half a message, by deadline */
	struct connection *unread_first, *unread_last;	 /* with replies unread, by deadline */
	struct client *turns_first, *turns_last;	 /* with connections that wait for a turn */
	size_t n_turns;
	uint64_t round;
	struct connection *waiting_first, *waiting_last; /* for a large buffer */
	sd_event_source *deadline_timer;
	unsigned n_answering;
	unsigned n_changes; /* on their way to the store */
	bool stopping;
	sd_event_source *stop_timer;

	uint64_t started_us;
	uint64_t verified_total, denied_total;
	uint64_t n_calls, n_calls_before; /* now, and when upkeep last looked */
	uint64_t n_quiet; /* of these: answered from memory, with no source of sd-event touched */
	bool is_trimmed;

	struct log_limit limit_bad_bytes, limit_late, limit_room, limit_refused, limit_full, limit_store, limit_fds;
};

/*
 * Builds the agent from its settings and paths, which are set, down to the socket. What can't be is
 * said in the log. Returns 0 or a negative errno; agent_done() in either case.
 */
int agent_start(struct agent *a) MUST_USE;

/* Serves until it is told to stop. 0 or a negative errno. */
int agent_run(struct agent *a) MUST_USE;

/* Keeps what is not kept yet, and takes everything down. */
void agent_done(struct agent *a);

/*
 * Takes no more calls, answers those under way, and ends the loop: within a second. Harmless twice.
 */
void agent_stop(struct agent *a);

/* The user whose manager's units count: of a user's own agent that user, else nobody ((uid_t)-1): the system's. */
static inline uid_t agent_manager_uid(const struct agent *a)
{
	return a->user ? a->uid : (uid_t)-1;
}

/* Closes the descriptor that goes with the last reply in out, if one does. */
static inline void agent_drop_out_fd(struct agent *a)
{
	if (a->out_fd >= 0)
		close(a->out_fd);
	a->out_fd = -1;
}

/* A clock in µs, read once in each turn of the loop in which somebody asks; before the first one, each time. */
static inline uint64_t agent_clock(const struct agent *a, clockid_t clock, uint64_t *kept_us)
{
	struct timespec t;

	if (*kept_us == 0 || !a->turn.is_one) {
		clock_gettime(clock, &t);
		*kept_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
	}
	return *kept_us;
}

/* The time of this turn of the loop, µs since the epoch. */
static inline uint64_t agent_now(struct agent *a)
{
	return agent_clock(a, CLOCK_REALTIME, &a->turn.real_us);
}

static inline uint64_t agent_monotonic(struct agent *a)
{
	return agent_clock(a, CLOCK_MONOTONIC, &a->turn.monotonic_us);
}
