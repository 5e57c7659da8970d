/*
 * agent/holder.c - see holder.h. Invariant: an entry is in the table while its holder lives, and on
 * the list of the dying once it is known to be gone; there it stays until no token of its is left.
 */
#include "agent/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "agent/change.h"
#include "agent/peer.h"
#include "protocol/base/fd.h"
#include "protocol/base/time.h"

enum {
	SLOTS = 1024,
	REAP_AT_ONCE = 64, /* tokens ended in one change */
	SPARE_DESCRIPTORS = 64,
};
#define PIDFS_MAGIC_ 0x50494446
static const uint64_t RETRY_US = 5 * USEC_PER_SEC;

enum watch_kind { WATCH_EVENTS, WATCH_GROUP, WATCH_ABOVE, N_WATCHES };

struct holder_entry {
	struct holder_entry *next; /* in its slot, or among the dying */
	struct agent *agent;
	enum token_binding binding;
	struct holder holder; /* its unit is `path` */
	char *path;	      /* unit: of its control group */
	int pidfd;	      /* process */
	sd_event_source *source;
	int watches[N_WATCHES]; /* unit: see watch_unit(); -1: none */
	uint64_t *ids;
	size_t n_ids, n_room;
	unsigned n_pins;
	bool dying;
};

struct holders {
	uint8_t boot[16];
	bool has_boot;
	int inotify;
	sd_event_source *inotify_source;
	sd_event_source *retry_timer;
	struct holder_entry *slots[SLOTS];
	struct holder_entry *dying;
	bool reaping;
};

/*
 * ---- the table ---------------------------------------------------------------------------------
 */

static size_t slot_of(enum token_binding binding, const struct holder *h)
{
	uint64_t key;

	if (binding == BINDING_PROCESS)
		key = h->pidfd_inode;
	else
		memcpy(&key, h->invocation, sizeof(key));
	return key % SLOTS;
}

static bool is_same(enum token_binding binding, const struct holder *a, const struct holder *b)
{
	if (binding == BINDING_PROCESS)
		return a->pid == b->pid && a->pidfd_inode == b->pidfd_inode &&
		       memcmp(a->boot, b->boot, sizeof(a->boot)) == 0;
	return memcmp(a->invocation, b->invocation, sizeof(a->invocation)) == 0 &&
	       span_equal(a->unit, b->unit);
}

static struct holder_entry *find(const struct holders *h, enum token_binding binding,
				 const struct holder *holder)
{
	struct holder_entry *e = h->slots[slot_of(binding, holder)];

	while (e && (e->binding != binding || !is_same(binding, &e->holder, holder)))
		e = e->next;
	return e;
}

