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

struct rows_seen {
	const struct seal *seal;
	struct store *credentials_of;
	struct tally tally;
};

static int open_credential(struct rows_seen *seen, const struct stored_row *row,
			   const struct seal_place *place)
{
	struct store *s = seen->credentials_of;
	int r = 0;

	pthread_mutex_lock(&s->credentials_mutex);
	if (!s->credentials_are_locked)
		r = seal_open_row(seen->seal, place, row->sealed, row->n, NULL);
	pthread_mutex_unlock(&s->credentials_mutex);
	return r;
}

static int on_row(void *userdata, const struct stored_row *row)
{
	struct seal_place place = place_of(row);
	struct rows_seen *seen = userdata;
	int r;

	if (row->n < SEAL_OVERHEAD)
		return -EBADMSG;
	if (row->table == STORE_CREDENTIALS && seen->credentials_of)
		r = open_credential(seen, row, &place);
	else
		r = seal_open_row(seen->seal, &place, row->sealed, row->n, NULL);
	if (r == 0)
		tally_add(seen->seal, &seen->tally, row);
	return r;
}

int tally_check_all(const struct seal *seal, const struct seal_root *root, struct store_backend *b,
		    struct store *credentials_of)
{
	struct rows_seen seen = { .seal = seal, .credentials_of = credentials_of };
	struct seal_root own;
	int r = store_read_root(seal, b, &own);

	for (enum store_table table = STORE_ACTIVE; r == 0 && table <= STORE_AUDIT; table++)
		r = b->ops->read_table(b, table, on_row, &seen);
	if (r < 0)
		return r;
	if (own.commits != root->commits)
		return -EBADMSG;
	r = tally_check(&seen.tally, root);
	return r < 0 ? r : tally_check_owners(seal, &seen.tally, b);
}

int store_read_root(const struct seal *seal, struct store_backend *b, struct seal_root *ret)
{
	struct meta_value v;
	int r = b->ops->read_meta(b, META_ROOT, &v);

	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	return seal_open_root(seal, v.bytes, v.n, ret);
}
