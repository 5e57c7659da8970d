/*
 * tests/unit/test-jeton-hostile.c - whatever answers: the library says what it was, and the handle
 * goes on.
 *
 * Each bad answer stands in a script before a good one, and the call that follows must get the good
 * one.
 */
#include "protocol/jeton.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#include "tests/unit/fake-agent.h"
#include "tests/unit/unit.h"

static struct fake_agent fake;
static struct jeton *jeton;

#define GOOD "{\"parameters\":{\"info\":" FAKE_TOKEN "}}"

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

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int describe(void)
{
	const struct jeton_token *token;
	int r = jeton_describe(jeton, "i", &token);

	if (r == 0)
		ck_assert_str_eq(token->id, "0000000000A");
	return r;
}

static int on_token(void *userdata, const struct jeton_token *token)
{
	(void)userdata;
	ck_assert_uint_eq(strlen(token->id), 11);
	return 0;
}

/* ---- malformed answers ---- */

#define BAD(literal)                     \
	{                                \
		literal, sizeof(literal) \
	}

static const struct bad {
	const char *bytes;
	size_t n;
} bads[] = {
	BAD(""), /* a lone NUL */
	BAD("x"),
	BAD("[]"),
	BAD("null"),
	BAD("{"),
	BAD("{}{}"),
	BAD("{\"parameters\":{\"info\":" FAKE_TOKEN "}} x"),
	BAD("{\"parameters\":[]}"),
	BAD("{\"parameters\":\"x\"}"),
	BAD("{\"parameters\":{}}"),
	BAD("{}"),
	BAD("{\"parameters\":{\"info\":null}}"),
	BAD("{\"parameters\":{\"info\":[]}}"),
	BAD("{\"parameters\":{\"info\":{}}}"),
	BAD("{\"parameters\":{\"info\":" FAKE_TOKEN "},\"method\":\"io.jeton.Agent.Describe\"}"),
	BAD("{\"method\":\"io.jeton.Agent.Describe\",\"parameters\":{\"id\":\"i\"}}"),
	BAD("{\"parameters\":{\"info\":" FAKE_TOKEN "},\"continues\":true}"),
	BAD("{\"parameters\":{\"info\":" FAKE_TOKEN "},\"continues\":1}"),
	BAD("{\"parameters\":{\"info\":" FAKE_TOKEN ",\"info\":" FAKE_TOKEN "}}"),
	BAD("{\"parameters\":{\"info\":" FAKE_TOKEN ",\"\\u0069nfo\":" FAKE_TOKEN "}}"),
	BAD("{\"parameters\":{\"info\":" FAKE_TOKEN "},\"error\":1}"),
	BAD("{\"parameters\":{\"x\":\"\\u0000\"}}"),
	BAD("{\"parameters\":{\"x\":\"\xff\"}}"),
	BAD("{\"parameters\":{\"x\":\"\\ud800\"}}"),
	BAD("\xef\xbb\xbf{}"),
	BAD("{\"error\":\"io.jeton.Agent.InvalidToken\",\"continues\":true}"),
	BAD("{\"error\":\"io.jeton.Agent.TokenExpired\"}"),
	BAD("{\"error\":\"io.jeton.Agent.TokenExpired\",\"parameters\":{\"id\":\"x\"}}"),
	BAD("{\"error\":\"io.jeton.Agent.TokenExpired\",\"parameters\":{\"id\":1,\"expiredUSec\":1}"
	    "}"),
	BAD("{\"error\":\"io.jeton.Agent.TokenExpired\",\"parameters\":{\"id\":\"x\","
	    "\"expiredUSec\":\"1\"}}"),
	BAD("{\"error\":\"io.jeton.Agent.TokenExpired\",\"parameters\":{\"id\":\"x\","
	    "\"expiredUSec\":-1}}"),
	BAD("{\"error\":\"io.jeton.Agent.TokenExpired\",\"parameters\":{\"id\":\"x\","
	    "\"expiredUSec\":1e3}}"),
	BAD("{\"error\":\"io.jeton.Agent.LimitReached\",\"parameters\":{\"limit\":\"x\",\"max\":"
	    "9223372036854775808}}"),
	BAD("HTTP/1.1 400 Bad Request\r\n\r\n"),
	BAD("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["),
	BAD("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{"
	    "\"a\":{\"a\":{\"a\":{\"a\":{}"
	    "}}}}}}}}}}}}}}}}"),
};

