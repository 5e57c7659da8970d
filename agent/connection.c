/*
 * agent/connection.c - see connection.h.
 *
 * The socket is watched edge-triggered, so that a call costs no epoll_ctl; `readable` remembers
 * what an edge said until a receive has come up short. Buffers are borrowed only while bytes are in
 * them: an idle connection costs no locked memory. All work on a connection happens in run(), which
 * is never nested: agent->out is empty when it starts and when it ends.
 */
#include "agent/connection.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "agent/change.h"
#include "agent/deadline.h"
#include "agent/dispatch.h"

enum {
	TURN_MESSAGES = 256, /* before others get their turn */
	STREAM_FLUSH = 2 * 1024,
	STREAM_COST = 16, /* messages that a slice of a stream counts for */
};

enum next { GO_ON, WAIT, CLOSE };

/* ---- buffers --------------------------------------------------------------------------------- */

static char *large_get(struct connection *c)
{
	char *buf;

	if (c->client->n_large >= LARGE_BUFS_PER_USER)
		return NULL;
	buf = pool_get(&c->agent->large);
	if (buf)
		c->client->n_large++;
	return buf;
}

/* The first that waits and may have one gets its turn. */
static void wake_waiting(struct agent *a)
{
	struct connection **at = &a->waiting_first, *c, *before = NULL;

	for (; (c = *at); before = c, at = &c->waiting_next)
		if (c->client->n_large < LARGE_BUFS_PER_USER)
			break;
	if (!c)
		return;
	*at = c->waiting_next;
	if (a->waiting_last == c)
		a->waiting_last = before;
	c->is_waiting = false;
	deadline_again(c);
}

static void buffer_put(struct connection *c, char *buf, bool large)
{
	pool_put(large ? &c->agent->large : &c->agent->small, buf);
	if (large) {
		c->client->n_large--;
		wake_waiting(c->agent);
	}
}

static void wait_for_large(struct connection *c)
{
	struct agent *a = c->agent;

	if (c->is_waiting)
		return;
	c->is_waiting = true;
	c->waiting_next = NULL;
	if (a->waiting_last)
		a->waiting_last->waiting_next = c;
	else
		a->waiting_first = c;
	a->waiting_last = c;
}

static void unwait(struct connection *c)
{
	struct connection **at = &c->agent->waiting_first, *before = NULL;

	if (!c->is_waiting)
		return;
	for (; *at != c; at = &(*at)->waiting_next)
		before = *at;
	*at = c->waiting_next;
	if (c->agent->waiting_last == c)
		c->agent->waiting_last = before;
	c->is_waiting = false;
}

static void input_put(struct connection *c)
{
	if (!c->in.buf)
		return;
	frame_wipe(&c->in);
	buffer_put(c, c->in.buf, c->in_large);
	c->in.buf = NULL;
	c->in_large = false;
}

/* Room to receive into. GO_ON, WAIT (for a buffer). */
static enum next input_room(struct connection *c, char **ret_room, size_t *ret_n)
{
	char *buf;

	if (!c->in.buf) {
		buf = pool_get(&c->agent->small);
		if (!buf)
			return CLOSE;
		frame_init(&c->in, buf, SMALL_BUF);
	}
	*ret_n = frame_room(&c->in, ret_room);
	if (*ret_n > 0)
		return GO_ON;
	assert(!c->in_large);
	buf = large_get(c);
	if (!buf) {
		wait_for_large(c);
		return WAIT;
	}
	{
		char *old = c->in.buf;

		frame_move(&c->in, buf, LARGE_BUF);
		buffer_put(c, old, false);
		c->in_large = true;
	}
	*ret_n = frame_room(&c->in, ret_room);
	return GO_ON;
}

static void rest_put(struct connection *c)
{
	if (!c->rest)
		return;
	if (c->rest_has_value)
		secret_wipe(c->rest, c->rest_n);
	buffer_put(c, c->rest, c->rest_large);
	c->rest = NULL;
}

