/*
 * agent/store-migrate.c - takes over a store of format 1, where all keys came from the master key.
 *
 * It is proved whole first, as at every start: nothing is written before that. Then all rows go
 * into a new store of the present format, which takes the old one's place in one step; that one
 * stays beside it, for whoever has to go back.
 */
#include "agent/store-migrate.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "agent/store-reseal.h"

static int read_value(struct store *s, enum store_meta which, size_t n, struct meta_value *ret,
		      struct store_error *e)
{
	int r = s->backend->ops->read_meta(s->backend, which, ret);

	if (r == -EBADMSG || r == -ENOENT || (r == 0 && ret->n != n))
		return store_say_damaged(s, "its first values are missing", e);
	return r < 0 ? store_say_unreadable(s, r, e) : 0;
}

/* Whether the key is the one, by both of what tells it, as with the present format. */
static int take_keys(struct store *s, const uint8_t *master_key, struct seal *seal,
		     struct seal_root *ret_root, struct store_error *e)
{
	struct meta_value check, id;
	uint8_t expected[SEAL_CHECK_LEN];
	bool is_key;
	int r = read_value(s, META_KEY_CHECK, SEAL_CHECK_LEN, &check, e);

	if (r == 0)
		r = read_value(s, META_ID, SEAL_ID_LEN, &id, e);
	if (r < 0)
		return r;
	seal_key_check(master_key, expected);
	is_key = sodium_memcmp(expected, check.bytes, sizeof(expected)) == 0;
	seal_init_1(seal, master_key, id.bytes);
	r = store_read_root(seal, s->backend, ret_root);
	if (r < 0 && r != -EBADMSG)
		return store_say_unreadable(s, r, e);
	if (is_key != (r == 0))
		return store_say_damaged(s, "its first values do not fit each other", e);
	return is_key ? store_judge_anchor(s, id.bytes, ret_root->commits, e) : store_say_wrong_key(s, e);
}

static int prove(struct store *s, const struct seal *seal, const struct seal_root *root,
		 struct store_error *e)
{
	int r = tally_check_all(seal, root, s->backend, NULL);

	if (r == 0)
		r = s->backend->ops->trust(s->backend);
	if (r == -EBADMSG)
		return store_say_damaged(s, "rows do not open, are missing, or were put back or "
					    "exchanged",
					 e);
	return r < 0 ? store_say_unreadable(s, r, e) : 0;
}

static int reseal(struct store *s, const struct seal *from, const struct seal_root *root,
		  const uint8_t *master_key)
{
	struct region region = { 0 };
	struct resealing resealing = { .s = s, .from = from, .from_root = *root, .keep_old = true };
	int r = reseal_keys_make(&region, s->locked.mem, from->id, master_key, &resealing.keys);

	if (r == 0)
		r = reseal_all(&resealing);
	region_done(&region);
	return r;
}

static int say_failed(const struct store *s, int r, struct store_error *e)
{
	return store_fail(e, r,
			  "the store in %s can't be brought into the present format: %s; it is "
			  "still there as it was",
			  s->dir.path, strerror(-r));
}

int store_migrate(struct store *s, const uint8_t *master_key, struct store_error *e)
{
	struct region region = { 0 };
	struct seal *old;
	struct seal_root root;
	int r = region_init(&region, s->locked.mem, sizeof(*old));

	if (r == 0)
		r = region_grow(&region, sizeof(*old));
	if (r < 0) {
		region_done(&region);
		return say_failed(s, r, e);
	}
	old = (struct seal *)(void *)region.base;
	r = take_keys(s, master_key, old, &root, e);
	if (r == 0)
		r = prove(s, old, &root, e);
	if (r == 0) {
		r = reseal(s, old, &root, master_key);
		if (r < 0)
			r = say_failed(s, r, e);
	}
	region_done(&region);
	return r;
}
