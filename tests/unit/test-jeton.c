/* tests/unit/test-jeton.c - what libjeton asks and what it makes of right answers. */
#include "protocol/jeton.h"

#include <errno.h>
#include <fcntl.h>

#include "protocol/client.h"
#include "tests/unit/fake-agent.h"
#include "tests/unit/unit.h"

static struct fake_agent fake;
static struct jeton *jeton;

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

static void assert_full_token(const struct jeton_token *t)
{
	ck_assert_str_eq(t->id, "0000000000A");
	ck_assert_str_eq(t->name, "deploy \xc3\xa4");
	ck_assert_uint_eq(t->owner_uid, 1000);
	ck_assert_str_eq(t->owner, "ci");
	ck_assert_str_eq(t->scopes[0], "acme/risk:read");
	ck_assert_str_eq(t->scopes[1], "acme/*:run");
	ck_assert_ptr_null(t->scopes[2]);
	ck_assert_int_eq(t->created_us, 1700000000000000);
	ck_assert_int_eq(t->expires_us, 1800000000000000);
	ck_assert_int_eq(t->last_used_us, 1750000000000000);
	ck_assert_str_eq(t->last_used_by, "api.service");
	ck_assert_int_eq(t->state, JETON_STATE_REVOKED);
	ck_assert_int_eq(t->binding, JETON_BINDING_UNIT);
	ck_assert_int_eq(t->uses_left, 3);
	ck_assert_str_eq(t->parent, "0000000000B");
	ck_assert_str_eq(t->replaced_by, "0000000000C");
	ck_assert_str_eq(t->credential, "pipeline");
	ck_assert_str_eq(t->issued_to, "ci.service");
	ck_assert_int_eq(t->ended_us, 1760000000000000);
	ck_assert_int_eq(t->ended, JETON_END_ROTATED);
}

static void assert_bare_token(const struct jeton_token *t)
{
	ck_assert_str_eq(t->id, "0000000000D");
	ck_assert_ptr_null(t->owner);
	ck_assert_ptr_null(t->scopes);
	ck_assert_int_eq(t->last_used_us, JETON_UNSET);
	ck_assert_ptr_null(t->last_used_by);
	ck_assert_int_eq(t->state, JETON_STATE_ACTIVE);
	ck_assert_int_eq(t->binding, JETON_BINDING_NONE);
	ck_assert_int_eq(t->uses_left, JETON_UNSET);
	ck_assert_int_eq(t->ended_us, JETON_UNSET);
	ck_assert_int_eq(t->ended, JETON_END_NOT);
}

static void assert_request(unsigned i, const char *text)
{
	ck_assert_uint_gt(fake.n_requests, i);
	ck_assert_str_eq(fake.requests[i], text);
}

