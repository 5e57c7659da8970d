/*
 * tests/unit/test-store-faults.c - calls that fail or never return: what was said to be kept is
 * there, what was refused is not, also after a kill at that moment.
 */
#include <sys/mount.h>
#include <sys/wait.h>

#include "tests/unit/store-box.h"
#include "tests/unit/store-faults.h"

enum { N_STEPS = 10 };

/* ---- a run of changes ------------------------------------------------------------------------ */

/* What step i of a run does: a new row, and the next version of another. */
static void expect_step(struct rows *rows, unsigned i)
{
	rows->version[STORE_ACTIVE][100 + i]++;
	rows->version[STORE_ENDED][5]++;
}

static void submit_step(struct box *b, unsigned i)
{
	struct store_change *c = box_change(b);

	box_put(b, c, STORE_ACTIVE, 100 + i);
	box_put(b, c, STORE_ENDED, 5);
	box_submit(b, c);
}

/* Whether it was kept; if not, nothing is expected of it. */
static bool do_step(struct box *b, unsigned i)
{
	struct rows before = b->expected;

	b->n_kept = b->n_failed = 0;
	submit_step(b, i);
	box_wait(b, 1);
	if (b->n_failed)
		b->expected = before;
	return b->n_kept == 1;
}

static void on_read(void *userdata, struct store_rows *rows, int r)
{
	*(int *)userdata = r;
	store_rows_free(rows);
}

static int read_one(struct box *b)
{
	struct pollfd p = { .fd = store_fd(b->store), .events = POLLIN };
	int r = 1;

	store_read_ended_row(b->store, 5, on_read, &r);
	while (r == 1) {
		UNIT_CHECK(poll(&p, 1, 100000) == 1, "the store does not answer");
		store_dispatch(b->store);
	}
	return r;
}

/*
 * A few rows to begin with, and then the files of a store that was stopped, or of one that was
 * killed.
 */
static void start_box(struct box *b, bool killed, struct image *ret)
{
	box_init(b);
	box_must_open(b);
	box_fill(b);
	if (killed)
		*ret = box_image(b);
	box_close(b);
	if (!killed)
		*ret = box_image(b);
}

/*
 * What an agent finds that starts after a kill at this very moment. either: what else would do;
 * NULL: nothing.
 */
static void must_survive_kill(struct box *b, const struct rows *either, const char *what,
			      unsigned at)
{
	struct image m;
	struct box copy;
	int r;

	/* A read comes after all that the thread had to do for the changes before it. */
	UNIT_CHECK(read_one(b) == 0, "%s %u: can't read", what, at);
	m = box_image(b);
	box_init(&copy);
	box_put_back(&copy, &m);
	image_done(&m);
	r = box_open(&copy);
	UNIT_CHECK(r == 0, "%s %u: after a kill: %s", what, at, copy.error.text);
	UNIT_CHECK(rows_equal(&copy.found, &b->expected) ||
			   (either && rows_equal(&copy.found, either)),
		   "%s %u: after a kill: other rows than were answered for", what, at);
	box_done(&copy);
}

/* ---- errors ---------------------------------------------------------------------------------- */

struct trial {
	const char *name;
	enum fault_call call;
	int error;
	bool forever;
	const char *file;
};

static const struct trial trials[] = {
	{ "sync once", FAULT_SYNC, EIO, false, NULL },
	{ "sync for ever", FAULT_SYNC, EIO, true, NULL },
	{ "sync without room", FAULT_SYNC, ENOSPC, false, NULL },
	{ "sync of the log for ever", FAULT_SYNC, EIO, true, "store.db-wal" },
	{ "write once", FAULT_WRITE, EIO, false, NULL },
	{ "write for ever", FAULT_WRITE, EIO, true, NULL },
	{ "full disk once", FAULT_WRITE, ENOSPC, false, NULL },
	{ "full disk for ever", FAULT_WRITE, ENOSPC, true, NULL },
	{ "quota once", FAULT_WRITE, EDQUOT, false, NULL },
	{ "quota for ever", FAULT_WRITE, EDQUOT, true, NULL },
	{ "truncate for ever", FAULT_TRUNCATE, EIO, true, NULL },
	{ "rename for ever", FAULT_RENAME, EIO, true, NULL },
	{ "unlink for ever", FAULT_UNLINK, EIO, true, NULL },
	{ "everything once", FAULT_ANY, EIO, false, NULL },
	{ "everything for ever", FAULT_ANY, EIO, true, NULL },
};

