/*
 * tests/unit/test-jeton-handle.c - libjeton's handle: time, restarts, processes, trust, watching,
 * memory.
 */
#include "protocol/jeton.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/fake-agent.h"
#include "tests/unit/unit.h"

static struct fake_agent fake;
static struct jeton *jeton;

#define GOOD "{\"parameters\":{\"info\":" FAKE_TOKEN "}}"
#define VERIFIED "{\"parameters\":{\"info\":" FAKE_TOKEN ",\"access\":[]}}"

static void begin(const struct fake_step steps[])
{
	fake_agent_start(&fake, steps);
	ck_assert_int_eq(jeton_new(fake.path, &jeton), 0);
}

static void end(void)
{
	jeton_free(jeton);
	fake_agent_done(&fake);
}

static int describe(void)
{
	return jeton_describe(jeton, "i", NULL);
}

static int verify(void)
{
	return jeton_verify(jeton, FAKE_VALUE, NULL, -1, NULL, NULL);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the socket ---- */

START_TEST(the_socket_is_chosen_as_the_tool_says)
{
	char path[108], expected[64];

	ck_assert_int_eq(unsetenv("JETON_SOCKET"), 0);
	ck_assert_int_eq(jeton_socket_path(0, path, sizeof(path)), 21);
	ck_assert_str_eq(path, "/run/jeton/agent.sock");
	ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", "/run/user/7", 1), 0);
	ck_assert_int_gt(jeton_socket_path(JETON_SOCKET_USER, path, sizeof(path)), 0);
	ck_assert_str_eq(path, "/run/user/7/jeton/agent.sock");
	ck_assert_int_eq(unsetenv("XDG_RUNTIME_DIR"), 0);
	ck_assert_int_gt(jeton_socket_path(JETON_SOCKET_USER, path, sizeof(path)), 0);
	snprintf(expected, sizeof(expected), "/run/user/%u/jeton/agent.sock", getuid());
	ck_assert_str_eq(path, expected);
	ck_assert_int_eq(setenv("JETON_SOCKET", "/x", 1), 0);
	ck_assert_int_eq(jeton_socket_path(JETON_SOCKET_USER, path, sizeof(path)), 2);
	ck_assert_str_eq(path, "/x");
	ck_assert_int_gt(jeton_socket_path(JETON_SOCKET_NO_ENV, path, sizeof(path)), 2);
	ck_assert_int_eq(jeton_socket_path(0, path, 2), -ENOBUFS);
	ck_assert_int_eq(jeton_socket_path(64, path, sizeof(path)), -EINVAL);
	ck_assert_int_eq(jeton_new(NULL, &jeton), 0);
	ck_assert_str_eq(jeton_path(jeton), "/x");
	jeton_free(jeton);
	ck_assert_int_eq(unsetenv("JETON_SOCKET"), 0);
}
END_TEST

START_TEST(a_path_that_no_socket_can_have_is_refused)
{
	char path[200];

	memset(path, 'x', sizeof(path));
	path[108] = '\0';
	ck_assert_int_eq(jeton_new(path, &jeton), -ENAMETOOLONG);
	path[107] = '\0';
	ck_assert_int_eq(jeton_new(path, &jeton), 0);
	jeton_free(jeton);
	ck_assert_int_eq(jeton_new("", &jeton), -EINVAL);
	jeton_free(NULL);
}
END_TEST

START_TEST(no_agent_is_told_apart_from_one_that_went)
{
	static const struct fake_step steps[] = { FAKE_STOP };

	ck_assert_int_eq(jeton_new("/nonexistent/agent.sock", &jeton), 0);
	ck_assert_int_eq(describe(), -ENOENT);
	ck_assert_ptr_nonnull(
		strstr(jeton_error_message(jeton), "no agent at /nonexistent/agent.sock"));
	ck_assert_int_eq(jeton_error_info(jeton)->code, -ENOENT);
	ck_assert_int_eq(jeton_fd(jeton), -1);
	jeton_free(jeton);

	begin(steps);
	fake_agent_stop(&fake);
	ck_assert_int_eq(jeton_connect(jeton), -ECONNREFUSED);
	ck_assert_ptr_nonnull(strstr(jeton_error_message(jeton), "any more"));
	ck_assert_int_eq(verify(), -ECONNREFUSED);
	end();
}
END_TEST

/*
 * Runs body in a child, as this user (0: the same); its result must be 0. The child ends by a
 * signal, so that nothing looks for leaks of what it has from its parent.
 */
static void in_child_as(uid_t uid, int (*body)(void))
{
	int result[2], r = 99;
	pid_t pid;

	ck_assert_int_eq(pipe2(result, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (!uid || setresuid(uid, uid, uid) == 0)
			r = body();
		if (write(result[1], &r, sizeof(r)) == sizeof(r))
			raise(SIGKILL);
		_exit(1);
	}
	close(result[1]);
	ck_assert_int_eq(read(result[0], &r, sizeof(r)), sizeof(r));
	close(result[0]);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(r, 0);
}

static int cant_connect(void)
{
	struct jeton *own;

	if (jeton_new(fake.path, &own) < 0)
		return 1;
	if (jeton_connect(own) != -EACCES)
		return 2;
	if (!strstr(jeton_error_message(own), "may not connect"))
		return 3;
	jeton_free(own);
	return 0;
}

START_TEST(a_socket_that_one_may_not_connect_to_is_told_apart)
{
	static const struct fake_step steps[] = { FAKE_STOP };

	if (geteuid() != 0)
		return; /* needs root, to be somebody else */
	begin(steps);
	ck_assert_int_eq(chmod(fake.dir, 0700), 0);
	in_child_as(1, cant_connect);
	end();
}
END_TEST

/* ---- time ---- */

START_TEST(an_agent_that_hangs_costs_the_timeout_and_not_the_handle)
{
	static const struct fake_step silent[] = {
		{ FAKE_TAKE, NULL, 0, 0 },
		{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
		FAKE_ANSWER(GOOD),
		FAKE_STOP,
	};
	static const struct fake_step drips[] = {
		{ FAKE_TAKE, NULL, 0, 0 },
		{ FAKE_DRIP, FAKE_BYTES(GOOD), 0 },
		{ FAKE_CLOSE, NULL, 0, 0 },
		FAKE_ANSWER(GOOD),
		FAKE_STOP,
	};
	const struct fake_step *const scripts[] = { silent, drips };

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		int64_t start;

		begin(scripts[i]);
		jeton_set_timeout(jeton, 200);
		start = now_ms();
		ck_assert_int_eq(describe(), -ETIMEDOUT);
		ck_assert_int_ge(now_ms() - start, 199);
		ck_assert_ptr_nonnull(strstr(jeton_error_message(jeton), "within 0.200 s"));
		jeton_set_timeout(jeton, 20 * 1000);
		ck_assert_int_eq(describe(), 0);
		end();
	}
}
END_TEST

START_TEST(an_agent_that_does_not_accept_costs_the_timeout)
{
	static const struct fake_step steps[] = { FAKE_STOP };
	struct jeton *handles[32];
	size_t n = 0;
	int r = 0;

	begin(steps);
	/* Until the queue of the listener is full. */
	for (; r == 0 && n < ARRAY_SIZE(handles); n++) {
		ck_assert_int_eq(jeton_new(fake.path, &handles[n]), 0);
		jeton_set_timeout(handles[n], 100);
		r = jeton_connect(handles[n]);
	}
	ck_assert_int_eq(r, -ETIMEDOUT);
	while (n > 0)
		jeton_free(handles[--n]);
	end();
}
END_TEST

/* ---- restarts ---- */

START_TEST(a_connection_that_died_between_calls_is_made_anew)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER(VERIFIED),	    { FAKE_CLOSE, NULL, 0, 0 }, FAKE_ANSWER(VERIFIED),
		{ FAKE_CLOSE, NULL, 0, 0 }, FAKE_ANSWER(GOOD),		FAKE_STOP,
	};

	begin(steps);
	ck_assert_int_eq(verify(), 0);
	fake_agent_await_step(&fake, 2);
	/* Nothing of it was sent to the dead one, so even this may be asked again. */
	ck_assert_int_eq(verify(), 0);
	fake_agent_await_step(&fake, 4);
	ck_assert_int_eq(describe(), 0);
	ck_assert_uint_eq(fake.n_connections, 3);
	end();
}
END_TEST

