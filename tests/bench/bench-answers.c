/*
 * tests/bench/bench-answers.c - a program that answers whoever connects to the socket "agent" it was started with, and
 * does nothing else: the floor of any service that systemd starts at the first connection.
 */
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

int main(void)
{
	static const char reply[] = "{}";
	char request[512], **names = NULL;
	int n = sd_listen_fds_with_names(0, &names), i = 0;

	while (i < n && strcmp(names[i], "agent") != 0)
		i++;
	(void)sd_notify(0, "READY=1");
	for (;;) {
		int fd = i < n ? accept(SD_LISTEN_FDS_START + i, NULL, NULL) : -1;

		if (fd < 0 || read(fd, request, sizeof(request)) < 0 ||
		    write(fd, reply, sizeof(reply)) < 0)
			return 1;
		close(fd);
	}
}
