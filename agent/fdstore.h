/*
 * agent/fdstore.h - descriptors that outlive the agent: systemd holds them while it is restarted,
 * or was killed, and passes them to the next one by name.
 *
 * Root can take a descriptor out of the service manager and read it: nothing goes in there but what
 * is sealed.
 */
#pragma once

#include <stdbool.h>

#include "protocol/base/cleanup.h"

/*
 * What the names of all of ours begin with: no other descriptor that is passed may have such a
 * name.
 */
#define FDSTORE_PREFIX "jeton-"

enum { FDSTORE_NAME_MAX = 64 }; /* with its NUL */

/*
 * Whether there is a service manager to give descriptors to. (One that has FileDescriptorStoreMax=0
 * takes them and drops them without a word.)
 */
bool fdstore_is_there(void);

/*
 * Gives a copy of the descriptor to the service manager, under a name of ours that none there has.
 * What was given in an order is held in that order, whatever becomes of the agent then. 0;
 * -ENOTCONN: there is no service manager; or a negative errno.
 */
int fdstore_put(const char *name, int fd) MUST_USE;

/*
 * A descriptor of this name that was passed at the start: the caller's, who takes it once. -ENOENT:
 * there is none; or a negative errno, where what was passed can't be known.
 */
int fdstore_take(const char *name) MUST_USE;

/* The service manager drops what it has under this name. */
void fdstore_remove(const char *name);

/*
 * Calls back for each descriptor of ours that was passed at the start, whether it was taken or not.
 * A result that is not 0 ends it and is its result.
 */
int fdstore_each(int (*on_descriptor)(void *userdata, const char *name, int fd), void *userdata);

/* Whether a descriptor that was passed under this name (NULL: none) is one of ours. */
bool fdstore_is_ours(const char *name);
