/*
 * tests/unit/test-peer.c - a kernel that does not tell who is at the other end has the peer refused; a peer of any
 * number and any number of groups is known. getsockopt() is the tests' own.
 */
#include "agent/peer.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "tests/unit/unit.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* What is answered in place of the kernel. */
static struct {
	int name, error;   /* this option fails so; 0: none does */
	unsigned n_groups; /* this many, from 100000 on; 0: as the kernel has it */
	bool is_short;	   /* the length that ERANGE gives is no longer than what was asked with */
	unsigned n_asked;
	struct ucred cred;
	bool has_cred;
} told;

static int give_groups(gid_t *value, socklen_t *n)
{
	size_t needed = told.n_groups * sizeof(gid_t);

	if (*n < needed || told.is_short) {
		if (!told.is_short)
			*n = (socklen_t)needed;
		errno = ERANGE;
		return -1;
	}
	for (unsigned i = 0; i < told.n_groups; i++)
		value[i] = 100000 + i;
	*n = (socklen_t)needed;
	return 0;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *n)
{
	if (level == SOL_SOCKET && name == told.name && told.error) {
		told.n_asked++;
		errno = told.error;
		return -1;
	}
	if (level == SOL_SOCKET && name == SO_PEERGROUPS && told.n_groups) {
		told.n_asked++;
		ck_assert_uint_lt(told.n_asked, 1000);
		return give_groups(value, n);
	}
	if (level == SOL_SOCKET && name == SO_PEERCRED && told.has_cred) {
		memcpy(value, &told.cred, sizeof(told.cred));
		return 0;
	}
	return (int)syscall(SYS_getsockopt, fd, level, name, value, n);
}

/* Who settles as this of a connection to itself, with what is told in place. */
static enum peer_standing settle(struct peer *p)
{
	enum peer_standing standing;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(peer_init(p, fds[0]), 0);
	standing = peer_settle(p, fds[0]);
	close(fds[0]);
	close(fds[1]);
	return standing;
}

static void forget(void)
{
	memset(&told, 0, sizeof(told));
}

START_TEST(without_a_failure_it_is_known)
{
	struct peer p;

	forget();
	ck_assert_int_eq(settle(&p), PEER_HERE);
	ck_assert(peer_is_known(&p) && peer_is_member(&p, getegid()));
	peer_done(&p);
}
END_TEST

START_TEST(a_kernel_that_does_not_tell_the_user_has_it_refused_at_once)
{
	static const int errors[] = { EINVAL, ENODATA, ENOPROTOOPT, ENOTSOCK, ENOBUFS, EPERM };
	struct peer p;

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		forget();
		told.name = SO_PEERCRED;
		told.error = errors[i];
		ck_assert_int_eq(peer_init(&p, 0), -errors[i]);
	}
}
END_TEST

START_TEST(a_kernel_that_does_not_tell_the_process_has_it_refused)
{
	static const struct {
		int error;
		enum peer_standing standing;
	} cases[] = {
		{ EINVAL, PEER_UNCLEAR }, { ENODATA, PEER_GONE },    { ESRCH, PEER_GONE },
		{ ERANGE, PEER_UNCLEAR }, { EMFILE, PEER_UNCLEAR },  { ENFILE, PEER_UNCLEAR },
		{ EPERM, PEER_UNCLEAR },  { ENOMEM, PEER_UNCLEAR },
	};
	const struct unit *unit;
	struct peer p;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		forget();
		told.name = SO_PEERPIDFD;
		told.error = cases[i].error;
		ck_assert_int_eq(settle(&p), cases[i].standing);
		ck_assert(!peer_is_known(&p));
		ck_assert_str_ne(peer_standing_text(p.standing), "");
		r = peer_unit(&p, 0, getuid(), &unit);
		ck_assert_int_lt(r, 0);
		peer_done(&p);
	}
}
END_TEST

