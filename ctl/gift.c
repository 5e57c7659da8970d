/*
 * ctl/gift.c - invariant: until the very exec all descriptors are close-on-exec, so that a command
 * gets none that is not meant for it.
 */
#include "ctl/gift.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/output.h"
#include "protocol/base/span.h"

/* Shells let scripts use those below for themselves. */
enum { FIRST_FD = 10 };

static int no_memory(void)
{
	return fail(EXIT_NO_CREDENTIAL, "there is not enough memory for these credentials");
}

/* ---- which ---- */

static void add(struct gifts *g, const struct pair_list *list, bool as_file)
{
	for (size_t i = 0; i < list->n; i++)
		g->items[g->n++] = (struct gift){
			.pair = &list->pairs[i],
			.as_file = as_file,
			.fd = -1,
		};
}

static int check_variables(const struct gifts *g)
{
	for (size_t i = 0; i < g->n; i++)
		for (size_t k = 0; k < i; k++) {
			struct span v = g->items[i].pair->variable;

			if (span_equal(v, g->items[k].pair->variable))
				return fail(EXIT_USAGE, "the variable %.*s is given twice",
					    (int)v.n, v.p);
		}
	return EXIT_DONE;
}

int gifts_init(struct gifts *g, const struct args *a)
{
	size_t n = a->files.n + a->envs.n;

	*g = (struct gifts){ .args = a };
	if (n == 0)
		return EXIT_DONE;
	g->items = calloc(n, sizeof(*g->items));
	g->paths = calloc(n, sizeof(*g->paths));
	if (!g->items || !g->paths)
		return no_memory();
	add(g, &a->files, true);
	add(g, &a->envs, false);
	return check_variables(g);
}

static void gift_let_go(struct gift *gift)
{
	closep(&gift->fd);
	gift->fd = -1;
	secret_done(&gift->secret);
}

void gifts_done(struct gifts *g)
{
	for (size_t i = 0; i < g->n; i++)
		gift_let_go(&g->items[i]);
	free(g->items);
	free(g->paths);
	free(g->environment);
	*g = (struct gifts){ .n = 0 };
}

/* ---- fetching ---- */

/* Out of the way of those that a script takes for itself. */
static int keep_fd(struct gift *gift, int fd)
{
	gift->fd = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
	close(fd);
	if (gift->fd >= 0)
		return EXIT_DONE;
	return fail(EXIT_NO_CREDENTIAL, "there is no descriptor left for %s: %s",
		    gift->pair->credential, strerror(errno));
}

static int keep_text(struct gift *gift, const struct jeton_value *value)
{
	struct span v = gift->pair->variable;

	if (memchr(value->bytes, '\0', value->n))
		return fail(EXIT_NO_CREDENTIAL,
			    "%s is no text, so it can't be put into the environment: use --file",
			    gift->pair->credential);
	/* VARIABLE=VALUE and a NUL, which is there already. */
	if (secret_init(&gift->secret, v.n + 1 + value->n + 1) < 0)
		return no_memory();
	memcpy(gift->secret.p, v.p, v.n);
	gift->secret.p[v.n] = '=';
	memcpy(gift->secret.p + v.n + 1, value->bytes, value->n);
	gift->secret.n = v.n + 1 + value->n;
	return EXIT_DONE;
}

static int fetch(struct gift *gift, struct jeton *jeton)
{
	const struct jeton_value *value;
	const char *name = gift->pair->credential;
	int fd = -1, r;

	gift_let_go(gift);
	r = gift->as_file ? jeton_fetch_fd(jeton, name, JETON_UNSET, &fd, &value)
			  : jeton_fetch(jeton, name, JETON_UNSET, &value);
	if (r != 0)
		return fail(EXIT_NO_CREDENTIAL, "%s", jeton_error_message(jeton));
	gift->minted = value->token_id;
	gift->revision = value->revision;
	gift->expires_us = value->expires_us;
	return gift->as_file ? keep_fd(gift, fd) : keep_text(gift, value);
}

int gifts_fetch(struct gifts *g)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	int status = EXIT_DONE;

	/* A command that is given nothing needs no agent. */
	if (g->n == 0)
		return EXIT_DONE;
	if (ask_open(g->args, &jeton) != EXIT_DONE)
		return EXIT_NO_CREDENTIAL;
	for (size_t i = 0; i < g->n && status == EXIT_DONE; i++)
		status = fetch(&g->items[i], jeton);
	return status;
}

/* ---- giving ---- */

static bool is_replaced(const struct gifts *g, const char *entry)
{
	struct span name = { entry, strcspn(entry, "=") };

	for (size_t i = 0; i < g->n; i++)
		if (span_equal(name, g->items[i].pair->variable))
			return true;
	return false;
}

static char *entry_of(struct gifts *g, size_t i, const char *owner)
{
	struct gift *gift = &g->items[i];

	if (!gift->as_file)
		return gift->secret.p;
	snprintf(g->paths[i], sizeof(g->paths[i]), "%.*s=/proc/%s/fd/%d",
		 (int)gift->pair->variable.n, gift->pair->variable.p, owner, gift->fd);
	return g->paths[i];
}

int gifts_environment(struct gifts *g, const char *owner)
{
	size_t n = 0, at = 0;

	while (environ && environ[n])
		n++;
	free(g->environment);
	g->environment = calloc(n + g->n + 1, sizeof(*g->environment));
	if (!g->environment)
		return no_memory();
	for (size_t i = 0; i < n; i++)
		if (!is_replaced(g, environ[i]))
			g->environment[at++] = environ[i];
	for (size_t i = 0; i < g->n; i++)
		g->environment[at++] = entry_of(g, i, owner);
	return EXIT_DONE;
}

static int let_inherit(const struct gifts *g)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->items[i].fd >= 0 && fcntl(g->items[i].fd, F_SETFD, 0) < 0)
			return -errno;
	return 0;
}

/* ---- becoming ---- */

/*
 * execvpe(), but it looks before it leaps: a call of execve() for each directory that has no such
 * command costs twenty times what looking there does. Returns the errno.
 */
static int exec_by_name(char *argv[], char *environment[])
{
	const char *dir = getenv("PATH");
	char path[PATH_MAX];
	int error = ENOENT;
	size_t n;

	if (strchr(argv[0], '/') || !*argv[0]) {
		execvpe(argv[0], argv, environment);
		return errno;
	}
	for (dir = dir ? dir : "/bin:/usr/bin"; dir; dir = dir[n] ? dir + n + 1 : NULL) {
		n = strcspn(dir, ":");
		if (snprintf(path, sizeof(path), "%.*s%s/%s", (int)n, dir, n ? "" : ".", argv[0]) >=
		    (int)sizeof(path))
			continue;
		if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
			execvpe(path, argv, environment);
		/* That it is there and may not be run is what is told, if none is better. */
		if (errno != ENOENT && errno != ENOTDIR)
			error = errno;
	}
	return error;
}

int gifts_exec(struct gifts *g, bool inherit)
{
	char **argv = g->args->operands;
	int error;

	if (inherit && let_inherit(g) < 0)
		return fail(EXIT_CANNOT_RUN, "can't hand descriptors to %s", argv[0]);
	output_undo();
	error = exec_by_name(argv, g->environment);
	return fail(error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN, "can't run %.200s: %s",
		    argv[0], strerror(error));
}
