/*
 * tests/bench/bench-map.c - the verifier's map: what a verification costs beside the hash alone, over the socket, and
 * MUNGE's decode, all in turn in one run; two threads beside one; and how soon another process sees a revocation.
 *
 * The map is of this program's making, so that it has a million tokens at once; what reads it is libjeton. Values come
 * in an order of chance, so nearly each slot has to come from memory.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "agent/map-pages.h"
#include "protocol/jeton.h"
#include "protocol/map-read.h"
#include "tests/bench/measure.h"
#include "tests/bench/rivals.h"
#include "tests/support/test-agent.h"
#include "tests/unit/map-agent.h"
#include "tests/unit/unit.h"

#define ROUND_NS round_ns(100000000)

enum { FEW = 1000, MANY = 1000 * 1000, MANY_TINY = 10000, BATCH = 1000, REVOCATIONS = 2000 };

/* Tokens in a map, and a verifier of them. */
struct crowd {
	struct map_agent agent;
	struct map_maker m;
	char (*values)[TOKEN_LEN + 1];
	size_t n;
	size_t at; /* the next that is verified */
	struct jeton_verifier *v;
};

static const char *const scopes[] = { "acme/risk:read", NULL };

static void shuffle(char (*values)[TOKEN_LEN + 1], size_t n)
{
	char kept[TOKEN_LEN + 1];
	uint64_t random = 1;

	for (size_t i = n - 1; i > 0; i--) {
		size_t other = unit_random(&random) % (i + 1);

		memcpy(kept, values[i], sizeof(kept));
		memcpy(values[i], values[other], sizeof(kept));
		memcpy(values[other], kept, sizeof(kept));
	}
}

static void crowd_init(struct crowd *c, size_t n)
{
	uint64_t slots = MAP_SLOTS_MIN, random = 7, access;
	struct map_sample s;

	while (slots * 7 < n * 10)
		slots *= 2;
	map_maker_init(&c->m, slots, 4096);
	access = map_maker_text(&c->m, "acme/risk:read\0acme/*:run", 26);
	c->values = malloc(n * sizeof(*c->values));
	if (!c->values)
		give_up("no memory");
	for (c->n = 0; c->n < n; c->n++) {
		map_sample_make(unit_random(&random), &s);
		s.entry.access_at = access;
		s.entry.access_bytes = 26;
		if (!map_maker_add(&c->m, &s.entry))
			give_up("a token found no slot");
		memcpy(c->values[c->n], s.value, sizeof(s.value));
	}
	shuffle(c->values, n);
	c->at = 0;
	/* As the agent does. */
	if (map_pages_join(c->m.fd, c->m.head->text_at) < 0)
		puts("(the kernel gives no large pages for it)");
	map_agent_start(&c->agent);
	map_agent_give(&c->agent, &c->m, NULL);
	if (jeton_verifier_new(c->agent.path, &c->v) < 0)
		give_up("no verifier");
}

static void crowd_done(struct crowd *c)
{
	jeton_verifier_free(c->v);
	map_agent_stop(&c->agent);
	map_maker_done(&c->m);
	free(c->values);
}

static void await_map(struct crowd *c)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;

	while (jeton_verifier_verify(c->v, c->values[0], scopes, -1, &ret) != 0 || !ret.by_map)
		;
}

static const char *next_value(struct crowd *c, size_t *at)
{
	const char *value = c->values[*at];

	*at = *at + 1 < c->n ? *at + 1 : 0;
	return value;
}

/* ns a verification. */
static double map_round(struct crowd *c, size_t *at)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	uint64_t start = now_ns(), now = start;
	size_t n = 0;

	while (now - start < ROUND_NS) {
		for (int i = 0; i < BATCH; i++, n++)
			if (jeton_verifier_verify(c->v, next_value(c, at), scopes, -1, &ret) != 0 || !ret.by_map)
				give_up("the map did not say yes: %s", ret.message);
		now = now_ns();
	}
	return (double)(now - start) / (double)n;
}

/* ns a hash of the same values, one after the other. */
static double hash_round(struct crowd *c, bool by_libsodium)
{
	uint64_t start = now_ns(), now = start, hash[TOKEN_HASH_WORDS], sum = 0;
	size_t n = 0;

	while (now - start < ROUND_NS) {
		for (int i = 0; i < BATCH; i++, n++) {
			const char *secret = next_value(c, &c->at) + TOKEN_SECRET_AT;

			if (by_libsodium)
				crypto_hash_sha256((unsigned char *)hash, (const unsigned char *)secret,
						   TOKEN_SECRET_LEN);
			else
				token_hash_secret(secret, hash);
			sum += hash[0];
		}
		now = now_ns();
	}
	if (sum == 1)
		puts("");
	return (double)(now - start) / (double)n;
}