/* A fault in the n-th call of a run. False where the run was over before that. */
static bool try_fault(struct box *b, const struct trial *t, unsigned at)
{
	bool nothing_works = t->call == FAULT_ANY && t->forever;
	unsigned n_refused = 0;
	struct rows either = b->expected;
	bool struck;

	fault_arm(t->call, at, t->forever, t->error);
	fault.file = t->file;
	for (unsigned i = 0; i < N_STEPS; i++) {
		if (n_refused == 0)
			expect_step(&either, i);
		n_refused += !do_step(b, i);
		UNIT_CHECK(read_one(b) == 0, "%s %u: step %u: reads do not go on", t->name, at, i);
	}
	struck = fault_disarm();
	UNIT_CHECK(n_refused == 0 || struck, "%s %u: refused for nothing", t->name, at);
	UNIT_CHECK(n_refused <= 1 || t->forever, "%s %u: one error, %u refused", t->name, at,
		   n_refused);
	/*
	 * Where the disk takes nothing any more, what failed to be synced can't be cut off either.
	 */
	must_survive_kill(b, nothing_works ? &either : NULL, t->name, at);
	/* At once, or where making a new file has just failed, a second later or more. */
	if (!do_step(b, 50)) {
		UNIT_CHECK(t->forever && struck, "%s %u: does not go on", t->name, at);
		if (at > 1)
			return struck;
		usleep(1050 * 1000);
		for (unsigned tries = 0; !do_step(b, 51); tries++) {
			UNIT_CHECK(tries < 200, "%s %u: does not go on", t->name, at);
			usleep(50 * 1000);
		}
	}
	must_survive_kill(b, NULL, t->name, at);
	return struck;
}

START_TEST(after_an_error_at_any_call_just_what_was_acknowledged_is_there)
{
	const struct trial *t = &trials[_i];
	struct rows expected;
	struct image m;
	struct box b;
	for (int killed = 0; killed < 2; killed++) {
		bool struck = true;

		start_box(&b, killed, &m);
		expected = b.expected;
		for (unsigned at = 1; struck; at += (t->forever ? 2 : 1) * box_thinning()) {
			box_put_back(&b, &m);
			b.expected = expected;
			box_must_open(&b);
			UNIT_CHECK(rows_equal(&b.found, &b.expected), "other rows");
			struck = try_fault(&b, t, at);
			box_must_hold(&b);
			box_close(&b);
		}
		image_done(&m);
		box_done(&b);
	}
}
END_TEST

START_TEST(an_agent_that_ends_while_nothing_can_be_written_leaves_what_was_acknowledged)
{
	struct image m;
	struct box b;

	for (enum fault_call call = FAULT_WRITE; call < FAULT_ANY; call++)
		for (unsigned at = 1; at < 30; at += 4 * box_thinning()) {
			start_box(&b, false, &m);
			box_must_open(&b);
			fault_arm(call, at, true, EIO);
			for (unsigned i = 0; i < 4; i++)
				(void)do_step(&b, i);
			box_close(&b);
			(void)fault_disarm();
			box_must_open(&b);
			UNIT_CHECK(rows_equal(&b.found, &b.expected), "call %d at %u: other rows",
				   (int)call, at);
			image_done(&m);
			box_done(&b);
		}
}
END_TEST

/* ---- errors of the checkpoint ---------------------------------------------------------------- */

