/* agent/request.h - one call, as the functions that answer it see it. */
#pragma once

#include "agent/dispatch.h"

struct request {
	struct agent *agent;
	struct connection *connection;
	struct call call;
	uint64_t now_us;
	const int *fds;	  /* that came with the call: the connection's, closed when it is answered */
	unsigned n_fds;
	size_t out_start; /* where its reply starts in agent->out */
};
