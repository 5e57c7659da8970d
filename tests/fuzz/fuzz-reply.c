/*
 * tests/fuzz/fuzz-reply.c - any bytes as what an agent answers, to the library: each kind of reply,
 * and every error. What was read as well-formed has what it must have.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "protocol/base/parse.h"
#include "protocol/client.h"
#include "protocol/reply-read.h"

union reply {
	struct jeton_token token;
	struct jeton_credential credential;
	struct jeton_event event;
	struct jeton_audit_entry entry;
	struct jeton_status status;
	struct jeton_error_info error;
	struct reply_issued issued;
	struct reply_verified verified;
	struct reply_info info;
	struct reply_put put;
	struct reply_credentials credentials;
	struct reply_fetched fetched;
	struct reply_watched watched;
	struct reply_explained explained;
	struct reply_fd fd;
	struct reply_audited audited;
};

static void check_token(const struct jeton_token *token)
{
	FUZZ_HOLDS(token->id && token->name);
	FUZZ_HOLDS(jeton_state_text(token->state)[0] && jeton_binding_text(token->binding)[0]);
	FUZZ_HOLDS(jeton_end_text(token->ended)[0]);
	for (size_t i = 0; token->scopes && token->scopes[i]; i++)
		(void)strlen(token->scopes[i]);
}

static void check_reply(enum reply_kind kind, const union reply *reply)
{
	if (kind == REPLY_TOKEN)
		check_token(&reply->token);
	if (kind == REPLY_ISSUED || kind == REPLY_ROTATED) {
		FUZZ_HOLDS(reply->issued.value);
		check_token(reply->issued.info);
	}
	if (kind == REPLY_VERIFIED)
		check_token(reply->verified.info);
	if (kind == REPLY_INFO)
		check_token(reply->info.info);
	if (kind == REPLY_FETCHED && reply->fetched.data.p)
		FUZZ_HOLDS(reply->fetched.data.p[reply->fetched.data.n] == '\0');
}

static void check_error(struct jeton *jeton, struct reply_top *top, char *dst, size_t size)
{
	struct span name;
	int r;

	if (top->error.type != JSON_STRING || json_string(top->error, dst, size, &name) < 0)
		return;
	r = client_error_read(jeton, client_arena_text(&jeton->arena, name), top->parameters);
	FUZZ_HOLDS(r > 0 || r == -EBADMSG || r == -ENOMEM);
	/* What is told of it, with what the agent has put into it, steers no terminal. */
	FUZZ_HOLDS(client_note(jeton, r) == r);
	FUZZ_HOLDS(jeton->message[0] && utf8_clean(span_of(jeton->message)));
	client_arena_done(&jeton->arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct json_scratch scratch;
	static struct jeton jeton;
	struct client_arena arena = { .n = 0 };
	_cleanup_free_ char *copy = NULL, *dst = NULL;
	struct reply_top top;
	union reply reply;
	struct span text;

	if (n > JSON_TEXT_MAX)
		return 0;
	copy = fuzz_copy(data, n);
	text = (struct span){ copy, n };
	if (json_check(text, &scratch) != JSON_OK || reply_read_top(text, &top) < 0)
		return 0;
	dst = malloc(n + 1);
	FUZZ_HOLDS(dst);
	check_error(&jeton, &top, dst, n + 1);
	if (top.parameters.type != JSON_OBJECT)
		return 0;
	for (enum reply_kind kind = 0; kind < REPLY_KINDS; kind++) {
		memset(&reply, 0, sizeof(reply));
		if (reply_read(kind, top.parameters, &arena, &reply) == 0)
			check_reply(kind, &reply);
		client_arena_reset(&arena);
	}
	client_arena_done(&arena);
	return 0;
}
