/*
 * tests/bench/bench-constant.c - that times tell nothing which the replies do not: the secret's comparison and the form by
 * themselves, and at the socket of a running agent, as whoever guesses would see it, unknown ids against known ones and
 * others' things against what is not there. With controls that are to be found, or the rest would say nothing.
 *
 * At the socket a few inputs of each kind come again and again, as with somebody who guesses: the agent's caches have them. So
 * do hundreds, of which each was looked at some time ago.
 *
 * $BENCH_MEASUREMENTS: of each (1,000,000; those at a socket a tenth of it).
 */
#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/connection.h"
#include "agent/presented.h"
#include "agent/token-call.h"
#include "agent/vault.h"
#include "protocol/base/cleanup.h"
#include "protocol/token.h"
#include "tests/bench/leak.h"
#include "tests/bench/measure.h"
#include "tests/support/test-agent.h"

enum { POOL = 16, MANY = 512, INSIDE = 16 * MANY, DRAWS = 12, MESSAGE_MAX = 256, STRANGER = 54321, TRIES = 3 };

static uint64_t n_measurements = 1000000;

/* A leak is there each time, chance is not. */
static void report_leak(const char *key, const char *what, const struct leak_case *c, uint64_t n)
{
	double t = 0, ns;

	for (int i = 0; i < TRIES; i++) {
		t = leak_measure(c, n, &ns);
		if (t <= LEAK_BOUND)
			break;
	}
	printf("(%.2f ns)\n", ns);
	report_value(key, what, t, "t", AT_MOST, LEAK_BOUND);
}

static void report_control(const char *key, const char *what, const struct leak_case *c, uint64_t n)
{
	double ns;

	report_value(key, what, leak_measure(c, n, &ns), "t", AT_LEAST, 10);
}

/*
 * Copies n bytes of the first or the second of two that lie side by side. Both are read: what is in the
 * processor's caches afterwards is the same for either.
 */
static void take(char *dst, const char *two, size_t n, size_t apart, bool second)
{
	char mask = (char)-second;

	for (size_t i = 0; i < n; i++)
		dst[i] = (char)((two[i] & ~mask) | (two[apart + i] & mask));
}

/* ---- by themselves ---------------------------------------------------------------------------- */

static struct {
	struct secretmem mem;
	struct vault *vault;
	token_ref ref;
	uint8_t kept[TOKEN_HASH_LEN];
	/* Made before, and copied as a whole: a byte changed shortly before it is read slows the reading. */
	char hashes[POOL][2][TOKEN_HASH_LEN], hash[TOKEN_HASH_LEN];
	char texts[POOL][2][TOKEN_LEN], text[TOKEN_LEN];
	volatile int sink;
} alone;

/* Wrong in the first byte, or in the last. */
static void make_wrong_ones(void)
{
	uint8_t random[TOKEN_RANDOM_LEN];
	uint64_t id;

	for (size_t i = 0; i < 2 * POOL; i++) {
		char *hash = alone.hashes[i / 2][i % 2], *text = alone.texts[i / 2][i % 2];
		char *digit = text + (i % 2 ? TOKEN_LEN - 1 : 6 + 1);

		memcpy(hash, alone.kept, sizeof(alone.kept));
		hash[i % 2 * (TOKEN_HASH_LEN - 1)] ^= (char)(1 + leak_random() % 255);
		randombytes_buf(random, sizeof(random));
		randombytes_buf(&id, sizeof(id));
		token_make(id >> 8, random, text);
		*digit = *digit == '0' ? '1' : '0';
	}
}

static void make_alone(void)
{
	struct token_facts facts = { .id = 7, .name = SPAN("n"), .expires_us = UINT64_C(1) << 50, .uses_left = USES_UNLIMITED };
	struct vault_change *change;

	randombytes_buf(alone.kept, sizeof(alone.kept));
	make_wrong_ones();
	memcpy(facts.hash, alone.kept, sizeof(alone.kept));
	if (vault_new(&alone.mem, (size_t)4 << 20, NULL, &alone.vault) < 0 || !(change = vault_change_new(alone.vault)) ||
	    vault_prepare_insert(change, &facts, REF_NONE, &alone.ref) < 0)
		give_up("no vault");
	vault_commit(change);
}

