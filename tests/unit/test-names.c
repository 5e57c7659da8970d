/*
 * tests/unit/test-names.c - names are looked up apart from the loop, and what is known stays known
 * where no answer comes.
 */
#include "agent/names.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "agent/names-lookup.h"
#include "tests/unit/unit.h"

/* ---- a directory service that does as it is told --------------------------------------------- */

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool hangs; /* look-ups wait until it no longer does */
	unsigned n_hanging, n_calls, n_left;
	int fails;    /* an errno that look-ups return */
	size_t needs; /* bytes of buffer */
	/* The one user, and the one group. */
	const char *user, *group;
	uid_t uid;
	gid_t gid;
	gid_t groups[70000];
	int n_groups;
} service = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void reset(void)
{
	pthread_mutex_lock(&service.mutex);
	service.hangs = false;
	service.n_calls = 0;
	service.fails = 0;
	service.needs = 0;
	service.user = "ci";
	service.uid = 1000;
	service.group = "api";
	service.gid = 2000;
	service.groups[0] = 100;
	service.n_groups = 1;
	pthread_cond_broadcast(&service.changed);
	pthread_mutex_unlock(&service.mutex);
}

static void set_hangs(bool hangs)
{
	pthread_mutex_lock(&service.mutex);
	service.hangs = hangs;
	pthread_cond_broadcast(&service.changed);
	pthread_mutex_unlock(&service.mutex);
}

static void wait_until_hanging(void)
{
	pthread_mutex_lock(&service.mutex);
	while (service.n_hanging == 0)
		pthread_cond_wait(&service.changed, &service.mutex);
	pthread_mutex_unlock(&service.mutex);
}

/* With the mutex held at return. */
static int enter(size_t size)
{
	pthread_mutex_lock(&service.mutex);
	service.n_calls++;
	service.n_hanging++;
	pthread_cond_broadcast(&service.changed);
	while (service.hangs)
		pthread_cond_wait(&service.changed, &service.mutex);
	service.n_hanging--;
	pthread_cond_broadcast(&service.changed);
	if (service.fails)
		return service.fails;
	return size < service.needs ? ERANGE : 0;
}

static int leave(int r)
{
	service.n_left++;
	pthread_mutex_unlock(&service.mutex);
	return r;
}

static void fill(struct passwd *pwd, char *buf)
{
	strcpy(buf, service.user);
	*pwd = (struct passwd){ .pw_name = buf, .pw_uid = service.uid, .pw_gid = 100 };
}

static int fake_getpwuid(uid_t uid, struct passwd *pwd, char *buf, size_t size, struct passwd **ret)
{
	int r = enter(size);

	*ret = NULL;
	if (r == 0 && service.user && uid == service.uid) {
		fill(pwd, buf);
		*ret = pwd;
	}
	return leave(r);
}

static int fake_getpwnam(const char *name, struct passwd *pwd, char *buf, size_t size,
			 struct passwd **ret)
{
	int r = enter(size);

	*ret = NULL;
	if (r == 0 && service.user && strcmp(name, service.user) == 0) {
		fill(pwd, buf);
		*ret = pwd;
	}
	return leave(r);
}

static int fake_getgrnam(const char *name, struct group *grp, char *buf, size_t size,
			 struct group **ret)
{
	int r = enter(size);

	*ret = NULL;
	if (r == 0 && service.group && strcmp(name, service.group) == 0) {
		strcpy(buf, service.group);
		*grp = (struct group){ .gr_name = buf, .gr_gid = service.gid };
		*ret = grp;
	}
	return leave(r);
}

static int fake_getgrouplist(const char *user, gid_t group, gid_t *groups, int *n)
{
	int size = *n;

	(void)user;
	pthread_mutex_lock(&service.mutex);
	*n = service.n_groups + 1;
	for (int i = 0; i < service.n_groups + 1 && i < size; i++)
		groups[i] = i == 0 ? group : service.groups[i - 1];
	return leave(*n > size ? -1 : *n);
}

static const struct names_functions fake = { fake_getpwuid, fake_getpwnam, fake_getgrnam,
					     fake_getgrouplist };

/* ---- driving --------------------------------------------------------------------------------- */

static struct names *start(void)
{
	struct names *n;

	reset();
	ck_assert_int_eq(names_new_with(&fake, &n), 0);
	return n;
}

static void on_done(void *userdata)
{
	(*(unsigned *)userdata)++;
}

