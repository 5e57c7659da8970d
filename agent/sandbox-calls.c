/*
 * agent/sandbox-calls.c - seccomp: which system calls are made.
 *
 * The whole process, which is the thread that looks names up, loses the calls that `refused` lists:
 * an NSS module may be anybody's code, but runs no program and enters no other process. The loop
 * and the store's thread are ours, and have `calls` alone. tests/ground/test-calls holds this table
 * against what they do under strace: a call that is made and not listed fails it, and so does one
 * that is listed, never made, and not said to be a spare one.
 *
 * A call that is not listed is answered as by a kernel that does not have it (ENOSYS), which is
 * what a libc that is newer than the table knows how to live with; what it falls back to is listed.
 * So nothing dies of an upgrade. The kernel logs it (audit, type 1326).
 *
 * libseccomp, since a filter made by hand has to get right what is different on each processor:
 * numbers, the halves of arguments, calls by the ways of older ones.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "agent/sandbox-walls.h"

/* Only where (argument & mask) == value; mask 0: always. Of an int the upper half may be anything. */
struct condition {
	unsigned argument;
	uint64_t mask, value;
};
static const struct condition always = { 0 };
#define ANY_INT UINT32_MAX

#ifdef __s390__
enum { CLONE_FLAGS = 1 };
#else
enum { CLONE_FLAGS = 0 };
#endif

/*
 * Who makes a call: a bit each. The threads that the loop starts count as the loop; MEMORY is the
 * store's thread where it keeps all in memory, and hands its files to the service manager.
 */
enum {
	LOOP = 1 << 0,
	STORE = 1 << 1,
	MEMORY = 1 << 2,
	STORES = STORE | MEMORY,
	BOTH = LOOP | STORES,
};

struct call {
	const char *name;
	unsigned who;
	struct condition only;
	const char *spare; /* why it is here although the tests never see it */
};

#define CALL(name, who) { name, who, { 0, 0, 0 }, NULL }
#define CALL_IF(name, who, argument, mask, value) { name, who, { argument, mask, value }, NULL }
#define SPARE(name, who, why) { name, who, { 0, 0, 0 }, why }
#define SPARE_IF(name, who, argument, mask, value, why) { name, who, { argument, mask, value }, why }

#define ABORT "what assert() ends with"
#define BY_CALL "where the clock is not read without a call"
#define UNITS "what ends with a unit, which only a machine with a systemd has"
#define HOLDERS "a holder that can't be watched at the start, as tests/agent/test-bindings.py has some"
#define RENEWAL "a new file after a sync has failed, as tests/unit/test-store-faults has it"
#define NOTIFY "a new file in memory, handed to the service manager: after a failed sync, or at Rekey"
#define MALLOC "malloc(), for much at once"
#define LIBC "as an older or newer libc, or another processor has it"

