/*
 * tests/unit/test-map-race.c - a process that issues and revokes in a map as fast as it can, and threads of another that verify
 * all the while. Each revocation "replies"; a verification that begins after that must not say yes.
 *	test-map-race [REVOCATIONS]		(a million; by hand 100000000)
 *
 * Tokens are few and live in the same few slots, so that each revocation makes room for another token soon. Each issue of one
 * is a generation of it, which its expiry tells, and odd ones have another secret and another access than even ones: so a yes
 * says of which generation all of it is. Two readers that are broken must be found.
 */
#include "protocol/map-read.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/unit/map-maker.h"
#include "tests/unit/unit.h"

enum { SLOTS = 64, TOKENS = 6, READERS = 2, MILLION = 1000 * 1000, LOCK_EACH = 1000 };

/* Expiries count generations from here. */
#define FAR UINT64_C(4102444800000000)

/* What the writer says, beside the map. */
struct told {
	_Atomic uint64_t issued[TOKENS];  /* the latest generation, before it is in the map */
	_Atomic uint64_t revoked[TOKENS]; /* replies: this generation has ended, and all before it */
	_Atomic uint64_t locked;	  /* odd: no yes is right */
	_Atomic uint64_t dead;		  /* likewise, for ever */
	_Atomic uint64_t n;		  /* revocations */
	_Atomic uint64_t over;
};

static struct told *told;
static struct map_sample samples[TOKENS][2];
static const char *const scopes[2][2] = { { "even:x", NULL }, { "odd:x", NULL } };

/* ---- the writer's process ---- */

/* The first ids whose search begins at one slot, each with two secrets. */
static void make_samples(void)
{
	uint8_t random[TOKEN_RANDOM_LEN];
	uint64_t id = 1;

	for (int i = 0; i < TOKENS; i++, id++) {
		while (map_slot_of(id, SLOTS) != 7)
			id++;
		map_sample_make(id, &samples[i][0]);
		samples[i][1] = samples[i][0];
		memset(random, i + 77, sizeof(random));
		token_make(id, random, samples[i][1].value);
		token_hash_secret(samples[i][1].value + TOKEN_SECRET_AT, samples[i][1].entry.hash);
	}
}

static void issue(struct map_maker *m, int i, uint64_t access)
{
	uint64_t generation = told->issued[i] + 1;
	struct map_entry entry = samples[i][generation % 2].entry;

	entry.access_at = access + (generation % 2 ? 7 : 0);
	entry.access_bytes = generation % 2 ? 6 : 7;
	entry.expires_us = FAR + generation;
	atomic_store_explicit(&told->issued[i], generation, memory_order_release);
	if (!map_maker_add(m, &entry))
		abort();
}

/* As an agent does: the map first, then the reply. */
static void end_one(struct map_maker *m, int i)
{
	map_slot_kill(map_maker_find(m, samples[i][0].entry.id));
	atomic_store_explicit(&told->revoked[i], told->issued[i], memory_order_release);
	told->n++;
}

static void lock_and_unlock(struct map_maker *m)
{
	atomic_store_explicit(&m->head->state, MAP_ASK, memory_order_release);
	atomic_fetch_add(&told->locked, 1);
	for (int i = 0; i < 200; i++)
		(void)told->n;
	atomic_fetch_add(&told->locked, 1);
	atomic_store_explicit(&m->head->state, MAP_GOOD, memory_order_release);
	map_maker_beat(m);
}

/* Dead tokens in front of it are taken over, so it is never far from where its search begins. */
static _Noreturn void write_for_ever(int out)
{
	uint64_t random = 3, access;
	struct map_maker m;

	map_maker_init(&m, SLOTS, 64);
	access = map_maker_text(&m, "even:x\0odd:x", 13);
	if (write(out, &m.fd, sizeof(m.fd)) != sizeof(m.fd))
		abort();
	for (uint64_t n = 0;; n++) {
		int i = (int)(unit_random(&random) % TOKENS);

		if (told->revoked[i] == told->issued[i])
			issue(&m, i, access);
		else
			end_one(&m, i);
		if (n % LOCK_EACH == 0)
			lock_and_unlock(&m);
	}
}

/* ---- the readers' ---- */

enum reader { SOUND, TORN, LATE };

static const char *const reader_names[] = { "sound", "torn", "late" };

struct reading {
	const struct map_view *view;
	enum reader reader;
	uint64_t seed;
	pthread_t thread;
	uint64_t n, n_yes;
	const char *wrong; /* NULL: nothing */
};

/* A slot taken as it is met, with no look at its number. */
static bool verify_torn(const struct map_view *view, int i, int odd, struct map_found *ret)
{
	for (uint64_t at = 0; at < SLOTS; at++) {
		const struct map_slot *slot = &view->slots[at];

		if (slot->id == samples[i][odd].entry.id && slot->access_bytes != 0 &&
		    slot->hash[0] == samples[i][odd].entry.hash[0]) {
			*ret = (struct map_found){ slot->id, slot->expires_us, 0, at };
			return map_view_state(view) == MAP_GOOD;
		}
	}
	return false;
}

/* An answer that is kept for the next call. */
static bool verify_late(const struct map_view *view, int i, int odd, struct map_found *ret)
{
	static _Thread_local struct map_found kept[TOKENS][2];
	struct map_found found = kept[i][odd];
	bool yes = found.expires_us != 0;

	kept[i][odd].expires_us = 0;
	(void)!map_verify(view, span_of(samples[i][odd].value), scopes[odd], &kept[i][odd]);
	*ret = found;
	return yes;
}