static void assert_malformed(const char *bytes, size_t n)
{
	const struct fake_step steps[] = {
		{ FAKE_REPLY, bytes, n, 0 },
		{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
		FAKE_ANSWER(GOOD),
		FAKE_STOP,
	};

	begin(steps);
	ck_assert_msg(describe() == -EBADMSG, "taken: %.*s", (int)n, bytes);
	ck_assert_ptr_nonnull(strstr(jeton_error_message(jeton), "no valid answer to Describe"));
	ck_assert_int_eq(describe(), 0);
	end();
}

START_TEST(an_answer_that_is_none_ends_the_connection_and_not_the_handle)
{
	for (size_t i = 0; i < ARRAY_SIZE(bads); i++)
		assert_malformed(bads[i].bytes, bads[i].n);
}
END_TEST

/* A token's fields, each with a right value, what it is, and whether it may be left out. */
static const struct field {
	const char *name;
	const char *right;
	char type; /* s, i, a, w: text, number, list, word */
	bool optional;
} fields[] = {
	{ "id", "\"0000000000A\"", 's', false }, { "name", "\"n\"", 's', false },
	{ "ownerUid", "1", 'i', false },	 { "owner", "\"o\"", 's', true },
	{ "scopes", "[\"a:b\"]", 'a', true },	 { "createdUSec", "1", 'i', false },
	{ "expiresUSec", "1", 'i', false },	 { "lastUsedUSec", "1", 'i', true },
	{ "lastUsedBy", "\"u\"", 's', true },	 { "state", "\"active\"", 'w', false },
	{ "binding", "\"none\"", 'w', false },	 { "usesLeft", "1", 'i', true },
	{ "parent", "\"p\"", 's', true },	 { "replacedBy", "\"r\"", 's', true },
	{ "credential", "\"c\"", 's', true },	 { "issuedTo", "\"i\"", 's', true },
	{ "endedUSec", "1", 'i', true },	 { "ended", "\"owner\"", 'w', true },
};

static const struct {
	const char *json;
	char type; /* of what it would be right for; w is right for s and the other way round */
} values[] = {
	{ NULL, 0 }, /* left out */
	{ "null", 0 },	 { "true", 'b' }, { "\"unheard-of\"", 's' },
	{ "\"\"", 's' }, { "7", 'i' },	  { "-7", 0xf },
	{ "-1", 0xf },	 { "1.0", 0xf },  { "9223372036854775808", 0xf },
	{ "[]", 'a' },	 { "[1]", 0xf },  { "[null]", 0xf },
	{ "[[]]", 0xf }, { "{}", 'o' },
};

static size_t write_token(char *dst, size_t size, size_t changed, const char *value)
{
	size_t n =
		(size_t)snprintf(dst, size, "{\"parameters\":{\"info\":{\"unknown\":{\"x\":[1]}");

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const char *v = i == changed ? value : fields[i].right;

		if (v)
			n += (size_t)snprintf(dst + n, size - n, ",\"%s\":%s", fields[i].name, v);
	}
	return n + (size_t)snprintf(dst + n, size - n, "}}}") + 1;
}

static bool is_right(size_t field, size_t value)
{
	char type = fields[field].type;

	if (values[value].type == 0)
		return fields[field].optional;
	return values[value].type == type || (type == 'w' && values[value].type == 's');
}