/* By name; tests/ground/test-calls reads it, a row a line. */
static const struct call calls[] = {
	CALL("accept4", LOOP),
	CALL("brk", BOTH),
	SPARE("clock_gettime", BOTH, BY_CALL),
	SPARE("clock_nanosleep", BOTH, "SQLite, where a file is busy"),
	CALL_IF("clone", LOOP, CLONE_FLAGS, CLONE_THREAD, CLONE_THREAD),
	CALL("close", BOTH),
	CALL("connect", LOOP),
	CALL("epoll_ctl", LOOP),
	SPARE("epoll_pwait", LOOP, LIBC),
	SPARE("epoll_pwait2", LOOP, LIBC),
	CALL("epoll_wait", LOOP),
	CALL("exit", BOTH),
	CALL("exit_group", LOOP),
	SPARE("faccessat", BOTH, LIBC),
	CALL("faccessat2", LOOP),
	SPARE("faccessat2", STORES, RENEWAL),
	CALL("fadvise64", BOTH),
	CALL("fallocate", LOOP),
	CALL_IF("fchmod", BOTH, 1, ANY_INT & ~0644u, 0),
	CALL("fcntl", BOTH),
	CALL("fdatasync", BOTH),
	SPARE("fstat", BOTH, LIBC),
	CALL("fstatfs", LOOP),
	CALL("fsync", BOTH),
	CALL("ftruncate", BOTH),
	CALL("futex", BOTH),
	CALL("getdents64", LOOP),
	CALL("getegid", LOOP),
	SPARE("getegid", MEMORY, NOTIFY),
	CALL("geteuid", BOTH),
	CALL("getgid", LOOP),
	SPARE("getgid", MEMORY, NOTIFY),
	SPARE("getpeername", LOOP, UNITS),
	SPARE("getpid", BOTH, ABORT),
	CALL("getrandom", BOTH),
	CALL("getsockopt", LOOP),
	SPARE("getsockopt", MEMORY, NOTIFY),
	SPARE("gettid", BOTH, ABORT),
	SPARE("gettimeofday", BOTH, BY_CALL),
	CALL("getuid", LOOP),
	SPARE("getuid", MEMORY, NOTIFY),
	SPARE("inotify_add_watch", LOOP, UNITS),
	SPARE("inotify_init1", LOOP, UNITS),
	SPARE("inotify_rm_watch", LOOP, UNITS),
	CALL("ioctl", LOOP),
	SPARE("lgetxattr", LOOP, UNITS),
	CALL("lseek", LOOP),
	SPARE("lseek", STORES, RENEWAL),
	CALL("madvise", BOTH),
	CALL("memfd_create", LOOP),
	SPARE("memfd_create", MEMORY, NOTIFY),
	CALL("memfd_secret", LOOP),
	CALL("mlock", LOOP),
	CALL_IF("mmap", LOOP, 2, PROT_EXEC, 0),
	SPARE_IF("mmap", STORES, 2, PROT_EXEC, 0, MALLOC),
	CALL_IF("mprotect", LOOP, 2, PROT_EXEC, 0),
	SPARE_IF("mprotect", STORES, 2, PROT_EXEC, 0, MALLOC),
	CALL("mremap", LOOP),
	SPARE("mremap", STORES, MALLOC),
	SPARE("munlock", LOOP, "memory that could be locked in part only"),
	CALL("munmap", LOOP),
	SPARE("munmap", STORES, MALLOC),
	CALL("newfstatat", BOTH),
	CALL("openat", BOTH),
	SPARE("pidfd_open", LOOP, HOLDERS),
	CALL("pipe2", LOOP),
	CALL("poll", LOOP),
	SPARE("ppoll", LOOP, LIBC),
	CALL_IF("prctl", LOOP, 0, ANY_INT, PR_SET_NAME),
	CALL("pread64", BOTH),
	CALL("prlimit64", LOOP),
	CALL("pwrite64", BOTH),
	CALL("read", LOOP),
	SPARE("read", STORES, RENEWAL),
	CALL("readlink", LOOP),
	SPARE("readlink", STORES, RENEWAL),
	SPARE("readlinkat", BOTH, LIBC),
	CALL("recvmsg", LOOP),
	CALL("renameat", BOTH),
	SPARE("renameat2", BOTH, LIBC),
	SPARE("restart_syscall", BOTH, "a wait that a stop of the process has cut short"),
	CALL("rseq", LOOP),
	SPARE("rt_sigaction", BOTH, ABORT),
	CALL("rt_sigprocmask", BOTH),
	SPARE("sched_yield", BOTH, "a lock that another thread has for a moment"),
	CALL("sendmsg", LOOP),
	SPARE("sendmsg", MEMORY, NOTIFY),
	CALL("sendto", LOOP),
	CALL("set_robust_list", LOOP),
	CALL("setsockopt", LOOP),
	SPARE("setsockopt", MEMORY, NOTIFY),
	CALL("shutdown", LOOP),
	CALL("signalfd4", LOOP),
	CALL_IF("socket", LOOP, 0, ANY_INT, AF_UNIX),
	SPARE_IF("socket", MEMORY, 0, ANY_INT, AF_UNIX, NOTIFY),
	CALL_IF("socketpair", LOOP, 0, ANY_INT, AF_UNIX),
	SPARE("sysinfo", BOTH, LIBC),
	SPARE("tgkill", BOTH, ABORT),
	SPARE("timerfd_create", LOOP, "sd-event, for the first timer by a clock"),
	CALL("timerfd_settime", LOOP),
	CALL("uname", LOOP),
	CALL("unlink", LOOP),
	SPARE("unlink", STORES, RENEWAL),
	CALL("unlinkat", BOTH),
	CALL("write", BOTH),
	SPARE("writev", BOTH, ABORT),
};

