/*
 * agent/unit.c - see unit.h. PIDFD_GET_INFO (Linux 6.13) gives the number of the process and the
 * inode of its control group in one look; the path read from /proc by that number is right if it
 * leads to that inode. Before 6.13 the number comes from the pidfd's fdinfo, and the path counts if
 * the process still lives afterwards.
 */
#include "agent/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "protocol/base/fd.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* As in linux/pidfd.h of 6.13; the header of Debian 12 has none of it. */
struct pidfd_look {
	uint64_t mask;
	uint64_t cgroup_id;
	uint32_t pid, tgid, ppid;
	uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	uint32_t exit_code;
};
#define PIDFD_LOOK _IOWR(0xFF, 11, struct pidfd_look)
enum { LOOK_PID = 1, LOOK_CREDS = 2, LOOK_CGROUP = 4, LOOK_ALL = 7 };

/*
 * ---- the path ---------------------------------------------------------------------------------
 */

static bool ends_with(struct span s, const char *end)
{
	size_t n = strlen(end);

	return s.n > n && memcmp(s.p + s.n - n, end, n) == 0;
}

/* Unit names as systemd makes them; a group of any other name is no unit's. */
static bool is_unit_name(struct span s)
{
	static const char *const types[] = { ".service", ".scope", ".socket", ".mount", ".swap" };

	if (s.n > UNIT_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (ends_with(s, types[i]))
			return true;
	return false;
}

/* The next part of a path that starts at *at (a '/'); false at the end. */
static bool next_part(const char **at, struct span *ret)
{
	const char *start = *at, *end;

	if (*start != '/')
		return false;
	start++;
	end = strchrnul(start, '/');
	*ret = (struct span){ start, (size_t)(end - start) };
	*at = end;
	return ret->n > 0;
}

/* The first part that is no slice, from *at on. */
static bool next_unit(const char **at, struct span *ret)
{
	while (next_part(at, ret))
		if (!ends_with(*ret, ".slice"))
			return true;
	return false;
}

bool unit_from_cgroup(const char *path, uid_t uid, char name[static UNIT_NAME_MAX + 1],
		      size_t *ret_path_n)
{
	const char *at = path;
	struct span part;

	if (!next_unit(&at, &part))
		return false;
	if (uid != (uid_t)-1) {
		char manager[64];

		/* A user's manager decides below its own unit only. */
		snprintf(manager, sizeof(manager), "user@%u.service", (unsigned)uid);
		if (!span_is(part, manager) || !next_unit(&at, &part))
			return false;
	}
	*ret_path_n = (size_t)(at - path);
	/* systemd puts a '_' before names that would clash with files of the kernel. */
	if (part.p[0] == '_')
		part = (struct span){ part.p + 1, part.n - 1 };
	if (!is_unit_name(part))
		return false;
	memcpy(name, part.p, part.n);
	name[part.n] = '\0';
	return true;
}

/*
 * ---- the process ------------------------------------------------------------------------------
 */

static int read_text(const char *path, char *buf, size_t size)
{
	_cleanup_close_
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = fd_read_all(fd, buf, size - 1);
	if (n < 0)
		return (int)n;
	/* One that fills the buffer may have been cut. */
	if ((size_t)n == size - 1)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return 0;
}

static bool has_ended(int pidfd)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) != 0;
}

/* The number of the process, and its group's inode where the kernel tells (else 0). */
static int look(int pidfd, pid_t *ret_pid, uint64_t *ret_cgroup)
{
	struct pidfd_look info = { .mask = LOOK_ALL };
	char path[64], text[1024];
	const char *line;
	int pid, r;

	if (ioctl(pidfd, PIDFD_LOOK, &info) == 0) {
		if ((info.mask & LOOK_ALL) != LOOK_ALL)
			return -ESRCH;
		*ret_pid = (pid_t)info.pid;
		*ret_cgroup = info.cgroup_id;
		return 0;
	}
	if (errno == EREMOTE || errno == ESRCH)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	r = read_text(path, text, sizeof(text));
	if (r < 0)
		return r;
	line = strstr(text, "\nNSpid:");
	if (!line)
		return -EOPNOTSUPP;
	/* Further numbers are those in namespaces below this one. */
	if (sscanf(line + strlen("\nNSpid:"), "%d", &pid) != 1)
		return -EOPNOTSUPP;
	if (pid <= 0)
		return pid < 0 ? -ESRCH : -EREMOTE;
	*ret_pid = pid;
	*ret_cgroup = 0;
	return 0;
}

/* Its group's path in the unified hierarchy, as /proc has it by number. */
static int read_cgroup(pid_t pid, char path[static UNIT_PATH_MAX])
{
	char file[64], text[2 * UNIT_PATH_MAX];
	char *line, *end;
	int r;

	snprintf(file, sizeof(file), "/proc/%d/cgroup", (int)pid);
	r = read_text(file, text, sizeof(text));
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (!line)
		return -EOPNOTSUPP;
	line += *line == '\n' ? 4 : 3;
	/* A name may hold a line break; then nothing here is to be believed, and nothing is. */
	end = strchr(line, '\n');
	if (!end || (end[1] != '\0' && line == text + 3) || (size_t)(end - line) >= UNIT_PATH_MAX)
		return -EOPNOTSUPP;
	memcpy(path, line, (size_t)(end - line));
	path[end - line] = '\0';
	return 0;
}

