/*
 * tests/unit/test-verifier.c - jeton_verifier_...() beside an agent that gives maps of this test's
 * making: which of the two answers, maps that come and go under threads, and what is told of uses.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "protocol/base/time.h"
#include "protocol/jeton.h"
#include "tests/unit/map-agent.h"
#include "tests/unit/unit.h"

enum { SLOTS = 256, TEXT = 4096, TOKENS = 32, MANY = 40, THREADS = 4 };

static const char access_text[] = "acme/*:read";

/* An agent, its map with tokens of the ids 1 to TOKENS - 1 in it, and a verifier. */
struct box {
	struct map_agent agent;
	struct map_maker m;
	struct map_sample s[TOKENS];
	struct jeton_verifier *v;
};

static void make_samples(struct box *b)
{
	for (uint64_t id = 1; id < TOKENS; id++) {
		map_sample_make(id, &b->s[id]);
		b->s[id].entry.access_bytes = sizeof(access_text);
	}
}

/* Where there is but one text, it stands at 0, as the samples have it. */
static void fill(struct box *b, struct map_maker *m)
{
	map_maker_init(m, SLOTS, TEXT);
	map_maker_text(m, access_text, sizeof(access_text));
	for (uint64_t id = 1; id < TOKENS; id++)
		map_maker_add(m, &b->s[id].entry);
}

static void box_init(struct box *b, bool gives_map)
{
	memset(b, 0, sizeof(*b));
	map_agent_start(&b->agent);
	make_samples(b);
	fill(b, &b->m);
	if (gives_map)
		map_agent_give(&b->agent, &b->m, NULL);
	ck_assert_int_eq(jeton_verifier_new(b->agent.path, &b->v), 0);
}

static void box_done(struct box *b)
{
	jeton_verifier_free(b->v);
	map_agent_stop(&b->agent);
	map_maker_done(&b->m);
}

/* Verifies until the map answers; a map comes by itself. */
static void await_map(struct box *b)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	const struct timespec pause = { .tv_nsec = 1000 * 1000 };

	while (jeton_verifier_verify(b->v, b->s[1].value, NULL, -1, &ret) != 0 || !ret.by_map)
		nanosleep(&pause, NULL);
}

static uint64_t by_map(struct box *b)
{
	uint64_t n = 0;

	jeton_verifier_counts(b->v, &n, NULL);
	return n;
}

/* What is on its way to the agent is waited for, but for a minute at most. */
static uint64_t await_reported(struct map_agent *a, uint64_t n)
{
	const struct timespec pause = { .tv_nsec = 1000 * 1000 };
	uint64_t told = 0;

	for (int i = 0; i < 60 * 1000; i++) {
		pthread_mutex_lock(&a->lock);
		told = a->n_other;
		for (uint64_t id = 0; id < MAP_AGENT_IDS; id++)
			told += a->n_reported[id];
		pthread_mutex_unlock(&a->lock);
		if (told >= n)
			break;
		nanosleep(&pause, NULL);
	}
	return told;
}

START_TEST(a_token_of_the_map_is_verified_by_it)
{
	const char *const scopes[] = { "acme/x:read", NULL };
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	uint64_t map, map_after, socket, socket_after;
	struct box b;

	box_init(&b, true);
	await_map(&b);
	jeton_verifier_counts(b.v, &map, &socket);
	for (uint64_t id = 1; id < TOKENS; id++) {
		char text[12] = { 0 };

		token_id_write(id, text);
		ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[id].value, scopes, -1, &ret), 0);
		ck_assert(ret.by_map);
		ck_assert_str_eq(ret.id, text);
		ck_assert_str_eq(ret.message, "");
		ck_assert_int_eq(ret.expires_us, (int64_t)b.s[id].entry.expires_us);
	}
	ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[1].value, NULL, -1, NULL), 0);
	jeton_verifier_counts(b.v, &map_after, &socket_after);
	ck_assert_uint_eq(map_after - map, TOKENS);
	ck_assert_uint_eq(socket_after, socket);
	jeton_verifier_counts(b.v, NULL, NULL);
	box_done(&b);
}
END_TEST