static void prepare_hash(void *userdata, bool second)
{
	(void)userdata;
	take(alone.hash, alone.hashes[leak_random() % POOL][0], sizeof(alone.hash), sizeof(alone.hash), second);
}

static void run_hash(void *userdata)
{
	(void)userdata;
	alone.sink = vault_hash_is(alone.vault, alone.ref, (uint8_t *)alone.hash);
}

/* What a comparison that stops at the first difference would do. */
static void run_memcmp(void *userdata)
{
	(void)userdata;
	for (size_t i = 0; i < TOKEN_HASH_LEN && ((volatile uint8_t *)alone.kept)[i] == (uint8_t)alone.hash[i]; i++)
		alone.sink = (int)i;
}

static void prepare_form(void *userdata, bool second)
{
	(void)userdata;
	take(alone.text, alone.texts[leak_random() % POOL][0], sizeof(alone.text), sizeof(alone.text), second);
}

static void run_form(void *userdata)
{
	struct span secret;
	uint64_t id;

	(void)userdata;
	alone.sink = token_read((struct span){ alone.text, sizeof(alone.text) }, &id, &secret);
}

/* ---- without a socket -------------------------------------------------------------------------- */

/*
 * What decides of a token or an id, by itself: a socket costs fifty times as much, and as much more has to be measured to see
 * as little. Among more tokens than are asked for: of what is looked at in place of what there is none of, little is the same
 * for two ids.
 */
static struct {
	struct secretmem mem;
	struct agent agent;
	struct connection connection;
	struct request request;
	size_t pool;
	char texts[MANY][2][TOKEN_LEN], text[TOKEN_LEN]; /* of an id that there is none of, and of one that is another's */
	uint64_t ids[MANY][2], id;
	volatile int sink;
} inside;

static void make_id(uint64_t *ret_id, char ret_text[static TOKEN_LEN])
{
	uint8_t random[TOKEN_RANDOM_LEN];

	randombytes_buf(random, sizeof(random));
	randombytes_buf(ret_id, sizeof(*ret_id));
	token_make(*ret_id, random, ret_text);
}

static void make_inside(void)
{
	struct token_facts facts = { .name = SPAN("n"), .expires_us = UINT64_C(1) << 50, .uses_left = USES_UNLIMITED };
	struct vault_change *change;
	char text[TOKEN_LEN];
	token_ref ref;

	if (vault_new(&inside.mem, (size_t)4 << 20, NULL, &inside.agent.vault) < 0 ||
	    !(change = vault_change_new(inside.agent.vault)))
		give_up("no vault");
	/* Those that are asked for lie among the others as whatever is looked at in their place does. */
	for (size_t i = 0; i < INSIDE; i++) {
		size_t k = i % MANY;

		if (i < MANY)
			make_id(&inside.ids[k][0], inside.texts[k][0]);
		make_id(&facts.id, text);
		randombytes_buf(facts.hash, sizeof(facts.hash));
		if (vault_prepare_insert(change, &facts, REF_NONE, &ref) < 0)
			give_up("no token");
		if (i % (INSIDE / MANY) > 0)
			continue;
		inside.ids[i / (INSIDE / MANY)][1] = facts.id;
		memcpy(inside.texts[i / (INSIDE / MANY)][1], text, TOKEN_LEN);
	}
	vault_commit(change);
	inside.connection.peer.uid = STRANGER;
	inside.request.agent = &inside.agent;
	inside.request.connection = &inside.connection;
}

static void prepare_present(void *userdata, bool second)
{
	(void)userdata;
	take(inside.text, inside.texts[leak_random() % inside.pool][0], TOKEN_LEN, TOKEN_LEN, second);
}

static void run_present(void *userdata)
{
	struct presented presented;

	(void)userdata;
	inside.sink = (int)present(&inside.agent, (struct span){ inside.text, TOKEN_LEN }, 1, &presented);
}

static void prepare_find(void *userdata, bool second)
{
	(void)userdata;
	take((char *)&inside.id, (char *)inside.ids[leak_random() % inside.pool], sizeof(inside.id), sizeof(inside.id), second);
}

static void run_find(void *userdata)
{
	(void)userdata;
	inside.sink = find_own(&inside.request, false, SPAN("stranger"), inside.id).ref != REF_NONE;
}

