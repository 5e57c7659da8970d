/*
 * protocol/client-connect.c
 *
 * From a path to a connection whose other end is known. Invariant: what was found out of the other
 * end (trust) ends with the connection it was found out of.
 */
#include "protocol/client-connect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

enum {
	OVERFLOW_UID = 65534, /* who is not known in this user namespace */
	AWAY_MS = 3000,	      /* how long an agent that was there may be away */
	LOOK_AGAIN_MS = 20,
};

#define AGENT_USER "jeton"

/* ---- time ---- */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t client_deadline(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

int client_rest_ms(int64_t deadline)
{
	int64_t rest;

	if (deadline < 0)
		return -1;
	rest = deadline - now_ms();
	return rest > 0 ? (int)rest : 0;
}

int client_wait(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int r = poll(&p, 1, client_rest_ms(deadline));

		if (r > 0)
			return 0;
		if (r == 0)
			return -EAGAIN;
		if (errno != EINTR)
			return -errno;
	}
}

/* ---- the connection ---- */

void client_drop_fd(struct jeton *jeton)
{
	if (jeton->reply_fd >= 0)
		close(jeton->reply_fd);
	jeton->reply_fd = -1;
}

void client_close(struct jeton *jeton)
{
	if (jeton->fd >= 0)
		close(jeton->fd);
	jeton->fd = -1;
	jeton->trust_known = false;
	jeton->watching = false;
	client_drop_fd(jeton);
}

/* A connection is waited for where the agent is slow to accept; that wait has a limit too. */
static int limit_connect(int fd, int rest)
{
	struct timeval t = { .tv_sec = rest / 1000, .tv_usec = rest % 1000 * 1000 };

	if (rest < 0)
		return 0;
	if (rest == 0)
		t.tv_usec = 1;
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) < 0 ? -errno : 0;
}

static int connect_by(int fd, const struct sockaddr_un *address, int64_t deadline)
{
	for (;;) {
		int r = limit_connect(fd, client_rest_ms(deadline));

		if (r < 0)
			return r;
		if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
			return 0;
		if (errno == EAGAIN)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
		if (client_rest_ms(deadline) == 0)
			return -ETIMEDOUT;
	}
}

/* A new connection's descriptor. */
static int connect_once(const struct sockaddr_un *address, int64_t deadline)
{
	_cleanup_close_
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = connect_by(fd, address, deadline);
	return r < 0 ? r : steal_fd(&fd);
}

static bool is_away(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

/*
 * Where systemd has the socket, who connects waits in it while the agent is restarted. One that makes
 * its own takes it along; so of an agent that was there before it is looked for again for a while, once.
 */
static int connect_to(struct jeton *jeton, int timeout_ms)
{
	int64_t deadline = client_deadline(timeout_ms);
	int away_ms = timeout_ms >= 0 && timeout_ms < AWAY_MS ? timeout_ms : AWAY_MS;
	int64_t back_by = client_deadline(jeton->was_connected ? away_ms : 0);
	int fd = connect_once(&jeton->address, deadline);

	while (is_away(fd) && client_rest_ms(back_by) > 0) {
		(void)poll(NULL, 0, LOOK_AGAIN_MS);
		fd = connect_once(&jeton->address, deadline);
	}
	jeton->was_connected = fd >= 0;
	return fd;
}

int client_connect(struct jeton *jeton, int timeout_ms)
{
	_cleanup_close_
	int fd = -1;
	int r;

	if (jeton->fd >= 0)
		return 0;
	r = client_home(jeton);
	if (r < 0)
		return r;
	fd = connect_to(jeton, timeout_ms);
	if (fd < 0)
		return fd;
	explicit_bzero(jeton->in.p, jeton->frame.written);
	frame_init(&jeton->frame, jeton->in.p, jeton->in.size);
	jeton->fd = steal_fd(&fd);
	return 0;
}

bool client_is_quiet(const struct jeton *jeton)
{
	char c;

	return frame_pending(&jeton->frame) == 0 &&
	       recv(jeton->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* ---- who is there ---- */

int client_agent_uid(const struct jeton *jeton, uid_t *ret_uid)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	/* Of a socket: who called listen(), which for an activated one is the service manager. */
	if (getsockopt(jeton->fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return -errno;
	*ret_uid = cred.uid;
	return 0;
}

static bool is_agent_user(uid_t uid)
{
	char buf[4096];
	struct passwd user, *found;

	return getpwnam_r(AGENT_USER, &user, buf, sizeof(buf), &found) == 0 && found &&
	       user.pw_uid == uid;
}

/*
 * Whether this uid names one user. The overflow uid stands for all whom the caller's user namespace
 * does not map, unless it maps everybody: then it is nobody's own.
 */
static bool is_one_user(uid_t uid)
{
	_cleanup_close_
	int fd = -1;
	unsigned long inside, outside, n;
	char map[128];
	ssize_t got;

	if (uid != OVERFLOW_UID)
		return true;
	fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, map, sizeof(map) - 1);
	if (got <= 0)
		return false;
	map[got] = '\0';
	return sscanf(map, "%lu %lu %lu", &inside, &outside, &n) == 3 && inside == 0 &&
	       outside == 0 && n == UINT32_MAX;
}

int client_agent_trusted(struct jeton *jeton)
{
	uid_t uid = OVERFLOW_UID;
	int r;

	if (!jeton->trust_known) {
		r = client_agent_uid(jeton, &uid);
		if (r < 0)
			return r;
		/* The look-up of a name costs more than all else, so it comes last. */
		jeton->is_trusted =
			(uid == 0 || uid == geteuid() || is_agent_user(uid)) && is_one_user(uid);
		jeton->trust_known = true;
	}
	return jeton->is_trusted ? 0 : JETON_ERROR_UNTRUSTED_AGENT;
}
