/*
 * ctl/helper-main.c - jeton-helper: by the name that it was called by, or by its first word, to one
 * row of the table of helpers.
 */
#include <stdio.h>

#include "agent/policy/near.h"
#include "ctl/helper.h"
#include "ctl/output.h"
#include "ctl/value.h"
#include "protocol/base/time.h"

#define AT(member) offsetof(struct args, member)

const struct option helper_options[] = {
	{ "credential", 0, OPTION_CREDENTIAL, AT(credential), "NAME", "which one to fetch" },
	{ "socket", 0, OPTION_TEXT, AT(socket), "PATH", "ask the agent at this socket" },
	{ "user", 0, OPTION_FLAG, AT(user), NULL, "ask your own agent rather than the system's" },
	{ "min-lifetime", 0, OPTION_SPAN, AT(min_lifetime_s), "SPAN",
	  "fail rather than give one that ends sooner" },
	{ "help", 'h', OPTION_FLAG, AT(help), NULL, "how it is used" },
	{ "version", 0, OPTION_FLAG, AT(version), NULL, "the version" },
	{ .name = NULL },
};

static const struct option username_options[] = {
	{ "username", 0, OPTION_TEXT, AT(username), "USER", "the user's name that goes with it" },
	{ .name = NULL },
};

static const struct option aws_options[] = {
	{ "access-key-id", 0, OPTION_TEXT, AT(access_key_id), "ID",
	  "the value is the secret access key alone, of this one" },
	{ .name = NULL },
};

static const struct option curl_options[] = {
	{ "username", 0, OPTION_TEXT, AT(username), "USER",
	  "as the password of this user, rather than as a bearer token" },
	{ "header", 0, OPTION_TEXT, AT(header), "NAME", "as the value of this header" },
	{ .name = NULL },
};

const struct helper helpers[] = {
	{ "git", "git-credential-jeton", "--credential NAME [--username USER] get|store|erase",
	  "a helper for git: credential.URL.helper", username_options, 1, helper_git },
	{ "docker", "docker-credential-jeton",
	  "[--credential NAME] [--username USER] get|list|store|erase",
	  "a helper for docker: credHelpers", username_options, 1, helper_docker },
	{ "aws", NULL, "--credential NAME [--access-key-id ID]",
	  "for aws and its libraries: credential_process", aws_options, 0, helper_aws },
	{ "kubectl", NULL, "--credential NAME", "for kubectl: a user's exec", NULL, 0,
	  helper_kubectl },
	{ "curl", NULL, "--credential NAME [--username USER | --header NAME]",
	  "for curl: --config -", curl_options, 0, helper_curl },
	{ .name = NULL },
};

static void print_options(const struct option *o)
{
	char left[64];

	for (; o && o->name; o++) {
		snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "",
			 o->value ? o->value : "");
		printf("  %-22s %s\n", left, o->help);
	}
}

static int print_help(const struct helper *h)
{
	if (h) {
		printf("jeton-helper %s %s\n\n%c%s.\n\nOptions:\n", h->name, h->synopsis,
		       h->help[0] - 'a' + 'A', h->help + 1);
		print_options(h->options);
	} else {
		puts("jeton-helper TOOL [OPTION...] ...\n\nGive a credential to a tool in the form "
		     "that it asks for.\n\nTools:");
		for (h = helpers; h->name; h++)
			printf("  %-10s %s\n", h->name, h->help);
		puts("\nOptions:");
	}
	print_options(helper_options);
	return EXIT_DONE;
}

/* By the name of a link; *ret_credential: what it names as well, or NULL. */
static const struct helper *find_by_link(const char *path, const char **ret_credential)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	*ret_credential = NULL;
	for (const struct helper *h = helpers; h->name; h++) {
		size_t n = h->link ? strlen(h->link) : 0;

		if (n == 0 || strncmp(name, h->link, n) != 0)
			continue;
		if (name[n] == '-' && is_credential_name(name + n + 1))
			*ret_credential = name + n + 1;
		if (!name[n] || *ret_credential)
			return h;
	}
	return NULL;
}

static const char *name_at(const void *userdata, size_t i)
{
	(void)userdata;
	return helpers[i].name;
}

static const struct helper *find_by_word(const char *word)
{
	const char *near;

	for (const struct helper *h = helpers; h->name; h++)
		if (!strcmp(h->name, word))
			return h;
	near = near_find(word, name_at, NULL);
	fail(EXIT_USAGE, "'%.50s' is no tool that it serves%s%s%s; jeton-helper --help lists them",
	     word, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
	return NULL;
}

static int run(const struct helper *h, const struct args *a)
{
	if (a->version)
		return puts("jeton-helper " JETON_VERSION) < 0 ? EXIT_FAILED : EXIT_DONE;
	if (a->help)
		return print_help(h);
	if (a->socket && a->user)
		return fail(EXIT_USAGE,
			    "--socket and --user both say which agent to ask: give one of them");
	if (a->n_operands > h->max)
		return fail(EXIT_USAGE, "there is a word too many: jeton-helper %s %s", h->name,
			    h->synopsis);
	return h->run(a);
}

/* words: what stands after the program's name. h NULL: the first of them says which tool. */
static int read_and_run(const struct helper *h, const char *credential, char *words[], int n)
{
	struct usage_error e;
	struct args a;
	struct span secret;

	for (int i = 0; i < n; i++)
		if (value_find(words[i], &secret))
			return fail(EXIT_USAGE,
				    "a token's value on the command line is seen by everyone who "
				    "runs ps: name a credential by --credential instead");
	args_init(&a, time_now_us());
	if (!h && n > 0 && words[0][0] != '-') {
		h = find_by_word(words[0]);
		if (!h)
			return EXIT_USAGE;
		words++, n--;
	}
	n = options_read(h ? h->options : NULL, helper_options, words, n, false, &a, &e);
	if (n < 0)
		return fail(EXIT_USAGE, "%s; jeton-helper --help lists what there is", e.text);
	if (!h && (a.help || a.version))
		return a.version ? run(NULL, &a) : print_help(NULL);
	if (!h)
		return fail(EXIT_USAGE, "a tool is needed, such as git; jeton-helper --help lists "
					"them");
	if (!a.credential)
		a.credential = credential;
	a.operands = words;
	a.n_operands = (size_t)n;
	return run(h, &a);
}

int main(int argc, char *argv[])
{
	const char *credential = NULL;
	const struct helper *h = NULL;
	int status;

	output_init("jeton-helper");
	if (argc >= 1)
		h = find_by_link(argv[0], &credential);
	status = read_and_run(h, credential, argv + (argc >= 1), argc - (argc >= 1));
	return output_finish(status);
}