/* ---- sending --------------------------------------------------------------------------------- */

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

/* Asks for EPOLLOUT only while it is wanted: each byte that a client reads would wake the loop. */
static void want_out(struct connection *c, bool want)
{
	if (c->wants_out == want)
		return;
	if (sd_event_source_set_io_events(c->source, (uint32_t)(EPOLLIN | EPOLLRDHUP | EPOLLET) |
							     (want ? EPOLLOUT : 0)) >= 0)
		c->wants_out = want;
}

static enum next send_rest(struct connection *c)
{
	ssize_t n = send_some(c, c->rest + c->rest_at, c->rest_n - c->rest_at);

	if (n < 0)
		return CLOSE;
	c->rest_at += (size_t)n;
	if (c->rest_at < c->rest_n) {
		want_out(c, true);
		deadline_unread(c, n > 0);
		return WAIT;
	}
	rest_put(c);
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
	buf = large ? large_get(c) : pool_get(&c->agent->small);
	if (!buf)
		return false;
	if (c->rest) {
		memcpy(buf, c->rest, c->rest_n);
		n = c->rest_n;
		rest_put(c);
		c->rest_n = n;
	}
	c->rest = buf;
	c->rest_large = large;
	return true;
}

/*
 * Keeps what the socket did not take, after what was kept before. It fits: no call is dispatched
 * while replies lie here, so they are at most OUT_FLUSH and one reply.
 */
static enum next keep_rest(struct connection *c, const char *p, size_t n)
{
	if (!c->rest) {
		c->rest_n = c->rest_at = 0;
		c->rest_has_value = false;
	}
	if (!rest_room(c, c->rest_n + n)) {
		log_limited(&c->agent->limit_late, agent_monotonic(c->agent),
			    "a connection of uid %u was closed: it does not read its replies, and "
			    "no buffer is left for them",
			    (unsigned)c->peer.uid);
		return CLOSE;
	}
	assert(c->rest_n + n <= (c->rest_large ? LARGE_BUF : SMALL_BUF));
	memcpy(c->rest + c->rest_n, p, n);
	c->rest_n += n;
	c->rest_has_value |= c->agent->out_has_value;
	want_out(c, true);
	deadline_unread(c, false);
	return WAIT;
}

/* Sends agent->out, or keeps it, and empties it. */
static enum next flush(struct connection *c)
{
	struct agent *a = c->agent;
	size_t n = a->out.n;
	enum next next = GO_ON;
	ssize_t sent = 0;

	if (n == 0)
		return GO_ON;
	if (!c->rest)
		sent = send_some(c, a->out.buf, n);
	if (sent < 0)
		next = CLOSE;
	else if ((size_t)sent < n)
		next = keep_rest(c, a->out.buf + sent, n - (size_t)sent);
	if (a->out_has_value)
		secret_wipe(a->out.buf, n);
	a->out_has_value = false;
	json_writer_init(&a->out, a->scratch->out, sizeof(a->scratch->out));
	return next;
}

bool connection_out_is_full(const struct connection *c)
{
	return c->agent->out.n >= STREAM_FLUSH;
}

/* ---- receiving ------------------------------------------------------------------------------- */

static ssize_t receive_some(struct connection *c, char *room, size_t n)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(PASSED_MAX * sizeof(int))];
	} control;
	struct iovec iov = { room, n };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t r;

	do
		r = recvmsg(c->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	passed_receive(&c->passed, &message, (struct span){ room, (size_t)r });
	/*
	 * A stream that comes up short is empty, and what comes next is a new edge - but for its
	 * end, and for what follows descriptors, where the kernel stops a read.
	 */
	if ((size_t)r < n && !c->hung_up && message.msg_controllen == 0)
		c->readable = false;
	return r;
}

static enum next receive(struct connection *c)
{
	enum next next;
	ssize_t n;
	size_t size;
	char *room;

