/*
 * agent/closer.h - closes descriptors that strangers sent, in threads of their own: the last close of some files (a
 * FUSE file, a lingering socket) takes as long as their other side likes.
 */
#pragma once

#include <stddef.h>

/* Closes n descriptors, soon. Where no thread can be had they are closed here. */
void closer_close(const int fds[], size_t n);

/* Closes a client's socket: here, but where something lies in it unread, which may be descriptors that go with it. */
void closer_close_socket(int fd);