START_TEST(what_the_map_does_not_affirm_is_asked_over_the_socket)
{
	const char *const beyond[] = { "other:read", NULL };
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	unsigned asked;
	struct box b;

	box_init(&b, true);
	await_map(&b);
	asked = b.agent.n_verify;
	ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[1].value, beyond, -1, &ret),
			 JETON_ERROR_INVALID_TOKEN);
	ck_assert_str_ne(ret.message, "");
	map_slot_kill(map_maker_find(&b.m, 1));
	ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[1].value, NULL, -1, &ret),
			 JETON_ERROR_INVALID_TOKEN);
	ck_assert_int_eq(jeton_verifier_verify(b.v, "nonsense", NULL, -1, NULL),
			 JETON_ERROR_INVALID_TOKEN);
	ck_assert_uint_eq(b.agent.n_verify - asked, 3);
	/* The agent may know better. */
	b.agent.good = "00000000001";
	ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[1].value, NULL, -1, &ret), 0);
	ck_assert(!ret.by_map);
	ck_assert_str_eq(ret.id, "00000000001");
	ck_assert_str_eq(ret.message, "");
	ck_assert_int_eq(ret.expires_us, 4102444800000000);
	/* Others are as they were. */
	ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[2].value, NULL, -1, &ret), 0);
	ck_assert(ret.by_map);
	box_done(&b);
}
END_TEST

START_TEST(a_bearer_is_for_the_agent_to_look_at)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	unsigned asked;
	struct box b;

	box_init(&b, true);
	await_map(&b);
	asked = b.agent.n_verify;
	ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[1].value, NULL, 0, &ret),
			 JETON_ERROR_INVALID_TOKEN);
	ck_assert_uint_eq(b.agent.n_verify - asked, 1);
	box_done(&b);
}
END_TEST

START_TEST(arguments_that_can_not_be_right_are_refused)
{
	struct jeton_verified none = { 0 }, ret = JETON_VERIFIED_INIT;
	struct jeton_verifier *v = NULL;
	struct box b;

	box_init(&b, true);
	await_map(&b);
	ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[1].value, NULL, -1, &none), -EINVAL);
	ck_assert_int_eq(jeton_verifier_verify(b.v, NULL, NULL, -1, &ret), -EINVAL);
	ck_assert_str_ne(ret.message, "");
	ck_assert_int_eq(jeton_verifier_new("", &v), -EINVAL);
	ck_assert_ptr_null(v);
	jeton_verifier_free(NULL);
	box_done(&b);
}
END_TEST

START_TEST(without_a_map_the_agent_is_asked)
{
	static const char *const refusals[] = { "org.varlink.service.PermissionDenied",
						"org.varlink.service.InterfaceNotFound",
						"io.jeton.Verifier.LimitReached" };
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	struct box b;

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		box_init(&b, false);
		map_agent_give(&b.agent, NULL, refusals[i]);
		b.agent.good = "00000000003";
		for (unsigned n = 0; n < 20 || !b.agent.n_get_map; n++) {
			ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[3].value, NULL, -1, &ret),
					 0);
			ck_assert(!ret.by_map);
		}
		ck_assert_uint_eq(by_map(&b), 0);
		box_done(&b);
	}
}
END_TEST

START_TEST(a_map_that_could_shrink_is_not_taken)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	struct map_maker m;
	struct box b;
	int open_fd;

	box_init(&b, false);
	fill(&b, &m);
	open_fd = memfd_create("open", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(open_fd, (off_t)m.bytes), 0);
	ck_assert_int_eq(pwrite(open_fd, m.head, m.bytes, 0), (ssize_t)m.bytes);
	close(m.fd);
	m.fd = open_fd;
	map_agent_give(&b.agent, &m, NULL);
	jeton_verifier_free(b.v);
	ck_assert_int_eq(jeton_verifier_new(b.agent.path, &b.v), 0);
	for (unsigned n = 0; n < 100 || b.agent.n_get_map < 2; n++) {
		ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[3].value, NULL, -1, &ret),
				 JETON_ERROR_INVALID_TOKEN);
	}
	ck_assert_uint_eq(by_map(&b), 0);
	map_agent_give(&b.agent, NULL, "org.varlink.service.PermissionDenied");
	map_maker_done(&m);
	box_done(&b);
}
END_TEST

/* ---- maps that come and go ---- */

START_TEST(a_map_that_is_retired_is_replaced)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	struct map_maker next;
	struct box b;

	box_init(&b, true);
	await_map(&b);
	fill(&b, &next);
	map_agent_give(&b.agent, &next, NULL);
	b.m.head->state = MAP_RETIRED;
	ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[2].value, NULL, -1, &ret),
			 JETON_ERROR_INVALID_TOKEN);
	await_map(&b);
	ck_assert_uint_eq(b.agent.n_get_map, 2);
	map_maker_done(&b.m);
	b.m = next;
	box_done(&b);
}
END_TEST