/*
 * The least that it could be: the hash, while a slot of this very map comes from memory. The next one is asked for when
 * that is there, as by a program that does something with an answer.
 */
static double floor_round(struct crowd *c)
{
	uint64_t start = now_ns(), now = start, hash[TOKEN_HASH_WORDS], n_slots = c->m.head->n_slots;
	size_t n = 0, last = 0;

	while (now - start < ROUND_NS) {
		for (int i = 0; i < BATCH; i++, n++) {
			const char *value = next_value(c, &c->at) + last;
			const struct map_slot *slot = &c->m.slots[map_slot_of(token_id_guess(value), n_slots)];

			__builtin_prefetch(slot);
			token_hash_secret(value + TOKEN_SECRET_AT, hash);
			last = (hash[0] ^ slot->hash[0]) == 1;
		}
		now = now_ns();
	}
	return (double)(now - start) / (double)n;
}

/* ---- the rivals ---- */

static double socket_round(struct jeton *jeton, const char *value)
{
	uint64_t start = now_ns(), now = start;
	size_t n = 0;

	while (now - start < ROUND_NS) {
		for (int i = 0; i < 64; i++, n++)
			if (jeton_verify(jeton, value, scopes, -1, NULL, NULL) != 0)
				give_up("Verify failed: %s", jeton_error_message(jeton));
		now = now_ns();
	}
	return (double)(now - start) / (double)n;
}

static double munge_round(struct munge *m)
{
	return 1e9 / munge_decode_many(m, 1, ROUND_NS, NULL);
}

/* ---- one crowd ---- */

static const char *key_of(const char *group, const char *name)
{
	static char key[64];

	snprintf(key, sizeof(key), "%s-%s", group, name);
	return key;
}

static void measure_crowd(size_t n, const char *group, const char *what)
{
	struct series map = { 0 }, hash = { 0 }, nettle = { 0 }, least = { 0 };
	struct series to_hash = { 0 }, to_nettle = { 0 }, to_least = { 0 };
	char line[100];
	struct crowd c;

	crowd_init(&c, n);
	await_map(&c);
	map_round(&c, &c.at);
	for (unsigned i = rounds(15); i > 0; i--) {
		double h = hash_round(&c, true), o = hash_round(&c, false), m = map_round(&c, &c.at);
		double f = floor_round(&c);

		series_add(&hash, h);
		series_add(&nettle, o);
		series_add(&least, f);
		series_add(&map, m);
		series_add(&to_hash, m / h);
		series_add(&to_nettle, m / o);
		series_add(&to_least, m / f);
	}
	report(key_of(group, "hash"), "SHA-256 of a secret alone, by libsodium", &hash, "ns", NO_BOUND, 0);
	report(key_of(group, "nettle"), "  by nettle, as the library does it", &nettle, "ns", NO_BOUND, 0);
	report(key_of(group, "least"), "  and a slot from memory meanwhile", &least, "ns", NO_BOUND, 0);
	snprintf(line, sizeof(line), "the map, %s, at random", what);
	report(key_of(group, "verify"), line, &map, "ns", AT_MOST, 220);
	report(key_of(group, "to-hash"), "  as a multiple of libsodium's hash", &to_hash, "times", AT_MOST, 1.3);
	report(key_of(group, "to-nettle"), "  as a multiple of nettle's", &to_nettle, "times", NO_BOUND, 0);
	report(key_of(group, "to-least"), "  as a multiple of nettle's and a slot", &to_least, "times", NO_BOUND, 0);
	crowd_done(&c);
}

static void measure_rivals(void)
{
	struct series map = { 0 }, socket = { 0 }, munge = { 0 }, to_socket = { 0 }, to_munge = { 0 };
	struct test_agent agent;
	struct jeton *jeton;
	struct munge munged;
	char value[TOKEN_LEN + 1];
	bool has_munge;
	struct crowd c;
	int fd;

	if (test_agent_init(&agent, &(struct test_agent_options){ 0 }) < 0)
		give_up("no agent");
	fd = test_agent_connect(&agent);
	if (test_issue(fd, "x", "acme/risk:read", 86400, value) < 0 || jeton_new(agent.socket, &jeton) < 0)
		give_up("no token to verify");
	has_munge = munge_start(&munged, bench_tmp());
	crowd_init(&c, FEW);
	await_map(&c);
	for (unsigned i = rounds(9); i > 0; i--) {
		double m = map_round(&c, &c.at), s = socket_round(jeton, value);

		series_add(&map, m);
		series_add(&socket, s);
		series_add(&to_socket, s / m);
		if (has_munge) {
			double rival = munge_round(&munged);

			series_add(&munge, rival);
			series_add(&to_munge, rival / m);
		}
	}
	report("rivals-map", "the map, a thousand tokens", &map, "ns", NO_BOUND, 0);
	report("rivals-socket", "Verify over the socket, by libjeton", &socket, "ns", NO_BOUND, 0);
	report("socket-to-map", "  as a multiple of the map", &to_socket, "times", NO_BOUND, 0);
	if (has_munge) {
		report("rivals-munge", "MUNGE decode", &munge, "ns", NO_BOUND, 0);
		report("munge-to-map", "  as a multiple of the map", &to_munge, "times", AT_LEAST, 100);
		munge_stop(&munged);
	} else {
		report_skipped("rivals-munge", "MUNGE decode", MUNGE_MISSING);
	}
	crowd_done(&c);
	jeton_free(jeton);
	close(fd);
	test_agent_done(&agent);
}

