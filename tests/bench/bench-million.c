/*
 * tests/bench/bench-million.c - an agent with a million tokens: how long from its start to the first answer, beside
 * only reading its rows and deciphering as many bytes; and what a Verify among them costs beside one among a thousand,
 * in turn.
 *
 * A store of a million takes a while to make; it is kept in $BENCH_DIR/million with the values, and made anew where
 * the agent can't read it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "tests/bench/issuers.h"
#include "tests/bench/measure.h"
#include "tests/support/test-agent.h"

#define MILLION 1000000U
#define THOUSAND 1000U
#define VALUE_LEN 67
#define ROUND_NS 300000000U

static char dir[160], state[192], values_path[192];
static FILE *values_file;

struct fleet {
	struct test_agent agent;
	char (*values)[VALUE_LEN];
	size_t n;
	int fd;
};

static const char settings[] = "MaxTokensPerUser=2000000\nMemoryLimit=512M\nMaxLifetime=2y";

static void keep_value(struct span token)
{
	if (fwrite(token.p, 1, VALUE_LEN, values_file) != VALUE_LEN)
		give_up("%s: %s", values_path, strerror(errno));
}

static void make_store(void)
{
	struct test_agent agent;
	char command[256];
	uint64_t start = now_ns();

	fprintf(stderr, "Making a store of a million tokens in %s ...\n", dir);
	snprintf(command, sizeof(command), "rm -rf -- '%s'", dir);
	if (system(command) != 0 || mkdir(dir, 0700) < 0)
		give_up("%s: %s", dir, strerror(errno));
	values_file = fopen(values_path, "we");
	if (!values_file)
		give_up("%s: %s", values_path, strerror(errno));
	fchmod(fileno(values_file), 0600);
	if (test_agent_init(&agent, &(struct test_agent_options){ .settings = settings, .state = state }) < 0)
		give_up("no agent");
	issue_many(&agent, 64, 16, UINT64_MAX, MILLION, keep_value);
	fclose(values_file);
	test_agent_done(&agent);
	fprintf(stderr, "... made in %.0f s.\n", (double)(now_ns() - start) / 1e9);
}

static bool map_values(const char *path, size_t n, struct fleet *f)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)(n * VALUE_LEN))
		return false;
	f->values = mmap(NULL, n * VALUE_LEN, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	f->n = n;
	return f->values != MAP_FAILED;
}

static size_t make_request(char dst[static 512], const char value[static VALUE_LEN])
{
	return 1 + (size_t)snprintf(dst, 512, "{\"method\":\"io.jeton.Agent.Verify\",\"parameters\":{\"token\":\"%.*s\"}}",
				    VALUE_LEN, value);
}

static bool verify_one(int fd, const char value[static VALUE_LEN])
{
	char request[512], reply[8192];
	size_t n = make_request(request, value);

	return test_call(fd, request, n, reply, sizeof(reply)) > 0 && !test_member(reply, "error").p;
}

/* Starts the agent again; seconds until it first verified a token. */
static double start_round(struct fleet *f)
{
	uint64_t start = now_ns();

	if (test_agent_spawn(&f->agent) < 0)
		give_up("fork: %s", strerror(errno));
	for (;;) {
		_cleanup_close_ int fd = test_agent_connect(&f->agent);

		if (fd >= 0 && verify_one(fd, f->values[f->n - 1]))
			return (double)(now_ns() - start) / 1e9;
		if (now_ns() - start > 60000000000U)
			give_up("the agent does not answer");
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	}
}

/* So that the store comes from the disk; false where we may not. */
static bool drop_caches(void)
{
	_cleanup_close_ int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	sync();
	return fd >= 0 && write(fd, "1", 1) == 1;
}

/* Ciphers so many bytes as they stand, which costs what opening them does, whatever the key is. */
static void work_as_opening(const uint8_t *p, size_t n)
{
	static const uint8_t key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
	uint8_t out[8192], tag[crypto_aead_xchacha20poly1305_ietf_ABYTES];
	const size_t nonce = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;

	if (n < nonce || n > sizeof(out))
		give_up("a row of %zu bytes", n);
	crypto_aead_xchacha20poly1305_ietf_encrypt_detached(out, tag, NULL, p + nonce, n - nonce,
							    key, 40, NULL, p, key);
}

/* Seconds for the rows of a store that no agent has open, by one thread. */
static double floor_round(void)
{
	uint64_t start = now_ns();
	sqlite3_stmt *st = NULL;
	sqlite3 *db = NULL;
	char path[256];
	size_t n = 0;

	snprintf(path, sizeof(path), "%s/store.db", state);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(db, "SELECT row, version, sealed FROM active", -1, &st, NULL) !=
		    SQLITE_OK)
		give_up("%s: %s", path, sqlite3_errmsg(db));
	for (; sqlite3_step(st) == SQLITE_ROW; n++)
		work_as_opening(sqlite3_column_blob(st, 2), (size_t)sqlite3_column_bytes(st, 2));
	sqlite3_finalize(st);
	sqlite3_close(db);
	if (n != MILLION)
		give_up("%s has %zu rows", path, n);
	return (double)(now_ns() - start) / 1e9;
}

