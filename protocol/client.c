/*
 * protocol/client.c
 *
 * One call at a time on one connection. Whatever goes wrong on the way closes the connection, so
 * that a reply can never be taken for the answer to another call than its own; the next call
 * connects anew.
 *
 * Invariant: between calls a connection that is open owes nothing. What nevertheless stands there
 * when the next call begins proves that the other end is confused, or gone, and that connection is
 * not used.
 */
#include "protocol/client.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "protocol/client-connect.h"
#include "protocol/reply-read.h"

enum {
	REPEATS = 8,	    /* of a call that no agent took; in two seconds and a half at most */
	REPEATS_TAKEN = 4,  /* of one that an agent took and did not answer */
	FIRST_PAUSE_MS = 10 /* doubled each time */
};

/* A call, to be sent once or several times. */
struct outgoing {
	const char *method; /* with params; else: */
	struct span any_method;
	const struct param *params;
	struct span parameters;
	int fd;
};

/* ---- memory ---- */

/*
 * One page is all that most calls take, and a program that makes one call pays for no more than one to
 * be locked.
 */
int client_home(struct jeton *jeton)
{
	enum { IN = 2048, OUT = 1024, ARENA = LOCKED_PAGE - IN - OUT };
	int r;

	if (jeton->home.p)
		return 0;
	r = locked_map(&jeton->home, LOCKED_PAGE);
	if (r < 0)
		return r;
	jeton->in = locked_part(&jeton->home, 0, IN);
	jeton->out = locked_part(&jeton->home, IN, OUT);
	jeton->arena.chunk[0] = locked_part(&jeton->home, IN + OUT, ARENA);
	jeton->arena.n = 1;
	return 0;
}

/* ---- out ---- */

static void wipe_out(struct jeton *jeton)
{
	if (jeton->out_n > 0)
		explicit_bzero(jeton->out.p, jeton->out_n);
	jeton->out_n = 0;
}

static int grow_out(struct jeton *jeton, size_t used)
{
	struct locked larger;
	size_t size = jeton->out.size * 4;
	int r;

	if (jeton->out.size >= FRAME_BUF_MAX)
		return -EMSGSIZE;
	r = locked_map(&larger, size < FRAME_BUF_MAX ? size : FRAME_BUF_MAX);
	if (r < 0)
		return r;
	locked_unmap(&jeton->out, used);
	jeton->out = larger;
	return 0;
}

static void write_call(struct json_writer *w, const struct outgoing *call, unsigned flags)
{
	if (call->method)
		call_write(w, call->method, flags & CALL_MORE, call->params);
	else
		call_write_json(w, call->any_method, flags & CALL_MORE, call->parameters);
}

/* Written from its start again where the buffer was too small: rare, and simpler than to move. */
static int build(struct jeton *jeton, const struct outgoing *call)
{
	struct json_writer w = { 0 };
	int r = client_home(jeton);

	if (r < 0)
		return r;
	do {
		if (w.overflow) {
			r = grow_out(jeton, w.n);
			if (r < 0)
				return r;
		}
		json_writer_init(&w, jeton->out.p,
				 jeton->out.size < FRAME_BUF_MAX ? jeton->out.size : FRAME_BUF_MAX);
		write_call(&w, call, jeton->flags);
		jeton->out_n = w.n;
	} while (w.overflow);
	return 0;
}

