/*
 * tests/agent/life.c - a token's whole life, as a C program of somebody's has it by libjeton: no
 * JSON, no socket.
 *
 *	life SOCKET ROLE	test-libjeton.py has the roles, and what each must come to
 */
#include <errno.h>
#include <jeton.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct jeton *jeton;

#define CHECK(condition)                                                                   \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, \
				jeton_error_message(jeton));                               \
			exit(1);                                                           \
		}                                                                          \
	} while (0)

static void issue(const char *name, const char *const *scopes,
		  char value[static JETON_TOKEN_LEN + 1], struct jeton_token **ret_token)
{
	struct jeton_issue call = JETON_ISSUE_INIT;
	const struct jeton_token *token;
	const char *v;

	call.name = name;
	call.scopes = scopes;
	CHECK(jeton_issue(jeton, &call, &v, &token) == 0);
	CHECK(strlen(v) == JETON_TOKEN_LEN);
	memcpy(value, v, JETON_TOKEN_LEN + 1);
	*ret_token = jeton_token_dup(token);
	CHECK(*ret_token);
}

static int count_one(void *userdata, const struct jeton_token *token)
{
	int *n = userdata;

	CHECK(token->id && token->name && token->owner_uid == getuid());
	(*n)++;
	return 0;
}

static int count(enum jeton_state state)
{
	struct jeton_filter filter = JETON_FILTER_INIT;
	int n = 0;

	filter.state = state;
	CHECK(jeton_list(jeton, &filter, count_one, &n) == 0);
	return n;
}

static void issues_and_verifies(void)
{
	const char *const scopes[] = { "acme/risk:read", NULL }, *const other[] = { "x:y", NULL };
	char value[JETON_TOKEN_LEN + 1];
	const struct jeton_token *seen;
	const char *const *access;
	struct jeton_token *token;

	issue("life", scopes, value, &token);
	CHECK(token->state == JETON_STATE_ACTIVE && token->uses_left == JETON_UNSET);
	CHECK(token->scopes && !strcmp(token->scopes[0], scopes[0]) && !token->scopes[1]);
	CHECK(jeton_verify(jeton, value, scopes, -1, &seen, &access) == 0);
	CHECK(!strcmp(seen->id, token->id));
	CHECK(access[0] && !strcmp(access[0], scopes[0]) && !access[1]);
	CHECK(jeton_verify(jeton, value, other, -1, NULL, NULL) == JETON_ERROR_INSUFFICIENT_SCOPE);
	CHECK(!strcmp(jeton_error_info(jeton)->scope, "x:y"));
	CHECK(jeton_verify(jeton, "jeton_nonsense", NULL, -1, NULL, NULL) ==
	      JETON_ERROR_INVALID_TOKEN);
	CHECK(jeton_describe(jeton, token->id, &seen) == 0);
	CHECK(seen->last_used_us > 0 && seen->last_used_by);
	jeton_token_free(token);
}

static void derives_rotates_and_revokes(void)
{
	struct jeton_issue call = JETON_ISSUE_INIT;
	char value[JETON_TOKEN_LEN + 1], child[JETON_TOKEN_LEN + 1];
	const struct jeton_token *seen, *previous;
	struct jeton_token *token;
	const char *v;

	issue("parent", NULL, value, &token);
	call.name = "child";
	call.uses = 2;
	CHECK(jeton_derive(jeton, value, &call, &v, &seen) == 0);
	CHECK(!strcmp(seen->parent, token->id) && seen->uses_left == 2);
	memcpy(child, v, sizeof(child));
	CHECK(jeton_verify(jeton, child, NULL, -1, &seen, NULL) == 0);
	CHECK(seen->uses_left == 1);

	CHECK(jeton_rotate(jeton, token->id, JETON_UNSET, JETON_UNSET, &v, &seen, &previous) == 0);
	CHECK(!strcmp(previous->replaced_by, seen->id) && !strcmp(seen->name, "parent"));
	CHECK(jeton_revoke_value(jeton, value, &seen) == 0);
	CHECK(seen->state == JETON_STATE_REVOKED && seen->ended == JETON_END_PRESENTED);
	CHECK(jeton_verify(jeton, child, NULL, -1, NULL, NULL) == JETON_ERROR_TOKEN_REVOKED);
	CHECK(jeton_revoke(jeton, "0000000000z", NULL) == JETON_ERROR_NO_SUCH_TOKEN);
	jeton_token_free(token);
}

