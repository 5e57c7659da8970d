/*
 * tests/unit/fake-agent.c - blocking calls and a pipe to end them by: it has one client at a time.
 */
#include "tests/unit/fake-agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Of the test itself, not of what it tests. */
static void must(bool ok)
{
	if (!ok)
		abort();
}

enum { REQUEST_MAX = 256 * 1024 };

/* Whether fd can be read; false: to be stopped. */
static bool wait_for(struct fake_agent *fake, int fd)
{
	struct pollfd p[2] = { { .fd = fake->stop[0], .events = POLLIN },
			       { .fd = fd, .events = POLLIN } };

	while (poll(p, fd < 0 ? 1 : 2, -1) < 0)
		must(errno == EINTR);
	return !p[0].revents;
}

static int accept_one(struct fake_agent *fake)
{
	int fd;

	if (!wait_for(fake, fake->listener))
		return -1;
	fd = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
	must(fd >= 0);
	fake->n_connections++;
	return fd;
}

static void close_passed(struct fake_agent *fake, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		int fds[16];
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		memcpy(fds, CMSG_DATA(c), n * sizeof(int));
		for (size_t i = 0; i < n; i++) {
			close(fds[i]);
			fake->n_fds++;
		}
	}
}

static ssize_t receive(struct fake_agent *fake, int fd, char *p, size_t n)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(16 * sizeof(int))];
	} control;
	struct iovec iov = { p, n };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);

	if (got > 0)
		close_passed(fake, &m);
	return got;
}

/* Takes bytes up to the next NUL. False: stopped, or the client went. */
static bool take_request(struct fake_agent *fake, int fd)
{
	char *request = malloc(REQUEST_MAX);
	size_t n = 0;

	must(request);
	do {
		ssize_t got = -1;

		must(n < REQUEST_MAX);
		if (wait_for(fake, fd))
			got = receive(fake, fd, request + n, REQUEST_MAX - n);
		if (got <= 0) {
			free(request);
			return false;
		}
		n += (size_t)got;
	} while (request[n - 1] != '\0');
	must(fake->n_requests < FAKE_REQUESTS);
	fake->requests[fake->n_requests] = request;
	fake->n_requests++;
	return true;
}

static void send_bytes(int fd, const struct fake_step *step)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(16 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)step->bytes, step->n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[16] = { 0 };

	for (int i = 0; i < step->n_fds; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (step->n_fds > 0) {
		size_t size = (size_t)step->n_fds * sizeof(int);

		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(size);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(&control.header), fds, size);
	}
	while (iov.iov_len > 0) {
		ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL);

		if (n < 0)
			break;
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		m.msg_control = NULL;
		m.msg_controllen = 0;
	}
	for (int i = 0; i < step->n_fds; i++)
		close(fds[i]);
}

static void drip(int fd, const struct fake_step *step)
{
	for (size_t i = 0; i < step->n; i++) {
		if (send(fd, step->bytes + i, 1, MSG_NOSIGNAL) < 0)
			return;
		usleep(20 * 1000);
	}
}

static void await_close(struct fake_agent *fake, int fd)
{
	char c[256];

	while (wait_for(fake, fd) && recv(fd, c, sizeof(c), 0) > 0)
		;
}

/* One step on the open connection. Returns false where it ended. */
static bool do_step(struct fake_agent *fake, int fd, const struct fake_step *step)
{
	switch (step->type) {
	case FAKE_REPLY:
		if (!take_request(fake, fd))
			return false;
		send_bytes(fd, step);
		return true;
	case FAKE_TAKE:
		return take_request(fake, fd);
	case FAKE_SEND:
		send_bytes(fd, step);
		return true;
	case FAKE_DRIP:
		drip(fd, step);
		return true;
	case FAKE_AWAIT_CLOSE:
		await_close(fake, fd);
		return false;
	case FAKE_CLOSE:
	case FAKE_END:
		return false;
	}
	return false;
}

void fake_agent_serve(struct fake_agent *fake)
{
	int fd = -1;

	for (const struct fake_step *step = fake->steps; step->type != FAKE_END; step++) {
		if (fd < 0)
			fd = accept_one(fake);
		if (fd < 0)
			return;
		if (!do_step(fake, fd, step)) {
			bool again = step->type == FAKE_REPLY || step->type == FAKE_TAKE;

			close(fd);
			fd = -1;
			/* The client left without a request: that step is the next connection's. */
			if (again) {
				step--;
				continue;
			}
		}
		fake->n_steps = (unsigned)(step - fake->steps) + 1;
	}
	if (wait_for(fake, -1) || fd < 0)
		return;
	close(fd);
}

static void *run(void *userdata)
{
	fake_agent_serve(userdata);
	return NULL;
}

void fake_agent_start(struct fake_agent *fake, const struct fake_step steps[])
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memset(fake, 0, sizeof(*fake));
	fake->steps = steps;
	strcpy(fake->dir, "/tmp/jeton-fake-XXXXXX");
	must(mkdtemp(fake->dir));
	snprintf(fake->path, sizeof(fake->path), "%s/agent.sock", fake->dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", fake->path);
	fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fake->listener >= 0);
	must(bind(fake->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	must(listen(fake->listener, 16) == 0);
	must(pipe2(fake->stop, O_CLOEXEC) == 0);
	if (pthread_create(&fake->thread, NULL, run, fake) != 0)
		abort();
}

void fake_agent_await_step(struct fake_agent *fake, unsigned n)
{
	while (fake->n_steps < n)
		usleep(1000);
}

void fake_agent_stop(struct fake_agent *fake)
{
	if (fake->stop[1] < 0)
		return;
	close(fake->stop[1]);
	fake->stop[1] = -1;
	pthread_join(fake->thread, NULL);
	close(fake->stop[0]);
	close(fake->listener);
}

void fake_agent_done(struct fake_agent *fake)
{
	fake_agent_stop(fake);
	for (unsigned i = 0; i < fake->n_requests; i++)
		free(fake->requests[i]);
	unlink(fake->path);
	rmdir(fake->dir);
}