static void take_out(struct holders *h, struct holder_entry *e)
{
	struct holder_entry **at = &h->slots[slot_of(e->binding, &e->holder)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	e->next = NULL;
}

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

static void stop_watching(struct holder_entry *e)
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

static void entry_free(struct holder_entry *e)
{
	if (!e)
		return;
	stop_watching(e);
	free(e->path);
	free(e->ids);
	free(e);
}
DEFINE_CLEANUP(struct holder_entry *, entry_free)

static struct holder_entry *entry_new(struct agent *a, enum token_binding binding,
				      const struct holder *holder)
{
	struct holder_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->agent = a;
	e->binding = binding;
	e->holder = *holder;
	e->pidfd = -1;
	for (size_t i = 0; i < N_WATCHES; i++)
		e->watches[i] = -1;
	e->path = strndup(holder->unit.p ? holder->unit.p : "", holder->unit.n);
	e->holder.unit = binding == BINDING_UNIT ? span_of(e->path) : SPAN_NONE;
	if (!e->path) {
		entry_free(e);
		return NULL;
	}
	return e;
}

static void put_in(struct holders *h, struct holder_entry *e)
{
	struct holder_entry **slot = &h->slots[slot_of(e->binding, &e->holder)];

	e->next = *slot;
	*slot = e;
}

/*
 * ---- the end of a holder -----------------------------------------------------------------------
 */

static void reap(struct agent *a);

/*
 * Prepares the end of some of its tokens. Those that are gone already are taken off; *ret_left: how
 * many are left.
 */
static int prepare_ends(struct holder_entry *e, struct vault_change *change, size_t *ret_left)
{
	struct vault *v = e->agent->vault;
	size_t n_prepared = 0, kept = 0;
	int r = 0;

	for (size_t i = 0; i < e->n_ids; i++) {
		token_ref ref = vault_find(v, e->ids[i]);

		if (ref == REF_NONE)
			continue;
		e->ids[kept++] = e->ids[i];
		if (r < 0 || n_prepared >= REAP_AT_ONCE || vault_is_busy(v, ref))
			continue;
		r = vault_prepare_end(change, ref, TOKEN_REVOKED, END_BINDING, agent_now(e->agent));
		/* What is under way with it comes first; it is looked at again after that. */
		if (r == -EBUSY)
			r = 0;
		n_prepared++;
	}
	e->n_ids = kept;
	*ret_left = kept;
	return r;
}

static void on_reaped(struct agent *a, int r)
{
	struct holders *h = a->holders;

	if (!h)
		return;
	h->reaping = false;
	if (r == 0) {
		reap(a);
		return;
	}
	(void)sd_event_source_set_time_relative(h->retry_timer, RETRY_US);
	(void)sd_event_source_set_enabled(h->retry_timer, SD_EVENT_ONESHOT);
}

static void free_first_dying(struct holders *h)
{
	struct holder_entry *e = h->dying;

	h->dying = e->next;
	entry_free(e);
}

/*
 * Ends what the dying held, one change after the other. A change of no steps waits for those under
 * way.
 */
static void reap(struct agent *a)
{
	struct holders *h = a->holders;
	struct vault_change *change;
	size_t left = 0;
	int r;

	while (h->dying && !h->reaping) {
		/* A call that is about to bind to it is answered first. */
		if (h->dying->n_pins > 0)
			return;
		change = vault_change_new(a->vault);
		r = change ? prepare_ends(h->dying, change, &left) : -ENOMEM;
		if (r == 0 && left == 0) {
			vault_rollback(change);
			free_first_dying(h);
			continue;
		}
		h->reaping = true;
		if (r < 0) {
			vault_rollback(change);
			on_reaped(a, r);
		} else if (change_submit_own(a, change, on_reaped) < 0) {
			on_reaped(a, -ENOMEM);
		}
	}
}

static int on_retry(sd_event_source *source, uint64_t at_us, void *userdata)
{
	(void)source;
	(void)at_us;
	reap(userdata);
	return 0;
}

static void die(struct holder_entry *e)
{
	struct holders *h = e->agent->holders;
	struct holder_entry **last = &h->dying;

	if (e->dying)
		return;
	e->dying = true;
	stop_watching(e);
	take_out(h, e);
	while (*last)
		last = &(*last)->next;
	*last = e;
	reap(e->agent);
}

/*
 * ---- watching ----------------------------------------------------------------------------------
 */

static int on_exit_of_process(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source;
	(void)fd;
	(void)events;
	die(userdata);
	return 0;
}

static int watch_process(struct holder_entry *e, int *pidfd)
{
	int r;

	e->pidfd = steal_fd(pidfd);
	r = sd_event_add_io(e->agent->event, &e->source, e->pidfd, EPOLLIN, on_exit_of_process, e);
	return r < 0 ? r : 0;
}

/* Whether the unit still is in that run. */
static bool unit_lives(const struct holder_entry *e)
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
 * A group that empties, and another run of the unit in it (which writes its invocation to the group),
 * prompt a look; so does the group's end, which only the directory above tells of.
 */
static int watch_unit(struct holder_entry *e)
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
	return unit_lives(e) ? 0 : -ESRCH;
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
			if (!unit_lives(e))
				die(e);
		}
}

