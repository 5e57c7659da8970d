/* tests/fuzz/agent-clients.h - those who are connected to the agent, and what they wait for. */
#pragma once

#include "tests/fuzz/agent-calls.h"

enum { CLIENTS = 8, PROBE = 0, ASKED_MAX = 64 };

struct client_end {
	int fd; /* -1: it is not connected */
	enum whom who;
	struct asked asked[ASKED_MAX];
	size_t n_asked;
	bool is_fresh; /* nothing came yet: it may be told that it may not come in */
	bool is_wild;  /* has sent what is no call of ours, so that nobody knows what it is told */
	bool is_deaf;  /* takes no replies, for now */
	bool half_closed;
	char *in; /* of replies, what is not whole */
	size_t in_n;
};

struct clients {
	struct model *model;
	struct client_end ends[CLIENTS];
};

void clients_begin(struct clients *c, struct model *m);
void clients_end(struct clients *c);

/* In the place of who was there. Nobody, where the agent takes nobody in. */
void client_connect(struct clients *c, size_t i, enum whom who);
void client_vanish(struct clients *c, size_t i);
void client_half_close(struct clients *c, size_t i);

/* The call's descriptor is taken over. */
void client_call(struct clients *c, size_t i, struct call_made *call);

/* Bytes that need be no call. */
void client_send_raw(struct clients *c, size_t i, const uint8_t *p, size_t n);

/*
 * Takes what has come for whoever is not deaf, and holds it to what must be. Whether there was any.
 */
bool clients_read(struct clients *c);

/* Policies or the like may have changed: whoever waits may be answered by either. */
void clients_note(struct clients *c);

/* Everyone who waits, and can be answered, has been. */
void clients_check_answered(const struct clients *c);
