/*
 * agent/connection-send.c - see connection-send.h.
 *
 * A descriptor goes with the first byte of its reply, in a sendmsg that has no byte of another one.
 * Its reply is sent, or put into the rest, before the next call is looked at: so there is never more
 * than one, and it belongs to the last reply.
 */
#include "agent/connection-send.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "agent/connection-buffers.h"
#include "agent/deadline.h"
#include "agent/loop.h"
#include "agent/outbox.h"

enum {
	/*
	 * A descriptor goes out only while no more than this lies unread (as the kernel counts, some
	 * 800 bytes a short message): who does not read its replies hoards only a few.
	 */
	FD_UNREAD_MAX = 4 * 1024,
};

void connection_rest_drop(struct connection *c)
{
	if (!c->rest)
		return;
	if (c->rest_has_value)
		secret_wipe(c->rest, c->rest_n);
	if (c->rest_has_fd)
		close(c->rest_fd);
	c->rest_has_fd = false;
	connection_buffer_put(c, c->rest, c->rest_large);
	c->rest = NULL;
}

/* Bytes that the socket took, 0 where it is full, or a negative errno. */
static ssize_t send_some(struct connection *c, const char *p, size_t n)
{
	ssize_t r;

	do
		r = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == EAGAIN ? 0 : -errno;
	return r;
}

/* The same of a reply that a descriptor goes with, or what was sent of it. */
static ssize_t send_with_fd(struct connection *c, const char *p, size_t n, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { (char *)p, n };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.bytes),
	};
	int unread = 0;
	ssize_t r;

	if (ioctl(c->fd, SIOCOUTQ, &unread) == 0 && unread > FD_UNREAD_MAX)
		return 0;
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	do
		r = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno == ETOOMANYREFS)
		log_limited(&c->agent->limit_fds, agent_monotonic(c->agent),
			    "a connection of uid %u was closed: too many descriptors were sent and "
			    "not yet received",
			    (unsigned)c->peer.uid);
	if (r < 0)
		return errno == EAGAIN ? 0 : -errno;
	return r;
}

/* Asks for EPOLLOUT only while it is wanted: each byte that a client reads would wake the loop. */
static void want_out(struct connection *c, bool want)
{
	if (c->wants_out == want)
		return;
	if (loop_watch_out(c, want) == 0)
		c->wants_out = want;
}

/* One piece of the rest: up to the reply that has the descriptor, or from there on. */
static ssize_t send_rest_some(struct connection *c)
{
	const char *p = c->rest + c->rest_at;
	ssize_t n;

	if (!c->rest_has_fd)
		return send_some(c, p, c->rest_n - c->rest_at);
	if (c->rest_at < c->rest_fd_at)
		return send_some(c, p, c->rest_fd_at - c->rest_at);
	n = send_with_fd(c, p, c->rest_n - c->rest_at, c->rest_fd);
	if (n > 0) {
		close(c->rest_fd);
		c->rest_has_fd = false;
	}
	return n;
}

enum next connection_send_rest(struct connection *c)
{
	size_t before = c->rest_at;
	ssize_t n;

	do {
		n = send_rest_some(c);
		if (n < 0)
			return CLOSE;
		c->rest_at += (size_t)n;
	} while (n > 0 && c->rest_at < c->rest_n);
	if (c->rest_at < c->rest_n) {
		want_out(c, true);
		deadline_unread(c, c->rest_at > before);
		return WAIT;
	}
	connection_rest_drop(c);
	want_out(c, false);
	deadline_none(c);
	return GO_ON;
}

/* A buffer for what is kept unsent, of n bytes in all; what was kept before is at its start. */
static bool rest_room(struct connection *c, size_t n)
{
	bool large = n > SMALL_BUF;
	char *buf;

	if (c->rest && (c->rest_large || !large))
		return true;
	buf = large ? connection_large_get(c) : connection_small_get(c);
	if (!buf)
		return false;
	if (c->rest) {
		memcpy(buf, c->rest, c->rest_n);
		n = c->rest_n;
		connection_rest_drop(c);
		c->rest_n = n;
	}
	c->rest = buf;
	c->rest_large = large;
	return true;
}

