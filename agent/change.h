/*
 * agent/change.h - what a call waits for: a change on its way to the store with the reply that
 * tells of it, a read of the store, a look-up of names. Connections and what they wait for may end
 * in either order.
 *
 * What is finished is completed after the store (or the names) have told all that they have to
 * tell: so no new change is prepared between two that are rolled back together.
 */
#pragma once

#include "agent/request.h"

/*
 * Something to be done once the store's or the names' turn is over. Embedded in what it is about.
 */
struct deferred {
	struct deferred *next;
	void (*complete)(struct deferred *d);
};

struct holder_entry;
struct credential_change;
struct audit_actor;
struct audit_entry;

/* Watches the store and the names. 0 or a negative errno. */
int change_init(struct agent *a) MUST_USE;
void change_done(struct agent *a);
/*
 * Frees what calls waited for and is not there yet (a look-up of names that hangs), once nothing can
 * come any more: store and names are gone.
 */
void change_forget_waiting(struct agent *a);

/* Waits for all changes that are under way; for the end of the agent. */
void change_drain(struct agent *a);

void change_defer(struct agent *a, struct deferred *d);
/* Does what was put off; for the end of a turn that is neither the store's nor the names'. */
void change_complete_deferred(struct agent *a);

/*
 * Hands a prepared change to the store, with the reply that agent->out holds from the request's
 * start on, and its descriptor: they are taken from there, kept (in locked memory), and sent once
 * the change is durable and visible; otherwise the answer is StoreFailed. The change is taken over
 * whatever comes. on_failed (may be NULL) is called with `what` after a change that could not be
 * kept, before the answer.
 */
enum dispatched change_submit(struct request *req, struct vault_change *change,
			      void (*on_failed)(struct agent *a, uint64_t what), uint64_t what);

/*
 * What was handed over last for this connection brings in a token that is bound to the holder: once
 * it is committed, the holder knows of it. Takes the pin over.
 */
void change_binds(struct request *req, struct holder_entry *holder, uint64_t id);

/*
 * Hands over a change of the agent's own; done(a, r) is called once it was committed (0) or rolled
 * back. Returns 0, or a negative errno: rolled back at once, and `done` is not called.
 */
int change_submit_own(struct agent *a, struct vault_change *change,
		      void (*done)(struct agent *a, int r)) MUST_USE;

/*
 * The same of a token that is minted for `who`, who is no connection; done(userdata, r). holder:
 * that it is bound to (NULL: nobody), pinned; taken over.
 */
int change_submit_minted(struct agent *a, struct vault_change *change,
			 const struct audit_actor *who, struct holder_entry *holder, uint64_t id,
			 void (*done)(void *userdata, int r), void *userdata) MUST_USE;

/*
 * The same of held secrets, and of when they were fetched. agent->out has room for a record: it is
 * empty between two turns of connections, and may hold earlier replies in a request.
 */
enum dispatched change_submit_credentials(struct request *req, struct credential_change *change);
int change_submit_own_credentials(struct agent *a, struct credential_change *change,
				  void (*done)(struct agent *a, int r)) MUST_USE;

/*
 * The same of an event that no change of tokens or held secrets makes, and that is about none.
 */
int change_submit_event(struct agent *a, enum event_kind kind,
			void (*done)(struct agent *a, int r)) MUST_USE;

/* The same of entries of the audit, up to 64, that tell of no change. */
int change_submit_audit(struct agent *a, const struct audit_entry *entries, size_t n,
			void (*done)(struct agent *a, int r)) MUST_USE;

/* The message is dispatched again when all changes that are under way now are done. */
enum dispatched change_wait(struct request *req);

/* The message is dispatched again when all look-ups of names asked for until now are answered. */
enum dispatched change_wait_names(struct request *req);

/*
 * Reads an ended token by its row. on_read writes the answer to agent->out; facts are NULL where it
 * is no longer kept (r 0) or can't be read (r < 0). hash (may be NULL) is copied and handed on.
 */
enum dispatched change_read_ended(struct request *req, uint64_t row, const uint8_t *hash,
				  void (*on_read)(struct request *req,
						  const struct token_facts *facts,
						  const uint8_t *hash, int r));

/*
 * Waits for something else: complete() is called by whoever ends the wait (pending_complete()),
 * writes the answer to agent->out and frees nothing. NULL: no memory.
 */
struct pending *pending_new(struct request *req,
			    void (*complete)(struct request *req, void *userdata), void *userdata);
/* The same, after which the message is dispatched again. */
struct pending *pending_new_again(struct request *req);
void pending_complete(struct pending *p);
/* Likewise, but the answer is StoreFailed. */
void pending_fail(struct pending *p);
/* It is not waited for after all; NULL is fine. */
void pending_cancel(struct pending *p);

/* The connection is gone: what is under way goes on, unheard. NULL is fine. */
void pending_forget(struct pending *p);
