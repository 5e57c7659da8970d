/*
 * jeton.h - ask the token agent, from C. Nothing here shows how the agent is spoken to. libjeton(3)
 * has a tour.
 *
 * A handle is one connection, made at the first call and made anew when it was lost. Calls block,
 * up to the handle's timeout (10 s unless set). A handle is for one thread at a time; different
 * handles are independent of each other. A verifier (struct jeton_verifier) is for any number.
 *
 * Results. Unless it says otherwise a function returns
 *   0                             done
 *   a negative errno              trouble on this side or on the way: see "Local errors"
 *   a positive enum jeton_error   what the agent answered, or JETON_ERROR_UNTRUSTED_AGENT
 * and jeton_error_message() says it in a sentence for people. Outputs (ret_...) are untouched on
 * failure, and may be NULL where they are not wanted.
 *
 * Ownership. All that a call gives (structs, strings, lists) belongs to the handle and is good
 * until the next call on that handle, which may be given it and then wipes it. Inside a callback it
 * is good until the callback returns. Descriptors belong to the caller, are close-on-exec, and stay
 * open. jeton_token_dup() keeps a token's facts for longer.
 *
 * Structs that the library gives grow at their end in later versions: never copy or allocate them
 * by size. Structs that the caller fills are set up by their _INIT macro, which tells the library
 * how large they were when the caller was compiled. Enumerations grow too: each has a member OTHER,
 * or text, for what a newer agent says.
 *
 * Optional numbers are int64_t, and JETON_UNSET where there is none. Instants are µs since the
 * epoch (..._us), durations whole seconds (..._s). Lists of strings end with NULL.
 *
 * Fork. A handle made before fork() is refused in the child with -ECHILD, before a byte moves; only
 * jeton_free() is allowed there, and leaves the parent's connection alone.
 *
 * Secrets. Values live in memory that is locked where the limits allow, kept out of core dumps and
 * absent in children, and wiped when they end. Before a value is sent, the agent's socket must be
 * served by root, by the user `jeton` or by the caller's own uid, or the call ends with
 * JETON_ERROR_UNTRUSTED_AGENT and nothing was sent.
 *
 * Local errors
 *   -ENOENT -ECONNREFUSED   no agent at the socket
 *   -EACCES                 this process may not connect to the socket
 *   -ETIMEDOUT              the agent did not answer in time
 *   -ECONNRESET             the agent closed the connection before it answered; a change may have
 *                           been made or not
 *   -EBADMSG                the answer is none that this interface has; the connection was closed
 *   -EINVAL                 an argument can't be right: NULL where a text is needed, not UTF-8, a
 *                           struct without its _INIT
 *   -EMSGSIZE               what should be sent is over the protocol's 128 KiB
 *   -EBUSY                  the handle is in a callback, or watches
 *   -ECHILD                 the handle was made in another process
 *   -ENOMEM and the like    as the system call said
 * After any of them the handle is as good as new.
 *
 * Repeats. A restart of the agent is a pause. Where it ended before it read the whole of a call (the
 * kernel tells), the call is made again on a new connection, whatever it is. Where it may have acted
 * on it, those calls are made again that do no harm twice: Describe, List, ListCredentials,
 * GetStatus, Explain, ReadAudit, Watch (unless a callback has seen something), Verify, Fetch and
 * Revoke. So a crash of the agent (a stop answers first) may cost a token with a limit two uses
 * rather than one, and leave a minted token that nobody has. The others end with -ECONNRESET. An
 * agent that this handle was connected to may be away for 3 seconds, within the handle's timeout,
 * where it makes its socket itself; systemd's socket is there all the time.
 */
#ifndef JETON_H
#define JETON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define JETON_MUST_USE __attribute__((warn_unused_result))
#else
#define JETON_MUST_USE
#endif

/* An optional number that is not there. */
#define JETON_UNSET (-1)

/* The length of a token's value, less its NUL. */
#define JETON_TOKEN_LEN 67

/* What the agent answered. Values never change; jeton_error_info() has what comes with each. */
enum jeton_error {
	JETON_OK = 0,

