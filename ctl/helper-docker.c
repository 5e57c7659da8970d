/*
 * ctl/helper-docker.c - docker-credential-jeton, as docker's credential helpers are: a registry's
 * address on standard input, JSON on standard output, and there also what is wrong.
 *
 * Docker gives its helpers no options, so the credential is named by the link that it calls
 * (docker-credential-jeton-NAME), or has the registry's name.
 */
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/helper.h"
#include "ctl/output.h"

enum { SERVER_MAX = 4096, NAME_SIZE = 65 };

/* Docker goes by this very text. */
#define NOT_FOUND "credentials not found in native keychain"

static const char *username_of(const struct args *a)
{
	const char *name = getenv("JETON_USERNAME");

	return a->username ? a->username : name && *name ? name : "jeton";
}

/* "https://Registry.example.com:5000/v1/" to "registry.example.com_5000". False: it can be none. */
static bool name_of_server(const char *server, char dst[static NAME_SIZE])
{
	const char *p = strstr(server, "://");
	size_t n;

	p = p ? p + 3 : server;
	n = strcspn(p, "/");
	if (n == 0 || n >= NAME_SIZE)
		return false;
	for (size_t i = 0; i < n; i++)
		dst[i] = p[i] == ':' ? '_' : p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] + 32) : p[i];
	dst[n] = 0;
	return is_credential_name(dst);
}

static int answer(const struct args *a, const char *server)
{
	_cleanup_(serving_done) struct serving s;
	int status = serving_init(&s, a, false);

	if (status == EXIT_DENIED)
		puts(NOT_FOUND);
	else if (status != EXIT_DONE)
		printf("jeton-helper could not give %s\n", a->credential);
	if (status != EXIT_DONE)
		return EXIT_FAILED;
	json_open(&s.out, '{');
	json_key(&s.out, "ServerURL");
	json_put_string(&s.out, span_of(server));
	json_key(&s.out, "Username");
	json_put_string(&s.out, span_of(username_of(a)));
	json_key(&s.out, "Secret");
	json_put_string(&s.out, s.text);
	json_close(&s.out, '}');
	serving_put(&s, SPAN("\n"));
	return serving_finish(&s);
}

static int get(const struct args *a)
{
	_cleanup_(secret_done) struct secret server = { NULL, 0, 0 };
	struct args with_name = *a;
	char name[NAME_SIZE];
	int status = input_text(&server, SERVER_MAX);

	if (status != EXIT_DONE)
		return status;
	server.p[strcspn(server.p, "\r\n")] = 0;
	if (!a->credential) {
		if (!name_of_server(server.p, name)) {
			puts(NOT_FOUND);
			return fail(EXIT_FAILED,
				    "'%.200s' is no registry whose name a credential could have",
				    server.p);
		}
		with_name.credential = name;
	}
	return answer(&with_name, server.p);
}

struct listing {
	struct serving *serving;
	const struct args *args;
};

/* Those that have a registry's name. */
static int on_credential(void *userdata, const struct jeton_credential *c)
{
	struct listing *l = userdata;
	struct json_writer *w = &l->serving->out;

	if (!strchr(c->name, '.'))
		return 0;
	json_put_string(w, span_of(c->name));
	json_put_raw(w, SPAN(":"));
	json_put_string(w, span_of(username_of(l->args)));
	return 0;
}

static int list(const struct args *a)
{
	_cleanup_(serving_done) struct serving s = { .jeton = NULL };
	struct listing l = { &s, a };
	int status = ask_open(a, &s.jeton), r = 0;

	if (status == EXIT_DONE && secret_init(&s.memory, 64 * 1024) < 0)
		status = fail(EXIT_FAILED, "there is not enough memory");
	if (status != EXIT_DONE)
		return status;
	json_writer_init(&s.out, s.memory.p, s.memory.size);
	json_open(&s.out, '{');
	/* Of which registry a link is, only docker's configuration says. */
	if (!a->credential)
		r = jeton_list_credentials(s.jeton, on_credential, &l);
	if (r != 0) {
		puts("jeton-helper could not list credentials");
		return ask_failed(s.jeton, r);
	}
	json_close(&s.out, '}');
	serving_put(&s, SPAN("\n"));
	return serving_finish(&s);
}

static int refuse(const struct args *a)
{
	input_discard();
	printf("docker can't %s what the agent holds: administrators do that, by jetonctl %s\n",
	       a->operands[0], !strcmp(a->operands[0], "store") ? "put" : "forget");
	return EXIT_FAILED;
}

static int print_version(const struct args *a)
{
	(void)a;
	puts("docker-credential-jeton " JETON_VERSION);
	return EXIT_DONE;
}

int helper_docker(const struct args *a)
{
	static const struct {
		const char *word;
		int (*run)(const struct args *a);
	} rows[] = {
		{ "get", get },
		{ "list", list },
		{ "store", refuse },
		{ "erase", refuse },
		{ "version", print_version },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows) && a->n_operands; i++)
		if (!strcmp(a->operands[0], rows[i].word))
			return rows[i].run(a);
	return fail(EXIT_USAGE, "docker says what to do by a last word: get, list, store, erase");
}