/* What a look that ends where the id is found would do. */
static void run_find_unevenly(void *userdata)
{
	(void)userdata;
	inside.sink = vault_find(inside.agent.vault, inside.id) != REF_NONE;
}

/*
 * Where a few hundred ids and tokens happen to lie makes differences of some tenths of a ns, one way or the other. A leak is
 * one whatever ids and tokens there are: t is of the differences that as many draws of all of them make.
 */
static double measure_draws(const struct leak_case *c, size_t pool, uint64_t n, double *ret_ns)
{
	double ns, mean = 0, m2 = 0;

	inside.pool = pool;
	for (int i = 1; i <= DRAWS; i++) {
		double d;

		make_inside();
		ns = leak_difference(c, n / DRAWS);
		vault_free(inside.agent.vault);
		d = ns - mean;
		mean += d / i;
		m2 += d * (ns - mean);
	}
	*ret_ns = mean;
	return m2 > 0 ? fabs(mean) / sqrt(m2 / (DRAWS - 1) / DRAWS) : 0;
}

static void report_draws(const char *key, const char *what, const struct leak_case *c, size_t pool)
{
	double t = 0, ns;

	for (int i = 0; i < TRIES; i++) {
		t = measure_draws(c, pool, n_measurements, &ns);
		if (t <= LEAK_BOUND)
			break;
	}
	printf("(%.2f ns)\n", ns);
	report_value(key, what, t, "t", AT_MOST, LEAK_BOUND);
}

static void without_a_socket(void)
{
	struct leak_case shown = { prepare_present, run_present, NULL }, found = { prepare_find, run_find, NULL };
	struct leak_case uneven = { prepare_find, run_find_unevenly, NULL };
	double ns;

	report_draws("present", "what decides of a token: an id that there is none of, and a wrong secret", &shown, POOL);
	report_draws("present.many", "  the same of hundreds", &shown, MANY);
	report_draws("find", "what decides of an id: that there is none of, and another's", &found, POOL);
	report_draws("find.many", "  the same of hundreds", &found, MANY);
	report_value("find.control", "  control: a look-up that ends where it finds",
		     measure_draws(&uneven, MANY, n_measurements, &ns), "t", AT_LEAST, LEAK_BOUND);
}

/* ---- at the socket ---------------------------------------------------------------------------- */

/* Calls of two kinds and the same length; one of them is copied to `out` and sent. */
struct calls {
	int fd;
	size_t pool; /* of each kind, of which each is as likely to be the next */
	size_t n;    /* bytes of each */
	char of[MANY][2][MESSAGE_MAX];
	char out[MESSAGE_MAX];
	char reply[4096];
};

static void prepare_call(void *userdata, bool second)
{
	struct calls *c = userdata;

	take(c->out, c->of[leak_random() % c->pool][0], c->n, MESSAGE_MAX, second);
}

static void run_call(void *userdata)
{
	struct calls *c = userdata;

	if (test_call(c->fd, c->out, c->n, c->reply, sizeof(c->reply)) < 0)
		give_up("the connection was lost");
}

/* The same call `second` or not, with what differs between them. All must be refused with the same error. */
static void add_call(struct calls *c, bool second, size_t i, const char *method, const char *member, const char *value)
{
	int n = snprintf(c->of[i][second], MESSAGE_MAX, "{\"method\":\"io.jeton.Agent.%s\",\"parameters\":{\"%s\":\"%s\"}}",
			 method, member, value);

	if (n < 0 || n >= MESSAGE_MAX || (c->n && c->n != (size_t)n + 1))
		give_up("calls of several lengths");
	c->n = (size_t)n + 1;
}

static void check_calls(struct calls *c, const char *error)
{
	for (size_t i = 0; i < 2 * c->pool; i++) {
		memcpy(c->out, c->of[i / 2][i % 2], c->n);
		run_call(c);
		if (!strstr(c->reply, error))
			give_up("%s where %s was to come", c->reply, error);
	}
}

static void measure_calls(const char *key, const char *what, struct calls *c, const char *error)
{
	struct leak_case leak = { prepare_call, run_call, c };

	check_calls(c, error);
	report_leak(key, what, &leak, n_measurements / 10);
}

