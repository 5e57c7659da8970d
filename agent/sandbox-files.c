/*
 * agent/sandbox-files.c - Landlock: which files are touched, and how.
 *
 * To read is not limited but for the store's thread. Policies may be links to anywhere, an NSS
 * module reads what it likes, and what the agent's user may read is little; what whoever takes the
 * agent over must not get is a file to leave something in, and a program to run.
 *
 * A kernel knows the rights of its own version: it is asked which, and the rest is not asked for.
 * What is asked for is refused wherever no rule gives it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sandbox-walls.h"

/* Newer than the headers of Linux 6.1. */
#define ACCESS_TRUNCATE ((uint64_t)1 << 14)
#define ACCESS_BIND_TCP ((uint64_t)1 << 0)
#define ACCESS_CONNECT_TCP ((uint64_t)1 << 1)
#define SCOPE_ABSTRACT_SOCKETS ((uint64_t)1 << 0)
#define SCOPE_SIGNALS ((uint64_t)1 << 1)

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* To make files there, write to them, and have them change their names and end. */
#define KEEP                                                                             \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE | LANDLOCK_ACCESS_FS_MAKE_REG | \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE)
/* To rename what somebody else put there, whatever it is, takes the rights to make and remove one. */
#define SET_ASIDE                                                                        \
	(LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |                   \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SOCK |                   \
	 LANDLOCK_ACCESS_FS_MAKE_SYM)
#define MAKE_SOCKET (LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define REMOVE_SOCKET LANDLOCK_ACCESS_FS_REMOVE_FILE

static const struct {
	bool may_read, may_connect;    /* any file; by TCP */
	uint64_t in_state, in_anchor, in_sockets; /* beneath these directories */
} walls[] = {
	/* The names' thread stays here: an NSS module may well ask a server. */
	[SANDBOX_PROCESS] = { true, true, READ | KEEP | SET_ASIDE, READ | KEEP, MAKE_SOCKET },
	[SANDBOX_STORE] = { false, false, READ | KEEP, READ | KEEP, 0 },
	[SANDBOX_LOOP] = { true, false, READ | KEEP | SET_ASIDE, 0, REMOVE_SOCKET },
};

/* As of version 6; an older kernel takes what it does not know as long as that is zero. */
struct ruleset {
	uint64_t files, net, scoped;
};

static int landlock_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
			       LANDLOCK_CREATE_RULESET_VERSION);

	return version < 0 ? -errno : (int)version;
}

/* Every right to files that the kernel knows, as far as we do. */
static uint64_t known_files(int version)
{
	unsigned n_rights = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;

	return ((uint64_t)1 << n_rights) - 1;
}

/* $NOTIFY_SOCKET may be an abstract one, which is out of the scope of this process. */
static uint64_t known_scopes(int version)
{
	const char *notify = getenv("NOTIFY_SOCKET");

	if (version < 6)
		return 0;
	return notify && notify[0] == '@' ? SCOPE_SIGNALS : SCOPE_SIGNALS | SCOPE_ABSTRACT_SOCKETS;
}

static struct ruleset rights_to_limit(enum sandbox_part part, int version)
{
	return (struct ruleset){
		.files = known_files(version) & ~(walls[part].may_read ? READ : 0),
		.net = version >= 4 && !walls[part].may_connect
			       ? ACCESS_BIND_TCP | ACCESS_CONNECT_TCP
			       : 0,
		.scoped = known_scopes(version),
	};
}

/* Gives the rights beneath the directory that the first n bytes of path name. */
static int give(int ruleset, const char *path, size_t n, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights };
	_cleanup_free_ char *directory = strndup(path, n);
	_cleanup_close_ int fd = -1;

	if (!directory)
		return -ENOMEM;
	fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rule.parent_fd = fd;
	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0U) < 0
		       ? -errno
		       : 0;
}

/* Where the socket's directory is not there, there will be no socket, and that is said elsewhere. */
static int give_beside(int ruleset, const char *socket, uint64_t rights)
{
	const char *slash = strrchr(socket, '/');
	int r;

	if (!slash)
		r = give(ruleset, ".", 1, rights);
	else
		r = give(ruleset, socket, slash == socket ? 1 : (size_t)(slash - socket), rights);
	return r == -ENOENT || r == -ENOTDIR || r == -EACCES ? 0 : r;
}

static int add_rules(int ruleset, enum sandbox_part part, const struct sandbox *s, uint64_t limited)
{
	uint64_t rights = walls[part].in_sockets & limited;
	int r = 0;

	if (s->state_dir)
		r = give(ruleset, s->state_dir, strlen(s->state_dir),
			 walls[part].in_state & limited);
	if (r == 0 && s->anchor_dir && (walls[part].in_anchor & limited))
		r = give(ruleset, s->anchor_dir, strlen(s->anchor_dir),
			 walls[part].in_anchor & limited);
	for (size_t i = 0; r == 0 && rights && i < ARRAY_SIZE(s->sockets); i++)
		if (s->sockets[i])
			r = give_beside(ruleset, s->sockets[i], rights);
	return r;
}

int sandbox_limit_files(enum sandbox_part part, const struct sandbox *s)
{
	int r, version = landlock_version();
	struct ruleset limited;
	_cleanup_close_ int ruleset = -1;

	if (version < 0)
		return version;
	limited = rights_to_limit(part, version);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &limited, sizeof(limited), 0U);
	if (ruleset < 0)
		return -errno;
	r = add_rules(ruleset, part, s, limited.files);
	if (r < 0)
		return r;
	return syscall(SYS_landlock_restrict_self, ruleset, 0U) < 0 ? -errno : 0;
}
