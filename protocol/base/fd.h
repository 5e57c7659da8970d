/* protocol/base/fd.h - whole reads and writes. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "protocol/base/cleanup.h"

/* Writes all n bytes, going on after a short write or EINTR. Returns 0 or a negative errno. */
int fd_write_all(int fd, const void *data, size_t n) MUST_USE;

/*
 * Reads until end of file or until `size` bytes are in buf, going on after EINTR.
 * Returns the number of bytes, or a negative errno.
 */
ssize_t fd_read_all(int fd, void *buf, size_t size) MUST_USE;