START_TEST(issue_derive_and_rotate_give_a_value_and_its_facts)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER("{\"parameters\":{\"token\":\"" FAKE_VALUE "\",\"info\":" FAKE_TOKEN
			    "}}"),
		FAKE_ANSWER("{\"parameters\":{\"info\":" FAKE_TOKEN_BARE ",\"token\":\"" FAKE_VALUE
			    "\"}}"),
		FAKE_ANSWER("{\"parameters\":{\"token\":\"" FAKE_VALUE "\",\"info\":" FAKE_TOKEN
			    ",\"previous\":" FAKE_TOKEN_BARE "}}"),
		FAKE_ANSWER("{\"parameters\":{\"token\":\"x\",\"info\":" FAKE_TOKEN_BARE "}}"),
		FAKE_STOP,
	};
	const char *const scopes[] = { "a:b", "c/\"d:e", NULL };
	const char *const none[] = { NULL };
	struct jeton_issue issue = JETON_ISSUE_INIT;
	const struct jeton_token *token, *previous;
	const char *value;

	begin(steps);
	issue.name = "n";
	ck_assert_int_eq(jeton_issue(jeton, &issue, &value, &token), 0);
	ck_assert_str_eq(value, FAKE_VALUE);
	assert_full_token(token);
	ck_assert_str_eq(jeton_error_message(jeton), "No error.");

	issue.scopes = scopes;
	issue.lifetime_s = 60;
	issue.uses = 1;
	issue.binding = JETON_BINDING_PROCESS;
	/* What the last call gave may be what this one is asked with. */
	ck_assert_int_eq(jeton_derive(jeton, value, &issue, &value, &token), 0);
	ck_assert_str_eq(value, FAKE_VALUE);
	assert_bare_token(token);

	ck_assert_int_eq(jeton_rotate(jeton, token->id, 0, 7200, &value, &token, &previous), 0);
	assert_full_token(token);
	assert_bare_token(previous);

	issue = (struct jeton_issue)JETON_ISSUE_INIT;
	issue.name = "n";
	issue.scopes = none;
	issue.owner_uid = 0;
	ck_assert_int_eq(jeton_issue(jeton, &issue, NULL, NULL), 0);
	fake_agent_stop(&fake);
	ck_assert_uint_eq(fake.n_connections, 1);
	assert_request(0, "{\"method\":\"io.jeton.Agent.Issue\",\"parameters\":{\"name\":\"n\"}}");
	assert_request(
		1, "{\"method\":\"io.jeton.Agent.Derive\",\"parameters\":{\"token\":\"" FAKE_VALUE
		   "\",\"name\":\"n\",\"lifetimeSec\":60,\"scopes\":[\"a:b\",\"c/\\\"d:e\"],"
		   "\"binding\":\"process\",\"uses\":1}}");
	assert_request(
		2, "{\"method\":\"io.jeton.Agent.Rotate\",\"parameters\":{\"id\":\"0000000000D\","
		   "\"graceSec\":0,\"lifetimeSec\":7200}}");
	assert_request(3, "{\"method\":\"io.jeton.Agent.Issue\",\"parameters\":{\"name\":\"n\","
			  "\"scopes\":[],\"ownerUid\":0}}");
	end();
}
END_TEST

START_TEST(verify_tells_the_token_and_what_it_reaches)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER("{\"parameters\":{\"info\":" FAKE_TOKEN
			    ",\"access\":[\"acme/risk:read\"]}}"),
		FAKE_ANSWER("{\"parameters\":{\"info\":" FAKE_TOKEN_BARE
			    ",\"access\":[]},\"continues\":false}"),
		FAKE_STOP,
	};
	const char *const scopes[] = { "acme/risk:read", NULL };
	const struct jeton_token *token;
	const char *const *access;
	int bearer = open("/dev/null", O_RDONLY | O_CLOEXEC);

	begin(steps);
	ck_assert_int_eq(jeton_verify(jeton, FAKE_VALUE, scopes, -1, &token, &access), 0);
	assert_full_token(token);
	ck_assert_str_eq(access[0], "acme/risk:read");
	ck_assert_ptr_null(access[1]);
	ck_assert_int_eq(jeton_verify(jeton, FAKE_VALUE, NULL, bearer, &token, &access), 0);
	assert_bare_token(token);
	ck_assert_ptr_null(access[0]);
	fake_agent_stop(&fake);
	assert_request(
		0, "{\"method\":\"io.jeton.Agent.Verify\",\"parameters\":{\"token\":\"" FAKE_VALUE
		   "\",\"scopes\":[\"acme/risk:read\"]}}");
	assert_request(
		1, "{\"method\":\"io.jeton.Agent.Verify\",\"parameters\":{\"token\":\"" FAKE_VALUE
		   "\",\"bearer\":0}}");
	ck_assert_uint_eq(fake.n_fds, 1);
	/* It stays the caller's. */
	ck_assert_int_eq(close(bearer), 0);
	end();
}
END_TEST

