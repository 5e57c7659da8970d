/*
 * ctl/restore-place.c - the directory is the agent's, which may be a user with fewer rights than
 * this tool has: nothing there is followed, and what is put there is new and becomes that user's.
 */
#include "ctl/restore-place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/agent-paths.h"
#include "ctl/output.h"
#include "protocol/base/fd.h"
#include "protocol/jeton.h"

#define KEY_FILE "restore.pub"
#define FILE_NAME "restore"
#define RESULT_FILE "restore.result"

/* ---- where it is ---- */

static int own_state(char *dst, size_t size)
{
	const char *base = secure_getenv("XDG_STATE_HOME"), *home = secure_getenv("HOME");
	int n;

	if (base && *base == '/')
		n = snprintf(dst, size, "%s/jeton", base);
	else if (home && *home == '/')
		n = snprintf(dst, size, "%s/.local/state/jeton", home);
	else
		return fail(EXIT_FAILED, "neither $XDG_STATE_HOME nor $HOME is set: --state says "
					 "where the agent's state is");
	return (size_t)n < size ? EXIT_DONE : fail(EXIT_FAILED, "$HOME is too long");
}

/* Of an agent at a socket of its own its command line tells where its state is, or --state does. */
static int find(const struct args *a, const char *socket, struct restore_place *p)
{
	char usual[128];
	unsigned flags = JETON_SOCKET_NO_ENV | (a->user ? JETON_SOCKET_USER : 0);

	if (a->state) {
		snprintf(p->path, sizeof(p->path), "%s", a->state);
		return EXIT_DONE;
	}
	if (agent_path(socket, "--state", p->path, sizeof(p->path)))
		return EXIT_DONE;
	if (jeton_socket_path(flags, usual, sizeof(usual)) < 0 || strcmp(usual, socket) != 0)
		return fail(EXIT_USAGE,
			    "the agent at %s is none of the usual ones: --state DIR says where its "
			    "state is",
			    socket);
	if (a->user)
		return own_state(p->path, sizeof(p->path));
	snprintf(p->path, sizeof(p->path), "/var/lib/jeton");
	return EXIT_DONE;
}

static int say_not_opened(const struct restore_place *p, int error)
{
	if (error == EACCES || error == EPERM)
		return fail(EXIT_DENIED,
			    "%s can't be opened: a restore is for root, or for the user that the "
			    "agent runs as",
			    p->path);
	if (error == ENOENT)
		return fail(EXIT_FAILED,
			    "there is no state directory %s: start jetond there once, which makes "
			    "it, or name another one by --state",
			    p->path);
	return fail(EXIT_FAILED, "the agent's state directory %s can't be opened: %s", p->path,
		    strerror(error));
}

static int say_no_key(const struct restore_place *p)
{
	return fail(
		EXIT_FAILED,
		"no agent can take a backup from %s, as there is no " KEY_FILE
		": start jetond there once, which makes it (with Storage=volatile it does not), "
		"or name another directory by --state",
		p->path);
}

static int read_key(struct restore_place *p)
{
	_cleanup_close_ int fd =
		openat(p->dir_fd, KEY_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return say_not_opened(p, errno);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    fd_read_all(fd, p->public_key, sizeof(p->public_key)) != sizeof(p->public_key))
		return say_no_key(p);
	if (geteuid() != 0 && geteuid() != st.st_uid)
		return say_not_opened(p, EPERM);
	p->uid = st.st_uid;
	p->gid = st.st_gid;
	return EXIT_DONE;
}

int restore_place_open(const struct args *a, const char *socket, struct restore_place *ret)
{
	struct restore_place p = RESTORE_PLACE_NONE;
	int status = find(a, socket, &p);

	if (status != EXIT_DONE)
		return status;
	p.dir_fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p.dir_fd < 0)
		return say_not_opened(&p, errno);
	status = read_key(&p);
	if (status == EXIT_DONE)
		*ret = p;
	else
		restore_place_close(&p);
	return status;
}

void restore_place_close(struct restore_place *p)
{
	if (p->dir_fd >= 0)
		close(p->dir_fd);
	p->dir_fd = -1;
}

/* ---- what is put there ---- */

static int say_not_put(const struct restore_place *p, int r)
{
	if (r == -EEXIST)
		return fail(EXIT_FAILED,
			    "%s/" FILE_NAME
			    " is there already: a restore before this one waits for the agent to "
			    "start, to be unlocked or to reload; remove it to restore this one "
			    "instead",
			    p->path);
	return fail(EXIT_FAILED, "can't write to %s: %s; nothing has changed", p->path,
		    strerror(-r));
}

int restore_place_begin(const struct restore_place *p, struct new_file *ret)
{
	int dir_fd = openat(p->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir_fd < 0 ? -errno : new_file_begin(dir_fd, FILE_NAME, ret);

	return r < 0 ? say_not_put(p, r) : EXIT_DONE;
}

int restore_place_give(const struct restore_place *p, struct new_file *f)
{
	int r = 0;

	/* It is of another run. */
	(void)unlinkat(p->dir_fd, RESULT_FILE, 0);
	if (geteuid() != p->uid && fchown(f->fd, p->uid, p->gid) < 0)
		r = -errno;
	if (r == 0)
		r = new_file_finish(f);
	else
		new_file_drop(f);
	return r < 0 ? say_not_put(p, r) : EXIT_DONE;
}

/* ---- what the agent says ---- */

int restore_place_result(const struct restore_place *p,
			 const uint8_t start[static BACKUP_START_LEN], struct backup_result *ret)
{
	_cleanup_close_ int fd =
		openat(p->dir_fd, RESULT_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	uint8_t data[BACKUP_RESULT_LEN];
	struct backup_result result;

	if (fd < 0 || fd_read_all(fd, data, sizeof(data)) != sizeof(data) ||
	    backup_result_read(data, &result) != BACKUP_GOOD ||
	    memcmp(result.start, start, sizeof(result.start)) != 0)
		return -ENOENT;
	(void)unlinkat(p->dir_fd, RESULT_FILE, 0);
	*ret = result;
	return 0;
}
