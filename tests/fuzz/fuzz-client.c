/*
 * tests/fuzz/fuzz-client.c - the library against an agent that is the input: bytes of any kind, in
 * pieces, with any number of descriptors, at any time, with the connection closed in between. Each
 * call ends with a result of its interface; afterwards a call that is answered well is answered, and
 * with the handle go all descriptors and all memory that it mapped.
 *
 * No thread and no waiting: what the library asks the system for (to connect, to send, to wait) is
 * where the input has its turn; the bytes and descriptors go through a real pair of sockets.
 *
 * The first three bytes are calls. Then come steps, each begun by a byte 0xFF and one that says how
 * (enum), and after it what is sent.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/client.h"
#include "tests/unit/fake-agent.h"

enum {
	HOW_FDS = 3,	  /* so many descriptors with it */
	HOW_UNASKED = 4,  /* at once behind the one before, not when the next call has come */
	HOW_CLOSE = 8,	  /* then the connection is closed */
	HOW_ALONE = 16,	  /* the descriptors come with the first byte alone */
	HOW_FULL = 32,	  /* the call is not taken as a whole at first */
	HOW_REFUSE = 64,  /* before it: nobody is there */
	HOW_UNREAD = 128, /* where it is closed: without having read the call */
	HOW_FAIL = HOW_FULL | HOW_REFUSE, /* sending fails, by one errno or another */
	CALLS = 3,
	FDS = 32, /* what is looked at: the lowest numbers are given out first */
};

#define GOOD "{\"parameters\":{\"info\":" FAKE_TOKEN "}}"

static struct {
	const uint8_t *data;
	size_t n;
	int fd;		/* the agent's end; -1: there is none */
	int null;	/* what is passed */
	size_t n_mapped; /* by the library, now */
	bool is_full;	 /* a call was refused a part of */
	bool is_part;	 /* of the last call a part is still to come */
	bool is_good;	 /* the input is over: what comes is what should */
	bool is_cut;	 /* descriptors came that nobody asked for */
	unsigned n_steps;
	uid_t uid;
	struct json_scratch scratch;
} agent = { .fd = -1 };

/* ---- the agent ------------------------------------------------------------------------------- */

