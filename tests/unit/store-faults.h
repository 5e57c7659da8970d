/*
 * tests/unit/store-faults.h - calls that fail, or kill, when told to.
 *
 * The definitions here take the place of libc's for the whole program, SQLite included. To be
 * included by one file of a program only.
 */
#pragma once

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum fault_call {
	FAULT_WRITE,
	FAULT_SYNC,
	FAULT_TRUNCATE,
	FAULT_RENAME, /* and a second name */
	FAULT_UNLINK,
	FAULT_ANY
};

/* Set while no other thread is at work. */
static struct {
	atomic_bool armed;
	enum fault_call call;
	unsigned at;	       /* the how many-th of these calls, from 1 on */
	bool forever;	       /* and all that follow */
	bool after;	       /* a kill: when the call was done, unreported */
	int error;	       /* 0: a kill */
	unsigned then_kill_at; /* after an error: a kill, at the how many-th call of any kind */
	const char *file;      /* only calls on names that end so; NULL: on all */
	atomic_uint n_calls, n_struck;
} fault;

static inline void fault_arm(enum fault_call call, unsigned at, bool forever, int error)
{
	fault.call = call;
	fault.at = at;
	fault.forever = forever;
	fault.error = error;
	fault.after = false;
	fault.file = NULL;
	fault.then_kill_at = 0;
	fault.n_calls = 0;
	fault.n_struck = 0;
	fault.armed = true;
}

/* Whether it has struck since it was armed. */
static inline bool fault_disarm(void)
{
	fault.armed = false;
	return fault.n_struck > 0;
}

static bool fault_is_on(const char *name)
{
	size_t n = strlen(name), k = fault.file ? strlen(fault.file) : 0;

	return k <= n && (k == 0 || strcmp(name + n - k, fault.file) == 0);
}

enum { FAULT_NONE = -1, FAULT_KILL = 0 };

/* What befalls this call: nothing, a kill, or an errno. */
static int fault_strikes(enum fault_call call, const char *name)
{
	int error = fault.error;
	unsigned n;

	if (!fault.armed || (fault.call != call && fault.call != FAULT_ANY) || !fault_is_on(name))
		return FAULT_NONE;
	n = ++fault.n_calls;
	if (n != fault.at && !(fault.forever && n > fault.at))
		return FAULT_NONE;
	fault.n_struck++;
	if (fault.then_kill_at)
		fault_arm(FAULT_ANY, fault.then_kill_at, false, 0);
	return error;
}

static long fault_apply(enum fault_call call, const char *name, long number, long a, long b, long c,
			long d, long e)
{
	int what = fault_strikes(call, name);

	if (what > 0) {
		/* A disk that is full takes a part; one where a quota is used up, nothing. */
		if (call == FAULT_WRITE && c > 100 && what != EDQUOT)
			(void)syscall(number, a, b, c / 2, d, e);
		errno = what;
		return -1;
	}
	if (what == FAULT_KILL && !fault.after)
		raise(SIGKILL);
	a = syscall(number, a, b, c, d, e);
	if (what == FAULT_KILL)
		raise(SIGKILL);
	return a;
}

static long fault_apply_fd(enum fault_call call, int fd, long number, long b, long c, long d)
{
	char link[32], name[256] = "";
	struct stat st;

	/* Pipes and the like are not what these tests are about. */
	if (fault.armed && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		(void)!readlink(link, name, sizeof(name) - 1);
		return fault_apply(call, name, number, fd, b, c, d, 0);
	}
	return syscall(number, fd, b, c, d);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off_t at)
{
	return fault_apply_fd(FAULT_WRITE, fd, SYS_pwrite64, (long)buf, (long)n, at);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
	return pwrite64(fd, buf, n, at);
}

ssize_t write(int fd, const void *buf, size_t n)
{
	return fault_apply_fd(FAULT_WRITE, fd, SYS_write, (long)buf, (long)n, 0);
}

int fsync(int fd)
{
	return (int)fault_apply_fd(FAULT_SYNC, fd, SYS_fsync, 0, 0, 0);
}

int fdatasync(int fd)
{
	return (int)fault_apply_fd(FAULT_SYNC, fd, SYS_fdatasync, 0, 0, 0);
}

int ftruncate64(int fd, off_t n)
{
	return (int)fault_apply_fd(FAULT_TRUNCATE, fd, SYS_ftruncate, n, 0, 0);
}

int renameat(int old_dir, const char *old, int new_dir, const char *new)
{
	return (int)fault_apply(FAULT_RENAME, new, SYS_renameat, old_dir, (long)old, new_dir,
				(long)new, 0);
}

int renameat2(int old_dir, const char *old, int new_dir, const char *new, unsigned flags)
{
	return (int)fault_apply(FAULT_RENAME, new, SYS_renameat2, old_dir, (long)old, new_dir,
				(long)new, flags);
}

int linkat(int old_dir, const char *old, int new_dir, const char *new, int flags)
{
	return (int)fault_apply(FAULT_RENAME, new, SYS_linkat, old_dir, (long)old, new_dir,
				(long)new, flags);
}

int unlinkat(int dir, const char *name, int flags)
{
	return (int)fault_apply(FAULT_UNLINK, name, SYS_unlinkat, dir, (long)name, flags, 0, 0);
}

int unlink(const char *name)
{
	return (int)fault_apply(FAULT_UNLINK, name, SYS_unlink, (long)name, 0, 0, 0, 0);
}
