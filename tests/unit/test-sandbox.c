/*
 * tests/unit/test-sandbox.c - what is refused behind the walls, tried from behind them, and that the
 * agent's own work still gets through.
 *
 * Each try is made in a child of its own, which has shut itself in. Where the kernel has one of the
 * walls only, what that one refuses is tried; in builds with sanitizers there is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "agent/sandbox.h"
#include "agent/secretmem.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#ifdef JETON_SANITIZED
enum { IS_SANITIZED = true };
#else
enum { IS_SANITIZED = false };
#endif

enum who { PROCESS, STORE_THREAD, LOOP_THREAD };

/* For bodies: the line, as far as an exit status holds it. */
#define EXPECT(held)                                                       \
	do {                                                               \
		if (!(held)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #held); \
			return 1;                                          \
		}                                                          \
	} while (0)

static bool is_refused(long result)
{
	return result < 0 &&
	       (errno == EPERM || errno == ENOSYS || errno == EACCES || errno == EXDEV);
}

/* The state directory and that of the socket are "state" and "run" in the one that we stand in. */
static void shut_in(enum who who, struct sandbox *s)
{
	*s = (struct sandbox){ .state_dir = "state", .sockets = { "run/agent.sock" } };
	sandbox_enter_process(s);
	if (who == STORE_THREAD)
		sandbox_enter_store(s);
	if (who == LOOP_THREAD)
		sandbox_enter_loop(s);
}

/* Runs body in a child behind the walls of who. */
static void try_as(enum who who, int (*body)(const struct sandbox *s))
{
	struct sandbox s;
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		shut_in(who, &s);
		_exit(body(&s));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wait status %d", status);
}

static void set_up(void)
{
	static const char *const files[] = { "state/there", "run/agent.sock", "elsewhere/there" };

	scratch_make();
	ck_assert_int_eq(chdir(scratch_dir()), 0);
	scratch_make_dir("state");
	scratch_make_dir("run");
	scratch_make_dir("elsewhere");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		scratch_write(files[i], "");
}

/* ---- other programs and processes ------------------------------------------------------------ */

static int run_nothing(const struct sandbox *s)
{
	char *const arguments[] = { "true", NULL }, *const none[] = { NULL };
	char c = 0;
	struct iovec here = { &c, 1 };

	if (s->has_calls || s->has_files)
		EXPECT(is_refused(execve("/bin/true", arguments, none)));
	if (!s->has_calls)
		return 0;
	EXPECT(is_refused(syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, none, 0)));
	EXPECT(is_refused(fork()));
	EXPECT(is_refused(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL)));
	EXPECT(is_refused(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL)));
	EXPECT(is_refused(syscall(SYS_process_vm_readv, getppid(), &here, 1UL, &here, 1UL, 0UL)));
	EXPECT(is_refused(unshare(CLONE_NEWUSER)));
	EXPECT(is_refused(syscall(SYS_mount, "none", "/", NULL, 0UL, NULL)));
	EXPECT(is_refused(syscall(SYS_bpf, 0, NULL, 0)));
	EXPECT(is_refused(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0UL)));
	EXPECT(is_refused(syscall(SYS_keyctl, 0, 0, 0)));
	EXPECT(is_refused(syscall(SYS_io_uring_setup, 1, NULL)));
	EXPECT(is_refused(prctl(PR_SET_DUMPABLE, 1)));
#ifdef __x86_64__
	/* The other doors to the same calls: those of 32-bit programs. */
	EXPECT(is_refused(syscall(0x40000000 + SYS_getpid)));
#endif
	return 0;
}

START_TEST(no_other_program_is_run_and_no_other_process_entered)
{
	for (enum who who = PROCESS; who <= LOOP_THREAD; who++)
		try_as(who, run_nothing);
}
END_TEST

static int have_no_new_privileges(const struct sandbox *s)
{
	(void)s;
	EXPECT(IS_SANITIZED || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	return 0;
}

START_TEST(no_new_privileges_are_gained)
{
	try_as(PROCESS, have_no_new_privileges);
}
END_TEST

/* ---- files ----------------------------------------------------------------------------------- */

static int bind_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0)
		return -1;
	memcpy(address.sun_path, path, strlen(path));
	return bind(fd, (const struct sockaddr *)&address, sizeof(address));
}

static int change_nothing_elsewhere(const struct sandbox *s)
{
	if (!s->has_files)
		return 0;
	EXPECT(is_refused(open("elsewhere/new", O_WRONLY | O_CREAT, 0600)));
	EXPECT(is_refused(open("elsewhere/there", O_WRONLY)));
	EXPECT(is_refused(open("elsewhere/there", O_RDWR)));
	EXPECT(is_refused(unlink("elsewhere/there")));
	EXPECT(is_refused(mkdir("elsewhere/directory", 0700)));
	EXPECT(is_refused(rename("state/there", "elsewhere/moved")));
	EXPECT(is_refused(link("elsewhere/there", "state/linked")));
	EXPECT(is_refused(symlink("there", "elsewhere/link")));
	EXPECT(is_refused(open("run/file", O_WRONLY | O_CREAT, 0600)));
	return 0;
}

