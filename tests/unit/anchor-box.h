/* tests/unit/anchor-box.h - a store whose anchor is in a directory of its own, beside its box. */
#pragma once

#include "agent/anchor.h"
#include "tests/unit/store-box.h"

struct anchored {
	struct box box;
	char dir[80], path[96]; /* of the anchor */
};

static inline void anchored_init_beside(struct anchored *b)
{
	snprintf(b->dir, sizeof(b->dir), "%s-anchor", b->box.dir);
	snprintf(b->path, sizeof(b->path), "%s/" ANCHOR_FILE, b->dir);
	UNIT_CHECK(mkdir(b->dir, 0700) == 0, "mkdir: %s", strerror(errno));
}

static inline void anchored_init(struct anchored *b)
{
	box_init(&b->box);
	anchored_init_beside(b);
}

/* As box_open(), with the anchor. */
static inline int anchored_open(struct anchored *b)
{
	struct box *box = &b->box;
	int r;

	box->error.text[0] = '\0';
	r = store_open_anchored(box->dir, b->dir, box->key, &box->mem, &box->store, &box->error);
	if (r < 0) {
		box->store = NULL;
		return r;
	}
	r = box_load(box);
	if (r < 0)
		box_close(box);
	return r;
}

static inline void anchored_must_open(struct anchored *b)
{
	int r = anchored_open(b);

	UNIT_CHECK(r == 0, "can't open: %s (%s)", b->box.error.text, strerror(-r));
}

/* The anchor's bytes; p NULL: there is none. */
static inline struct bytes anchored_read(const struct anchored *b)
{
	return box_read(&b->box, ANCHOR_FILE);
}

static inline void anchored_write(const struct anchored *b, struct bytes f)
{
	box_write(&b->box, ANCHOR_FILE, f);
}

static inline void anchored_remove(const struct anchored *b)
{
	UNIT_CHECK(unlink(b->path) == 0, "unlink: %s", strerror(errno));
}

/* Leaves both as a kill at this moment would. */
static inline void anchored_kill(struct anchored *b)
{
	struct image m = box_image(&b->box);
	struct bytes anchor = anchored_read(b);

	box_close(&b->box);
	box_put_back(&b->box, &m);
	anchored_write(b, anchor);
	image_done(&m);
	free(anchor.p);
}

/* Until the anchor's bytes are others than these. */
static inline void anchored_wait(const struct anchored *b, struct bytes before)
{
	for (unsigned i = 0;; i++) {
		struct bytes now = anchored_read(b);
		bool same = bytes_equal(now, before);

		free(now.p);
		if (!same)
			return;
		UNIT_CHECK(i < 1000, "the anchor is not raised");
		poll(NULL, 0, 10);
	}
}

static inline void anchored_done(struct anchored *b)
{
	box_close(&b->box);
	box_remove(&b->box, ANCHOR_FILE);
	box_remove(&b->box, ANCHOR_NEW_FILE);
	box_done(&b->box);
	UNIT_CHECK(rmdir(b->dir) == 0, "%s is left behind with more than an anchor: %s", b->dir,
		   strerror(errno));
}