static struct calls *calls_new(int fd, size_t pool)
{
	struct calls *c = calloc(1, sizeof(*c));

	if (!c)
		give_up("no memory");
	c->fd = fd;
	c->pool = pool;
	return c;
}

/* A token of this id, or of any, with a secret that nobody has. */
static void make_wrong(const char *id, char ret[static TOKEN_LEN + 1])
{
	uint8_t random[TOKEN_RANDOM_LEN];
	uint64_t number;

	randombytes_buf(random, sizeof(random));
	randombytes_buf(&number, sizeof(number));
	if (id && !token_id_read((struct span){ id, TOKEN_ID_LEN }, &number))
		give_up("no id");
	token_make(number, random, ret);
	ret[TOKEN_LEN] = '\0';
}

/* Who has a wrong secret hears the same of what there is none of, of what is another's and of what is their own. */
static void unknown_and_wrong(int fd, char issued[][68])
{
	struct calls *c = calls_new(fd, POOL), *control = calls_new(fd, POOL);
	struct leak_case leak = { prepare_call, run_call, control };
	char wrong[TOKEN_LEN + 1];

	for (size_t i = 0; i < POOL; i++) {
		make_wrong(NULL, wrong);
		add_call(c, false, i, "Verify", "token", wrong);
		add_call(control, false, i, "Verify", "token", wrong);
		make_wrong(issued[i] + 6, wrong);
		add_call(c, true, i, "Verify", "token", wrong);
		add_call(control, true, i, "Verify", "token", issued[i]);
	}
	measure_calls("verify", "Verify: an id that there is none of, and a wrong secret", c, "InvalidToken");
	/* Fewer would find nothing. */
	report_control("verify.control", "  control: a right secret", &leak,
		       n_measurements / 100 > 10000 ? n_measurements / 100 : 10000);
	free(c);
	free(control);
}

/* ids NULL: there is none. */
static void wrong_secrets(const char *key, const char *what, int fd, size_t pool, char first[][68], char second[][68])
{
	struct calls *c = calls_new(fd, pool);
	char wrong[TOKEN_LEN + 1];

	for (size_t i = 0; i < pool; i++) {
		make_wrong(first ? first[i] + 6 : NULL, wrong);
		add_call(c, false, i, "Verify", "token", wrong);
		make_wrong(second[i] + 6, wrong);
		add_call(c, true, i, "Verify", "token", wrong);
	}
	measure_calls(key, what, c, "InvalidToken");
	free(c);
}

static void unknown_and_foreign(const char *key, const char *what, const char *method, int fd, size_t pool, char issued[][68])
{
	struct calls *c = calls_new(fd, pool);
	char wrong[TOKEN_LEN + 1], id[TOKEN_ID_LEN + 1] = "";

	for (size_t i = 0; i < pool; i++) {
		make_wrong(NULL, wrong);
		memcpy(id, wrong + 6, TOKEN_ID_LEN);
		add_call(c, false, i, method, "id", id);
		memcpy(id, issued[i] + 6, TOKEN_ID_LEN);
		add_call(c, true, i, method, "id", id);
	}
	measure_calls(key, what, c, "NoSuchToken");
	free(c);
}

static void credentials(int own, int fd)
{
	struct calls *c = calls_new(fd, POOL);
	char name[32], parameters[128], reply[4096];

	for (size_t i = 0; i < POOL; i++) {
		snprintf(name, sizeof(name), "there-%04zu", 2 * i);
		snprintf(parameters, sizeof(parameters), "{\"credential\":\"%s\",\"text\":\"x\"}", name);
		if (test_ask(own, "Put", parameters, reply, sizeof(reply)) < 0)
			give_up("Put: %s", reply);
		add_call(c, true, i, "Fetch", "credential", name);
		snprintf(name, sizeof(name), "there-%04zu", 2 * i + 1);
		add_call(c, false, i, "Fetch", "credential", name);
	}
	measure_calls("fetch", "Fetch: what there is none of, and what is for others", c, "NoSuchCredential");
	free(c);
}