START_TEST(a_text_that_can_be_no_token_is_refused_without_asking)
{
	static const struct fake_step steps[] = { FAKE_STOP };
	char bad[][8] = { "", " jeton", "jeton\n", "a\x7f", "a\xff", "a\tb", "\xef\xbc\x90" };
	char large[1000];

	memset(large, 'a', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	begin(steps);
	for (size_t i = 0; i <= ARRAY_SIZE(bad); i++) {
		const char *value = i < ARRAY_SIZE(bad) ? bad[i] : large;

		ck_assert_int_eq(jeton_verify(jeton, value, NULL, -1, NULL, NULL),
				 JETON_ERROR_INVALID_TOKEN);
		ck_assert_int_eq(jeton_revoke_value(jeton, value, NULL), JETON_ERROR_INVALID_TOKEN);
		ck_assert_str_eq(jeton_error_info(jeton)->name, "io.jeton.Agent.InvalidToken");
	}
	fake_agent_stop(&fake);
	ck_assert_uint_eq(fake.n_connections, 0);
	end();
}
END_TEST

struct seen {
	unsigned n;
	int stop_after;
};

static int on_token(void *userdata, const struct jeton_token *token)
{
	struct seen *seen = userdata;
	const struct jeton_token *other;

	if (seen->n++ == 0)
		assert_full_token(token);
	else
		assert_bare_token(token);
	/* Nothing else may be asked meanwhile, and what was given stays whole. */
	ck_assert_int_eq(jeton_describe(jeton, token->id, &other), -EBUSY);
	ck_assert_ptr_nonnull(strstr(jeton_error_message(jeton), "in use"));
	ck_assert_uint_eq(strlen(token->id), 11);
	return (int)seen->n == seen->stop_after ? 77 : 0;
}

START_TEST(list_hands_over_each_token)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER("{\"parameters\":{\"info\":" FAKE_TOKEN "},\"continues\":true}"),
		{ FAKE_SEND,
		  FAKE_BYTES("{\"parameters\":{\"info\":" FAKE_TOKEN_BARE "},\"continues\":true}"),
		  0 },
		{ FAKE_SEND, FAKE_BYTES("{\"parameters\":{\"info\":" FAKE_TOKEN_BARE "}}"), 0 },
		FAKE_ANSWER("{\"parameters\":{\"info\":null}}"),
		FAKE_ANSWER("{\"parameters\":{}}"),
		FAKE_ANSWER("{\"parameters\":{\"info\":" FAKE_TOKEN "},\"continues\":true}"),
		{ FAKE_AWAIT_CLOSE, NULL, 0, 0 },
		FAKE_ANSWER("{\"parameters\":{\"info\":" FAKE_TOKEN_BARE "}}"),
		FAKE_STOP,
	};
	struct jeton_filter filter = JETON_FILTER_INIT;
	struct seen seen = { 0 };
	const struct jeton_token *token;

	begin(steps);
	ck_assert_int_eq(jeton_list(jeton, NULL, on_token, &seen), 0);
	ck_assert_uint_eq(seen.n, 3);
	filter.all = true;
	filter.state = JETON_STATE_ACTIVE;
	filter.name = "n";
	filter.owner_uid = 7;
	seen.n = 0;
	ck_assert_int_eq(jeton_list(jeton, &filter, on_token, &seen), 0);
	ck_assert_int_eq(jeton_list(jeton, NULL, on_token, &seen), 0);
	ck_assert_uint_eq(seen.n, 0);
	seen.stop_after = 1;
	ck_assert_int_eq(jeton_list(jeton, NULL, on_token, &seen), 77);
	ck_assert_int_eq(jeton_describe(jeton, "0000000000D", &token), 0);
	assert_bare_token(token);
	fake_agent_stop(&fake);
	assert_request(0, "{\"method\":\"io.jeton.Agent.List\",\"more\":true,\"parameters\":{}}");
	assert_request(
		1,
		"{\"method\":\"io.jeton.Agent.List\",\"more\":true,\"parameters\":{\"ownerUid\":7,"
		"\"all\":true,\"state\":\"active\",\"name\":\"n\"}}");
	ck_assert_uint_eq(fake.n_connections, 2);
	end();
}
END_TEST

