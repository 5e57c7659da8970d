/*
 * agent/fdstore.c - see fdstore.h. What was passed is looked at anew each time, which costs a start
 * nothing and spares a place to keep it; the listener, which comes last, takes the variables away.
 */
#include "agent/fdstore.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

bool fdstore_is_there(void)
{
	const char *socket = getenv("NOTIFY_SOCKET");

	return socket && *socket;
}

bool fdstore_is_ours(const char *name)
{
	return name && strncmp(name, FDSTORE_PREFIX, strlen(FDSTORE_PREFIX)) == 0;
}

int fdstore_put(const char *name, int fd)
{
	char text[FDSTORE_NAME_MAX + 32];
	int r;

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	r = sd_pid_notify_with_fds(0, 0, text, &fd, 1);
	if (r == 0)
		return -ENOTCONN;
	return r < 0 ? r : 0;
}

void fdstore_remove(const char *name)
{
	(void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

int fdstore_each(int (*on_descriptor)(void *userdata, const char *name, int fd), void *userdata)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(0, &names), r = 0;

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (r == 0 && fdstore_is_ours(names[i]))
			r = on_descriptor(userdata, names[i], SD_LISTEN_FDS_START + i);
		free(names[i]);
	}
	free(names);
	return r;
}

struct wanted {
	const char *name;
	int fd;
};

static int compare(void *userdata, const char *name, int fd)
{
	struct wanted *wanted = userdata;

	if (strcmp(name, wanted->name) != 0)
		return 0;
	wanted->fd = fd;
	return 1;
}

int fdstore_take(const char *name)
{
	struct wanted wanted = { name, -1 };
	int r = fdstore_each(compare, &wanted);

	if (r < 0)
		return r;
	return r > 0 ? wanted.fd : -ENOENT;
}
