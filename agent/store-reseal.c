/*
 * agent/store-reseal.c - see store-reseal.h. One record at a time is open, in locked memory; so it
 * takes no more memory for a million rows than for one.
 *
 * The root is summed up anew of what is written, and the copy is read again from the disk and held
 * against it before it counts. That all rows are there follows from the old root: the sets must
 * have as many rows each.
 */
#include "agent/store-reseal.h"

#include <errno.h>
#include <string.h>

#include "agent/record.h"

enum { ROWS_BETWEEN = 32 }; /* two calls of meanwhile() */

int reseal_keys_make(struct region *region, struct secretmem *mem,
		     const uint8_t id[static SEAL_ID_LEN], const uint8_t *master_key,
		     struct reseal_keys **ret)
{
	struct reseal_keys *keys;
	int r = region_init(region, mem, sizeof(*keys));

	if (r == 0)
		r = region_grow(region, sizeof(*keys));
	if (r < 0) {
		region_done(region);
		return -ENOMEM;
	}
	keys = (struct reseal_keys *)(void *)region->base;
	seal_make_key(keys->store_key);
	memcpy(keys->master_key, master_key, SEAL_KEY_LEN);
	seal_init(&keys->seal, keys->store_key, id);
	*ret = keys;
	return 0;
}

/* ---- filling the copy ------------------------------------------------------------------------ */

/*
 * An ended row is found by its owner's tag, which comes from another key now. Whose it is stands in
 * the record, and the old tag proves it.
 */
static int tag_anew(struct resealing *r, const struct stored_row *row, size_t n,
		    struct seal_place *place)
{
	uid_t owner;

	if (row->table != STORE_ENDED)
		return 0;
	if (record_owner(r->keys->room, n, &owner) < 0 ||
	    seal_owner_tag(r->from, owner) != row->owner)
		return -EBADMSG;
	place->owner = seal_owner_tag(&r->keys->seal, owner);
	return 0;
}

static int copy_row(struct resealing *r, const struct stored_row *row)
{
	struct seal_place place = place_of(row);
	struct stored_row copy = *row;
	size_t n = row->n - SEAL_OVERHEAD;
	int ret = seal_open_row(r->from, &place, row->sealed, row->n, r->keys->room);

	if (ret == 0)
		ret = tag_anew(r, row, n, &place);
	if (ret < 0)
		return ret;
	seal_row(&r->keys->seal, &place, r->keys->room, n, r->sealed);
	seal_root_add(&r->keys->seal, &r->root, &place, r->sealed);
	copy.owner = place.owner;
	copy.sealed = r->sealed;
	return r->copy->ops->insert(r->copy, &copy);
}

static int on_row(void *userdata, const struct stored_row *row)
{
	struct resealing *r = userdata;
	int ret;

	if (row->n < SEAL_OVERHEAD || row->n > STORE_RECORD_MAX + SEAL_OVERHEAD)
		return -EBADMSG;
	ret = copy_row(r, row);
	secret_wipe(r->keys->room, row->n - SEAL_OVERHEAD);
	if (r->meanwhile && ++r->n_rows % ROWS_BETWEEN == 0)
		r->meanwhile(r->s);
	return ret;
}

static void put_value(struct meta_value *value, const void *p, size_t n)
{
	value->n = n;
	memcpy(value->bytes, p, n);
}

static void put_values(struct resealing *r, struct meta_value values[static META_LAST])
{
	const struct reseal_keys *keys = r->keys;
	struct meta_value *check = &values[META_KEY_CHECK - 1], *root = &values[META_ROOT - 1],
			  *key = &values[META_STORE_KEY - 1];

	put_value(&values[META_ID - 1], keys->seal.id, SEAL_ID_LEN);
	check->n = SEAL_CHECK_LEN;
	seal_key_check(keys->master_key, check->bytes);
	root->n = SEAL_ROOT_LEN;
	seal_root(&keys->seal, &r->root, root->bytes);
	key->n = SEAL_STORE_KEY_LEN;
	seal_store_key(keys->store_key, keys->master_key, keys->seal.id, r->keys->room, key->bytes);
}

static int fill(void *userdata, struct store_backend *copy,
		struct meta_value values[static META_LAST])
{
	struct resealing *r = userdata;
	struct store_backend *from = r->s->backend;
	int ret = 0;

	r->copy = copy;
	r->root = (struct seal_root){ .commits = r->from_root.commits + 1,
				      .highest_row = r->from_root.highest_row };
	for (enum store_table table = STORE_ACTIVE; ret == 0 && table <= STORE_AUDIT; table++)
		ret = from->ops->read_table(from, table, on_row, r);
	for (unsigned i = 0; ret == 0 && i < SEAL_TABLES; i++)
		if (r->root.tables[i].n != r->from_root.tables[i].n)
			ret = -EBADMSG;
	if (ret == 0)
		put_values(r, values);
	return ret;
}

static int check(void *userdata, struct store_backend *copy)
{
	struct resealing *r = userdata;

	return tally_check_all(&r->keys->seal, &r->root, copy, NULL);
}

int reseal_all(struct resealing *r)
{
	struct store_backend *b = r->s->backend;
	struct store_rewriting how = {
		.fill = fill,
		.check = check,
		.userdata = r,
		.keep_old = r->keep_old,
	};
	int ret;

	r->sealed = malloc(STORE_RECORD_MAX + SEAL_OVERHEAD);
	if (!r->sealed)
		return -ENOMEM;
	ret = b->ops->rewrite(b, &how);
	free(r->sealed);
	return ret;
}