START_TEST(describe_and_revoke_tell_the_facts)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER("{\"parameters\":{\"info\":" FAKE_TOKEN "}}"),
		FAKE_ANSWER("{\"parameters\":{\"info\":" FAKE_TOKEN "}}"),
		FAKE_ANSWER("{\"parameters\":{\"info\":" FAKE_TOKEN "}}"),
		FAKE_STOP,
	};
	const struct jeton_token *token;
	struct jeton_token *kept;

	begin(steps);
	ck_assert_int_eq(jeton_describe(jeton, "x", &token), 0);
	kept = jeton_token_dup(token);
	ck_assert_int_eq(jeton_revoke(jeton, "x", NULL), 0);
	ck_assert_int_eq(jeton_revoke_value(jeton, FAKE_VALUE, &token), 0);
	assert_full_token(token);
	assert_full_token(kept);
	jeton_token_free(kept);
	jeton_token_free(NULL);
	fake_agent_stop(&fake);
	assert_request(0, "{\"method\":\"io.jeton.Agent.Describe\",\"parameters\":{\"id\":\"x\"}}");
	assert_request(1, "{\"method\":\"io.jeton.Agent.Revoke\",\"parameters\":{\"id\":\"x\"}}");
	assert_request(
		2, "{\"method\":\"io.jeton.Agent.Revoke\",\"parameters\":{\"token\":\"" FAKE_VALUE
		   "\"}}");
	end();
}
END_TEST

START_TEST(put_sends_text_where_it_can_and_bytes_where_not)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER("{\"parameters\":{\"revision\":1}}"),
		FAKE_ANSWER("{\"parameters\":{\"revision\":2}}"),
		FAKE_ANSWER("{\"parameters\":{\"revision\":3}}"),
		FAKE_ANSWER("{\"parameters\":{\"revision\":4}}"),
		FAKE_ANSWER("{\"parameters\":{\"revision\":5}}"),
		FAKE_ANSWER("{\"parameters\":{\"revision\":6}}"),
		FAKE_ANSWER("{}"),
		FAKE_STOP,
	};
	char controls[48 * 1024];
	int64_t revision;

	memset(controls, '\x01', sizeof(controls));
	begin(steps);
	ck_assert_int_eq(jeton_put(jeton, "c", "a\"b", 3, 0, JETON_UNSET, &revision), 0);
	ck_assert_int_eq(revision, 1);
	ck_assert_int_eq(jeton_put(jeton, "c", "a\0b", 3, 0, 9, NULL), 0);
	ck_assert_int_eq(jeton_put(jeton, "c", "\xff\xfe", 2, 0, JETON_UNSET, NULL), 0);
	ck_assert_int_eq(jeton_put(jeton, "c", "a", 1, JETON_PUT_DATA, JETON_UNSET, NULL), 0);
	ck_assert_int_eq(jeton_put(jeton, "c", "", 0, 0, JETON_UNSET, NULL), 0);
	ck_assert_int_eq(
		jeton_put(jeton, "c", controls, sizeof(controls), 0, JETON_UNSET, &revision), 0);
	ck_assert_int_eq(revision, 6);
	ck_assert_int_eq(jeton_forget(jeton, "c"), 0);
	ck_assert_int_eq(jeton_put(jeton, "c", "a", 1, 64, JETON_UNSET, NULL), -EINVAL);
	ck_assert_int_eq(jeton_put(jeton, "c", NULL, 0, 0, JETON_UNSET, NULL), -EINVAL);
	fake_agent_stop(&fake);
#define PUT "{\"method\":\"io.jeton.Agent.Put\",\"parameters\":{\"credential\":\"c\","
	assert_request(0, PUT "\"text\":\"a\\\"b\"}}");
	assert_request(1, PUT "\"data\":\"YQBi\",\"expiresUSec\":9}}");
	assert_request(2, PUT "\"data\":\"//4=\"}}");
	assert_request(3, PUT "\"data\":\"YQ==\"}}");
	assert_request(4, PUT "\"text\":\"\"}}");
	ck_assert_uint_eq(strlen(fake.requests[5]),
			  strlen(PUT "\"data\":\"\"}}") + sizeof(controls) / 3 * 4);
	assert_request(
		6, "{\"method\":\"io.jeton.Agent.Forget\",\"parameters\":{\"credential\":\"c\"}}");
	end();
}
END_TEST

