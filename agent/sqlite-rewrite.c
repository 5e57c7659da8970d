/*
 * agent/sqlite-rewrite.c - a new file for the same rows in other bytes: of another format, or
 * sealed under other keys.
 *
 * Unlike a copy page for page the new file has nothing in common with the old one's log, which
 * would spoil it if it were found beside it. So the log is written back first and is empty on the
 * disk before the name changes hands: at each moment store.db is one store or the other, whole by
 * itself.
 */
#include "agent/sqlite-store.h"

#include <errno.h>

static int insert_all(struct sqlite_store *copy, const struct store_rewriting *how)
{
	struct meta_value values[META_LAST] = { 0 };
	const struct store_backend_ops *ops = copy->base.ops;
	int r = ops->begin(&copy->base);

	if (r == 0)
		r = how->fill(how->userdata, &copy->base, values);
	if (r == 0)
		r = sqlite_file_insert_meta(&copy->file, values);
	return r < 0 ? r : ops->commit(&copy->base);
}

static int fill_new(struct sqlite_store *s, const struct store_rewriting *how)
{
	struct sqlite_store copy = { .base = { .ops = &sqlite_store_ops }, .dir = s->dir };
	int r = sqlite_file_make_new(s->dir);

	if (r == 0)
		r = sqlite_file_open_new(s->dir, &copy.file);
	if (r < 0)
		return r;
	r = sqlite_file_write_schema(&copy.file);
	if (r == 0)
		r = insert_all(&copy, how);
	if (r == 0)
		r = sqlite_file_set_log(copy.file.db);
	sqlite_file_close(&copy.file);
	return r < 0 ? r : sqlite_file_sync_new(s->dir);
}

int sqlite_store_rewrite(struct store_backend *b, const struct store_rewriting *how)
{
	struct sqlite_store *s = store_of(b);
	int r = s->broken ? -EIO : fill_new(s, how);

	if (r == 0)
		r = sqlite_store_check_new(s, how->check, how->userdata);
	if (r == 0)
		r = sqlite_store_empty_log(s);
	if (r == 0 && how->keep_old)
		r = sqlite_file_keep_old(s->dir);
	if (r == 0) {
		r = sqlite_store_change_over(s);
		if (r < 0 && !state_dir_is_there(s->dir, STORE_NEW_FILE))
			s->broken = true;
	}
	if (r < 0)
		(void)sqlite_file_remove_new(s->dir);
	return r;
}