START_TEST(a_kernel_that_does_not_tell_the_groups_has_it_refused)
{
	static const int errors[] = { EINVAL, ENODATA, EMFILE, ENOPROTOOPT, EPERM, ENOMEM };
	struct peer p;

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		forget();
		told.name = SO_PEERGROUPS;
		told.error = errors[i];
		ck_assert_int_eq(settle(&p), PEER_UNCLEAR);
		ck_assert(!peer_is_known(&p) && !peer_is_member(&p, getegid()));
		/* And stays so: nothing is asked until it suits. */
		told.error = 0;
		ck_assert_int_eq(peer_settle(&p, 0), PEER_UNCLEAR);
		peer_done(&p);
	}
}
END_TEST

START_TEST(groups_are_known_in_any_number_and_a_length_that_never_does_is_given_up)
{
	static const unsigned numbers[] = { 1, 63, 64, 65, 1000, 65535, 65536, 100000 };
	struct peer p;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		forget();
		told.n_groups = numbers[i];
		ck_assert_int_eq(settle(&p), PEER_HERE);
		ck_assert_uint_eq(p.n_groups, numbers[i] + 1);
		ck_assert(peer_is_member(&p, 100000) && peer_is_member(&p, 100000 + numbers[i] - 1));
		ck_assert(!peer_is_member(&p, 100000 + numbers[i]) && peer_is_member(&p, getegid()));
		ck_assert_uint_le(told.n_asked, 2);
		peer_done(&p);
	}
	forget();
	told.n_groups = 1000;
	told.is_short = true;
	ck_assert_int_eq(settle(&p), PEER_UNCLEAR);
	ck_assert_uint_le(told.n_asked, 2);
	peer_done(&p);
}
END_TEST

START_TEST(numbers_that_mean_nothing_here_are_refused_and_large_ones_are_users)
{
	static const struct {
		uid_t uid;
		bool is_unmapped;
	} cases[] = {
		{ 0, false },	       { 65533, false },      { 65534, true },	     { 65535, false },
		{ 0x7fffffff, false }, { 0x80000000, false }, { 0xfffffffe, false }, { 0xffffffff, true },
	};
	struct peer p;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		forget();
		told.has_cred = true;
		told.cred = (struct ucred){ .uid = cases[i].uid, .gid = 5, .pid = getpid() };
		ck_assert_int_eq(settle(&p), cases[i].is_unmapped ? PEER_UNMAPPED : PEER_HERE);
		ck_assert_uint_eq(p.uid, cases[i].uid);
		ck_assert_int_eq(peer_is_unmapped(&p), cases[i].is_unmapped);
		peer_done(&p);
		/* Of a pid namespace that can't be seen from here. */
		told.cred.pid = 0;
		ck_assert_int_eq(settle(&p), cases[i].is_unmapped ? PEER_UNMAPPED : PEER_ELSEWHERE);
		peer_done(&p);
	}
}
END_TEST

START_TEST(without_descriptors_it_is_refused_and_none_is_kept)
{
	struct rlimit limit, none = { 0 };
	struct peer p;
	int fds[2];

	forget();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(peer_init(&p, fds[0]), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none.rlim_max = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(peer_settle(&p, fds[0]), PEER_UNCLEAR);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert(!peer_is_known(&p));
	ck_assert_int_eq(p.pidfd, -1);
	peer_done(&p);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

UNIT_MAIN("peer", without_a_failure_it_is_known, a_kernel_that_does_not_tell_the_user_has_it_refused_at_once,
	  a_kernel_that_does_not_tell_the_process_has_it_refused,
	  a_kernel_that_does_not_tell_the_groups_has_it_refused,
	  groups_are_known_in_any_number_and_a_length_that_never_does_is_given_up,
	  numbers_that_mean_nothing_here_are_refused_and_large_ones_are_users,
	  without_descriptors_it_is_refused_and_none_is_kept)