/* ---- threads ---- */

struct runner {
	struct crowd *c;
	pthread_t thread;
	int cpu;
	double ns;
};

static void *run(void *userdata)
{
	struct runner *r = userdata;
	size_t at = r->c->n / 2 * (size_t)r->cpu;

	pin(r->cpu);
	r->ns = map_round(r->c, &at);
	return NULL;
}

/* Verifications a ns, of so many threads together. */
static double threads_round(struct crowd *c, int n)
{
	struct runner r[2];
	double rate = 0;

	for (int i = 0; i < n; i++) {
		r[i] = (struct runner){ .c = c, .cpu = i };
		if (pthread_create(&r[i].thread, NULL, run, &r[i]) != 0)
			give_up("no thread");
	}
	for (int i = 0; i < n; i++) {
		pthread_join(r[i].thread, NULL);
		rate += 1 / r[i].ns;
	}
	return rate;
}

static void measure_threads(size_t n, const char *group, const char *what)
{
	struct series more = { 0 };
	char line[100];
	struct crowd c;

	crowd_init(&c, n);
	await_map(&c);
	for (unsigned i = rounds(15); i > 0; i--)
		series_add(&more, threads_round(&c, 2) / threads_round(&c, 1));
	snprintf(line, sizeof(line), "two threads beside one, %s", what);
	report(key_of("threads", group), line, &more, "times", AT_LEAST, 1.7);
	crowd_done(&c);
}

/* ---- a revocation, seen by another process ---- */

struct race {
	_Atomic uint64_t round, done;
	_Atomic uint64_t seen_ns;
};

static void watch(const struct map_maker *m, struct race *race, const char *value)
{
	struct map_found found;
	struct map_view view;
	void *map = mmap(NULL, m->bytes, PROT_READ, MAP_SHARED, m->fd, 0);

	if (map == MAP_FAILED || map_view_init(map, m->bytes, &view) < 0)
		_exit(1);
	pin(1);
	for (uint64_t round = 1;; round++) {
		while (race->round != round)
			;
		race->done = round * 2 - 1; /* looks */
		while (map_verify(&view, span_of(value), scopes, &found))
			;
		race->seen_ns = now_ns();
		race->done = round * 2;
	}
}

static void measure_revocation(void)
{
	struct race *race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct latencies l = { 0 };
	struct map_sample s;
	struct map_slot *slot;
	struct map_maker m;
	pid_t pid;

	pin(0);
	map_maker_init(&m, 1024, 4096);
	map_sample_make(5, &s);
	s.entry.access_at = map_maker_text(&m, "acme/risk:read", 15);
	s.entry.access_bytes = 15;
	pid = fork();
	if (pid == 0)
		watch(&m, race, s.value);
	for (uint64_t round = 1; round <= sized(REVOCATIONS, 50); round++) {
		uint64_t start;

		map_maker_beat(&m);
		slot = map_maker_add(&m, &s.entry);
		race->round = round;
		while (race->done != round * 2 - 1)
			;
		for (start = now_ns(); now_ns() < start + 2000;)
			;
		start = now_ns();
		map_slot_kill(slot);
		while (race->done != round * 2)
			;
		latencies_add(&l, race->seen_ns > start ? race->seen_ns - start : 0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	report_value("revocation", "a revocation, until another process sees it", latencies_at(&l, 0.5), "ns", AT_MOST, 1000);
	report_value("revocation-99", "  99 of 100 within", latencies_at(&l, 0.99), "ns", NO_BOUND, 0);
	latencies_done(&l);
	map_maker_done(&m);
	munmap(race, sizeof(*race));
}

int main(void)
{
	size_t many = sized(MANY, MANY_TINY);

	pin(0);
	measure_crowd(FEW, "thousand", "a thousand tokens");
	measure_crowd(many, "million", "a million tokens");
	measure_rivals();
	pin(-1);
	if (sysconf(_SC_NPROCESSORS_ONLN) >= 2) {
		measure_threads(1, "same", "the same token");
		measure_threads(FEW, "thousand", "a thousand tokens");
		measure_threads(many, "million", "a million tokens");
		measure_revocation();
	} else {
		report_skipped("threads", "two threads, a revocation", "there is one processor");
	}
	return EXIT_SUCCESS;
}
