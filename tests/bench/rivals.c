/*
 * tests/bench/rivals.c - libmunge is loaded at run time: it is needed by nothing but this, and is no reason for a build
 * to fail.
 */
#include "tests/bench/rivals.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "tests/bench/measure.h"

#define MUNGE_OPT_SOCKET 8
#define CALLERS_MAX 16
#define CREDENTIALS_MAX 20000

static struct {
	void *(*ctx_create)(void);
	int (*ctx_set)(void *context, int option, ...);
	void (*ctx_destroy)(void *context);
	int (*encode)(char **credential, void *context, const void *data, int n);
	int (*decode)(const char *credential, void *context, void **data, int *n, uid_t *uid, gid_t *gid);
} libmunge;

static int try_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return steal_fd(&fd);
}

int connect_to(const char *path)
{
	int fd = try_connect(path);

	if (fd < 0)
		give_up("%s: %s", path, strerror(-fd));
	return fd;
}

static void a_moment(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* Whether it is to be left out, as if it were missing. */
static bool is_left_out(const char *name)
{
	const char *without = getenv("BENCH_WITHOUT");

	return without && strstr(without, name);
}

/* ---- MUNGE ------------------------------------------------------------------------------------- */

/* NULL: none. */
static void *make_context(const struct munge *m)
{
	void *context = libmunge.ctx_create();

	if (context && libmunge.ctx_set(context, MUNGE_OPT_SOCKET, m->socket) != 0) {
		libmunge.ctx_destroy(context);
		context = NULL;
	}
	return context;
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
	m->context = make_context(m);
	return m->context != NULL;
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
	if (is_left_out("munge") || access("/usr/sbin/munged", X_OK) < 0 || !mkdtemp(m->dir))
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
		a_moment();
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

static char *encode(void *context)
{
	char *credential = NULL;

	return libmunge.encode(&credential, context, NULL, 0) == 0 ? credential : NULL;
}

static bool decode(void *context, const char *credential)
{
	void *data = NULL;
	uid_t uid;
	gid_t gid;
	int n, r;

	r = libmunge.decode(credential, context, &data, &n, &uid, &gid);
	free(data);
	return r == 0;
}

char *munge_encode_one(struct munge *m)
{
	return encode(m->context);
}

bool munge_decode_one(struct munge *m, const char *credential)
{
	return decode(m->context, credential);
}

/* One of those who decode at once: all make, then all start together. */
struct caller {
	const struct munge *m;
	pthread_barrier_t *made;
	uint64_t ns;
	char *credentials[CREDENTIALS_MAX];
	uint32_t took[CREDENTIALS_MAX];
	size_t n, n_good;
};

static void make_credentials(struct caller *c, void *context)
{
	for (uint64_t start = now_ns(); c->n < CREDENTIALS_MAX && (c->n == 0 || now_ns() - start < c->ns); c->n++) {
		c->credentials[c->n] = encode(context);
		if (!c->credentials[c->n])
			give_up("MUNGE makes no credential");
	}
}

static void *call(void *userdata)
{
	struct caller *c = userdata;
	void *context = make_context(c->m);
	uint64_t before, after;

	if (!context)
		give_up("MUNGE: no context");
	make_credentials(c, context);
	pthread_barrier_wait(c->made);
	before = now_ns();
	for (size_t i = 0; i < c->n; i++, before = after) {
		c->n_good += decode(context, c->credentials[i]);
		after = now_ns();
		c->took[i] = (uint32_t)(after - before);
	}
	libmunge.ctx_destroy(context);
	return NULL;
}

/* How many were decoded. */
static size_t finish_caller(struct caller *c, struct latencies *latencies)
{
	size_t n = c->n;

	if (c->n_good != n)
		give_up("MUNGE decoded only %zu of %zu", c->n_good, n);
	for (size_t i = 0; i < n; i++) {
		if (latencies)
			latencies_add(latencies, c->took[i]);
		free(c->credentials[i]);
	}
	free(c);
	return n;
}

double munge_decode_many(struct munge *m, unsigned n_callers, uint64_t ns, struct latencies *latencies)
{
	struct caller *callers[CALLERS_MAX];
	pthread_t threads[CALLERS_MAX];
	pthread_barrier_t made;
	uint64_t start;
	size_t n = 0;

	pthread_barrier_init(&made, NULL, n_callers + 1);
	for (unsigned i = 0; i < n_callers; i++) {
		callers[i] = calloc(1, sizeof(*callers[i]));
		if (!callers[i])
			give_up("no memory");
		callers[i]->m = m;
		callers[i]->made = &made;
		callers[i]->ns = ns;
		if (pthread_create(&threads[i], NULL, call, callers[i]) != 0)
			give_up("no thread");
	}
	pthread_barrier_wait(&made);
	start = now_ns();
	for (unsigned i = 0; i < n_callers; i++)
		pthread_join(threads[i], NULL);
	start = now_ns() - start;
	for (unsigned i = 0; i < n_callers; i++)
		n += finish_caller(callers[i], latencies);
	pthread_barrier_destroy(&made);
	return (double)n * 1e9 / (double)start;
}

/* ---- Redis ------------------------------------------------------------------------------------- */

static void exec_redis(const struct redis *r)
{
	static const char *const programs[] = { "redis-server", "redis-check-rdb" };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The same program, which goes by its name: redis-tools has it without a service that would start at its install. */
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		execlp(programs[i], "redis-server", "--port", "0", "--unixsocket", r->socket, "--unixsocketperm", "600",
		       "--dir", r->dir, "--save", "", "--appendonly", "no", "--maxclients", "4000", NULL);
	_exit(127);
}

bool redis_start(struct redis *r, const char *under)
{
	*r = (struct redis){ 0 };
	if (is_left_out("redis"))
		return false;
	snprintf(r->dir, sizeof(r->dir), "%s/jeton-redis-XXXXXX", under);
	if (!mkdtemp(r->dir))
		give_up("%s: %s", r->dir, strerror(errno));
	snprintf(r->socket, sizeof(r->socket), "%s/socket", r->dir);
	r->pid = fork();
	if (r->pid == 0)
		exec_redis(r);
	for (int i = 0; i < 10000 && waitpid(r->pid, NULL, WNOHANG) == 0; i++) {
		_cleanup_close_ int fd = try_connect(r->socket);

		if (fd >= 0)
			return true;
		a_moment();
	}
	/* It is gone: there is no such program, or it does not take this. */
	r->pid = 0;
	redis_stop(r);
	return false;
}

void redis_stop(struct redis *r)
{
	if (r->pid > 0) {
		kill(r->pid, SIGTERM);
		waitpid(r->pid, NULL, 0);
	}
	r->pid = 0;
	unlink(r->socket);
	rmdir(r->dir);
}

void redis_set(const struct redis *r, const char *key, const char *value, size_t n)
{
	_cleanup_close_ int fd = connect_to(r->socket);
	char head[256], reply[64] = "";
	int n_head = snprintf(head, sizeof(head), "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, n);

	if (send(fd, head, (size_t)n_head, MSG_NOSIGNAL) < 0 || send(fd, value, n, MSG_NOSIGNAL) < 0 ||
	    send(fd, "\r\n", 2, MSG_NOSIGNAL) < 0 || recv(fd, reply, sizeof(reply) - 1, 0) <= 0 ||
	    strncmp(reply, "+OK", 3) != 0)
		give_up("Redis takes no value: %s", reply);
}

size_t redis_get_request(const char *key, char *dst, size_t size)
{
	return (size_t)snprintf(dst, size, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(key), key);
}

size_t redis_get_reply_size(size_t n_value)
{
	return (size_t)snprintf(NULL, 0, "$%zu\r\n", n_value) + n_value + 2;
}
