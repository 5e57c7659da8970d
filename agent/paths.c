/* agent/paths.c - see paths.h. */
#include "agent/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int join(const char *a, const char *b, const char *c, const char **ret)
{
	char *path;

	if (asprintf(&path, "%s%s%s", a, b, c) < 0)
		return -ENOMEM;
	*ret = path;
	return 0;
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	/* The base directories must be absolute; others are to be ignored. */
	return value && value[0] == '/' ? value : NULL;
}

/* $XDG_name/more, or $HOME/otherwise/more. */
static int in_base(const char *xdg, const char *otherwise, const char *more, const char **ret,
		   const char **ret_missing)
{
	const char *base = variable(xdg), *home;

	if (base)
		return join(base, more, "", ret);
	home = variable("HOME");
	if (!home || !otherwise) {
		*ret_missing = otherwise ? "HOME" : xdg;
		return -ENOENT;
	}
	return join(home, otherwise, more, ret);
}

static int complete_user(struct paths *p, const char **ret_missing)
{
	int r = 0;

	/* An agent beside others has a socket for credentials only where it is told where. */
	if (!p->socket && !p->credential_socket)
		r = in_base("XDG_RUNTIME_DIR", NULL, "/jeton/credential.sock", &p->credential_socket,
			    ret_missing);
	if (r == 0 && !p->socket)
		r = in_base("XDG_RUNTIME_DIR", NULL, "/jeton/agent.sock", &p->socket, ret_missing);
	if (r == 0 && !p->config)
		r = in_base("XDG_CONFIG_HOME", "/.config", "/jeton/jeton.conf", &p->config,
			    ret_missing);
	if (r == 0 && p->n_policy_dirs == 0)
		r = in_base("XDG_CONFIG_HOME", "/.config", "/jeton/policy.d",
			    &p->policy_dirs[p->n_policy_dirs++], ret_missing);
	if (r == 0 && !p->state && !p->anchor)
		r = in_base("XDG_STATE_HOME", "/.local/state", "/jeton-anchor", &p->anchor, ret_missing);
	if (r == 0 && !p->state)
		r = in_base("XDG_STATE_HOME", "/.local/state", "/jeton", &p->state, ret_missing);
	return r;
}

/*
 * By $STATE_DIRECTORY, where the second directory of a unit is the anchor's and a unit that has but one
 * has no anchor; else in their usual places.
 */
static int complete_state(struct paths *p)
{
	const char *given = variable("STATE_DIRECTORY");
	char *rest, *anchor;

	if (!given) {
		p->state = "/var/lib/jeton";
		p->anchor = p->anchor ? p->anchor : "/var/lib/jeton-anchor";
		return 0;
	}
	rest = strdup(given);
	if (!rest)
		return -ENOMEM;
	p->state = strsep(&rest, ":");
	anchor = strsep(&rest, ":");
	if (!p->anchor)
		p->anchor = anchor;
	return 0;
}

static int complete_system(struct paths *p)
{
	if (!p->socket && !p->credential_socket)
		p->credential_socket = "/run/jeton/credential.sock";
	if (!p->socket)
		p->socket = "/run/jeton/agent.sock";
	if (!p->config)
		p->config = "/etc/jeton/jeton.conf";
	if (p->n_policy_dirs == 0) {
		p->policy_dirs[p->n_policy_dirs++] = "/etc/jeton/policy.d";
		p->policy_dirs[p->n_policy_dirs++] = "/run/jeton/policy.d";
		p->policy_dirs[p->n_policy_dirs++] = "/usr/lib/jeton/policy.d";
	}
	return p->state ? 0 : complete_state(p);
}

int paths_complete(struct paths *p, bool user, const char **ret_missing)
{
	if (user)
		return complete_user(p, ret_missing);
	return complete_system(p);
}

int directory_make(const char *path, size_t n, mode_t mode)
{
	_cleanup_free_
	char *copy = strndup(path, n);

	if (!copy)
		return -ENOMEM;
	for (char *slash = copy + 1; *slash; slash++) {
		if (*slash != '/')
			continue;
		*slash = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(copy, mode) < 0 && errno != EEXIST ? -errno : 0;
}
