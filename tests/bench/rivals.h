/* tests/bench/rivals.h - what Jeton is measured beside: a bare echo, and MUNGE. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * A bare epoll loop on a Unix stream socket that answers `n_request` bytes by n_reply bytes and knows nothing more:
 * the floor of any service of this shape. It inherits the processor.
 */
struct echo {
	pid_t pid;
	int fd; /* connected to it */
};

void echo_start(struct echo *e, size_t n_request, const char *reply, size_t n_reply);
void echo_stop(struct echo *e);

/* A munged of our own: its own key, socket and logs. */
struct munge {
	pid_t pid;
	char dir[128];
	char socket[160];
	void *library, *context;
};

/* Returns false, and says why, where there is none to be had. Inherits the processor. */
bool munge_start(struct munge *m, const char *under);
void munge_stop(struct munge *m);

/* A credential with no payload, to be freed; NULL: it could not be made. */
char *munge_encode_one(struct munge *m);

/* Whether it was decoded. */
bool munge_decode_one(struct munge *m, const char *credential);