/*
 * Keeps what the socket did not take, after what was kept before. It fits: no call is dispatched
 * while replies lie here, so they are at most OUT_FLUSH and one reply, or OUT_MOST and a large one.
 */
static enum next keep_rest(struct connection *c, const char *p, size_t n, bool has_value)
{
	if (!c->rest) {
		c->rest_n = c->rest_at = 0;
		c->rest_has_value = false;
	}
	if (!rest_room(c, c->rest_n + n)) {
		log_limited(&c->agent->limit_room, agent_monotonic(c->agent),
			    "a connection of uid %u was closed: it does not read its replies, and "
			    "no buffer is left for them",
			    (unsigned)c->peer.uid);
		return CLOSE;
	}
	assert(c->rest_n + n <= (c->rest_large ? LARGE_BUF : SMALL_BUF));
	memcpy(c->rest + c->rest_n, p, n);
	c->rest_n += n;
	c->rest_has_value |= has_value;
	want_out(c, true);
	deadline_unread(c, false);
	return WAIT;
}

/* Sends n bytes, or keeps what the socket does not take. */
static enum next send_or_keep(struct connection *c, const char *p, size_t n, bool has_value)
{
	ssize_t sent = c->rest || n == 0 ? 0 : send_some(c, p, n);

	if (sent < 0)
		return CLOSE;
	return (size_t)sent < n ? keep_rest(c, p + sent, n - (size_t)sent, has_value) : GO_ON;
}

enum next connection_send(struct connection *c, const char *p, size_t n)
{
	return send_or_keep(c, p, n, false);
}

/* The last reply in agent->out, with its descriptor. */
static enum next send_or_keep_last(struct connection *c)
{
	struct agent *a = c->agent;
	const char *p = a->out.buf + a->out_fd_at;
	size_t n = a->out.n - a->out_fd_at;
	ssize_t sent = c->rest ? 0 : send_with_fd(c, p, n, a->out_fd);
	enum next next;

	if (sent < 0)
		return CLOSE;
	if (sent > 0)
		return send_or_keep(c, p + sent, n - (size_t)sent, a->out_has_value);
	next = keep_rest(c, p, n, a->out_has_value);
	if (next == WAIT) {
		c->rest_has_fd = true;
		c->rest_fd = steal_fd(&a->out_fd);
		c->rest_fd_at = c->rest_n - n;
	}
	return next;
}

enum next connection_flush(struct connection *c)
{
	struct agent *a = c->agent;
	size_t n = a->out.n;
	enum next next;

	if (n == 0)
		return GO_ON;
	next = send_or_keep(c, a->out.buf, a->out_fd >= 0 ? a->out_fd_at : n, a->out_has_value);
	if (a->out_fd >= 0) {
		if (next != CLOSE)
			next = send_or_keep_last(c);
		agent_drop_out_fd(a);
	}
	if (a->out_has_value)
		secret_wipe(a->out.buf, n);
	a->out_has_value = false;
	outbox_begin_out(a);
	return next;
}

/*
 * Whether OUT_MOST bytes go in one piece: the kernel takes a message of up to half of the room, and of 32 KiB, whole,
 * unless as much as the room lies unread before it.
 */
static bool takes_most(struct connection *c)
{
	socklen_t n = sizeof(c->send_room);
	int unread = 0;

	if (c->send_room == 0 && getsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &c->send_room, &n) < 0)
		c->send_room = 1;
	return c->send_room >= 4 * OUT_MOST && ioctl(c->fd, SIOCOUTQ, &unread) == 0 &&
	       unread < c->send_room / 2;
}

enum next connection_flush_some(struct connection *c)
{
	struct agent *a = c->agent;

	if (a->out.n < OUT_MOST && a->out_fd < 0 && takes_most(c)) {
		a->out_most = OUT_MOST;
		return GO_ON;
	}
	return connection_flush(c);
}
