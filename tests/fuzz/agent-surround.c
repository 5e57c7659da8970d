/*
 * tests/fuzz/agent-surround.c - see agent-surround.h. It stands in the place of agent/peer.c,
 * unit.c, socket.c, sandbox.c, trim.c, closer.c and log.c, which ask the kernel and nobody else,
 * and of a few functions of libc, libsystemd and libsodium, which the linker hands over
 * (agent.wrap); agent-accounts.c has those that look up users and groups.
 *
 * Who is at the other end of a socket is known by the socket's inode, as the kernel knows it: a
 * copy of a descriptor is the same socket. A process is a pipe: what stands for its pidfd is the
 * reading end, which hangs up when the process ends, and is the only one with its inode.
 */
#include "tests/fuzz/agent-surround.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <systemd/sd-event.h>

#include "agent/closer.h"
#include "agent/log.h"
#include "agent/peer.h"
#include "agent/sandbox.h"
#include "agent/socket.h"
#include "agent/trim.h"
#include "agent/unit.h"
#include "tests/fuzz/fuzz.h"

enum {
	WAITING_MAX = 8,
	KNOWN_MAX = 64, /* sockets, the latest */
	PIDFS = 0x50494446,
	PIPEFS = 0x50495045,
	SIGNALS = 32,
	FIRST_PID = 5000,
};

const struct whom_facts whoms[WHOMS] = {
	[ROOT] = { .uid = 0, .gids = { 0 }, .is_admin = true },
	[ALICE] = { .uid = UID_ALICE, .gids = { UID_ALICE } },
	[BOB] = { .uid = UID_BOB, .gids = { UID_BOB, GID_API } },
	[CAROL] = { .uid = UID_CAROL, .gids = { UID_CAROL, GID_ADMIN }, .is_admin = true },
	[SERVICE] = { .uid = UID_SERVICE, .gids = { UID_SERVICE }, .unit = "nightly.service" },
	[CRON] = { .uid = UID_ALICE, .gids = { UID_ALICE }, .unit = "cron.service" },
	[CONTAINER] = { .uid = UID_ALICE, .gids = { UID_ALICE }, .elsewhere = true },
	[STRANGER] = { .uid = 4242, .gids = { 4242 } },
	[UNMAPPED] = { .uid = 65534, .gids = { 65534 } },
};

struct process {
	int pipe[2];
	pid_t pid;
	uint8_t run; /* of its unit */
};

struct known {
	ino_t inode;
	enum whom who;
	pid_t pid;
};

static struct {
	struct process processes[WHOMS];
	struct known known[KNOWN_MAX];
	unsigned n_known;
	pid_t next_pid;
	int listen_fd; /* an eventfd, the agent's; -1: nobody listens */
	int waiting[WAITING_MAX];
	size_t n_waiting;
	uint64_t chance;
	sd_event_signal_handler_t handlers[SIGNALS];
	void *handlers_userdata;
	char dir[64];
} the = { .listen_fd = -1 };

/* ---- the directory --------------------------------------------------------------------------- */

static void remove_dir(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", the.dir);
	(void)!system(command);
}

const char *surround_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	if (the.dir[0])
		return the.dir;
	tmp = tmp ? tmp : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(the.dir, sizeof(the.dir), "%s/jeton-fuzz.XXXXXX", tmp);
	FUZZ_HOLDS(mkdtemp(the.dir));
	atexit(remove_dir);
	return the.dir;
}

/* Of a unit's control group, as a path beneath the real ones. */
static void group_path(const char *unit, char *ret, size_t size)
{
	snprintf(ret, size, "/../../..%s/%s", surround_dir(), unit);
}

static void touch_group(const char *unit)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", surround_dir(), unit);
	(void)mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/cgroup.events", surround_dir(), unit);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	FUZZ_HOLDS(fd >= 0 && write(fd, "x", 1) == 1);
	close(fd);
}

/* ---- chance ---------------------------------------------------------------------------------- */

static const char *chance_name(void)
{
	return "the same each time";
}

static uint32_t chance_next(void)
{
	uint64_t z = the.chance += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (uint32_t)(z >> 32);
}

static void chance_fill(void *p, size_t n)
{
	uint8_t *to = p;

	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)chance_next();
}

static void take_chance(void)
{
	static struct randombytes_implementation implementation = {
		.implementation_name = chance_name,
		.random = chance_next,
		.buf = chance_fill,
	};

	randombytes_set_implementation(&implementation);
	FUZZ_HOLDS(sodium_init() >= 0);
}

