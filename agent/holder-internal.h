/* agent/holder-internal.h - the inside of holders, for the holder*.c files alone. */
#pragma once

#include <sys/types.h>

#include "agent/holder.h"

enum { SLOTS = 1024 };

enum watch_kind { WATCH_EVENTS, WATCH_GROUP, WATCH_ABOVE, N_WATCHES };

struct holder_entry {
	struct holder_entry *next; /* in its slot, or among the dying */
	struct agent *agent;
	enum token_binding binding;
	struct holder holder; /* its unit is `path` */
	char *path;	      /* unit: of its control group */
	int pidfd;	      /* process */
	int watches[N_WATCHES]; /* unit: see watch_unit(); -1: none */
	uint64_t *ids;
	size_t n_ids, n_room;
	unsigned n_pins;
	bool dying;
	bool unsure; /* it could not be watched or looked at; that is tried again */
};

struct holders {
	uint8_t boot[16];
	bool has_boot;
	int inotify;
	sd_event_source *inotify_source;
	int exits; /* an epoll of all pidfds */
	sd_event_source *exits_source;
	sd_event_source *retry_timer;
	struct holder_entry *slots[SLOTS];
	struct holder_entry *dying, **dying_end;
	bool reaping;
};

/*
 * ---- the table ---------------------------------------------------------------------------------
 */

/* The living. Entries are freed with what watches them. */
struct holder_entry *holder_entry_find(const struct holders *h, enum token_binding binding,
				       const struct holder *holder);
struct holder_entry *holder_entry_new(struct agent *a, enum token_binding binding,
				      const struct holder *holder); /* NULL: no memory */
void holder_entry_free(struct holder_entry *e);			    /* NULL is fine */
void holder_entry_put_in(struct holders *h, struct holder_entry *e);
void holder_entry_take_out(struct holders *h, struct holder_entry *e);
DEFINE_CLEANUP(struct holder_entry *, holder_entry_free)

/* Takes the ids of tokens off that are gone. */
void holder_forget_ended(struct holder_entry *e);

/*
 * holder-watch.c: the kernel tells of a holder's end. 0; -ESRCH: it is gone already; or another
 * errno.
 */
int holder_watch_process(struct holder_entry *e, int *pidfd) MUST_USE; /* takes the pidfd over */
int holder_watch_unit(struct holder_entry *e) MUST_USE;
void holder_stop_watching(struct holder_entry *e);
/* A holder of which there is no more than what was remembered. */
int holder_watch_remembered(struct holder_entry *e) MUST_USE;
/*
 * What a look at a holder came to: -ESRCH is its end; another errno is trouble of the agent's own,
 * which ends nothing: it is looked at again.
 */
void holder_note_look(struct holder_entry *e, int r);
void holder_look_again(struct agent *a);
int holder_on_unit_event(sd_event_source *source, int fd, uint32_t events, void *userdata);
int holder_on_exits(sd_event_source *source, int fd, uint32_t events, void *userdata);

/* holder-end.c: moves a holder from the living to the dying, and ends what it held. */
void holder_die(struct holder_entry *e);
void holder_reap(struct agent *a);
void holder_try_later(struct holders *h); /* what could not be done now */
int holder_on_retry(sd_event_source *source, uint64_t at_us, void *userdata);

/*
 * A pidfd's inode, which tells its process from all others of this boot. 0; -EOPNOTSUPP: pidfds
 * have no inodes of their own on this kernel; or another errno.
 */
int holder_inode_of(int pidfd, uint64_t *ret) MUST_USE;
bool holder_has_ended(int pidfd);

/* Whether some are left for other things, where this one is the newest. */
bool holder_has_descriptors(int newest);
