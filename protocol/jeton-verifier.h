/* protocol/jeton-verifier.h - a verifier's inside: its calls, and its thread. */
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include "protocol/jeton.h"
#include "protocol/map-hold.h"

enum {
	VERIFIER_IDLE_MAX = 64,	     /* connections that are kept */
	VERIFIER_USES_A_CALL = 1000, /* as the interface has it */
};

/* In memory that is all zero in a child, where the kernel does that (since Linux 4.14). */
struct verifier_home {
	pid_t pid;
	bool is_wiped;
};

struct jeton_verifier {
	struct verifier_home *home;
	struct map_hold *hold;
	_Atomic uint64_t by_socket;
	_Atomic int timeout_ms;

	pthread_mutex_t lock; /* of what follows, up to the thread's own */
	pthread_cond_t wake;  /* of the thread; by CLOCK_MONOTONIC */
	struct jeton *idle[VERIFIER_IDLE_MAX];
	unsigned n_idle;
	uint64_t next_map_us; /* CLOCK_MONOTONIC: no map is asked for before */
	bool wants_map;
	bool is_over;

	pthread_t thread;
	/* The thread's own. */
	struct jeton *jeton;
	uint64_t next_report_us;
	uint64_t pause_us; /* after the last time that no map was got */
	struct map_use uses[VERIFIER_USES_A_CALL];
	char *message; /* room for a report */
};

/* Starts the thread. Returns 0 or a negative errno. */
int verifier_thread_start(struct jeton_verifier *v) MUST_USE;

/* Has it tell what was not told, and waits until it has ended. */
void verifier_thread_stop(struct jeton_verifier *v);

/* Locked: says that somebody found no map. */
void verifier_thread_wake(struct jeton_verifier *v);
