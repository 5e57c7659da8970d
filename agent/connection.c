/*
 * agent/connection.c - see connection.h.
 *
 * The socket is watched edge-triggered, so that a call costs no epoll_ctl; `readable` remembers
 * what an edge said until a receive has come up short. Buffers are borrowed only while bytes are in
 * them: an idle connection costs no locked memory. All work on a connection happens in run(), which
 * is never nested: agent->out is empty when it starts and when it ends. Who has been answered all that it
 * asked is sent it at the turn's end, with others (outbox.h).
 */
#include "agent/connection.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "agent/change.h"
#include "agent/closer.h"
#include "agent/connection-buffers.h"
#include "agent/connection-send.h"
#include "agent/deadline.h"
#include "agent/dispatch.h"
#include "agent/loop.h"
#include "agent/outbox.h"
#include "agent/turns.h"

enum {
	STREAM_FLUSH = 2 * 1024,
	STREAM_COST = 16, /* messages that a slice of a stream counts for */
};

/* ---- receiving ------------------------------------------------------------------------------- */

static void input_put(struct connection *c)
{
	if (!c->in.buf)
		return;
	frame_wipe(&c->in);
	connection_buffer_put(c, c->in.buf, c->in_large);
	c->in.buf = NULL;
	c->in_large = false;
}

/* With what was not looked at yet. */
static void input_drop(struct connection *c)
{
	if (!c->in.buf)
		return;
	secret_wipe(c->in.buf, c->in.size);
	connection_buffer_put(c, c->in.buf, c->in_large);
	c->in.buf = NULL;
	c->in_large = false;
}

/* Room to receive into. GO_ON, WAIT (for a buffer). */
static enum next input_room(struct connection *c, char **ret_room, size_t *ret_n)
{
	char *buf;

	if (!c->in.buf) {
		buf = connection_small_get(c);
		if (!buf)
			return CLOSE;
		frame_init(&c->in, buf, SMALL_BUF);
	}
	*ret_n = frame_room(&c->in, ret_room);
	if (*ret_n > 0)
		return GO_ON;
	assert(!c->in_large);
	buf = connection_large_get(c);
	if (!buf) {
		connection_wait_for_large(c);
		return WAIT;
	}
	{
		char *old = c->in.buf;

		frame_move(&c->in, buf, LARGE_BUF);
		connection_buffer_put(c, old, false);
		c->in_large = true;
	}
	*ret_n = frame_room(&c->in, ret_room);
	return GO_ON;
}

static ssize_t receive_some(struct connection *c, char *room, size_t n)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(PASSED_MAX * sizeof(int))];
	} control NOT_ZEROED;
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

bool connection_out_is_full(const struct connection *c)
{
	return c->agent->out.n >= STREAM_FLUSH;
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
		if (c->stream->is_last) {
			input_drop(c);
			passed_done(&c->passed);
		}
		break;
	case DISPATCH_CLOSE:
		(void)connection_flush(c);
		return CLOSE;
	}
	return c->agent->out.n >= c->agent->out_most || c->agent->out_fd >= 0
		       ? connection_flush_some(c)
		       : GO_ON;
}

/* Others get their turn, with nothing of this one's in agent->out. */
static enum next end_turn(struct connection *c)
{
	enum next next = connection_flush(c);

	if (next != GO_ON)
		return next;
	turns_wait(c);
	return WAIT;
}

/* All that was received is answered: more of it is received before that is sent, as long as there is some. */
static enum next read_more(struct connection *c)
{
	enum next next;

	if (!c->readable && outbox_put(c))
		return WAIT;
	if (c->readable && c->agent->out_fd < 0) {
		next = receive(c);
		if (next == GO_ON)
			return GO_ON;
	} else {
		next = WAIT;
	}
	return connection_flush(c) == CLOSE ? CLOSE : next;
}

static enum next end_sent(struct connection *c)
{
	enum next next = connection_flush(c);

	return next == GO_ON ? CLOSE : next;
}

/* Answers the next message, or receives more of them. */
static enum next read_step(struct connection *c, unsigned *n_messages)
{
	struct span message;
	int r = 0;

	if (c->in.buf)
		r = frame_next(&c->in, &message);
	if (r < 0) {
		log_limited(&c->agent->limit_bad_bytes, agent_monotonic(c->agent),
			    "a connection of uid %u was closed: it sent a message of over 128 KiB",
			    (unsigned)c->peer.uid);
		(void)connection_flush(c);
		return CLOSE;
	}
	if (r > 0 && !c->agent->stopping) {
		deadline_none(c);
		if (turns_spend(c, 1)) {
			++*n_messages;
			return answer_message(c, message);
		}
		frame_put_back(&c->in, message);
		return end_turn(c);
	}
	return c->end_when_sent || c->agent->stopping ? end_sent(c) : read_more(c);
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

	c->agent->sources_changed = true;
	next = connection_flush(c);
	if (r == -EAGAIN && next == GO_ON)
		return WAIT;
	if (r < 0 && r != -EAGAIN)
		return CLOSE;
	if (r == 0) {
		c->end_when_sent |= c->stream->is_last;
		stream_free(c);
		c->state = CONNECTION_READING;
	}
	++*n_messages;
	return !turns_spend(c, STREAM_COST) && next == GO_ON ? end_turn(c) : next;
}

