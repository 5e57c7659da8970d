/*
 * tests/unit/test-policy-files.c - where policies come from: which files are read, which are
 * refused, unread.
 */
#include "agent/policy/policy.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/policy/trusted.h"
#include "tests/unit/policy-text.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static void set_up(void)
{
	scratch_make();
	scratch_make_dir("etc");
	scratch_make_dir("run");
	scratch_make_dir("usr");
}

static int load_dirs(struct policy **ret, struct policy_error *e)
{
	const char *const dirs[] = { scratch_path("etc"), scratch_path("run"),
				     scratch_path("usr") };

	return policy_load(dirs, ARRAY_SIZE(dirs), geteuid(), ret, e);
}

/*
 * What loading the directories says: the policy, or the mistake with its path less the test's
 * directory.
 */
static const char *load_text(void)
{
	static char said[4096];
	struct policy *p = NULL;
	struct policy_error e = { .line = 77 };
	int r = load_dirs(&p, &e);

	if (r == 0) {
		snprintf(said, sizeof(said), "%s", policy_text(p));
		policy_free(p);
		return said;
	}
	ck_assert_int_eq(r, -EINVAL);
	ck_assert_ptr_null(p);
	ck_assert(strncmp(e.file, scratch_dir(), strlen(scratch_dir())) == 0);
	snprintf(said, sizeof(said), "%s:%u: %s", e.file + strlen(scratch_dir()) + 1, e.line,
		 e.message);
	return said;
}

static void verify_file(const char *name, const char *user)
{
	char text[128];

	snprintf(text, sizeof(text), "[Verify]\nUser=%s\n", user);
	scratch_write(name, text);
}

START_TEST(no_directory_or_an_empty_one_says_nothing)
{
	const char *const none = scratch_path("nowhere/policy.d");
	struct policy *p;
	struct policy_error e;

	ck_assert_str_eq(load_text(), "");
	ck_assert_int_eq(policy_load(&none, 1, geteuid(), &p, &e), 0);
	ck_assert_uint_eq(p->n_paths, 0);
	policy_free(p);
	ck_assert_int_eq(policy_load(NULL, 0, geteuid(), &p, &e), 0);
	policy_free(p);
	policy_free(NULL);
}
END_TEST

START_TEST(files_are_read_in_the_order_of_their_names_over_all_directories)
{
	verify_file("usr/20.policy", "b");
	verify_file("etc/30.policy", "c");
	verify_file("run/10.policy", "a");
	ck_assert_str_eq(load_text(), "verify@1 u:a@2\nverify@1 u:b@2\nverify@1 u:c@2\n");
}
END_TEST

START_TEST(a_file_hides_the_same_name_in_later_directories)
{
	verify_file("etc/10.policy", "etc");
	verify_file("run/10.policy", "run");
	scratch_write("usr/10.policy", "this is wrong, and does not matter\n");
	ck_assert_str_eq(load_text(), "verify@1 u:etc@2\n");
}
END_TEST

START_TEST(a_link_to_dev_null_hides_a_name_and_says_nothing)
{
	verify_file("usr/10.policy", "usr");
	verify_file("usr/20.policy", "usr");
	ck_assert_int_eq(symlink("/dev/null", scratch_path("etc/10.policy")), 0);
	ck_assert_str_eq(load_text(), "verify@1 u:usr@2\n");
}
END_TEST

START_TEST(an_empty_file_hides_a_name_too)
{
	verify_file("usr/10.policy", "usr");
	scratch_write("etc/10.policy", "");
	ck_assert_str_eq(load_text(), "");
}
END_TEST

START_TEST(what_is_no_policy_by_its_name_is_ignored_and_told)
{
	verify_file("etc/10.policy", "a");
	scratch_write("etc/10.policy~", "x");
	scratch_write("etc/10.policy.dpkg-new", "x");
	scratch_write("etc/.10.policy.swp", "x");
	scratch_write("etc/.hidden.policy", "x");
	scratch_write("etc/README", "x");
	scratch_write("run/\xFF\n.txt", "x");
	ck_assert_str_eq(load_text(), "verify@1 u:a@2\n"
				      "ignored etc/.10.policy.swp\n"
				      "ignored etc/.hidden.policy\n"
				      "ignored etc/10.policy.dpkg-new\n"
				      "ignored etc/10.policy~\n"
				      "ignored etc/README\n"
				      "ignored run/??.txt\n");
}
END_TEST

START_TEST(a_file_name_that_could_deceive_is_shown_with_question_marks)
{
	scratch_write("etc/a\033[31m.policy", "x\n");
	ck_assert_str_eq(
		load_text(),
		"etc/a?[31m.policy:1: neither KEY=VALUE nor [SECTION]; a comment begins with '#'");
}
END_TEST

