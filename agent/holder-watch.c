/*
 * agent/holder-watch.c - a process's end is told by its pidfd; a unit's by its control group, with
 * inotify. Nothing polls.
 */
#include "agent/holder-internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

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

	e->source = sd_event_source_unref(e->source);
	if (e->pidfd >= 0)
		close(e->pidfd);
	e->pidfd = -1;
	for (size_t i = 0; i < ARRAY_SIZE(e->watches); i++) {
		if (e->watches[i] >= 0 && !is_watched_by_another(h, e, e->watches[i]))
			(void)inotify_rm_watch(h->inotify, e->watches[i]);
		e->watches[i] = -1;
	}
}

static int on_exit_of_process(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source;
	(void)fd;
	(void)events;
	holder_die(userdata);
	return 0;
}

int holder_watch_process(struct holder_entry *e, int *pidfd)
{
	int r;

	e->pidfd = steal_fd(pidfd);
	r = sd_event_add_io(e->agent->event, &e->source, e->pidfd, EPOLLIN, on_exit_of_process, e);
	return r < 0 ? r : 0;
}

/* Whether the unit still is in that run. */
bool holder_unit_lives(const struct holder_entry *e)
{
	uint8_t now[INVOCATION_LEN];

	return unit_invocation(e->path, agent_manager_uid(e->agent), now) == 0 &&
	       memcmp(now, e->holder.invocation, sizeof(now)) == 0;
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
	return holder_unit_lives(e) ? 0 : -ESRCH;
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
			if (!holder_unit_lives(e))
				holder_die(e);
		}
}

static void look_at_all(struct agent *a)
{
	struct holder_entry *e, *next;

	for (size_t i = 0; i < SLOTS; i++)
		for (e = a->holders->slots[i]; e; e = next) {
			next = e->next;
			if (e->binding == BINDING_UNIT && !holder_unit_lives(e))
				holder_die(e);
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

/*
 * ---- who it is ---------------------------------------------------------------------------------
 */
