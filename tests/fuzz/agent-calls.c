/*
 * tests/fuzz/agent-calls.c - see agent-calls.h. One byte of the input makes one parameter: most
 * give a value of its kind from a small pool, some leave it out, and some give what is no value of
 * its kind at all. So a short input says much, and one changed byte is one changed parameter.
 */
#include "tests/fuzz/agent-calls.h"

#include "tests/fuzz/fuzz.h"

enum kind {
	NO_KIND,
	TOKEN,
	ID,
	NAME,
	PATTERNS,
	PLAIN_SCOPES,
	PLAIN_SCOPE,
	SECONDS,
	COUNT,
	UID,
	BINDING,
	FLAG,
	CREDENTIAL,
	VALUE,
	INSTANT,
	STATE,
	PASSPHRASE,
	USER,
	UNIT,
	BEARER,
	INTERFACE,
	KINDS,
};

enum { PARAMS_MAX = 7 };

static const struct param {
	const char *name;
	enum kind kind;
} params[METHODS][PARAMS_MAX] = {
	[METHOD_ISSUE] = { { "name", NAME },
			   { "lifetimeSec", SECONDS },
			   { "scopes", PATTERNS },
			   { "binding", BINDING },
			   { "uses", COUNT },
			   { "ownerUid", UID } },
	[METHOD_DERIVE] = { { "token", TOKEN },
			    { "name", NAME },
			    { "lifetimeSec", SECONDS },
			    { "scopes", PATTERNS },
			    { "binding", BINDING },
			    { "uses", COUNT } },
	[METHOD_VERIFY] = { { "token", TOKEN }, { "scopes", PLAIN_SCOPES }, { "bearer", BEARER } },
	[METHOD_LIST] = { { "ownerUid", UID },
			  { "all", FLAG },
			  { "state", STATE },
			  { "name", NAME } },
	[METHOD_DESCRIBE] = { { "id", ID } },
	[METHOD_REVOKE] = { { "id", ID }, { "token", TOKEN } },
	[METHOD_ROTATE] = { { "id", ID }, { "graceSec", SECONDS }, { "lifetimeSec", SECONDS } },
	[METHOD_PUT] = { { "credential", CREDENTIAL },
			 { "text", VALUE },
			 { "data", VALUE },
			 { "expiresUSec", INSTANT } },
	[METHOD_FORGET] = { { "credential", CREDENTIAL } },
	[METHOD_FETCH] = { { "credential", CREDENTIAL },
			   { "asFd", FLAG },
			   { "minLifetimeSec", SECONDS } },
	[METHOD_WATCH] = { { "after", COUNT } },
	[METHOD_EXPLAIN] = { { "user", USER },
			     { "unit", UNIT },
			     { "credential", CREDENTIAL },
			     { "scope", PLAIN_SCOPE } },
	[METHOD_LOCK] = { { "passphrase", PASSPHRASE } },
	[METHOD_UNLOCK] = { { "passphrase", PASSPHRASE } },
	[METHOD_AUDIT] = { { "sinceUSec", INSTANT }, { "token", ID } },
	[METHOD_INTERFACE] = { { "interface", INTERFACE } },
};

uint8_t input_byte(struct input *in)
{
	return fuzz_byte(&in->p, &in->n);
}

/* ---- values ---------------------------------------------------------------------------------- */

struct making {
	struct model *m;
	struct call_made *call;
	struct json_writer w;
};

/* The pools; NULL at the end. */
static const char *const names[] = { "a", "b", "ci", "\xc3\xa9", "a b", "", "x\ny", NULL };
static const char *const patterns[] = { "acme/risk:read",    "acme/*:read",  "acme/**:*",
					"**:read",	     "other/x:read", "*:read",
					"acme/pipeline:run", "acme:",	     NULL };
