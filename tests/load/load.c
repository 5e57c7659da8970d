/*
 * tests/load/load.c - those who load an agent: who asks, and is to be served, and those who keep others from it.
 *
 *	load ask SOCKET UID		asks Verify when it is told to on standard input
 *	load KIND SOCKET UID N PACE	N hostile connections of that kind, until its standard input ends
 *
 * Written against the socket alone, so that nothing of Jeton's own makes it better than it is. A hostile program says
 * "N standing, N refused" once all its connections were tried, goes on with what its kind does, PACE times a second
 * (0: without pause) in all, and says at the end how often it did that.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_MAX = 256 * 1024, ASKS_MAX = 100000, CONNECTS_EVERY = 50 };

static const char *path;

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A connection, or -1: the agent lets more wait than there is room for. */
static int connect_to(int flags)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		die("socket");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* ---- who is to be served --------------------------------------------------------------------- */

static char reply[REPLY_MAX];

/* Whether the call was answered, with no error. The reply is left in `reply`. */
static bool call(int fd, const char *text)
{
	size_t n = 0;
	ssize_t r;

	if (send(fd, text, strlen(text) + 1, MSG_NOSIGNAL) < 0)
		return false;
	do {
		r = recv(fd, reply + n, sizeof(reply) - 1 - n, 0);
		if (r <= 0)
			return false;
		n += (size_t)r;
	} while (reply[n - 1] != '\0' && n < sizeof(reply) - 1);
	return !strstr(reply, "\"error\"");
}

static char verify[256];

/* A token of its own, which it goes on asking about. */
static int prepare(void)
{
	int fd = connect_to(0);
	const char *token;

	if (fd < 0 || !call(fd, "{\"method\":\"io.jeton.Agent.Issue\",\"parameters\":{\"name\":\"load\"}}"))
		die(reply);
	token = strstr(reply, "jeton_");
	snprintf(verify, sizeof(verify), "{\"method\":\"io.jeton.Agent.Verify\",\"parameters\":{\"token\":\"%.67s\"}}",
		 token ? token : "");
	return fd;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t part(const uint64_t *sorted, unsigned n, unsigned percent)
{
	return n == 0 ? 0 : sorted[(uint64_t)(n - 1) * percent / 100];
}

/* Now and then it comes anew: connects, asks, and goes. That is told apart. */
static bool ask_anew(uint64_t *ret_ns)
{
	uint64_t start = now_ns();
	int fd = connect_to(0);
	bool good = fd >= 0 && call(fd, verify);

	*ret_ns = now_ns() - start;
	if (fd >= 0)
		close(fd);
	return good;
}

static void ask_many(int fd, unsigned n)
{
	static uint64_t took[ASKS_MAX], anew[ASKS_MAX / CONNECTS_EVERY + 1];
	unsigned n_anew = 0, failed = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t start = now_ns();

		failed += !call(fd, verify);
		took[i] = now_ns() - start;
		if (i % CONNECTS_EVERY == 0)
			failed += !ask_anew(&anew[n_anew++]);
	}
	qsort(took, n, sizeof(*took), compare);
	qsort(anew, n_anew, sizeof(*anew), compare);
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u\n", part(took, n, 50) / 1000,
	       part(took, n, 99) / 1000, part(took, n, 100) / 1000, part(anew, n_anew, 90) / 1000, failed);
	fflush(stdout);
}

/* Each line is how many calls it is to make: p50, p99 and the worst, p90 of new connections, all µs; refusals. */
static int ask(void)
{
	char line[32];
	int fd = prepare();

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		unsigned n = (unsigned)strtoul(line, NULL, 10);

		ask_many(fd, n < ASKS_MAX ? n : ASKS_MAX);
	}
	return 0;
}

/* ---- those who are hostile ------------------------------------------------------------------- */

static int *fds;
static unsigned n_fds;
static unsigned long n_done;