	/* An error that this version does not know: error_info's name has it. */
	JETON_ERROR_OTHER = 1,
	/* The socket is served by neither root, `jeton` nor the caller: nothing was sent. */
	JETON_ERROR_UNTRUSTED_AGENT = 2,

	/* Not a token, not one of this agent's, or never issued. */
	JETON_ERROR_INVALID_TOKEN = 10,
	JETON_ERROR_TOKEN_EXPIRED = 11,		/* id, expired_us */
	JETON_ERROR_TOKEN_REVOKED = 12,		/* id */
	JETON_ERROR_INSUFFICIENT_SCOPE = 13,	/* scope */
	JETON_ERROR_WRONG_BEARER = 14,		/* id */
	JETON_ERROR_BINDING_UNAVAILABLE = 15,	/* binding */
	JETON_ERROR_SCOPE_EXCEEDS_ACCESS = 16,	/* scope */
	JETON_ERROR_LIFETIME_OUT_OF_RANGE = 17, /* min_s, max_s */
	/* There is none of this id, or it is not the caller's. */
	JETON_ERROR_NO_SUCH_TOKEN = 18,
	/* There is none of this name, or it is not for the caller. */
	JETON_ERROR_NO_SUCH_CREDENTIAL = 19, /* credential */
	JETON_ERROR_CREDENTIAL_EXPIRED = 20, /* credential, expired_us */
	JETON_ERROR_CREDENTIAL_EMPTY = 21,   /* credential */
	JETON_ERROR_LIMIT_REACHED = 22,	     /* limit, max */
	JETON_ERROR_EVENTS_MISSED = 23,
	JETON_ERROR_AGENT_LOCKED = 24,
	JETON_ERROR_NOT_LOCKED = 25,
	JETON_ERROR_WRONG_PASSPHRASE = 26, /* retry_after_s */
	JETON_ERROR_STORE_FAILED = 27,
	JETON_ERROR_POLICY_INVALID = 28, /* file, line, text */

	/* org.varlink.service: an older or newer agent, or a call that this caller may not make */
	JETON_ERROR_METHOD_NOT_FOUND = 50,	 /* method */
	JETON_ERROR_INTERFACE_NOT_FOUND = 51,	 /* interface */
	JETON_ERROR_METHOD_NOT_IMPLEMENTED = 52, /* method */
	JETON_ERROR_INVALID_PARAMETER = 53,	 /* parameter */
	JETON_ERROR_PERMISSION_DENIED = 54,
	JETON_ERROR_EXPECTED_MORE = 55,
};

enum jeton_state {
	JETON_STATE_OTHER,
	JETON_STATE_ACTIVE,
	JETON_STATE_EXPIRED,
	JETON_STATE_REVOKED
};

/* Whom a token serves. UNSET is for calls: not said. */
enum jeton_binding {
	JETON_BINDING_UNSET,
	JETON_BINDING_NONE,    /* whoever bears it */
	JETON_BINDING_PROCESS, /* the process that asked for it, until that exits */
	JETON_BINDING_UNIT,    /* the systemd unit it was asked from, in that run of the unit */
	JETON_BINDING_OTHER = 100,
};

/* Why a token ended. */
enum jeton_end {
	JETON_END_NOT, /* it has not, or it is not said */
	JETON_END_EXPIRED,
	JETON_END_OWNER,
	JETON_END_ADMINISTRATOR,
	JETON_END_PRESENTED, /* by whoever had the value */
	JETON_END_PARENT,
	JETON_END_BINDING,
	JETON_END_USES,
	JETON_END_ROTATED,
	JETON_END_OTHER = 100,
};

enum jeton_credential_kind {
	JETON_CREDENTIAL_OTHER,
	JETON_CREDENTIAL_HELD,
	JETON_CREDENTIAL_MINTED
};

enum jeton_event_kind {
	JETON_EVENT_OTHER,
	JETON_EVENT_ISSUED,
	JETON_EVENT_DERIVED,
	JETON_EVENT_ROTATED,
	JETON_EVENT_REVOKED,
	JETON_EVENT_EXPIRED,
	JETON_EVENT_PUT,
	JETON_EVENT_FORGOTTEN,
	JETON_EVENT_RELOADED,
	JETON_EVENT_LOCKED,
	JETON_EVENT_UNLOCKED,
};