static const char *const bindings[] = { "none", "process", "unit", "any", NULL };
static const char *const credentials[] = { "held", "minted", "bound", "none", "..", NULL };
static const char *const values[] = { "dmFsdWU=", "value", "AA==", "", "\xe2\x82\xac", NULL };
static const char *const states[] = { "active", "expired", "revoked", "lost", NULL };
static const char *const passphrases[] = { "correct horse", "battery staple", "", NULL };
static const char *const users[] = { "alice", "bob", "1001", "nobody", "root", NULL };
static const char *const units[] = { "nightly.service", "cron.service", "x", NULL };
static const char *const interfaces[] = { "io.jeton.Agent", "org.varlink.service", "x", NULL };
static const int64_t seconds[] = { 0,	 1,	 60,	  300,	    3600,     86400,
				   7200, 604800, 2592000, 31536000, 31536001, INT64_MAX };
static const int64_t counts[] = { 1, 2, 0, 3, -1, 1000, INT64_MAX };
static const int64_t uids[] = { UID_ALICE, UID_BOB, UID_CI, 0,  UID_SERVICE,
				61184,	   4242,    65534,  -1 };
/* Whatever is asked for, these are not. */
static const char *const odd[] = { "null",
				   "true",
				   "-1",
				   "1.5",
				   "\"\"",
				   "{}",
				   "[]",
				   "[null]",
				   "\"\\u0041\\ud83d\\ude00\"",
				   "18446744073709551616",
				   "{\"a\":{}}" };

static const char *from_pool(const char *const pool[], unsigned which)
{
	size_t n = 0;

	while (pool[n])
		n++;
	return pool[which % n];
}

static void put_text(struct making *k, const char *text)
{
	json_put_string(&k->w, span_of(text));
}

static void put_token(struct making *k, unsigned which)
{
	char value[sizeof(k->m->tokens[0].value)];
	size_t i;

	if (k->m->n_tokens == 0 || which == 31) {
		put_text(k, "jeton_00000000000_0000000000000000000000000000000000000000000000000");
		return;
	}
	i = which % k->m->n_tokens;
	memcpy(value, k->m->tokens[i].value, sizeof(value));
	if (which == 30)
		value[30] = value[30] == 'a' ? 'b' : 'a';
	else
		k->call->asked.token = (int)i;
	put_text(k, value);
}

static void put_id(struct making *k, unsigned which)
{
	int i;

	if (k->m->n_tokens == 0 || which == 31) {
		put_text(k, "0000000000A");
		return;
	}
	i = (int)(which % k->m->n_tokens);
	if (k->call->asked.method == METHOD_REVOKE)
		model_is_to_end(k->m, i);
	else if (k->call->asked.method == METHOD_ROTATE)
		model_is_to_rotate(k->m, i);
	put_text(k, k->m->tokens[i].id);
}

static void put_patterns(struct making *k, unsigned which)
{
	json_open(&k->w, '[');
	for (unsigned i = 0; i < which / 8; i++)
		put_text(k, from_pool(patterns, which + i));
	if (which < 8)
		put_text(k, from_pool(patterns, which));
	json_close(&k->w, ']');
}

static void put_plain_scopes(struct making *k, unsigned which)
{
	json_open(&k->w, '[');
	for (unsigned i = 0; i <= which / SCOPES_KNOWN % 2; i++) {
		unsigned bit = (which + 3 * i) % SCOPES_KNOWN;

		k->call->asked.scopes |= 1U << bit;
		put_text(k, scopes_known[bit]);
	}
	json_close(&k->w, ']');
}

static void put_instant(struct making *k, unsigned which)
{
	json_put_int(&k->w, (int64_t)world_now() + (int64_t)(which - 4) * 1000000);
}

static void put_bearer(struct making *k, unsigned which)
{
	k->call->fd = surround_bearer((enum whom)(which % WHOMS));
	json_put_int(&k->w, which < 30 ? 0 : 1);
}

static void put_uid(struct making *k, unsigned which)
{
	k->call->asked.has_owner = true;
	json_put_int(&k->w, uids[which % ARRAY_SIZE(uids)]);
}

