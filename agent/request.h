/* agent/request.h - one call, as the functions that answer it see it. */
#pragma once

#include "agent/dispatch.h"
#include "protocol/call-read-plain.h"

struct request {
	struct agent *agent;
	struct connection *connection;
	struct call call;
	const struct plain_verify *
		plain; /* the parameters of a Verify, read already; NULL: they are in call.params */
	uint64_t now_us;
	const int *fds;	  /* that came with the call: the connection's, closed when it is answered */
	unsigned n_fds;
	size_t out_start; /* where its reply starts in agent->out */

	/* For the audit, should it be refused: */
	const char *error; /* that the reply being written is, with its interface; NULL: none */
	const char *why;   /* more of the reason, for people; NULL: none. Until the reply is written */
	struct {
		uint64_t token; /* 0: none */
		struct span credential;
	} about;
};
