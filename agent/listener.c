/*
 * agent/listener.c - see listener.h. A client over a limit is told so and closed: it never hangs,
 * nor do others.
 */
#include "agent/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "agent/connection.h"
#include "protocol/base/fd.h"

enum {
	ACCEPTS_AT_ONCE = 64,
	SPARE_DESCRIPTORS = 16, /* for what calls need: who asks, what a policy says */
};
static const uint64_t PAUSE_US = 200 * 1000;

struct listener {
	struct agent *agent;
	int fd;
	int last;    /* descriptors from here on are kept for other things */
	int reserve; /* given up to take a client in, and refuse it, when descriptors have run out */
	bool made_here;
	ino_t inode; /* of the socket made here */
	sd_event_source *source;
	sd_event_source *pause_timer;
};

/* ---- clients --------------------------------------------------------------------------------- */

/* Nobody waits for what this says, so a full socket is as good as a read one. */
static void refuse(int fd, const char *limit, uint64_t max)
{
	char text[160];
	int n = snprintf(text, sizeof(text),
			 "{\"error\":\"io.jeton.Agent.LimitReached\",\"parameters\":{\"limit\":\"%"
			 "s\",\"max\":%llu}}",
			 limit, (unsigned long long)max);

	(void)!send(fd, text, (size_t)n + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static bool may_be_admin(struct agent *a, const struct peer *peer, int fd)
{
	struct peer settled = *peer;
	bool admin;

	if (peer_settle(&settled, fd) != PEER_HERE)
		return false;
	admin = a->user ? settled.uid == a->uid
			: settled.uid == 0 ||
				  (a->has_admin_gid && peer_is_member(&settled, a->admin_gid));
	peer_done(&settled);
	return admin;
}

/* Whether there is room, and why not. Some is kept for administrators. */
static const char *limit_reached(struct agent *a, const struct peer *peer,
				 const struct client *client, int fd, uint64_t *ret_max)
{
	const struct settings *s = &a->settings;
	uint64_t kept = s->max_connections > 2 * ADMIN_CONNECTIONS ? ADMIN_CONNECTIONS : 0;
	bool full = a->n_connections + kept >= s->max_connections;

	if (client->n_connections > s->max_connections_per_user) {
		*ret_max = s->max_connections_per_user;
		return "MaxConnectionsPerUser";
	}
	if (!full || (a->n_connections < s->max_connections && may_be_admin(a, peer, fd)))
		return NULL;
	*ret_max = s->max_connections;
	return "MaxConnections";
}

static void take_client(struct agent *a, int fd)
{
	struct client *client;
	const char *limit;
	struct peer peer;
	uint64_t max;

	if (peer_init(&peer, fd) < 0) {
		close(fd);
		return;
	}
	client = client_get(a, peer.uid);
	if (!client) {
		close(fd);
		return;
	}
	limit = limit_reached(a, &peer, client, fd, &max);
	if (limit) {
		log_limited(&a->limit_full, agent_monotonic(a),
			    "a connection of uid %u was refused: %s=%llu is reached",
			    (unsigned)peer.uid, limit, (unsigned long long)max);
		refuse(fd, limit, max);
		client_put(a, client);
	} else if (connection_new(a, fd, &peer, client) < 0) {
		client_put(a, client);
	}
}

static int on_pause_over(sd_event_source *source, uint64_t at_us, void *userdata)
{
	struct listener *l = userdata;

	(void)source;
	(void)at_us;
	if (l->reserve < 0)
		l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return sd_event_source_set_enabled(l->source, SD_EVENT_ON);
}

/* Descriptors have run out: the listener rests for a moment. */
static void rest(struct listener *l)
{
	struct agent *a = l->agent;

	log_limited(&a->limit_full, agent_monotonic(a),
		    "no descriptors are left for more clients: raise LimitNOFILE= (%zu connections now)",
		    a->n_connections);
	(void)sd_event_source_set_enabled(l->source, SD_EVENT_OFF);
	(void)sd_event_source_set_time_relative(l->pause_timer, PAUSE_US);
	(void)sd_event_source_set_enabled(l->pause_timer, SD_EVENT_ONESHOT);
}

/* Not one is left, so the one that is kept for this lets the client in that waits, to be told. */
static void refuse_with_reserve(struct listener *l)
{
	int fd;

	if (l->reserve < 0)
		return;
	close(l->reserve);
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		refuse(fd, "descriptors", l->agent->n_connections);
	l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int on_client(sd_event_source *source, int listen_fd, uint32_t events, void *userdata)
{
	struct listener *l = userdata;
	int fd;

	(void)source;
	(void)events;
	for (unsigned i = 0; i < ACCEPTS_AT_ONCE; i++) {
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0 && fd < l->last) {
			take_client(l->agent, fd);
			continue;
		}
		if (fd >= 0) {
			refuse(fd, "descriptors", l->agent->n_connections);
			rest(l);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			refuse_with_reserve(l);
			rest(l);
		}
		/* All else is the trouble of one client, or nobody waits. */
		break;
	}
	return 0;
}

/* ---- the socket ------------------------------------------------------------------------------ */

static int take_passed(struct listener *l, int n)
{
	int fd = SD_LISTEN_FDS_START;

	if (n > 1) {
		log_error("systemd passed %d sockets (descriptors 3 to %d), but one is wanted: "
			  "leave one ListenStream= in the .socket unit",
			  n, SD_LISTEN_FDS_START + n - 1);
		return -EINVAL;
	}
	if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0) {
		log_error("descriptor %d, passed by systemd, is no listening Unix stream socket: "
			  "use ListenStream= with a path in the .socket unit",
			  fd);
		return -EINVAL;
	}
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	l->fd = fd;
	return 0;
}

/* Whether somebody listens at the address. */
static bool is_alive(const struct sockaddr_un *address)
{
	_cleanup_close_
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return false;
	return connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	       errno == EAGAIN;
}

/* A socket that a killed agent left is taken away; anything else is left alone. */
static int clear_address(const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		log_error("%s is in the way and no socket: move it away, or give another --socket",
			  address->sun_path);
		return -EADDRINUSE;
	}
	if (is_alive(address)) {
		log_error("another agent listens at %s: stop it, or give another --socket",
			  address->sun_path);
		return -EADDRINUSE;
	}
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int bind_with_mode(int fd, const struct sockaddr_un *address, mode_t mode)
{
	/* The mode is the socket's from its first moment: nobody gets in before. */
	mode_t before = umask(~mode & 0777);
	int r = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;

	umask(before);
	return r;
}

static int make_socket(struct listener *l)
{
	struct agent *a = l->agent;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_
	int fd = -1;
	const char *slash;
	struct stat st;
	int r;

	if (strlen(a->paths.socket) >= sizeof(address.sun_path)) {
		log_error("%s is too long for a socket's path: %zu bytes at most", a->paths.socket,
			  sizeof(address.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, a->paths.socket, strlen(a->paths.socket));
	slash = strrchr(a->paths.socket, '/');
	/* Where that fails, bind() says so. */
	if (slash && slash != a->paths.socket)
		(void)directory_make(a->paths.socket, (size_t)(slash - a->paths.socket),
				     a->user ? 0700 : 0755);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = clear_address(&address);
	if (r < 0)
		return r;
	r = bind_with_mode(fd, &address, (mode_t)a->settings.socket_mode);
	if (r == 0 && listen(fd, SOMAXCONN) < 0)
		r = -errno;
	if (r < 0) {
		log_error("no socket could be made at %s: %s", a->paths.socket, strerror(-r));
		return r;
	}
	l->inode = lstat(a->paths.socket, &st) == 0 ? st.st_ino : 0;
	l->made_here = true;
	l->fd = steal_fd(&fd);
	return 0;
}

static int watch(struct listener *l)
{
	sd_event *event = l->agent->event;
	int r;

	r = sd_event_add_io(event, &l->source, l->fd, EPOLLIN, on_client, l);
	if (r < 0)
		return r;
	r = sd_event_add_time_relative(event, &l->pause_timer, CLOCK_MONOTONIC, 0, 0, on_pause_over,
				       l);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(l->pause_timer, SD_EVENT_OFF);
}

static int descriptor_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT_MAX ? (int)limit.rlim_cur : INT_MAX;
}

int listener_start(struct agent *a)
{
	struct listener *l = calloc(1, sizeof(*l));
	int n, r;

	if (!l)
		return -ENOMEM;
	a->listener = l;
	l->agent = a;
	l->fd = -1;
	l->last = descriptor_limit() - SPARE_DESCRIPTORS;
	l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	n = sd_listen_fds(1);
	if (n < 0) {
		log_error("$LISTEN_FDS is wrong: %s", strerror(-n));
		return n;
	}
	r = n > 0 ? take_passed(l, n) : make_socket(l);
	return r < 0 ? r : watch(l);
}

void listener_stop(struct agent *a)
{
	struct listener *l = a->listener;
	struct stat st;

	if (!l)
		return;
	a->listener = NULL;
	sd_event_source_unref(l->source);
	sd_event_source_unref(l->pause_timer);
	/* Only what was made here: by now the path may be somebody else's. */
	if (l->made_here && lstat(a->paths.socket, &st) == 0 && st.st_ino == l->inode)
		(void)!unlink(a->paths.socket);
	if (l->fd >= 0)
		close(l->fd);
	if (l->reserve >= 0)
		close(l->reserve);
	free(l);
}