START_TEST(while_a_map_says_to_ask_the_agent_is_asked_and_no_other_got)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	struct box b;

	box_init(&b, true);
	await_map(&b);
	b.m.head->state = MAP_ASK;
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[2].value, NULL, -1, &ret),
				 JETON_ERROR_INVALID_TOKEN);
	b.m.head->state = MAP_GOOD;
	ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[2].value, NULL, -1, &ret), 0);
	ck_assert(ret.by_map);
	ck_assert_uint_eq(b.agent.n_get_map, 1);
	box_done(&b);
}
END_TEST

struct crowd {
	struct box *b;
	atomic_bool over;
	atomic_ullong n_yes;
};

static void *verify_all_the_time(void *userdata)
{
	struct crowd *c = userdata;
	struct jeton_verified ret = JETON_VERIFIED_INIT;

	for (uint64_t i = 0; !atomic_load(&c->over); i++)
		if (jeton_verifier_verify(c->b->v, c->b->s[1 + i % (TOKENS - 1)].value, NULL, -1,
					  &ret) == 0 &&
		    ret.by_map)
			atomic_fetch_add_explicit(&c->n_yes, 1, memory_order_relaxed);
	return NULL;
}

static void crowd_start(struct crowd *c, struct box *b, pthread_t threads[static THREADS])
{
	*c = (struct crowd){ .b = b };
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, verify_all_the_time, c), 0);
}

static void crowd_stop(struct crowd *c, pthread_t threads[static THREADS])
{
	atomic_store(&c->over, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void await_more_by_map(struct box *b)
{
	const struct timespec pause = { .tv_nsec = 1000 * 1000 };
	uint64_t n = by_map(b);

	while (by_map(b) == n)
		nanosleep(&pause, NULL);
}

START_TEST(maps_are_replaced_under_threads_and_each_use_is_told_once)
{
	struct map_maker maps[MANY];
	pthread_t threads[THREADS];
	struct crowd c;
	uint64_t n_told = 0, n_map;
	struct box b;

	box_init(&b, true);
	await_map(&b);
	n_told -= by_map(&b);
	crowd_start(&c, &b, threads);
	for (int i = 0; i < MANY; i++) {
		fill(&b, &maps[i]);
		map_agent_give(&b.agent, &maps[i], NULL);
		(i ? maps[i - 1] : b.m).head->state = MAP_RETIRED;
		await_more_by_map(&b);
	}
	crowd_stop(&c, threads);
	n_map = by_map(&b);
	n_told += n_map;
	ck_assert_uint_eq(n_told, c.n_yes);
	jeton_verifier_free(b.v);
	b.v = NULL;
	ck_assert_uint_eq(await_reported(&b.agent, n_map), n_map);
	ck_assert_uint_eq(b.agent.n_other, 0);
	for (int i = 0; i < MANY - 1; i++)
		map_maker_done(&maps[i]);
	map_maker_done(&b.m);
	b.m = maps[MANY - 1];
	box_done(&b);
}
END_TEST

START_TEST(uses_are_told_of_nobody_else_though_slots_change_hands)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	struct map_slot *slot;
	struct box b;
	uint64_t ids[3] = { 0 };
	struct map_sample s[3];
	unsigned n = 0;
	int64_t now;

	box_init(&b, true);
	await_map(&b);
	/* Three that begin at the slot where 1 stands, and live in it one after the other. */
	slot = map_maker_find(&b.m, 1);
	for (uint64_t id = TOKENS; n < 3; id++)
		if (map_slot_of(id, SLOTS) == (uint64_t)(slot - b.m.slots))
			ids[n++] = id;
	for (n = 0; n < 3; n++) {
		map_sample_make(ids[n], &s[n]);
		s[n].entry.access_bytes = 1;
		map_slot_write(slot, &s[n].entry);
		for (unsigned i = 0; i < 10 + n; i++)
			ck_assert_int_eq(jeton_verifier_verify(b.v, s[n].value, NULL, -1, &ret), 0);
		ck_assert(ret.by_map);
	}
	now = (int64_t)time_now_us();
	jeton_verifier_free(b.v);
	b.v = NULL;
	/* Of those whose place was taken nobody asks any more: they have ended. */
	ck_assert_uint_eq(b.agent.n_reported[ids[2]], 12);
	ck_assert_uint_le(b.agent.n_reported[ids[1]], 11);
	ck_assert_uint_le(b.agent.n_reported[ids[0]], 10);
	ck_assert_int_le((int64_t)b.agent.last_us, now);
	ck_assert_int_gt((int64_t)b.agent.last_us, now - 60 * 1000000LL);
	box_done(&b);
}
END_TEST

START_TEST(uses_are_told_while_it_goes_on)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	struct box b;

	box_init(&b, true);
	await_map(&b);
	while (!b.agent.n_report)
		nanosleep(&pause, NULL);
	box_done(&b);
}
END_TEST

