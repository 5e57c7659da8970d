/*
 * agent/store-sqlite.h - the backend that keeps rows in an SQLite file, store.db, of the state
 * directory.
 */
#pragma once

#include "agent/state-dir.h"
#include "agent/store-backend.h"

/*
 * Opens the store that is there; nothing of it changes before trust(). dir is borrowed, locked, and
 * outlives the backend.
 * Returns 0; -ENOENT where there is none (or only what a first start that was killed has left,
 * under another name);
 * else with *e as store_open() has it.
 */
int store_sqlite_open(const struct state_dir *dir, struct store_backend **ret,
		      struct store_error *e) MUST_USE;

/*
 * Makes an empty store with these values (one for each enum store_meta, in order): whole and on the
 * disk, or not at all.
 */
int store_sqlite_create(const struct state_dir *dir,
			const struct meta_value values[static META_LAST], struct store_error *e)
	MUST_USE;

/*
 * Whether there is a store in the directory, good or bad (1, 0), or a negative errno: then no new
 * key may be made.
 */
int store_sqlite_exists(const struct state_dir *dir) MUST_USE;
