/* tests/fuzz/agent-clients.c - see agent-clients.h. */
#include "tests/fuzz/agent-clients.h"

#include <errno.h>
#include <sys/socket.h>

#include "tests/fuzz/fuzz.h"

enum { REPLIES_MAX = 512 * 1024, FDS_PASSED = 8 };

void clients_begin(struct clients *c, struct model *m)
{
	*c = (struct clients){ .model = m };
	for (size_t i = 0; i < CLIENTS; i++)
		c->ends[i].fd = -1;
}

void client_vanish(struct clients *c, size_t i)
{
	struct client_end *e = &c->ends[i];

	if (e->fd >= 0)
		close(e->fd);
	free(e->in);
	*e = (struct client_end){ .fd = -1 };
}

void clients_end(struct clients *c)
{
	for (size_t i = 0; i < CLIENTS; i++)
		client_vanish(c, i);
}

void client_connect(struct clients *c, size_t i, enum whom who)
{
	struct client_end *e = &c->ends[i];

	client_vanish(c, i);
	*e = (struct client_end){ .fd = surround_connect(who), .who = who, .is_fresh = true };
	if (e->fd < 0)
		return;
	e->in = malloc(REPLIES_MAX);
	FUZZ_HOLDS(e->in);
}

void client_half_close(struct clients *c, size_t i)
{
	if (c->ends[i].fd < 0)
		return;
	(void)shutdown(c->ends[i].fd, SHUT_WR);
	c->ends[i].half_closed = true;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static ssize_t send_with(int to, const char *p, size_t n, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec iov = { (void *)(uintptr_t)p, n };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						   .cmsg_type = SCM_RIGHTS,
						   .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	return sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void client_call(struct clients *c, size_t i, struct call_made *call)
{
	struct client_end *e = &c->ends[i];
	bool is_sent;

	if (e->fd >= 0 && e->n_asked < ASKED_MAX) {
		if (getenv("JETON_FUZZ_LOG"))
			fprintf(stderr, "by %d at %zu: %s\n", (int)e->who, i, call->text);
		is_sent = send_with(e->fd, call->text, call->n, call->fd) == (ssize_t)call->n;
		e->is_wild |= !is_sent;
		if (is_sent && !call->oneway)
			e->asked[e->n_asked++] = call->asked;
	}
	if (call->fd >= 0)
		close(call->fd);
	call->fd = -1;
}

void client_send_raw(struct clients *c, size_t i, const uint8_t *p, size_t n)
{
	struct client_end *e = &c->ends[i];

	if (e->fd < 0)
		return;
	e->is_wild = true;
	(void)!send(e->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (memmem(p, n, "evoke", 5) || memmem(p, n, "otate", 5))
		model_doubts(c->model);
}

void clients_note(struct clients *c)
{
	for (size_t i = 0; i < CLIENTS; i++)
		for (size_t k = 0; k < c->ends[i].n_asked; k++)
			model_notes(c->model, &c->ends[i].asked[k]);
}

/* ---- replies --------------------------------------------------------------------------------- */

static void take_reply(struct clients *c, struct client_end *e, size_t n)
{
	const struct asked *asked = e->n_asked > 0 ? &e->asked[0] : NULL;
	bool more;

	/* Replies to calls that nobody has followed; or one to none, since there was no room. */
	if (e->is_wild)
		asked = NULL;
	else
		FUZZ_HOLDS(asked || e->is_fresh);
	more = model_replied(c->model, e->who, asked, e->in, n);
	FUZZ_HOLDS(!more || !asked || methods[asked->method].needs_more);
	e->is_fresh = false;
	if (asked && !more)
		memmove(e->asked, e->asked + 1, --e->n_asked * sizeof(*e->asked));
}

static void take_replies(struct clients *c, struct client_end *e)
{
	const char *nul;

	while ((nul = memchr(e->in, '\0', e->in_n))) {
		size_t n = (size_t)(nul - e->in);

		take_reply(c, e, n);
		e->in_n -= n + 1;
		memmove(e->in, nul + 1, e->in_n);
	}
	FUZZ_HOLDS(e->in_n < REPLIES_MAX);
}

static void close_passed(struct msghdr *message)
{
	int fds[FDS_PASSED];
	size_t n;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h; h = CMSG_NXTHDR(message, h)) {
		n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		FUZZ_HOLDS(h->cmsg_type == SCM_RIGHTS && n <= FDS_PASSED);
		memcpy(fds, CMSG_DATA(h), n * sizeof(int));
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
	}
}

/* Some bytes, 0 at the end, or a negative errno. */
static ssize_t receive(struct client_end *e)
{
	char control[CMSG_SPACE(FDS_PASSED * sizeof(int))];
	struct iovec iov = { e->in + e->in_n, REPLIES_MAX - e->in_n };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(e->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return -errno;
	close_passed(&message);
	e->in_n += (size_t)n;
	return n;
}

bool clients_read(struct clients *c)
{
	bool any = false;
	ssize_t n;

	for (size_t i = 0; i < CLIENTS; i++) {
		struct client_end *e = &c->ends[i];

		while (e->fd >= 0 && !e->is_deaf && (n = receive(e)) != -EAGAIN) {
			any = true;
			if (n > 0)
				take_replies(c, e);
			else
				client_vanish(c, i);
		}
	}
	return any;
}

void clients_check_answered(const struct clients *c)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		const struct client_end *e = &c->ends[i];

		if (e->fd < 0 || e->is_wild || e->n_asked == 0)
			continue;
		FUZZ_HOLDS(e->asked[0].method == METHOD_WATCH);
	}
}