static void look_at_all(struct agent *a)
{
	struct holder_entry *e, *next;

	for (size_t i = 0; i < SLOTS; i++)
		for (e = a->holders->slots[i]; e; e = next) {
			next = e->next;
			if (e->binding == BINDING_UNIT && !unit_lives(e))
				die(e);
		}
}

static int on_unit_event(sd_event_source *source, int fd, uint32_t events, void *userdata)
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

/*
 * A pidfd's inode tells its process from all others of this boot, where pidfds have inodes of their
 * own.
 */
static int inode_of(int pidfd, uint64_t *ret)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(pidfd, &fs) < 0 || fstat(pidfd, &st) < 0)
		return -errno;
	if ((uint64_t)fs.f_type != PIDFS_MAGIC_)
		return -EOPNOTSUPP;
	*ret = st.st_ino;
	return 0;
}

static bool has_ended(int pidfd)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) != 0;
}

static int process_at(struct agent *a, int fd, struct holder *ret, int *ret_pidfd)
{
	_cleanup_close_ int pidfd = -1;
	struct holder holder = { 0 };
	struct peer peer;
	int r;

	r = peer_init(&peer, fd);
	if (r == 0)
		r = peer_pidfd(fd, &pidfd);
	if (r == 0)
		r = inode_of(pidfd, &holder.pidfd_inode);
	if (r < 0)
		return r;
	if (!a->holders->has_boot)
		return -EOPNOTSUPP;
	if (peer.pid <= 0 || has_ended(pidfd))
		return -ESRCH;
	memcpy(holder.boot, a->holders->boot, sizeof(holder.boot));
	holder.pid = peer.pid;
	*ret = holder;
	*ret_pidfd = steal_fd(&pidfd);
	return 0;
}

static int unit_at(struct agent *a, int fd, struct unit *ret)
{
	_cleanup_close_ int pidfd = -1;
	int r = peer_pidfd(fd, &pidfd);

	return r < 0 ? r : unit_of_process(pidfd, agent_manager_uid(a), ret);
}

bool holder_is_at(struct agent *a, int fd, enum token_binding binding, const struct holder *holder)
{
	_cleanup_close_ int pidfd = -1;
	struct holder there;
	struct unit unit;

	switch (binding) {
	case BINDING_NONE:
		return true;
	case BINDING_PROCESS:
		return process_at(a, fd, &there, &pidfd) == 0 && is_same(binding, &there, holder);
	case BINDING_UNIT:
		return unit_at(a, fd, &unit) == 0 && span_is(holder->unit, unit.path) &&
		       memcmp(unit.invocation, holder->invocation, sizeof(unit.invocation)) == 0;
	}
	return false;
}

/* Few descriptors are left: those of processes that hold no token any more are given back. */
static bool has_descriptors(int newest)
{
	int limit = (int)sysconf(_SC_OPEN_MAX);

	return limit < 0 || newest < limit - SPARE_DESCRIPTORS;
}

static struct holder_entry *pin(struct holder_entry *e)
{
	e->n_pins++;
	return e;
}

static int hold_process(struct agent *a, int fd, struct holder *ret,
			struct holder_entry **ret_entry)
{
	_cleanup_(entry_freep) struct holder_entry *e = NULL;
	_cleanup_close_ int pidfd = -1;
	struct holder holder;
	int r;

	r = process_at(a, fd, &holder, &pidfd);
	if (r < 0)
		return r == -EMFILE || r == -ENFILE ? -EMFILE : -EOPNOTSUPP;
	*ret_entry = find(a->holders, BINDING_PROCESS, &holder);
	if (!*ret_entry) {
		if (!has_descriptors(pidfd))
			return -EMFILE;
		e = entry_new(a, BINDING_PROCESS, &holder);
		if (!e || watch_process(e, &pidfd) < 0)
			return -ENOMEM;
		put_in(a->holders, e);
		*ret_entry = STEAL_PTR(e);
	}
	pin(*ret_entry);
	*ret = holder;
	return 0;
}