static enum next step(struct connection *c, unsigned *n_messages)
{
	if (c->rest || c->agent->out_fd >= 0) {
		enum next next = connection_flush(c);

		if (next != CLOSE && c->rest)
			next = connection_send_rest(c);
		if (next != GO_ON)
			return next;
	}
	switch (c->state) {
	case CONNECTION_READING:
		return read_step(c, n_messages);
	case CONNECTION_STREAMING:
		return stream_step(c, n_messages);
	case CONNECTION_ANSWERING:
		return connection_flush(c) == CLOSE ? CLOSE : WAIT;
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
	const struct agent *a = c->agent;
	unsigned n_messages = 0;
	enum next next;

	if (c->is_posted)
		outbox_send(c->agent);
	do
		next = c->is_broken ? CLOSE : step(c, &n_messages);
	while (next == GO_ON);
	/* What stayed there would go to whoever is next. */
	assert(a->out.n == 0 && a->out_fd < 0);
	if (next == CLOSE)
		connection_close(c);
	else
		settle(c, n_messages);
}

void connection_found(struct connection *c, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->hung_up = true;
}

void connection_receive_ahead(struct connection *c)
{
	char *buf;

	if (c->state != CONNECTION_READING || !c->readable || c->in.buf || c->rest ||
	    c->is_broken || c->agent->stopping || !turns_left(c))
		return;
	/* Only one that is to spare: none is taken from another connection for this. */
	buf = pool_get(&c->agent->small);
	if (!buf)
		return;
	frame_init(&c->in, buf, SMALL_BUF);
	c->is_broken = receive(c) == CLOSE;
}

void connection_ready(struct connection *c, uint32_t events)
{
	/* Nobody is left to hear the rest of the replies; a stream may have none to send for long. */
	if (c->state == CONNECTION_STREAMING && events & (EPOLLHUP | EPOLLERR)) {
		connection_close(c);
		return;
	}
	/*
	 * A call that is being answered, or a buffer that is waited for, has its own way to go on.
	 */
	if (c->state == CONNECTION_ANSWERING || c->is_waiting)
		return;
	if (turns_left(c))
		run(c);
	else
		turns_wait(c);
}

void connection_turn(struct connection *c)
{
	if (c->state != CONNECTION_ANSWERING)
		run(c);
}

void connection_answer(struct connection *c, const char *reply, size_t n, bool has_value,
		       int reply_fd)
{
	struct agent *a = c->agent;
	struct span done;

	assert(c->state == CONNECTION_ANSWERING);
	c->pending = NULL;
	c->state = CONNECTION_READING;
	c->agent->n_answering--;
	/* The message that was put back is answered by this. */
	if (frame_next(&c->in, &done) != 1)
		assert(false);
	passed_end_message(&c->passed, done);
	if (reply_fd >= 0) {
		a->out_fd = reply_fd;
		a->out_fd_at = a->out.n;
	}
	json_put_raw(&a->out, (struct span){ reply, n });
	assert(!a->out.overflow);
	a->out_has_value |= has_value;
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

bool connection_is_at_rest(const struct connection *c)
{
	return c->state == CONNECTION_READING && !c->rest;
}

bool connection_holds_bytes(const struct connection *c)
{
	return (c->rest && (c->rest_has_value || c->rest_has_fd)) ||
	       (c->in.buf && frame_pending(&c->in) > 0);
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
		closer_close_socket(fd);
		return -ENOMEM;
	}
	c->agent = a;
	c->fd = fd;
	c->peer = *peer;
	snprintf(c->uid_label, sizeof(c->uid_label), "uid %u", (unsigned)peer->uid);
	r = loop_watch(c);
	if (r < 0) {
		closer_close_socket(fd);
		free(c);
		return r;
	}
	c->client = client;
	c->next = a->connections;
	if (c->next)
		c->next->prev = c;
	a->connections = c;
	a->n_connections++;
	/* Who connects to ask has mostly asked by now: a turn and two system calls less than to be told so. */
	connection_found(c, EPOLLIN);
	connection_ready(c, EPOLLIN);
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
	/* What waited for it may be sources; and it may have been the last one that the agent's end waited for. */
	if (c->state != CONNECTION_READING || c->agent->stopping)
		c->agent->sources_changed = true;
	if (c->state == CONNECTION_ANSWERING)
		c->agent->n_answering--;
	outbox_forget(c);
	pending_forget(c->pending);
	stream_free(c);
	deadline_forget(c);
	turns_forget(c);
	connection_unwait(c);
	input_drop(c);
	connection_rest_drop(c);
	passed_done(&c->passed);
	loop_forget(c);
	closer_close_socket(c->fd);
	peer_done(&c->peer);
	free(c->unit_name);
	client_put(c->agent, c->client);
	unlink_connection(c);
	if (c->agent->stopping && !c->agent->connections)
		(void)sd_event_exit(c->agent->event, 0);
	free(c);
}
