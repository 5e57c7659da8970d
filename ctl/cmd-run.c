/*
 * ctl/cmd-run.c - run: this very process fetches and becomes the command, so that its pid, its
 * signals and its exit status are the command's, and tokens bound to it are the command's own.
 */
#include "ctl/commands.h"
#include "ctl/gift.h"
#include "ctl/output.h"
#include "ctl/renew.h"

static int check_renew(const struct args *a)
{
	if (a->renew == RENEW_NOT)
		return EXIT_DONE;
	if (a->files.n + a->envs.n == 0)
		return fail(EXIT_USAGE, "--renew is for credentials: give some by --file or --env");
	if (a->renew > 0 && a->envs.n > 0)
		return fail(EXIT_USAGE,
			    "a signal does not change the environment of a process that runs: with "
			    "--env use --renew=restart, or give a --file");
	return EXIT_DONE;
}

static int run(struct gifts *g)
{
	int status;

	if (g->args->renew != RENEW_NOT)
		return renew_run(g);
	status = gifts_fetch(g);
	if (status == EXIT_DONE)
		status = gifts_environment(g, "self");
	return status == EXIT_DONE ? gifts_exec(g, true) : status;
}

int cmd_run(const struct args *a)
{
	struct gifts g;
	int status = check_renew(a);

	if (status != EXIT_DONE)
		return status;
	status = gifts_init(&g, a);
	if (status == EXIT_DONE)
		status = run(&g);
	gifts_done(&g);
	return status;
}