int holder_of_unit(struct agent *a, const struct unit *unit, struct holder *ret,
		   struct holder_entry **ret_entry)
{
	_cleanup_(entry_freep) struct holder_entry *e = NULL;
	struct holder holder = { .unit = span_of(unit->path) };

	memcpy(holder.invocation, unit->invocation, sizeof(holder.invocation));
	*ret_entry = find(a->holders, BINDING_UNIT, &holder);
	if (!*ret_entry) {
		e = entry_new(a, BINDING_UNIT, &holder);
		if (!e)
			return -ENOMEM;
		/* Not there any more, or no watch to be had: nothing can be bound to it. */
		if (watch_unit(e) < 0)
			return -EOPNOTSUPP;
		put_in(a->holders, e);
		*ret_entry = STEAL_PTR(e);
	}
	pin(*ret_entry);
	*ret = (*ret_entry)->holder;
	return 0;
}

int holder_of_peer(struct agent *a, int fd, enum token_binding binding, struct holder *ret,
		   struct holder_entry **ret_entry)
{
	struct unit unit;
	int r;

	if (binding == BINDING_PROCESS)
		return hold_process(a, fd, ret, ret_entry);
	r = unit_at(a, fd, &unit);
	if (r < 0)
		return r == -EMFILE || r == -ENFILE ? -EMFILE : -EOPNOTSUPP;
	return holder_of_unit(a, &unit, ret, ret_entry);
}

struct holder_entry *holder_find(struct agent *a, enum token_binding binding,
				 const struct holder *holder)
{
	struct holder_entry *e = find(a->holders, binding, holder);

	return e ? pin(e) : NULL;
}

/* Takes off those that are gone. */
static void forget_ended(struct holder_entry *e)
{
	size_t kept = 0;

	for (size_t i = 0; i < e->n_ids; i++)
		if (vault_find(e->agent->vault, e->ids[i]) != REF_NONE)
			e->ids[kept++] = e->ids[i];
	e->n_ids = kept;
}

void holder_bind(struct agent *a, struct holder_entry *e, uint64_t id)
{
	uint64_t *larger;

	(void)a;
	if (e->n_ids == e->n_room) {
		forget_ended(e);
		/* Still more than half full: then it is worth growing. */
		if (e->n_ids * 2 >= e->n_room) {
			larger = reallocarray(e->ids, e->n_room * 2 + 4, sizeof(*larger));
			if (!larger) {
				log_error("no memory to watch over a bound token: it will end when "
					  "the agent is restarted");
				return;
			}
			e->ids = larger;
			e->n_room = e->n_room * 2 + 4;
		}
	}
	e->ids[e->n_ids++] = id;
}

void holder_unpin(struct agent *a, struct holder_entry *e)
{
	if (!e)
		return;
	e->n_pins--;
	if (e->n_pins > 0)
		return;
	if (e->dying) {
		reap(a);
	} else if (e->n_ids == 0) {
		take_out(a->holders, e);
		entry_free(e);
	}
}

void holders_tidy(struct agent *a)
{
	struct holder_entry *e, *next;

	for (size_t i = 0; i < SLOTS; i++)
		for (e = a->holders->slots[i]; e; e = next) {
			next = e->next;
			forget_ended(e);
			if (e->n_ids == 0 && e->n_pins == 0) {
				take_out(a->holders, e);
				entry_free(e);
			}
		}
}

/*
 * ---- at start ----------------------------------------------------------------------------------
 */

/* Whether text is a UUID, with or without dashes; then *ret_boot has its bytes. */
static bool parse_uuid(const char *text, uint8_t ret_boot[static 16])
{
	size_t n = 0;
	unsigned byte;

	for (const char *p = text; *p && n < 16; p++) {
		if (*p == '-')
			continue;
		if (sscanf(p, "%2x", &byte) != 1)
			return false;
		ret_boot[n++] = (uint8_t)byte;
		p++;
	}
	return n == 16;
}