static void agent_send(const uint8_t *p, size_t n, unsigned n_fds)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(HOW_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)p, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						   .cmsg_type = SCM_RIGHTS,
						   .cmsg_len = CMSG_LEN(n_fds * sizeof(int)) };
		for (unsigned i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &agent.null,
			       sizeof(int));
	}
	(void)syscall(SYS_sendmsg, agent.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void agent_close(void)
{
	if (agent.fd >= 0)
		close(agent.fd);
	agent.fd = -1;
}

static uint8_t agent_next(void)
{
	return agent.n >= 2 && agent.data[0] == 0xFF ? agent.data[1] : 0;
}

/* One step. False where there is none left. */
static bool agent_step(void)
{
	const uint8_t *end;
	uint8_t how;
	size_t n, first = 0;

	if (agent.n == 0)
		return false;
	agent.n_steps++;
	how = agent_next();
	n = agent.n < 2 ? agent.n : 2;
	agent.data += n;
	agent.n -= n;
	end = memchr(agent.data, 0xFF, agent.n);
	n = end ? (size_t)(end - agent.data) : agent.n;
	if (n > 0 && agent.fd >= 0) {
		if (how & HOW_ALONE && how & HOW_FDS) {
			agent_send(agent.data, 1, how & HOW_FDS);
			first = 1;
		}
		if (n > first)
			agent_send(agent.data + first, n - first, first ? 0 : how & HOW_FDS);
	}
	agent.data += n;
	agent.n -= n;
	if (how & HOW_CLOSE)
		agent_close();
	return true;
}

/* All that comes without a call more. */
static void agent_answer(void)
{
	if (agent.is_good) {
		agent_send((const uint8_t *)GOOD, sizeof(GOOD), 0);
		return;
	}
	if (!agent_step())
		agent_close();
	while (agent.n > 0 && agent_next() & HOW_UNASKED)
		(void)agent_step();
}

/* ---- what the library asks the system for ---------------------------------------------------- */

int connect(int fd, const struct sockaddr *address, socklen_t n)
{
	int pair[2];

	FUZZ_HOLDS(address->sa_family == AF_UNIX && n == sizeof(struct sockaddr_un));
	agent_close();
	agent.is_part = false;
	if (!agent.is_good && (agent_next() & HOW_FAIL) == HOW_REFUSE) {
		agent.n -= 2;
		agent.data += 2;
		errno = ECONNREFUSED;
		return -1;
	}
	FUZZ_HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	FUZZ_HOLDS(dup3(pair[0], fd, O_CLOEXEC) == fd);
	close(pair[0]);
	agent.fd = pair[1];
	return 0;
}

/* Whose the agent is. */
int getsockopt(int fd, int level, int name, void *value, socklen_t *n)
{
	struct ucred cred = { .pid = 1, .uid = agent.uid, .gid = 0 };

	(void)fd;
	FUZZ_HOLDS(level == SOL_SOCKET && name == SO_PEERCRED && *n == sizeof(cred));
	memcpy(value, &cred, sizeof(cred));
	return 0;
}

/* What is sent is a call in JSON and a NUL. */
static void check_call(const char *p, size_t n)
{
	FUZZ_HOLDS(n > 0 && p[n - 1] == '\0');
	FUZZ_HOLDS(json_check((struct span){ p, n - 1 }, &agent.scratch) == JSON_OK);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	size_t n = m->msg_iov[0].iov_len;

	(void)fd;
	FUZZ_HOLDS(flags & MSG_NOSIGNAL && flags & MSG_DONTWAIT);
	if (!agent.is_part)
		check_call(m->msg_iov[0].iov_base, n);
	if (agent.fd < 0) {
		errno = EPIPE;
		return -1;
	}
	if (!agent.is_good && (agent_next() & HOW_FAIL) == HOW_FAIL) {
		static const int errors[] = { EPIPE, ECONNRESET, EINTR, EIO };

		errno = errors[agent.n_steps++ % ARRAY_SIZE(errors)];
		agent.data += 2;
		agent.n -= 2;
		return -1;
	}
	if (!agent.is_good && !agent.is_full && agent_next() & HOW_FULL && n > 1) {
		agent.is_full = agent.is_part = true;
		return (ssize_t)n / 2;
	}
	if (agent.is_full && agent_next() & HOW_FULL) {
		agent.is_full = false;
		errno = EAGAIN;
		return -1;
	}
	agent.is_full = agent.is_part = false;
	/* A call that is never read has the kernel say so when the agent closes. */
	if (!agent.is_good && agent_next() & HOW_UNREAD)
		(void)syscall(SYS_sendto, fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
	agent_answer();
	return (ssize_t)n;
}

/* Descriptors that there was no room for. */
ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, m, flags);

	FUZZ_HOLDS(flags & MSG_DONTWAIT && flags & MSG_CMSG_CLOEXEC);
	if (n >= 0 && m->msg_flags & MSG_CTRUNC)
		agent.is_cut = true;
	return n;
}

/* Where nothing is there yet it is the agent's turn; where it has none left the time is over. */
int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct timespec none = { 0, 0 };
	int r;

	FUZZ_HOLDS(n <= 1);
	if (n == 0)
		return 0;
	r = (int)syscall(SYS_ppoll, fds, n, &none, NULL, 0);
	if (r != 0 || timeout == 0)
		return r;
	if (fds->events & POLLIN && agent.fd >= 0 && !agent.is_good && agent.n_steps % 4 != 3)
		agent_answer();
	agent.n_steps++;
	return (int)syscall(SYS_ppoll, fds, n, &none, NULL, 0);
}

/* Only the library maps and unmaps by these: the sanitizers and libc have their own ways. */
void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	void *p = (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);

	if (p != MAP_FAILED)
		agent.n_mapped += n;
	return p;
}

