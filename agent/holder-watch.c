/*
 * agent/holder-watch.c - a process's end is told by its pidfd; a unit's by its control group, with
 * inotify. Nothing polls. The pidfds have an epoll of their own: the event loop looks at all that is
 * ready before each thing it does, and ten thousand that exit at once would stop it for a minute.
 */
#include "agent/holder-internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

enum { EXITS_AT_ONCE = 64 };

static bool has_watch(const struct holder_entry *e, int watch)
{
	for (size_t i = 0; i < N_WATCHES; i++)
		if (e->watches[i] == watch)
			return true;
	return false;
}

/* Two runs of a unit that follow one another may share a group, and so a watch. */
static bool is_watched_by_another(const struct holders *h, const struct holder_entry *e, int watch)
{
	for (size_t i = 0; i < SLOTS; i++)
		for (const struct holder_entry *other = h->slots[i]; other; other = other->next)
			if (other != e && has_watch(other, watch))
				return true;
	return false;
}

void holder_stop_watching(struct holder_entry *e)
{
	struct holders *h = e->agent->holders;

	/* Taken off by name: a close does so only where no other descriptor is of the same pidfd. */
	if (e->pidfd >= 0) {
		(void)epoll_ctl(h->exits, EPOLL_CTL_DEL, e->pidfd, NULL);
		close(e->pidfd);
	}
	e->pidfd = -1;
	for (size_t i = 0; i < ARRAY_SIZE(e->watches); i++) {
		if (e->watches[i] >= 0 && !is_watched_by_another(h, e, e->watches[i]))
			(void)inotify_rm_watch(h->inotify, e->watches[i]);
		e->watches[i] = -1;
	}
}

int holder_on_exits(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct epoll_event ended[EXITS_AT_ONCE];
	int n;

	(void)source;
	(void)events;
	(void)userdata;
	n = epoll_wait(fd, ended, EXITS_AT_ONCE, 0);
	/* One that has died is off the epoll, and what is freed by that has died before. */
	for (int i = 0; i < n; i++)
		holder_die(ended[i].data.ptr);
	return 0;
}

int holder_watch_process(struct holder_entry *e, int *pidfd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = e };

	e->pidfd = steal_fd(pidfd);
	return epoll_ctl(e->agent->holders->exits, EPOLL_CTL_ADD, e->pidfd, &event) < 0 ? -errno : 0;
}

/* 0: the unit still is in that run; -ESRCH: it is not; any other errno: that can't be told now. */
static int look_at_unit(const struct holder_entry *e)
{
	uint8_t now[INVOCATION_LEN];
	int r = unit_invocation(e->path, agent_manager_uid(e->agent), now);

	if (r == 0)
		return memcmp(now, e->holder.invocation, sizeof(now)) == 0 ? 0 : -ESRCH;
	return r == -ENOENT || r == -ENODATA ? -ESRCH : r;
}

