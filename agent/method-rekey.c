/*
 * agent/method-rekey.c - Rekey: other keys for the store.
 *
 * The master key is not in memory after the start. Where it is a file, a new one is made; where it
 * is a credential, systemd keeps that readable for as long as the service runs, so it is read again.
 */
#include <errno.h>
#include <string.h>

#include "agent/change.h"
#include "agent/last-use.h"
#include "agent/masterkey.h"
#include "agent/method.h"
#include "agent/reply.h"
#include "agent/restore.h"
#include "agent/state-dir.h"

struct rekey {
	struct agent *agent;
	struct pending *pending;
	uid_t by;
	bool as_file;
};

static void write_done(struct request *req, void *userdata)
{
	(void)userdata;
	reply_empty(req);
}

static void say_done(const struct rekey *k)
{
	log_notice("the store is sealed under new keys, by order of uid %u", (unsigned)k->by);
	if (!k->as_file)
		log_notice("the credential jeton.master stays: to change it too, give the unit the "
			   "new one as jeton.master and this one as jeton.master.old "
			   "(LoadCredentialEncrypted=), and restart it");
}

static void on_rekeyed(void *userdata, int r)
{
	struct rekey *k = userdata;

	if (r < 0) {
		log_error("the store's keys could not be changed, and are the old ones: %s",
			  strerror(-r));
		pending_fail(k->pending);
	} else {
		last_use_rekeyed(k->agent);
		restore_rekeyed(k->agent);
		say_done(k);
		pending_complete(k->pending);
	}
	free(k);
}

/* The key goes into key. 0 or a negative errno, which was logged. */
static int get_master_key(struct agent *a, uint8_t *key, bool *ret_as_file)
{
	struct store_error error = { "" };
	int r = masterkey_for_rekey(key, ret_as_file, &error);

	if (r == 0 && !*ret_as_file && !store_is_sealed_under(a->store, key))
		r = store_fail(&error, -EKEYREJECTED,
			       "the credential jeton.master is not the key that the store was "
			       "opened with: restart the agent, and try again");
	if (r < 0)
		log_error("the store's keys can't be changed: %s", error.text);
	return r;
}

/* 0: k was taken over; or a negative errno. */
static int begin(struct agent *a, struct rekey *k)
{
	uint8_t *key = a->scratch->random;
	int r = get_master_key(a, key, &k->as_file);

	_Static_assert(sizeof(a->scratch->random) >= STORE_KEY_LEN, "room for the master key");
	if (r == 0)
		r = store_rekey(a->store, key, k->as_file, on_rekeyed, k);
	secret_wipe(key, STORE_KEY_LEN);
	return r;
}

enum dispatched method_rekey(struct request *req)
{
	struct agent *a = req->agent;
	struct bad_parameter bad;
	struct rekey *k;
	char nothing;
	int r;

	if (!params_read(&req->call.params, NULL, 0, &a->text, &nothing, 0, &bad))
		return reply_bad_parameter(req, &bad);
	k = calloc(1, sizeof(*k));
	if (!k)
		return reply_limit(req, "memory", 0);
	*k = (struct rekey){ .agent = a, .by = req->connection->peer.uid };
	k->pending = pending_new(req, write_done, NULL);
	r = k->pending ? begin(a, k) : -ENOMEM;
	if (r == 0)
		return DISPATCH_LATER;
	pending_cancel(k->pending);
	free(k);
	if (r == -ENOMEM)
		return reply_limit(req, "memory", 0);
	reply_store_failed(req, NULL);
	return DISPATCH_DONE;
}
