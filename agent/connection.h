/*
 * agent/connection.h - a client's connection: receives messages, has each answered in order, sends
 * the replies.
 *
 * It knows no method. dispatch.h is called with a message and says what became of it; whoever
 * answers later calls connection_answer() or connection_again().
 */
#pragma once

#include "agent/agent.h"
#include "agent/passed.h"
#include "agent/peer.h"

enum connection_state {
	CONNECTION_READING,
	CONNECTION_ANSWERING, /* a call waits for something: the store, a look-up */
	CONNECTION_STREAMING, /* a call with many replies: `stream` makes the next ones when the socket has room */
};

struct pending;

/* Many replies to one call. Embedded in what the method needs for it. */
struct stream {
	/*
	 * Writes replies to agent->out until it holds enough, and says what is next: 1: more to
	 * come; 0: that was the last; -EAGAIN: something must be waited for,
	 * connection_stream_ready() tells; other: the connection is closed.
	 */
	int (*produce)(struct stream *s, struct connection *c);
	void (*free)(struct stream *s);
	/*
	 * The connection's last: it is closed once all is sent. What the client has sent behind the
	 * call is dropped, so that nothing is held for calls that will never be answered.
	 */
	bool is_last;
};

struct connection {
	struct agent *agent;
	struct connection *next, *prev;		    /* agent->connections */
	struct connection *timed_next, *timed_prev; /* half or unread */
	struct connection *again_next, *again_prev; /* of the same client, that wait for a turn */
	struct connection *waiting_next;
	uint64_t deadline_us; /* CLOCK_MONOTONIC, where timed */
	int fd;
	struct client *client;
	struct peer peer;
	enum connection_state state;
	uint64_t asked_us; /* over.c's: since when a call about many tokens waits; 0: none does */
	bool has_waited;   /* likewise: for those that were ending */
	const char *method; /* that it calls, without the interface: a literal; NULL: none of ours */
	bool is_administration; /* which administrators alone may call */
	uint8_t timed; /* enum: not, half, unread */
	bool readable; /* there may be bytes to receive */
	bool hung_up;  /* the other end will send no more */
	bool end_when_sent;
	bool is_again;
	bool is_waiting; /* for a large buffer */
	bool is_leftover; /* see leftovers.h */
	bool wants_out;	 /* the socket is full: EPOLLOUT is awaited */
	bool in_large;	 /* the frame's buffer is of the large pool */
	bool rest_large;
	bool is_posted; /* it has replies in the outbox */
	bool is_broken; /* it could not be sent to or received from: it is closed in its next turn */
	int send_room;	/* the kernel's, for what lies unread; 0: not asked yet */
	struct passed passed; /* descriptors that came with messages */
	struct frame in; /* buf NULL while idle */
	char *rest;	 /* replies that the socket had no room for */
	size_t rest_n, rest_at;
	bool rest_has_value;
	bool rest_has_fd; /* rest_fd goes with the reply at rest_fd_at, the last one in rest */
	int rest_fd;
	size_t rest_fd_at;
	struct pending *pending; /* what an ANSWERING connection waits for */
	struct stream *stream;
	char label[256];    /* the peer's service, or its user by name, once known: see peer_label() */
	bool label_asked;   /* its unit was looked for */
	bool was_gone;	    /* and its process had ended by then */
	char *unit_name;    /* that it was found in; NULL: none */
	uint32_t tag;	    /* see peer_tag(); 0: not known yet */
	char uid_label[24]; /* and by number */
};

/*
 * Takes over the descriptor of a new client, which is counted by then, and answers what it has asked already. 0 or a
 * negative errno (the descriptor is closed).
 */
int connection_new(struct agent *a, int fd, const struct peer *peer, struct client *client)
	MUST_USE;

/* Ends it at once; what waits for it is told. */
void connection_close(struct connection *c);

/*
 * The deferred reply of the call that the connection waits with, n bytes with their NUL (none: n
 * 0), goes out, with the descriptor reply_fd, which is taken over (-1: none); then it goes on.
 */
void connection_answer(struct connection *c, const char *reply, size_t n, bool has_value,
		       int reply_fd);

/* The message that the connection waits with is dispatched anew. */
void connection_again(struct connection *c);

/* A stream that returned -EAGAIN can go on. */
void connection_stream_ready(struct connection *c);

/* Whether nothing is being done for it: it has no call under way, and is told nothing. */
bool connection_is_at_rest(const struct connection *c);

/*
 * Whether bytes that may be part of a value are held for it: messages, or a half of one, that came
 * and were not answered yet; replies with a value that the client has not taken.
 */
bool connection_holds_bytes(const struct connection *c);

/* So many of those that are about to have their turn receive ahead of it, each time: see below. */
enum { RECEIVE_AHEAD = 16 };

/* What the loop found out of it, as epoll says it: connection_ready() is to follow in the same turn. */
void connection_found(struct connection *c, uint32_t events);

/*
 * It is about to have its turn. What it has sent is received now, if it does nothing else, nothing of it waits to be
 * answered and its user has some of the round left. Several that do so one after the other, and are answered then, take
 * less time than if each does both: what the processor has learnt of the one is not driven out by the other. Closes
 * no connection. Harmless twice.
 */
void connection_receive_ahead(struct connection *c);

/* What was found of it is acted on. */
void connection_ready(struct connection *c, uint32_t events);

/* Goes on with whatever is next: for those who were put off. */
void connection_turn(struct connection *c);

/*
 * Bytes that agent->out may still take before it had better be sent: what a stream's produce goes
 * by.
 */
bool connection_out_is_full(const struct connection *c);

/*
 * Whether a client of this uid may have one more connection; a new entry for the first. NULL: no
 * memory.
 */
struct client *client_get(struct agent *a, uid_t uid);
void client_put(struct agent *a, struct client *client);
