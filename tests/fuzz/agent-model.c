/*
 * tests/fuzz/agent-model.c - see agent-model.h. What a user has by which policies is a table here,
 * worked out by hand from the texts in agent-world.c, and patterns are matched by a few lines of
 * its own: the agent's decisions are not held against themselves.
 */
#include "tests/fuzz/agent-model.h"

#include "tests/fuzz/fuzz.h"

const char *const scopes_known[SCOPES_KNOWN] = {
	"acme/risk:read", "acme/risk:write", "acme/pipeline:run", "acme/pipeline:read",
	"acme/a/b:read",  "other/x:read",    "acme:read",	  "other/x:write",
};

#define AGENT "io.jeton.Agent."

const struct method_facts methods[METHODS] = {
	[METHOD_ISSUE] = { AGENT "Issue", false, true, false, false, " token " },
	[METHOD_DERIVE] = { AGENT "Derive", false, true, false, false, " token " },
	[METHOD_VERIFY] = { AGENT "Verify", false, false, false, false, " info " },
	[METHOD_LIST] = { AGENT "List", true, false, false, false, " info " },
	[METHOD_DESCRIBE] = { AGENT "Describe", false, false, false, false, " info " },
	[METHOD_REVOKE] = { AGENT "Revoke", false, false, false, true, " info " },
	[METHOD_ROTATE] = { AGENT "Rotate", false, true, false, false, " token " },
	[METHOD_PUT] = { AGENT "Put", false, false, true, false, " revision " },
	[METHOD_FORGET] = { AGENT "Forget", false, false, true, false, "  " },
	[METHOD_LIST_CREDENTIALS] = { AGENT "ListCredentials", true, false, false, false,
				      " credential " },
	[METHOD_FETCH] = { AGENT "Fetch", false, true, false, false, " text data fd " },
	[METHOD_WATCH] = { AGENT "Watch", true, false, false, false, "  event " },
	[METHOD_STATUS] = { AGENT "GetStatus", false, false, false, true, " version " },
	[METHOD_EXPLAIN] = { AGENT "Explain", false, false, false, false, " allowed lines " },
	[METHOD_RELOAD] = { AGENT "Reload", false, false, true, false, "  " },
	[METHOD_LOCK] = { AGENT "Lock", false, false, true, false, "  " },
	[METHOD_UNLOCK] = { AGENT "Unlock", false, false, true, true, "  " },
	[METHOD_REKEY] = { AGENT "Rekey", false, false, true, false, "  " },
	[METHOD_BACKUP] = { AGENT "Backup", false, true, true, false, " fd " },
	[METHOD_AUDIT] = { AGENT "ReadAudit", true, false, true, false, " entry " },
	[METHOD_INFO] = { "org.varlink.service.GetInfo", false, false, false, true, " vendor " },
	[METHOD_INTERFACE] = { "org.varlink.service.GetInterfaceDescription", false, false, false,
			       true, " description " },
};

/* Who reaches what by which policies: bits of scopes_known. */
static const struct reach {
	uid_t uid;
	unsigned scopes[3]; /* by POLICY_SOME, _LITTLE, _ALL */
} reaches[] = {
	{ UID_ALICE, { 0x09, 0x01, ALL_SCOPES } }, { UID_BOB, { 0x5f, 0, ALL_SCOPES } },
	{ UID_CI, { 0x05, 0x01, ALL_SCOPES } },	   { UID_CAROL, { 0x20, 0, ALL_SCOPES } },
	{ UID_SERVICE, { 0xa0, 0, ALL_SCOPES } },
};

/* What the interface has errors for. */
static const char *const errors[] = {
	AGENT "InvalidToken",
	AGENT "TokenExpired",
	AGENT "TokenRevoked",
	AGENT "InsufficientScope",
	AGENT "WrongBearer",
	AGENT "BindingUnavailable",
	AGENT "ScopeExceedsAccess",
	AGENT "LifetimeOutOfRange",
	AGENT "NoSuchToken",
	AGENT "NoSuchCredential",
	AGENT "CredentialExpired",
	AGENT "CredentialEmpty",
	AGENT "LimitReached",
	AGENT "EventsMissed",
	AGENT "AgentLocked",
	AGENT "NotLocked",
	AGENT "WrongPassphrase",
	AGENT "StoreFailed",
	AGENT "PolicyInvalid",
	"org.varlink.service.MethodNotFound",
	"org.varlink.service.InterfaceNotFound",
	"org.varlink.service.InvalidParameter",
	"org.varlink.service.PermissionDenied",
	"org.varlink.service.ExpectedMore",
};

/* ---- scopes ---------------------------------------------------------------------------------- */