	next = input_room(c, &room, &size);
	if (next != GO_ON)
		return next;
	n = receive_some(c, room, size);
	if (n == -EAGAIN) {
		c->readable = false;
		return GO_ON;
	}
	if (n < 0)
		return CLOSE;
	if (n == 0) {
		c->readable = false;
		c->end_when_sent = true;
		return GO_ON;
	}
	frame_received(&c->in, (size_t)n);
	return GO_ON;
}

/* ---- one step after the other ---------------------------------------------------------------- */

static enum next answer_message(struct connection *c, struct span message)
{
	enum dispatched dispatched = dispatch(c, message);

	switch (dispatched) {
	case DISPATCH_DONE:
		passed_end_message(&c->passed, message);
		break;
	case DISPATCH_LATER:
		assert(c->pending);
		frame_put_back(&c->in, message);
		c->state = CONNECTION_ANSWERING;
		c->agent->n_answering++;
		break;
	case DISPATCH_STREAM:
		passed_end_message(&c->passed, message);
		c->state = CONNECTION_STREAMING;
		break;
	case DISPATCH_CLOSE:
		(void)flush(c);
		return CLOSE;
	}
	return c->agent->out.n >= OUT_FLUSH ? flush(c) : GO_ON;
}

/* Answers the next message, or receives more of them. */
static enum next read_step(struct connection *c, unsigned *n_messages)
{
	struct span message;
	enum next next;
	int r = 0;

	if (c->in.buf)
		r = frame_next(&c->in, &message);
	if (r < 0) {
		log_limited(&c->agent->limit_bad_bytes, agent_monotonic(c->agent),
			    "a connection of uid %u was closed: it sent a message of over 128 KiB",
			    (unsigned)c->peer.uid);
		(void)flush(c);
		return CLOSE;
	}
	if (r > 0 && !c->agent->stopping) {
		deadline_none(c);
		if (++*n_messages <= TURN_MESSAGES)
			return answer_message(c, message);
		frame_put_back(&c->in, message);
		deadline_again(c);
		return WAIT;
	}
	next = flush(c);
	if (next != GO_ON)
		return next;
	if (c->end_when_sent || c->agent->stopping)
		return CLOSE;
	return c->readable ? receive(c) : WAIT;
}

static void stream_free(struct connection *c)
{
	if (!c->stream)
		return;
	c->stream->free(c->stream);
	c->stream = NULL;
}

static enum next stream_step(struct connection *c, unsigned *n_messages)
{
	enum next next;
	int r = c->stream->produce(c->stream, c);

	next = flush(c);
	if (r == -EAGAIN && next == GO_ON)
		return WAIT;
	if (r < 0 && r != -EAGAIN)
		return CLOSE;
	if (r == 0) {
		stream_free(c);
		c->state = CONNECTION_READING;
	}
	*n_messages += STREAM_COST;
	if (next == GO_ON && *n_messages > TURN_MESSAGES) {
		deadline_again(c);
		return WAIT;
	}
	return next;
}

static enum next step(struct connection *c, unsigned *n_messages)
{
	if (c->rest) {
		enum next next = flush(c);

		if (next != CLOSE)
			next = send_rest(c);
		if (next != GO_ON)
			return next;
	}
	switch (c->state) {
	case CONNECTION_READING:
		return read_step(c, n_messages);
	case CONNECTION_STREAMING:
		return stream_step(c, n_messages);
	case CONNECTION_ANSWERING:
		return flush(c) == CLOSE ? CLOSE : WAIT;
	}
	return CLOSE;
}

/*
 * What is left between two turns: no buffer where none is needed, and a deadline where the client
 * owes something.
 */
static void settle(struct connection *c, unsigned n_messages)
{
	if (c->in.buf && c->state != CONNECTION_ANSWERING && frame_pending(&c->in) == 0)
		input_put(c);
	if (c->rest)
		return;
	if (c->state == CONNECTION_READING && c->in.buf && !c->is_waiting && !c->is_again)
		deadline_half(c, n_messages > 0);
	else
		deadline_none(c);
}