int munmap(void *p, size_t n)
{
	agent.n_mapped -= n;
	return (int)syscall(SYS_munmap, p, n);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static int on_token(void *userdata, const struct jeton_token *token)
{
	(void)userdata;
	FUZZ_HOLDS(token->id && token->name);
	return token->owner_uid == 77 ? 77 : 0;
}

static int on_credential(void *userdata, const struct jeton_credential *c)
{
	struct jeton *jeton = userdata;

	FUZZ_HOLDS(c->name);
	/* No call from within. */
	FUZZ_HOLDS(jeton_reload(jeton) == -EBUSY);
	return 0;
}

static int on_entry(void *userdata, const struct jeton_audit_entry *entry)
{
	(void)userdata;
	FUZZ_HOLDS(entry->operation && entry->result);
	return 0;
}

static int on_reply(void *userdata, const struct raw_reply *reply)
{
	struct jeton *jeton = userdata;

	FUZZ_HOLDS(reply->error.p || reply->parameters.p);
	FUZZ_HOLDS(jeton_raw_reply(jeton).parameters.p == reply->parameters.p);
	return 0;
}

static int do_describe(struct jeton *j)
{
	const struct jeton_token *token = NULL, *copy;
	int r = jeton_describe(j, "0000000000A", &token);

	if (r == 0) {
		copy = jeton_token_dup(token);
		FUZZ_HOLDS(copy && strcmp(copy->id, token->id) == 0);
		jeton_token_free((struct jeton_token *)(uintptr_t)copy);
	}
	return r;
}

static int do_issue(struct jeton *j)
{
	struct jeton_issue issue = JETON_ISSUE_INIT;
	const char *value = NULL;

	issue.name = "deploy";
	return jeton_issue(j, &issue, &value, NULL);
}

static int do_derive(struct jeton *j)
{
	struct jeton_issue issue = JETON_ISSUE_INIT;

	issue.name = "part";
	return jeton_derive(j, FAKE_VALUE, &issue, NULL, NULL);
}

static int do_verify(struct jeton *j)
{
	const char *const *access = NULL;

	return jeton_verify(j, FAKE_VALUE, NULL, -1, NULL, &access);
}

static int do_verify_bearer(struct jeton *j)
{
	static const char *const scopes[] = { "a:b", NULL };

	return jeton_verify(j, FAKE_VALUE, scopes, agent.null, NULL, NULL);
}

static int do_list(struct jeton *j)
{
	struct jeton_filter filter = JETON_FILTER_INIT;

	return jeton_list(j, &filter, on_token, NULL);
}

static int do_rotate(struct jeton *j)
{
	return jeton_rotate(j, "0000000000A", 60, JETON_UNSET, NULL, NULL, NULL);
}

static int do_revoke(struct jeton *j)
{
	return jeton_revoke(j, "0000000000A", NULL);
}

static int do_put(struct jeton *j)
{
	int64_t revision;

	return jeton_put(j, "modulos", "\xff\x00", 2, 0, JETON_UNSET, &revision);
}

/* Larger than the library's first buffer, or than any message. */
static int do_put_large(struct jeton *j)
{
	static const char value[48 * 1024] = { 1 };

	return jeton_put(j, "modulos", value, sizeof(value), 0, JETON_UNSET, NULL);
}

static int do_put_too_large(struct jeton *j)
{
	static const char value[256 * 1024] = { 1 };
	int r = jeton_put(j, "modulos", value, sizeof(value), 0, JETON_UNSET, NULL);

	FUZZ_HOLDS(r < 0);
	return r;
}

static int do_nonsense(struct jeton *j)
{
	int r = jeton_describe(j, "\xff", NULL);

	FUZZ_HOLDS(r == -EINVAL);
	r = jeton_raw_call(j, "a.B", SPAN("{"), 0, on_reply, j);
	FUZZ_HOLDS(r == -EINVAL);
	return r;
}

static int do_list_credentials(struct jeton *j)
{
	return jeton_list_credentials(j, on_credential, j);
}

static int do_fetch(struct jeton *j)
{
	const struct jeton_value *value = NULL;
	int r = jeton_fetch(j, "modulos", JETON_UNSET, &value);

	if (r == 0)
		FUZZ_HOLDS(((const char *)value->bytes)[value->n] == '\0');
	return r;
}

static int do_fetch_fd(struct jeton *j)
{
	int fd = -1, r = jeton_fetch_fd(j, "modulos", JETON_UNSET, &fd, NULL);

	FUZZ_HOLDS((r == 0) == (fd >= 0));
	FUZZ_HOLDS(fd < 0 || fcntl(fd, F_GETFD) == FD_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return r;
}

static int do_backup(struct jeton *j)
{
	int fd = -1, r = jeton_backup(j, &fd);

	FUZZ_HOLDS((r == 0) == (fd >= 0));
	if (fd >= 0)
		close(fd);
	return r;
}

static int do_watch(struct jeton *j)
{
	const struct jeton_event *event;
	int r = jeton_watch_start(j, JETON_UNSET);

	for (unsigned i = 0; r == 0 && i < 8; i++) {
		FUZZ_HOLDS(jeton_reload(j) == -EBUSY);
		r = jeton_watch_next(j, i % 2 ? 0 : 100, &event);
	}
	jeton_watch_stop(j);
	return r;
}

static int do_status(struct jeton *j)
{
	const struct jeton_status *status = NULL;

	return jeton_get_status(j, &status);
}

static int do_explain(struct jeton *j)
{
	const char *const *lines = NULL;
	int allowed;

	return jeton_explain(j, "ci", NULL, "modulos", NULL, &allowed, &lines);
}

static int do_audit(struct jeton *j)
{
	return jeton_read_audit(j, 0, NULL, on_entry, NULL);
}

static int do_unlock(struct jeton *j)
{
	return jeton_unlock(j, "a passphrase");
}

static int do_raw(struct jeton *j)
{
	return jeton_raw_call(j, "org.varlink.service.GetInfo", SPAN("{\"a\":1}"), CALL_MORE,
			      on_reply, j);
}

static int (*const calls[])(struct jeton *j) = {
	do_describe, do_issue,	do_derive,   do_verify, do_verify_bearer,    do_list,	 do_rotate,
	do_revoke,   do_put,	do_fetch,    do_fetch_fd, do_list_credentials, do_backup, do_watch,
	do_status,   do_explain, do_audit,   do_unlock, do_raw,		     jeton_reload,
	do_put_large, do_put_too_large, do_nonsense,
};

static void check_result(struct jeton *j, int r)
{
	FUZZ_HOLDS(jeton_error_message(j));
	FUZZ_HOLDS(r == 0 || r == 77 || r == -EAGAIN || jeton_error_message(j)[0]);
	FUZZ_HOLDS(j->reply_fd < 0 || j->fd >= 0);
	/* Nothing that came with such is believed, nor what comes behind it. */
	FUZZ_HOLDS(!agent.is_cut || (r == -EBADMSG && j->fd < 0));
}

/* A bit for each that is open. */
static uint32_t open_fds(void)
{
	uint32_t open = 0;

	for (int fd = 0; fd < FDS; fd++)
		open |= (uint32_t)(fcntl(fd, F_GETFD) >= 0) << fd;
	return open;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct jeton *jeton = NULL;
	uint8_t which[CALLS];
	uint32_t before;

	if (agent.null == 0)
		agent.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	before = open_fds();
	for (unsigned i = 0; i < CALLS; i++)
		which[i] = fuzz_byte(&data, &n);
	agent.data = data;
	agent.n = n;
	agent.is_good = agent.is_full = false;
	agent.n_steps = 0;
	agent.uid = which[2] & 0x80 ? 12345 : geteuid();
	agent.n_mapped = 0;
	FUZZ_HOLDS(jeton_new("/run/jeton/agent.sock", &jeton) == 0);
	for (unsigned i = 0; i < CALLS && (i == 0 || agent.n > 0); i++) {
		agent.is_cut = false;
		check_result(jeton, calls[which[i] % ARRAY_SIZE(calls)](jeton));
	}
	agent.n = 0;
	agent.is_good = true;
	FUZZ_HOLDS(do_describe(jeton) == 0);
	jeton_free(jeton);
	agent_close();
	FUZZ_HOLDS(open_fds() == before);
	FUZZ_HOLDS(agent.n_mapped == 0);
	return 0;
}