enum jeton_agent_state {
	JETON_AGENT_OTHER,
	JETON_AGENT_RUNNING,
	JETON_AGENT_LOCKED,
	JETON_AGENT_REFUSING
};

enum jeton_memory {
	JETON_MEMORY_OTHER,
	JETON_MEMORY_SECRETMEM,
	JETON_MEMORY_LOCKED,
	JETON_MEMORY_UNLOCKED
};

/*
 * The protocol's word for each, such as "active"; "other" for OTHER and for numbers that are none
 * of these; never NULL.
 */
const char *jeton_state_text(enum jeton_state state);
const char *jeton_binding_text(enum jeton_binding binding); /* UNSET: "unset" */
const char *jeton_end_text(enum jeton_end end);		    /* NOT: "not" */
const char *jeton_credential_kind_text(enum jeton_credential_kind kind);
const char *jeton_event_kind_text(enum jeton_event_kind kind);
const char *jeton_agent_state_text(enum jeton_agent_state state);
const char *jeton_memory_text(enum jeton_memory memory);

/* The public facts of a token. Texts may be NULL where it says so; all are UTF-8. */
struct jeton_token {
	const char *id; /* the part of the value between its two underscores */
	const char *name;
	uint32_t owner_uid;
	const char *owner;	   /* the name that the uid had at issue; NULL: none */
	const char *const *scopes; /* as issued; NULL: all that the owner has access to */
	int64_t created_us;
	int64_t expires_us;
	int64_t last_used_us;	  /* UNSET: never verified */
	const char *last_used_by; /* the unit or user, for people; NULL */
	enum jeton_state state;
	enum jeton_binding binding; /* never UNSET */
	int64_t uses_left;	    /* UNSET: no limit */
	const char *parent;	    /* the id it was derived from; NULL */
	const char *replaced_by;    /* the id that Rotate put in its place; NULL */
	const char *credential;	    /* that it was minted for; NULL */
	const char *issued_to;	    /* the unit or user, for people; NULL */
	int64_t ended_us;	    /* UNSET: it has not ended */
	enum jeton_end ended;
};

/* Something that integrations fetch by name. */
struct jeton_credential {
	const char *name;
	enum jeton_credential_kind kind;
	const char *description; /* NULL: none */
	int64_t revision;	 /* UNSET: nothing was put in yet, or minted */
	int64_t updated_us;	 /* UNSET as above */
	int64_t expires_us;	 /* UNSET: it does not */
	int64_t last_fetched_us; /* UNSET: never */
	const char *last_fetched_by;
};

/* What Fetch gave. */
struct jeton_value {
	const void *bytes; /* n, and a NUL after them; NULL where they came as a descriptor */
	size_t n;
	bool is_data;	      /* it was put in as bytes, not as text */
	int64_t revision;     /* UNSET: minted */
	int64_t expires_us;   /* UNSET: it does not */
	const char *token_id; /* minted: the token's id; NULL */
};

struct jeton_event {
	int64_t seq; /* grows by one with each event of this agent's store */
	enum jeton_event_kind kind;
	int64_t at_us;
	const struct jeton_token *token; /* NULL: it concerns none */
	const char *credential;		 /* NULL: it concerns none */
};

struct jeton_audit_entry {
	int64_t seq;
	int64_t at_us;
	const char *operation;
	const char *result;
	const char *token;	/* an id; NULL */
	const char *credential; /* NULL */
	uint32_t peer_uid;
	int64_t peer_pid;      /* UNSET: not known */
	const char *peer_unit; /* NULL */
};

struct jeton_status {
	const char *version;
	enum jeton_agent_state state;
	enum jeton_memory memory;
	int64_t locked_bytes;
	int64_t locked_limit;
	int64_t tokens_active;
	int64_t tokens_total;
	int64_t credentials;
	int64_t connections;
	int64_t started_us;
	int64_t policies_loaded_us;
	int64_t verified_total;
	int64_t denied_total;
};