static int on_credential(void *userdata, const struct jeton_credential *c)
{
	ck_assert_str_eq(c->name, "modulos");
	ck_assert_int_eq(c->kind, JETON_CREDENTIAL_HELD);
	ck_assert_ptr_null(c->description);
	ck_assert_int_eq(c->revision, 2);
	ck_assert_int_eq(c->updated_us, 3);
	ck_assert_int_eq(c->expires_us, JETON_UNSET);
	ck_assert_str_eq(c->last_fetched_by, "u");
	++*(unsigned *)userdata;
	return 0;
}

START_TEST(credentials_are_listed)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER("{\"parameters\":{\"credential\":{\"name\":\"modulos\",\"kind\":"
			    "\"held\",\"revision\":2,"
			    "\"updatedUSec\":3,\"lastFetchedUSec\":4,\"lastFetchedBy\":\"u\"}}}"),
		FAKE_ANSWER("{\"parameters\":{\"credential\":null}}"),
		FAKE_STOP,
	};
	unsigned n = 0;

	begin(steps);
	ck_assert_int_eq(jeton_list_credentials(jeton, on_credential, &n), 0);
	ck_assert_int_eq(jeton_list_credentials(jeton, on_credential, &n), 0);
	ck_assert_uint_eq(n, 1);
	end();
}
END_TEST

START_TEST(fetch_gives_text_bytes_or_a_descriptor)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER("{\"parameters\":{\"text\":\"a\\u0001\\n\\ud83d\\ude00\",\"revision\":"
			    "4,\"expiresUSec\":5}}"),
		FAKE_ANSWER("{\"parameters\":{\"data\":\"AP/+YQ==\"}}"),
		FAKE_ANSWER("{\"parameters\":{\"text\":\"" FAKE_VALUE
			    "\",\"tokenId\":\"0000000000A\"}}"),
		{ FAKE_REPLY, FAKE_BYTES("{\"parameters\":{\"fd\":0,\"revision\":6}}"), 1 },
		{ FAKE_REPLY, FAKE_BYTES("{\"parameters\":{\"fd\":0}}"), 1 },
		FAKE_STOP,
	};
	const struct jeton_value *value;
	int fd = -1;

	begin(steps);
	ck_assert_int_eq(jeton_fetch(jeton, "c", JETON_UNSET, &value), 0);
	ck_assert_str_eq(value->bytes, "a\x01\n\xf0\x9f\x98\x80");
	ck_assert_uint_eq(value->n, 7);
	ck_assert(!value->is_data);
	ck_assert_int_eq(value->revision, 4);
	ck_assert_int_eq(value->expires_us, 5);
	ck_assert_ptr_null(value->token_id);
	ck_assert_int_eq(jeton_fetch(jeton, "c", 60, &value), 0);
	ck_assert(value->is_data);
	ck_assert_uint_eq(value->n, 4);
	ck_assert_mem_eq(value->bytes, "\0\xff\xfe\x61\0", 5);
	ck_assert_int_eq(jeton_fetch(jeton, "c", JETON_UNSET, &value), 0);
	ck_assert_str_eq(value->token_id, "0000000000A");
	ck_assert_int_eq(jeton_fetch_fd(jeton, "c", JETON_UNSET, &fd, &value), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_ptr_null(value->bytes);
	ck_assert_int_eq(value->revision, 6);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(jeton_fetch_fd(jeton, "c", JETON_UNSET, NULL, NULL), 0);
	fake_agent_stop(&fake);
	assert_request(1,
		       "{\"method\":\"io.jeton.Agent.Fetch\",\"parameters\":{\"credential\":\"c\","
		       "\"minLifetimeSec\":60}}");
	assert_request(3,
		       "{\"method\":\"io.jeton.Agent.Fetch\",\"parameters\":{\"credential\":\"c\","
		       "\"asFd\":true}}");
	end();
}
END_TEST