/* Next versions of every 40th row, from a first one on: a frame of the log for each. */
static bool do_wide_step(struct box *b, unsigned i)
{
	struct rows before = b->expected;
	struct store_change *c = box_change(b);

	for (uint64_t row = 1 + i % 40; row < 3000; row += 40)
		box_put(b, c, STORE_ACTIVE, row);
	if (box_do(b, c))
		return true;
	b->expected = before;
	return false;
}

START_TEST(a_checkpoint_that_fails_costs_nothing)
{
	static const struct trial wide[] = {
		{ "sync of the file", FAULT_SYNC, EIO, false, "store.db" },
		{ "write to the file", FAULT_WRITE, EIO, false, "store.db" },
		{ "file without room", FAULT_WRITE, ENOSPC, false, "store.db" },
		{ "file without room for long", FAULT_WRITE, ENOSPC, true, "store.db" },
		{ "sync of the log", FAULT_SYNC, EIO, false, "store.db-wal" },
	};
	const struct trial *t = &wide[_i];
	unsigned n_refused = 0;
	struct image m;
	struct box b;

	box_init(&b);
	box_must_open(&b);
	for (uint64_t row = 1; row < 3000; row++) {
		struct store_change *c = box_change(&b);

		box_put(&b, c, STORE_ACTIVE, row);
		box_submit(&b, c);
	}
	box_wait(&b, 2999);
	box_close(&b);
	m = box_image(&b);
	for (unsigned at = 1; at < 60; at += (1 + at / 3) * box_thinning()) {
		struct rows expected = b.expected;

		box_must_open(&b);
		fault_arm(t->call, at, t->forever, t->error);
		fault.file = t->file;
		for (unsigned i = 0; i < 40; i++)
			n_refused += !do_wide_step(&b, i);
		(void)fault_disarm();
		must_survive_kill(&b, NULL, t->name, at);
		UNIT_CHECK(do_wide_step(&b, 1), "%s %u: does not go on", t->name, at);
		box_must_hold(&b);
		box_close(&b);
		box_put_back(&b, &m);
		b.expected = expected;
	}
	/* What was in the log was safe there: nobody had to be refused but for the log itself. */
	if (strcmp(t->file, "store.db") == 0)
		ck_assert_uint_eq(n_refused, 0);
	image_done(&m);
	box_done(&b);
}
END_TEST

/* ---- kills ----------------------------------------------------------------------------------- */

/* The child: says of each step what was answered, until it is killed. */
static void run_to_be_killed(struct box *b, int report, void (*arm)(unsigned at), unsigned at)
{
	box_must_open(b);
	arm(at);
	for (unsigned i = 0; i < N_STEPS; i++) {
		bool kept = do_step(b, i);

		(void)syscall(SYS_write, report, kept ? "K" : "R", 1);
	}
	(void)fault_disarm();
	box_close(b);
	_exit(0);
}

static void must_be_what_was_answered(struct box *b, const char *answers, size_t n, unsigned at)
{
	struct rows expected = b->expected, or_one_more;

	for (unsigned i = 0; i < n; i++)
		if (answers[i] == 'K')
			expect_step(&expected, i);
	or_one_more = expected;
	expect_step(&or_one_more, (unsigned)n);
	UNIT_CHECK(rows_equal(&b->found, &expected) ||
			   (n < N_STEPS && rows_equal(&b->found, &or_one_more)),
		   "killed at call %u after \"%.*s\": other rows", at, (int)n, answers);
}