START_TEST(each_field_of_a_token_is_held_to_its_type)
{
	for (size_t f = 0; f < ARRAY_SIZE(fields); f++) {
		for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
			char text[1024];
			size_t n = write_token(text, sizeof(text), f, values[v].json);
			const struct fake_step steps[] = { { FAKE_REPLY, text, n, 0 }, FAKE_STOP };
			int r;

			begin(steps);
			r = jeton_describe(jeton, "i", NULL);
			ck_assert_msg(r == (is_right(f, v) ? 0 : -EBADMSG), "%s: %s gives %d",
				      fields[f].name, values[v].json ? values[v].json : "-", r);
			end();
		}
	}
}
END_TEST

START_TEST(words_of_a_newer_agent_are_other)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER(
			"{\"parameters\":{\"info\":{\"id\":\"i\",\"name\":\"n\",\"ownerUid\":0,"
			"\"createdUSec\":1,"
			"\"expiresUSec\":1,\"state\":\"x\",\"binding\":\"y\",\"ended\":\"z\"}}}"),
		FAKE_STOP,
	};
	const struct jeton_token *token;

	begin(steps);
	ck_assert_int_eq(jeton_describe(jeton, "i", &token), 0);
	ck_assert_int_eq(token->state, JETON_STATE_OTHER);
	ck_assert_int_eq(token->binding, JETON_BINDING_OTHER);
	ck_assert_int_eq(token->ended, JETON_END_OTHER);
	end();
}
END_TEST

START_TEST(each_truncation_of_an_answer_is_a_closed_connection)
{
	for (size_t n = 0; n < sizeof(GOOD); n += 7) {
		const struct fake_step steps[] = {
			{ FAKE_REPLY, GOOD, n, 0 },
			{ FAKE_CLOSE, NULL, 0, 0 },
			FAKE_ANSWER(GOOD),
			FAKE_STOP,
		};

		/* What does no harm twice is asked again, and is answered by the second answer alone. */
		begin(steps);
		ck_assert_int_eq(jeton_forget(jeton, "c"), -ECONNRESET);
		ck_assert_int_eq(describe(), 0);
		end();
		begin(steps);
		ck_assert_int_eq(describe(), 0);
		ck_assert_uint_eq(fake.n_connections, 2);
		end();
	}
}
END_TEST

/* Whatever three bytes become, the call ends, and the next one gets its own answer. */
START_TEST(an_answer_with_bytes_changed_at_random_never_wedges)
{
	uint64_t seed = 1;

	for (int round = 0; round < 3000; round++) {
		char text[sizeof(GOOD)];
		const struct fake_step steps[] = {
			{ FAKE_REPLY, text, sizeof(text), 0 },
			{ FAKE_CLOSE, NULL, 0, 0 },
			FAKE_ANSWER(GOOD),
			FAKE_STOP,
		};
		int r;

		memcpy(text, GOOD, sizeof(text));
		for (int i = 0; i < 3; i++) {
			uint64_t x = unit_random(&seed);

			text[x % (sizeof(text) - 1)] ^= (char)(1u << (x >> 32) % 8);
		}
		begin(steps);
		r = jeton_describe(jeton, "i", NULL);
		ck_assert_msg(r == 0 || r == -EBADMSG || r == JETON_ERROR_OTHER, "%d", r);
		ck_assert_int_eq(describe(), 0);
		end();
	}
}
END_TEST

/* ---- sizes ---- */