static bool verify(const struct reading *r, int i, int odd, struct map_found *ret)
{
	if (r->reader == TORN)
		return verify_torn(r->view, i, odd, ret);
	if (r->reader == LATE)
		return verify_late(r->view, i, odd, ret);
	return map_verify(r->view, span_of(samples[i][odd].value), scopes[odd], ret);
}

/* What is wrong with a yes; what was told was read before the verification began. */
static const char *judge(int i, int odd, uint64_t revoked, uint64_t locked, uint64_t dead,
			 const struct map_found *found)
{
	uint64_t generation = found->expires_us - FAR;

	if (generation <= revoked)
		return "a revoked token was good";
	if (generation > told->issued[i])
		return "a token was good that was not issued yet";
	if (generation % 2 != (uint64_t)odd || found->id != samples[i][0].entry.id)
		return "a yes was of two tokens";
	if (locked % 2 && locked == told->locked)
		return "a token was good while the map said to ask";
	return dead ? "a token was good after the writer's death" : NULL;
}

static void *read_for_ever(void *userdata)
{
	struct reading *r = userdata;
	struct map_found found;

	while (!told->over && !r->wrong) {
		uint64_t x = unit_random(&r->seed), revoked, locked, dead;
		int i = (int)(x % TOKENS), odd = (int)(x >> 32 & 1);

		dead = atomic_load_explicit(&told->dead, memory_order_acquire);
		locked = atomic_load_explicit(&told->locked, memory_order_acquire);
		revoked = atomic_load_explicit(&told->revoked[i], memory_order_acquire);
		r->n++;
		if (!verify(r, i, odd, &found))
			continue;
		r->n_yes++;
		r->wrong = judge(i, odd, revoked, locked, dead, &found);
	}
	return NULL;
}

static void start_readers(struct reading r[static READERS], const struct map_view *view,
			  enum reader reader)
{
	for (int i = 0; i < READERS; i++) {
		r[i] = (struct reading){ .view = view, .reader = reader, .seed = (uint64_t)i + 1 };
		if (pthread_create(&r[i].thread, NULL, read_for_ever, &r[i]) != 0)
			abort();
	}
}

static bool any_is_wrong(const struct reading r[static READERS])
{
	for (int i = 0; i < READERS; i++)
		if (*(const char *const volatile *)&r[i].wrong)
			return true;
	return false;
}

/* Stops all; gives what was wrong, or NULL. */
static const char *stop_readers(struct reading r[static READERS], enum reader reader)
{
	uint64_t n = 0, n_yes = 0;
	const char *wrong = NULL;

	told->over = 1;
	for (int i = 0; i < READERS; i++) {
		pthread_join(r[i].thread, NULL);
		n += r[i].n;
		n_yes += r[i].n_yes;
		if (r[i].wrong)
			wrong = r[i].wrong;
	}
	printf("# %s reader: %llu revocations, %llu verifications, %llu of them good: %s\n",
	       reader_names[reader], (unsigned long long)told->n, (unsigned long long)n,
	       (unsigned long long)n_yes, wrong ? wrong : "nothing wrong");
	return wrong || n_yes > 0 ? wrong : "nothing was ever good";
}

/* ---- the race ---- */

/* The map of the writer's process, which says in the pipe by which descriptor it has it. */
static const void *map_of(pid_t pid, int in, uint64_t *ret_bytes)
{
	char path[64];
	void *map;
	int fd;

	if (read(in, &fd, sizeof(fd)) != sizeof(fd))
		abort();
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	*ret_bytes = map_bytes(SLOTS, 64);
	map = mmap(NULL, *ret_bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (fd < 0 || map == MAP_FAILED)
		abort();
	close(fd);
	return map;
}

static const char *race(uint64_t n_revocations, enum reader reader)
{
	struct reading readers[READERS];
	struct map_view view;
	uint64_t bytes;
	const void *map;
	int pipes[2];
	pid_t pid;

	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED || pipe2(pipes, O_CLOEXEC) < 0)
		abort();
	pid = fork();
	if (pid == 0)
		write_for_ever(pipes[1]);
	map = map_of(pid, pipes[0], &bytes);
	if (map_view_init(map, bytes, &view) < 0)
		abort();
	start_readers(readers, &view, reader);
	while (told->n < n_revocations && !any_is_wrong(readers))
		(void)poll(NULL, 0, 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* From here on the map is nobody's. */
	atomic_store_explicit(&told->dead, 1, memory_order_release);
	(void)poll(NULL, 0, 5);
	close(pipes[0]);
	close(pipes[1]);
	return stop_readers(readers, reader);
}

static void say(int n, bool good, const char *what, const char *why)
{
	printf("%sok %d - %s\n", good ? "" : "not ", n, what);
	if (!good)
		printf("# %s\n", why ? why : "it was not found");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : MILLION;
	const char *wrong, *torn, *late;

	puts("1..3");
	make_samples();
	wrong = race(n, SOUND);
	say(1, !wrong, "no verification that begins after the reply of a revocation says yes",
	    wrong);
	torn = race(100 * n, TORN);
	say(2, torn, "a reader that does not look at a slot's number is found", torn);
	late = race(100 * n, LATE);
	say(3, late, "a reader that answers from before is found", late);
	return wrong || !torn || !late;
}
