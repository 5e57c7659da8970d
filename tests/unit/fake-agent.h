/*
 * tests/unit/fake-agent.h - an agent that says what a test wants, in a thread, on a socket of its
 * own.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum fake_step_type {
	FAKE_END,	  /* waits until it is stopped; the connection stays open */
	FAKE_REPLY,	  /* takes one request, then sends bytes */
	FAKE_TAKE,	  /* takes one request */
	FAKE_SEND,	  /* sends bytes, asked or not */
	FAKE_DRIP,	  /* sends bytes, one each 20 ms */
	FAKE_CLOSE,	  /* closes the connection */
	FAKE_AWAIT_CLOSE, /* waits until the other end does */
};

/* A step, on the connection that is open; where there is none one is accepted first. */
struct fake_step {
	enum fake_step_type type;
	const char *bytes;
	size_t n;
	int n_fds; /* descriptors (of /dev/null) that go with the bytes */
};

/* What a message is, with the NUL that ends it: FAKE("{...}") */
#define FAKE_BYTES(literal) (literal), sizeof(literal)

/* A step that answers a request with this text. */
#define FAKE_ANSWER(literal)                       \
	{                                          \
		FAKE_REPLY, FAKE_BYTES(literal), 0 \
	}
#define FAKE_STOP                    \
	{                            \
		FAKE_END, NULL, 0, 0 \
	}

/*
 * A token's facts with every field set, and with none that may be null; and a value in a token's
 * form.
 */
#define FAKE_TOKEN                                                                                \
	"{\"id\":\"0000000000A\",\"name\":\"deploy \\u00e4\",\"ownerUid\":1000,\"owner\":\"ci\"," \
	"\"scopes\":[\"acme/risk:read\",\"acme/*:run\"],\"createdUSec\":1700000000000000,"        \
	"\"expiresUSec\":1800000000000000,\"lastUsedUSec\":1750000000000000,"                     \
	"\"lastUsedBy\":\"api.service\",\"state\":\"revoked\",\"binding\":\"unit\",\"usesLeft\":" \
	"3,"                                                                                      \
	"\"parent\":\"0000000000B\",\"replacedBy\":\"0000000000C\",\"credential\":\"pipeline\","  \
	"\"issuedTo\":\"ci.service\",\"endedUSec\":1760000000000000,\"ended\":\"rotated\"}"
#define FAKE_TOKEN_BARE                                                               \
	"{\"id\":\"0000000000D\",\"name\":\"bare\",\"ownerUid\":0,\"createdUSec\":1," \
	"\"expiresUSec\":2,"                                                          \
	"\"state\":\"active\",\"binding\":\"none\",\"scopes\":null,\"owner\":null}"
#define FAKE_VALUE "jeton_0000000000A_0123456789012345678901234567890123456789012345678"

enum { FAKE_REQUESTS = 64 };

struct fake_agent {
	char dir[64];
	char path[80];
	int listener;
	int stop[2]; /* a pipe: its end of file is the order to stop */
	pthread_t thread;
	const struct fake_step *steps;
	atomic_uint n_steps; /* that were gone through */

	/* Written by the thread; to be read after fake_agent_stop(), or once n_requests says so. */
	char *requests[FAKE_REQUESTS];
	atomic_uint n_requests;
	atomic_uint n_connections;
	atomic_uint n_fds; /* that came with requests; closed at once */
};

/* Starts one that goes through steps, up to FAKE_END. */
void fake_agent_start(struct fake_agent *fake, const struct fake_step steps[]);

/* Waits until it has gone through the first n steps; a connection that one of them ended is closed then. */
void fake_agent_await_step(struct fake_agent *fake, unsigned n);

/* Stops the thread, so that all it wrote can be read. The socket stays, and nobody listens. */
void fake_agent_stop(struct fake_agent *fake);

/* Stops it where it still runs, and frees all. */
void fake_agent_done(struct fake_agent *fake);

/* Goes through steps on a listening socket in the caller's thread, until stop_fd is at its end. */
void fake_agent_serve(struct fake_agent *fake);