/*
 * What the last call on a handle failed with. Texts are NULL, and numbers UNSET, where the error
 * has no such thing.
 */
struct jeton_error_info {
	int code; /* what the call returned */
	const char *name;    /* such as "io.jeton.Agent.TokenExpired"; NULL for local errors */
	const char *message; /* as jeton_error_message() */
	const char *id;
	const char *scope;
	const char *binding;
	const char *credential;
	const char *limit;
	const char *file;
	const char *text; /* PolicyInvalid: what is wrong with the line, and what would be right */
	const char *parameter;
	const char *method;
	const char *interface;
	int64_t expired_us;
	int64_t min_s;
	int64_t max_s;
	int64_t max;
	int64_t retry_after_s;
	int64_t line;
};

struct jeton;

/* ---- the handle ---- */

enum {
	/* The caller's own agent rather than the system's. */
	JETON_SOCKET_USER = 1 << 0,
	/* $JETON_SOCKET is not asked. */
	JETON_SOCKET_NO_ENV = 1 << 1,
};

/*
 * Where the agent's socket is: $JETON_SOCKET (not in a program that gained privileges); else, with
 * JETON_SOCKET_USER, $XDG_RUNTIME_DIR/jeton/agent.sock, or /run/user/UID/jeton/agent.sock where
 * that variable is not set; else /run/jeton/agent.sock. Nobody looks whether it is there.
 * Returns the length with buf holding it and a NUL, or -ENOBUFS where it does not fit, or -EINVAL
 * (unknown flags). 108 bytes are enough for any path that a socket can have.
 */
int jeton_socket_path(unsigned int flags, char *buf, size_t size) JETON_MUST_USE;

/*
 * Makes a handle for the agent at this socket; path NULL: as jeton_socket_path(0). No connection is
 * made yet. A path is never an abstract address. Free it with jeton_free().
 * Returns 0; -ENAMETOOLONG where no socket can have this path; -EINVAL (an empty one); -ENOMEM.
 */
int jeton_new(const char *path, struct jeton **ret_jeton) JETON_MUST_USE;

/*
 * Closes the connection, wipes and frees. NULL is fine. Also in a child of the process that made
 * it.
 */
void jeton_free(struct jeton *jeton);

/*
 * How long a call waits for its answer (of several, for each), in ms: 10,000 unless set; -1: for
 * ever. Watching waits by its own timeout.
 */
void jeton_set_timeout(struct jeton *jeton, int timeout_ms);

/*
 * Connects now, where it is not: to find out whether an agent is there. Calls do it by themselves.
 */
int jeton_connect(struct jeton *jeton) JETON_MUST_USE;

/* Who serves the socket, by the kernel: *ret_uid. Connects where it is not. */
int jeton_agent_uid(struct jeton *jeton, uint32_t *ret_uid) JETON_MUST_USE;

/*
 * Whether secrets would be sent to this agent: connects where it is not. Returns 0,
 * JETON_ERROR_UNTRUSTED_AGENT, or a negative errno.
 */
int jeton_agent_trusted(struct jeton *jeton) JETON_MUST_USE;

/* The socket's path. It lives as long as the handle. */
const char *jeton_path(const struct jeton *jeton);

/*
 * One sentence or two for people, without a newline: what is wrong, and what to do next. It names
 * the socket, tokens by id, scopes and names, never a value; bytes that could steer a terminal are
 * replaced. Good until the next call on the handle. "No error." after a success. Never NULL.
 */
const char *jeton_error_message(const struct jeton *jeton);

/* What came with the error of the last call. Good until the next call on the handle. Never NULL. */
const struct jeton_error_info *jeton_error_info(const struct jeton *jeton);

/* ---- tokens ---- */

/*
 * A copy that is the caller's until jeton_token_free(); NULL where there is no memory. Its size is
 * the library's affair.
 */
struct jeton_token *jeton_token_dup(const struct jeton_token *token) JETON_MUST_USE;
void jeton_token_free(struct jeton_token *token); /* NULL is fine */

