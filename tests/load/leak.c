/*
 * tests/load/leak.c - put in front of libc (LD_PRELOAD), it makes an agent that leaks: a little memory with every
 * message that comes, and now and then a descriptor. tests/load/soak must find that.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	static ssize_t (*real)(int, struct msghdr *, int);
	static unsigned n;
	char *lost = malloc(64);

	if (!real)
		real = (ssize_t (*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
	if (lost)
		memset(lost, 1, 64);
	if (++n % 4096 == 0)
		(void)!open("/dev/null", O_RDONLY | O_CLOEXEC);
	return real(fd, message, flags);
}
