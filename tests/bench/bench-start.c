/*
 * tests/bench/bench-start.c - from the start of a process to its first answer: an agent with a thousand tokens and one with a
 * million, beside a server that knows nothing. Each is given a listening socket on which a request waits already, as systemd does
 * at the first connection, so nothing polls; systemd itself is not in it (bench-activation has that). And the million's rows
 * only read and deciphered, by one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "tests/bench/fleet.h"
#include "tests/bench/measure.h"
#include "tests/bench/rivals.h"

static char listening_path[160];
static int listening;

/* Asks, and waits for the whole reply, which comes once whoever was started is up. */
static double first_answer(const char value[static FLEET_VALUE], pid_t (*start)(void *), void *userdata, pid_t *ret_pid)
{
	_cleanup_close_ int fd = connect_to(listening_path);
	char request[512], reply[8192];
	size_t n = fleet_request(request, value);
	uint64_t before = now_ns();

	*ret_pid = start(userdata);
	if (test_call(fd, request, n, reply, sizeof(reply)) < 0 || test_member(reply, "error").p)
		give_up("what was started does not answer: %s", reply);
	return (double)(now_ns() - before) / 1e6;
}

static pid_t start_agent(void *userdata)
{
	struct fleet *f = userdata;

	if (test_agent_spawn_activated(&f->agent, listening) < 0)
		give_up("fork: %s", strerror(errno));
	return f->agent.pid;
}

static pid_t start_floor(void *userdata)
{
	pid_t pid = fork();

	if (pid < 0)
		give_up("fork: %s", strerror(errno));
	if (pid == 0) {
		test_agent_pass(listening);
		execl(userdata, userdata, NULL);
		_exit(127);
	}
	return pid;
}

static double agent_round(struct fleet *f)
{
	pid_t pid;
	double ms = first_answer(f->values[f->n - 1], start_agent, f, &pid);

	test_agent_stop(&f->agent);
	return ms;
}

static double floor_round(const char *program, const char value[static FLEET_VALUE])
{
	pid_t pid;
	double ms = first_answer(value, start_floor, (void *)program, &pid);

	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return ms;
}

static void measure_thousand(struct fleet *few)
{
	struct series agent = { 0 }, floor = { 0 }, ratio = { 0 };
	const char *build = getenv("JETON_BUILD");
	char program[256];

	snprintf(program, sizeof(program), "%s/tests/bench/bench-answers", build ? build : "build");
	test_agent_stop(&few->agent);
	agent_round(few);
	floor_round(program, few->values[0]);
	for (unsigned i = rounds(31); i > 0; i--) {
		double f = floor_round(program, few->values[0]), a = agent_round(few);

		series_add(&floor, f);
		series_add(&agent, a);
		series_add(&ratio, a / f);
	}
	report("floor", "a bare server started, to its first answer", &floor, "ms", NO_BOUND, 0);
	report("thousand", "an agent with a thousand tokens, likewise", &agent, "ms", NO_BOUND, 0);
	report("thousand.to-floor", "  beside the bare server", &ratio, "times", AT_MOST, 1.5);
}

/* So that the store comes from the disk; false where we may not. */
static bool drop_caches(void)
{
	_cleanup_close_ int fd = -EBADF;

	if (is_tiny())
		return false;
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
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
	crypto_aead_xchacha20poly1305_ietf_encrypt_detached(out, tag, NULL, p + nonce, n - nonce, key, 40, NULL, p, key);
}

/* Seconds for the rows of a store that no agent has open, by one thread. */
static double rows_round(const struct fleet *f)
{
	uint64_t start = now_ns();
	sqlite3_stmt *st = NULL;
	sqlite3 *db = NULL;
	char path[256];
	size_t n = 0;

	snprintf(path, sizeof(path), "%s/state/store.db", f->dir);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(db, "SELECT row, version, sealed FROM active", -1, &st, NULL) != SQLITE_OK)
		give_up("%s: %s", path, sqlite3_errmsg(db));
	for (; sqlite3_step(st) == SQLITE_ROW; n++)
		work_as_opening(sqlite3_column_blob(st, 2), (size_t)sqlite3_column_bytes(st, 2));
	sqlite3_finalize(st);
	sqlite3_close(db);
	if (n < f->n)
		give_up("%s has %zu rows", path, n);
	return (double)(now_ns() - start) / 1e9;
}

static void measure_million(struct fleet *many)
{
	struct series warm = { 0 }, cold = { 0 }, least = { 0 }, ratio = { 0 };

	test_agent_stop(&many->agent);
	for (unsigned i = rounds(5); i > 0; i--) {
		double start = agent_round(many) / 1000, rows = rows_round(many);

		series_add(&warm, start);
		series_add(&least, rows);
		series_add(&ratio, start / rows);
		if (drop_caches())
			series_add(&cold, agent_round(many) / 1000);
	}
	report("million", "an agent with a million tokens, to its first answer", &warm, "s", AT_MOST, 1.5);
	report("million.rows", "  its rows only read and deciphered, by one thread", &least, "s", NO_BOUND, 0);
	report("million.to-rows", "  beside that", &ratio, "times", NO_BOUND, 0);
	if (cold.n)
		report("million.cold", "  with nothing of the disk in memory", &cold, "s", NO_BOUND, 0);
}

int main(void)
{
	struct fleet f;

	snprintf(listening_path, sizeof(listening_path), "%s/jeton-start-%d", bench_tmp(), (int)getpid());
	listening = listen_at(listening_path);
	fleet_start(&f, sized(1000, 100), NULL);
	measure_thousand(&f);
	fleet_stop(&f);
	fleet_start(&f, sized(1000000, 2000), NULL);
	measure_million(&f);
	fleet_stop(&f);
	unlink(listening_path);
	return EXIT_SUCCESS;
}
