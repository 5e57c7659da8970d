/* tests/unit/test-carried.c - what was noted is found, however the one who noted it ended. */
#include "agent/carried.h"

#include <sys/mman.h>

#include "tests/unit/store-box.h"

enum { NOTES = 64 };

/* A memfd, who writes to it, and what a replay has found. */
struct notes {
	struct box box;
	int fd;
	struct carried *c;
	uint64_t found[100000]; /* ids of uses, in order */
	size_t n_found;
	size_t n_fetches, n_denials;
};

static struct notes notes;

static void on_use(void *userdata, uint64_t id, uint64_t at_us, struct span by)
{
	struct notes *t = userdata;

	ck_assert_uint_eq(at_us, id * 1000000);
	ck_assert_int_eq(id % 2, by.p != NULL);
	ck_assert(id % 2 == 0 || span_is(by, "app.service"));
	UNIT_CHECK(t->n_found < ARRAY_SIZE(t->found), "too many");
	t->found[t->n_found++] = id;
}

static void on_fetch(void *userdata, struct span name, uint64_t at_us, struct span by)
{
	struct notes *t = userdata;

	ck_assert(span_is(name, "modulos") && at_us == 7 && span_is(by, "cron.service"));
	t->n_fetches++;
}

static void on_denial(void *userdata, uint64_t id)
{
	struct notes *t = userdata;

	ck_assert_uint_eq(id, 99);
	t->n_denials++;
}

static const struct carried_fns fns = { on_use, on_fetch, on_denial };

/* As the next agent does. */
static void replay(struct notes *t)
{
	uint8_t scratch[CARRIED_NOTE_MAX];

	carried_close(t->c);
	t->n_found = t->n_fetches = t->n_denials = 0;
	ck_assert_int_eq(carried_map(t->box.store, t->fd, &t->c), 0);
	carried_replay(t->c, scratch, &fns, t);
}

static struct notes *begin(void)
{
	struct notes *t = &notes;

	box_init(&t->box);
	box_must_open(&t->box);
	t->fd = carried_make();
	ck_assert_int_ge(t->fd, 0);
	replay(t);
	return t;
}

static void end(struct notes *t)
{
	carried_close(STEAL_PTR(t->c));
	close(t->fd);
	box_done(&t->box);
}

static int use(struct notes *t, uint64_t id)
{
	return carried_use(t->c, id, id * 1000000, id % 2 ? SPAN("app.service") : SPAN_NONE);
}

static void must_find(struct notes *t, uint64_t first, uint64_t last)
{
	replay(t);
	ck_assert_uint_eq(t->n_found, last - first + 1);
	for (size_t i = 0; i < t->n_found; i++)
		ck_assert_uint_eq(t->found[i], first + i);
}

START_TEST(notes_are_found_in_the_order_they_were_made_and_go_on_behind)
{
	struct notes *t = begin();

	ck_assert_uint_eq(t->n_found, 0);
	for (uint64_t id = 1; id <= NOTES; id++) {
		ck_assert_int_eq(use(t, id), 0);
		ck_assert_int_eq(carried_fetch(t->c, SPAN("modulos"), 7, SPAN("cron.service")), 0);
		ck_assert_int_eq(carried_denial(t->c, 99), 0);
		must_find(t, 1, id);
		ck_assert_uint_eq(t->n_fetches, id);
		ck_assert_uint_eq(t->n_denials, id);
	}
	end(t);
}
END_TEST

START_TEST(what_was_kept_is_not_found_and_what_came_since_is)
{
	struct notes *t = begin();

	for (uint64_t id = 1; id <= 10; id++)
		(void)use(t, id);
	carried_turn(t->c);
	(void)use(t, 11);
	must_find(t, 1, 11);
	(void)use(t, 12);
	carried_kept(t->c);
	must_find(t, 11, 12);
	/* A round that the store could not keep takes nothing away, nor does the next turn. */
	carried_turn(t->c);
	(void)use(t, 13);
	carried_turn(t->c);
	(void)use(t, 14);
	must_find(t, 11, 14);
	carried_kept(t->c);
	must_find(t, 13, 14);
	for (uint64_t n = 15; n < 200; n++) {
		carried_turn(t->c);
		(void)use(t, n);
		carried_kept(t->c);
		must_find(t, n, n);
	}
	end(t);
}
END_TEST

START_TEST(room_is_there_for_as_long_as_the_store_keeps)
{
	struct notes *t = begin();
	uint64_t id = 0, turned = 0;
	int r = 0;

	for (int round = 0; round < 4; round++) {
		while ((r = use(t, ++id)) == 0)
			;
		ck_assert_int_eq(r, -EXFULL);
		carried_turn(t->c);
		ck_assert_int_eq(use(t, ++id), 0);
		carried_kept(t->c);
		turned = id;
	}
	must_find(t, turned, id);
	/* And where it does not, notes end, and those that were made stay. */
	carried_turn(t->c);
	while ((r = use(t, ++id)) != -ENOSPC)
		ck_assert(r == 0 || r == -EXFULL);
	must_find(t, turned, id - 1);
	ck_assert_int_eq(use(t, id), -ENOSPC);
	carried_kept(t->c);
	carried_turn(t->c);
	ck_assert_int_eq(use(t, id), 0);
	must_find(t, turned + 1, id);
	end(t);
}
END_TEST