/* What Issue and Derive are asked for. */
struct jeton_issue {
	size_t size;		   /* set by JETON_ISSUE_INIT */
	const char *name;	   /* needed: 1 to 128 bytes */
	const char *const *scopes; /* NULL: all that the owner has (Derive: the parent's) */
	int64_t lifetime_s; /* UNSET: the agent's default (Derive: all of the parent's rest) */
	int64_t uses;	    /* UNSET: no limit */
	int64_t owner_uid;  /* UNSET: the caller; Issue only, administrators only */
	enum jeton_binding binding; /* UNSET: none (Derive: the parent's) */
};
#define JETON_ISSUE_INIT                                                                       \
	{                                                                                      \
		sizeof(struct jeton_issue), NULL, NULL, JETON_UNSET, JETON_UNSET, JETON_UNSET, \
			JETON_BINDING_UNSET                                                    \
	}

/*
 * Makes a token. *ret_value: its value, which is nowhere else, ever again. Not repeated once it was
 * sent.
 */
int jeton_issue(struct jeton *jeton, const struct jeton_issue *issue, const char **ret_value,
		const struct jeton_token **ret_token) JETON_MUST_USE;

/*
 * Makes a token no wider and no longer-lived than the one whose value is given, that dies with it.
 * Otherwise as Issue.
 */
int jeton_derive(struct jeton *jeton, const char *parent_value, const struct jeton_issue *issue,
		 const char **ret_value, const struct jeton_token **ret_token) JETON_MUST_USE;

/*
 * Whether this value is a good token now, and for all of the scopes (plain ones; NULL: none).
 * *ret_access: what it reaches at this moment. bearer: -1, or the connected Unix stream socket that
 * the token came in over, for tokens that are bound to a process or unit: the agent asks the kernel
 * who is at its other end. It stays the caller's. A text that can be no token by its length or
 * bytes is JETON_ERROR_INVALID_TOKEN without asking.
 */
int jeton_verify(struct jeton *jeton, const char *value, const char *const *scopes, int bearer,
		 const struct jeton_token **ret_token,
		 const char *const **ret_access) JETON_MUST_USE;

/* Which tokens List shows; all that are set must hold. */
struct jeton_filter {
	size_t size;		/* set by JETON_FILTER_INIT */
	int64_t owner_uid;	/* UNSET: the caller's own; administrators: any user's */
	bool all;		/* administrators: every user's */
	enum jeton_state state; /* OTHER: in any state */
	const char *name;	/* NULL: any */
};
#define JETON_FILTER_INIT                                                                \
	{                                                                                \
		sizeof(struct jeton_filter), JETON_UNSET, false, JETON_STATE_OTHER, NULL \
	}

/*
 * Calls on_token for each token, the newest first; filter NULL: all of the caller's own. Where
 * on_token returns other than 0 the list ends there and that is what jeton_list() returns. No call
 * may be made on this handle from within.
 */
int jeton_list(struct jeton *jeton, const struct jeton_filter *filter,
	       int (*on_token)(void *userdata, const struct jeton_token *token),
	       void *userdata) JETON_MUST_USE;

/* The facts of one token. */
int jeton_describe(struct jeton *jeton, const char *id,
		   const struct jeton_token **ret_token) JETON_MUST_USE;

/*
 * Ends a token, by its id or by its value, and all that was derived from it, before it returns 0.
 */
int jeton_revoke(struct jeton *jeton, const char *id,
		 const struct jeton_token **ret_token) JETON_MUST_USE;
int jeton_revoke_value(struct jeton *jeton, const char *value,
		       const struct jeton_token **ret_token) JETON_MUST_USE;

/*
 * A new token in the place of this one, which ends grace_s from now (UNSET: 300; 0: at once).
 * lifetime_s UNSET: the old one's whole length. *ret_previous: the old one's facts.
 */
int jeton_rotate(struct jeton *jeton, const char *id, int64_t grace_s, int64_t lifetime_s,
		 const char **ret_value, const struct jeton_token **ret_token,
		 const struct jeton_token **ret_previous) JETON_MUST_USE;

/* ---- verifying at once ---- */

