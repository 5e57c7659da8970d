/*
 * agent/dispatch.h - from a message to the function that answers it, by a table; who may call it is
 * decided on the way.
 */
#pragma once

#include "agent/connection.h"

enum dispatched {
	DISPATCH_DONE,	 /* answered: the reply, if any, is in agent->out */
	DISPATCH_LATER,	 /* c->pending will answer, or have the message dispatched again: keep it */
	DISPATCH_STREAM, /* c->stream makes the replies */
	DISPATCH_CLOSE,	 /* no message of the protocol; why has been logged */
};

/* Answers a message, or starts to. Spans given to handlers are within message and agent->text. */
enum dispatched dispatch(struct connection *c, struct span message);
