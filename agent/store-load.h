/*
 * agent/store-load.h - a table's rows on their way into memory: read and opened by one thread while
 * another takes them in, since with a million of them each is half of the start.
 */
#pragma once

#include "agent/store-impl.h"

/* What store_read_all() is given, and what came of it. */
struct loading {
	struct store *s;
	enum store_table table;
	int (*on_row)(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
		      size_t n);
	void *userdata;
	int forwarded; /* what on_row gave, where it was negative */
};

/*
 * Reads every row, opens it and hands it to on_row, which is called by the caller's thread. Each is
 * counted in s->tally. 0; -EBADMSG: one does not open; or a negative errno.
 */
int store_load(struct loading *l) MUST_USE;