/* Nobody's in this process from now on. */
static const char *const refused[] = {
	/* other programs, other processes */
	"execve", "execveat", "fork", "vfork", "kcmp", "pidfd_getfd", "process_madvise",
	"process_vm_readv", "process_vm_writev", "ptrace",
	/* mounts and namespaces */
	"chroot", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount",
	"open_by_handle_at", "open_tree", "pivot_root", "setns", "umount2", "unshare",
	/* the kernel's keys, and what its worst holes were in */
	"add_key", "keyctl", "request_key", "bpf", "io_uring_enter", "io_uring_register",
	"io_uring_setup", "perf_event_open", "personality", "userfaultfd",
	/* the machine */
	"acct", "delete_module", "finit_module", "init_module", "kexec_file_load", "kexec_load",
	"quotactl", "reboot", "swapoff", "swapon",
};

/* What the processor does not have, libseccomp does not know, or newer headers only, is no rule. */
static int add_rule(scmp_filter_ctx filter, uint32_t action, const char *name, const struct condition *only)
{
	struct scmp_arg_cmp compare = { only->argument, SCMP_CMP_MASKED_EQ, only->mask, only->value };
	int number = seccomp_syscall_resolve_name(name);

	if (number < 0)
		return 0;
	return seccomp_rule_add_array(filter, action, number, only->mask ? 1 : 0, &compare);
}

static int refuse_calls(scmp_filter_ctx filter)
{
	static const struct condition no_thread = { CLONE_FLAGS, CLONE_THREAD, 0 },
				      dumpable = { 0, ANY_INT, PR_SET_DUMPABLE };
	/* Its flags are where no filter can read them: libc falls back to clone. */
	int r = add_rule(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", &always);

	if (r == 0)
		r = add_rule(filter, SCMP_ACT_ERRNO(EPERM), "clone", &no_thread);
	/* main() has closed this door. */
	if (r == 0)
		r = add_rule(filter, SCMP_ACT_ERRNO(EPERM), "prctl", &dumpable);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(refused); i++)
		r = add_rule(filter, SCMP_ACT_ERRNO(EPERM), refused[i], &always);
	return r;
}

static int allow_calls(scmp_filter_ctx filter, unsigned who)
{
	int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(calls); i++)
		if (calls[i].who & who)
			r = add_rule(filter, SCMP_ACT_ALLOW, calls[i].name, &calls[i].only);
	return r;
}

static int add_rules(scmp_filter_ctx filter, enum sandbox_part part, const struct sandbox *s)
{
	/* Calls of another kind of processor, as 32-bit ones, are nobody's at all. */
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));

	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
	/* A tree: the kernel takes a filter in by asking it about each call there is, which a list of them makes long. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r < 0)
		return r;
	if (part == SANDBOX_PROCESS)
		return refuse_calls(filter);
	if (part == SANDBOX_STORE)
		return allow_calls(filter, s->state_dir ? STORE : MEMORY);
	return allow_calls(filter, LOOP);
}

int sandbox_limit_calls(enum sandbox_part part, const struct sandbox *s)
{
	scmp_filter_ctx filter;
	int r;

	/* The table is of 64 bits; elsewhere calls have other names, and what is refused is enough. */
	if (part != SANDBOX_PROCESS && sizeof(void *) < sizeof(uint64_t))
		return 0;
	filter = seccomp_init(part == SANDBOX_PROCESS ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS));
	if (!filter)
		return -ENOMEM;
	r = add_rules(filter, part, s);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}
