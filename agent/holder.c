/*
 * agent/holder.c - see holder.h. Invariant: an entry is in the table while its holder lives, and on
 * the list of the dying once it is known to be gone; there it stays until no token of its is left.
 */
#include "agent/holder-internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "agent/peer.h"

enum { SPARE_DESCRIPTORS = 64 };
#define PIDFS_MAGIC_ 0x50494446

/* ---- the table ------------------------------------------------------------------------------- */

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

struct holder_entry *holder_entry_find(const struct holders *h, enum token_binding binding,
				       const struct holder *holder)
{
	struct holder_entry *e = h->slots[slot_of(binding, holder)];

	while (e && (e->binding != binding || !is_same(binding, &e->holder, holder)))
		e = e->next;
	return e;
}

void holder_entry_take_out(struct holders *h, struct holder_entry *e)
{
	struct holder_entry **at = &h->slots[slot_of(e->binding, &e->holder)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	e->next = NULL;
}

void holder_entry_free(struct holder_entry *e)
{
	if (!e)
		return;
	holder_stop_watching(e);
	free(e->path);
	free(e->ids);
	free(e);
}

struct holder_entry *holder_entry_new(struct agent *a, enum token_binding binding,
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
		holder_entry_free(e);
		return NULL;
	}
	return e;
}

void holder_entry_put_in(struct holders *h, struct holder_entry *e)
{
	struct holder_entry **slot = &h->slots[slot_of(e->binding, &e->holder)];

	e->next = *slot;
	*slot = e;
}

/* ---- who it is ------------------------------------------------------------------------------- */

/*
 * A pidfd's inode tells its process from all others of this boot, where pidfds have inodes of their
 * own.
 */
int holder_inode_of(int pidfd, uint64_t *ret)
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

bool holder_has_ended(int pidfd)
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
		r = holder_inode_of(pidfd, &holder.pidfd_inode);
	if (r < 0)
		return r;
	if (!a->holders->has_boot)
		return -EOPNOTSUPP;
	if (peer.pid <= 0 || holder_has_ended(pidfd))
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
	struct holder there NOT_ZEROED;
	struct unit unit NOT_ZEROED;

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

/* ---- holding --------------------------------------------------------------------------------- */

bool holder_has_descriptors(int newest)
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
	_cleanup_(holder_entry_freep) struct holder_entry *e = NULL;
	_cleanup_close_ int pidfd = -1;
	struct holder holder;
	int r;

	r = process_at(a, fd, &holder, &pidfd);
	if (r < 0)
		return r == -EMFILE || r == -ENFILE ? -EMFILE : -EOPNOTSUPP;
	*ret_entry = holder_entry_find(a->holders, BINDING_PROCESS, &holder);
	if (!*ret_entry) {
		if (!holder_has_descriptors(pidfd))
			return -EMFILE;
		e = holder_entry_new(a, BINDING_PROCESS, &holder);
		if (!e || holder_watch_process(e, &pidfd) < 0)
			return -ENOMEM;
		holder_entry_put_in(a->holders, e);
		*ret_entry = STEAL_PTR(e);
	}
	pin(*ret_entry);
	*ret = holder;
	return 0;
}

int holder_of_unit(struct agent *a, const struct unit *unit, struct holder *ret,
		   struct holder_entry **ret_entry)
{
	_cleanup_(holder_entry_freep) struct holder_entry *e = NULL;
	struct holder holder = { .unit = span_of(unit->path) };

	memcpy(holder.invocation, unit->invocation, sizeof(holder.invocation));
	*ret_entry = holder_entry_find(a->holders, BINDING_UNIT, &holder);
	if (!*ret_entry) {
		e = holder_entry_new(a, BINDING_UNIT, &holder);
		if (!e)
			return -ENOMEM;
		/* Not there any more, or no watch to be had: nothing can be bound to it. */
		if (holder_watch_unit(e) < 0)
			return -EOPNOTSUPP;
		holder_entry_put_in(a->holders, e);
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
	struct holder_entry *e = holder_entry_find(a->holders, binding, holder);

	return e ? pin(e) : NULL;
}

/* Takes off those that are gone. */
void holder_forget_ended(struct holder_entry *e)
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
		holder_forget_ended(e);
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
		holder_reap(a);
	} else if (e->n_ids == 0) {
		holder_entry_take_out(a->holders, e);
		holder_entry_free(e);
	}
}

void holders_tidy(struct agent *a)
{
	struct holder_entry *e, *next;

	for (size_t i = 0; i < SLOTS; i++)
		for (e = a->holders->slots[i]; e; e = next) {
			next = e->next;
			holder_forget_ended(e);
			if (e->n_ids == 0 && e->n_pins == 0) {
				holder_entry_take_out(a->holders, e);
				holder_entry_free(e);
			}
		}
}

/*
 * ---- at start ----------------------------------------------------------------------------------
 */