/* ---- the agent gone ---- */

struct owner {
	struct box *b;
	struct map_maker m;
	int go[2];
};

static void *own_until_told(void *userdata)
{
	struct owner *o = userdata;
	char c;

	fill(o->b, &o->m);
	map_agent_give(&o->b->agent, &o->m, NULL);
	(void)!read(o->go[0], &c, 1);
	return NULL;
}

/* Nobody waits for the answer any more when the agent counts them. */
START_TEST(uses_are_told_once_though_the_agent_takes_its_time)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	uint64_t n_map;
	struct box b;

	box_init(&b, true);
	await_map(&b);
	pthread_mutex_lock(&b.agent.lock);
	b.agent.late_ms = 2500;
	pthread_mutex_unlock(&b.agent.lock);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[3].value, NULL, -1, &ret), 0);
	n_map = by_map(&b);
	ck_assert_uint_ge(n_map, 100);
	ck_assert_uint_eq(await_reported(&b.agent, n_map), n_map);
	jeton_verifier_free(b.v);
	b.v = NULL;
	ck_assert_uint_eq(await_reported(&b.agent, n_map), n_map);
	box_done(&b);
}
END_TEST

/* One that is locked, say, has counted nothing. */
START_TEST(uses_are_told_again_where_the_agent_did_not_take_them)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	unsigned before;
	uint64_t n_map;
	struct box b;

	box_init(&b, true);
	pthread_mutex_lock(&b.agent.lock);
	b.agent.report_error = "io.jeton.Agent.AgentLocked";
	pthread_mutex_unlock(&b.agent.lock);
	await_map(&b);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[3].value, NULL, -1, &ret), 0);
	n_map = by_map(&b);
	before = b.agent.n_report;
	while (b.agent.n_report == before)
		nanosleep(&pause, NULL);
	pthread_mutex_lock(&b.agent.lock);
	b.agent.report_error = NULL;
	pthread_mutex_unlock(&b.agent.lock);
	jeton_verifier_free(b.v);
	b.v = NULL;
	ck_assert_uint_eq(await_reported(&b.agent, n_map), n_map);
	box_done(&b);
}
END_TEST

/* Each report that nobody answers is a wait: there is one of them, however many there are to be. */
START_TEST(an_agent_that_hangs_is_told_of_uses_but_once)
{
	enum { MANY_TOKENS = 3500, MANY_SLOTS = 16384 };
	const struct timespec pause = { .tv_nsec = 300 * 1000 * 1000 };
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	struct map_sample *s = calloc(MANY_TOKENS, sizeof(*s));
	struct map_maker m;
	struct box b;

	ck_assert_ptr_nonnull(s);
	box_init(&b, false);
	map_maker_init(&m, MANY_SLOTS, TEXT);
	map_maker_text(&m, access_text, sizeof(access_text));
	for (uint64_t i = 0; i < MANY_TOKENS; i++) {
		map_sample_make(i + 1, &s[i]);
		s[i].entry.access_bytes = sizeof(access_text);
		map_maker_add(&m, &s[i].entry);
	}
	map_agent_give(&b.agent, &m, NULL);
	jeton_verifier_free(b.v);
	ck_assert_int_eq(jeton_verifier_new(b.agent.path, &b.v), 0);
	await_map(&b);
	for (uint64_t i = 0; i < MANY_TOKENS; i++)
		ck_assert_int_eq(jeton_verifier_verify(b.v, s[i].value, NULL, -1, &ret), 0);
	pthread_mutex_lock(&b.agent.lock);
	b.agent.late_ms = 5000;
	b.agent.n_report = 0;
	pthread_mutex_unlock(&b.agent.lock);
	jeton_verifier_free(b.v);
	b.v = NULL;
	ck_assert_uint_eq(b.agent.n_report, 1);
	/* What else was sent would be looked at once it is back. */
	pthread_mutex_lock(&b.agent.lock);
	pthread_mutex_unlock(&b.agent.lock);
	nanosleep(&pause, NULL);
	ck_assert_uint_eq(b.agent.n_report, 1);
	box_done(&b);
	map_maker_done(&m);
	free(s);
}
END_TEST