static struct span cut(struct span *rest, char at)
{
	const char *end = rest->n ? memchr(rest->p, at, rest->n) : NULL;
	struct span first = { rest->p, end ? (size_t)(end - rest->p) : rest->n };

	rest->p += first.n + (end ? 1 : 0);
	rest->n -= first.n + (end ? 1 : 0);
	return first;
}

static bool stands_for(struct span pattern, struct span plain)
{
	struct span path = cut(&pattern, ':'), names = cut(&plain, ':');

	while (path.n > 0) {
		struct span wanted = cut(&path, '/'), name;

		if (span_is(wanted, "**"))
			return span_is(pattern, "*") || span_equal(pattern, plain);
		if (names.n == 0)
			return false;
		name = cut(&names, '/');
		if (!span_is(wanted, "*") && !span_equal(wanted, name))
			return false;
	}
	return names.n == 0 && (span_is(pattern, "*") || span_equal(pattern, plain));
}

static unsigned bits_of(struct span pattern)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < SCOPES_KNOWN; i++)
		if (stands_for(pattern, span_of(scopes_known[i])))
			bits |= 1U << i;
	return bits;
}

/* Of a list of patterns; null: all. */
static unsigned bits_of_list(struct json_value list)
{
	struct json_iter it;
	struct json_value element;
	unsigned bits = 0;

	if (list.type == JSON_NULL)
		return ALL_SCOPES;
	FUZZ_HOLDS(list.type == JSON_ARRAY);
	it = json_iter(list);
	while (json_next_element(&it, &element)) {
		FUZZ_HOLDS(element.type == JSON_STRING);
		bits |= bits_of((struct span){ element.raw.p + 1, element.raw.n - 2 });
	}
	return bits;
}

/* What the user reaches by any of these policies. */
static unsigned reach_of(uid_t uid, unsigned policies)
{
	unsigned bits = 0;

	if (policies & 1U << POLICY_ALL)
		bits = ALL_SCOPES;
	for (size_t i = 0; i < ARRAY_SIZE(reaches); i++)
		for (unsigned p = 0; p < POLICY_WRONG; p++)
			if (reaches[i].uid == uid && policies & 1U << p)
				bits |= reaches[i].scopes[p];
	return bits;
}

/* ---- what is in a reply ---------------------------------------------------------------------- */

static struct json_value member(struct json_value object, const char *name)
{
	struct json_value value;

	FUZZ_HOLDS(object.type == JSON_OBJECT && json_member(object, name, &value));
	return value;
}

static struct span text(struct json_value string)
{
	FUZZ_HOLDS(string.type == JSON_STRING);
	return (struct span){ string.raw.p + 1, string.raw.n - 2 };
}