/* ---- processes and units --------------------------------------------------------------------- */

static void begin_process(struct process *p)
{
	FUZZ_HOLDS(pipe2(p->pipe, O_CLOEXEC) == 0);
	p->pid = the.next_pid++;
}

static void end_process(struct process *p)
{
	close(p->pipe[0]);
	close(p->pipe[1]);
}

void surround_exit(enum whom who)
{
	end_process(&the.processes[who]);
	begin_process(&the.processes[who]);
}

void surround_end_unit(enum whom who)
{
	the.processes[who].run++;
	if (whoms[who].unit)
		touch_group(whoms[who].unit);
}

void surround_begin(void)
{
	static bool begun;

	if (!begun)
		take_chance();
	begun = true;
	the.chance = 1;
	the.next_pid = FIRST_PID;
	the.n_known = 0;
	for (size_t i = 0; i < WHOMS; i++) {
		begin_process(&the.processes[i]);
		the.processes[i].run = 0;
		if (whoms[i].unit)
			touch_group(whoms[i].unit);
	}
}

void surround_end(void)
{
	FUZZ_HOLDS(the.n_waiting == 0 && the.listen_fd < 0);
	for (size_t i = 0; i < WHOMS; i++)
		end_process(&the.processes[i]);
}

/* A copy of what stands for the pidfd of a living process, or a negative errno. */
static int open_process(pid_t pid)
{
	for (size_t i = 0; i < WHOMS; i++)
		if (the.processes[i].pid == pid)
			return fcntl(the.processes[i].pipe[0], F_DUPFD_CLOEXEC, 0);
	return -ESRCH;
}

static const struct process *process_at(int pidfd, const struct whom_facts **ret_facts)
{
	struct stat st, other;

	FUZZ_HOLDS(fstat(pidfd, &st) == 0);
	for (size_t i = 0; i < WHOMS; i++)
		if (fstat(the.processes[i].pipe[0], &other) == 0 && other.st_ino == st.st_ino) {
			*ret_facts = &whoms[i];
			return &the.processes[i];
		}
	return NULL;
}

/* ---- in place of unit.c ---------------------------------------------------------------------- */

static void invocation_of(const struct process *p, uint8_t ret[static INVOCATION_LEN])
{
	memset(ret, p->run, INVOCATION_LEN);
	ret[0] = (uint8_t)(p - the.processes + 1);
}

int unit_of_process(int pidfd, uid_t uid, struct unit *ret)
{
	const struct whom_facts *facts;
	const struct process *p = process_at(pidfd, &facts);

	(void)uid;
	if (!p)
		return -ESRCH;
	if (facts->elsewhere || !facts->unit)
		return facts->elsewhere ? -EREMOTE : -ENXIO;
	*ret = (struct unit){ .group = 0 };
	snprintf(ret->name, sizeof(ret->name), "%s", facts->unit);
	group_path(facts->unit, ret->path, sizeof(ret->path));
	invocation_of(p, ret->invocation);
	return 0;
}

uint64_t unit_group(int pidfd)
{
	(void)pidfd;
	return 0;
}

bool unit_is_current(int pidfd, const struct unit *unit)
{
	(void)pidfd;
	(void)unit;
	return false;
}

int unit_invocation(const char *path, uid_t uid, uint8_t ret[static INVOCATION_LEN])
{
	char other[UNIT_PATH_MAX];

	(void)uid;
	for (size_t i = 0; i < WHOMS; i++) {
		if (!whoms[i].unit)
			continue;
		group_path(whoms[i].unit, other, sizeof(other));
		if (strcmp(path, other) != 0)
			continue;
		invocation_of(&the.processes[i], ret);
		return 0;
	}
	return -ENOENT;
}

/* ---- in place of peer.c ---------------------------------------------------------------------- */

static struct known *known_at(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	for (unsigned i = the.n_known; i > 0 && i + KNOWN_MAX > the.n_known; i--)
		if (the.known[(i - 1) % KNOWN_MAX].inode == st.st_ino)
			return &the.known[(i - 1) % KNOWN_MAX];
	return NULL;
}

int peer_init(struct peer *p, int fd)
{
	const struct known *known = known_at(fd);

	if (!known)
		return -ENOTSOCK;
	*p = (struct peer){ .uid = whoms[known->who].uid,
			    .gid = whoms[known->who].gids[0],
			    .pid = known->pid,
			    .pidfd = -1 };
	return 0;
}

bool peer_is_unmapped(const struct peer *p)
{
	return p->uid == 65534 || p->uid == (uid_t)-1;
}

