/* protocol/base/fd.c - loops round read and write, which may do less than was asked. */
#include "protocol/base/fd.h"

#include <errno.h>

int fd_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;

	for (ssize_t done; n > 0; p += done, n -= (size_t)done) {
		done = TEMP_FAILURE_RETRY(write(fd, p, n));
		if (done < 0)
			return -errno;
	}
	return 0;
}

ssize_t fd_read_all(int fd, void *buf, size_t size)
{
	char *p = buf;
	size_t n = 0;

	for (ssize_t got = 1; n < size && got > 0; n += (size_t)got) {
		got = TEMP_FAILURE_RETRY(read(fd, p + n, size - n));
		if (got < 0)
			return -errno;
	}
	return (ssize_t)n;
}