/* Waits for all that was asked. Returns whether anything differed. */
static bool settle(struct names *n)
{
	unsigned done = 0;
	bool changed = false;

	ck_assert_int_eq(names_barrier(n, on_done, &done), 0);
	while (!done) {
		struct pollfd p = { .fd = names_fd(n), .events = POLLIN };

		ck_assert_int_eq(poll(&p, 1, 100000), 1);
		changed |= names_dispatch(n);
	}
	ck_assert_uint_eq(done, 1);
	return changed;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

START_TEST(a_user_is_known_after_its_look_up_and_not_before)
{
	struct names *n = start();
	const struct user *u;

	ck_assert_ptr_null(names_user(n, 1000));
	ck_assert_ptr_null(names_user(n, 1000));
	ck_assert(!settle(n)); /* the first answer is no difference */
	u = names_user(n, 1000);
	ck_assert_ptr_nonnull(u);
	ck_assert_str_eq(u->name, "ci");
	ck_assert_uint_eq(u->uid, 1000);
	ck_assert_uint_eq(u->n_groups, 1);
	ck_assert_uint_eq(u->groups[0], 100);
	ck_assert(!u->failed);
	ck_assert_uint_eq(service.n_calls, 1);

	ck_assert_ptr_null(names_user(n, 7));
	ck_assert(!settle(n));
	u = names_user(n, 7);
	ck_assert_ptr_nonnull(u);
	ck_assert_ptr_null(u->name);
	ck_assert_uint_eq(u->n_groups, 0);
	ck_assert(!u->failed);
	names_free(n);
}
END_TEST

START_TEST(a_name_has_a_number_or_surely_none_or_nobody_knows_yet)
{
	struct names *n = start();
	uid_t uid = 5;
	gid_t gid = 5;

	ck_assert_int_eq(names_user_id(n, "ci", &uid), -EAGAIN);
	names_ask_user(n, "ci");
	names_ask_user(n, "nobody-of-that-name");
	names_ask_group(n, "api");
	names_ask_group(n, "ci");
	ck_assert_int_eq(names_user_id(n, "ci", &uid), -EAGAIN);
	ck_assert(settle(n));
	ck_assert_int_eq(names_user_id(n, "ci", &uid), 1);
	ck_assert_uint_eq(uid, 1000);
	ck_assert_int_eq(names_group_id(n, "api", &gid), 1);
	ck_assert_uint_eq(gid, 2000);
	ck_assert_int_eq(names_user_id(n, "nobody-of-that-name", &uid), 0);
	ck_assert_int_eq(names_group_id(n, "ci", &gid), 0);
	ck_assert_uint_eq(uid, 1000);
	ck_assert_int_eq(names_group_id(n, "never asked", &gid), -EAGAIN);
	names_free(n);
}
END_TEST

START_TEST(a_name_that_is_not_utf8_is_none)
{
	struct names *n = start();

	service.user = "m\xfcller";
	ck_assert_ptr_null(names_user(n, 1000));
	settle(n);
	ck_assert_ptr_nonnull(names_user(n, 1000));
	ck_assert_ptr_null(names_user(n, 1000)->name);
	service.user = "m\xc3\xbcller";
	names_refresh(n);
	ck_assert(settle(n));
	ck_assert_str_eq(names_user(n, 1000)->name, "m\xc3\xbcller");
	names_free(n);
}
END_TEST

START_TEST(a_refresh_tells_whether_anything_differs)
{
	struct names *n = start();
	uid_t uid;

	names_user(n, 1000);
	names_ask_user(n, "ci");
	names_ask_user(n, "later");
	names_ask_group(n, "api");
	ck_assert(settle(n));
	names_refresh(n);
	ck_assert(!settle(n));

	/* a new group */
	service.groups[1] = 101;
	service.n_groups = 2;
	names_refresh(n);
	ck_assert(settle(n));
	ck_assert_uint_eq(names_user(n, 1000)->n_groups, 2);
	/* the same ones in another order are the same */
	service.groups[0] = 101;
	service.groups[1] = 100;
	names_refresh(n);
	ck_assert(!settle(n));
	/* another number */
	service.gid = 2001;
	names_refresh(n);
	ck_assert(settle(n));
	/* another name, and the old one gone */
	service.user = "later";
	names_refresh(n);
	ck_assert(settle(n));
	ck_assert_str_eq(names_user(n, 1000)->name, "later");
	ck_assert_int_eq(names_user_id(n, "ci", &uid), 0);
	ck_assert_int_eq(names_user_id(n, "later", &uid), 1);
	/* no account any more */
	service.user = NULL;
	names_refresh(n);
	ck_assert(settle(n));
	ck_assert_ptr_null(names_user(n, 1000)->name);
	ck_assert_int_eq(names_user_id(n, "later", &uid), 0);
	names_refresh(n);
	ck_assert(!settle(n));
	names_free(n);
}
END_TEST

START_TEST(where_no_answer_comes_what_was_known_stays)
{
	static const int errors[] = { EIO, EAGAIN, EMFILE, ENOMEM, EPERM, EBADF };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct names *n = start();
		uid_t uid = 0;
		gid_t gid = 0;

		names_user(n, 1000);
		names_ask_user(n, "ci");
		names_ask_group(n, "api");
		ck_assert(settle(n));
		service.fails = errors[i];
		names_refresh(n);
		names_user(n, 7);
		ck_assert(!settle(n));
		ck_assert_str_eq(names_user(n, 1000)->name, "ci");
		ck_assert(names_user(n, 1000)->failed);
		ck_assert_uint_eq(names_user(n, 1000)->n_groups, 1);
		ck_assert(names_user(n, 7)->failed);
		ck_assert_ptr_null(names_user(n, 7)->name);
		ck_assert_int_eq(names_user_id(n, "ci", &uid), 1);
		ck_assert_int_eq(names_group_id(n, "api", &gid), 1);
		/* what was never answered is still not known */
		names_ask_user(n, "new");
		ck_assert(!settle(n));
		ck_assert_int_eq(names_user_id(n, "new", &uid), -EIO);

		service.fails = 0;
		service.uid = 7;
		names_refresh(n);
		ck_assert(settle(n));
		ck_assert_str_eq(names_user(n, 7)->name, "ci");
		ck_assert(!names_user(n, 7)->failed);
		ck_assert_ptr_null(names_user(n, 1000)->name);
		ck_assert_int_eq(names_user_id(n, "ci", &uid), 1);
		ck_assert_uint_eq(uid, 7);
		ck_assert_int_eq(names_user_id(n, "new", &uid), 0);
		names_free(n);
	}
}
END_TEST

