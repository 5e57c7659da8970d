/*
 * tests/fuzz/agent-accounts.c - users and groups, in place of libc's look-ups (agent.wrap): a few, always the same,
 * found at once.
 */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/cleanup.h"
#include "tests/fuzz/agent-surround.h"

static const struct account {
	const char *name;
	uid_t uid;
} accounts[] = {
	{ "root", 0 },		{ "alice", UID_ALICE }, { "bob", UID_BOB },
	{ "carol", UID_CAROL }, { "ci", UID_CI },	{ "svc", UID_SERVICE },
};

static int take_account(const struct account *account, struct passwd *pwd, char *buf, size_t size,
			struct passwd **ret)
{
	*ret = NULL;
	if (!account)
		return 0;
	snprintf(buf, size, "%s", account->name);
	*pwd = (struct passwd){ .pw_name = buf, .pw_uid = account->uid, .pw_gid = account->uid };
	*ret = pwd;
	return 0;
}

int __wrap_getpwuid_r(uid_t uid, struct passwd *pwd, char *buf, size_t size, struct passwd **ret);
int __wrap_getpwuid_r(uid_t uid, struct passwd *pwd, char *buf, size_t size, struct passwd **ret)
{
	const struct account *account = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(accounts); i++)
		if (accounts[i].uid == uid)
			account = &accounts[i];
	return take_account(account, pwd, buf, size, ret);
}

int __wrap_getpwnam_r(const char *name, struct passwd *pwd, char *buf, size_t size,
		      struct passwd **ret);
int __wrap_getpwnam_r(const char *name, struct passwd *pwd, char *buf, size_t size,
		      struct passwd **ret)
{
	const struct account *account = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(accounts); i++)
		if (strcmp(accounts[i].name, name) == 0)
			account = &accounts[i];
	return take_account(account, pwd, buf, size, ret);
}

int __wrap_getgrnam_r(const char *name, struct group *grp, char *buf, size_t size,
		      struct group **ret);
int __wrap_getgrnam_r(const char *name, struct group *grp, char *buf, size_t size,
		      struct group **ret)
{
	static char *no_members[] = { NULL };

	*ret = NULL;
	if (strcmp(name, "api") != 0 && strcmp(name, "jeton-admin") != 0)
		return 0;
	snprintf(buf, size, "%s", name);
	*grp = (struct group){ .gr_name = buf,
			       .gr_gid = name[0] == 'a' ? GID_API : GID_ADMIN,
			       .gr_mem = no_members };
	*ret = grp;
	return 0;
}

int __wrap_getgrouplist(const char *user, gid_t group, gid_t *groups, int *n);
int __wrap_getgrouplist(const char *user, gid_t group, gid_t *groups, int *n)
{
	gid_t more = strcmp(user, "bob") == 0	  ? GID_API
		     : strcmp(user, "carol") == 0 ? GID_ADMIN
						  : 0;
	int wanted = more ? 2 : 1, room = *n;

	*n = wanted;
	if (room < wanted)
		return -1;
	groups[0] = group;
	if (more)
		groups[1] = more;
	return wanted;
}