/*
 * For a service that verifies all the time: from any number of threads, and, where the policies let
 * this process have a map (Map=yes), with no call to the agent.
 *
 * The map is memory of the agent's that this process can read and nobody but the agent write. What
 * it says holds as an answer of the agent's would: what ended, before the verification began, by a
 * revocation, its time, or a change of the policies, is not good. It says yes and nothing else. For
 * all that it does not say yes to, and for tokens that are bound or have a limit of uses, the agent
 * is asked within the same call; so is it for as long as there is no map, it is locked, or has not
 * been heard of for two seconds. How often which of them answered, jeton_verifier_counts() says.
 *
 * A thread of the library's gets the map, and another when the agent has made a new one, and tells
 * the agent every few seconds what was verified, for the last uses of tokens and its sums. All
 * signals are blocked in it.
 */
struct jeton_verifier;

/*
 * Makes a verifier for the agent at this socket; path NULL: as jeton_socket_path(0). That there is
 * no agent is no error. Free it with jeton_verifier_free().
 * Returns 0; -ENAMETOOLONG or -EINVAL as jeton_new(); -EAGAIN (no more threads); -ENOMEM.
 */
int jeton_verifier_new(const char *path, struct jeton_verifier **ret_verifier) JETON_MUST_USE;

/*
 * Tells the agent what was not yet told, ends the thread, frees all. No call is under way. It takes
 * up to four seconds where there is an agent that does not answer. NULL is fine. Also in a child of
 * the process that made it, where it tells nothing.
 */
void jeton_verifier_free(struct jeton_verifier *verifier);

/*
 * How long a verification that asks the agent waits for its answer, in ms: 10,000 unless set; -1: for
 * ever. From any thread; for those that begin after it.
 */
void jeton_verifier_set_timeout(struct jeton_verifier *verifier, int timeout_ms);

/* What came of a verification. It is the caller's. */
struct jeton_verified {
	size_t size;		 /* set by JETON_VERIFIED_INIT */
	char id[12];		 /* the token's */
	int64_t expires_us;	 /* when it ends */
	bool by_map;		 /* the agent was not asked */
	char message[1024 - 40]; /* on failure: as jeton_error_message(); else "" */
};
#define JETON_VERIFIED_INIT                                           \
	{                                                             \
		sizeof(struct jeton_verified), "", JETON_UNSET, false, "" \
	}

/*
 * As jeton_verify(), with its results, from any thread. ret NULL: nothing of it is wanted. On failure
 * only ret's message is set; with -EINVAL because of ret (no JETON_VERIFIED_INIT) not even that.
 */
int jeton_verifier_verify(struct jeton_verifier *verifier, const char *value,
			  const char *const *scopes, int bearer,
			  struct jeton_verified *ret) JETON_MUST_USE;

/*
 * How many verifications the map said yes to, and of how many the agent was asked. Either may be
 * NULL. From any thread; in a child both are 0.
 */
void jeton_verifier_counts(struct jeton_verifier *verifier, uint64_t *ret_by_map,
			   uint64_t *ret_by_socket);

/* ---- credentials ---- */

enum {
	/* Keep the value as bytes even where it is text. */
	JETON_PUT_DATA = 1 << 0,
};

/*
 * Holds a secret of n bytes (1 byte to 48 KiB) under this name. It is kept as text where it is
 * UTF-8 without NULs and fits a message so, else as bytes. expires_us: UNSET, or when it ends.
 * Administrators only.
 */
int jeton_put(struct jeton *jeton, const char *credential, const void *value, size_t n,
	      unsigned int flags, int64_t expires_us, int64_t *ret_revision) JETON_MUST_USE;
int jeton_forget(struct jeton *jeton, const char *credential) JETON_MUST_USE;

/*
 * Calls on_credential for each that the caller may fetch (administrators: every one). Otherwise as
 * jeton_list().
 */
int jeton_list_credentials(struct jeton *jeton,
			   int (*on_credential)(void *userdata,
						const struct jeton_credential *credential),
			   void *userdata) JETON_MUST_USE;

