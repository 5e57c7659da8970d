/*
 * tests/crash/strike.c - has an agent killed, or one of its system calls fail, at the very call that
 * a test names.
 *
 *	strike PID DIRECTORY
 *
 * It is the tracer of the process from before its first instruction, and lets it run until it is
 * told by a line on standard input:
 *
 *	kill NAME N              a kill as the N-th call of this name is entered; it is not made
 *	fail NAME N ERRNO MORE   the N-th call of this name on the directory fails; MORE 1: and those after
 *	short NAME N 0 MORE      it writes half of what it was asked to
 *	                         (NAME "any": of those calls that change files)
 *	watch - 0                nothing is done, calls are counted
 *	off                      lets it run again
 *
 * The first four are answered "armed" once every thread stops at its calls; "off" with
 *
 *	off STRUCK POISONED NAME=N/M ...
 *
 * how often it struck, how often a file was written or synced whose sync had failed, and how many
 * calls were made of each name, and how many of them on the directory. "killed" and "gone" are told
 * when that happens (and the counts before, where it was armed), "seized" at the start. Calls are counted
 * over all threads, from the arming on; those before the agent's own program is there, not at all. A
 * wait that was cut short by arming counts as entered anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <linux/ptrace.h>
#include <unistd.h>

#ifndef __x86_64__
#error "what is in which register is known of x86-64 only"
#endif

enum { MAX_THREADS = 64, MAX_CALLS = 512, MAX_POISONED = 64 };
enum mode { OFF, WATCH, KILL, FAIL, SHORT };

struct thread {
	pid_t tid;   /* 0: none */
	bool asked;  /* interrupted, and has not stopped yet */
	long result; /* of the call it is in; 0: its own */
};

static struct strike {
	pid_t pid;
	char dir[256];
	enum mode mode;
	long target;
	unsigned at;
	long error;
	bool more;
	unsigned n_struck, n_poisoned, n_targets, n_asked;
	unsigned calls[MAX_CALLS], on_state[MAX_CALLS];
	struct thread threads[MAX_THREADS];
	struct {
		dev_t dev;
		ino_t ino;
	} poisoned[MAX_POISONED];
	unsigned n_bad_files;
	bool has_begun; /* its own program: what it does before is the test's */
} s;

static long number_of(const char *name)
{
	return seccomp_syscall_resolve_name(name);
}

static struct thread *thread_of(pid_t tid, bool make)
{
	struct thread *empty = NULL;

	for (unsigned i = 0; i < MAX_THREADS; i++) {
		if (s.threads[i].tid == tid)
			return &s.threads[i];
		if (s.threads[i].tid == 0 && !empty)
			empty = &s.threads[i];
	}
	if (!make || !empty)
		return NULL;
	*empty = (struct thread){ .tid = tid };
	return empty;
}

/* ---- what a call is about -------------------------------------------------------------------- */

static bool path_of_fd(int fd, char ret[static 512])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", s.pid, fd);
	n = readlink(link, ret, 511);
	ret[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static bool is_in_state(const char *path)
{
	return strncmp(path, s.dir, strlen(s.dir)) == 0;
}

static bool text_of(pid_t tid, uint64_t at, char ret[static 512])
{
	struct iovec here = { ret, 511 }, there = { (void *)at, 511 };
	ssize_t n;

	/* Not over the end of the page, behind which there may be nothing. */
	there.iov_len = here.iov_len = 511 < 4096 - at % 4096 ? 511 : 4096 - at % 4096;
	n = process_vm_readv(tid, &here, 1, &there, 1, 0);
	ret[n > 0 ? n : 0] = '\0';
	return n > 0;
}

struct about {
	long nr;
	bool by_path; /* of a directory's descriptor and a name; else of a descriptor */
	bool changes;
};

enum { ANY = -2 }; /* as s.target */

static const struct about abouts[] = {
	{ SYS_write, false, true },	  { SYS_pwrite64, false, true },
	{ SYS_fsync, false, true },	  { SYS_fdatasync, false, true },
	{ SYS_ftruncate, false, true },	  { SYS_fchmod, false, true },
	{ SYS_renameat, true, true },	  { SYS_renameat2, true, true },
	{ SYS_linkat, true, true },	  { SYS_unlinkat, true, true },
	{ SYS_pread64, false, false },	  { SYS_read, false, false },
	{ SYS_getdents64, false, false }, { SYS_openat, true, false },
};

static bool is_target(long nr)
{
	if (s.target != ANY)
		return nr == s.target;
	for (size_t i = 0; i < sizeof(abouts) / sizeof(abouts[0]); i++)
		if (abouts[i].nr == nr)
			return abouts[i].changes;
	return nr == SYS_unlink;
}

/* Whether the call is about a file below the directory, or one of directories there. */
static bool is_on_state(pid_t tid, const struct ptrace_syscall_info *info)
{
	const __u64 *args = info->entry.args;
	char path[512];

	if ((long)info->entry.nr == SYS_unlink)
		return text_of(tid, args[0], path) && is_in_state(path);
	for (size_t i = 0; i < sizeof(abouts) / sizeof(abouts[0]); i++) {
		if ((long)info->entry.nr != abouts[i].nr)
			continue;
		if (abouts[i].by_path && text_of(tid, args[1], path) && path[0] == '/')
			return is_in_state(path);
		return path_of_fd((int)args[0], path) && is_in_state(path);
	}
	return false;
}

static bool stat_of_fd(int fd, struct stat *ret)
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", s.pid, fd);
	return stat(link, ret) == 0 && S_ISREG(ret->st_mode);
}