START_TEST(nothing_is_changed_but_in_the_state_directory)
{
	for (enum who who = PROCESS; who <= LOOP_THREAD; who++)
		try_as(who, change_nothing_elsewhere);
}
END_TEST

static int make_plain_files_only(const struct sandbox *s)
{
	if (!s->has_calls)
		return 0;
	EXPECT(is_refused(mkdir("state/directory", 0700)));
	EXPECT(is_refused(symlink("/etc/passwd", "state/link")));
	EXPECT(is_refused(mknod("state/fifo", S_IFIFO | 0600, 0)));
	EXPECT(is_refused(bind_at("state/socket")));
	return 0;
}

START_TEST(nothing_but_plain_files_is_made_in_the_state_directory)
{
	try_as(STORE_THREAD, make_plain_files_only);
	try_as(LOOP_THREAD, make_plain_files_only);
}
END_TEST

static int set_aside(const struct sandbox *s)
{
	(void)s;
	EXPECT(renameat2(AT_FDCWD, "state/fifo", AT_FDCWD, "state/fifo.bad", 0) == 0);
	EXPECT(renameat2(AT_FDCWD, "state/directory", AT_FDCWD, "state/directory.bad", 0) == 0);
	EXPECT(renameat(AT_FDCWD, "state/there", AT_FDCWD, "state/there.bad") == 0);
	return 0;
}

START_TEST(what_somebody_else_put_into_the_state_is_set_aside)
{
	ck_assert_int_eq(mkfifo("state/fifo", 0600), 0);
	ck_assert_int_eq(mkdir("state/directory", 0700), 0);
	try_as(LOOP_THREAD, set_aside);
}
END_TEST

static int keep_state(const struct sandbox *s)
{
	int fd;

	(void)s;
	fd = openat(AT_FDCWD, "state/new", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	EXPECT(fd >= 0);
	EXPECT(write(fd, "text", 4) == 4 && pwrite(fd, "T", 1, 0) == 1);
	EXPECT(fchmod(fd, 0600) == 0);
	EXPECT(ftruncate(fd, 2) == 0 && fsync(fd) == 0 && fdatasync(fd) == 0);
	EXPECT(close(fd) == 0);
	EXPECT(renameat(AT_FDCWD, "state/new", AT_FDCWD, "state/there") == 0);
	fd = open("state/there", O_RDONLY);
	EXPECT(fd >= 0);
	EXPECT(unlink("state/there") == 0);
	fd = open("state/there", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	EXPECT(fd >= 0);
	return 0;
}

START_TEST(files_of_the_state_are_made_changed_renamed_and_removed)
{
	for (enum who who = PROCESS; who <= LOOP_THREAD; who++)
		try_as(who, keep_state);
}
END_TEST

static int read_no_more(const struct sandbox *s)
{
	if (!s->has_files)
		return 0;
	EXPECT(is_refused(open("elsewhere/there", O_RDONLY)));
	EXPECT(is_refused(open("/etc/passwd", O_RDONLY)));
	EXPECT(open("state/there", O_RDONLY) >= 0);
	return 0;
}

START_TEST(the_stores_thread_reads_nothing_but_the_state)
{
	try_as(STORE_THREAD, read_no_more);
}
END_TEST

static int read_by_links(const struct sandbox *s)
{
	(void)s;
	EXPECT(open("link", O_RDONLY) >= 0);
	EXPECT(open("elsewhere/there", O_RDONLY) >= 0);
	EXPECT(open("elsewhere", O_RDONLY | O_DIRECTORY) >= 0);
	return 0;
}

START_TEST(the_loop_reads_what_links_of_policies_lead_to)
{
	ck_assert_int_eq(symlink("elsewhere/there", "link"), 0);
	try_as(LOOP_THREAD, read_by_links);
}
END_TEST

/* ---- sockets --------------------------------------------------------------------------------- */

static int make_socket(const struct sandbox *s)
{
	EXPECT(bind_at("run/new.sock") == 0);
	EXPECT(unlink("run/agent.sock") == 0);
	if (s->has_files)
		EXPECT(is_refused(bind_at("elsewhere/new.sock")));
	return 0;
}

START_TEST(sockets_are_made_beside_the_agents_own_while_it_starts)
{
	try_as(PROCESS, make_socket);
}
END_TEST

static int only_remove_sockets(const struct sandbox *s)
{
	if (s->has_files || s->has_calls)
		EXPECT(is_refused(bind_at("run/new.sock")));
	EXPECT(unlink("run/agent.sock") == 0);
	return 0;
}

START_TEST(the_loop_makes_no_socket_and_removes_its_own)
{
	try_as(LOOP_THREAD, only_remove_sockets);
}
END_TEST

static int no_other_sockets(const struct sandbox *s)
{
	int fds[2];

	if (!s->has_calls)
		return 0;
	EXPECT(is_refused(socket(AF_INET, SOCK_STREAM, 0)));
	EXPECT(is_refused(socket(AF_INET6, SOCK_DGRAM, 0)));
	EXPECT(is_refused(socket(AF_NETLINK, SOCK_RAW, 0)));
	EXPECT(is_refused(socket(AF_VSOCK, SOCK_STREAM, 0)));
	EXPECT(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0);
	EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	return 0;
}

START_TEST(the_loop_has_unix_sockets_and_no_others)
{
	try_as(LOOP_THREAD, no_other_sockets);
}
END_TEST

static int no_sockets(const struct sandbox *s)
{
	if (s->has_calls)
		EXPECT(is_refused(socket(AF_UNIX, SOCK_STREAM, 0)));
	return 0;
}

START_TEST(the_stores_thread_has_no_sockets)
{
	try_as(STORE_THREAD, no_sockets);
}
END_TEST

/* ---- memory and threads ---------------------------------------------------------------------- */

static int no_new_code(const struct sandbox *s)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT(p != MAP_FAILED);
	if (!s->has_calls)
		return 0;
	EXPECT(is_refused(mprotect(p, 4096, PROT_READ | PROT_EXEC)));
	EXPECT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	       MAP_FAILED);
	EXPECT(is_refused(-1));
	return 0;
}