#define TAKE_AND_CLOSE { FAKE_TAKE, NULL, 0, 0 }, { FAKE_CLOSE, NULL, 0, 0 }

START_TEST(what_does_no_harm_twice_is_asked_again_and_what_does_is_not)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER(GOOD),
		TAKE_AND_CLOSE, FAKE_ANSWER(GOOD), /* of Describe */
		TAKE_AND_CLOSE, FAKE_ANSWER(VERIFIED), /* of Verify */
		TAKE_AND_CLOSE, FAKE_ANSWER(GOOD), /* of Revoke */
		TAKE_AND_CLOSE, /* of Forget */
		/* of Describe, and that is enough */
		TAKE_AND_CLOSE, TAKE_AND_CLOSE, TAKE_AND_CLOSE, TAKE_AND_CLOSE, TAKE_AND_CLOSE,
		FAKE_ANSWER(GOOD), FAKE_STOP,
	};

	begin(steps);
	ck_assert_int_eq(describe(), 0);
	ck_assert_int_eq(describe(), 0);
	ck_assert_int_eq(verify(), 0);
	ck_assert_int_eq(jeton_revoke(jeton, "i", NULL), 0);
	ck_assert_int_eq(jeton_forget(jeton, "c"), -ECONNRESET);
	ck_assert_ptr_nonnull(strstr(jeton_error_message(jeton), "whether it was done"));
	ck_assert_int_eq(describe(), -ECONNRESET);
	ck_assert_ptr_nonnull(strstr(jeton_error_message(jeton), "Try again"));
	ck_assert_int_eq(describe(), 0);
	fake_agent_stop(&fake);
	ck_assert_uint_eq(fake.n_requests, 14);
	end();
}
END_TEST

