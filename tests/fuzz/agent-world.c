/*
 * tests/fuzz/agent-world.c - see agent-world.h. The agent is started anew for each input, since
 * that is cheap beside what it costs to prove that a used one is as a new one; and every end is a
 * test of whether all is given back.
 */
#include "tests/fuzz/agent-world.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

#include "agent/connection.h"
#include "agent/loop.h"
#include "tests/fuzz/agent-backend.h"
#include "tests/fuzz/agent-threads.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/clock.h"

enum {
	FDS_MAX = 64,
	STATE_FILES_MAX = 8,
	TURNS_MAX = 20000, /* of the loop, between two steps of an input */
	STUCK_S = 20,	   /* of the processor's time, in one input */
};
static const uint64_t START_US = UINT64_C(1767225600000000);

static const char *const policy_texts[] = {
	[POLICY_SOME] = "[Access]\nUser=alice\nScope=acme/*:read\n"
			"[Access]\nUser=bob\nScope=acme/**:*\n"
			"[Access]\nUser=ci\nScope=acme/pipeline:run acme/risk:read\n"
			"[Access]\nGroup=jeton-admin\nScope=other/x:read\n"
			"[Access]\nUser=svc\nScope=other/**:*\n"
			"[Credential held]\nDescription=what is put in\n"
			"[Credential minted]\nKind=minted\nOwner=ci\nScope=acme/pipeline:run\n"
			"Lifetime=15min\nMaxTokens=4\n"
			"[Credential bound]\nKind=minted\nOwner=ci\nLifetime=1h\nBinding=unit\n"
			"[Fetch]\nCredential=held minted\nUser=alice\n"
			"[Fetch]\nCredential=held bound\nUnit=night*.service\n",
	[POLICY_LITTLE] = "[Access]\nUser=alice ci\nScope=acme/risk:read\n"
			  "[Credential held]\n[Fetch]\nCredential=held\nGroup=api\n"
			  "[Verify]\nGroup=api\nScope=acme/risk:*\n",
	[POLICY_ALL] = "[Access]\nUser=*\nScope=acme/**:* other/**:*\n"
		       "[Credential held]\n[Credential minted]\nKind=minted\nOwner=alice\n"
		       "[Fetch]\nCredential=held minted\nUser=*\n",
	[POLICY_WRONG] = "[Access]\nUser=alice\nScope=acme\n",
};

/* ---- on disk --------------------------------------------------------------------------------- */

static const char *policy_dir(enum policies which)
{
	static char dirs[ARRAY_SIZE(policy_texts)][128];

	snprintf(dirs[which], sizeof(dirs[which]), "%s/policies-%d", surround_dir(), (int)which);
	return dirs[which];
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	FUZZ_HOLDS(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

const char *world_state_dir(void)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/state", surround_dir());
	return path;
}

static void make_files(void)
{
	char path[256];

	for (size_t i = 0; i < ARRAY_SIZE(policy_texts); i++) {
		FUZZ_HOLDS(mkdir(policy_dir((enum policies)i), 0700) == 0);
		snprintf(path, sizeof(path), "%s/a.policy", policy_dir((enum policies)i));
		write_file(path, policy_texts[i]);
	}
	FUZZ_HOLDS(mkdir(world_state_dir(), 0700) == 0);
}

/* What is in the directory of the state, beside the rows: keys, and what a locked agent needs. */
struct state_file {
	char name[64];
	char bytes[4096];
	size_t n;
};

static struct {
	struct state_file v[STATE_FILES_MAX];
	size_t n;
} remembered;

static void each_file(void (*on_file)(int dir, const char *name))
{
	DIR *d = opendir(world_state_dir());
	struct dirent *entry;

	FUZZ_HOLDS(d);
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.')
			on_file(dirfd(d), entry->d_name);
	closedir(d);
}

static void remove_file(int dir, const char *name)
{
	(void)unlinkat(dir, name, 0);
}

static void remember_file(int dir, const char *name)
{
	struct state_file *f = &remembered.v[remembered.n++];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	FUZZ_HOLDS(remembered.n <= STATE_FILES_MAX && strlen(name) < sizeof(f->name));
	n = read(fd, f->bytes, sizeof(f->bytes));
	FUZZ_HOLDS(fd >= 0 && n >= 0 && (size_t)n < sizeof(f->bytes));
	close(fd);
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->n = (size_t)n;
}

static void write_state(const char *name, const char *bytes, size_t n)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", world_state_dir(), name);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	FUZZ_HOLDS(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	close(fd);
}

/* As it is now is as it will be after fall_back(). */
static void remember(void)
{
	backend_remember();
	remembered.n = 0;
	each_file(remember_file);
}

static void fall_back(void)
{
	backend_fall_back();
	each_file(remove_file);
	for (size_t i = 0; i < remembered.n; i++)
		write_state(remembered.v[i].name, remembered.v[i].bytes, remembered.v[i].n);
}

/* Whatever the last agent has left there, with its store, is gone. */
static void empty_state(void)
{
	each_file(remove_file);
	write_state("master.key", "0123456789abcdef0123456789abcdef", 32);
	backend_wipe();
}

/* ---- from start to end ----------------------------------------------------------------------- */