static void send_some(int fd, const char *text, size_t n)
{
	if (send(fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		n_done++;
}

/* A byte of a message that never ends. */
static void dribble(int *fd)
{
	send_some(*fd, "{", 1);
}

/* Asks for much, and reads nothing of it. */
static void hoard(int *fd)
{
	static const char text[] = "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
				   "\"parameters\":{\"interface\":\"io.jeton.Agent\"}}";

	send_some(*fd, text, sizeof(text));
}

static void reopen(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = connect_to(SOCK_NONBLOCK);
}

static void come_and_go(int *fd)
{
	reopen(fd);
	n_done += *fd >= 0;
}

static void send_garbage(int *fd)
{
	char bytes[64];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(n_done * 31 + i * 17);
	bytes[sizeof(bytes) - 1] = '\0';
	reopen(fd);
	if (*fd >= 0)
		send_some(*fd, bytes, sizeof(bytes));
}

/* Good calls without end, whose replies are read, if late. */
static void flood(int *fd)
{
	char text[16 * 64];
	size_t n = 0;

	for (unsigned i = 0; i < 16; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "{\"method\":\"io.jeton.Agent.GetStatus\"}") + 1;
	send_some(*fd, text, n);
	while (recv(*fd, reply, sizeof(reply), MSG_DONTWAIT) > 0)
		;
}

static const struct kind {
	const char *name;
	void (*act)(int *fd); /* NULL: is there, and no more */
} kinds[] = {
	{ "idle", NULL },
	{ "dribble", dribble },
	{ "hoard", hoard },
	{ "churn", come_and_go },
	{ "garbage", send_garbage },
	{ "flood", flood },
};

/* Whether the agent has closed it, with a word or without; one that has said nothing yet stands. */
static bool is_refused(int fd, bool *ret_told)
{
	ssize_t r = recv(fd, reply, sizeof(reply) - 1, MSG_DONTWAIT);

	*ret_told = r > 0 && memmem(reply, (size_t)r, "LimitReached", 12);
	return r == 0 || *ret_told || (r < 0 && errno != EAGAIN);
}

/*
 * All are there once the agent has answered one who came last; a queue that is full is waited for, as any program
 * would.
 */
static void open_all(void)
{
	unsigned standing = 0, told = 0, refused = 0;

	for (unsigned i = 0; i < n_fds; i++)
		while ((fds[i] = connect_to(0)) < 0)
			if (errno != EAGAIN && errno != EINTR)
				die("connect");
	{
		struct pollfd last = { .fd = fds[n_fds - 1], .events = POLLIN };
		static const char text[] = "{\"method\":\"org.varlink.service.GetInfo\"}";

		send_some(last.fd, text, sizeof(text));
		if (poll(&last, 1, 60000) <= 0)
			die("the last connection was neither served nor refused");
	}
	for (unsigned i = 0; i < n_fds; i++) {
		bool with_word;

		if (!is_refused(fds[i], &with_word)) {
			standing++;
			continue;
		}
		refused++;
		told += with_word;
		close(fds[i]);
		fds[i] = -1;
	}
	printf("%u standing, %u refused, %u told\n", standing, refused, told);
	fflush(stdout);
}

static bool is_over(int wait_ms)
{
	struct pollfd p = { .fd = 0, .events = POLLIN };

	return poll(&p, 1, wait_ms) > 0;
}

/* In bursts of a hundredth of a second. What is refused or closed meanwhile is left at that. */
static void act_on(const struct kind *kind, unsigned pace)
{
	bool makes_its_own = kind->act == come_and_go || kind->act == send_garbage;
	unsigned at = 0, burst = pace ? (pace + 99) / 100 : 256;

	while (!is_over(pace ? 10 : 0))
		for (unsigned i = 0, seen = 0; i < burst && seen < n_fds; seen++) {
			int *fd = &fds[at++ % n_fds];

			if (*fd < 0 && !makes_its_own)
				continue;
			kind->act(fd);
			i++;
		}
}

static int hostile(const struct kind *kind, unsigned n, unsigned pace)
{
	fds = calloc(n, sizeof(*fds));
	n_fds = n;
	if (!fds || n == 0)
		return 2;
	open_all();
	n_done = 0;
	if (kind->act)
		act_on(kind, pace);
	else
		(void)is_over(-1);
	printf("%lu\n", n_done);
	return 0;
}

static const struct kind *kind_of(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

static void become(uid_t uid)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (uid == getuid())
		return;
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		die("setresuid");
}

int main(int argc, char **argv)
{
	const struct kind *kind = argc == 6 ? kind_of(argv[1]) : NULL;

	if (!kind && !(argc == 4 && strcmp(argv[1], "ask") == 0)) {
		fputs("usage: load ask SOCKET UID | load KIND SOCKET UID N PACE\n", stderr);
		return 2;
	}
	path = argv[2];
	become((uid_t)strtoul(argv[3], NULL, 10));
	return kind ? hostile(kind, (unsigned)strtoul(argv[4], NULL, 10), (unsigned)strtoul(argv[5], NULL, 10)) : ask();
}
