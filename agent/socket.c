/* agent/socket.c - see socket.h. */
#include "agent/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "agent/fdstore.h"
#include "agent/log.h"
#include "agent/paths.h"

/*
 * ---- passed by systemd -------------------------------------------------------------------------
 */

static bool is_for_credentials(int fd, const char *name, const char *path)
{
	if (name && strstr(name, "credential"))
		return true;
	return path && sd_is_socket_unix(fd, SOCK_STREAM, 1, path, 0) > 0;
}

static int take_passed(int fd, const char *name, const char *credential_path, int *ret_agent,
		       int *ret_credential)
{
	int *ret = is_for_credentials(fd, name, credential_path) ? ret_credential : ret_agent;

	if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0) {
		log_error("descriptor %d (%s), passed by systemd, is no listening Unix stream "
			  "socket: "
			  "use ListenStream= with a path in the .socket unit",
			  fd, name ? name : "unnamed");
		return -EINVAL;
	}
	if (*ret >= 0) {
		log_error("descriptors %d and %d, passed by systemd, are both %s: leave one "
			  "ListenStream= in the "
			  ".socket unit, or name the socket for LoadCredential= by "
			  "FileDescriptorName=credential",
			  *ret, fd,
			  ret == ret_agent ? "the agent's socket" : "for LoadCredential=");
		return -EINVAL;
	}
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	*ret = fd;
	return 0;
}

int sockets_passed(const char *credential_path, int *ret_agent, int *ret_credential)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names), r = 0;

	if (n < 0) {
		log_error("$LISTEN_FDS is wrong: %s; unset it where nobody passes sockets", strerror(-n));
		return n;
	}
	for (int i = 0; i < n; i++) {
		/* What systemd kept for us has been taken already. */
		if (r == 0 && !fdstore_is_ours(names[i]))
			r = take_passed(SD_LISTEN_FDS_START + i, names[i], credential_path,
					ret_agent, ret_credential);
		free(names[i]);
	}
	free(names);
	return r;
}

bool sockets_are_passed(void)
{
	int n = sd_listen_fds(0);

	for (int i = 0; i < n; i++)
		if (sd_is_socket(SD_LISTEN_FDS_START + i, AF_UNIX, SOCK_STREAM, 1) > 0)
			return true;
	return false;
}

/*
 * ---- made here ---------------------------------------------------------------------------------
 */

/* Whether somebody listens at the address. */
static bool is_alive(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return false;
	return connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	       errno == EAGAIN;
}

/* A socket that a killed agent left is taken away; anything else is left alone. */
static int clear_address(const struct sockaddr_un *address, const char *option)
{
	struct stat st;
	int r;

	if (lstat(address->sun_path, &st) < 0) {
		r = -errno;
		if (r != -ENOENT)
			log_error("can't look at %s: %s", address->sun_path, strerror(-r));
		return r == -ENOENT ? 0 : r;
	}
	if (!S_ISSOCK(st.st_mode)) {
		log_error("%s is in the way and no socket: move it away, or give another %s",
			  address->sun_path, option);
		return -EADDRINUSE;
	}
	if (is_alive(address)) {
		log_error("another agent listens at %s: stop it, or give another %s",
			  address->sun_path, option);
		return -EADDRINUSE;
	}
	if (unlink(address->sun_path) == 0)
		return 0;
	r = -errno;
	log_error("a socket that nobody serves is in the way at %s, and can't be removed (%s): remove it, or "
		  "give another %s",
		  address->sun_path, strerror(-r), option);
	return r;
}

static int bind_with_mode(int fd, const struct sockaddr_un *address, mode_t mode)
{
	/* The mode is the socket's from its first moment: nobody gets in before. */
	mode_t before = umask(~mode & 0777);
	int r = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;

	umask(before);
	return r;
}

void socket_make_directory(const char *path, mode_t mode)
{
	const char *slash = strrchr(path, '/');
	/* Who may connect must get there, whatever else is made here. */
	mode_t before = umask(~mode & 0777);

	if (slash && slash != path)
		(void)directory_make(path, (size_t)(slash - path), mode);
	umask(before);
}

int socket_make(const char *path, mode_t mode, mode_t directory_mode, const char *option,
		int *ret_fd, ino_t *ret_inode)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (strlen(path) >= sizeof(address.sun_path)) {
		log_error("%s is too long for a socket's path: %zu bytes at most", path,
			  sizeof(address.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, strlen(path));
	socket_make_directory(path, directory_mode);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = clear_address(&address, option);
	if (r < 0)
		return r;
	r = bind_with_mode(fd, &address, mode);
	if (r == 0 && listen(fd, SOMAXCONN) < 0)
		r = -errno;
	if (r < 0) {
		log_error("no socket could be made at %s: %s", path, strerror(-r));
		return r;
	}
	*ret_inode = lstat(path, &st) == 0 ? st.st_ino : 0;
	*ret_fd = steal_fd(&fd);
	return 0;
}