/* Everyone reaches acme/..., and there are credentials of which one is handed out, to root. */
static void write_policy(char *dst, size_t size)
{
	size_t n = (size_t)snprintf(dst, size, "[Access]\nUser=*\nScope=acme/**:*\n[Fetch]\nUser=0\nCredential=there-0000\n");

	for (size_t i = 0; i < POOL && n < size; i++)
		n += (size_t)snprintf(dst + n, size - n, "[Credential there-%04zu]\n", 2 * i);
	if (n >= size)
		give_up("too short for the policy");
}

/* As a user who owns nothing there, where this one can be somebody else. */
static int connect_stranger(const struct test_agent *agent)
{
	int fd;

	if (geteuid() != 0)
		return -EPERM;
	if (chmod(agent->dir, 0755) < 0 || chmod(agent->socket, 0666) < 0 || seteuid(STRANGER) < 0)
		give_up("no stranger");
	fd = test_agent_connect(agent);
	if (seteuid(0) < 0 || fd < 0)
		give_up("no connection of a stranger");
	return fd;
}

static void issue(int fd, size_t n, char ret[][68])
{
	for (size_t i = 0; i < n; i++)
		if (test_issue(fd, "nightly-pipeline", "acme/risk:read", 86400, ret[i]) < 0)
			give_up("no token");
}

static void end_all(int fd, size_t n, char issued[][68])
{
	char parameters[128], reply[4096];

	for (size_t i = 0; i < n; i++) {
		snprintf(parameters, sizeof(parameters), "{\"token\":\"%.67s\"}", issued[i]);
		if (test_ask(fd, "Revoke", parameters, reply, sizeof(reply)) < 0)
			give_up("Revoke: %s", reply);
	}
}

static void at_the_socket(void)
{
	static char issued[MANY][68], others[POOL][68], policy[POOL * 32];
	struct test_agent agent;
	int own, fd;

	write_policy(policy, sizeof(policy));
	if (test_agent_init(&agent, &(struct test_agent_options){ .under = bench_tmp(), .policy = policy }) < 0)
		give_up("no agent");
	own = test_agent_connect(&agent);
	issue(own, MANY, issued);
	fd = connect_stranger(&agent);
	if (fd < 0) {
		report_skipped("verify", "at the socket", "run by root this can be somebody else as well");
	} else {
		issue(fd, POOL, others);
		unknown_and_wrong(fd, issued);
		wrong_secrets("verify.many", "  the same of hundreds", fd, MANY, NULL, issued);
		wrong_secrets("verify.own", "Verify: a wrong secret of one's own, and of another's", fd, POOL, others, issued);
		unknown_and_foreign("revoke", "Revoke: an id that there is none of, and another's", "Revoke", fd, POOL, issued);
		unknown_and_foreign("revoke.many", "  the same of hundreds", "Revoke", fd, MANY, issued);
		unknown_and_foreign("rotate", "Rotate: an id that there is none of, and another's", "Rotate", fd, POOL, issued);
		unknown_and_foreign("describe", "Describe: an id that there is none of, and another's", "Describe", fd, POOL,
				    issued);
		end_all(own, POOL, issued);
		unknown_and_foreign("describe.ended", "  the same of what has ended", "Describe", fd, POOL, issued);
		credentials(own, fd);
		close(fd);
	}
	close(own);
	test_agent_done(&agent);
}

int main(void)
{
	const char *asked = getenv("BENCH_MEASUREMENTS");

	if (is_tiny())
		n_measurements = 100000;
	if (asked && (n_measurements = strtoull(asked, NULL, 10)) < 1000)
		give_up("BENCH_MEASUREMENTS is a number of at least 1000");
	pin(0);
	if (sodium_init() < 0)
		give_up("no libsodium");
	make_alone();
	report_leak("hash", "the hash of a secret, wrong in its first byte or its last", &(struct leak_case){ prepare_hash, run_hash, NULL },
		    n_measurements);
	report_control("hash.control", "  control: a comparison that stops where they differ",
		       &(struct leak_case){ prepare_hash, run_memcmp, NULL }, n_measurements / 10);
	report_leak("form", "a token's form, wrong in its first digit or its last", &(struct leak_case){ prepare_form, run_form, NULL },
		    n_measurements);
	vault_free(alone.vault);
	without_a_socket();
	at_the_socket();
	return EXIT_SUCCESS;
}
