/*
 * agent/sandbox.c - who goes behind which wall, and what is said where there is none.
 *
 * A wall that can't be built is no reason not to serve: an old kernel or a container without
 * Landlock is what the unit's walls, or nobody's, are then for.
 *
 * The sanitizers need calls and files of their own; their builds have no walls.
 */
#include "agent/sandbox.h"

#include <string.h>
#include <sys/prctl.h>

#include "agent/log.h"
#include "agent/sandbox-walls.h"

#ifdef JETON_SANITIZED
static const bool is_wanted = false;
#else
static const bool is_wanted = true;
#endif

void sandbox_enter_process(struct sandbox *s)
{
	int r;

	if (!is_wanted)
		return;
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* Files first: the calls that this takes may be refused afterwards. */
	r = sandbox_limit_files(SANDBOX_PROCESS, s);
	s->has_files = r == 0;
	if (r < 0)
		log_notice("the kernel does not limit which files the agent touches (Landlock: "
			   "%s): it goes on "
			   "without",
			   strerror(-r));
	r = sandbox_limit_calls(SANDBOX_PROCESS, s);
	s->has_calls = r == 0;
	if (r < 0)
		log_notice("the kernel does not limit which system calls the agent makes (seccomp: "
			   "%s): it goes "
			   "on without",
			   strerror(-r));
}

static void enter(enum sandbox_part part, const struct sandbox *s, const char *whose)
{
	int r = s->has_files ? sandbox_limit_files(part, s) : 0;

	if (r == 0 && s->has_calls)
		r = sandbox_limit_calls(part, s);
	if (r < 0)
		log_notice("%s is not limited further than the whole agent is: %s", whose,
			   strerror(-r));
}

void sandbox_enter_store(void *userdata)
{
	enter(SANDBOX_STORE, userdata, "the store's thread");
}

void sandbox_enter_loop(const struct sandbox *s)
{
	enter(SANDBOX_LOOP, s, "the agent's loop");
}
