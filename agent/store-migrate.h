/* agent/store-migrate.h - a store that an earlier Jeton has left, brought into the present format. */
#pragma once

#include "agent/store-impl.h"

/*
 * Takes over the store of format 1 that s->backend has open: proves that it is whole and of this
 * master key, then has a store of the present format in its place, with the same rows, sealed under
 * new keys. The old one stays as STORE_OLD_FILE. The backend is to be closed and opened anew.
 * 0, or with *e as store_open(); then the old one is as it was.
 */
int store_migrate(struct store *s, const uint8_t *master_key, struct store_error *e) MUST_USE;
