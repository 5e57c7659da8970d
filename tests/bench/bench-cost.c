/*
 * tests/bench/bench-cost.c - what each operation costs among a thousand tokens, ten thousand, a hundred thousand and a million, in
 * turn: one client, one call at a time, on one processor. Verify takes tokens at random; what is issued is revoked in the same
 * round; List is of somebody who owns ten.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "tests/bench/fleet.h"
#include "tests/bench/measure.h"

#define ROUND_NS 100000000U
#define LISTED 10

enum { STRANGER = 54321, IDS_MAX = 4096 };

enum operation { VERIFY, FETCH, LIST, ISSUE, REVOKE, OPERATIONS };

static const struct {
	const char *key, *what;
	double to_thousand; /* at most, of a million beside a thousand; 0: nothing is promised */
} operations[OPERATIONS] = {
	[VERIFY] = { "verify", "Verify, at random", 1.3 },
	[FETCH] = { "fetch", "Fetch", 0 },
	[LIST] = { "list", "List of one's own, ten of them", 0 },
	[ISSUE] = { "issue", "Issue, durable", 0 },
	[REVOKE] = { "revoke", "Revoke, durable", 0 },
};

static const char policy[] = "[Access]\nUser=*\nScope=acme/**:*\n[Credential api-key]\n[Fetch]\nCredential=api-key\nUser=*\n";

struct size {
	struct fleet fleet;
	const char *name, *next; /* next: the value that Verify takes next */
	int stranger; /* a connection of who owns ten; -1: this one can be nobody else */
	struct series us[OPERATIONS], to_thousand[OPERATIONS];
};

static char ids[IDS_MAX][12];
static size_t n_ids;

static void verify(struct size *s)
{
	const char *value = s->next ? s->next : fleet_any(&s->fleet);

	/* The next value is fetched while the agent works: how this program finds it is not what is measured. */
	s->next = fleet_any(&s->fleet);
	__builtin_prefetch(s->next);
	__builtin_prefetch(s->next + FLEET_VALUE - 1);
	if (!fleet_verify(s->fleet.fd, value))
		give_up("a token was refused");
}

static void ask(int fd, const char *method, const char *parameters, char reply[static 65536])
{
	if (test_ask(fd, method, parameters, reply, 65536) < 0)
		give_up("%s: %s", method, reply);
}

static void fetch(struct size *s)
{
	char reply[65536];

	ask(s->fleet.fd, "Fetch", "{\"credential\":\"api-key\"}", reply);
}

/* Whether the last reply of many is there: it alone has no "continues":true. */
static bool is_whole(const char *replies, size_t n)
{
	const char *before;

	if (n == 0 || replies[n - 1] != '\0')
		return false;
	before = memrchr(replies, '\0', n - 1);
	return !strstr(before ? before + 1 : replies, "\"continues\":true");
}

static void list(struct size *s)
{
	static const char message[] = "{\"method\":\"io.jeton.Agent.List\",\"parameters\":{},\"more\":true}";
	char replies[65536];
	size_t have = 0, n = 0;

	if (send(s->stranger, message, sizeof(message), MSG_NOSIGNAL) < 0)
		give_up("List: the connection was lost");
	while (!is_whole(replies, have)) {
		ssize_t r = recv(s->stranger, replies + have, sizeof(replies) - have, 0);

		if (r <= 0)
			give_up("List: the connection was lost");
		have += (size_t)r;
	}
	for (size_t i = 0; i < have; i++)
		n += replies[i] == '\0';
	if (n != LISTED)
		give_up("List: %zu replies", n);
}

static void issue(struct size *s)
{
	char reply[65536];
	struct span id;

	ask(s->fleet.fd, "Issue", "{\"name\":\"nightly-pipeline\",\"lifetimeSec\":31536000,\"scopes\":[\"acme/risk:read\"]}", reply);
	id = test_member(reply, "id");
	if (n_ids < IDS_MAX && id.n == sizeof(ids[0]) - 1)
		memcpy(ids[n_ids++], id.p, id.n);
}

static void revoke_one(struct size *s)
{
	char reply[65536], parameters[64];

	snprintf(parameters, sizeof(parameters), "{\"id\":\"%s\"}", ids[--n_ids]);
	ask(s->fleet.fd, "Revoke", parameters, reply);
}

