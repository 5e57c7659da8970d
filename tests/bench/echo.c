/*
 * tests/bench/echo.c - the floor: a process that does what the kernel asks of any server of this shape, and not one thing
 * more. Its connections block: a client that reads its replies has room for them.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/measure.h"
#include "tests/bench/rivals.h"

enum { AT_ONCE = 64, FDS = 32768 };

static char replies[AT_ONCE * 1024]; /* the reply, as often as it may go in one send */
static size_t have[FDS]; /* what came of a request that is not whole yet, by descriptor */

static void take_one(int listening, int epoll)
{
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (fd < 0 || fd >= FDS || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		_exit(1);
	have[fd] = 0;
}

static void answer(int fd, size_t n_request, size_t n_reply)
{
	static char buf[65536];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	if (n <= 0) {
		close(fd);
		return;
	}
	for (have[fd] += (size_t)n; have[fd] >= n_request;) {
		size_t whole = have[fd] / n_request, k = whole < AT_ONCE ? whole : AT_ONCE;

		if (send(fd, replies, k * n_reply, MSG_NOSIGNAL) < 0) {
			close(fd);
			return;
		}
		have[fd] -= k * n_request;
	}
}

static _Noreturn void loop(int listening, size_t n_request, size_t n_reply)
{
	struct epoll_event events[AT_ONCE], event = { .events = EPOLLIN, .data.fd = listening };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event);
	for (;;) {
		int n = epoll_wait(epoll, events, AT_ONCE, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listening)
				take_one(listening, epoll);
			else
				answer(events[i].data.fd, n_request, n_reply);
		}
	}
}

int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >= sizeof(address.sun_path))
		give_up("%s is too long for a socket", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4096) < 0)
		give_up("%s: %s", path, strerror(errno));
	return fd;
}

void echo_start(struct echo *e, size_t n_request, const char *reply, size_t n_reply)
{
	int fd;

	if (n_reply * AT_ONCE > sizeof(replies))
		give_up("a reply of %zu bytes is too long", n_reply);
	snprintf(e->dir, sizeof(e->dir), "%s/jeton-echo-XXXXXX", bench_tmp());
	if (!mkdtemp(e->dir))
		give_up("%s: %s", e->dir, strerror(errno));
	snprintf(e->socket, sizeof(e->socket), "%s/socket", e->dir);
	fd = listen_at(e->socket);
	e->pid = fork();
	if (e->pid < 0)
		give_up("fork: %s", strerror(errno));
	if (e->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (size_t i = 0; i < AT_ONCE; i++)
			memcpy(replies + i * n_reply, reply, n_reply);
		loop(fd, n_request, n_reply);
	}
	close(fd);
}

void echo_stop(struct echo *e)
{
	kill(e->pid, SIGTERM);
	waitpid(e->pid, NULL, 0);
	unlink(e->socket);
	rmdir(e->dir);
}