static int on_entry(void *userdata, const struct jeton_audit_entry *e)
{
	ck_assert_int_eq(e->seq, 1);
	ck_assert_str_eq(e->operation, "Verify");
	ck_assert_str_eq(e->result, "TokenRevoked");
	ck_assert_str_eq(e->token, "0000000000A");
	ck_assert_uint_eq(e->peer_uid, UINT32_MAX);
	ck_assert_int_eq(e->peer_pid, JETON_UNSET);
	ck_assert_ptr_null(e->peer_unit);
	++*(unsigned *)userdata;
	return 0;
}

START_TEST(administration_is_whole)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER("{\"parameters\":{\"version\":\"1\",\"state\":\"refusing\",\"memory\":"
			    "\"locked\","
			    "\"lockedBytes\":1,\"lockedLimit\":2,\"tokensActive\":3,"
			    "\"tokensTotal\":4,\"credentials\":5,"
			    "\"connections\":6,\"startedUSec\":7,\"policiesLoadedUSec\":8,"
			    "\"verifiedTotal\":9,"
			    "\"deniedTotal\":10}}"),
		FAKE_ANSWER("{\"parameters\":{\"allowed\":false,\"lines\":[\"a\",\"b\"]}}"),
		FAKE_ANSWER("{\"parameters\":{\"allowed\":null,\"lines\":[]}}"),
		FAKE_ANSWER("{}"),
		FAKE_ANSWER("{\"parameters\":{}}"),
		FAKE_ANSWER("{\"parameters\":null}"),
		FAKE_ANSWER(" { } "),
		{ FAKE_REPLY, FAKE_BYTES("{\"parameters\":{\"fd\":0}}"), 1 },
		FAKE_ANSWER("{\"parameters\":{\"entry\":{\"seq\":1,\"atUSec\":2,\"operation\":"
			    "\"Verify\",\"result\":"
			    "\"TokenRevoked\",\"token\":\"0000000000A\",\"peerUid\":4294967295}}}"),
		FAKE_STOP,
	};
	const struct jeton_status *status;
	const char *const *lines;
	unsigned n = 0;
	int allowed, fd;

	begin(steps);
	ck_assert_int_eq(jeton_get_status(jeton, &status), 0);
	ck_assert_int_eq(status->state, JETON_AGENT_REFUSING);
	ck_assert_int_eq(status->memory, JETON_MEMORY_LOCKED);
	ck_assert_int_eq(status->denied_total, 10);
	ck_assert_int_eq(jeton_explain(jeton, "u", NULL, NULL, "a:b", &allowed, &lines), 0);
	ck_assert_int_eq(allowed, 0);
	ck_assert_str_eq(lines[1], "b");
	ck_assert_int_eq(jeton_explain(jeton, NULL, "x.service", "c", NULL, &allowed, &lines), 0);
	ck_assert_int_eq(allowed, -1);
	ck_assert_ptr_null(lines[0]);
	ck_assert_int_eq(jeton_reload(jeton), 0);
	ck_assert_int_eq(jeton_lock(jeton, "p\x01"), 0);
	ck_assert_int_eq(jeton_unlock(jeton, "p"), 0);
	ck_assert_int_eq(jeton_rekey(jeton), 0);
	ck_assert_int_eq(jeton_backup(jeton, &fd), 0);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(jeton_read_audit(jeton, 5, "0000000000A", on_entry, &n), 0);
	ck_assert_uint_eq(n, 1);
	fake_agent_stop(&fake);
	assert_request(1, "{\"method\":\"io.jeton.Agent.Explain\",\"parameters\":{\"user\":\"u\","
			  "\"scope\":\"a:b\"}}");
	assert_request(4, "{\"method\":\"io.jeton.Agent.Lock\",\"parameters\":{\"passphrase\":"
			  "\"p\\u0001\"}}");
	assert_request(8, "{\"method\":\"io.jeton.Agent.ReadAudit\",\"more\":true,\"parameters\":"
			  "{\"sinceUSec\":5,\"token\":\"0000000000A\"}}");
	end();
}
END_TEST

