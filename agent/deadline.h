/*
 * agent/deadline.h - what clients owe, by when: the rest of half a message, the reading of replies.
 * One timer for all: deadlines of one kind are equally far off, so each list is in order by itself.
 */
#pragma once

#include "agent/connection.h"

int deadline_init(struct agent *a) MUST_USE;
void deadline_done(struct agent *a);

/* Half a message has come; restart: a message was completed, and this is another. */
void deadline_half(struct connection *c, bool restart);
/* Replies lie unread; restart: some were read. */
void deadline_unread(struct connection *c, bool restart);
void deadline_none(struct connection *c);

/*
 * A buffer is needed and none is left: of all others that keep one for half a message or for unread replies, the one
 * whose time is over first is closed before it is. False: there is none.
 */
bool deadline_make_room(const struct connection *c) MUST_USE;

/* Off all lists, for good. */
void deadline_forget(struct connection *c);