/*
 * A credential's value. min_lifetime_s: UNSET, or how long it must last yet, else
 * JETON_ERROR_LIFETIME_OUT_OF_RANGE. A fetch of a minted one makes a token each time.
 */
int jeton_fetch(struct jeton *jeton, const char *credential, int64_t min_lifetime_s,
		const struct jeton_value **ret_value) JETON_MUST_USE;

/* The same as a sealed memfd, *ret_fd, which the caller closes; *ret_value then has no bytes. */
int jeton_fetch_fd(struct jeton *jeton, const char *credential, int64_t min_lifetime_s, int *ret_fd,
		   const struct jeton_value **ret_value) JETON_MUST_USE;

/* ---- watching ---- */

/*
 * Starts to watch: from now on, or from after event `after` on (else JETON_UNSET). Returns 0 once
 * the watch stands. Until jeton_watch_stop() the handle does nothing else (-EBUSY).
 */
int jeton_watch_start(struct jeton *jeton, int64_t after) JETON_MUST_USE;

/*
 * The next event: waits up to timeout_ms (0: not at all; -1: for ever). -EAGAIN: none came in time.
 * Any other error ends the watch: start it again after the last seq that was seen. The event is
 * good until the next call on the handle.
 */
int jeton_watch_next(struct jeton *jeton, int timeout_ms,
		     const struct jeton_event **ret_event) JETON_MUST_USE;

/* Ends the watch, by closing its connection; nothing where there is none. */
void jeton_watch_stop(struct jeton *jeton);

/*
 * The connection's descriptor, for poll() (POLLIN) beside others while watching: take events until
 * -EAGAIN, then poll. It stays the library's. -1 where there is no connection.
 */
int jeton_fd(const struct jeton *jeton);

/* ---- administration ---- */

int jeton_get_status(struct jeton *jeton, const struct jeton_status **ret_status) JETON_MUST_USE;

/*
 * What a user or unit may do and why. user and unit NULL: the caller. Exactly one of credential
 * (may it be fetched) and scope (is it within the access), or none of them (may Verify be called).
 * *ret_allowed: 1, 0, or -1 where it can't be said so simply. *ret_lines: the reasons, for people.
 */
int jeton_explain(struct jeton *jeton, const char *user, const char *unit, const char *credential,
		  const char *scope, int *ret_allowed,
		  const char *const **ret_lines) JETON_MUST_USE;

int jeton_reload(struct jeton *jeton) JETON_MUST_USE;

/*
 * Locks the agent: until it is unlocked with this passphrase (1 to 1024 bytes), over restarts too, it
 * tells its status, revokes by id, and answers JETON_ERROR_AGENT_LOCKED to all else. Either takes up
 * to a few seconds. JETON_ERROR_WRONG_PASSPHRASE: error_info's retry_after_s says for how long no
 * other one is looked at. The library wipes its copy of the passphrase.
 */
int jeton_lock(struct jeton *jeton, const char *passphrase) JETON_MUST_USE;
int jeton_unlock(struct jeton *jeton, const char *passphrase) JETON_MUST_USE;

/*
 * Seals all that the agent keeps under new keys, for administrators: about two seconds for 100,000 tokens,
 * so set the timeout by that. JETON_ERROR_STORE_FAILED: the keys are the old ones, and nothing has
 * changed. A call whose answer did not come in time may be done all the same.
 */
int jeton_rekey(struct jeton *jeton) JETON_MUST_USE;

/*
 * A copy of all that the agent holds, for administrators: a stream socket, which the caller reads
 * to its end and closes. Its form is docs/backup-format.md's; it has its own key in it, so whoever
 * reads it has everything, and jetonctl seals it by a passphrase as it comes. Nothing read for 30 s
 * ends it early.
 */
int jeton_backup(struct jeton *jeton, int *ret_fd) JETON_MUST_USE;

/*
 * What was done and refused, from since_us on (UNSET: all), of one token (NULL: of all). Otherwise
 * as jeton_list().
 */
int jeton_read_audit(struct jeton *jeton, int64_t since_us, const char *token_id,
		     int (*on_entry)(void *userdata, const struct jeton_audit_entry *entry),
		     void *userdata) JETON_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