START_TEST(a_wrong_argument_is_named_and_nothing_is_sent)
{
	static const struct fake_step steps[] = { FAKE_STOP };
	const char *const bad_scopes[] = { "ok", "\xc0\x80", NULL };
	struct jeton_issue issue = { 0 };
	struct jeton_filter filter = { 0 };

	begin(steps);
	issue.name = "n";
	ck_assert_int_eq(jeton_issue(jeton, NULL, NULL, NULL), -EINVAL);
	ck_assert_int_eq(jeton_issue(jeton, &issue, NULL, NULL), -EINVAL);
	ck_assert_ptr_nonnull(strstr(jeton_error_message(jeton), "issue"));
	ck_assert_int_eq(jeton_list(jeton, &filter, on_token, NULL), -EINVAL);
	issue = (struct jeton_issue)JETON_ISSUE_INIT;
	ck_assert_int_eq(jeton_issue(jeton, &issue, NULL, NULL), -EINVAL);
	ck_assert_ptr_nonnull(strstr(jeton_error_message(jeton), "name"));
	issue.name = "\xff";
	ck_assert_int_eq(jeton_issue(jeton, &issue, NULL, NULL), -EINVAL);
	issue.name = "n";
	issue.binding = JETON_BINDING_OTHER;
	ck_assert_int_eq(jeton_derive(jeton, FAKE_VALUE, &issue, NULL, NULL), -EINVAL);
	ck_assert_int_eq(jeton_verify(jeton, FAKE_VALUE, bad_scopes, -1, NULL, NULL), -EINVAL);
	ck_assert_ptr_nonnull(strstr(jeton_error_message(jeton), "scopes"));
	ck_assert_int_eq(jeton_verify(jeton, NULL, NULL, -1, NULL, NULL), -EINVAL);
	ck_assert_int_eq(jeton_describe(jeton, NULL, NULL), -EINVAL);
	ck_assert_int_eq(jeton_fetch(jeton, NULL, 0, NULL), -EINVAL);
	ck_assert_int_eq(jeton_lock(jeton, "\xff"), -EINVAL);
	ck_assert_int_eq(jeton_watch_next(jeton, 0, NULL), -EINVAL);
	fake_agent_stop(&fake);
	ck_assert_uint_eq(fake.n_connections, 0);
	end();
}
END_TEST

START_TEST(what_is_over_a_messages_size_is_not_sent)
{
	static const struct fake_step steps[] = { FAKE_ANSWER("{}"), FAKE_STOP };
	size_t n = 200 * 1024;
	char *large = malloc(n + 1);

	memset(large, 'a', n);
	large[n] = '\0';
	begin(steps);
	ck_assert_int_eq(jeton_describe(jeton, large, NULL), -EMSGSIZE);
	ck_assert_ptr_nonnull(strstr(jeton_error_message(jeton), "128 KiB"));
	ck_assert_int_eq(jeton_put(jeton, "c", large, n, 0, JETON_UNSET, NULL), -EMSGSIZE);
	/* The largest message there may be: 128 KiB and the NUL. */
	n = 128 * 1024 -
	    strlen("{\"method\":\"io.jeton.Agent.Lock\",\"parameters\":{\"passphrase\":\"\"}}");
	large[n] = '\0';
	ck_assert_int_eq(jeton_lock(jeton, large), 0);
	large[n] = 'a';
	ck_assert_int_eq(jeton_lock(jeton, large), -EMSGSIZE);
	fake_agent_stop(&fake);
	ck_assert_uint_eq(strlen(fake.requests[0]), 128 * 1024);
	free(large);
	end();
}
END_TEST

static int on_raw(void *userdata, const struct raw_reply *reply)
{
	char *all = userdata;

	strncat(all, reply->parameters.p, reply->parameters.n);
	strcat(all, reply->continues ? "+" : reply->error.p ? "!" : ".");
	return 0;
}