static void lists_and_tells(void)
{
	const struct jeton_status *status;

	CHECK(count(JETON_STATE_ACTIVE) == 2); /* life, and parent's successor */
	CHECK(count(JETON_STATE_OTHER) == 4);
	CHECK(count(JETON_STATE_EXPIRED) == 0);
	CHECK(jeton_get_status(jeton, &status) == 0);
	CHECK(status->state == JETON_AGENT_RUNNING && status->tokens_active == 2);
}

static void hears_errors(void)
{
	struct jeton_issue call = JETON_ISSUE_INIT;
	const char *const scopes[] = { "acme/other:read", NULL };

	CHECK(jeton_issue(jeton, &call, NULL, NULL) == -EINVAL);
	call.name = "";
	CHECK(jeton_issue(jeton, &call, NULL, NULL) == JETON_ERROR_INVALID_PARAMETER);
	CHECK(!strcmp(jeton_error_info(jeton)->parameter, "name"));
	call.name = "n";
	call.scopes = scopes;
	CHECK(jeton_issue(jeton, &call, NULL, NULL) == JETON_ERROR_SCOPE_EXCEEDS_ACCESS);
	call.scopes = NULL;
	call.lifetime_s = 1;
	CHECK(jeton_issue(jeton, &call, NULL, NULL) == JETON_ERROR_LIFETIME_OUT_OF_RANGE);
	CHECK(jeton_error_info(jeton)->min_s == 3600);
	CHECK(jeton_reload(jeton) == JETON_ERROR_PERMISSION_DENIED);
	CHECK(jeton_rekey(jeton) == JETON_ERROR_PERMISSION_DENIED ||
	      jeton_error_info(jeton)->code == JETON_ERROR_METHOD_NOT_IMPLEMENTED);
}

/* A child has no business with its parent's handle. */
static void forks(void)
{
	const struct jeton_status *status;
	int wstatus;
	pid_t child = fork();

	if (child == 0) {
		int r = jeton_get_status(jeton, &status);

		jeton_free(jeton);
		_exit(r == -ECHILD ? 0 : 1);
	}
	CHECK(waitpid(child, &wstatus, 0) == child && wstatus == 0);
	CHECK(jeton_get_status(jeton, &status) == 0);
}

static int life(void)
{
	issues_and_verifies();
	derives_rotates_and_revokes();
	lists_and_tells();
	hears_errors();
	forks();
	return 0;
}

/* Nothing that is secret goes to an agent of some other user's. */
static int stranger(void)
{
	CHECK(jeton_agent_trusted(jeton) == JETON_ERROR_UNTRUSTED_AGENT);
	CHECK(jeton_revoke_value(
		      jeton, "jeton_00000000000_0000000000000000000000000000000000000000000000000",
		      NULL) == JETON_ERROR_UNTRUSTED_AGENT);
	return 0;
}

/* Waits for a line on standard input, in which time the agent is started anew. */
static int stays(void)
{
	char value[JETON_TOKEN_LEN + 1];
	const struct jeton_status *status;
	struct jeton_token *token;
	char line[8];

	issue("stays", NULL, value, &token);
	puts("issued");
	fflush(stdout);
	CHECK(fgets(line, sizeof(line), stdin));
	CHECK(jeton_get_status(jeton, &status) == 0);
	CHECK(status->tokens_active == 1);
	CHECK(jeton_verify(jeton, value, NULL, -1, NULL, NULL) == 0);
	jeton_token_free(token);
	return 0;
}

static int nobody(void)
{
	const struct jeton_status *status;

	CHECK(jeton_get_status(jeton, &status) == -ENOENT ||
	      jeton_error_info(jeton)->code == -ECONNREFUSED);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(void);
	} roles[] = {
		{ "life", life }, { "stranger", stranger }, { "stays", stays }, { "nobody", nobody }
	};
	int r = 2;

	if (argc != 3 || jeton_new(argv[1], &jeton) < 0)
		return 2;
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (!strcmp(argv[2], roles[i].name))
			r = roles[i].run();
	jeton_free(jeton);
	return r;
}
