/*
 * agent/listener.c - see listener.h. A client over a limit is told so and closed: it never hangs,
 * nor do others.
 */
#include "agent/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent/closer.h"
#include "agent/connection.h"
#include "agent/loadcred.h"
#include "agent/socket.h"
#include "protocol/base/fd.h"

enum {
	ACCEPTS_AT_ONCE = 4,
	HOG = 4,		  /* times as many connections as others have */
	SPARE_DESCRIPTORS = 16, /* for what calls need: who asks, what a policy says */
};
static const uint64_t PAUSE_US = 200 * 1000;

/*
 * What clients leave unread is the kernel's memory, charged to the agent: some 200 KiB each unless it is told. The more
 * connections a user has, or all have, the less room each new one has for that.
 */
static const struct {
	size_t of_user, of_all; /* from so many connections on */
	int bytes;		/* the kernel doubles it, and knows a least */
} rooms[] = {
	{ SIZE_MAX, 512, 1 },
	{ SIZE_MAX, 64, 8 * 1024 },
	{ 16, SIZE_MAX, 16 * 1024 },
};

struct listener {
	struct agent *agent;
	const char *path;
	void (*take)(struct agent *a, int fd);
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
	closer_close_socket(fd);
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

/* Who has the most connections. */
static struct client *largest_client(struct agent *a)
{
	struct client *largest = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(a->clients); i++)
		for (struct client *c = a->clients[i]; c; c = c->next)
			if (!largest || c->n_connections > largest->n_connections)
				largest = c;
	return largest;
}

/*
 * All places are taken: who has many times as many as the newcomer's user loses one, the oldest that nothing is being
 * done for, or else the oldest whose client leaves its replies unread. Else a few users could keep everybody else out.
 * Whether that made room.
 */
static bool make_room(struct agent *a, const struct client *client)
{
	struct client *largest = largest_client(a);
	struct connection *oldest = NULL, *unread = NULL;

	if (largest->n_connections <= HOG * client->n_connections)
		return false;
	for (struct connection *c = a->connections; c; c = c->next) {
		if (c->client == largest && connection_is_at_rest(c))
			oldest = c;
		if (c->client == largest && c->rest)
			unread = c;
	}
	if (!oldest)
		oldest = unread;
	if (!oldest)
		return false;
	log_limited(&a->limit_full, agent_monotonic(a),
		    "a connection of uid %u, which has %u of them, was closed for others to have one",
		    (unsigned)largest->uid, largest->n_connections);
	connection_close(oldest);
	return true;
}

static void limit_unread(struct agent *a, const struct client *client, int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++)
		if (client->n_connections > rooms[i].of_user || a->n_connections > rooms[i].of_all) {
			(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &rooms[i].bytes, sizeof(rooms[i].bytes));
			return;
		}
}

static void take_client(struct agent *a, int fd)
{
	struct client *client;
	const char *limit;
	struct peer peer;
	uint64_t max;

	if (peer_init(&peer, fd) < 0) {
		closer_close_socket(fd);
		return;
	}
	client = client_get(a, peer.uid);
	if (!client) {
		closer_close_socket(fd);
		return;
	}
	limit = limit_reached(a, &peer, client, fd, &max);
	if (limit && strcmp(limit, "MaxConnections") == 0 && make_room(a, client))
		limit = NULL;
	if (limit) {
		log_limited(&a->limit_full, agent_monotonic(a),
			    "a connection of uid %u was refused: %s=%llu is reached",
			    (unsigned)peer.uid, limit, (unsigned long long)max);
		refuse(fd, limit, max);
		client_put(a, client);
		return;
	}
	limit_unread(a, client, fd);
	if (connection_new(a, fd, &peer, client) < 0)
		client_put(a, client);
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

/* To accept where nobody waits makes a socket and takes it down again: some ten times what this costs. */
static bool somebody_waits(int listen_fd)
{
	struct pollfd p = { .fd = listen_fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static int on_client(sd_event_source *source, int listen_fd, uint32_t events, void *userdata)
{
	struct listener *l = userdata;
	int fd;

	(void)source;
	(void)events;
	for (unsigned i = 0; i < ACCEPTS_AT_ONCE && (i == 0 || somebody_waits(listen_fd)); i++) {
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0 && fd < l->last) {
			l->take(l->agent, fd);
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

/* ---- the listeners --------------------------------------------------------------------------- */

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

static struct listener *listener_new(struct agent *a, const char *path, void (*take)(struct agent *a, int fd))
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->agent = a;
	l->path = path;
	l->take = take;
	l->fd = -1;
	l->last = descriptor_limit() - SPARE_DESCRIPTORS;
	l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return l;
}

static int make_and_watch(struct listener *l, mode_t mode, const char *option)
{
	int r;

	if (l->fd < 0) {
		r = socket_make(l->path, mode, l->agent->user ? 0700 : 0755, option, &l->fd, &l->inode);
		if (r < 0)
			return r;
		l->made_here = true;
	}
	return watch(l);
}

int listener_start(struct agent *a)
{
	struct listener *l, *credentials;
	int r;

	a->listener = l = listener_new(a, a->paths.socket, take_client);
	a->credential_listener = credentials = listener_new(a, a->paths.credential_socket, loadcred_take);
	if (!l || !credentials)
		return -ENOMEM;
	r = sockets_passed(a->paths.credential_socket, &l->fd, &credentials->fd);
	if (r < 0)
		return r;
	r = make_and_watch(l, (mode_t)a->settings.socket_mode, "--socket");
	if (r < 0 || (!credentials->path && credentials->fd < 0))
		return r;
	/* Where systemd passes sockets, it is systemd that says whether there is this one. */
	if (credentials->fd < 0 && !l->made_here)
		return 0;
	return make_and_watch(credentials, 0600, "--credential-socket");
}

static void stop(struct listener *l)
{
	struct stat st;

	if (!l)
		return;
	sd_event_source_unref(l->source);
	sd_event_source_unref(l->pause_timer);
	/* Only what was made here: by now the path may be somebody else's. */
	if (l->made_here && lstat(l->path, &st) == 0 && st.st_ino == l->inode)
		(void)!unlink(l->path);
	if (l->fd >= 0)
		close(l->fd);
	if (l->reserve >= 0)
		close(l->reserve);
	free(l);
}

void listener_stop(struct agent *a)
{
	stop(STEAL_PTR(a->listener));
	stop(STEAL_PTR(a->credential_listener));
}
