/* tests/unit/test-passed.c - descriptors belong to the message they were sent with. */
#include "agent/passed.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"

enum { FIRST_OWN = 500 }; /* what the tests pass has these numbers */

static int next_fd = FIRST_OWN;

/* A descriptor of its own. */
static int new_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int high = fcntl(fd, F_DUPFD_CLOEXEC, next_fd++);

	UNIT_CHECK(high >= FIRST_OWN, "no descriptor");
	close(fd);
	return high;
}

/* As the kernel would bring these bytes with n descriptors; their numbers go to fds. */
static void receive(struct passed *p, const char *bytes, size_t n_bytes, int *fds, size_t n)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(PASSED_MAX * sizeof(int))];
	} control = { 0 };
	struct msghdr message = { .msg_control = &control };

	for (size_t i = 0; i < n; i++)
		fds[i] = new_fd();
	if (n > 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
		message.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	passed_receive(p, &message, (struct span){ bytes, n_bytes });
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* The closer's thread closes them, in its time. */
static bool is_closed(int fd)
{
	for (int i = 0; i < 5000 && is_open(fd); i++)
		usleep(1000);
	return !is_open(fd);
}

/* The next message has these descriptors, n of them; then it is answered, and they are closed. */
static void answers(struct passed *p, const char *text, const int *fds, unsigned n)
{
	struct span message = span_of(text);
	unsigned got;
	const int *v = passed_for_message(p, message, &got);

	ck_assert_msg(got == n, "%s has %u descriptors, not %u", text, got, n);
	ck_assert(n == 0 || memcmp(v, fds, n * sizeof(*fds)) == 0);
	for (unsigned i = 0; i < n; i++)
		ck_assert(is_open(fds[i]));
	passed_end_message(p, message);
	for (unsigned i = 0; i < n; i++)
		ck_assert(is_closed(fds[i]));
}

START_TEST(they_belong_to_the_message_they_came_with)
{
	struct passed p = { 0 };
	int fds[2];

	receive(&p, "one", 4, NULL, 0);
	answers(&p, "one", NULL, 0);
	receive(&p, "two", 4, fds, 1);
	answers(&p, "two", fds, 1);
	receive(&p, "three", 6, fds, 2);
	answers(&p, "three", fds, 2);
	receive(&p, "four", 5, NULL, 0);
	answers(&p, "four", NULL, 0);
	passed_done(&p);
}
END_TEST

START_TEST(of_messages_read_together_they_belong_to_the_last_that_is_whole)
{
	struct passed p = { 0 };
	int fds[1];

	receive(&p, "one\0two\0thr", 11, fds, 1);
	answers(&p, "one", NULL, 0);
	answers(&p, "two", fds, 1);
	receive(&p, "ee", 3, NULL, 0);
	answers(&p, "three", NULL, 0);
	passed_done(&p);
}
END_TEST

START_TEST(those_of_half_a_message_wait_for_the_rest_of_it)
{
	struct passed p = { 0 };
	int fds[1], more[1], all[2];

	receive(&p, "on", 2, fds, 1);
	receive(&p, "e", 1, NULL, 0);
	receive(&p, "\0two\0", 5, NULL, 0);
	answers(&p, "one", fds, 1);
	answers(&p, "two", NULL, 0);
	/* Several times within one message: all are its own, in their order. */
	receive(&p, "th", 2, fds, 1);
	receive(&p, "ree", 4, more, 1);
	all[0] = fds[0];
	all[1] = more[0];
	answers(&p, "three", all, 2);
	passed_done(&p);
}
END_TEST

START_TEST(a_message_that_was_begun_with_one_keeps_it_from_the_next_that_brings_its_own)
{
	struct passed p = { 0 };
	int of_one[1], of_two[1];

	receive(&p, "on", 2, of_one, 1);
	receive(&p, "e\0two", 6, of_two, 1);
	answers(&p, "one", of_one, 1);
	answers(&p, "two", of_two, 1);
	/* And with others between. */
	receive(&p, "a", 1, of_one, 1);
	receive(&p, "\0b\0c\0d", 7, of_two, 1);
	answers(&p, "a", of_one, 1);
	answers(&p, "b", NULL, 0);
	answers(&p, "c", NULL, 0);
	answers(&p, "d", of_two, 1);
	passed_done(&p);
}
END_TEST

START_TEST(no_more_are_kept_than_any_method_takes)
{
	struct passed p = { 0 };
	int fds[PASSED_MAX], more[PASSED_MAX];

	for (size_t n = PASSED_KEPT; n <= PASSED_MAX; n += 83) {
		receive(&p, "x", 1, fds, n);
		receive(&p, "y", 2, more, n);
		for (size_t i = PASSED_KEPT; i < n; i++)
			ck_assert(is_closed(fds[i]));
		for (size_t i = 0; i < n; i++)
			ck_assert(is_closed(more[i]));
		answers(&p, "xy", fds, PASSED_KEPT);
	}
	passed_done(&p);
}
END_TEST

START_TEST(the_end_of_a_connection_closes_what_is_left)
{
	struct passed p = { 0 };
	int fds[2], more[1];

	receive(&p, "half", 4, fds, 2);
	passed_done(&p);
	ck_assert(is_closed(fds[0]) && is_closed(fds[1]));
	p = (struct passed){ 0 };
	receive(&p, "ha", 2, fds, 2);
	receive(&p, "lf\0whole", 9, more, 1);
	passed_done(&p);
	ck_assert(is_closed(fds[0]) && is_closed(fds[1]) && is_closed(more[0]));
	passed_done(&p);
}
END_TEST

/* What a client sends, message by message, against whatever pieces it is read in. */
START_TEST(however_a_stream_is_cut_each_message_has_its_own_or_none)
{
	static const char stream[] = "ab\0c\0defg\0h\0ij";
	static const size_t starts[] = { 0, 3, 5, 10, 12 }; /* of messages */

	for (size_t sent_with = 0; sent_with < 5; sent_with++)
		for (size_t cut = starts[sent_with] + 1; cut <= sizeof(stream); cut++) {
			struct passed p = { 0 };
			size_t at = starts[sent_with], end = 0;
			int fds[1];

			/* The kernel ends a read behind bytes that carry descriptors; ours begin it. */
			receive(&p, stream, at, NULL, 0);
			for (size_t i = 0; i < sent_with; i++) {
				const char *text = stream + starts[i];

				answers(&p, text, NULL, 0);
			}
			end = at + strlen(stream + at) + 1;
			if (cut > end)
				continue;
			receive(&p, stream + at, cut - at, fds, 1);
			if (cut < end)
				receive(&p, stream + cut, sizeof(stream) - cut, NULL, 0);
			answers(&p, stream + at, fds, 1);
			passed_done(&p);
		}
}
END_TEST

UNIT_MAIN("passed", they_belong_to_the_message_they_came_with,
	  of_messages_read_together_they_belong_to_the_last_that_is_whole,
	  those_of_half_a_message_wait_for_the_rest_of_it,
	  a_message_that_was_begun_with_one_keeps_it_from_the_next_that_brings_its_own,
	  no_more_are_kept_than_any_method_takes, the_end_of_a_connection_closes_what_is_left,
	  however_a_stream_is_cut_each_message_has_its_own_or_none)