/* False where the run was over before the kill. */
static bool try_kill(struct box *b, void (*arm)(unsigned at), unsigned at)
{
	char answers[N_STEPS];
	int pipes[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	ck_assert_int_eq(pipe(pipes), 0);
	pid = fork();
	if (pid == 0)
		run_to_be_killed(b, pipes[1], arm, at);
	close(pipes[1]);
	while ((got = read(pipes[0], answers + n, sizeof(answers) - n)) > 0)
		n += (size_t)got;
	close(pipes[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	UNIT_CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0,
		   "call %u: status %x", at, status);
	UNIT_CHECK(box_open(b) == 0, "killed at call %u: %s", at, b->error.text);
	must_be_what_was_answered(b, answers, n, at);
	box_close(b);
	return WIFSIGNALED(status);
}

static void arm_before(unsigned at)
{
	fault_arm(FAULT_ANY, at, false, 0);
}

static void arm_after(unsigned at)
{
	fault_arm(FAULT_ANY, at, false, 0);
	fault.after = true;
}

START_TEST(a_kill_at_any_call_loses_nothing_that_was_acknowledged)
{
	static void (*const arms[])(unsigned at) = { arm_before, arm_after };
	struct image m;
	struct box b;

	for (int killed = 0; killed < 2; killed++) {
		unsigned at = 1;

		start_box(&b, killed, &m);
		for (box_put_back(&b, &m); try_kill(&b, arms[_i], at); box_put_back(&b, &m))
			at += box_thinning();
		ck_assert_uint_gt(at, N_STEPS * 3);
		image_done(&m);
		box_done(&b);
	}
}
END_TEST

static void arm_failed_sync_then_kill(unsigned at)
{
	fault_arm(FAULT_SYNC, 3, false, EIO);
	fault.then_kill_at = at;
}

START_TEST(a_kill_while_a_new_file_is_made_loses_nothing_and_brings_back_nothing)
{
	struct image m;
	struct box b;
	unsigned at = 1;

	start_box(&b, _i, &m);
	for (box_put_back(&b, &m); try_kill(&b, arm_failed_sync_then_kill, at);
	     box_put_back(&b, &m))
		at += box_thinning();
	ck_assert_uint_gt(at, 20);
	image_done(&m);
	box_done(&b);
}
END_TEST

/* Many changes under way, each of a new row; says which were kept, until it is killed. */
struct stream {
	struct box *box;
	int report;
	uint32_t next;
};

struct streamed {
	struct stream *stream;
	uint32_t row;
};

static void submit_next(struct streamed *one);

static void on_streamed(void *userdata, int r)
{
	struct streamed *one = userdata;

	if (r == 0)
		(void)syscall(SYS_write, one->stream->report, &one->row, sizeof(one->row));
	if (one->stream->next < BOX_ROWS)
		submit_next(one);
}

static void submit_next(struct streamed *one)
{
	struct store_change *c = box_change(one->stream->box);

	one->row = one->stream->next++;
	box_put(one->stream->box, c, STORE_ACTIVE, one->row);
	store_submit(one->stream->box->store, c, on_streamed, one);
}

static void stream_to_be_killed(struct box *b, int report)
{
	struct stream stream = { .box = b, .report = report, .next = 1 };
	struct streamed many[64];
	struct pollfd p;

	box_must_open(b);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		many[i].stream = &stream;
		submit_next(&many[i]);
	}
	p = (struct pollfd){ .fd = store_fd(b->store), .events = POLLIN };
	while (poll(&p, 1, 1000) == 1)
		store_dispatch(b->store);
	_exit(0);
}

START_TEST(a_kill_among_many_changes_leaves_the_first_ones_and_all_that_were_acknowledged)
{
	uint64_t random = 5;

	for (int round = 0; round < 30; round++) {
		uint32_t row, last = 0, n = 0;
		struct box b;
		int pipes[2];
		pid_t pid;

		box_init(&b);
		ck_assert_int_eq(pipe(pipes), 0);
		pid = fork();
		if (pid == 0)
			stream_to_be_killed(&b, pipes[1]);
		close(pipes[1]);
		usleep((useconds_t)(unit_random(&random) % 30000));
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		while (read(pipes[0], &row, sizeof(row)) == sizeof(row)) {
			UNIT_CHECK(row == last + 1, "row %u after %u", row, last);
			last = row;
		}
		close(pipes[0]);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		box_must_open(&b);
		while (n + 1 < BOX_ROWS && b.found.version[STORE_ACTIVE][n + 1] == 1)
			b.expected.version[STORE_ACTIVE][++n] = 1;
		UNIT_CHECK(rows_equal(&b.found, &b.expected), "not the first %u rows", n);
		UNIT_CHECK(n >= last, "%u rows were acknowledged, %u are there", last, n);
		box_done(&b);
	}
}
END_TEST

/* ---- a first start --------------------------------------------------------------------------- */

START_TEST(a_first_start_that_fails_or_is_killed_anywhere_is_no_obstacle)
{
	bool struck = true;
	struct box b;

	for (unsigned at = 1; struck; at += box_thinning()) {
		pid_t pid;

		box_init(&b);
		pid = fork();
		if (pid == 0) {
			fault_arm(FAULT_ANY, at, false, 0);
			fault.after = _i;
			(void)box_open(&b);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		box_must_open(&b);
		UNIT_CHECK(rows_equal(&b.found, &b.expected),
			   "killed at call %u: rows in a new store", at);
		box_done(&b);

		box_init(&b);
		fault_arm(FAULT_ANY, at, _i, EIO);
		UNIT_CHECK(box_open(&b) == 0 || strstr(b.error.text, b.dir),
			   "call %u: \"%s\" does not name the file", at, b.error.text);
		struck = fault_disarm();
		box_close(&b);
		box_must_open(&b);
		UNIT_CHECK(rows_equal(&b.found, &b.expected),
			   "failed at call %u: rows in a new store", at);
		box_done(&b);
	}
}
END_TEST

/* ---- a disk that is really full -------------------------------------------------------------- */

START_TEST(a_full_disk_refuses_changes_and_loses_none)
{
	unsigned n_refused = 0;
	struct box b;

	box_init(&b);
	if (geteuid() != 0 || mount("jeton", b.dir, "tmpfs", 0, "size=400k,mode=0700") < 0) {
		printf("a full disk: skipped, may not mount\n");
		box_done(&b);
		return;
	}
	box_must_open(&b);
	for (unsigned i = 0; i < 400; i++) {
		n_refused += !do_step(&b, i);
		UNIT_CHECK(n_refused == 0 || i % 10 != 0 || read_one(&b) == 0,
			   "step %u: reads do not go on", i);
	}
	printf("a full disk: %u of 400 changes refused\n", n_refused);
	ck_assert_uint_gt(n_refused, 0);
	ck_assert_uint_lt(n_refused, 350);
	must_survive_kill(&b, NULL, "full disk", 0);
	box_close(&b);
	/* It starts though the disk is full, and goes on once there is room. */
	box_must_open(&b);
	UNIT_CHECK(rows_equal(&b.found, &b.expected), "other rows");
	ck_assert_int_eq(mount("jeton", b.dir, "tmpfs", MS_REMOUNT, "size=4m,mode=0700"), 0);
	for (unsigned i = 500; i < 510; i++)
		ck_assert(do_step(&b, i));
	box_must_hold(&b);
	box_close(&b);
	ck_assert_int_eq(umount(b.dir), 0);
	box_done(&b);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("store-faults");
	Suite *suite = suite_create("store-faults");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 300);
	tcase_add_loop_test(tcase, after_an_error_at_any_call_just_what_was_acknowledged_is_there,
			    0, ARRAY_SIZE(trials));
	tcase_add_test(
		tcase,
		an_agent_that_ends_while_nothing_can_be_written_leaves_what_was_acknowledged);
	tcase_add_loop_test(tcase, a_checkpoint_that_fails_costs_nothing, 0, 5);
	tcase_add_loop_test(tcase, a_kill_at_any_call_loses_nothing_that_was_acknowledged, 0, 2);
	tcase_add_loop_test(
		tcase, a_kill_while_a_new_file_is_made_loses_nothing_and_brings_back_nothing, 0, 2);
	tcase_add_test(
		tcase,
		a_kill_among_many_changes_leaves_the_first_ones_and_all_that_were_acknowledged);
	tcase_add_loop_test(tcase, a_first_start_that_fails_or_is_killed_anywhere_is_no_obstacle, 0,
			    2);
	tcase_add_test(tcase, a_full_disk_refuses_changes_and_loses_none);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