static int group_inode(const char *path, uint64_t *ret)
{
	char full[sizeof(CGROUP_ROOT) + UNIT_PATH_MAX];
	struct stat st;

	snprintf(full, sizeof(full), CGROUP_ROOT "%s", path);
	if (lstat(full, &st) < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	*ret = st.st_ino;
	return 0;
}

/*
 * Whether the path that was read by number is of the process that the pidfd means. -ENXIO: it is
 * the process, and stayed where it was, but its group is not in the hierarchy that is seen here.
 */
static int confirm(int pidfd, pid_t pid, uint64_t cgroup, const char *path)
{
	uint64_t inode = cgroup, now;
	pid_t pid_now;
	int r;

	if (cgroup) {
		r = group_inode(path, &inode);
		if (r < 0 && r != -ESRCH)
			return r;
		if (r < 0)
			inode = 0;
	}
	r = look(pidfd, &pid_now, &now);
	if (r < 0)
		return r;
	if (pid_now != pid || now != cgroup || has_ended(pidfd))
		return -ESRCH;
	return inode == cgroup ? 0 : -ENXIO;
}

static bool parse_invocation(const char text[static 32], uint8_t ret[static INVOCATION_LEN])
{
	char digits[3] = "";
	uint8_t id[INVOCATION_LEN];
	unsigned byte;

	for (unsigned i = 0; i < INVOCATION_LEN; i++) {
		memcpy(digits, text + 2 * (size_t)i, 2);
		if (strspn(digits, "0123456789abcdef") != 2 || sscanf(digits, "%2x", &byte) != 1)
			return false;
		id[i] = (uint8_t)byte;
	}
	memcpy(ret, id, sizeof(id));
	return true;
}

/* From the group itself: whoever owns it can write this, so it is the manager's word on root's alone. */
static int invocation_of_group(const char *path, uint8_t ret[static INVOCATION_LEN])
{
	char full[sizeof(CGROUP_ROOT) + UNIT_PATH_MAX], text[33];
	struct stat st;

	snprintf(full, sizeof(full), CGROUP_ROOT "%s", path);
	if (lstat(full, &st) < 0)
		return -errno;
	if (st.st_uid != 0 || !S_ISDIR(st.st_mode) ||
	    lgetxattr(full, "user.invocation_id", text, sizeof(text)) != 32)
		return -ENODATA;
	return parse_invocation(text, ret) ? 0 : -ENODATA;
}

/*
 * From where the manager tells it to the journal: also of groups that are not root's (Delegate= with
 * User=, all of a user's manager), and of scopes.
 */
static int told_invocation(const char *path, uid_t uid, uint8_t ret[static INVOCATION_LEN])
{
	char name[UNIT_NAME_MAX + 1], link[UNIT_NAME_MAX + 64], text[33];
	size_t path_n;
	int n;

	if (!unit_from_cgroup(path, uid, name, &path_n))
		return -ENODATA;
	if (uid == (uid_t)-1)
		n = snprintf(link, sizeof(link), "/run/systemd/units/invocation:%s", name);
	else
		n = snprintf(link, sizeof(link), "/run/user/%u/systemd/units/invocation:%s",
			     (unsigned)uid, name);
	if (n < 0 || (size_t)n >= sizeof(link))
		return -ENODATA;
	n = (int)readlink(link, text, sizeof(text));
	if (n < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG ? -ENODATA : -errno;
	return n == 32 && parse_invocation(text, ret) ? 0 : -ENODATA;
}

int unit_invocation(const char *path, uid_t uid, uint8_t ret[static INVOCATION_LEN])
{
	int r = invocation_of_group(path, ret);

	return r == -ENODATA ? told_invocation(path, uid, ret) : r;
}

int unit_of_process(int pidfd, uid_t uid, struct unit *ret)
{
	char path[UNIT_PATH_MAX];
	struct unit unit;
	uint64_t cgroup;
	size_t path_n;
	pid_t pid;
	int r;

	r = look(pidfd, &pid, &cgroup);
	if (r == 0)
		r = read_cgroup(pid, path);
	if (r == 0)
		r = confirm(pidfd, pid, cgroup, path);
	if (r < 0)
		return r;
	if (!unit_from_cgroup(path, uid, unit.name, &path_n))
		return -ENXIO;
	memcpy(unit.path, path, path_n);
	unit.path[path_n] = '\0';
	r = unit_invocation(unit.path, uid, unit.invocation);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	/* The run that was read is the one that the process is in, if it is still there. */
	r = confirm(pidfd, pid, cgroup, path);
	if (r < 0)
		return r;
	unit.group = cgroup;
	*ret = unit;
	return 0;
}

uint64_t unit_group(int pidfd)
{
	uint64_t cgroup;
	pid_t pid;

	return look(pidfd, &pid, &cgroup) == 0 ? cgroup : 0;
}

bool unit_is_current(int pidfd, const struct unit *unit)
{
	uint64_t cgroup;
	pid_t pid;

	return unit->group && look(pidfd, &pid, &cgroup) == 0 && cgroup == unit->group &&
	       !has_ended(pidfd);
}
