/*
 * ctl/policy-disk.c - by the times of change that the kernel keeps, of the files and of their
 * directories (for those that came or went): these can't be set back. They are as coarse as the
 * kernel's clock tick, so that a change within some milliseconds after the reading is not seen.
 */
#include "ctl/policy-disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/agent-paths.h"
#include "protocol/base/cleanup.h"

bool policy_disk_find(const struct args *a, struct jeton *jeton, struct policy_dirs *ret)
{
	char asked[4096], usual[4096];
	uint32_t uid = 0;

	policy_dirs_find(a->user, ret);
	/* A socket that systemd made is root's, whoever the agent is. */
	if (jeton_agent_uid(jeton, &uid) == 0 && uid != 0)
		ret->trusted_uid = uid;
	if (a->policy_dir) {
		ret->paths[0] = a->policy_dir;
		ret->n = 1;
		return true;
	}
	if (a->socket)
		snprintf(asked, sizeof(asked), "%s", a->socket);
	else if (jeton_socket_path(a->user ? JETON_SOCKET_USER : 0, asked, sizeof(asked)) < 0)
		return false;
	if (agent_path(asked, "--policy", ret->room, sizeof(ret->room))) {
		ret->paths[0] = ret->room;
		ret->n = 1;
		return true;
	}
	return jeton_socket_path((a->user ? JETON_SOCKET_USER : 0) | JETON_SOCKET_NO_ENV, usual,
				 sizeof(usual)) >= 0 &&
	       !strcmp(asked, usual);
}

static int64_t changed_us(const struct stat *st)
{
	return (int64_t)st->st_ctim.tv_sec * 1000000 + st->st_ctim.tv_nsec / 1000;
}

static bool is_policy(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return n > 7 && !strcmp(entry->d_name + n - 7, ".policy");
}

struct looking {
	int64_t loaded_us;
	void (*on_change)(void *userdata, const char *path);
	void *userdata;
	bool any;
};

static void look_at_files(struct looking *l, const char *path, DIR *dir)
{
	struct dirent *entry;
	char name[4352];
	struct stat st;

	while ((entry = readdir(dir))) {
		if (!is_policy(entry) || fstatat(dirfd(dir), entry->d_name, &st, 0) < 0 ||
		    changed_us(&st) <= l->loaded_us)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		l->on_change(l->userdata, name);
		l->any = true;
	}
}

void policy_disk_changed(const struct policy_dirs *dirs, int64_t loaded_us,
			 void (*on_change)(void *userdata, const char *path), void *userdata)
{
	struct looking l = { loaded_us, on_change, userdata, false };
	struct stat st;
	DIR *dir;

	for (size_t i = 0; i < dirs->n; i++) {
		dir = opendir(dirs->paths[i]);
		if (!dir)
			continue;
		l.any = false;
		look_at_files(&l, dirs->paths[i], dir);
		/* Its own change is told where it is all that shows it: a file that went. */
		if (!l.any && fstat(dirfd(dir), &st) == 0 && changed_us(&st) > loaded_us)
			on_change(userdata, dirs->paths[i]);
		closedir(dir);
	}
}
