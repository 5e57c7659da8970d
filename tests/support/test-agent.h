/*
 * tests/support/test-agent.h - real agents for tests and measurements in C: each in a directory of its own, on its own
 * socket, run as whoever runs the test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/base/span.h"

struct test_agent {
	char dir[128];	  /* of socket, settings, policies and log; the state too, where no other was named */
	char socket[160];
	char state[160];
	const char *program;
	pid_t pid; /* 0: none runs */
};

struct test_agent_options {
	const char *program; /* jetond; NULL: $JETON_BUILD/jetond, or build/jetond */
	const char *under;   /* the directory to make its own in; NULL: /tmp */
	const char *state;   /* a directory that stays when the agent goes; NULL: its own, which goes with it */
	const char *settings; /* lines of [Agent]; NULL: none */
	const char *policy;   /* a policy file's text; NULL: everyone reaches acme/... */
};

/* Makes the directory, starts the agent in it and waits until it answers. Returns 0 or a negative errno, and says why. */
int test_agent_init(struct test_agent *a, const struct test_agent_options *options);

/* Starts it again, after test_agent_kill() or test_agent_stop(), and waits until it answers. 0 or a negative errno. */
int test_agent_start(struct test_agent *a);

/* Starts the process and waits for nothing. 0 or a negative errno. */
int test_agent_spawn(struct test_agent *a);

/* The same, with a listening socket in its hands as systemd has it. */
int test_agent_spawn_activated(struct test_agent *a, int listening);

/* In a child that is about to execute: its program is passed the listening socket, named "agent". */
void test_agent_pass(int listening);

/* SIGKILL, or SIGTERM; waits for the end. Returns the wait status, or 0 where none ran. */
int test_agent_kill(struct test_agent *a);
int test_agent_stop(struct test_agent *a);

/* Stops it and removes its directory. Harmless twice. */
void test_agent_done(struct test_agent *a);

/* A connection to it. Returns a descriptor or a negative errno. */
int test_agent_connect(const struct test_agent *a);

/* ---- raw calls ------------------------------------------------------------------------------- */

/*
 * Sends a message of n bytes, its NUL among them, and receives until a NUL comes last. Returns the length of what came, less
 * the NUL (which stands in buf), or a negative errno: -ECONNRESET at the end of the stream, -EMSGSIZE where buf is full.
 */
ssize_t test_call(int fd, const char *message, size_t n, char *buf, size_t size);

/*
 * Calls a method of io.jeton.Agent with parameters as JSON text. Returns as test_call(); -EREMOTEIO where the reply is
 * an error, which then stands in buf.
 */
ssize_t test_ask(int fd, const char *method, const char *parameters, char *buf, size_t size);

/* The text of the first member of this name, anywhere in the reply, up to the quote that ends it; absent: none. */
struct span test_member(const char *reply, const char *name);

/* Likewise a number; -1: none. */
int64_t test_member_number(const char *reply, const char *name);

/* Issues a token for `scope`, good for `lifetime_s`; its value of 67 characters and a NUL in ret. 0 or a negative errno. */
int test_issue(int fd, const char *name, const char *scope, unsigned lifetime_s, char ret[static 68]);