/* Microseconds a call. */
static double round_of(struct size *s, enum operation o)
{
	static void (*const calls[OPERATIONS])(struct size *s) = {
		[VERIFY] = verify, [FETCH] = fetch, [LIST] = list, [ISSUE] = issue, [REVOKE] = revoke_one,
	};
	uint64_t start = now_ns(), now = start;
	unsigned n = 0;

	/* Revoked is what was issued just before, all of it. */
	while (o == REVOKE ? n_ids > 0 : now - start < round_ns(ROUND_NS) && (o != ISSUE || n_ids < IDS_MAX)) {
		calls[o](s);
		n++;
		now = now_ns();
	}
	return (double)(now - start) / n / 1000;
}

static int connect_as(uid_t uid, const struct fleet *f)
{
	int fd;

	if (seteuid(uid) < 0)
		give_up("this process can't be user %u", (unsigned)uid);
	fd = test_agent_connect(&f->agent);
	if (seteuid(0) < 0 || fd < 0)
		give_up("no connection of a stranger: %s", strerror(-fd));
	return fd;
}

/* As a user who owns ten tokens there and nothing else. */
static int connect_stranger(const struct fleet *f)
{
	static const char message[] = "{\"method\":\"io.jeton.Agent.List\",\"parameters\":{},\"more\":true}";
	char token[68], reply[65536];
	int fd;

	if (geteuid() != 0)
		return -1;
	if (chmod(f->agent.dir, 0755) < 0 || chmod(f->agent.socket, 0666) < 0)
		give_up("%s: %s", f->agent.dir, strerror(errno));
	fd = connect_as(STRANGER, f);
	/* The store may be of a run before, which left them. */
	if (test_call(fd, message, sizeof(message), reply, sizeof(reply)) < 0)
		give_up("List fails");
	if (!strstr(reply, "\"info\":null")) {
		close(fd); /* more may come over this one */
		return connect_as(STRANGER, f);
	}
	for (int i = 0; i < LISTED; i++)
		if (test_issue(fd, "nightly-pipeline", "acme/risk:read", 31536000, token) < 0)
			give_up("no token of a stranger");
	return fd;
}

static void open_size(struct size *s, size_t n, const char *name)
{
	char reply[65536];

	s->name = name;
	fleet_start(&s->fleet, n, policy);
	ask(s->fleet.fd, "Put", "{\"credential\":\"api-key\",\"text\":\"sk-0123456789abcdef0123456789abcdef\"}", reply);
	s->stranger = connect_stranger(&s->fleet);
	pin_process(s->fleet.agent.pid, 0);
}

static void report_operation(struct size *sizes, size_t n_sizes, enum operation o)
{
	char key[64], what[96];

	if (sizes[0].us[o].n == 0) {
		report_skipped(operations[o].key, operations[o].what, "run by root this can be somebody else as well");
		return;
	}
	for (size_t i = 0; i < n_sizes; i++) {
		snprintf(key, sizeof(key), "%s.%zu", operations[o].key, i);
		snprintf(what, sizeof(what), "%s, among %s", operations[o].what, sizes[i].name);
		report(key, what, &sizes[i].us[o], "us", NO_BOUND, 0);
	}
	snprintf(key, sizeof(key), "%s.to-thousand", operations[o].key);
	report(key, "  among a million beside a thousand", &sizes[n_sizes - 1].to_thousand[o], "times",
	       operations[o].to_thousand > 0 ? AT_MOST : NO_BOUND, operations[o].to_thousand);
}

int main(void)
{
	static const char *const names[] = { "a thousand", "ten thousand", "a hundred thousand", "a million" };
	const size_t numbers[] = { sized(1000, 100), sized(10000, 200), sized(100000, 1000), sized(1000000, 2000) };
	static struct size sizes[4];

	pin(0);
	for (size_t i = 0; i < 4; i++)
		open_size(&sizes[i], numbers[i], names[i]);
	for (unsigned r = rounds(11); r > 0; r--) {
		for (enum operation o = 0; o < OPERATIONS; o++) {
			for (size_t i = 0; i < 4; i++) {
				/* Each size revokes its own, just after. */
				if (o == REVOKE || (o == LIST && sizes[i].stranger < 0))
					continue;
				series_add(&sizes[i].us[o], round_of(&sizes[i], o));
				if (o == ISSUE)
					series_add(&sizes[i].us[REVOKE], round_of(&sizes[i], REVOKE));
			}
			for (size_t i = 0; i < 4; i++)
				if (sizes[i].us[o].n)
					series_add(&sizes[i].to_thousand[o], sizes[i].us[o].v[sizes[i].us[o].n - 1] /
										     sizes[0].us[o].v[sizes[0].us[o].n - 1]);
		}
	}
	for (enum operation o = 0; o < OPERATIONS; o++)
		report_operation(sizes, 4, o);
	for (size_t i = 0; i < 4; i++)
		fleet_stop(&sizes[i].fleet);
	return EXIT_SUCCESS;
}
