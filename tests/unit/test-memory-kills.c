/*
 * tests/unit/test-memory-kills.c - a store in memory, whose process is killed at each of its
 * writes, one after the other, and taken up by the next one from what the service manager holds.
 *
 * Each process is a child of the test, which plays the manager. In a child, calls that change
 * memfds or talk to the manager are counted, and the one whose turn it is is its last.
 */
#include "agent/memory-dir.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/unit/store-box.h"

enum { HELD = 32, ROWS = 24, CHANGES = 12, HIGH = 200 };

/* What children and the test both see. */
struct shared {
	/*
	 * Changes that were begun, and those that were said to be kept: row n % ROWS + 1 gets its
	 * next version.
	 */
	uint64_t begun, kept;
	int calls, kill_at; /* of this child; 0: never */
	bool is_through;
	char trouble[600];
};

static struct shared *shared;

/* ---- calls that may be the last -------------------------------------------------------------- */

static bool is_last(void)
{
	return shared && shared->kill_at > 0 && ++shared->calls == shared->kill_at;
}

static void die(void)
{
	(void)raise(SIGKILL);
}

/* Of some writes a part has been done when they are cut off. */
static ssize_t write_at(int fd, const void *p, size_t n, off_t at)
{
	ssize_t done;

	if (!is_last())
		return syscall(SYS_pwrite64, fd, p, n, at);
	done = shared->kill_at % 3
		       ? syscall(SYS_pwrite64, fd, p, n / (size_t)(shared->kill_at % 3), at)
		       : 0;
	die();
	return done;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	return write_at(fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	return write_at(fd, p, n, at);
}

int ftruncate(int fd, off_t n)
{
	if (is_last())
		die();
	return (int)syscall(SYS_ftruncate, fd, n);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (is_last())
		die();
	return syscall(SYS_sendmsg, fd, m, flags);
}

/* ---- the manager ----------------------------------------------------------------------------- */

static struct {
	char path[64];
	int fd;
	char names[HELD][32];
	int fds[HELD];
	unsigned n;
} manager;

static void manager_start(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(manager.path, sizeof(manager.path), "/tmp/jeton-manager-%d", getpid());
	(void)unlink(manager.path);
	strcpy(address.sun_path, manager.path);
	manager.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	UNIT_CHECK(bind(manager.fd, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
}

static void manager_drop(const char *name)
{
	for (unsigned i = 0; i < manager.n; i++) {
		if (strcmp(manager.names[i], name) != 0)
			continue;
		close(manager.fds[i]);
		manager.n--;
		if (i != manager.n)
			memcpy(manager.names[i], manager.names[manager.n], sizeof(manager.names[0]));
		manager.fds[i] = manager.fds[manager.n];
		return;
	}
}

static bool manager_take(void)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(2 * sizeof(int))];
	} control;
	char text[512], name[32] = "";
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(manager.fd, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;
	const char *at;

	if (n < 0)
		return false;
	text[n] = '\0';
	at = strstr(text, "FDNAME=");
	if (at)
		sscanf(at, "FDNAME=%31[^\n]", name);
	if (strstr(text, "FDSTOREREMOVE=1"))
		manager_drop(name);
	for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_type != SCM_RIGHTS)
			continue;
		UNIT_CHECK(manager.n < HELD, "too many descriptors are held");
		memcpy(manager.names[manager.n], name, sizeof(name));
		memcpy(&manager.fds[manager.n++], CMSG_DATA(c), sizeof(int));
	}
	return true;
}

/* A stopped service: all is dropped. */
static void manager_forget(void)
{
	while (manager.n > 0)
		close(manager.fds[--manager.n]);
}

/* ---- a child --------------------------------------------------------------------------------- */

/* As it is for a service that is started with what is held. */
static void pass_held(void)
{
	char names[HELD * 33] = "", number[16];

	for (unsigned i = 0; i < manager.n; i++) {
		dup2(manager.fds[i], HIGH + (int)i);
		strcat(strcat(names, i ? ":" : ""), manager.names[i]);
	}
	for (unsigned i = 0; i < manager.n; i++)
		dup2(HIGH + (int)i, 3 + (int)i);
	snprintf(number, sizeof(number), "%u", manager.n);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(number, sizeof(number), "%d", getpid());
	setenv("LISTEN_PID", number, 1);
	setenv("NOTIFY_SOCKET", manager.path, 1);
	if (manager.n == 0)
		unsetenv("LISTEN_FDS");
}

#define NEED(held, ...)                                                                  \
	do {                                                                             \
		if (!(held)) {                                                           \
			snprintf(shared->trouble, sizeof(shared->trouble), __VA_ARGS__); \
			_exit(1);                                                        \
		}                                                                        \
	} while (0)

