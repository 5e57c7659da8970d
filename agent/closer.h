/*
 * agent/closer.h - closes descriptors that strangers sent, in a thread of its own: the last close
 * of some files (a FUSE file, a lingering socket) takes as long as their other side likes.
 */
#pragma once

#include <stddef.h>

/* Closes n descriptors, soon. Where no thread can be had they are closed here. */
void closer_close(const int fds[], size_t n);
