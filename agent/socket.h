/*
 * agent/socket.h - listening sockets: those that systemd passes, and those that are made here. What
 * can't be is logged.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "protocol/base/cleanup.h"

/*
 * Takes the sockets that systemd passed: the agent's own and, told by its name (a
 * FileDescriptorName= or unit with "credential" in it) or by its path, the one for credentials.
 * Those that were not passed stay as they are, and what agent/fdstore.h is about is passed over. Returns 0, or a negative errno where something was
 * passed that is no listening Unix stream socket, or too much of it.
 */
int sockets_passed(const char *credential_path, int *ret_agent, int *ret_credential) MUST_USE;

/* Whether systemd passed a listening socket, whichever: then it makes them all, and none is made here. */
bool sockets_are_passed(void);

/* Makes the directories above a socket's path where they are missing. Where that fails, bind() says so. */
void socket_make_directory(const char *path, mode_t mode);

/*
 * Makes a socket at the path, with the directories above it where they are missing, and listens.
 * One that a killed agent left is taken away; one that somebody listens at, or anything else there,
 * is left alone: -EADDRINUSE. option: what chooses another path, for the message. *ret_inode: of
 * the socket, to know it by. 0 or a negative errno.
 */
int socket_make(const char *path, mode_t mode, mode_t directory_mode, const char *option,
		int *ret_fd, ino_t *ret_inode) MUST_USE;