/*
 * The boot's id, from the kernel; or, where a unit hides that (ProcSubset=pid), from the unit:
 * Environment=JETON_BOOT_ID=%b. Without one, nothing can be bound to a process.
 */
static bool read_boot(uint8_t ret_boot[static 16])
{
	_cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	const char *given = getenv("JETON_BOOT_ID");
	char text[64] = "";

	if (fd >= 0 && fd_read_all(fd, text, sizeof(text) - 1) > 0)
		return parse_uuid(text, ret_boot);
	return given && parse_uuid(given, ret_boot);
}

/*
 * The entry of a holder that a loaded token names: of one that lives, or of one that is to die at
 * once.
 */
static struct holder_entry *entry_of_loaded(struct agent *a, const struct token_facts *facts,
					    bool *ret_lives)
{
	_cleanup_close_ int pidfd = -1;
	struct holder_entry *e = entry_new(a, facts->binding, &facts->holder);
	uint64_t inode;

	*ret_lives = false;
	if (!e)
		return NULL;
	if (e->binding == BINDING_UNIT) {
		*ret_lives = watch_unit(e) == 0;
	} else if (a->holders->has_boot && memcmp(e->holder.boot, a->holders->boot, 16) == 0) {
		pidfd = (int)syscall(SYS_pidfd_open, e->holder.pid, 0);
		*ret_lives = pidfd >= 0 && inode_of(pidfd, &inode) == 0 &&
			     inode == e->holder.pidfd_inode && !has_ended(pidfd) &&
			     watch_process(e, &pidfd) == 0;
	}
	return e;
}

static int take_loaded(struct agent *a, const struct token_facts *facts)
{
	struct holder_entry *e = find(a->holders, facts->binding, &facts->holder);
	bool lives = true;

	if (!e) {
		e = entry_of_loaded(a, facts, &lives);
		if (!e)
			return -ENOMEM;
		put_in(a->holders, e);
	}
	holder_bind(a, e, facts->id);
	if (!lives)
		die(e);
	return 0;
}

static int look_at_loaded(struct agent *a)
{
	struct vault_cursor cursor;
	struct token_facts facts;
	token_ref ref;
	int r = 0;

	vault_cursor_init(&cursor, a->vault, NULL, true);
	while (r == 0 && (ref = vault_cursor_peek(&cursor)) != REF_NONE) {
		vault_facts(a->vault, ref, &facts);
		if (facts.binding != BINDING_NONE)
			r = take_loaded(a, &facts);
		vault_cursor_step(&cursor);
	}
	vault_cursor_done(&cursor);
	return r;
}

int holders_start(struct agent *a)
{
	struct holders *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	a->holders = h;
	h->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (h->inotify < 0)
		return -errno;
	h->has_boot = read_boot(h->boot);
	if (!h->has_boot)
		log_warning("the boot's id can't be read, so nothing can be bound to a process: "
			    "set Environment=JETON_BOOT_ID=%%b in the unit");
	r = sd_event_add_io(a->event, &h->inotify_source, h->inotify, EPOLLIN, on_unit_event, a);
	if (r >= 0)
		r = sd_event_add_time_relative(a->event, &h->retry_timer, CLOCK_MONOTONIC, 0, 0,
					       on_retry, a);
	if (r >= 0)
		r = sd_event_source_set_enabled(h->retry_timer, SD_EVENT_OFF);
	return r < 0 ? r : look_at_loaded(a);
}

void holders_done(struct agent *a)
{
	struct holders *h = a->holders;
	struct holder_entry *e;

	if (!h)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		while ((e = h->slots[i])) {
			h->slots[i] = e->next;
			entry_free(e);
		}
	while (h->dying)
		free_first_dying(h);
	sd_event_source_unref(h->inotify_source);
	sd_event_source_unref(h->retry_timer);
	if (h->inotify >= 0)
		close(h->inotify);
	free(h);
	a->holders = NULL;
}