enum peer_standing peer_settle(struct peer *p, int fd)
{
	const struct known *known = known_at(fd);
	const struct whom_facts *facts;

	if (!known || p->standing == PEER_GONE)
		return p->standing = known ? PEER_GONE : PEER_UNCLEAR;
	facts = &whoms[known->who];
	if (!p->groups) {
		p->groups = calloc(ARRAY_SIZE(facts->gids), sizeof(*p->groups));
		if (!p->groups)
			return p->standing = PEER_UNCLEAR;
		for (size_t i = 0; i < ARRAY_SIZE(facts->gids) && (i == 0 || facts->gids[i]); i++)
			p->groups[p->n_groups++] = facts->gids[i];
	}
	if (peer_is_unmapped(p))
		p->standing = PEER_UNMAPPED;
	else if (the.processes[known->who].pid != known->pid)
		p->standing = PEER_GONE;
	else
		p->standing = facts->elsewhere ? PEER_ELSEWHERE : PEER_HERE;
	return p->standing;
}

const char *peer_standing_text(enum peer_standing standing)
{
	(void)standing;
	return "for the target's reasons";
}

bool peer_is_member(const struct peer *p, gid_t gid)
{
	for (size_t i = 0; i < p->n_groups; i++)
		if (p->groups[i] == gid)
			return true;
	return false;
}

/* Processes of this world end by the world's word alone. */
bool peer_has_ended(int pidfd)
{
	(void)pidfd;
	return false;
}

int peer_pidfd(int fd, int *ret)
{
	const struct known *known = known_at(fd);
	int pidfd = known ? open_process(known->pid) : -ENOTSOCK;

	if (pidfd < 0)
		return pidfd;
	*ret = pidfd;
	return 0;
}

int peer_unit(struct peer *p, int fd, uid_t uid, const struct unit **ret)
{
	_cleanup_close_ int pidfd = -1;
	int r = peer_pidfd(fd, &pidfd);

	free(STEAL_PTR(p->unit));
	p->unit = calloc(1, sizeof(*p->unit));
	if (!p->unit)
		return -ENOMEM;
	if (r == 0)
		r = unit_of_process(pidfd, uid, p->unit);
	if (r < 0)
		free(STEAL_PTR(p->unit));
	else
		*ret = p->unit;
	return r;
}

void peer_done(struct peer *p)
{
	free(STEAL_PTR(p->unit));
	free(STEAL_PTR(p->groups));
	p->n_groups = 0;
}

/* ---- connections, and in place of socket.c --------------------------------------------------- */

static void pair(enum whom who, int ret[2])
{
	struct stat st;

	FUZZ_HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret) == 0);
	FUZZ_HOLDS(fstat(ret[1], &st) == 0);
	the.known[the.n_known++ % KNOWN_MAX] =
		(struct known){ st.st_ino, who, the.processes[who].pid };
}

int surround_connect(enum whom who)
{
	int ends[2];

	if (the.listen_fd < 0 || the.n_waiting == WAITING_MAX)
		return -ECONNREFUSED;
	pair(who, ends);
	the.waiting[the.n_waiting++] = ends[1];
	(void)eventfd_write(the.listen_fd, 1);
	return ends[0];
}

int surround_bearer(enum whom who)
{
	int ends[2];

	pair(who, ends);
	close(ends[0]);
	return ends[1];
}

int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *n, int flags);
int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *n, int flags)
{
	eventfd_t count;
	int taken;

	(void)addr;
	(void)n;
	(void)flags;
	FUZZ_HOLDS(fd == the.listen_fd);
	if (the.n_waiting == 0) {
		(void)eventfd_read(fd, &count);
		errno = EAGAIN;
		return -1;
	}
	taken = the.waiting[0];
	memmove(the.waiting, the.waiting + 1, --the.n_waiting * sizeof(*the.waiting));
	return taken;
}

bool sockets_are_passed(void)
{
	return false;
}

int sockets_passed(const char *credential_path, int *ret_agent, int *ret_credential)
{
	(void)credential_path;
	(void)ret_agent;
	(void)ret_credential;
	return 0;
}

void socket_make_directory(const char *path, mode_t mode)
{
	(void)path;
	(void)mode;
}

int socket_make(const char *path, mode_t mode, mode_t directory_mode, const char *option,
		int *ret_fd, ino_t *ret_inode)
{
	(void)path;
	(void)mode;
	(void)directory_mode;
	(void)option;
	the.listen_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	FUZZ_HOLDS(the.listen_fd >= 0);
	*ret_fd = the.listen_fd;
	*ret_inode = 0;
	return 0;
}