START_TEST(one_mistake_refuses_it_all)
{
	verify_file("etc/10.policy", "a");
	scratch_write("etc/20.policy", "[Verify]\nUser=\n");
	ck_assert_str_eq(load_text(),
			 "etc/20.policy:2: User= has no value; give it one or take the line out");
}
END_TEST

START_TEST(a_credential_may_be_fetched_by_another_file_but_not_defined_by_two)
{
	scratch_write("etc/10.policy", "[Fetch]\nUser=x\nCredential=c\n");
	scratch_write("usr/20.policy", "[Credential c]\n");
	ck_assert_str_eq(load_text(), "credential c@1\nfetch@1 c@3 u:x@2\n");
	scratch_write("etc/05.policy", "\n[Credential c]\n");
	ck_assert(strncmp(load_text(), "usr/20.policy:1: [Credential c] is already in /tmp/", 51) ==
		  0);
	ck_assert_ptr_nonnull(
		strstr(load_text(), "/etc/05.policy:2; give this one another name or take it out"));
}
END_TEST

START_TEST(what_is_no_regular_file_is_a_mistake_and_never_waited_for)
{
	scratch_make_dir("etc/10.policy");
	ck_assert_str_eq(load_text(),
			 "etc/10.policy:0: a directory, where a regular file is needed");
	ck_assert_int_eq(rmdir(scratch_path("etc/10.policy")), 0);
	ck_assert_int_eq(mkfifo(scratch_path("etc/10.policy"), 0600), 0);
	ck_assert_str_eq(
		load_text(),
		"etc/10.policy:0: a device, FIFO or socket, where a regular file is needed");
	ck_assert_int_eq(unlink(scratch_path("etc/10.policy")), 0);
	ck_assert_int_eq(symlink("/dev/zero", scratch_path("etc/10.policy")), 0);
	ck_assert_str_eq(
		load_text(),
		"etc/10.policy:0: a device, FIFO or socket, where a regular file is needed");
}
END_TEST

START_TEST(links_are_followed_and_may_not_go_on_for_ever_or_lead_nowhere)
{
	verify_file("real", "linked");
	ck_assert_int_eq(symlink("../real", scratch_path("etc/10.policy")), 0);
	ck_assert_str_eq(load_text(), "verify@1 u:linked@2\n");
	ck_assert_int_eq(symlink("20.policy", scratch_path("etc/20.policy")), 0);
	ck_assert_str_eq(load_text(),
			 "etc/20.policy:0: cannot be opened: Too many levels of symbolic links");
	ck_assert_int_eq(unlink(scratch_path("etc/20.policy")), 0);
	ck_assert_int_eq(symlink("gone", scratch_path("etc/20.policy")), 0);
	ck_assert_str_eq(
		load_text(),
		"etc/20.policy:0: there is no such file, or it is a link that leads nowhere");
}
END_TEST

START_TEST(a_file_over_a_mebibyte_is_refused_unread)
{
	scratch_write("etc/10.policy", "# x\n");
	ck_assert_int_eq(truncate(scratch_path("etc/10.policy"), (off_t)1 << 30), 0);
	ck_assert_str_eq(
		load_text(),
		"etc/10.policy:0: 1073741824 bytes long; a file may have 1048576, split it");
}
END_TEST

START_TEST(a_file_of_a_mebibyte_is_read)
{
	static char text[TRUSTED_FILE_MAX];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 64 == 63 ? '\n' : '#';
	scratch_write_bytes("etc/10.policy", (struct span){ text, sizeof(text) });
	ck_assert_str_eq(load_text(), "");
}
END_TEST

START_TEST(what_others_can_write_to_is_not_read)
{
	static const struct {
		mode_t mode;
		bool right;
	} modes[] = { { 0644, true },  { 0600, true },	{ 0444, true },
		      { 0664, false }, { 0646, false }, { 01777, false } };

	verify_file("etc/10.policy", "a");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		char said[256];

		ck_assert_int_eq(chmod(scratch_path("etc/10.policy"), modes[i].mode), 0);
		snprintf(said, sizeof(said),
			 "etc/10.policy:0: others than its owner can write to it (mode %04o), so "
			 "it is "
			 "not read (chmod go-w it)",
			 modes[i].mode);
		ck_assert_str_eq(load_text(), modes[i].right ? "verify@1 u:a@2\n" : said);
	}
	ck_assert_int_eq(chmod(scratch_path("etc/10.policy"), 0644), 0);
	ck_assert_int_eq(chmod(scratch_path("etc"), 0775), 0);
	ck_assert_str_eq(load_text(), "etc:0: others than its owner can write to it (mode 0775), "
				      "so it is not read (chmod go-w it)");
}
END_TEST

