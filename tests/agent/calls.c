/*
 * tests/agent/calls.c - a C program that calls all of libjeton that takes or gives a value, and stops
 * after each for test-memory-clients.py to look into its memory. It keeps no value itself: what it is
 * given is written out from where the library has it, and what it gives is wiped.
 *
 *	calls SOCKET	standard input: a passphrase and a value of LEN bytes each, then a byte to go on
 */
#include <jeton.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LEN = 64 };

static struct jeton *jeton;
static char passphrase[LEN + 1], value[LEN + 1];

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition,         \
				jeton_error_message(jeton));                                       \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static void put_out(const void *p, size_t n)
{
	CHECK(write(STDOUT_FILENO, p, n) == (ssize_t)n && write(STDOUT_FILENO, "\n", 1) == 1);
}

/* What a call gave is the handle's until the next one. */
static void look(const char *what)
{
	char go;

	CHECK(jeton_get_status(jeton, NULL) == 0);
	CHECK(write(STDOUT_FILENO, "look ", 5) == 5);
	put_out(what, strlen(what));
	CHECK(read(STDIN_FILENO, &go, 1) == 1);
}

static void with_tokens(void)
{
	struct jeton_issue call = JETON_ISSUE_INIT;
	const struct jeton_token *token;
	char id[12] = "";
	const char *given;

	call.name = "n";
	CHECK(jeton_issue(jeton, &call, &given, &token) == 0);
	put_out(given, JETON_TOKEN_LEN);
	CHECK(jeton_verify(jeton, given, NULL, -1, NULL, NULL) == 0);
	look("issue");
	CHECK(jeton_issue(jeton, &call, &given, &token) == 0);
	put_out(given, JETON_TOKEN_LEN);
	memcpy(id, token->id, 11);
	CHECK(jeton_derive(jeton, given, &call, &given, &token) == 0);
	put_out(given, JETON_TOKEN_LEN);
	CHECK(jeton_revoke_value(jeton, given, NULL) == 0);
	look("derive");
	CHECK(jeton_rotate(jeton, id, 0, JETON_UNSET, &given, NULL, NULL) == 0);
	put_out(given, JETON_TOKEN_LEN);
	CHECK(jeton_derive(jeton, given, NULL, NULL, NULL) != 0);
	look("rotate");
}

static void with_credentials(void)
{
	const struct jeton_value *fetched;
	int fd;

	CHECK(jeton_put(jeton, "nobody", value, LEN, 0, JETON_UNSET, NULL) != 0);
	CHECK(jeton_put(jeton, "api-key", value, LEN, 0, JETON_UNSET, NULL) == 0);
	explicit_bzero(value, sizeof(value));
	look("put");
	CHECK(jeton_fetch(jeton, "api-key", JETON_UNSET, &fetched) == 0);
	put_out(fetched->bytes, fetched->n);
	look("fetch");
	CHECK(jeton_fetch_fd(jeton, "api-key", JETON_UNSET, &fd, NULL) == 0);
	close(fd);
	look("fetch_fd");
	CHECK(jeton_fetch(jeton, "fresh", JETON_UNSET, &fetched) == 0);
	put_out(fetched->bytes, fetched->n);
	look("mint");
}

static void with_passphrases(void)
{
	CHECK(jeton_unlock(jeton, passphrase) == JETON_ERROR_NOT_LOCKED);
	CHECK(jeton_lock(jeton, passphrase) == 0);
	CHECK(jeton_unlock(jeton, passphrase) == 0);
	explicit_bzero(passphrase, sizeof(passphrase));
	look("lock");
}

int main(int argc, char **argv)
{
	if (argc != 2 || read(STDIN_FILENO, passphrase, LEN) != LEN || read(STDIN_FILENO, value, LEN) != LEN)
		return 2;
	CHECK(jeton_new(argv[1], &jeton) == 0);
	with_tokens();
	with_credentials();
	with_passphrases();
	jeton_free(jeton);
	return 0;
}
