/*
 * ctl/cmd-policy.c - policy check: the agent's own reader, so that what passes here is what the
 * agent takes.
 *
 * The reader stops at the first mistake. Files that were named are read one by one first, so that
 * each tells its own, and then together, since some mistakes (a credential defined twice) take two.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "agent/policy/policy.h"
#include "ctl/commands.h"
#include "ctl/output.h"
#include "ctl/policy-dirs.h"
#include "protocol/json.h"

struct check {
	const struct args *args;
	unsigned n_files;
	unsigned n_mistakes;
	unsigned n_warnings;
	bool no_memory;
	struct json_writer json; /* with --json: {found: [...], files: N} */
	char json_room[64 * 1024];
};

/* "FILE:LINE: warning: message", or an object in the array. */
static void tell(struct check *c, const char *file, unsigned line, const char *what,
		 const char *message)
{
	bool warning = !strcmp(what, "warning");
	char place[16] = "";

	if (c->args->json) {
		json_open(&c->json, '{');
		json_key(&c->json, "file");
		json_put_string(&c->json, span_of(file));
		json_key(&c->json, "line");
		json_put_int(&c->json, line);
		json_key(&c->json, "kind");
		json_put_string(&c->json, span_of(what));
		json_key(&c->json, "message");
		json_put_string(&c->json, span_of(message));
		json_close(&c->json, '}');
		return;
	}
	if (line)
		snprintf(place, sizeof(place), ":%u", line);
	say("%s%s: %s%s", file, place, warning ? "warning: " : "", message);
}

static void take_mistake(struct check *c, int result, const struct policy_error *e)
{
	if (result == -ENOMEM) {
		c->no_memory = true;
		return;
	}
	c->n_mistakes++;
	tell(c, e->file, e->line, "mistake", e->message);
}

static void warn_of_name(void *userdata, struct policy_id *id, bool group)
{
	struct check *c = userdata;
	char message[400];

	if (group ? getgrnam(id->text) != NULL : getpwnam(id->text) != NULL)
		return;
	c->n_warnings++;
	snprintf(message, sizeof(message), "there is no %s %.300s here: it matches nobody",
		 group ? "group" : "user", id->text);
	tell(c, id->place.path, id->place.line, "warning", message);
}

/* What is there to say of policies without a mistake. */
static void take_policy(struct check *c, struct policy *p)
{
	c->n_files = (unsigned)p->n_paths;
	policy_each_name(p, warn_of_name, c);
	for (size_t i = 0; i < p->n_ignored; i++) {
		c->n_warnings++;
		tell(c, p->ignored[i], 0, "warning",
		     "is ignored: a policy's name ends with .policy");
	}
}

static void check_files(struct check *c, const char *const files[], size_t n)
{
	_cleanup_(policy_freep) struct policy *all = NULL;
	struct policy_error e;
	int r;

	for (size_t i = 0; i < n; i++) {
		_cleanup_(policy_freep) struct policy *one = NULL;

		r = policy_load_files(&files[i], 1, &one, &e);
		if (r < 0)
			take_mistake(c, r, &e);
	}
	if (c->n_mistakes || c->no_memory)
		return;
	r = policy_load_files(files, n, &all, &e);
	if (r < 0)
		take_mistake(c, r, &e);
	else
		take_policy(c, all);
}

static void check_system(struct check *c)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	struct policy_dirs dirs;
	struct policy_error e;
	int r;

	policy_dirs_find(c->args->user, &dirs);
	r = policy_load(dirs.paths, dirs.n, dirs.trusted_uid, &p, &e);
	if (r < 0)
		take_mistake(c, r, &e);
	else
		take_policy(c, p);
}

/* The number of files comes last, as it is known last. */
static int print_json(struct check *c)
{
	json_close(&c->json, ']');
	json_key(&c->json, "files");
	json_put_int(&c->json, c->n_files);
	json_close(&c->json, '}');
	if (c->json.overflow)
		return fail(EXIT_FAILED,
			    "there is more to say than --json has room for here: leave it out");
	output_json(c->args, (struct span){ c->json.buf, c->json.n });
	return EXIT_DONE;
}

static int conclude(struct check *c)
{
	const char *s = c->n_files == 1 ? "" : "s";

	if (c->no_memory)
		return fail(EXIT_FAILED, "there is not enough memory to read these policies");
	if (c->args->json && print_json(c) != EXIT_DONE)
		return EXIT_FAILED;
	if (!c->args->json && !c->n_mistakes && !c->args->quiet)
		printf("%u file%s, no mistakes\n", c->n_files, s);
	return c->n_mistakes ? EXIT_FAILED : EXIT_DONE;
}

int cmd_policy_check(const struct args *a)
{
	static struct check check;

	check.args = a;
	json_writer_init(&check.json, check.json_room, sizeof(check.json_room));
	json_open(&check.json, '{');
	json_key(&check.json, "found");
	json_open(&check.json, '[');
	if (a->n_operands)
		check_files(&check, (const char *const *)a->operands, a->n_operands);
	else
		check_system(&check);
	return conclude(&check);
}