void surround_hang_up(void)
{
	while (the.n_waiting > 0)
		close(the.waiting[--the.n_waiting]);
	the.listen_fd = -1;
}

/* ---- in place of sandbox.c, trim.c, closer.c and log.c --------------------------------------- */

void sandbox_enter_process(struct sandbox *s)
{
	(void)s;
}

void sandbox_enter_store(void *userdata)
{
	(void)userdata;
}

void sandbox_enter_loop(const struct sandbox *s)
{
	(void)s;
}

void trim_memory(void)
{
}

void closer_close(const int fds[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

void closer_close_socket(int fd)
{
	close(fd);
}

void log_init(void)
{
}

bool log_is_journal(void)
{
	return false;
}

/* Written, so that what it is made of is looked at; shown where somebody wants to see it. */
static void log_line(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
static void log_line(const char *format, va_list args)
{
	char line[1024];

	vsnprintf(line, sizeof(line), format, args);
	FUZZ_HOLDS(!strstr(line, "jeton_"));
	if (getenv("JETON_FUZZ_LOG"))
		fprintf(stderr, "agent: %s\n", line);
}

#define DEFINE_LOG(name)                   \
	void name(const char *format, ...) \
	{                                  \
		va_list args;              \
                                           \
		va_start(args, format);    \
		log_line(format, args);    \
		va_end(args);              \
	}

DEFINE_LOG(log_error)
DEFINE_LOG(log_warning)
DEFINE_LOG(log_notice)

void log_limited(struct log_limit *limit, uint64_t monotonic_us, const char *format, ...)
{
	va_list args;

	(void)limit;
	(void)monotonic_us;
	va_start(args, format);
	log_line(format, args);
	va_end(args);
}

/* ---- what else the linker hands over --------------------------------------------------------- */

int __real_fstatfs(int fd, struct statfs *ret);
int __wrap_fstatfs(int fd, struct statfs *ret);
int __wrap_fstatfs(int fd, struct statfs *ret)
{
	int r = __real_fstatfs(fd, ret);

	if (r == 0 && ret->f_type == PIPEFS)
		ret->f_type = PIDFS;
	return r;
}

/* No power is cut here but the target's own, and a sync takes as long as a hundred inputs. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	(void)fd;
	return 0;
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	(void)fd;
	return 0;
}

/* Memory is not locked here, which costs more than all else; pidfds are of our processes. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
/* Most calls come with fewer arguments than are taken off here. */
__attribute__((no_sanitize_address)) long __wrap_syscall(long number, ...)
{
	long arguments[6];
	va_list args;
	int fd;

	va_start(args, number);
	for (size_t i = 0; i < ARRAY_SIZE(arguments); i++)
		arguments[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_mlock || number == SYS_munlock)
		return 0;
	if (number == SYS_memfd_secret || number == SYS_pidfd_open) {
		fd = number == SYS_memfd_secret ? -ENOSYS : open_process((pid_t)arguments[0]);
		errno = fd < 0 ? -fd : errno;
		return fd < 0 ? -1 : fd;
	}
	return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
			      arguments[4], arguments[5]);
}

int __wrap_sd_event_add_signal(sd_event *event, sd_event_source **ret, int signal,
			       sd_event_signal_handler_t handler, void *userdata);
int __wrap_sd_event_add_signal(sd_event *event, sd_event_source **ret, int signal,
			       sd_event_signal_handler_t handler, void *userdata)
{
	(void)event;
	(void)ret;
	FUZZ_HOLDS(signal < SIGNALS);
	the.handlers[signal] = handler;
	the.handlers_userdata = userdata;
	return 0;
}

void surround_signal(int signal)
{
	FUZZ_HOLDS(the.handlers[signal]);
	(void)the.handlers[signal](NULL, NULL, the.handlers_userdata);
}

/* A passphrase is half a second's work otherwise. */
int __wrap_crypto_pwhash(unsigned char *out, unsigned long long n, const char *passphrase,
			 unsigned long long passphrase_n, const unsigned char *salt,
			 unsigned long long passes, size_t memory, int algorithm);
int __wrap_crypto_pwhash(unsigned char *out, unsigned long long n, const char *passphrase,
			 unsigned long long passphrase_n, const unsigned char *salt,
			 unsigned long long passes, size_t memory, int algorithm)
{
	(void)passes;
	(void)memory;
	(void)algorithm;
	return crypto_generichash(out, n, (const unsigned char *)passphrase, passphrase_n, salt,
				  crypto_pwhash_SALTBYTES);
}
