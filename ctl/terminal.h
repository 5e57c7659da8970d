/* ctl/terminal.h - a line from a terminal, unseen. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "protocol/base/cleanup.h"

/*
 * Asks on standard error and reads a line from the terminal that fd is, without echo, its newline
 * included. Echo is as before when this returns, when a signal ends the process, and while one (^Z)
 * stops it; it asks again when it goes on.
 * Returns the number of bytes (0: end of file) or a negative errno.
 */
ssize_t terminal_read_unseen(int fd, const char *prompt, char *dst, size_t size) MUST_USE;
