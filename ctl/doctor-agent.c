/* ctl/doctor-agent.c - the agent: whether it can be reached and believed, and how it is. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "ctl/doctor.h"
#include "protocol/base/cleanup.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#define PIDFS_MAGIC_ 0x50494446
#define CGROUP2_MAGIC_ 0x63677270

/* ---- the socket ---- */

static const char *user_name(uid_t uid, char dst[static 32])
{
	const struct passwd *pw = getpwuid(uid);

	if (pw)
		snprintf(dst, 32, "%s", pw->pw_name);
	else
		snprintf(dst, 32, "uid %u", (unsigned)uid);
	return dst;
}

/* Whoever may write there may put a socket of their own in its place. */
static void look_at_directory(struct doctor *d, uid_t agent)
{
	char path[4096], *slash;
	struct stat st;

	snprintf(path, sizeof(path), "%s", jeton_path(d->jeton));
	slash = strrchr(path, '/');
	if (!slash || slash == path)
		return;
	*slash = 0;
	if (stat(path, &st) < 0)
		return;
	if ((st.st_uid != 0 && st.st_uid != agent && st.st_uid != geteuid()) ||
	    (st.st_mode & (S_IWGRP | S_IWOTH) && !(st.st_mode & S_ISVTX)))
		doctor_tell(d, FINDING_WRONG, "Socket",
			    "others can write to %s, and put a socket of their own there: only "
			    "root or the agent's user should own it, with mode 0755",
			    path);
}

static void look_at_owner(struct doctor *d)
{
	uint32_t uid = 0;
	char name[32];

	if (jeton_agent_uid(d->jeton, &uid) != 0)
		return;
	if (jeton_agent_trusted(d->jeton) != 0)
		doctor_tell(d, FINDING_WRONG, "Socket", "%s", jeton_error_message(d->jeton));
	else
		doctor_tell(d, FINDING_GOOD, "Socket", "%s, served by %s", jeton_path(d->jeton),
			    user_name(uid, name));
	look_at_directory(d, uid);
}

void doctor_socket(struct doctor *d)
{
	const char *unit = d->args->user ? "--user " : "", *path = jeton_path(d->jeton);
	struct stat st;
	int r;

	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		doctor_tell(d, FINDING_WRONG, "Socket",
			    "%s is no socket: remove it, and systemctl %srestart jetond.socket",
			    path, unit);
		return;
	}
	r = jeton_connect(d->jeton);
	if (r == 0) {
		d->answers = true;
		look_at_owner(d);
		return;
	}
	doctor_tell(d, FINDING_WRONG, "Socket", "%s%s%s%s", jeton_error_message(d->jeton),
		    r == -ENOENT || r == -ECONNREFUSED ? " (systemctl " : "",
		    r == -ENOENT || r == -ECONNREFUSED ? unit : "",
		    r == -ENOENT || r == -ECONNREFUSED ? "start jetond.socket)" : "");
}

/* ---- the agent ---- */

static void look_at_state(struct doctor *d, const struct jeton_status *s)
{
	if (s->state == JETON_AGENT_RUNNING)
		doctor_tell(d, FINDING_GOOD, "Agent", "runs, version %s", s->version);
	else if (s->state == JETON_AGENT_LOCKED)
		doctor_tell(d, FINDING_WRONG, "Agent",
			    "is locked, and only revokes: an administrator unlocks it by jetonctl "
			    "unlock");
	else if (s->state == JETON_AGENT_REFUSING)
		doctor_tell(d, FINDING_WRONG, "Agent",
			    "refuses nearly all, since it started with a mistake in its policies: "
			    "jetonctl policy check says where, and jetonctl reload takes them in");
	if (strcmp(s->version, JETON_VERSION) != 0)
		doctor_tell(d, FINDING_WARNING, "Agent",
			    "is of version %s, and this tool of %s: systemctl restart jetond after "
			    "an upgrade",
			    s->version, JETON_VERSION);
}

static void look_at_memory(struct doctor *d, const struct jeton_status *s)
{
	if (s->memory == JETON_MEMORY_UNLOCKED)
		doctor_tell(d, FINDING_WRONG, "Memory",
			    "is not locked, so secrets may reach the swap device: raise "
			    "LimitMEMLOCK= of jetond.service to 320M, and take AllowUnlocked= out "
			    "of the settings");
	else
		doctor_tell(d, FINDING_GOOD, "Memory", "locked (%s)", jeton_memory_text(s->memory));
	if (s->locked_limit > 0 && s->locked_bytes > s->locked_limit / 10 * 9)
		doctor_tell(d, FINDING_WRONG, "Memory",
			    "is nearly full: raise MemoryLimit= in the settings, and LimitMEMLOCK= "
			    "of jetond.service with it");
}

void doctor_agent(struct doctor *d)
{
	const struct jeton_status *s;

	if (jeton_get_status(d->jeton, &s) != 0) {
		d->answers = false;
		doctor_tell(d, FINDING_WRONG, "Agent", "%s", jeton_error_message(d->jeton));
		return;
	}
	d->loaded_us = s->policies_loaded_us;
	look_at_state(d, s);
	look_at_memory(d, s);
}

/* ---- the kernel ---- */

/* Whether it tells who is at the other end of a socket in a way that stays true. */
static bool has_peer_pidfd(void)
{
	_cleanup_close_ int pidfd = -1;
	socklen_t n = sizeof(pidfd);
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	r = getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &n);
	close(pair[0]);
	close(pair[1]);
	return r == 0;
}

static bool has_pidfs(void)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct statfs st;

	return pidfd >= 0 && fstatfs(pidfd, &st) == 0 && st.f_type == PIDFS_MAGIC_;
}

static bool has_cgroup2(void)
{
	struct statfs st;

	return statfs("/sys/fs/cgroup", &st) == 0 && st.f_type == CGROUP2_MAGIC_;
}

void doctor_kernel(struct doctor *d)
{
	if (!has_peer_pidfd())
		doctor_tell(d, FINDING_WARNING, "Kernel",
			    "is older than Linux 6.5: rules with Unit=, bindings and "
			    "LoadCredential= from the agent are refused");
	else if (!has_pidfs())
		doctor_tell(d, FINDING_WARNING, "Kernel",
			    "has no pidfs (Linux 6.9): nothing can be bound to a process");
	else if (!has_cgroup2())
		doctor_tell(d, FINDING_WARNING, "Kernel",
			    "has no unified cgroup hierarchy at /sys/fs/cgroup: which unit asks "
			    "can't be told, so rules with Unit=, Binding=unit and LoadCredential= "
			    "from the agent are refused");
	else
		doctor_tell(d, FINDING_GOOD, "Kernel", "tells which process and which unit asks");
}