START_TEST(no_memory_becomes_code)
{
	try_as(STORE_THREAD, no_new_code);
	try_as(LOOP_THREAD, no_new_code);
}
END_TEST

static int grow_locked_memory(const struct sandbox *s)
{
	static const struct secretmem kinds[] = {
		{ .kind = MEMORY_SECRETMEM },
		{ .kind = MEMORY_LOCKED, .no_secretmem = true },
	};

	(void)s;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct secretmem mem = kinds[i];
		struct region region;

		EXPECT(region_init(&region, &mem, 64 * 1024) == 0);
		EXPECT(region_grow(&region, 16 * 1024) == 0 &&
		       region_grow(&region, 16 * 1024) == 0);
		EXPECT(mem.kind == kinds[i].kind || kinds[i].kind == MEMORY_SECRETMEM);
		region.base[20 * 1024] = 'x';
		region_done(&region);
	}
	return 0;
}

START_TEST(locked_memory_grows_behind_the_walls)
{
	try_as(LOOP_THREAD, grow_locked_memory);
}
END_TEST

static void *end_well(void *userdata)
{
	return userdata;
}

static int start_thread(const struct sandbox *s)
{
	pthread_t thread;
	void *result = NULL;
	char here;

	(void)s;
	EXPECT(pthread_create(&thread, NULL, end_well, &here) == 0);
	EXPECT(pthread_join(thread, &result) == 0);
	EXPECT(result == &here);
	return 0;
}

START_TEST(the_loop_starts_threads)
{
	try_as(PROCESS, start_thread);
	try_as(LOOP_THREAD, start_thread);
}
END_TEST

/* With the module and the files that the machine's nsswitch.conf names, loaded from behind the wall. */
static int look_up_names(const struct sandbox *s)
{
	struct passwd passwd, *found = NULL;
	char buffer[4096];

	(void)s;
	EXPECT(getpwnam_r("root", &passwd, buffer, sizeof(buffer), &found) == 0 && found);
	EXPECT(found->pw_uid == 0);
	EXPECT(getpwnam_r("no-such-user-here", &passwd, buffer, sizeof(buffer), &found) == 0 &&
	       !found);
	return 0;
}

START_TEST(names_are_looked_up_behind_the_walls)
{
	try_as(PROCESS, look_up_names);
}
END_TEST

SCRATCH_MAIN("sandbox", set_up, no_other_program_is_run_and_no_other_process_entered,
	     no_new_privileges_are_gained, nothing_is_changed_but_in_the_state_directory,
	     nothing_but_plain_files_is_made_in_the_state_directory,
	     what_somebody_else_put_into_the_state_is_set_aside,
	     files_of_the_state_are_made_changed_renamed_and_removed,
	     the_stores_thread_reads_nothing_but_the_state,
	     the_loop_reads_what_links_of_policies_lead_to,
	     sockets_are_made_beside_the_agents_own_while_it_starts,
	     the_loop_makes_no_socket_and_removes_its_own, the_loop_has_unix_sockets_and_no_others,
	     the_stores_thread_has_no_sockets, no_memory_becomes_code,
	     locked_memory_grows_behind_the_walls, the_loop_starts_threads,
	     names_are_looked_up_behind_the_walls)