START_TEST(an_answer_of_128_kib_is_taken_and_one_byte_more_is_not)
{
	size_t max = 128 * 1024;
	char *text = malloc(max + 2);
	const struct fake_step steps[] = {
		{ FAKE_REPLY, text, max + 1, 0 },
		FAKE_ANSWER(GOOD),
		{ FAKE_REPLY, text, max + 2, 0 },
		{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
		FAKE_ANSWER(GOOD),
		FAKE_STOP,
	};

	memset(text, ' ', max + 1);
	memcpy(text, GOOD, sizeof(GOOD) - 1);
	text[max] = '\0';
	begin(steps);
	ck_assert_int_eq(describe(), 0);
	ck_assert_int_eq(describe(), 0);
	text[max] = ' ';
	text[max + 1] = '\0';
	ck_assert_int_eq(describe(), -EBADMSG);
	ck_assert_int_eq(describe(), 0);
	end();
	free(text);
}
END_TEST

START_TEST(a_large_value_is_whole)
{
	size_t n = 48 * 1024, at;
	char *text = malloc(n * 2 + 100);
	const struct jeton_value *value;
	struct fake_step steps[] = { { FAKE_REPLY, text, 0, 0 }, FAKE_STOP };

	at = (size_t)sprintf(text, "{\"parameters\":{\"text\":\"");
	for (size_t i = 0; i < n; i++) {
		text[at++] = '\\';
		text[at++] = 'n';
	}
	steps[0].n = at + (size_t)sprintf(text + at, "\"}}") + 1;
	begin(steps);
	ck_assert_int_eq(jeton_fetch(jeton, "c", JETON_UNSET, &value), 0);
	ck_assert_uint_eq(value->n, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(((const char *)value->bytes)[i], '\n');
	end();
	free(text);
}
END_TEST

/* ---- order ---- */

START_TEST(an_answer_that_nobody_asked_for_is_no_answer_to_the_next_call)
{
	static const struct fake_step together[] = {
		FAKE_ANSWER(GOOD "\0{\"error\":\"io.jeton.Agent.NoSuchToken\"}"),
		{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
		FAKE_ANSWER(GOOD),
		FAKE_STOP,
	};
	static const struct fake_step later[] = {
		FAKE_ANSWER(GOOD),
		{ FAKE_SEND, FAKE_BYTES("{\"error\":\"io.jeton.Agent.NoSuchToken\"}"), 0 },
		{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
		FAKE_ANSWER(GOOD),
		FAKE_STOP,
	};
	const struct fake_step *const scripts[] = { together, later };

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		begin(scripts[i]);
		ck_assert_int_eq(describe(), 0);
		/* All of it lies there. */
		fake_agent_await_step(&fake, i == 0 ? 1 : 2);
		ck_assert_int_eq(describe(), 0);
		ck_assert_uint_eq(fake.n_connections, 2);
		end();
	}
}
END_TEST

#define ITEM "{\"parameters\":{\"info\":" FAKE_TOKEN "},\"continues\":true}\0"

START_TEST(a_list_that_breaks_its_form_ends)
{
	static const struct bad lists[] = {
		BAD("{\"parameters\":{\"info\":null},\"continues\":true}"),
		BAD(ITEM "{\"parameters\":{\"info\":null}}"),
		BAD(ITEM "{\"parameters\":{}}"),
		BAD(ITEM "{\"parameters\":{\"info\":{}}}"),
		BAD(ITEM "x"),
		BAD(ITEM ITEM ""),
		BAD(ITEM "{\"error\":\"io.jeton.Agent.TokenExpired\"}"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const struct fake_step steps[] = {
			{ FAKE_REPLY, lists[i].bytes, lists[i].n, 0 },
			{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
			FAKE_ANSWER(GOOD),
			FAKE_STOP,
		};

		begin(steps);
		ck_assert_int_eq(jeton_list(jeton, NULL, on_token, NULL), -EBADMSG);
		ck_assert_int_eq(describe(), 0);
		end();
	}
}
END_TEST

START_TEST(an_error_in_the_middle_of_a_list_is_its_end)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER(ITEM "{\"error\":\"io.jeton.Agent.AgentLocked\"}"),
		FAKE_ANSWER(GOOD),
		FAKE_STOP,
	};

	begin(steps);
	ck_assert_int_eq(jeton_list(jeton, NULL, on_token, NULL), JETON_ERROR_AGENT_LOCKED);
	ck_assert_int_eq(describe(), 0);
	ck_assert_uint_eq(fake.n_connections, 1);
	end();
}
END_TEST

/* ---- descriptors ---- */

START_TEST(descriptors_that_do_not_belong_are_refused_and_none_leaks)
{
	static const struct fake_step unasked[] = {
		{ FAKE_REPLY, FAKE_BYTES("{\"parameters\":{\"text\":\"x\"}}"), 1 },
		{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
		FAKE_STOP,
	};
	static const struct fake_step two[] = {
		{ FAKE_REPLY, FAKE_BYTES("{\"parameters\":{\"fd\":0}}"), 2 },
		{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
		FAKE_STOP,
	};
	static const struct fake_step wrong_index[] = {
		{ FAKE_REPLY, FAKE_BYTES("{\"parameters\":{\"fd\":1}}"), 1 },
		{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
		FAKE_STOP,
	};
	static const struct fake_step missing[] = {
		FAKE_ANSWER("{\"parameters\":{\"fd\":0}}"),
		{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
		FAKE_STOP,
	};
	static const struct fake_step both[] = {
		{ FAKE_REPLY, FAKE_BYTES("{\"parameters\":{\"fd\":0,\"text\":\"x\"}}"), 1 },
		{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
		FAKE_STOP,
	};
	static const struct fake_step with_error[] = {
		{ FAKE_REPLY, FAKE_BYTES("{\"error\":\"io.jeton.Agent.AgentLocked\"}"), 1 },
		FAKE_STOP,
	};
	const struct {
		const struct fake_step *steps;
		bool as_fd;
		int result;
	} cases[] = {
		{ unasked, false, -EBADMSG },
		{ two, true, -EBADMSG },
		{ wrong_index, true, -EBADMSG },
		{ missing, true, -EBADMSG },
		{ missing, false, -EBADMSG },
		{ both, true, -EBADMSG },
		{ with_error, true, JETON_ERROR_AGENT_LOCKED },
	};
	unsigned before = count_fds();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = -1, r;

		begin(cases[i].steps);
		if (cases[i].as_fd)
			r = jeton_fetch_fd(jeton, "c", JETON_UNSET, &fd, NULL);
		else
			r = jeton_fetch(jeton, "c", JETON_UNSET, NULL);
		ck_assert_msg(r == cases[i].result, "%zu: %d", i, r);
		ck_assert_int_eq(fd, -1);
		end();
		ck_assert_uint_eq(count_fds(), before);
	}
}
END_TEST

START_TEST(a_fetched_value_has_exactly_one_form)
{
	static const struct bad forms[] = {
		BAD("{\"parameters\":{}}"),
		BAD("{\"parameters\":{\"text\":\"x\",\"data\":\"eA==\"}}"),
		BAD("{\"parameters\":{\"data\":\"eA=\"}}"),
		BAD("{\"parameters\":{\"data\":\"eA\"}}"),
		BAD("{\"parameters\":{\"data\":\"eB==\"}}"),
		BAD("{\"parameters\":{\"data\":\"e===\"}}"),
		BAD("{\"parameters\":{\"data\":\"e A=\"}}"),
		BAD("{\"parameters\":{\"data\":\"_-8=\"}}"),
		BAD("{\"parameters\":{\"data\":\"====\"}}"),
		BAD("{\"parameters\":{\"data\":\"eA==eA==\"}}"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		const struct fake_step steps[] = {
			{ FAKE_REPLY, forms[i].bytes, forms[i].n, 0 },
			FAKE_STOP,
		};

		begin(steps);
		ck_assert_msg(jeton_fetch(jeton, "c", JETON_UNSET, NULL) == -EBADMSG, "%s",
			      forms[i].bytes);
		end();
	}
}
END_TEST

UNIT_MAIN("jeton-hostile", an_answer_that_is_none_ends_the_connection_and_not_the_handle,
	  each_field_of_a_token_is_held_to_its_type, words_of_a_newer_agent_are_other,
	  each_truncation_of_an_answer_is_a_closed_connection,
	  an_answer_with_bytes_changed_at_random_never_wedges,
	  an_answer_of_128_kib_is_taken_and_one_byte_more_is_not, a_large_value_is_whole,
	  an_answer_that_nobody_asked_for_is_no_answer_to_the_next_call,
	  a_list_that_breaks_its_form_ends, an_error_in_the_middle_of_a_list_is_its_end,
	  descriptors_that_do_not_belong_are_refused_and_none_leaks,
	  a_fetched_value_has_exactly_one_form)
