/* protocol/base/fd.c - loops round read and write, which may do less than was asked. */
#include "protocol/base/fd.h"

#include <errno.h>

int fd_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

ssize_t fd_read_all(int fd, void *buf, size_t size)
{
	char *p = buf;
	size_t n = 0;

	while (n < size) {
		ssize_t got = read(fd, p + n, size - n);

		if (got == 0)
			break;
		if (got < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		n += (size_t)got;
	}
	return (ssize_t)n;
}