START_TEST(who_was_never_looked_up_is_asked_for_again_and_who_has_no_name_stays_so)
{
	struct names *n = start();

	names_user(n, 7);
	settle(n);
	ck_assert(names_user(n, 7)->sure && !names_user(n, 7)->failed);
	service.fails = ENOMEM;
	names_refresh(n);
	names_user(n, 8);
	settle(n);
	ck_assert(names_user(n, 7)->failed && names_user(n, 7)->sure);
	ck_assert(names_user(n, 8)->failed && !names_user(n, 8)->sure);
	settle(n);
	service.fails = 0;
	names_user(n, 8);
	settle(n);
	ck_assert(!names_user(n, 8)->failed && names_user(n, 8)->sure);
	/* Nobody has asked for that one. */
	ck_assert(names_user(n, 7)->failed);
	names_free(n);
}
END_TEST

START_TEST(there_is_no_such_name_has_more_than_one_spelling)
{
	static const int errors[] = { ENOENT, ESRCH };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct names *n = start();
		uid_t uid;

		service.fails = errors[i];
		names_user(n, 7);
		names_ask_user(n, "gone");
		settle(n);
		ck_assert(!names_user(n, 7)->failed);
		ck_assert_int_eq(names_user_id(n, "gone", &uid), 0);
		names_free(n);
	}
}
END_TEST

START_TEST(buffers_grow_for_long_answers_and_many_groups)
{
	struct names *n = start();
	const struct user *u;
	uid_t uid;

	service.needs = 300000;
	service.n_groups = 65535;
	for (int i = 0; i < service.n_groups; i++)
		service.groups[i] = (gid_t)(200000 - i);
	names_user(n, 1000);
	names_ask_user(n, "ci");
	settle(n);
	u = names_user(n, 1000);
	ck_assert_str_eq(u->name, "ci");
	ck_assert_uint_eq(u->n_groups, 65536);
	for (size_t i = 1; i < u->n_groups; i++)
		UNIT_CHECK(u->groups[i - 1] < u->groups[i], "in order, each once");
	ck_assert_int_eq(names_user_id(n, "ci", &uid), 1);

	/* Over that there is no answer, rather than a part of it. */
	service.n_groups = 69999;
	names_refresh(n);
	ck_assert(!settle(n));
	ck_assert(names_user(n, 1000)->failed);
	ck_assert_uint_eq(names_user(n, 1000)->n_groups, 65536);
	service.needs = SIZE_MAX;
	names_refresh(n);
	ck_assert(!settle(n));
	ck_assert_int_eq(names_user_id(n, "ci", &uid), 1);
	names_free(n);
}
END_TEST

