/*
 * ctl/agent-paths.c - the protocol does not tell where an agent's files are, since that is no
 * business of its clients. The kernel tells which process listens, and that one's command line can
 * be read by everyone. It is believed of those alone to whom secrets are sent, too.
 */
#include "ctl/agent-paths.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"

enum { COMMAND_LINE_SIZE = 16384 };

static bool is_believed(uid_t uid)
{
	const struct passwd *agent;

	if (uid == 0 || uid == geteuid())
		return true;
	agent = getpwnam("jeton");
	return agent && agent->pw_uid == uid;
}

/* The process that listens there; 0: none, or none that is believed. */
static pid_t listener_of(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return 0;
	strcpy(address.sun_path, path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return 0;
	return is_believed(cred.uid) ? cred.pid : 0;
}

/* The words of a command line, each ended by NUL, and one more NUL; their number of bytes. */
static size_t read_words(pid_t pid, char words[static COMMAND_LINE_SIZE])
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = fd_read_all(fd, words, COMMAND_LINE_SIZE - 2);
	if (n <= 0)
		return 0;
	words[n] = words[n + 1] = '\0';
	return (size_t)n;
}

/* The value of the last such option, as the agent takes it, a word with it or the next; NULL: it is not there. */
static const char *value_of(const char *words, size_t n, const char *option)
{
	size_t length = strlen(option);
	const char *found = NULL;

	for (const char *w = words; w < words + n; w += strlen(w) + 1)
		if (!strncmp(w, option, length) &&
		    (w[length] == '=' || (w[length] == '\0' && w + length + 1 < words + n)))
			found = w + length + 1;
	return found;
}

bool agent_path(const char *socket, const char *option, char *dst, size_t size)
{
	char words[COMMAND_LINE_SIZE], link[64], start[4096] = "";
	pid_t pid = listener_of(socket);
	const char *value;
	ssize_t length;
	int n;

	value = pid > 0 ? value_of(words, read_words(pid, words), option) : NULL;
	if (!value || !*value)
		return false;
	if (*value != '/') {
		snprintf(link, sizeof(link), "/proc/%d/cwd", (int)pid);
		length = readlink(link, start, sizeof(start) - 2);
		if (length <= 0)
			return false;
		start[length] = '/';
		start[length + 1] = '\0';
	}
	n = snprintf(dst, size, "%s%s", start, value);
	return n > 0 && (size_t)n < size;
}
