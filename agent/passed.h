/*
 * agent/passed.h - descriptors that came with messages (SCM_RIGHTS), and which message they belong
 * to: the last one that was completed by the bytes they came with, or, where those complete none,
 * the next that is.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "protocol/base/span.h"

enum {
	PASSED_MAX = 253, /* the kernel passes no more with one message */
	PASSED_KEPT = 4,  /* of a message's: more than any method takes */
};

/* Of one message. */
struct passed_batch {
	int fds[PASSED_KEPT];
	unsigned n;
	uint64_t owner_end; /* where the message ends that they belong to; 0: not known yet */
};

/*
 * Of one connection. Zeroed is none. Two batches are enough: nothing is received while a whole
 * message waits, so that one read brings descriptors of its own beside those of half a message.
 */
struct passed {
	struct passed_batch batches[2]; /* in the order of their messages */
	uint64_t received;		/* bytes, ever */
	uint64_t given;			/* bytes of messages given out, with their NULs */
};

/*
 * Takes the descriptors of a recvmsg() that brought these bytes. Those that are not kept are
 * closed.
 */
void passed_receive(struct passed *p, struct msghdr *message, struct span bytes);

/*
 * The message is the next one (its NUL not counted). Gives its descriptors: *ret_n of them, which
 * stay the connection's until passed_end_message().
 */
const int *passed_for_message(const struct passed *p, struct span message, unsigned *ret_n);

/* The message is answered: its descriptors are closed. */
void passed_end_message(struct passed *p, struct span message);

void passed_done(struct passed *p);