START_TEST(the_number_of_nobody_is_no_users)
{
	struct names *n = start();
	uid_t uid;
	gid_t gid;

	service.uid = (uid_t)-1;
	service.gid = (gid_t)-1;
	names_ask_user(n, "ci");
	names_ask_group(n, "api");
	settle(n);
	ck_assert_int_eq(names_user_id(n, "ci", &uid), 0);
	ck_assert_int_eq(names_group_id(n, "api", &gid), 0);
	names_free(n);
}
END_TEST

/* The order in which barriers were called, and what was known then. */
struct order {
	struct names *names;
	char text[64];
};

static void on_first(void *userdata)
{
	struct order *o = userdata;

	strcat(o->text, names_user(o->names, 1000) ? "1k " : "1 ");
}

static void on_second(void *userdata)
{
	struct order *o = userdata;

	strcat(o->text, names_user(o->names, 7) ? "2k " : "2 ");
	/* A barrier may ask and wait again. */
	ck_assert_int_eq(names_barrier(o->names, on_first, o), 0);
}

START_TEST(a_barrier_is_called_after_all_that_was_asked_before_it)
{
	struct order o = { .names = start() };

	for (unsigned i = 0; i < 100; i++)
		names_user(o.names, 10000 + i);
	names_user(o.names, 1000);
	ck_assert_int_eq(names_barrier(o.names, on_first, &o), 0);
	names_user(o.names, 7);
	ck_assert_int_eq(names_barrier(o.names, on_second, &o), 0);
	settle(o.names);
	settle(o.names);
	ck_assert_str_eq(o.text, "1k 2k 1k ");
	names_free(o.names);
}
END_TEST

START_TEST(a_cancelled_barrier_is_never_called)
{
	struct names *n = start();
	unsigned gone = 0, stays = 0;

	set_hangs(true);
	names_user(n, 1000);
	ck_assert_int_eq(names_barrier(n, on_done, &gone), 0);
	ck_assert_int_eq(names_barrier(n, on_done, &stays), 0);
	ck_assert_int_eq(names_barrier(n, on_done, &gone), 0);
	names_barrier_cancel(n, &gone);
	names_barrier_cancel(n, &n);
	set_hangs(false);
	settle(n);
	ck_assert_uint_eq(gone, 0);
	ck_assert_uint_eq(stays, 1);
	names_free(n);
}
END_TEST

START_TEST(a_look_up_that_hangs_holds_nothing_up_and_is_not_asked_again_and_again)
{
	struct names *n = start();
	uid_t uid;

	names_user(n, 1000);
	names_ask_user(n, "ci");
	settle(n);
	set_hangs(true);
	service.n_calls = 0;
	for (unsigned i = 0; i < 1000; i++) {
		names_refresh(n);
		names_ask_user(n, "ci");
		ck_assert_str_eq(names_user(n, 1000)->name, "ci");
		ck_assert_int_eq(names_user_id(n, "ci", &uid), 1);
		ck_assert_ptr_null(names_user(n, 7));
		ck_assert(!names_dispatch(n));
	}
	set_hangs(false);
	settle(n);
	/* One of each that hung, and one more of each asked after it had begun. */
	ck_assert_uint_le(service.n_calls, 6);
	ck_assert_ptr_nonnull(names_user(n, 7));
	names_free(n);
}
END_TEST

/*
 * What is asked while a look-up is under way may have changed since that began: it is looked up
 * once more.
 */
START_TEST(what_is_asked_during_a_look_up_is_answered_by_a_later_one)
{
	struct names *n = start();

	names_user(n, 1000);
	settle(n);
	service.n_calls = 0;
	set_hangs(true);
	names_refresh(n);
	wait_until_hanging();
	names_refresh(n);
	names_refresh(n);
	set_hangs(false);
	settle(n);
	ck_assert_uint_eq(service.n_calls, 2);
	names_free(n);
}
END_TEST

START_TEST(the_end_does_not_wait_for_a_look_up_that_hangs)
{
	struct names *n = start();
	unsigned done = 0, left;
	double begun = seconds();

	set_hangs(true);
	names_user(n, 1000);
	names_user(n, 1001);
	ck_assert_int_eq(names_barrier(n, on_done, &done), 0);
	wait_until_hanging();
	left = service.n_left;
	names_free(n);
	set_hangs(false);
	/* The look-up comes back to nobody, and the one after it is not begun. */
	while (seconds() - begun < 100) {
		pthread_mutex_lock(&service.mutex);
		if (service.n_left > left && service.n_hanging == 0)
			begun = 0;
		pthread_mutex_unlock(&service.mutex);
	}
	ck_assert_uint_eq(done, 0);
	ck_assert_uint_eq(service.n_calls, 1);
	names_free(NULL);
}
END_TEST