static void find_fds(uint64_t ret[static FDS_MAX / 64])
{
	memset(ret, 0, FDS_MAX / 8);
	for (int fd = 0; fd < FDS_MAX; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			ret[fd / 64] |= UINT64_C(1) << fd % 64;
}

static void start(struct agent_world *w)
{
	struct agent *a = calloc(1, sizeof(*a));

	FUZZ_HOLDS(a);
	threads_begin();
	settings_init(&a->settings, false);
	a->settings.max_tokens_per_user = 6;
	a->settings.max_connections = 12;
	a->settings.max_connections_per_user = 4;
	a->settings.memory_limit = 4 * 1024 * 1024;
	a->paths = (struct paths){
		.socket = "/nowhere",
		.config = "/nowhere",
		.policy_dirs = { policy_dir(w->on_disk) },
		.n_policy_dirs = 1,
		.state = world_state_dir(),
	};
	w->agent = a;
	FUZZ_HOLDS(agent_start(a) == 0);
	FUZZ_HOLDS(sd_event_get_state(a->event) == SD_EVENT_INITIAL);
}

static void end(struct agent_world *w)
{
	threads_hold_store(false);
	agent_done(w->agent);
	FUZZ_HOLDS(w->agent->mem.locked == 0);
	FUZZ_HOLDS(!w->agent->connections && w->agent->n_connections == 0);
	free(STEAL_PTR(w->agent));
	threads_end();
	surround_hang_up();
}

/* Not by the clock, which stands still. */
static void on_stuck(int signal)
{
	static const char text[] = "an input takes too long\n";

	(void)signal;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	abort();
}

/*
 * libFuzzer looks at the clock now and then, when it is told to by SIGALRM: it has to wait until
 * its clock goes on.
 */
static void watch_over(int seconds)
{
	struct itimerval timer = { .it_value = { .tv_sec = seconds } };
	sigset_t alarm;

	(void)signal(SIGVTALRM, on_stuck);
	(void)setitimer(ITIMER_VIRTUAL, &timer, NULL);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	(void)sigprocmask(seconds ? SIG_BLOCK : SIG_UNBLOCK, &alarm, NULL);
}

void world_begin(struct agent_world *w)
{
	static bool made;

	watch_over(STUCK_S);
	(void)surround_dir();
	if (!made)
		make_files();
	made = true;
	empty_state();
	test_clock_freeze(START_US);
	*w = (struct agent_world){ .on_disk = POLICY_SOME };
	find_fds(w->fds_before);
	surround_begin();
	start(w);
}

void world_end(struct agent_world *w)
{
	uint64_t fds[FDS_MAX / 64];

	end(w);
	surround_end();
	backend_wipe();
	find_fds(fds);
	FUZZ_HOLDS(memcmp(fds, w->fds_before, sizeof(fds)) == 0);
	test_clock_thaw();
	watch_over(0);
}

void world_restart(struct agent_world *w, bool orderly)
{
	struct backend_fault none = { .error = 0 };

	if (!orderly)
		remember();
	backend_set_fault(&none);
	end(w);
	if (!orderly)
		fall_back();
	start(w);
}

/* ---- time and turns -------------------------------------------------------------------------- */

void world_settle(struct agent_world *w)
{
	unsigned turns = 0;
	int r;

	do {
		threads_run();
		r = loop_turn(w->agent, false);
		FUZZ_HOLDS(r >= 0 && ++turns < TURNS_MAX);
	} while (r > 0);
}

void world_advance(struct agent_world *w, uint64_t us)
{
	test_clock_advance(us);
	world_settle(w);
}

uint64_t world_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void world_point_at(struct agent_world *w)
{
	w->agent->paths.policy_dirs[0] = policy_dir(w->on_disk);
}

/* ---- looks inside ---------------------------------------------------------------------------- */

enum policies world_policies(const struct agent_world *w)
{
	const struct policy *p = w->agent->policy;

	if (w->agent->refusing || !p || p->n_paths == 0)
		return POLICY_WRONG;
	for (size_t i = 0; i < ARRAY_SIZE(policy_texts); i++) {
		const char *dir = policy_dir((enum policies)i);

		if (strncmp(p->paths[0], dir, strlen(dir)) == 0)
			return (enum policies)i;
	}
	return POLICY_WRONG;
}

void world_check_buffers(const struct agent_world *w)
{
	const struct agent *a = w->agent;
	/* A reply that waits for its change has one, and so has a backup on its way. */
	size_t most = a->n_answering + a->n_backups;

	for (const struct connection *c = a->connections; c; c = c->next) {
		most += (c->in.buf ? 1U : 0U) + (c->rest ? 1U : 0U);
		if (c->in.buf && c->state != CONNECTION_ANSWERING)
			FUZZ_HOLDS(frame_pending(&c->in) > 0);
	}
	FUZZ_HOLDS(a->small.n_used + a->large.n_used <= most);
}

void world_check_idle(struct agent_world *w)
{
	const struct agent *a = w->agent;

	FUZZ_HOLDS(!a->connections && a->n_connections == 0 && a->n_answering == 0);
	FUZZ_HOLDS(a->small.n_used == 0 && a->large.n_used == 0);
	FUZZ_HOLDS(!a->half_first && !a->unread_first);
	FUZZ_HOLDS(!a->waiting_calls && !a->deferred_first && a->n_changes == 0);
	FUZZ_HOLDS(a->out.n == 0 && a->out_fd < 0 && a->text.n == 0 && a->n_backups == 0);
	for (size_t i = 0; i < ARRAY_SIZE(a->clients); i++)
		FUZZ_HOLDS(!a->clients[i]);
}