START_TEST(raw_calls_show_replies_as_they_were_written)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER("{\"parameters\":{ \"x\" : 1.50 },\"continues\":true}\0{}"),
		FAKE_ANSWER("{\"error\":\"a.b.C\",\"parameters\":{\"y\":[]}}"),
		FAKE_ANSWER("{\"parameters\":{\"info\":" FAKE_TOKEN ", \"more\":\"here\"}}"),
		FAKE_STOP,
	};
	char all[256] = "";
	const char *whole = "{\"info\":" FAKE_TOKEN ", \"more\":\"here\"}";
	const struct jeton_token *token;

	begin(steps);
	ck_assert_int_eq(
		jeton_raw_call(jeton, "a.b.D", SPAN("{\"z\":null}"), CALL_MORE, on_raw, all), 0);
	ck_assert_str_eq(all, "{ \"x\" : 1.50 }+{}.");
	*all = '\0';
	ck_assert_int_eq(jeton_raw_call(jeton, "a.b.C", SPAN_NONE, 0, on_raw, all),
			 JETON_ERROR_OTHER);
	ck_assert_str_eq(all, "{\"y\":[]}!");
	ck_assert_str_eq(jeton_error_info(jeton)->name, "a.b.C");
	ck_assert(span_is(jeton_raw_reply(jeton).parameters, "{\"y\":[]}"));
	ck_assert_int_eq(jeton_raw_call(jeton, "a.b.C", SPAN("[]"), 0, on_raw, all), -EINVAL);
	ck_assert_int_eq(jeton_raw_call(jeton, "a.b.C", SPAN("{}\0"), 0, on_raw, all), -EINVAL);
	ck_assert_ptr_null(jeton_raw_reply(jeton).parameters.p);
	ck_assert_int_eq(jeton_describe(jeton, "i", &token), 0);
	ck_assert(span_is(jeton_raw_reply(jeton).parameters, whole));
	fake_agent_stop(&fake);
	assert_request(0, "{\"method\":\"a.b.D\",\"more\":true,\"parameters\":{\"z\":null}}");
	assert_request(1, "{\"method\":\"a.b.C\"}");
	end();
}
END_TEST

START_TEST(enumerations_spell_the_interfaces_words)
{
	ck_assert_str_eq(jeton_state_text(JETON_STATE_REVOKED), "revoked");
	ck_assert_str_eq(jeton_binding_text(JETON_BINDING_PROCESS), "process");
	ck_assert_str_eq(jeton_binding_text(JETON_BINDING_UNSET), "unset");
	ck_assert_str_eq(jeton_end_text(JETON_END_ROTATED), "rotated");
	ck_assert_str_eq(jeton_end_text(JETON_END_OTHER), "other");
	ck_assert_str_eq(jeton_end_text((enum jeton_end)99), "other");
	ck_assert_str_eq(jeton_credential_kind_text(JETON_CREDENTIAL_MINTED), "minted");
	ck_assert_str_eq(jeton_event_kind_text(JETON_EVENT_UNLOCKED), "unlocked");
	ck_assert_str_eq(jeton_agent_state_text(JETON_AGENT_REFUSING), "refusing");
	ck_assert_str_eq(jeton_memory_text(JETON_MEMORY_UNLOCKED), "unlocked");
}
END_TEST

UNIT_MAIN("jeton", issue_derive_and_rotate_give_a_value_and_its_facts,
	  verify_tells_the_token_and_what_it_reaches,
	  a_text_that_can_be_no_token_is_refused_without_asking, list_hands_over_each_token,
	  describe_and_revoke_tell_the_facts, put_sends_text_where_it_can_and_bytes_where_not,
	  credentials_are_listed, fetch_gives_text_bytes_or_a_descriptor, administration_is_whole,
	  a_wrong_argument_is_named_and_nothing_is_sent, what_is_over_a_messages_size_is_not_sent,
	  raw_calls_show_replies_as_they_were_written, enumerations_spell_the_interfaces_words)