static void run(struct connection *c)
{
	unsigned n_messages = 0;
	enum next next;

	do
		next = step(c, &n_messages);
	while (next == GO_ON);
	if (next == CLOSE)
		connection_close(c);
	else
		settle(c, n_messages);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct connection *c = userdata;

	(void)source;
	(void)fd;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->hung_up = true;
	/*
	 * A call that is being answered, or a buffer that is waited for, has its own way to go on.
	 */
	if (c->state != CONNECTION_ANSWERING && !c->is_waiting)
		run(c);
	return 0;
}

void connection_turn(struct connection *c)
{
	if (c->state != CONNECTION_ANSWERING)
		run(c);
}

void connection_answer(struct connection *c, const char *reply, size_t n, bool has_value)
{
	struct span done;

	assert(c->state == CONNECTION_ANSWERING);
	c->pending = NULL;
	c->state = CONNECTION_READING;
	c->agent->n_answering--;
	/* The message that was put back is answered by this. */
	if (frame_next(&c->in, &done) != 1)
		assert(false);
	passed_end_message(&c->passed, done);
	json_put_raw(&c->agent->out, (struct span){ reply, n });
	assert(!c->agent->out.overflow);
	c->agent->out_has_value |= has_value;
	run(c);
}

void connection_again(struct connection *c)
{
	assert(c->state == CONNECTION_ANSWERING);
	c->pending = NULL;
	c->state = CONNECTION_READING;
	c->agent->n_answering--;
	run(c);
}

void connection_stream_ready(struct connection *c)
{
	assert(c->state == CONNECTION_STREAMING);
	run(c);
}

/* ---- birth and end --------------------------------------------------------------------------- */

struct client *client_get(struct agent *a, uid_t uid)
{
	struct client **slot = &a->clients[uid % ARRAY_SIZE(a->clients)], *client;

	for (client = *slot; client; client = client->next)
		if (client->uid == uid) {
			client->n_connections++;
			return client;
		}
	client = calloc(1, sizeof(*client));
	if (!client)
		return NULL;
	client->uid = uid;
	client->n_connections = 1;
	client->next = *slot;
	*slot = client;
	return client;
}

void client_put(struct agent *a, struct client *client)
{
	struct client **at = &a->clients[client->uid % ARRAY_SIZE(a->clients)];

	if (--client->n_connections > 0)
		return;
	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	free(client);
}

int connection_new(struct agent *a, int fd, const struct peer *peer, struct client *client)
{
	struct connection *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->agent = a;
	c->fd = fd;
	c->peer = *peer;
	snprintf(c->uid_label, sizeof(c->uid_label), "uid %u", (unsigned)peer->uid);
	r = sd_event_add_io(a->event, &c->source, fd, (uint32_t)(EPOLLIN | EPOLLRDHUP | EPOLLET),
			    on_io, c);
	if (r < 0) {
		close(fd);
		free(c);
		return r;
	}
	c->client = client;
	c->next = a->connections;
	if (c->next)
		c->next->prev = c;
	a->connections = c;
	a->n_connections++;
	return 0;
}

static void unlink_connection(struct connection *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		c->agent->connections = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->agent->n_connections--;
}

void connection_close(struct connection *c)
{
	if (c->state == CONNECTION_ANSWERING)
		c->agent->n_answering--;
	pending_forget(c->pending);
	stream_free(c);
	deadline_forget(c);
	unwait(c);
	if (c->in.buf) {
		/* With what was not read yet. */
		secret_wipe(c->in.buf, c->in.size);
		buffer_put(c, c->in.buf, c->in_large);
	}
	rest_put(c);
	passed_done(&c->passed);
	sd_event_source_unref(c->source);
	close(c->fd);
	peer_done(&c->peer);
	client_put(c->agent, c->client);
	unlink_connection(c);
	if (c->agent->stopping && !c->agent->connections)
		(void)sd_event_exit(c->agent->event, 0);
	free(c);
}