/* A value that is one of a pool, or made by a function. */
static const struct maker {
	const char *const *pool;
	const int64_t *numbers;
	size_t n_numbers;
	void (*put)(struct making *k, unsigned which);
} makers[KINDS] = {
	[TOKEN] = { .put = put_token },
	[ID] = { .put = put_id },
	[NAME] = { .pool = names },
	[PATTERNS] = { .put = put_patterns },
	[PLAIN_SCOPES] = { .put = put_plain_scopes },
	[PLAIN_SCOPE] = { .pool = patterns },
	[SECONDS] = { .numbers = seconds, .n_numbers = ARRAY_SIZE(seconds) },
	[COUNT] = { .numbers = counts, .n_numbers = ARRAY_SIZE(counts) },
	[UID] = { .put = put_uid },
	[BINDING] = { .pool = bindings },
	[CREDENTIAL] = { .pool = credentials },
	[VALUE] = { .pool = values },
	[INSTANT] = { .put = put_instant },
	[STATE] = { .pool = states },
	[PASSPHRASE] = { .pool = passphrases },
	[USER] = { .pool = users },
	[UNIT] = { .pool = units },
	[BEARER] = { .put = put_bearer },
	[INTERFACE] = { .pool = interfaces },
};

static void put_value(struct making *k, enum kind kind, unsigned which)
{
	const struct maker *maker = &makers[kind];

	if (maker->put)
		maker->put(k, which);
	else if (maker->pool)
		put_text(k, from_pool(maker->pool, which));
	else if (maker->numbers)
		json_put_int(&k->w, maker->numbers[which % maker->n_numbers]);
	else
		json_put_bool(&k->w, which % 2);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/*
 * The first few of a method are there unless the input says otherwise; the others the other way
 * about.
 */
static void put_param(struct making *k, const struct param *param, uint8_t byte, bool is_first)
{
	unsigned how = byte & 7, which = byte >> 3;
	bool absent = is_first ? how == 7 : how < 4;

	if (absent)
		return;
	json_key(&k->w, param->name);
	if (how == 6)
		json_put_value(&k->w, span_of(odd[which % ARRAY_SIZE(odd)]));
	else
		put_value(k, param->kind, which);
}

static void begin(struct making *k, enum method method)
{
	k->call->asked = (struct asked){ .method = method, .token = NO_TOKEN };
	k->call->fd = -1;
	k->call->oneway = false;
	json_writer_init(&k->w, k->call->text, sizeof(k->call->text) - 1);
	json_open(&k->w, '{');
	json_key(&k->w, "method");
	put_text(k, methods[method].name);
	json_key(&k->w, "parameters");
	json_open(&k->w, '{');
}

static void end(struct making *k, bool more)
{
	json_close(&k->w, '}');
	if (more) {
		json_key(&k->w, "more");
		json_put_bool(&k->w, true);
	}
	if (k->call->oneway) {
		json_key(&k->w, "oneway");
		json_put_bool(&k->w, true);
	}
	json_close(&k->w, '}');
	FUZZ_HOLDS(!k->w.overflow);
	k->call->text[k->w.n] = '\0';
	k->call->n = k->w.n + 1;
	model_asks(k->m, &k->call->asked);
	/* It may have ended by the time that this is answered, and never be told so. */
	if (k->call->asked.method == METHOD_REVOKE && k->call->asked.token != NO_TOKEN)
		model_is_to_end(k->m, k->call->asked.token);
}

void call_make(struct model *m, struct input *in, struct call_made *ret)
{
	struct making k = { .m = m, .call = ret };
	uint8_t first = input_byte(in);
	enum method method = (enum method)(first % METHODS);
	/* Of a byte that goes round more than once, the last rounds are the unusual. */
	unsigned round = first / METHODS;

	begin(&k, method);
	ret->oneway = round == 10;
	for (size_t i = 0; i < PARAMS_MAX && params[method][i].name; i++)
		put_param(&k, &params[method][i], input_byte(in), i == 0);
	end(&k, methods[method].needs_more ? round != 9 : round == 8);
}

void call_make_verify(struct model *m, size_t token, struct call_made *ret)
{
	struct making k = { .m = m, .call = ret };

	begin(&k, METHOD_VERIFY);
	json_key(&k.w, "token");
	ret->asked.token = (int)token;
	put_text(&k, m->tokens[token].value);
	end(&k, false);
}