START_TEST(what_the_agent_has_not_read_is_asked_again_whatever_it_is)
{
	static const struct fake_step steps[] = {
		{ FAKE_CLOSE, NULL, 0, 0 }, { FAKE_CLOSE, NULL, 0, 0 },
		FAKE_ANSWER("{\"parameters\":{}}"),
		{ FAKE_CLOSE, NULL, 0, 0 }, { FAKE_CLOSE, NULL, 0, 0 },
		FAKE_ANSWER("{\"parameters\":{\"token\":\"" FAKE_VALUE "\",\"info\":" FAKE_TOKEN
			    "}}"),
		FAKE_STOP,
	};
	struct jeton_issue issue = JETON_ISSUE_INIT;
	const char *value;

	begin(steps);
	ck_assert_int_eq(jeton_forget(jeton, "c"), 0);
	issue.name = "n";
	ck_assert_int_eq(jeton_issue(jeton, &issue, &value, NULL), 0);
	ck_assert_str_eq(value, FAKE_VALUE);
	fake_agent_stop(&fake);
	/* Each was taken once, and the token made once. */
	ck_assert_uint_eq(fake.n_requests, 2);
	end();
}
END_TEST

START_TEST(an_agent_that_only_ever_closes_is_not_asked_for_ever)
{
	static const struct fake_step steps[] = {
#define CLOSE_FOUR \
	{ FAKE_CLOSE, NULL, 0, 0 }, { FAKE_CLOSE, NULL, 0, 0 }, { FAKE_CLOSE, NULL, 0, 0 }, \
	{ FAKE_CLOSE, NULL, 0, 0 }
		CLOSE_FOUR, CLOSE_FOUR, { FAKE_CLOSE, NULL, 0, 0 }, FAKE_STOP,
	};

	begin(steps);
	ck_assert_int_eq(describe(), -ECONNRESET);
	ck_assert_uint_eq(fake.n_connections, 9);
	end();
}
END_TEST

static int count_token(void *userdata, const struct jeton_token *token)
{
	(void)token;
	++*(unsigned *)userdata;
	return 0;
}

START_TEST(a_list_that_was_half_seen_is_not_begun_again)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER(GOOD),
		FAKE_ANSWER("{\"parameters\":{\"info\":" FAKE_TOKEN "},\"continues\":true}"),
		{ FAKE_CLOSE, NULL, 0, 0 },
		FAKE_STOP,
	};
	unsigned n = 0;

	begin(steps);
	ck_assert_int_eq(describe(), 0);
	ck_assert_int_eq(jeton_list(jeton, NULL, count_token, &n), -ECONNRESET);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(fake.n_requests, 2);
	end();
}
END_TEST

/* ---- processes ---- */

static int is_refused(void)
{
	const struct jeton_event *event;

	if (describe() != -ECHILD || verify() != -ECHILD || jeton_connect(jeton) != -ECHILD ||
	    jeton_watch_next(jeton, 0, &event) != -ECHILD)
		return 1;
	if (!strstr(jeton_error_message(jeton), "another process"))
		return 2;
	jeton_watch_stop(jeton);
	jeton_free(jeton);
	return 0;
}

