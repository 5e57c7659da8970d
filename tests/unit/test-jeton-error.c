/* tests/unit/test-jeton-error.c - each error of the agent's, as libjeton tells it. */
#include "protocol/jeton.h"

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

static int describe(void)
{
	return jeton_describe(jeton, "i", NULL);
}

struct error_case {
	const char *name;
	const char *parameters;
	int code;
	const char *in_message;
};

static const struct error_case error_cases[] = {
	{ "io.jeton.Agent.InvalidToken", "{}", JETON_ERROR_INVALID_TOKEN, "copied whole" },
	{ "io.jeton.Agent.TokenExpired",
	  "{\"id\":\"IDIDIDIDIDI\",\"expiredUSec\":1700000000000000}", JETON_ERROR_TOKEN_EXPIRED,
	  "IDIDIDIDIDI expired at 2023-11-1" },
	{ "io.jeton.Agent.TokenRevoked", "{\"id\":\"IDIDIDIDIDI\"}", JETON_ERROR_TOKEN_REVOKED,
	  "IDIDIDIDIDI" },
	{ "io.jeton.Agent.InsufficientScope", "{\"scope\":\"a:b\"}", JETON_ERROR_INSUFFICIENT_SCOPE,
	  "a:b" },
	{ "io.jeton.Agent.WrongBearer", "{\"id\":\"IDIDIDIDIDI\"}", JETON_ERROR_WRONG_BEARER,
	  "IDIDIDIDIDI" },
	{ "io.jeton.Agent.BindingUnavailable", "{\"binding\":\"unit\"}",
	  JETON_ERROR_BINDING_UNAVAILABLE, "no unit" },
	{ "io.jeton.Agent.ScopeExceedsAccess", "{\"scope\":\"a:b\"}",
	  JETON_ERROR_SCOPE_EXCEEDS_ACCESS, "a:b" },
	{ "io.jeton.Agent.LifetimeOutOfRange", "{\"minSec\":3600,\"maxSec\":86400}",
	  JETON_ERROR_LIFETIME_OUT_OF_RANGE, "between 1h and 1d" },
	{ "io.jeton.Agent.NoSuchToken", "{}", JETON_ERROR_NO_SUCH_TOKEN, "no token" },
	{ "io.jeton.Agent.NoSuchCredential", "{\"credential\":\"c\"}",
	  JETON_ERROR_NO_SUCH_CREDENTIAL, "credential c " },
	{ "io.jeton.Agent.CredentialExpired", "{\"credential\":\"c\",\"expiredUSec\":0}",
	  JETON_ERROR_CREDENTIAL_EXPIRED, "credential c expired" },
	{ "io.jeton.Agent.CredentialEmpty", "{\"credential\":\"c\"}", JETON_ERROR_CREDENTIAL_EMPTY,
	  "credential c " },
	{ "io.jeton.Agent.LimitReached", "{\"limit\":\"MaxTokensPerUser\",\"max\":1000}",
	  JETON_ERROR_LIMIT_REACHED, "MaxTokensPerUser of 1000" },
	{ "io.jeton.Agent.EventsMissed", "{}", JETON_ERROR_EVENTS_MISSED, "missed" },
	{ "io.jeton.Agent.AgentLocked", "{}", JETON_ERROR_AGENT_LOCKED, "locked" },
	{ "io.jeton.Agent.NotLocked", "{}", JETON_ERROR_NOT_LOCKED, "not locked" },
	{ "io.jeton.Agent.WrongPassphrase", "{\"retryAfterSec\":5}", JETON_ERROR_WRONG_PASSPHRASE,
	  "in 5s" },
	{ "io.jeton.Agent.StoreFailed", "{}", JETON_ERROR_STORE_FAILED, "disk" },
	{ "io.jeton.Agent.PolicyInvalid",
	  "{\"file\":\"/p/a.policy\",\"line\":7,\"message\":\"no such key\"}",
	  JETON_ERROR_POLICY_INVALID, "/p/a.policy:7: no such key" },
	{ "io.jeton.Agent.PolicyInvalid",
	  "{\"file\":\"/p/b.policy\",\"line\":0,\"message\":\"not yours\"}",
	  JETON_ERROR_POLICY_INVALID, "/p/b.policy: not yours" },
	{ "org.varlink.service.MethodNotFound", "{\"method\":\"a.b.C\"}",
	  JETON_ERROR_METHOD_NOT_FOUND, "a.b.C" },
	{ "org.varlink.service.InterfaceNotFound", "{\"interface\":\"a.b\"}",
	  JETON_ERROR_INTERFACE_NOT_FOUND, "a.b" },
	{ "org.varlink.service.MethodNotImplemented", "{\"method\":\"a.b.C\"}",
	  JETON_ERROR_METHOD_NOT_IMPLEMENTED, "a.b.C" },
	{ "org.varlink.service.InvalidParameter", "{\"parameter\":\"uses\"}",
	  JETON_ERROR_INVALID_PARAMETER, "uses" },
	{ "org.varlink.service.PermissionDenied", "{}", JETON_ERROR_PERMISSION_DENIED,
	  "administrators" },
	{ "org.varlink.service.ExpectedMore", "{}", JETON_ERROR_EXPECTED_MORE, "several" },
	{ "io.jeton.Agent.Newer", "{\"line\":\"not a number here\"}", JETON_ERROR_OTHER,
	  "io.jeton.Agent.Newer" },
	{ "", "{}", JETON_ERROR_OTHER, "answered ," },
	{ "x\\u001b[2J\\u202e", "{}", JETON_ERROR_OTHER, "x?[2J???" },
};

