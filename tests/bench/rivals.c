/*
 * tests/bench/rivals.c - libmunge is loaded at run time: it is needed by nothing but this, and is no reason for a build
 * to fail.
 */
#include "tests/bench/rivals.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/measure.h"

#define MUNGE_OPT_SOCKET 8

static struct {
	void *(*ctx_create)(void);
	int (*ctx_set)(void *context, int option, ...);
	void (*ctx_destroy)(void *context);
	int (*encode)(char **credential, void *context, const void *data, int n);
	int (*decode)(const char *credential, void *context, void **data, int *n, uid_t *uid, gid_t *gid);
} libmunge;

static _Noreturn void echo_loop(int fd, size_t n_request, const char *reply, size_t n_reply)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	static char buf[65536];
	size_t have = 0;

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	for (;;) {
		ssize_t n;

		if (epoll_wait(epoll, &event, 1, -1) < 1)
			continue;
		n = recv(fd, buf, sizeof(buf), 0);
		if (n <= 0)
			_exit(0);
		for (have += (size_t)n; have >= n_request; have -= n_request)
			if (send(fd, reply, n_reply, MSG_NOSIGNAL) < 0)
				_exit(1);
	}
}

void echo_start(struct echo *e, size_t n_request, const char *reply, size_t n_reply)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		give_up("socketpair: %s", strerror(errno));
	e->pid = fork();
	if (e->pid < 0)
		give_up("fork: %s", strerror(errno));
	if (e->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		echo_loop(pair[1], n_request, reply, n_reply);
	}
	close(pair[1]);
	e->fd = pair[0];
}

void echo_stop(struct echo *e)
{
	close(e->fd);
	waitpid(e->pid, NULL, 0);
}

static bool load_library(struct munge *m)
{
	m->library = dlopen("libmunge.so.2", RTLD_NOW);
	if (!m->library)
		return false;
	*(void **)&libmunge.ctx_create = dlsym(m->library, "munge_ctx_create");
	*(void **)&libmunge.ctx_set = dlsym(m->library, "munge_ctx_set");
	*(void **)&libmunge.ctx_destroy = dlsym(m->library, "munge_ctx_destroy");
	*(void **)&libmunge.encode = dlsym(m->library, "munge_encode");
	*(void **)&libmunge.decode = dlsym(m->library, "munge_decode");
	m->context = libmunge.ctx_create();
	return m->context && libmunge.ctx_set(m->context, MUNGE_OPT_SOCKET, m->socket) == 0;
}

static void make_key(const char *path)
{
	unsigned char key[128];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (getentropy(key, sizeof(key)) < 0 || write(fd, key, sizeof(key)) != sizeof(key))
		give_up("%s: %s", path, strerror(errno));
	close(fd);
}

static void exec_munged(const struct munge *m)
{
	char key[192], pid[192], log[192], seed[192], socket[192];
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	snprintf(key, sizeof(key), "--key-file=%s/key", m->dir);
	snprintf(pid, sizeof(pid), "--pid-file=%s/pid", m->dir);
	snprintf(log, sizeof(log), "--log-file=%s/log", m->dir);
	snprintf(seed, sizeof(seed), "--seed-file=%s/seed", m->dir);
	snprintf(socket, sizeof(socket), "--socket=%s", m->socket);
	dup2(null, STDERR_FILENO);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* --force: its directories are as private as it wants them, but for /tmp above. */
	execl("/usr/sbin/munged", "munged", "--foreground", "--force", key, pid, log, seed, socket, NULL);
	_exit(127);
}

bool munge_start(struct munge *m, const char *under)
{
	char key[160];

	*m = (struct munge){ 0 };
	snprintf(m->dir, sizeof(m->dir), "%s/jeton-munge-XXXXXX", under);
	if (access("/usr/sbin/munged", X_OK) < 0 || !mkdtemp(m->dir))
		return false;
	chmod(m->dir, 0755);
	snprintf(m->socket, sizeof(m->socket), "%s/socket", m->dir);
	snprintf(key, sizeof(key), "%s/key", m->dir);
	make_key(key);
	if (!load_library(m))
		return false;
	m->pid = fork();
	if (m->pid == 0)
		exec_munged(m);
	for (int i = 0; i < 3000; i++) {
		char *credential = munge_encode_one(m);

		free(credential);
		if (credential)
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	munge_stop(m);
	return false;
}

void munge_stop(struct munge *m)
{
	static const char *const names[] = { "key", "pid", "log", "seed", "socket", "socket.lock" };
	char path[192];

	if (m->pid > 0) {
		kill(m->pid, SIGTERM);
		waitpid(m->pid, NULL, 0);
	}
	if (m->context)
		libmunge.ctx_destroy(m->context);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", m->dir, names[i]);
		unlink(path);
	}
	rmdir(m->dir);
	m->pid = 0;
}

char *munge_encode_one(struct munge *m)
{
	char *credential = NULL;

	return libmunge.encode(&credential, m->context, NULL, 0) == 0 ? credential : NULL;
}

bool munge_decode_one(struct munge *m, const char *credential)
{
	void *data = NULL;
	uid_t uid;
	gid_t gid;
	int n, r;

	r = libmunge.decode(credential, m->context, &data, &n, &uid, &gid);
	free(data);
	return r == 0;
}
