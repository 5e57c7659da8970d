/*
 * tests/unit/map-agent.h - an agent, in a thread, that gives maps of a test's own making, and counts
 * what it is asked. It takes any number of connections. To Verify it says that there is no such
 * token, or, of one, that it is good.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/map-maker.h"

enum { MAP_AGENT_CONNECTIONS = 64, MAP_AGENT_IDS = 4096 };

struct map_agent {
	char dir[64];
	char path[80];
	int listener;
	int stop[2];
	pthread_t thread;
	char *request; /* the thread's; here, so that a child that has no such thread still knows it */
	int connections[MAP_AGENT_CONNECTIONS];

	pthread_mutex_t lock;		    /* of what follows */
	int map_fd;			    /* what GetMap gives; -1: refusal */
	const char *refusal;		    /* the error's name */
	struct map_maker *beats;	    /* its heart; or NULL */
	const char *good;		    /* an id that is good over the socket, too; or NULL */
	uint64_t n_reported[MAP_AGENT_IDS]; /* uses of these ids */
	uint64_t n_other;		    /* and of others */
	uint64_t last_us;
	unsigned late_ms;	  /* the next report waits that long before it is looked at */
	const char *report_error; /* what reports are answered, with nothing counted; or NULL */

	atomic_uint n_get_map, n_verify, n_report;
};

void map_agent_start(struct map_agent *a);
void map_agent_stop(struct map_agent *a);

/* Gives this map from now on, whose heart it is; NULL: none, by this error. */
void map_agent_give(struct map_agent *a, struct map_maker *m, const char *refusal);
