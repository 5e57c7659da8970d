/*
 * agent/store-tally.c - whether all rows are there: what was seen, held against the root.
 */
#include "agent/store-impl.h"

#include <errno.h>
#include <string.h>

void tally_add(const struct seal *seal, struct tally *t, const struct stored_row *row)
{
	struct seal_place place = place_of(row);

	seal_root_add(seal, &t->seen, &place, row->sealed);
	if (row->table == STORE_ENDED)
		seal_set_add_pair(seal, &t->owners, row->row, row->owner);
}

void tally_forget(struct tally *t, enum store_table table)
{
	memset(&t->seen.tables[table - 1], 0, sizeof(t->seen.tables[0]));
	if (table == STORE_ENDED)
		memset(&t->owners, 0, sizeof(t->owners));
}

int tally_check(const struct tally *t, const struct seal_root *root)
{
	for (unsigned i = 0; i < SEAL_TABLES; i++)
		if (!seal_set_equal(&t->seen.tables[i], &root->tables[i]))
			return -EBADMSG;
	return 0;
}

struct owners_seen {
	const struct seal *seal;
	struct seal_set set;
};

static int on_owner(void *userdata, const struct stored_row *row)
{
	struct owners_seen *seen = userdata;

	seal_set_add_pair(seen->seal, &seen->set, row->row, row->owner);
	return 0;
}

int tally_check_owners(const struct seal *seal, const struct tally *t, struct store_backend *b)
{
	struct owners_seen seen = { .seal = seal };
	int r = b->ops->read_owners(b, on_owner, &seen);

	if (r < 0)
		return r;
	return seal_set_equal(&seen.set, &t->owners) ? 0 : -EBADMSG;
}

int store_read_root(const struct seal *seal, struct store_backend *b, struct seal_root *ret)
{
	struct meta_value v;
	int r = b->ops->read_meta(b, META_ROOT, &v);

	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	return seal_open_root(seal, v.bytes, v.n, ret);
}