static uint64_t number(struct json_value value)
{
	int64_t n;

	FUZZ_HOLDS(value.type == JSON_NUMBER && json_int(value, &n) == 0 && n >= 0);
	return (uint64_t)n;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

int model_find(const struct model *m, struct span id)
{
	for (size_t i = 0; i < m->n_tokens; i++)
		if (span_is(id, m->tokens[i].id))
			return (int)i;
	return NO_TOKEN;
}

static void copy(char *to, size_t size, struct span s)
{
	FUZZ_HOLDS(s.n == size - 1);
	memcpy(to, s.p, s.n);
	to[s.n] = '\0';
}

/* What a reply says of a token that it gives out. */
static void learn(struct model *m, const struct asked *asked, enum whom who,
		  struct json_value params)
{
	struct json_value info = member(params, "info"), parent = member(info, "parent");
	struct known_token *t;
	struct span id = text(member(info, "id"));
	unsigned scopes = bits_of_list(member(info, "scopes"));
	uid_t owner = (uid_t)number(member(info, "ownerUid"));

	FUZZ_HOLDS(model_find(m, id) == NO_TOKEN);
	if (m->n_tokens == TOKENS_MAX)
		return;
	t = &m->tokens[m->n_tokens];
	*t = (struct known_token){
		.owner = owner,
		.scopes = scopes,
		.expires_us = number(member(info, "expiresUSec")),
		.parent = parent.type == JSON_NULL ? NO_TOKEN : model_find(m, text(parent)),
		.replaces = NO_TOKEN,
		.bound = !span_is(text(member(info, "binding")), "none"),
		.limited = member(info, "usesLeft").type != JSON_NULL,
	};
	copy(t->value, sizeof(t->value), text(member(params, "token")));
	copy(t->id, sizeof(t->id), id);
	if (asked->method == METHOD_ISSUE) {
		FUZZ_HOLDS(owner == whoms[who].uid || (asked->has_owner && whoms[who].is_admin));
		FUZZ_HOLDS(!whoms[who].elsewhere);
		/* One of no scopes goes by what its owner has when it is used. */
		if (member(info, "scopes").type != JSON_NULL)
			FUZZ_HOLDS(!(scopes & ~reach_of(owner, asked->policies)));
	} else if (t->parent != NO_TOKEN) {
		FUZZ_HOLDS(!(scopes & ~m->tokens[t->parent].scopes));
		FUZZ_HOLDS(owner == m->tokens[t->parent].owner);
		FUZZ_HOLDS(t->expires_us <= m->tokens[t->parent].expires_us);
	}
	m->n_tokens++;
}

/* What a Rotate says of the token of before. */
static void take_previous(struct model *m, struct json_value info, struct json_value new_info)
{
	int i = model_find(m, text(member(info, "id")));
	int by = model_find(m, text(member(new_info, "id")));
	uint64_t expires_us = number(member(info, "expiresUSec"));

	if (i == NO_TOKEN)
		return;
	if (by != NO_TOKEN) {
		m->tokens[by].replaces = i;
		m->tokens[by].may_have_ended |= m->tokens[i].n_rotations > 1;
	}
	if (expires_us < m->tokens[i].expires_us)
		m->tokens[i].expires_us = expires_us;
	if (span_is(text(member(info, "state")), "revoked"))
		m->tokens[i].revoked = true;
}

static bool is_revoked(const struct model *m, int i)
{
	for (; i != NO_TOKEN; i = m->tokens[i].parent)
		if (m->tokens[i].revoked)
			return true;
	return false;
}

/* Nobody has done anything to end it or any that it was derived from. */
static bool is_sound(const struct model *m, int i)
{
	for (; i != NO_TOKEN; i = m->tokens[i].parent)
		if (m->tokens[i].may_have_ended || m->tokens[i].revoked || m->tokens[i].bound ||
		    m->tokens[i].limited)
			return false;
	return true;
}

void model_is_to_end(struct model *m, int token)
{
	m->tokens[token].may_have_ended = true;
}

void model_is_to_rotate(struct model *m, int token)
{
	m->tokens[token].may_have_ended = true;
	m->tokens[token].n_rotations++;
	for (size_t i = 0; i < m->n_tokens; i++)
		if (m->tokens[i].replaces == token)
			m->tokens[i].may_have_ended = true;
}

void model_doubts(struct model *m)
{
	for (size_t i = 0; i < m->n_tokens; i++)
		m->tokens[i].may_have_ended = true;
}

/* ---- calls ----------------------------------------------------------------------------------- */

void model_asks(const struct model *m, struct asked *asked)
{
	enum policies policies = world_policies(m->world);
	int i = asked->token;

	asked->at_us = world_now();
	asked->policies = 1U << policies;
	asked->was_revoked = is_revoked(m, i);
	asked->was_locked = m->world->agent->locked;
	asked->must_be_good = asked->method == METHOD_VERIFY && i != NO_TOKEN && is_sound(m, i) &&
			      asked->at_us < m->tokens[i].expires_us && !asked->was_locked &&
			      (policies == POLICY_SOME || policies == POLICY_ALL);
}

void model_notes(const struct model *m, struct asked *asked)
{
	asked->policies |= 1U << world_policies(m->world);
	asked->was_locked &= m->world->agent->locked;
	asked->must_be_good &= !m->world->agent->locked && asked->token != NO_TOKEN &&
			       is_sound(m, asked->token) &&
			       world_now() < m->tokens[asked->token].expires_us &&
			       !(asked->policies & (1U << POLICY_LITTLE | 1U << POLICY_WRONG));
}

/* ---- what must hold -------------------------------------------------------------------------- */

static void check_verified(const struct model *m, const struct asked *asked,
			   struct json_value params)
{
	struct span id = text(member(member(params, "info"), "id"));
	unsigned access = bits_of_list(member(params, "access"));
	const struct known_token *t;
	int i = model_find(m, id);

	/* One that nobody was told of can't be presented, but where there are too many to know. */
	if (i == NO_TOKEN) {
		FUZZ_HOLDS(asked->token == NO_TOKEN && m->n_tokens == TOKENS_MAX);
		return;
	}
	t = &m->tokens[i];
	FUZZ_HOLDS(asked->token == i);
	FUZZ_HOLDS(!asked->was_revoked);
	/* A token does not outlive that which it was derived from. */
	for (; i != NO_TOKEN; i = m->tokens[i].parent)
		FUZZ_HOLDS(asked->at_us < m->tokens[i].expires_us);
	FUZZ_HOLDS(!(access & ~t->scopes));
	FUZZ_HOLDS(!(access & ~reach_of(t->owner, asked->policies)));
	FUZZ_HOLDS(!(asked->scopes & ~(t->scopes & reach_of(t->owner, asked->policies))));
}

/* Facts of a token are its owner's, and administrators'. */
static void check_may_see(enum whom who, struct json_value info)
{
	if (info.type == JSON_NULL || whoms[who].is_admin)
		return;
	FUZZ_HOLDS(!whoms[who].elsewhere && who != UNMAPPED);
	FUZZ_HOLDS(number(member(info, "ownerUid")) == whoms[who].uid);
}

static void check_event(enum whom who, struct json_value params)
{
	struct json_value event, token;

	if (!json_member(params, "event", &event) || event.type == JSON_NULL)
		return;
	if (json_member(event, "token", &token))
		check_may_see(who, token);
}

static void check_revoked(struct model *m, enum whom who, const struct asked *asked,
			  struct json_value params)
{
	struct json_value info = member(params, "info");
	int i = model_find(m, text(member(info, "id")));

	FUZZ_HOLDS(!span_is(text(member(info, "state")), "active"));
	if (i == NO_TOKEN)
		return;
	/* By its value, or by whoever it belongs to. */
	if (asked->token != i)
		check_may_see(who, info);
	m->tokens[i].revoked = true;
}

/* Whether a credential may be this peer's by any of these policies, as worked out by hand. */
static bool may_fetch(enum whom who, unsigned policies)
{
	if (who == UNMAPPED)
		return false;
	if (policies & 1U << POLICY_ALL && !whoms[who].elsewhere)
		return true;
	if (policies & 1U << POLICY_LITTLE && who == BOB)
		return true;
	return policies & 1U << POLICY_SOME && (who == ALICE || who == CRON || who == SERVICE);
}

static void check_good(struct model *m, enum whom who, const struct asked *asked,
		       struct json_value params)
{
	FUZZ_HOLDS(!methods[asked->method].administrators || whoms[who].is_admin);
	FUZZ_HOLDS(!asked->was_locked || methods[asked->method].when_locked);
	switch (asked->method) {
	case METHOD_ISSUE:
	case METHOD_DERIVE:
		learn(m, asked, who, params);
		break;
	case METHOD_ROTATE:
		check_may_see(who, member(params, "info"));
		learn(m, asked, who, params);
		take_previous(m, member(params, "previous"), member(params, "info"));
		break;
	case METHOD_VERIFY:
		check_verified(m, asked, params);
		break;
	case METHOD_LIST:
	case METHOD_DESCRIBE:
		check_may_see(who, member(params, "info"));
		break;
	case METHOD_REVOKE:
		check_revoked(m, who, asked, params);
		break;
	case METHOD_WATCH:
		check_event(who, params);
		break;
	case METHOD_FETCH:
		FUZZ_HOLDS(may_fetch(who, asked->policies));
		break;
	default:
		break;
	}
}

/* The first member tells to which method it is a reply: so replies come in the order of calls. */
static void check_fits(const struct asked *asked, struct json_value params)
{
	struct json_iter it = json_iter(params);
	struct json_value key, value;
	char name[64] = "  ";

	if (json_next_member(&it, &key, &value))
		snprintf(name, sizeof(name), " %.*s ", (int)text(key).n, text(key).p);
	FUZZ_HOLDS(strstr(methods[asked->method].members, name));
}

static void check_error(const struct asked *asked, struct json_value error)
{
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		known |= span_is(text(error), errors[i]);
	FUZZ_HOLDS(known);
	if (!asked || !asked->must_be_good)
		return;
	/*
	 * What was acknowledged is there; whether it reaches what is asked for is another matter,
	 * and so is whether there was room for who asked.
	 */
	FUZZ_HOLDS(span_is(text(error), AGENT "InsufficientScope") ||
		   span_is(text(error), AGENT "LimitReached") ||
		   span_is(text(error), "org.varlink.service.InvalidParameter") ||
		   span_is(text(error), "org.varlink.service.PermissionDenied"));
}

bool model_replied(struct model *m, enum whom who, const struct asked *asked, const char *reply,
		   size_t n)
{
	static struct json_scratch scratch;
	struct span message = { reply, n };
	struct json_value root, value, params = { .type = JSON_NULL };

	if (getenv("JETON_FUZZ_LOG"))
		fprintf(stderr, "to %d: %.*s\n", (int)who, (int)n, reply);
	FUZZ_HOLDS(json_check(message, &scratch) == JSON_OK);
	root = json_root(message);
	if (json_member(root, "error", &value)) {
		check_error(asked, value);
		return false;
	}
	FUZZ_HOLDS(json_member(root, "parameters", &params) && params.type == JSON_OBJECT);
	if (asked) {
		check_fits(asked, params);
		check_good(m, who, asked, params);
	}
	return json_member(root, "continues", &value) && value.type == JSON_TRUE;
}
