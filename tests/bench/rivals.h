/*
 * tests/bench/rivals.h - what Jeton is measured beside: a bare echo, MUNGE, Redis. Each is started by the measurement, on a
 * socket of its own below a directory of its own, and ends with it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/stats.h"

/*
 * A bare epoll loop on a Unix stream socket that answers n_request bytes by n_reply bytes and knows nothing more: the floor of
 * any service of this shape. What came at once is answered at once. It inherits the processor.
 */
struct echo {
	pid_t pid;
	char dir[128];
	char socket[160];
};

void echo_start(struct echo *e, size_t n_request, const char *reply, size_t n_reply);
void echo_stop(struct echo *e);

/* A socket that listens at this path; exits where it can't be. */
int listen_at(const char *path);

/* A connection to whatever listens there; exits where nothing does. */
int connect_to(const char *path);

/* A munged of our own: its own key, socket and logs. */
struct munge {
	pid_t pid;
	char dir[128];
	char socket[160];
	void *library, *context;
};

#define MUNGE_MISSING "munged and libmunge.so.2 are not there: `make deps-bench` installs them"

/* False where there is none to be had. Inherits the processor. */
bool munge_start(struct munge *m, const char *under);
void munge_stop(struct munge *m);

/* A credential with no payload, to be freed; NULL: it could not be made. */
char *munge_encode_one(struct munge *m);

/* Whether it was decoded. */
bool munge_decode_one(struct munge *m, const char *credential);

/*
 * Decodes a second by n_callers threads at once (at most 16). Each credential is decoded once, since a second time it is a
 * replay; they are made before, for `ns`, and only decoding is timed. latencies: of each, or NULL.
 */
double munge_decode_many(struct munge *m, unsigned n_callers, uint64_t ns, struct latencies *latencies);

/* A redis-server of our own, which listens on no network and writes nothing to a disk. */
struct redis {
	pid_t pid;
	char dir[128];
	char socket[160];
};

#define REDIS_MISSING "Redis is not there: `make deps-bench` installs it"

/* False where there is none to be had. Inherits the processor. */
bool redis_start(struct redis *r, const char *under);
void redis_stop(struct redis *r);

/* SETs, and exits where that is refused. */
void redis_set(const struct redis *r, const char *key, const char *value, size_t n);

/* The bytes of a GET, and how many its reply has. Returns how many of dst it takes. */
size_t redis_get_request(const char *key, char *dst, size_t size);
size_t redis_get_reply_size(size_t n_value);
