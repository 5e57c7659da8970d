/* ctl/policy-dirs.c - the same places that jetond has built in. */
#include "ctl/policy-dirs.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Of the caller's own agent: one directory, or none where the environment does not say where. */
static void find_own(struct policy_dirs *d)
{
	const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int n = 0;

	d->trusted_uid = geteuid();
	d->paths[0] = d->room;
	/* The base directories must be absolute; others are to be ignored. */
	if (base && base[0] == '/')
		n = snprintf(d->room, sizeof(d->room), "%s/jeton/policy.d", base);
	else if (home && home[0] == '/')
		n = snprintf(d->room, sizeof(d->room), "%s/.config/jeton/policy.d", home);
	d->n = n > 0 && (size_t)n < sizeof(d->room);
}

void policy_dirs_find(bool user, struct policy_dirs *ret)
{
	static const char *const system[] = { "/etc/jeton/policy.d", "/run/jeton/policy.d",
					      "/usr/lib/jeton/policy.d" };
	const struct passwd *agent;

	if (user) {
		find_own(ret);
		return;
	}
	for (ret->n = 0; ret->n < 3; ret->n++)
		ret->paths[ret->n] = system[ret->n];
	agent = getpwnam("jeton");
	ret->trusted_uid = agent ? agent->pw_uid : 0;
}