START_TEST(every_error_is_told_with_what_it_brings)
{
	for (size_t i = 0; i < ARRAY_SIZE(error_cases); i++) {
		const struct error_case *c = &error_cases[i];
		char text[512];
		int n = snprintf(text, sizeof(text), "{\"error\":\"%s\",\"parameters\":%s}",
				 c->name, c->parameters);
		const struct fake_step steps[] = {
			{ FAKE_REPLY, text, (size_t)n + 1, 0 },
			FAKE_ANSWER(GOOD),
			FAKE_STOP,
		};

		begin(steps);
		ck_assert_int_eq(describe(), c->code);
		ck_assert_int_eq(jeton_error_info(jeton)->code, c->code);
		if (!strchr(c->name, '\\'))
			ck_assert_str_eq(jeton_error_info(jeton)->name, c->name);
		ck_assert_msg(strstr(jeton_error_message(jeton), c->in_message), "%s: %s", c->name,
			      jeton_error_message(jeton));
		ck_assert_ptr_null(strchr(jeton_error_message(jeton), '{'));
		/* An error is an answer like any: the connection goes on. */
		ck_assert_int_eq(describe(), 0);
		ck_assert_ptr_null(jeton_error_info(jeton)->name);
		ck_assert_uint_eq(fake.n_connections, 1);
		end();
	}
}
END_TEST

START_TEST(an_errors_details_can_be_had_one_by_one)
{
	static const struct fake_step steps[] = {
		FAKE_ANSWER("{\"error\":\"io.jeton.Agent.PolicyInvalid\",\"parameters\":{\"file\":"
			    "\"f\\u001b\",\"line\":7,"
			    "\"message\":\"m\"}}"),
		FAKE_ANSWER("{\"error\":\"io.jeton.Agent.LifetimeOutOfRange\",\"parameters\":{"
			    "\"minSec\":60,\"maxSec\":61}}"),
		FAKE_STOP,
	};
	const struct jeton_error_info *info;

	begin(steps);
	info = jeton_error_info(jeton);
	ck_assert_int_eq(describe(), JETON_ERROR_POLICY_INVALID);
	ck_assert_str_eq(info->file, "f\x1b");
	ck_assert_int_eq(info->line, 7);
	ck_assert_str_eq(info->text, "m");
	ck_assert_ptr_null(info->id);
	ck_assert_int_eq(info->max, JETON_UNSET);
	/* The text is as the agent said it; the sentence for people steers no terminal. */
	ck_assert_ptr_nonnull(strstr(jeton_error_message(jeton), " f?:7: m"));
	ck_assert_int_eq(describe(), JETON_ERROR_LIFETIME_OUT_OF_RANGE);
	ck_assert_int_eq(info->min_s, 60);
	ck_assert_int_eq(info->max_s, 61);
	ck_assert_ptr_null(info->file);
	end();
}
END_TEST

UNIT_MAIN("jeton-error", every_error_is_told_with_what_it_brings,
	  an_errors_details_can_be_had_one_by_one)