static bool is_sync(long nr)
{
	return nr == SYS_fsync || nr == SYS_fdatasync;
}

static void note_poisoned(const struct ptrace_syscall_info *info)
{
	struct stat st;

	if (!is_sync((long)info->entry.nr) || s.n_bad_files == MAX_POISONED ||
	    !stat_of_fd((int)info->entry.args[0], &st))
		return;
	s.poisoned[s.n_bad_files].dev = st.st_dev;
	s.poisoned[s.n_bad_files++].ino = st.st_ino;
}

static bool is_poisoned(const struct ptrace_syscall_info *info)
{
	struct stat st;

	if (s.n_bad_files == 0 ||
	    (!is_sync((long)info->entry.nr) && (long)info->entry.nr != SYS_pwrite64 &&
	     (long)info->entry.nr != SYS_write) ||
	    !stat_of_fd((int)info->entry.args[0], &st))
		return false;
	for (unsigned i = 0; i < s.n_bad_files; i++)
		if (s.poisoned[i].dev == st.st_dev && s.poisoned[i].ino == st.st_ino)
			return true;
	return false;
}

/* ---- a call ---------------------------------------------------------------------------------- */

static void skip_call(struct thread *t, long result)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, t->tid, NULL, &regs) < 0)
		return;
	regs.orig_rax = (unsigned long long)-1;
	if (ptrace(PTRACE_SETREGS, t->tid, NULL, &regs) == 0)
		t->result = result;
}

static void shorten_call(struct thread *t)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, t->tid, NULL, &regs) < 0 || regs.rdx < 2)
		return;
	regs.rdx /= 2;
	(void)ptrace(PTRACE_SETREGS, t->tid, NULL, &regs);
}

static void strike(struct thread *t, const struct ptrace_syscall_info *info)
{
	s.n_struck++;
	if (s.mode == KILL) {
		printf("killed\n");
		(void)kill(s.pid, SIGKILL);
	} else if (s.mode == SHORT) {
		shorten_call(t);
	} else {
		note_poisoned(info);
		skip_call(t, -s.error);
	}
}

static void on_entry(struct thread *t, const struct ptrace_syscall_info *info)
{
	long nr = (long)info->entry.nr;
	unsigned n;

	t->result = 0;
	if (nr < 0 || nr >= MAX_CALLS)
		return;
	s.calls[nr]++;
	if (s.mode == WATCH || (s.mode != KILL && (is_target(nr) || s.n_bad_files > 0))) {
		bool on_state = is_on_state(t->tid, info);

		s.on_state[nr] += on_state;
		s.n_poisoned += is_poisoned(info);
		if (!on_state)
			return;
	}
	if (s.mode == WATCH || !is_target(nr))
		return;
	n = s.mode == KILL ? s.calls[nr] : ++s.n_targets;
	if (n == s.at || (s.more && n > s.at))
		strike(t, info);
}

static void on_exit_of_call(struct thread *t)
{
	struct user_regs_struct regs;

	if (t->result == 0)
		return;
	if (ptrace(PTRACE_GETREGS, t->tid, NULL, &regs) == 0) {
		regs.rax = (unsigned long long)t->result;
		(void)ptrace(PTRACE_SETREGS, t->tid, NULL, &regs);
	}
	t->result = 0;
}

static void on_call(struct thread *t)
{
	struct ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY && s.mode != OFF && s.has_begun)
		on_entry(t, &info);
	else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		on_exit_of_call(t);
}

/* ---- stops ----------------------------------------------------------------------------------- */

