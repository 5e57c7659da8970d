/*
 * agent/peer.h - who is at the other end of a connection, from the kernel and from nothing else.
 *
 * The uid comes with accept. All else is asked for when a call needs it, once, with the pidfd as
 * anchor: what was read elsewhere counts only while the pidfd says that it is the same live
 * process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "agent/unit.h"
#include "protocol/base/cleanup.h"

enum peer_standing {
	PEER_UNKNOWN,	/* not asked yet */
	PEER_HERE,	/* a live process in the agent's own pid namespace */
	PEER_ELSEWHERE, /* of another pid namespace: its uid need not be this host's */
	PEER_UNMAPPED,	/* its uid has no meaning in the agent's user namespace */
	PEER_GONE,	/* its process has ended */
	PEER_UNCLEAR,	/* the kernel would not tell */
};

struct peer {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	enum peer_standing standing;
	gid_t *groups; /* with the primary one; NULL until peer_settle() */
	size_t n_groups;
	int pidfd;	   /* kept once it was asked for twice, or for its unit; -1 before */
	struct unit *unit; /* as last found; NULL before */
};

/*
 * What the kernel says at once: uid, gid, pid. 0 or a negative errno: then nothing is known, and
 * nobody served.
 */
int peer_init(struct peer *p, int fd) MUST_USE;

/*
 * Finds out the rest, at the first call; afterwards only whether its process still lives costs
 * anything.
 */
enum peer_standing peer_settle(struct peer *p, int fd);

/*
 * Whether what peer_settle() found last lets it be somebody at all: a live process whose numbers mean
 * something, here or in another pid namespace.
 */
static inline bool peer_is_known(const struct peer *p)
{
	return p->standing == PEER_HERE || p->standing == PEER_ELSEWHERE;
}

/* Why a peer that is not PEER_HERE is refused, for the log, with what to do. */
const char *peer_standing_text(enum peer_standing standing);

/* Its uid has no meaning here, as is known from the start. */
bool peer_is_unmapped(const struct peer *p);

bool peer_is_member(const struct peer *p, gid_t gid);

/*
 * The unit that the peer's process is in, now. uid: as for unit_of_process(). *ret is the peer's.
 * Returns 0, or as unit_of_process(): then the peer counts as being in no unit.
 */
int peer_unit(struct peer *p, int fd, uid_t uid, const struct unit **ret) MUST_USE;

/* Whether the process of this pidfd has ended. */
bool peer_has_ended(int pidfd);

/* The pidfd of the process that connected the socket. Close-on-exec. 0 or a negative errno. */
int peer_pidfd(int fd, int *ret) MUST_USE;

void peer_done(struct peer *p);