/* One watch; those that share a file share it. */
static int add_watch(struct holder_entry *e, enum watch_kind kind, const char *path, uint32_t mask)
{
	e->watches[kind] = inotify_add_watch(e->agent->holders->inotify, path, mask | IN_MASK_ADD);
	if (e->watches[kind] < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return 0;
}

/*
 * A group that empties, and another run of the unit in it (which writes its invocation to the
 * group), prompt a look; so does the group's end, which only the directory above tells of.
 */
int holder_watch_unit(struct holder_entry *e)
{
	char path[UNIT_PATH_MAX + 64];
	int r;

	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cgroup.events", e->path);
	r = add_watch(e, WATCH_EVENTS, path, IN_MODIFY);
	*strrchr(path, '/') = '\0';
	if (r == 0)
		r = add_watch(e, WATCH_GROUP, path, IN_ATTRIB | IN_ONLYDIR);
	*strrchr(path, '/') = '\0';
	if (r == 0)
		r = add_watch(e, WATCH_ABOVE, path, IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR);
	if (r < 0)
		return r;
	return look_at_unit(e);
}

static int watch_remembered_process(struct holder_entry *e)
{
	const struct holders *h = e->agent->holders;
	_cleanup_close_ int pidfd = -1;
	uint64_t inode;
	int r;

	if (!h->has_boot || memcmp(e->holder.boot, h->boot, sizeof(h->boot)) != 0)
		return -ESRCH;
	pidfd = (int)syscall(SYS_pidfd_open, e->holder.pid, 0);
	/* The number is a thread's by now: EINVAL, or ENOENT since Linux 6.15. */
	if (pidfd < 0)
		return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
	if (!holder_has_descriptors(pidfd))
		return -EMFILE;
	r = holder_inode_of(pidfd, &inode);
	if (r < 0)
		return r == -EOPNOTSUPP ? -ESRCH : r;
	if (inode != e->holder.pidfd_inode || holder_has_ended(pidfd))
		return -ESRCH;
	return holder_watch_process(e, &pidfd);
}

int holder_watch_remembered(struct holder_entry *e)
{
	return e->binding == BINDING_UNIT ? holder_watch_unit(e) : watch_remembered_process(e);
}

void holder_note_look(struct holder_entry *e, int r)
{
	if (r == -ESRCH) {
		holder_die(e);
	} else if (r < 0) {
		log_limited(&e->agent->limit_fds, agent_monotonic(e->agent),
			    "whether a holder of bound tokens still lives can't be told now: %s",
			    strerror(-r));
		e->unsure = true;
		holder_try_later(e->agent->holders);
	}
}

void holder_look_again(struct agent *a)
{
	struct holder_entry *e, *next;
	int r;

	for (size_t i = 0; i < SLOTS; i++)
		for (e = a->holders->slots[i]; e; e = next) {
			next = e->next;
			if (!e->unsure)
				continue;
			r = holder_watch_remembered(e);
			e->unsure = r < 0;
			holder_note_look(e, r);
		}
}

static void forget_watch(struct holder_entry *e, int watch)
{
	for (size_t i = 0; i < N_WATCHES; i++)
		if (e->watches[i] == watch)
			e->watches[i] = -1;
}

/* Whether the unit's group has this name, below the one above. */
static bool is_called(const struct holder_entry *e, const char *name)
{
	const char *slash = strrchr(e->path, '/');

	return slash && strcmp(slash + 1, name) == 0;
}

/* Looks at the units that an event may be about. */
static void look_at_watch(struct holders *h, const struct inotify_event *event)
{
	struct holder_entry *e, *next;

	for (size_t i = 0; i < SLOTS; i++)
		for (e = h->slots[i]; e; e = next) {
			next = e->next;
			if (!has_watch(e, event->wd) ||
			    (event->len > 0 && !is_called(e, event->name)))
				continue;
			if (event->mask & IN_IGNORED)
				forget_watch(e, event->wd);
			holder_note_look(e, look_at_unit(e));
		}
}

static void look_at_all(struct agent *a)
{
	struct holder_entry *e, *next;

	for (size_t i = 0; i < SLOTS; i++)
		for (e = a->holders->slots[i]; e; e = next) {
			next = e->next;
			if (e->binding == BINDING_UNIT)
				holder_note_look(e, look_at_unit(e));
		}
}

int holder_on_unit_event(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct agent *a = userdata;
	_Alignas(struct inotify_event) char buf[4096];
	const struct inotify_event *event;
	ssize_t n;

	(void)source;
	(void)events;
	n = read(fd, buf, sizeof(buf));
	for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(*event) + event->len)) {
		event = (const struct inotify_event *)(const void *)(buf + at);
		/* Where events were lost, all are looked at. */
		if (event->mask & IN_Q_OVERFLOW)
			look_at_all(a);
		else
			look_at_watch(a->holders, event);
	}
	return 0;
}