static void resume(struct thread *t, int sig)
{
	/* A call whose result is to be another is waited for in any mode. */
	bool stops = s.mode != OFF || t->result != 0;

	(void)ptrace(stops ? PTRACE_SYSCALL : PTRACE_CONT, t->tid, NULL, (long)sig);
}

static void on_stop(struct thread *t, int status)
{
	int sig = WSTOPSIG(status), event = status >> 16;

	/* Where it was in a call and stops at calls, the interruption is told as the end of that call. */
	if (t->asked) {
		t->asked = false;
		if (--s.n_asked == 0)
			printf("armed\n");
	}
	if (event == PTRACE_EVENT_STOP) {
		resume(t, 0);
	} else if (sig == (SIGTRAP | 0x80)) {
		on_call(t);
		resume(t, 0);
	} else {
		s.has_begun |= event == PTRACE_EVENT_EXEC;
		resume(t, event ? 0 : sig);
	}
}

static void tell_counts(void)
{
	printf("off %u %u", s.n_struck, s.n_poisoned);
	for (int nr = 0; nr < MAX_CALLS; nr++)
		if (s.calls[nr] > 0) {
			char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);

			printf(" %s=%u/%u", name ? name : "?", s.calls[nr], s.on_state[nr]);
			free(name);
		}
	printf("\n");
}

static void on_end(pid_t tid)
{
	struct thread *t = thread_of(tid, false);

	if (t && t->asked && --s.n_asked == 0)
		printf("armed\n");
	if (t)
		t->tid = 0;
	if (tid != s.pid)
		return;
	if (s.mode != OFF)
		tell_counts();
	printf("gone\n");
	fflush(stdout);
	exit(0);
}

static void take_stops(void)
{
	int status;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
		if (WIFSTOPPED(status))
			on_stop(thread_of(tid, true), status);
		else
			on_end(tid);
	}
	if (tid < 0 && errno == ECHILD)
		on_end(s.pid);
}

/* ---- commands -------------------------------------------------------------------------------- */

static void arm(enum mode mode, const char *name, unsigned at, long error, int more)
{
	s.mode = mode;
	s.target = strcmp(name, "any") == 0 ? ANY : number_of(name);
	s.at = at;
	s.error = error;
	s.more = more != 0;
	s.n_struck = s.n_poisoned = s.n_targets = s.n_bad_files = 0;
	memset(s.calls, 0, sizeof(s.calls));
	memset(s.on_state, 0, sizeof(s.on_state));
	for (unsigned i = 0; i < MAX_THREADS; i++)
		if (s.threads[i].tid &&
		    ptrace(PTRACE_INTERRUPT, s.threads[i].tid, NULL, NULL) == 0) {
			s.threads[i].asked = true;
			s.n_asked++;
		}
	if (s.n_asked == 0)
		printf("armed\n");
}

static void obey(char *line)
{
	static const char *const words[] = { "off", "watch", "kill", "fail", "short" };
	char word[16] = "", name[32] = "";
	unsigned at = 0;
	long error = 0;
	int more = 0;

	(void)sscanf(line, "%15s %31s %u %ld %d", word, name, &at, &error, &more);
	if (strcmp(word, "off") == 0) {
		s.mode = OFF;
		tell_counts();
		return;
	}
	for (unsigned i = 1; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(word, words[i]) == 0)
			arm((enum mode)i, name, at, error, more);
}

static void hear(void)
{
	char lines[1024], *end, *line = lines;
	ssize_t n = read(STDIN_FILENO, lines, sizeof(lines) - 1);

	/* Whoever started this is gone: so is what it traces. */
	if (n <= 0)
		exit(1);
	lines[n] = '\0';
	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		obey(line);
		line = end + 1;
	}
}

int main(int argc, char *argv[])
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
			     PTRACE_O_EXITKILL;
	struct pollfd p[2] = { { STDIN_FILENO, POLLIN, 0 }, { -1, POLLIN, 0 } };
	struct signalfd_siginfo ignored;
	sigset_t set;

	if (argc != 3)
		return 2;
	s.pid = atoi(argv[1]);
	snprintf(s.dir, sizeof(s.dir), "%s", argv[2]);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	p[1].fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (ptrace(PTRACE_SEIZE, s.pid, NULL, options) < 0) {
		perror("strike: ptrace");
		return 1;
	}
	(void)thread_of(s.pid, true);
	printf("seized\n");
	for (;;) {
		fflush(stdout);
		(void)poll(p, 2, -1);
		if (p[1].revents && read(p[1].fd, &ignored, sizeof(ignored)) > 0)
			take_stops();
		if (p[0].revents)
			hear();
	}
}