START_TEST(a_child_can_not_use_its_parents_handle)
{
	static const struct fake_step steps[] = { FAKE_ANSWER(GOOD), FAKE_ANSWER(GOOD), FAKE_STOP };

	begin(steps);
	ck_assert_int_eq(describe(), 0);
	in_child_as(0, is_refused);
	ck_assert_int_eq(describe(), 0);
	ck_assert_uint_eq(fake.n_connections, 1);
	end();
}
END_TEST

static const char *inherited;

static int is_wiped(void)
{
	for (size_t i = 0; i < JETON_TOKEN_LEN; i++)
		if (inherited[i])
			return 1;
	return 0;
}

START_TEST(a_child_does_not_inherit_a_value)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER("{\"parameters\":{\"token\":\"" FAKE_VALUE "\",\"info\":" FAKE_TOKEN
			    "}}"),
		FAKE_STOP,
	};
	struct jeton_issue issue = JETON_ISSUE_INIT;

	begin(steps);
	issue.name = "n";
	ck_assert_int_eq(jeton_issue(jeton, &issue, &inherited, NULL), 0);
	in_child_as(0, is_wiped);
	ck_assert_str_eq(inherited, FAKE_VALUE);
	end();
}
END_TEST

/* ---- trust ---- */

/* Makes the fake agent's listener anew, as another user; the kernel notes who called listen(). */
static int listen_again(void)
{
	return listen(fake.listener, 16) < 0;
}

START_TEST(a_secret_goes_to_no_stranger)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER("{\"parameters\":{\"info\":" FAKE_TOKEN "}}"),
		FAKE_STOP,
	};
	struct jeton_issue issue = JETON_ISSUE_INIT;
	uint32_t uid;

	if (geteuid() != 0)
		return; /* needs root, to be somebody else */
	begin(steps);
	issue.name = "n";
	in_child_as(1, listen_again);
	ck_assert_int_eq(jeton_agent_uid(jeton, &uid), 0);
	ck_assert_uint_eq(uid, 1);
	ck_assert_int_eq(jeton_agent_trusted(jeton), JETON_ERROR_UNTRUSTED_AGENT);
	ck_assert_int_eq(verify(), JETON_ERROR_UNTRUSTED_AGENT);
	ck_assert_ptr_nonnull(strstr(jeton_error_message(jeton), "served by uid 1,"));
	ck_assert_int_eq(jeton_revoke_value(jeton, FAKE_VALUE, NULL), JETON_ERROR_UNTRUSTED_AGENT);
	ck_assert_int_eq(jeton_derive(jeton, FAKE_VALUE, &issue, NULL, NULL),
			 JETON_ERROR_UNTRUSTED_AGENT);
	ck_assert_int_eq(jeton_put(jeton, "c", "v", 1, 0, JETON_UNSET, NULL),
			 JETON_ERROR_UNTRUSTED_AGENT);
	ck_assert_int_eq(jeton_lock(jeton, "p"), JETON_ERROR_UNTRUSTED_AGENT);
	ck_assert_int_eq(jeton_unlock(jeton, "p"), JETON_ERROR_UNTRUSTED_AGENT);
	/* What carries no secret may still be asked. */
	ck_assert_int_eq(describe(), 0);
	fake_agent_stop(&fake);
	ck_assert_uint_eq(fake.n_requests, 1);
	ck_assert_ptr_nonnull(strstr(fake.requests[0], "Describe"));
	end();
}
END_TEST

START_TEST(ones_own_agent_is_trusted)
{
	static const struct fake_step steps[] = { FAKE_ANSWER(VERIFIED), FAKE_STOP };
	uint32_t uid;

	begin(steps);
	ck_assert_int_eq(jeton_agent_trusted(jeton), 0);
	ck_assert_int_eq(jeton_agent_uid(jeton, &uid), 0);
	ck_assert_uint_eq(uid, geteuid());
	ck_assert_int_eq(verify(), 0);
	end();
}
END_TEST

/* ---- watching ---- */

#define EVENT(seq)                                                                       \
	"{\"parameters\":{\"event\":{\"seq\":" seq ",\"kind\":\"revoked\",\"atUSec\":5," \
	"\"token\":" FAKE_TOKEN "}},\"continues\":true}"
#define STANDS "{\"parameters\":{\"event\":null},\"continues\":true}"

