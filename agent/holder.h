/*
 * agent/holder.h - whom bound tokens serve: a process, or a unit in one run of it. Each is watched
 * by the kernel's own means (a pidfd; the unit's control group), and what is bound to it ends when
 * it does. Nothing polls.
 *
 * A holder is remembered by what tells it from all others: {boot, pid, inode of the pidfd} or {path
 * of the group, invocation}, so that one that went while the agent was away is noticed at the next
 * start.
 */
#pragma once

#include "agent/agent.h"
#include "agent/token-facts.h"
#include "agent/unit.h"

struct holders;
struct holder_entry;

/*
 * Reads the boot's id, and looks at whom the loaded tokens are bound to: what serves nobody any
 * more ends. 0 or a negative errno.
 */
int holders_start(struct agent *a) MUST_USE;
void holders_done(struct agent *a);

/*
 * Who is at the other end of the connected socket, as a holder for this binding (process or unit):
 * fills *ret, whose unit span is the entry's, and pins an entry that is watched, until
 * holder_unpin(). uid_t of the manager that decides on units: agent's. Returns 0; -EOPNOTSUPP: the
 * kernel can't tell, or it has no such process or unit (BindingUnavailable); -EMFILE: no
 * descriptors are left to watch more; -ENOMEM.
 */
int holder_of_peer(struct agent *a, int fd, enum token_binding binding, struct holder *ret,
		   struct holder_entry **ret_entry) MUST_USE;

/* As holder_of_peer(), of a unit that is known. */
int holder_of_unit(struct agent *a, const struct unit *unit, struct holder *ret,
		   struct holder_entry **ret_entry) MUST_USE;

/* The entry of a token's holder, pinned; NULL where it is not watched (it is gone). */
struct holder_entry *holder_find(struct agent *a, enum token_binding binding,
				 const struct holder *holder);

/*
 * The token of this id is bound to the entry: its change is committed. Where there is no memory it
 * ends with the next start.
 */
void holder_bind(struct agent *a, struct holder_entry *entry, uint64_t id);
void holder_unpin(struct agent *a, struct holder_entry *entry); /* NULL is fine */

/*
 * Whether the connected socket's other end is the holder that a bound token serves, at this moment:
 * the very process, alive; or a process of that run of the unit.
 */
bool holder_is_at(struct agent *a, int fd, enum token_binding binding, const struct holder *holder);

/* Lets go of holders that hold nothing any more, and of their descriptors. */
void holders_tidy(struct agent *a);