START_TEST(begun_anew_there_is_nothing_of_before_and_all_that_comes_after)
{
	struct notes *t = begin();

	for (uint64_t id = 1; id <= 6; id++) {
		(void)use(t, id);
		if (id == 3)
			carried_turn(t->c);
	}
	carried_begin_anew(t->c);
	(void)use(t, 7);
	must_find(t, 7, 7);
	carried_turn(t->c);
	(void)use(t, 8);
	carried_begin_anew(t->c);
	(void)use(t, 9);
	must_find(t, 9, 9);
	end(t);
}
END_TEST

/* The memfd as it is when the writer ends after so many bytes of what it writes last. */
START_TEST(a_note_that_was_torn_at_any_byte_is_none_and_those_before_count)
{
	static uint8_t before[8192], after[8192];
	struct notes *t = begin();

	for (uint64_t id = 1; id <= 5; id++)
		(void)use(t, id);
	ck_assert_int_eq(pread(t->fd, before, sizeof(before), 0), sizeof(before));
	(void)use(t, 6);
	ck_assert_int_eq(pread(t->fd, after, sizeof(after), 0), sizeof(after));
	for (size_t n = 0; n < sizeof(after); n++) {
		uint8_t torn[8192];

		if (before[n] == after[n])
			continue;
		memcpy(torn, before, sizeof(torn));
		memcpy(torn, after, n);
		ck_assert_int_eq(pwrite(t->fd, torn, sizeof(torn), 0), sizeof(torn));
		must_find(t, 1, 5);
		(void)use(t, 6);
		must_find(t, 1, 6);
	}
	end(t);
}
END_TEST

START_TEST(altered_notes_are_not_believed)
{
	static uint8_t whole[8192], altered[8192];
	struct notes *t = begin();
	size_t n = 0;

	for (uint64_t id = 1; id <= 9; id++)
		(void)use(t, id);
	ck_assert_int_eq(pread(t->fd, whole, sizeof(whole), 0), sizeof(whole));
	for (size_t at = 0; at < sizeof(whole); at++)
		n = whole[at] ? at + 1 : n;
	for (size_t at = 4096; at < n; at++) {
		memcpy(altered, whole, sizeof(altered));
		altered[at] ^= (uint8_t)(1 << at % 8);
		ck_assert_int_eq(pwrite(t->fd, altered, sizeof(altered), 0), sizeof(altered));
		replay(t);
		ck_assert_uint_lt(t->n_found, 9);
		for (size_t i = 0; i < t->n_found; i++)
			ck_assert_uint_eq(t->found[i], i + 1);
	}
	end(t);
}
END_TEST

START_TEST(what_is_no_memfd_of_ours_is_refused)
{
	struct notes *t = begin();
	struct carried *c = NULL;
	int fd = memfd_create("x", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	ck_assert_int_eq(carried_map(t->box.store, fd, &c), -EBADMSG);
	ck_assert_int_eq(ftruncate(fd, 4096 + 2 * CARRIED_HALF), 0);
	/* It could be cut short while it is mapped. */
	ck_assert_int_eq(carried_map(t->box.store, fd, &c), -EBADMSG);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	ck_assert_int_eq(carried_map(t->box.store, fd, &c), -EBADMSG);
	ck_assert_int_lt(ftruncate(t->fd, 0), 0);
	close(fd);
	end(t);
}
END_TEST

START_TEST(a_note_has_no_name_that_is_too_long_and_none_is_needed)
{
	char text[CARRIED_TEXT_MAX + 1];
	struct notes *t = begin();

	memset(text, 'x', sizeof(text));
	ck_assert_int_eq(carried_use(t->c, 2, 2000000, (struct span){ text, sizeof(text) }), 0);
	must_find(t, 2, 2);
	ck_assert_int_eq(carried_use(NULL, 1, 1, SPAN_NONE), 0);
	ck_assert_int_eq(carried_denial(NULL, 1), -ENOTCONN);
	carried_turn(NULL);
	carried_kept(NULL);
	end(t);
}
END_TEST

UNIT_MAIN("carried", notes_are_found_in_the_order_they_were_made_and_go_on_behind,
	  what_was_kept_is_not_found_and_what_came_since_is,
	  room_is_there_for_as_long_as_the_store_keeps,
	  begun_anew_there_is_nothing_of_before_and_all_that_comes_after,
	  a_note_that_was_torn_at_any_byte_is_none_and_those_before_count,
	  altered_notes_are_not_believed, what_is_no_memfd_of_ours_is_refused,
	  a_note_has_no_name_that_is_too_long_and_none_is_needed)
