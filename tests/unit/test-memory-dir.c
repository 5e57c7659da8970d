/* tests/unit/test-memory-dir.c - files in memory, and a store in them. */
#include "agent/memory-dir.h"

#include "tests/unit/store-box.h"

static struct memory_dir *begin(void)
{
	struct memory_dir_error error;
	struct memory_dir *d = NULL;

	unsetenv("NOTIFY_SOCKET");
	UNIT_CHECK(memory_dir_open(&d, &error) == 0, "%s", error.text);
	return d;
}

static void put(struct memory_dir *d, const char *name, const char *text)
{
	int fd = memory_dir_open_file(d, name, O_CREAT);

	UNIT_CHECK(fd >= 0 && fd_write_all(fd, text, strlen(text)) == 0, "%s: %d", name, fd);
	close(fd);
}

static bool holds(struct memory_dir *d, const char *name, const char *text)
{
	int fd = memory_dir_open_file(d, name, 0);
	char found[64];
	ssize_t n = fd < 0 ? -1 : fd_read_all(fd, found, sizeof(found));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) && memcmp(found, text, strlen(text)) == 0 &&
	       memory_dir_size(d, name) == n && memory_dir_is_there(d, name);
}

START_TEST(files_have_the_names_that_they_were_given_last)
{
	struct memory_dir *d = begin();

	ck_assert(!memory_dir_is_kept(d));
	ck_assert_int_eq(memory_dir_open_file(d, "a", 0), -ENOENT);
	ck_assert_int_eq(memory_dir_size(d, "a"), -ENOENT);
	put(d, "a", "one");
	ck_assert(holds(d, "a", "one"));
	ck_assert_int_eq(memory_dir_open_file(d, "a", O_CREAT), -EEXIST);
	put(d, "b", "two");
	ck_assert_int_eq(memory_dir_rename(d, "a", "b"), 0);
	ck_assert(holds(d, "b", "one"));
	ck_assert(!memory_dir_is_there(d, "a"));
	ck_assert_int_eq(memory_dir_rename(d, "a", "b"), -ENOENT);
	ck_assert_int_eq(memory_dir_rename(d, "b", "b"), 0);
	ck_assert_int_eq(memory_dir_rename(d, "b", "c"), 0);
	ck_assert(holds(d, "c", "one"));
	ck_assert_int_eq(memory_dir_remove(d, "b"), 0);
	ck_assert_int_eq(memory_dir_remove(d, "c"), 0);
	ck_assert(!memory_dir_is_there(d, "c"));
	memory_dir_close(d);
}
END_TEST

START_TEST(there_is_room_for_so_many_files_and_for_others_once_they_are_gone)
{
	struct memory_dir *d = begin();
	char name[8];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MEMORY_FILES; i++) {
			snprintf(name, sizeof(name), "%d", i);
			put(d, name, name);
		}
		ck_assert_int_eq(memory_dir_open_file(d, "more", O_CREAT), -ENFILE);
		for (int i = 0; i < MEMORY_FILES; i++) {
			snprintf(name, sizeof(name), "%d", i);
			ck_assert(holds(d, name, name));
			ck_assert_int_eq(memory_dir_remove(d, name), 0);
		}
	}
	ck_assert_int_eq(memory_dir_open_file(d, "0123456789012345678901234567890123456789",
					      O_CREAT),
			 -ENAMETOOLONG);
	memory_dir_close(d);
}
END_TEST

/* Opens as the agent does. */
static void open_in(struct box *b, struct memory_dir *d)
{
	int r = store_open_memory(d, b->key, &b->mem, &b->store, &b->error);

	if (r == 0)
		r = box_load(b);
	UNIT_CHECK(r == 0, "can't open: %s (%s)", b->error.text, strerror(-r));
}

START_TEST(a_store_in_memory_holds_what_it_was_given)
{
	struct memory_dir *d = begin();
	uint64_t random = 1;
	struct box b;

	box_init(&b);
	for (int round = 0; round < 6; round++) {
		open_in(&b, d);
		UNIT_CHECK(rows_equal(&b.found, &b.expected), "not the rows that were kept");
		b.n_kept = b.n_failed = 0;
		for (int i = 0; i < 500; i++) {
			struct store_change *c = box_change(&b);
			enum store_table table = 1 + unit_random(&random) % (BOX_TABLES - 1);
			uint64_t row = 1 + unit_random(&random) % 200;

			if (b.expected.version[table][row] && unit_random(&random) % 3 == 0)
				box_delete(&b, c, table, row);
			else
				box_put(&b, c, table, row);
			box_submit(&b, c);
		}
		box_wait(&b, 500);
		ck_assert_uint_eq(b.n_failed, 0);
		box_close(&b);
	}
	ck_assert(memory_dir_is_there(d, "store.db"));
	ck_assert(!box_has(&b, "store.db"));
	box_done(&b);
	memory_dir_close(d);
}
END_TEST

START_TEST(two_stores_in_memory_are_two)
{
	struct memory_dir *d1 = begin(), *d2 = begin();
	struct box one, two;

	box_init(&one);
	box_init(&two);
	open_in(&one, d1);
	open_in(&two, d2);
	ck_assert(box_put_one(&one, STORE_ACTIVE, 1) && box_put_one(&two, STORE_ACTIVE, 2));
	box_close(&one);
	box_close(&two);
	open_in(&one, d1);
	open_in(&two, d2);
	ck_assert(rows_equal(&one.found, &one.expected));
	ck_assert(rows_equal(&two.found, &two.expected));
	box_done(&one);
	box_done(&two);
	memory_dir_close(d1);
	memory_dir_close(d2);
}
END_TEST

START_TEST(any_bit_turned_in_it_is_found_or_was_of_no_account)
{
	struct memory_dir *d = begin();
	long long size;
	uint8_t whole;
	struct box b;
	int fd;

	box_init(&b);
	open_in(&b, d);
	for (uint64_t row = 1; row < 20; row++)
		ck_assert(box_put_one(&b, STORE_ACTIVE, row));
	box_close(&b);
	fd = memory_dir_open_file(d, "store.db", 0);
	size = memory_dir_size(d, "store.db");
	for (long long at = 0; at < size; at += 61 * box_thinning()) {
		uint8_t turned;
		int r;

		ck_assert_int_eq(pread(fd, &whole, 1, at), 1);
		turned = whole ^ (uint8_t)(1 << at % 8);
		ck_assert_int_eq(pwrite(fd, &turned, 1, at), 1);
		r = store_open_memory(d, b.key, &b.mem, &b.store, &b.error);
		if (r == 0)
			r = box_load(&b);
		else
			b.store = NULL;
		UNIT_CHECK(r < 0 || rows_equal(&b.found, &b.expected), "byte %lld", at);
		box_close(&b);
		/* A store that was found whole may have been written to, in its first pages too. */
		if (r == 0)
			continue;
		ck_assert_int_eq(pwrite(fd, &whole, 1, at), 1);
	}
	close(fd);
	box_done(&b);
	memory_dir_close(d);
}
END_TEST

UNIT_MAIN("memory-dir", files_have_the_names_that_they_were_given_last,
	  there_is_room_for_so_many_files_and_for_others_once_they_are_gone,
	  a_store_in_memory_holds_what_it_was_given, two_stores_in_memory_are_two,
	  any_bit_turned_in_it_is_found_or_was_of_no_account)
