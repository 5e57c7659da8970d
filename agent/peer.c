/*
 * agent/peer.c - see peer.h. Invariant: a look-up that fails leaves the peer refused, never at a
 * default that could be taken for somebody.
 */
#include "agent/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "protocol/base/fd.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/*
 * What the kernel shows instead of a uid that a namespace does not map; the same wherever nobody
 * changed it.
 */
enum { OVERFLOW_ID = 65534 };

int peer_init(struct peer *p, int fd)
{
	struct ucred cred = { .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t n = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return -errno;
	if (n != sizeof(cred))
		return -EBADMSG;
	*p = (struct peer){ .uid = cred.uid, .gid = cred.gid, .pid = cred.pid, .pidfd = -1 };
	return 0;
}

/* The groups at connect, the primary one among them. */
static int read_groups(struct peer *p, int fd)
{
	socklen_t n = 64 * sizeof(gid_t);
	_cleanup_free_ gid_t *groups = malloc(n + sizeof(gid_t));
	socklen_t room = n;
	gid_t *larger;

	if (!groups)
		return -ENOMEM;
	/*
	 * ERANGE gives the length that would do; nobody's groups change at the other end of a
	 * socket. A kernel that gives no longer one is not asked for ever.
	 */
	while (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) < 0) {
		if (errno != ERANGE || n <= room)
			return -errno;
		room = n;
		larger = realloc(groups, n + sizeof(gid_t));
		if (!larger)
			return -ENOMEM;
		groups = larger;
	}
	p->n_groups = n / sizeof(gid_t);
	groups[p->n_groups++] = p->gid;
	p->groups = STEAL_PTR(groups);
	return 0;
}

bool peer_has_ended(int pidfd)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) != 0;
}

/*
 * Whether the process has but one number, the one seen here: it is of the agent's own pid
 * namespace.
 */
static enum peer_standing judge_namespace(const struct peer *p, int pidfd)
{
	char path[64], info[1024];
	_cleanup_close_ int fd = -1;
	const char *line;
	ssize_t n;
	long number, inner;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return PEER_UNCLEAR;
	n = fd_read_all(fd, info, sizeof(info) - 1);
	if (n < 0)
		return PEER_UNCLEAR;
	info[n] = '\0';
	line = strstr(info, "\nNSpid:");
	if (!line)
		return PEER_UNCLEAR;
	switch (sscanf(line + strlen("\nNSpid:"), "%ld%*[ \t]%ld", &number, &inner)) {
	case 1:
		/* 0: the pid namespace is none of ours, or one above it. -1: reaped. */
		return number == p->pid ? PEER_HERE : number < 0 ? PEER_GONE : PEER_ELSEWHERE;
	case 2:
		return PEER_ELSEWHERE;
	default:
		return PEER_UNCLEAR;
	}
}

/*
 * Whoever is asked about a second time is asked about often: from then on its pidfd tells whether it
 * lives. Half of all descriptors are left for clients to come.
 */
static void keep_pidfd(struct peer *p, int *pidfd)
{
	struct rlimit limit;

	if (p->pidfd < 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    (rlim_t)*pidfd < limit.rlim_cur / 2)
		p->pidfd = steal_fd(pidfd);
}

bool peer_is_unmapped(const struct peer *p)
{
	return p->uid == OVERFLOW_ID || p->uid == (uid_t)-1;
}

static enum peer_standing find_standing(struct peer *p, int fd)
{
	_cleanup_close_ int pidfd = -1;
	socklen_t n = sizeof(pidfd);
	enum peer_standing standing;

	if (peer_is_unmapped(p))
		return PEER_UNMAPPED;
	if (p->pid == 0)
		return PEER_ELSEWHERE;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &n) < 0) {
		/*
		 * Before 6.5 there is the number only: good enough to tell a namespace, not to tell
		 * a unit.
		 */
		pidfd = errno == ENOPROTOOPT ? (int)syscall(SYS_pidfd_open, p->pid, 0) : -1;
		if (pidfd < 0)
			return errno == ENODATA || errno == ESRCH ? PEER_GONE : PEER_UNCLEAR;
	}
	standing = judge_namespace(p, pidfd);
	if (standing == PEER_HERE && peer_has_ended(pidfd))
		standing = PEER_GONE;
	if (standing == PEER_HERE && p->standing == PEER_HERE)
		keep_pidfd(p, &pidfd);
	return standing;
}

enum peer_standing peer_settle(struct peer *p, int fd)
{
	/* Only what may change is asked again: a process that was here may have ended. */
	if (p->standing == PEER_HERE && p->pidfd >= 0)
		p->standing = peer_has_ended(p->pidfd) ? PEER_GONE : PEER_HERE;
	else if (p->standing == PEER_UNKNOWN || p->standing == PEER_HERE)
		p->standing = find_standing(p, fd);
	if (!p->groups && (p->standing == PEER_HERE || p->standing == PEER_ELSEWHERE) &&
	    read_groups(p, fd) < 0)
		p->standing = PEER_UNCLEAR;
	return p->standing;
}

const char *peer_standing_text(enum peer_standing standing)
{
	switch (standing) {
	case PEER_UNKNOWN:
		return "it was not asked for";
	case PEER_HERE:
		return "a process of this host";
	case PEER_ELSEWHERE:
		return "it is in another pid namespace (a container or sandbox), where a uid need "
		       "not be this host's";
	case PEER_UNMAPPED:
		return "its uid is not mapped in the agent's user namespace (run jetond without "
		       "PrivateUsers=)";
	case PEER_GONE:
		return "the process that connected has ended (connect from the process that asks)";
	case PEER_UNCLEAR:
		return "the kernel does not tell which process it is (Linux 6.5 or newer and /proc "
		       "are needed)";
	}
	return "";
}

bool peer_is_member(const struct peer *p, gid_t gid)
{
	for (size_t i = 0; i < p->n_groups; i++)
		if (p->groups[i] == gid)
			return true;
	return false;
}

int peer_pidfd(int fd, int *ret)
{
	int pidfd = -1;
	socklen_t n = sizeof(pidfd);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &n) < 0)
		return errno == ENOPROTOOPT ? -EOPNOTSUPP : -errno;
	*ret = pidfd;
	return 0;
}

static int look_for_unit(struct peer *p, int fd, uid_t uid)
{
	struct unit *unit;
	int r;

	if (p->pidfd < 0) {
		r = peer_pidfd(fd, &p->pidfd);
		if (r < 0)
			return r;
	}
	if (p->unit && unit_is_current(p->pidfd, p->unit))
		return 0;
	free(STEAL_PTR(p->unit));
	unit = malloc(sizeof(*unit));
	if (!unit)
		return -ENOMEM;
	r = unit_of_process(p->pidfd, uid, unit);
	if (r < 0) {
		free(unit);
		return r;
	}
	p->unit = unit;
	return 0;
}

int peer_unit(struct peer *p, int fd, uid_t uid, const struct unit **ret)
{
	int r = look_for_unit(p, fd, uid);

	if (r == 0)
		*ret = p->unit;
	return r;
}

void peer_done(struct peer *p)
{
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
	free(STEAL_PTR(p->unit));
	free(STEAL_PTR(p->groups));
	p->n_groups = 0;
}