/* The version that a row has once n changes were made; it is deleted by every fifth of its own. */
static uint32_t version_after(uint64_t row, uint64_t n)
{
	uint64_t times = n / ROWS + (n % ROWS >= row ? 1 : 0);

	return times % 5 == 0 ? 0 : (uint32_t)times;
}

static bool is_after(const struct rows *found, uint64_t n)
{
	for (uint64_t row = 1; row <= ROWS; row++)
		if (found->version[STORE_ACTIVE][row] != version_after(row, n))
			return false;
	return true;
}

static void on_kept(void *userdata, int r)
{
	(void)userdata;
	NEED(r == 0, "a change was not kept: %d", r);
	__atomic_add_fetch(&shared->kept, 1, __ATOMIC_SEQ_CST);
}

static void change(struct box *b, uint64_t n)
{
	uint64_t row = (n - 1) % ROWS + 1;
	uint32_t old = version_after(row, n - 1), version = version_after(row, n);
	struct store_change *c = store_change_new(b->store);
	uint8_t record[512];
	int r;

	record_fill(STORE_ACTIVE, row, version, record);
	r = version ? store_change_put(c, STORE_ACTIVE, row, old, version, 0, record,
				       record_len(row, version))
		    : store_change_delete(c, STORE_ACTIVE, row, old);
	NEED(r == 0, "no memory");
	store_submit(b->store, c, on_kept, NULL);
}

/* Finds what was kept, and nothing else but what was under way; then goes on. */
static void live(struct box *b)
{
	struct memory_dir_error error;
	struct memory_dir *d;
	uint64_t n;
	int r;

	pass_held();
	r = memory_dir_open(&d, &error);
	NEED(r == 0, "the directory: %d %s", r, error.text);
	r = store_open_memory(d, b->key, &b->mem, &b->store, &b->error);
	if (r == 0)
		r = box_load(b);
	NEED(r == 0, "the store: %d %s", r, b->error.text);
	for (n = shared->kept; n <= shared->begun && !is_after(&b->found, n); n++)
		;
	NEED(n <= shared->begun, "after %lu changes kept and %lu begun it holds something else",
	     (unsigned long)shared->kept, (unsigned long)shared->begun);
	shared->begun = shared->kept = n;
	for (int i = 0; i < CHANGES; i++) {
		struct pollfd p = { .fd = store_fd(b->store), .events = POLLIN };

		change(b, ++shared->begun);
		while (shared->kept < shared->begun && poll(&p, 1, 100000) == 1)
			store_dispatch(b->store);
	}
	store_close(b->store);
	memory_dir_close(d);
	shared->is_through = true;
	_exit(0);
}

/* One child, killed at its call of that number, if it makes so many. */
static bool run(struct box *b, int kill_at)
{
	pid_t pid;
	int status;

	shared->calls = 0;
	shared->kill_at = kill_at;
	shared->is_through = false;
	pid = fork();
	if (pid == 0)
		live(b);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		struct pollfd p = { .fd = manager.fd, .events = POLLIN };

		(void)poll(&p, 1, 1);
		while (manager_take())
			;
	}
	while (manager_take())
		;
	UNIT_CHECK(!shared->trouble[0], "killed at call %d: %s", kill_at, shared->trouble);
	return shared->is_through;
}

static void begin(struct box *b)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	UNIT_CHECK(shared != MAP_FAILED, "mmap");
	box_init(b);
	manager_start();
}

static void end(struct box *b)
{
	manager_forget();
	close(manager.fd);
	(void)unlink(manager.path);
	box_done(b);
}

START_TEST(a_kill_at_any_write_of_a_store_in_memory_loses_nothing_that_was_kept)
{
	struct box b;
	int at = 1;

	begin(&b);
	/* Each takes up what the one before has left. */
	while (!run(&b, at))
		at += (int)box_thinning();
	ck_assert_int_gt(at, 40);
	ck_assert(run(&b, 0));
	ck_assert_uint_gt(shared->kept, 100);
	/* No more is held than what there is. */
	ck_assert_uint_le(manager.n, 3);
	end(&b);
}
END_TEST

START_TEST(a_first_start_that_is_killed_at_any_write_leaves_one_that_starts)
{
	struct box b;
	bool is_through = false;

	begin(&b);
	for (int at = 1; !is_through; at += (int)box_thinning()) {
		manager_forget();
		shared->begun = shared->kept = 0;
		is_through = run(&b, at);
		ck_assert(run(&b, 0));
	}
	end(&b);
}
END_TEST

UNIT_MAIN("memory-kills", a_kill_at_any_write_of_a_store_in_memory_loses_nothing_that_was_kept,
	  a_first_start_that_is_killed_at_any_write_leaves_one_that_starts)
