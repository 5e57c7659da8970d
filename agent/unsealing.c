/*
 * agent/unsealing.c - see unsealing.h. Nothing on disk has changed when a key does not fit, so the
 * next one can be tried; what has to be changed for it waits until the store is proved whole.
 */
#include "agent/unsealing.h"

#include <errno.h>
#include <string.h>

#include "agent/log.h"
#include "agent/masterkey.h"

struct place {
	const char *state_dir; /* NULL: in memory */
	const char *anchor_dir;
	struct memory_dir *memory;
	struct secretmem *mem;
};

static int read_key(const struct place *p, uint8_t *key, struct store_error *e)
{
	return p->state_dir ? masterkey_read(p->state_dir, key, e)
			    : masterkey_read_credential(key, e);
}

static int try_key(const struct place *p, const uint8_t *key, struct store **ret,
		   struct store_error *e)
{
	return p->state_dir ? store_open_anchored(p->state_dir, p->anchor_dir, key, p->mem, ret, e)
			    : store_open_memory(p->memory, key, p->mem, ret, e);
}

/* The key beside the one that did not fit. 1; 0: there is none; or a negative errno. */
static int read_other(const struct place *p, uint8_t *key, enum unsealed *ret_by,
		      struct store_error *e)
{
	if (masterkey_is_credential()) {
		*ret_by = UNSEALED_BY_OLD;
		return masterkey_read_old_credential(key, e);
	}
	*ret_by = UNSEALED_BY_NEXT;
	return masterkey_read_next(p->state_dir, key, e);
}

static int try_other(const struct place *p, uint8_t *key, struct store **ret, enum unsealed *ret_by,
		     struct store_error *e)
{
	struct store_error first = *e;
	int r = read_other(p, key, ret_by, e);

	if (r == 0) {
		*e = first;
		return -EKEYREJECTED;
	}
	if (r > 0)
		r = try_key(p, key, ret, e);
	if (r < 0 || *ret_by != UNSEALED_BY_OLD)
		return r;
	r = read_key(p, key, e);
	if (r < 0) {
		store_close(*ret);
		*ret = NULL;
		return r;
	}
	store_change_master_key(*ret, key);
	return 0;
}

int unsealing_open(const char *state_dir, const char *anchor_dir, struct memory_dir *memory,
		   uint8_t *key, struct secretmem *mem, struct store **ret, enum unsealed *ret_by,
		   struct store_error *ret_error)
{
	struct place p = { state_dir, anchor_dir, memory, mem };
	int r = read_key(&p, key, ret_error);

	if (r == 0)
		r = try_key(&p, key, ret, ret_error);
	if (r == -EKEYREJECTED)
		return try_other(&p, key, ret, ret_by, ret_error);
	*ret_by = UNSEALED_AS_EVER;
	return r;
}

void unsealing_settle(struct store *s, enum unsealed by)
{
	int r = 0;

	if (by == UNSEALED_BY_OLD)
		log_notice("the store is sealed under the new master key from now on: the credential "
			   "jeton.master.old may be removed");
	else if (masterkey_has_old_credential())
		log_notice("the store is sealed under the credential jeton.master: jeton.master.old is "
			   "not needed, and may be removed");
	if (!masterkey_is_credential())
		r = store_settle_key_file(s, by == UNSEALED_BY_NEXT);
	if (r < 0)
		log_warning("master.key.next can't be %s: %s",
			    by == UNSEALED_BY_NEXT ? "renamed to master.key, though it is the key"
						   : "removed",
			    strerror(-r));
	else if (by == UNSEALED_BY_NEXT)
		log_notice("a change of keys that was cut off is complete now");
}