START_TEST(uids_that_nobody_has_and_nobody_asks_for_are_forgotten)
{
	struct names *n = start();
	uid_t uid;

	names_user(n, 1000);
	names_ask_user(n, "gone");
	for (unsigned i = 0; i < 5000; i++)
		names_user(n, 100000 + i);
	settle(n);
	names_refresh(n); /* they were asked for since the last time */
	ck_assert(!settle(n));
	service.n_calls = 0;
	ck_assert_ptr_nonnull(names_user(n, 100007));
	names_refresh(n);
	ck_assert(settle(n)); /* what rested on their having no name is to be judged anew */
	ck_assert_uint_le(service.n_calls, 3);
	ck_assert_ptr_nonnull(names_user(n, 1000));
	ck_assert_ptr_nonnull(names_user(n, 100007));
	ck_assert_ptr_null(names_user(n, 100008));
	ck_assert_int_eq(names_user_id(n, "gone", &uid), 0);
	names_free(n);
}
END_TEST

START_TEST(uids_and_names_are_found_among_many_asked_in_any_order)
{
	struct names *n = start();
	uint64_t random = 17;

	for (unsigned i = 0; i < 2000; i++) {
		char name[32];
		uint64_t k = unit_random(&random) % 1500;

		snprintf(name, sizeof(name), "user-%u", (unsigned)k);
		names_user(n, (uid_t)k);
		names_ask_user(n, name);
	}
	settle(n);
	random = 17;
	for (unsigned i = 0; i < 2000; i++) {
		char name[32];
		uint64_t k = unit_random(&random) % 1500;
		uid_t uid;

		snprintf(name, sizeof(name), "user-%u", (unsigned)k);
		UNIT_CHECK(names_user(n, (uid_t)k) && names_user(n, (uid_t)k)->uid == k, "%s",
			   name);
		UNIT_CHECK(names_user_id(n, name, &uid) == 0, "%s", name);
	}
	names_free(n);
}
END_TEST

START_TEST(the_systems_own_names_are_found)
{
	struct names *n;
	uid_t uid = 1;
	gid_t gid = 1;

	ck_assert_int_eq(names_new(&n), 0);
	names_user(n, 0);
	names_ask_user(n, "root");
	names_ask_user(n, "no-such-user-here");
	names_ask_group(n, "root");
	names_ask_group(n, "no-such-group-here");
	settle(n);
	ck_assert_str_eq(names_user(n, 0)->name, "root");
	ck_assert_uint_ge(names_user(n, 0)->n_groups, 1);
	ck_assert_int_eq(names_user_id(n, "root", &uid), 1);
	ck_assert_uint_eq(uid, 0);
	ck_assert_int_eq(names_group_id(n, "root", &gid), 1);
	ck_assert_uint_eq(gid, 0);
	ck_assert_int_eq(names_user_id(n, "no-such-user-here", &uid), 0);
	ck_assert_int_eq(names_group_id(n, "no-such-group-here", &gid), 0);
	names_free(n);
}
END_TEST

UNIT_MAIN("names", a_user_is_known_after_its_look_up_and_not_before,
	  a_name_has_a_number_or_surely_none_or_nobody_knows_yet,
	  a_name_that_is_not_utf8_is_none,
	  a_refresh_tells_whether_anything_differs, where_no_answer_comes_what_was_known_stays,
	  who_was_never_looked_up_is_asked_for_again_and_who_has_no_name_stays_so,
	  there_is_no_such_name_has_more_than_one_spelling,
	  buffers_grow_for_long_answers_and_many_groups, the_number_of_nobody_is_no_users,
	  a_barrier_is_called_after_all_that_was_asked_before_it,
	  a_cancelled_barrier_is_never_called,
	  a_look_up_that_hangs_holds_nothing_up_and_is_not_asked_again_and_again,
	  what_is_asked_during_a_look_up_is_answered_by_a_later_one,
	  the_end_does_not_wait_for_a_look_up_that_hangs,
	  uids_that_nobody_has_and_nobody_asks_for_are_forgotten,
	  uids_and_names_are_found_among_many_asked_in_any_order, the_systems_own_names_are_found)