static void measure_starts(struct fleet *f)
{
	struct series warm = { 0 }, cold = { 0 }, least = { 0 }, ratio = { 0 };

	for (unsigned i = rounds(5); i > 0; i--) {
		double start, floor;

		test_agent_kill(&f->agent);
		start = start_round(f);
		test_agent_stop(&f->agent);
		floor = floor_round();
		series_add(&warm, start);
		series_add(&least, floor);
		series_add(&ratio, start / floor);
		if (drop_caches())
			series_add(&cold, start_round(f));
		else
			test_agent_start(&f->agent);
	}
	report("restart with a million tokens to the first answer", &warm, "s", AT_MOST, 1.5);
	report("  its rows only read and deciphered, by one thread", &least, "s", NO_BOUND, 0);
	report("  beside that", &ratio, "times", NO_BOUND, 0);
	if (cold.n)
		report("  with nothing of the disk in memory", &cold, "s", NO_BOUND, 0);
}

static const char *any_value(const struct fleet *f)
{
	static uint64_t random = 88172645463325252U;

	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	return f->values[random % f->n];
}

/* Microseconds a call. The next value is fetched while the agent works: how this program finds it is not what is measured. */
static double verify_round(struct fleet *f)
{
	const char *value = any_value(f);
	uint64_t start = now_ns(), now = start;
	unsigned n = 0;

	while (now - start < ROUND_NS) {
		for (int i = 0; i < 64; i++, n++) {
			const char *next = any_value(f);

			__builtin_prefetch(next);
			__builtin_prefetch(next + VALUE_LEN - 1);
			if (!verify_one(f->fd, value))
				give_up("a token was refused");
			value = next;
		}
		now = now_ns();
	}
	return (double)(now - start) / n / 1000;
}

static void measure_verify(struct fleet *few, struct fleet *many)
{
	struct series thousand = { 0 }, million = { 0 }, ratio = { 0 };

	for (unsigned i = rounds(15); i > 0; i--) {
		double t = verify_round(few), m = verify_round(many);

		series_add(&thousand, t);
		series_add(&million, m);
		series_add(&ratio, m / t);
	}
	report("Verify among a thousand tokens, at random", &thousand, "us", NO_BOUND, 0);
	report("Verify among a million tokens, at random", &million, "us", NO_BOUND, 0);
	report("  beside a thousand", &ratio, "times", AT_MOST, 1.3);
}

/* The agent on the store that is kept, or on one made anew. */
static void start_million(struct fleet *f)
{
	struct test_agent_options options = { .settings = settings, .state = state };

	for (int tries = 0; tries < 2; tries++) {
		if (map_values(values_path, MILLION, f) && test_agent_init(&f->agent, &options) == 0) {
			f->fd = test_agent_connect(&f->agent);
			if (verify_one(f->fd, f->values[0]) && verify_one(f->fd, f->values[MILLION - 1]))
				return;
			test_agent_done(&f->agent);
		}
		make_store();
	}
	give_up("the agent does not know the tokens that it issued");
}

static void start_thousand(struct fleet *f, const char *under)
{
	if (test_agent_init(&f->agent, &(struct test_agent_options){ .settings = settings, .under = under }) < 0)
		give_up("no agent");
	snprintf(values_path, sizeof(values_path), "%s/values", f->agent.dir);
	values_file = fopen(values_path, "we");
	if (!values_file)
		give_up("%s: %s", values_path, strerror(errno));
	issue_many(&f->agent, 8, 1, UINT64_MAX, THOUSAND, keep_value);
	fclose(values_file);
	if (!map_values(values_path, THOUSAND, f))
		give_up("%s: %s", values_path, strerror(errno));
	f->fd = test_agent_connect(&f->agent);
}

int main(void)
{
	const char *under = getenv("BENCH_DIR");
	struct fleet few = { 0 }, many = { 0 };

	snprintf(dir, sizeof(dir), "%s/million", under ? under : "/var/tmp");
	snprintf(state, sizeof(state), "%s/state", dir);
	snprintf(values_path, sizeof(values_path), "%s/values", dir);
	start_million(&many);
	close(many.fd);
	measure_starts(&many);
	test_agent_stop(&many.agent);

	pin(0);
	if (test_agent_start(&many.agent) < 0)
		give_up("no agent");
	many.fd = test_agent_connect(&many.agent);
	start_thousand(&few, under);
	measure_verify(&few, &many);
	test_agent_done(&few.agent);
	test_agent_done(&many.agent);
	return EXIT_SUCCESS;
}