START_TEST(what_neither_root_nor_the_agent_owns_is_not_read)
{
	const char *const etc = scratch_path("etc");
	struct policy *p = NULL;
	struct policy_error e;

	verify_file("etc/10.policy", "a");
	if (geteuid() != 0) {
		/* What this user owns is another's for an agent that runs as someone else. */
		ck_assert_int_eq(policy_load(&etc, 1, 0, &p, &e), -EINVAL);
		ck_assert_str_eq(e.file, etc);
		return;
	}
	ck_assert_int_eq(chown(scratch_path("etc/10.policy"), 4711, 0), 0);
	ck_assert_str_eq(
		load_text(),
		"etc/10.policy:0: owned by uid 4711; only what root owns is read (chown root it)");
	ck_assert_int_eq(policy_load(&etc, 1, 4711, &p, &e), 0);
	policy_free(p);
	ck_assert_int_eq(policy_load(&etc, 1, 4712, &p, &e), -EINVAL);
	ck_assert_str_eq(
		e.message,
		"owned by uid 4711; only what root or uid 4712 owns is read (chown root it)");
	ck_assert_int_eq(chown(scratch_path("etc"), 4711, 0), 0);
	ck_assert_str_eq(load_text(),
			 "etc:0: owned by uid 4711; only what root owns is read (chown root it)");
}
END_TEST

START_TEST(a_directory_that_is_none_is_a_mistake)
{
	const char *const file = scratch_path("etc/file");
	struct policy *p;
	struct policy_error e;

	scratch_write("etc/file", "");
	ck_assert_int_eq(policy_load(&file, 1, geteuid(), &p, &e), -EINVAL);
	ck_assert_str_eq(e.file, file);
	ck_assert_str_eq(e.message, "not a directory; move it away or name a directory");
}
END_TEST

START_TEST(single_files_are_read_by_whatever_name_and_owner)
{
	const char *const files[] = { scratch_path("b"), scratch_path("a") };
	struct policy *p;
	struct policy_error e;

	verify_file("b", "b");
	verify_file("a", "a");
	ck_assert_int_eq(chmod(scratch_path("a"), 0666), 0);
	ck_assert_int_eq(policy_load_files(files, 2, &p, &e), 0);
	ck_assert_str_eq(policy_text(p), "verify@1 u:b@2\nverify@1 u:a@2\n");
	policy_free(p);
	ck_assert_int_eq(unlink(files[1]), 0);
	ck_assert_int_eq(policy_load_files(files, 2, &p, &e), -EINVAL);
	ck_assert_str_eq(e.file, files[1]);
	ck_assert_str_eq(e.message, "there is no such file, or it is a link that leads nowhere");
}
END_TEST

/*
 * A directory that is replaced while it is read gives the old file or the new one, and never half
 * of one.
 */
START_TEST(a_file_replaced_while_it_is_read_is_whole)
{
	const char *const etc = scratch_path("etc");
	pid_t child;

	verify_file("etc/10.policy", "old");
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		for (unsigned i = 0;; i++) {
			verify_file("new", i % 2 ? "old" : "newer");
			rename(scratch_path("new"), scratch_path("etc/10.policy"));
		}
	}
	for (unsigned i = 0; i < 2000; i++) {
		struct policy *p;
		struct policy_error e;
		const char *said;

		ck_assert_int_eq(policy_load(&etc, 1, geteuid(), &p, &e), 0);
		said = policy_text(p);
		ck_assert(strcmp(said, "verify@1 u:old@2\n") == 0 ||
			  strcmp(said, "verify@1 u:newer@2\n") == 0);
		policy_free(p);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
END_TEST

SCRATCH_MAIN("policy-files", set_up, no_directory_or_an_empty_one_says_nothing,
	     files_are_read_in_the_order_of_their_names_over_all_directories,
	     a_file_hides_the_same_name_in_later_directories,
	     a_link_to_dev_null_hides_a_name_and_says_nothing, an_empty_file_hides_a_name_too,
	     what_is_no_policy_by_its_name_is_ignored_and_told,
	     a_file_name_that_could_deceive_is_shown_with_question_marks,
	     one_mistake_refuses_it_all,
	     a_credential_may_be_fetched_by_another_file_but_not_defined_by_two,
	     what_is_no_regular_file_is_a_mistake_and_never_waited_for,
	     links_are_followed_and_may_not_go_on_for_ever_or_lead_nowhere,
	     a_file_over_a_mebibyte_is_refused_unread, a_file_of_a_mebibyte_is_read,
	     what_others_can_write_to_is_not_read, what_neither_root_nor_the_agent_owns_is_not_read,
	     a_directory_that_is_none_is_a_mistake,
	     single_files_are_read_by_whatever_name_and_owner,
	     a_file_replaced_while_it_is_read_is_whole)
