/*
 * protocol/client.h - the library's inside: one connection to an agent, a call out, its replies in.
 *
 * jeton.h stands on this. The functions named jeton_raw_... are also for jetonctl, which shows
 * replies as the agent wrote them; libjeton.so does not export them.
 */
#pragma once

#include <sys/types.h>
#include <sys/un.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"
#include "protocol/call-write.h"
#include "protocol/client-memory.h"
#include "protocol/frame.h"
#include "protocol/jeton.h"
#include "protocol/json.h"

enum {
	CALL_MORE = 1 << 0,	  /* several replies are asked for */
	CALL_SECRET = 1 << 1,	  /* carries a value: only to an agent that is trusted */
	CALL_REPEATABLE = 1 << 2, /* does no harm twice: sent again though the agent may have acted */
	CALL_WANTS_FD = 1 << 3,	  /* the reply brings a descriptor */
};

/* ---- raw calls ---- */

/* One reply. Spans are the handle's and live until the next reply or call on it. */
struct raw_reply {
	struct span parameters; /* the object as the agent wrote it; "{}" where it left it out */
	struct span error;	/* the error's name; p NULL: no error */
	bool continues;		/* more replies follow */
};

/*
 * Calls any method ("org.varlink.service.GetInfo") with parameters, an object in JSON (n 0: none),
 * and hands each reply to on_reply; where that returns other than 0 it ends there with that result.
 * flags: CALL_..., but no CALL_WANTS_FD. An error of the agent's is handed over as well.
 * Returns as functions of jeton.h do; -EINVAL also where parameters are no JSON object.
 */
int jeton_raw_call(struct jeton *jeton, const char *method, struct span parameters, unsigned flags,
		   int (*on_reply)(void *userdata, const struct raw_reply *reply), void *userdata)
	MUST_USE;

/*
 * The reply that the last call got, of whatever function, or within a callback the one it was
 * called for: parameters as the agent wrote them, of an error too. All p NULL where there was none.
 */
struct raw_reply jeton_raw_reply(const struct jeton *jeton);

/* ---- the handle ---- */

struct jeton {
	struct sockaddr_un address;
	pid_t pid; /* who made it */
	int fd;	   /* -1: not connected */
	int timeout_ms;
	bool in_callback;
	bool watching;
	bool was_connected; /* there was an agent when it was last looked for */
	bool is_sent;	    /* of the call sent last: all of it, so that an agent may read it yet */
	bool is_taken;	    /* … and the agent has read it all, or may have */
	bool trust_known; /* is_trusted was found out for this connection */
	bool is_trusted;

	struct locked home; /* what in, out and arena begin with */
	struct locked in;   /* frame's buffer; NULL as long as home is */
	struct frame frame;
	struct locked out;
	size_t out_n;
	struct json_scratch *scratch; /* NULL until a long message */
	struct client_arena arena;    /* what the last call gave */

	struct span method; /* of the last call, for messages; see client_call() */
	unsigned flags;	    /* CALL_..., of the last call */
	struct raw_reply reply;
	struct json_value parameters; /* reply's, where it is no error */
	int reply_fd;		      /* that came with it, not yet taken; -1 */

	const char *argument; /* what -EINVAL is about; a literal, or NULL */
	struct jeton_error_info error;
	char message[1024];
};

/*
 * Makes a call: sends it and takes its first reply, within the handle's timeout. What the last call
 * gave may stand in params, and ends here. method: a literal, less "io.jeton.Agent."; fd: -1, or a
 * descriptor to pass along.
 * Returns 0 with parameters and reply set (and with CALL_WANTS_FD perhaps reply_fd); else what the
 * caller returns in its turn, already noted.
 */
int client_call(struct jeton *jeton, const char *method, unsigned flags,
		const struct param params[], int fd) MUST_USE;

/*
 * The same for a method of any interface, and parameters in JSON. An error of the agent's leaves
 * reply set as well. method must live as long as the handle notes it: until the next call.
 */
int client_call_json(struct jeton *jeton, struct span method, unsigned flags,
		     struct span parameters) MUST_USE;

/*
 * Takes the next reply, where reply.continues says that one follows, waiting up to timeout_ms (-1:
 * for ever). What the one before gave ends here. Returns as client_call(); or -EAGAIN, which is not
 * noted and leaves the call standing, where the time passed.
 */
int client_next(struct jeton *jeton, int timeout_ms) MUST_USE;

/*
 * Notes how a call ended that client_call() began well, and returns it. Where it failed on this
 * side or more replies would follow, the connection is closed: what it may yet bring belongs to
 * nobody.
 */
int client_done(struct jeton *jeton, int result);

/*
 * Begins anything: there is no error, and no reply, but what the last call gave stays until a
 * message is built. Returns 0; or -ECHILD or -EBUSY, noted.
 */
int client_begin(struct jeton *jeton) MUST_USE;

/* The memory that any call needs, where it is not there yet. Returns 0 or -ENOMEM (not noted). */
int client_home(struct jeton *jeton) MUST_USE;

/* Connects, where it is not; timeout_ms as above. Returns 0 or a negative errno (not noted). */
int client_connect(struct jeton *jeton, int timeout_ms) MUST_USE;

/*
 * The uid that serves the socket, of a connected handle. Returns 0 or a negative errno (not noted).
 */
int client_agent_uid(const struct jeton *jeton, uid_t *ret_uid) MUST_USE;

/* Whether secrets may go there: 0, JETON_ERROR_UNTRUSTED_AGENT or a negative errno (not noted). */
int client_agent_trusted(struct jeton *jeton) MUST_USE;

/* Closes the connection, where there is one, and a descriptor that nobody took. */
void client_close(struct jeton *jeton);

/* ---- errors ---- */

/* Notes result (0: none) with its message in error and message; returns it. */
int client_note(struct jeton *jeton, int result);

/* Notes -EINVAL about an argument; its name is a literal. Returns -EINVAL. */
int client_note_invalid(struct jeton *jeton, const char *argument);

/*
 * Reads an error reply: name is the error's, in the arena. Fills what it brings into error.
 * Returns the enum jeton_error; -EBADMSG where a parameter that the error must have is missing or
 * any is of the wrong type; -ENOMEM.
 */
int client_error_read(struct jeton *jeton, const char *name, struct json_value parameters) MUST_USE;