START_TEST(a_map_whose_owner_died_says_nothing_and_another_is_got)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	struct owner o;
	pthread_t thread;
	struct box b;

	box_init(&b, false);
	jeton_verifier_free(b.v);
	o.b = &b;
	ck_assert_int_eq(pipe2(o.go, O_CLOEXEC), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, own_until_told, &o), 0);
	while (pthread_mutex_lock(&b.agent.lock), b.agent.map_fd < 0)
		pthread_mutex_unlock(&b.agent.lock);
	pthread_mutex_unlock(&b.agent.lock);
	ck_assert_int_eq(jeton_verifier_new(b.agent.path, &b.v), 0);
	await_map(&b);
	map_agent_give(&b.agent, &b.m, NULL);
	close(o.go[1]);
	pthread_join(thread, NULL);
	ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[2].value, NULL, -1, &ret),
			 JETON_ERROR_INVALID_TOKEN);
	await_map(&b);
	close(o.go[0]);
	munmap(o.m.head, o.m.bytes);
	close(o.m.fd);
	box_done(&b);
}
END_TEST

START_TEST(with_no_agent_it_says_so_and_goes_on_when_there_is_one)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	char path[80], moved[96];
	struct box b;

	box_init(&b, true);
	snprintf(path, sizeof(path), "%s", b.agent.path);
	snprintf(moved, sizeof(moved), "%s-away", path);
	jeton_verifier_free(b.v);
	ck_assert_int_eq(rename(path, moved), 0);
	ck_assert_int_eq(jeton_verifier_new(path, &b.v), 0);
	ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[1].value, NULL, -1, &ret), -ENOENT);
	ck_assert_ptr_nonnull(strstr(ret.message, path));
	ck_assert_int_eq(rename(moved, path), 0);
	await_map(&b);
	box_done(&b);
}
END_TEST

/* ---- processes, signals ---- */

START_TEST(in_a_child_it_is_refused_and_can_be_freed)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	uint64_t map = 1, socket = 1;
	int status;
	struct box b;
	pid_t pid;

	box_init(&b, true);
	await_map(&b);
	pid = fork();
	if (pid == 0) {
		int r = jeton_verifier_verify(b.v, b.s[1].value, NULL, -1, &ret);

		jeton_verifier_counts(b.v, &map, &socket);
		jeton_verifier_free(b.v);
		_exit(r == -ECHILD && *ret.message && map == 0 && socket == 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(jeton_verifier_verify(b.v, b.s[1].value, NULL, -1, &ret), 0);
	ck_assert(ret.by_map);
	box_done(&b);
}
END_TEST

/* The threads of this process that block all signals but the two that none can. */
static unsigned count_deaf(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *d;
	unsigned n = 0;

	while ((d = readdir(dir))) {
		char path[300], line[256];
		unsigned long long blocked = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status", d->d_name);
		f = *d->d_name == '.' ? NULL : fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
				break;
		if (f)
			fclose(f);
		/* The C library keeps two for itself. */
		n += (blocked | 1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1) | 3ULL << 31) ==
		     ~0ULL;
	}
	closedir(dir);
	return n;
}

START_TEST(its_thread_takes_no_signals)
{
	struct box b;
	unsigned before;

	/* Valgrind has signals in its own hands. */
	if (getenv("RUN_UNDER"))
		return;
	box_init(&b, true);
	jeton_verifier_free(b.v);
	before = count_deaf();
	ck_assert_int_eq(jeton_verifier_new(b.agent.path, &b.v), 0);
	ck_assert_uint_eq(count_deaf(), before + 1);
	box_done(&b);
}
END_TEST

UNIT_MAIN("verifier", a_token_of_the_map_is_verified_by_it,
	  what_the_map_does_not_affirm_is_asked_over_the_socket,
	  a_bearer_is_for_the_agent_to_look_at, arguments_that_can_not_be_right_are_refused,
	  without_a_map_the_agent_is_asked, a_map_that_could_shrink_is_not_taken,
	  a_map_that_is_retired_is_replaced,
	  while_a_map_says_to_ask_the_agent_is_asked_and_no_other_got,
	  maps_are_replaced_under_threads_and_each_use_is_told_once,
	  uses_are_told_of_nobody_else_though_slots_change_hands, uses_are_told_while_it_goes_on,
	  uses_are_told_once_though_the_agent_takes_its_time,
	  uses_are_told_again_where_the_agent_did_not_take_them,
	  an_agent_that_hangs_is_told_of_uses_but_once,
	  a_map_whose_owner_died_says_nothing_and_another_is_got,
	  with_no_agent_it_says_so_and_goes_on_when_there_is_one,
	  in_a_child_it_is_refused_and_can_be_freed, its_thread_takes_no_signals)