START_TEST(a_watch_gives_events_as_they_come)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER(STANDS "\0" EVENT("8")),
		{ FAKE_SEND, FAKE_BYTES(EVENT("9")), 0 },
		{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
		FAKE_ANSWER(GOOD),
		FAKE_STOP,
	};
	const struct jeton_event *event;

	begin(steps);
	ck_assert_int_eq(jeton_watch_start(jeton, 7), 0);
	ck_assert_int_ge(jeton_fd(jeton), 0);
	for (int64_t seq = 8; seq <= 9; seq++) {
		ck_assert_int_eq(jeton_watch_next(jeton, 5000, &event), 0);
		ck_assert_int_eq(event->seq, seq);
		ck_assert_int_eq(event->kind, JETON_EVENT_REVOKED);
		ck_assert_str_eq(event->token->id, "0000000000A");
		ck_assert_ptr_null(event->credential);
		ck_assert_int_eq(describe(), -EBUSY);
		ck_assert_str_eq(event->token->id, "0000000000A");
	}
	ck_assert_int_eq(jeton_watch_next(jeton, 0, &event), -EAGAIN);
	ck_assert_int_eq(jeton_watch_next(jeton, 30, &event), -EAGAIN);
	ck_assert_int_eq(jeton_watch_start(jeton, 7), -EBUSY);
	jeton_watch_stop(jeton);
	ck_assert_int_eq(jeton_fd(jeton), -1);
	ck_assert_int_eq(describe(), 0);
	fake_agent_stop(&fake);
	ck_assert_str_eq(
		fake.requests[0],
		"{\"method\":\"io.jeton.Agent.Watch\",\"more\":true,\"parameters\":{\"after\":7}}");
	end();
}
END_TEST

START_TEST(a_watch_that_breaks_ends_and_the_handle_goes_on)
{
	static const struct {
		struct fake_step step;
		int start;
		int next;
	} cases[] = {
		{ FAKE_ANSWER("{\"error\":\"io.jeton.Agent.EventsMissed\"}"),
		  JETON_ERROR_EVENTS_MISSED, 0 },
		{ FAKE_ANSWER("{\"parameters\":{\"event\":null}}"), -EBADMSG, 0 },
		{ FAKE_ANSWER(EVENT("8")), -EBADMSG, 0 },
		{ FAKE_ANSWER(STANDS "\0{\"error\":\"io.jeton.Agent.EventsMissed\"}"), 0,
		  JETON_ERROR_EVENTS_MISSED },
		{ FAKE_ANSWER(STANDS "\0" STANDS), 0, -EBADMSG },
		{ FAKE_ANSWER(STANDS "\0{\"parameters\":{\"event\":{}},\"continues\":true}"), 0,
		  -EBADMSG },
		{ FAKE_ANSWER(STANDS "\0{}"), 0, -EBADMSG },
		{ FAKE_ANSWER(STANDS), 0, -ECONNRESET },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct fake_step steps[] = {
			cases[i].step,
			{ FAKE_CLOSE, NULL, 0, 0 },
			FAKE_ANSWER(GOOD),
			FAKE_STOP,
		};
		const struct jeton_event *event;

		begin(steps);
		ck_assert_int_eq(jeton_watch_start(jeton, JETON_UNSET), cases[i].start);
		if (cases[i].start == 0)
			ck_assert_int_eq(jeton_watch_next(jeton, 5000, &event), cases[i].next);
		ck_assert_int_eq(describe(), 0);
		end();
	}
}
END_TEST

UNIT_MAIN("jeton-handle", the_socket_is_chosen_as_the_tool_says,
	  a_path_that_no_socket_can_have_is_refused, no_agent_is_told_apart_from_one_that_went,
	  a_socket_that_one_may_not_connect_to_is_told_apart,
	  an_agent_that_hangs_costs_the_timeout_and_not_the_handle,
	  an_agent_that_does_not_accept_costs_the_timeout,
	  a_connection_that_died_between_calls_is_made_anew,
	  what_does_no_harm_twice_is_asked_again_and_what_does_is_not,
	  what_the_agent_has_not_read_is_asked_again_whatever_it_is,
	  an_agent_that_only_ever_closes_is_not_asked_for_ever,
	  a_list_that_was_half_seen_is_not_begun_again, a_child_can_not_use_its_parents_handle,
	  a_child_does_not_inherit_a_value, a_secret_goes_to_no_stranger, ones_own_agent_is_trusted,
	  a_watch_gives_events_as_they_come, a_watch_that_breaks_ends_and_the_handle_goes_on)