static ssize_t send_some(int fd, const char *p, size_t n, int passed)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)p, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (passed >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &passed, sizeof(int));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int send_all(struct jeton *jeton, int passed, int64_t deadline)
{
	size_t sent = 0;
	int r;

	while (sent < jeton->out_n) {
		ssize_t n = send_some(jeton->fd, jeton->out.p + sent, jeton->out_n - sent,
				      sent == 0 ? passed : -1);

		if (n >= 0) {
			sent += (size_t)n;
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET)
			return -ECONNRESET;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		r = client_wait(jeton->fd, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- in ---- */

static int grow_in(struct jeton *jeton)
{
	struct locked larger, old = jeton->in;
	size_t size = old.size * 4 < FRAME_BUF_MAX ? old.size * 4 : FRAME_BUF_MAX;
	int r;

	if (old.size >= FRAME_BUF_MAX)
		return -EBADMSG;
	r = locked_map(&larger, size);
	if (r < 0)
		return r;
	frame_move(&jeton->frame, larger.p, larger.size);
	jeton->in = larger;
	locked_unmap(&old, old.size);
	return 0;
}

/*
 * Takes the descriptor that came; the room for them holds one, so that a second one sets
 * MSG_CTRUNC.
 */
static void take_fd(struct jeton *jeton, struct msghdr *m)
{
	struct cmsghdr *c = m->msg_controllen > 0 ? CMSG_FIRSTHDR(m) : NULL;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len < CMSG_LEN(sizeof(int)))
		return;
	client_drop_fd(jeton);
	memcpy(&jeton->reply_fd, CMSG_DATA(c), sizeof(int));
}

/* Receives once. Returns 0, also where nothing was there after all, or a negative errno. */
static int receive_some(struct jeton *jeton, char *room, size_t n)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { room, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t got;

	if (jeton->flags & CALL_WANTS_FD && jeton->reply_fd < 0) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_LEN(sizeof(int));
	}
	got = recvmsg(jeton->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	/*
	 * The kernel says ECONNRESET where the other end has closed without having read all that we
	 * sent. An end of file, or anything of an answer: it has.
	 */
	jeton->is_taken = true;
	take_fd(jeton, &m);
	/* Descriptors that nobody asked for: the kernel has closed them, and this is no agent. */
	if (m.msg_flags & MSG_CTRUNC)
		return -EBADMSG;
	if (got == 0)
		return -ECONNRESET;
	frame_received(&jeton->frame, (size_t)got);
	return 0;
}

static int receive_message(struct jeton *jeton, int64_t deadline, struct span *ret_message)
{
	for (;;) {
		char *room;
		size_t n;
		int r = frame_next(&jeton->frame, ret_message);

		if (r != 0)
			return r < 0 ? -EBADMSG : 0;
		n = frame_room(&jeton->frame, &room);
		if (n == 0) {
			r = grow_in(jeton);
		} else {
			r = client_wait(jeton->fd, POLLIN, deadline);
			if (r == 0)
				r = receive_some(jeton, room, n);
		}
		if (r < 0)
			return r;
	}
}

/*
 * For long messages: large, and touched only as far as one has keys, so it is mapped, once. It holds
 * no values.
 */
static int need_scratch(struct jeton *jeton)
{
	struct json_scratch *scratch;

	if (jeton->scratch)
		return 0;
	scratch = mmap(NULL, sizeof(*scratch), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (scratch == MAP_FAILED)
		return -ENOMEM;
	jeton->scratch = scratch;
	return 0;
}

/* 0; -EBADMSG: it is no JSON object; -ENOMEM. */
static int check(struct jeton *jeton, struct span text)
{
	struct json_short_scratch few NOT_ZEROED;
	enum json_error error;
	int r;

	if (text.n <= JSON_SHORT_MAX) {
		error = json_check_short(text, &few);
	} else {
		r = need_scratch(jeton);
		if (r < 0)
			return r;
		error = json_check(text, jeton->scratch);
	}
	return error == JSON_OK ? 0 : -EBADMSG;
}

static int read_error(struct jeton *jeton, const struct reply_top *top)
{
	char *dst = client_arena_get(&jeton->arena, top->error.raw.n);
	struct span name;

	if (!dst)
		return -ENOMEM;
	if (json_string(top->error, dst, top->error.raw.n - 1, &name) < 0)
		return -EBADMSG;
	memmove(dst, name.p, name.n);
	dst[name.n] = '\0';
	jeton->reply.error = (struct span){ dst, name.n };
	return client_error_read(jeton, dst, jeton->parameters);
}

static int read_reply(struct jeton *jeton, struct span message)
{
	struct reply_top top;
	int r = check(jeton, message);

	if (r < 0)
		return r;
	r = reply_read_top(message, &top);
	if (r < 0)
		return r;
	if (top.continues && !(jeton->flags & CALL_MORE))
		return -EBADMSG;
	jeton->parameters = top.parameters.raw.p ? top.parameters : json_root(SPAN("{}"));
	jeton->reply.parameters = jeton->parameters.raw;
	jeton->reply.continues = top.continues;
	return top.error.raw.p ? read_error(jeton, &top) : 0;
}

static int receive_reply(struct jeton *jeton, int64_t deadline)
{
	struct span message;
	int r = receive_message(jeton, deadline, &message);

	return r < 0 ? r : read_reply(jeton, message);
}

/* ---- calls ---- */

/* What the last call gave ends. */
static void forget(struct jeton *jeton)
{
	jeton->reply = (struct raw_reply){ .parameters = SPAN_NONE };
	client_drop_fd(jeton);
	client_arena_reset(&jeton->arena);
	/* It has its buffer from the first connection on. */
	if (jeton->frame.buf)
		frame_wipe(&jeton->frame);
}

int client_begin(struct jeton *jeton)
{
	if (jeton->pid != getpid())
		return client_note(jeton, -ECHILD);
	if (jeton->in_callback || jeton->watching)
		return client_note(jeton, -EBUSY);
	jeton->reply = (struct raw_reply){ .parameters = SPAN_NONE };
	jeton->method = SPAN_NONE;
	jeton->flags = 0;
	jeton->is_sent = jeton->is_taken = false;
	return client_note(jeton, 0);
}

/* Sends the message and takes its reply, once. */
static int exchange(struct jeton *jeton, int passed, int64_t deadline)
{
	int r = client_connect(jeton, client_rest_ms(deadline));

	jeton->is_sent = jeton->is_taken = false;
	if (r == 0 && jeton->flags & CALL_SECRET)
		r = client_agent_trusted(jeton);
	if (r != 0)
		return r;
	r = send_all(jeton, passed, deadline);
	jeton->is_sent = r == 0;
	return r < 0 ? r : receive_reply(jeton, deadline);
}

/* After the n-th try. False where there is no time for another. */
static bool pause_before_next(unsigned n, int64_t deadline)
{
	int rest = client_rest_ms(deadline), pause = FIRST_PAUSE_MS << n;

	if (rest >= 0 && rest <= pause)
		return false;
	(void)poll(NULL, 0, pause);
	return true;
}

/*
 * An agent that ends takes its connections with it. What it has not read nobody has acted on, so it is
 * asked of the next one, whatever it is; what it has read only where that does no harm.
 */
static int exchange_or_repeat(struct jeton *jeton, int passed)
{
	int64_t deadline = client_deadline(jeton->timeout_ms);
	unsigned n = 0, n_taken = 0;
	bool was_kept;
	int r;

	if (jeton->fd >= 0 && !client_is_quiet(jeton))
		client_close(jeton);
	for (;; n++) {
		was_kept = jeton->fd >= 0;
		r = exchange(jeton, passed, deadline);
		if (r != -ECONNRESET || n == REPEATS)
			break;
		if (jeton->is_taken &&
		    (!(jeton->flags & CALL_REPEATABLE) || n_taken++ == REPEATS_TAKEN))
			break;
		client_close(jeton);
		if (!was_kept && !pause_before_next(n, deadline))
			break;
	}
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

static int call(struct jeton *jeton, const struct outgoing *out, unsigned flags)
{
	int r;

	jeton->flags = flags;
	r = build(jeton, out);
	/* Only now, for what the last call gave may have been what this one is asked with. */
	forget(jeton);
	if (r == 0)
		r = exchange_or_repeat(jeton, out->fd);
	wipe_out(jeton);
	return r == 0 ? 0 : client_done(jeton, r);
}

int client_call(struct jeton *jeton, const char *method, unsigned flags,
		const struct param params[], int fd)
{
	const struct outgoing out = { .method = method, .params = params, .fd = fd };
	const char *bad;
	int r = client_begin(jeton);

	if (r < 0)
		return r;
	jeton->method = span_of(method);
	if (params_check(params, &bad) < 0)
		return client_note_invalid(jeton, bad);
	return call(jeton, &out, flags);
}

int client_call_json(struct jeton *jeton, struct span method, unsigned flags,
		     struct span parameters)
{
	const struct outgoing out = { .any_method = method, .parameters = parameters, .fd = -1 };
	int r = client_begin(jeton);

	if (r < 0)
		return r;
	jeton->method = method;
	r = parameters.n > 0 ? check(jeton, parameters) : 0;
	if (r == -EBADMSG)
		return client_note_invalid(jeton, "parameters");
	if (r < 0)
		return client_note(jeton, r);
	return call(jeton, &out, flags);
}

int client_next(struct jeton *jeton, int timeout_ms)
{
	int r;

	forget(jeton);
	/* Where the wait ends without a reply, the next one is still to come. */
	jeton->reply.continues = true;
	r = receive_reply(jeton, client_deadline(timeout_ms));
	return r == 0 || r == -EAGAIN ? r : client_done(jeton, r);
}

int client_done(struct jeton *jeton, int result)
{
	client_note(jeton, result);
	if (result < 0 || jeton->reply.continues)
		client_close(jeton);
	return result;
}
