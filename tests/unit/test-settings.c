/*
 * tests/unit/test-settings.c - jeton.conf: what is shipped, what is read, and what is said of what
 * is wrong.
 */
#include "agent/settings.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "protocol/base/time.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

static char warnings[2048];

static void on_warning(const char *text)
{
	const char *file = strrchr(text, '/');

	strcat(warnings, file ? file + 1 : text);
	strcat(warnings, "\n");
}

/*
 * Loads jeton.conf of the scratch directory. What is wrong less the directory, or what was warned
 * of.
 */
static const char *load(struct settings *s)
{
	static struct settings_message message;
	int r;

	warnings[0] = '\0';
	settings_init(s, false);
	r = settings_load(s, scratch_path("jeton.conf"), false, geteuid(), on_warning, &message);
	if (r == 0)
		return warnings;
	ck_assert_int_eq(r, -EINVAL);
	ck_assert(strncmp(message.text, scratch_dir(), strlen(scratch_dir())) == 0);
	return message.text + strlen(scratch_dir()) + 1;
}

static const char *load_text(const char *text, struct settings *s)
{
	scratch_write("jeton.conf", text);
	return load(s);
}

START_TEST(what_is_shipped_is_what_the_contract_says)
{
	struct settings s;

	settings_init(&s, false);
	ck_assert_uint_eq(s.min_lifetime_us, 3600 * USEC_PER_SEC);
	ck_assert_uint_eq(s.max_lifetime_us, 31557600 * USEC_PER_SEC);
	ck_assert_uint_eq(s.default_lifetime_us, 30 * SEC_PER_DAY * USEC_PER_SEC);
	ck_assert_uint_eq(s.max_tokens_per_user, 1000);
	ck_assert_uint_eq(s.max_connections, 4096);
	ck_assert_uint_eq(s.max_connections_per_user, 256);
	ck_assert_uint_eq(s.memory_limit, 256 << 20);
	ck_assert_str_eq(s.admin_group, "jeton-admin");
	ck_assert_uint_eq(s.socket_mode, 0666);
	ck_assert(!s.allow_unlocked);
	ck_assert_int_eq(s.storage, STORAGE_PERSISTENT);
	ck_assert_int_eq(s.credential_refusal, REFUSAL_FAIL);
	ck_assert_uint_eq(s.keep_ended_us, 30 * SEC_PER_DAY * USEC_PER_SEC);
	settings_init(&s, true);
	ck_assert_uint_eq(s.socket_mode, 0600);
	ck_assert_uint_eq(s.max_connections, 4096);
}
END_TEST

START_TEST(every_setting_is_read)
{
	struct settings s;

	ck_assert_str_eq(
		load_text("[Agent]\n"
			  "MinLifetime=1min\nMaxLifetime=10y\nDefaultLifetime=1h 30min\n"
			  "MaxTokensPerUser=5\nMaxConnections=65\nMaxConnectionsPerUser=7\n"
			  "MemoryLimit=1G\nAdminGroup=wheel\nSocketMode=0660\nAllowUnlocked=yes\n"
			  "Storage=volatile\nCredentialRefusal=empty\nKeepEnded=0\n",
			  &s),
		"");
	ck_assert_uint_eq(s.min_lifetime_us, 60 * USEC_PER_SEC);
	ck_assert_uint_eq(s.max_lifetime_us, 315576000 * USEC_PER_SEC);
	ck_assert_uint_eq(s.default_lifetime_us, 5400 * USEC_PER_SEC);
	ck_assert_uint_eq(s.max_tokens_per_user, 5);
	ck_assert_uint_eq(s.max_connections, 65);
	ck_assert_uint_eq(s.max_connections_per_user, 7);
	ck_assert_uint_eq(s.memory_limit, 1 << 30);
	ck_assert_str_eq(s.admin_group, "wheel");
	ck_assert_uint_eq(s.socket_mode, 0660);
	ck_assert(s.allow_unlocked);
	ck_assert_int_eq(s.storage, STORAGE_VOLATILE);
	ck_assert_int_eq(s.credential_refusal, REFUSAL_EMPTY);
	ck_assert_uint_eq(s.keep_ended_us, 0);
}
END_TEST

START_TEST(an_m_is_a_mebibyte_in_a_size_and_a_month_in_a_span)
{
	struct settings s;
	uint64_t month;

	ck_assert_int_eq(time_parse_span("1month", &month), 0);
	ck_assert_str_eq(load_text("[Agent]\nMemoryLimit=2M\nKeepEnded=2M\n", &s), "");
	ck_assert_uint_eq(s.memory_limit, 2 << 20);
	ck_assert_uint_eq(s.keep_ended_us, 2 * month);
}
END_TEST

START_TEST(a_wrong_value_is_refused_with_its_line_and_what_would_be_right)
{
	static const char *const pairs[][2] = {
		{ "MinLifetime=soon",
		  "MinLifetime=: 'soon' is no span of time; write it as in '30d' or '1h 30min'" },
		{ "MinLifetime=0", "MinLifetime=: '0' is out of bounds; it may be from 1s to 10y" },
		{ "MaxLifetime=11y",
		  "MaxLifetime=: '11y' is out of bounds; it may be from 1s to 10y" },
		{ "MaxLifetime=-1d",
		  "MaxLifetime=: '-1d' is no span of time; write it as in '30d' or '1h 30min'" },
		{ "MaxTokensPerUser=0",
		  "MaxTokensPerUser=: '0' is out of bounds; it may be from 1 to 10000000" },
		{ "MaxTokensPerUser=many", "MaxTokensPerUser=: 'many' is no number" },
		{ "MaxTokensPerUser=99999999999999999999",
		  "MaxTokensPerUser=: '99999999999999999999' is no number" },
		{ "MaxConnections=64",
		  "MaxConnections=: '64' is out of bounds; it may be from 65 to 1000000" },
		{ "MemoryLimit=1K",
		  "MemoryLimit=: '1K' is out of bounds; it may be from 1M to 1024G" },
		{ "MemoryLimit=lots",
		  "MemoryLimit=: 'lots' is no size; write it as in '256M' or '1G'" },
		{ "SocketMode=rw",
		  "SocketMode=: 'rw' is no access mode; write it in octal digits, as in '0660'" },
		{ "SocketMode=0668",
		  "SocketMode=: '0668' is no access mode; write it in octal digits, as in '0660'" },
		{ "SocketMode=00660", "SocketMode=: '00660' is no access mode; write it in octal "
				      "digits, as in '0660'" },
		{ "SocketMode=1777",
		  "SocketMode=: '1777' is out of bounds; it may be from 0600 to 0777" },
		{ "SocketMode=0",
		  "SocketMode=: '0' is out of bounds; it may be from 0600 to 0777" },
		{ "SocketMode=0444",
		  "SocketMode=: '0444' is out of bounds; it may be from 0600 to 0777" },
		{ "AllowUnlocked=perhaps", "AllowUnlocked=: 'perhaps' is neither yes nor no" },
		{ "Storage=disk", "Storage=: 'disk' is none of 'persistent' and 'volatile'" },
		{ "CredentialRefusal=",
		  "CredentialRefusal= has no value; give it one or take the line out" },
		{ "CredentialRefusal=FAIL",
		  "CredentialRefusal=: 'FAIL' is none of 'fail' and 'empty'" },
		{ "AdminGroup=a b", "AdminGroup=: 'a b' is no name of a group; give one name of at "
				    "most 63 characters" },
		{ "AdminGroup=27", "AdminGroup=: '27' is no name of a group; give one name of at "
				   "most 63 characters" },
		{ "AdminGroup=*", "AdminGroup=: '*' is no name of a group; give one name of at "
				  "most 63 characters" },
		{ "KeepEnded=1 fortnight", "KeepEnded=: '1 fortnight' is no span of time; write it "
					   "as in '30d' or '1h 30min'" },
		{ "KeepEnded=1d \\\n 1 fortnight",
		  "KeepEnded=: '1d  1 fortnight' is no span of time; "
		  "write it as in '30d' or '1h 30min'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		char text[256], said[512];
		struct settings s;

		snprintf(text, sizeof(text), "# x\n[Agent]\n%s\n", pairs[i][0]);
		snprintf(said, sizeof(said), "jeton.conf:3: %s", pairs[i][1]);
		ck_assert_str_eq(load_text(text, &s), said);
	}
}
END_TEST

START_TEST(lifetimes_must_be_in_order)
{
	static const char *const pairs[][2] = {
		{ "MinLifetime=1h\nDefaultLifetime=1h\nMaxLifetime=1h\n", "" },
		{ "MaxLifetime=7d\n", "jeton.conf:2: DefaultLifetime= is 30d (as shipped) and "
				      "MaxLifetime= 7d, where the first may not be "
				      "over the second; change one of them" },
		{ "MaxLifetime=7d\nDefaultLifetime=1d\n", "" },
		{ "MinLifetime=60d\n", "jeton.conf:2: MinLifetime= is 60d and DefaultLifetime= 30d "
				       "(as shipped), where the first may not be "
				       "over the second; change one of them" },
		{ "MinLifetime=2h\nDefaultLifetime=1h\n",
		  "jeton.conf:3: MinLifetime= is 2h and DefaultLifetime= 1h, where the first may "
		  "not be over the second; "
		  "change one of them" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		char text[256];
		struct settings s;

		snprintf(text, sizeof(text), "[Agent]\n%s", pairs[i][0]);
		ck_assert_str_eq(load_text(text, &s), pairs[i][1]);
	}
}
END_TEST

START_TEST(what_is_unknown_is_warned_of_with_its_line_and_passed_over)
{
	struct settings s;

	ck_assert_str_eq(load_text("[Agent]\nMinLifetimes=1h\nColour=blue\n[Agnt]\nStorage=disk\n["
				   "Service]\nX=y\n"
				   "[Agent]\nMaxTokensPerUser=7\n",
				   &s),
			 "jeton.conf:2: unknown setting MinLifetimes=, which is passed over; did "
			 "you mean MinLifetime=?\n"
			 "jeton.conf:3: unknown setting Colour=, which is passed over\n"
			 "jeton.conf:4: unknown section [Agnt], which is passed over; did you mean "
			 "[Agent]?\n"
			 "jeton.conf:6: unknown section [Service], which is passed over; settings "
			 "stand in [Agent]\n");
	ck_assert_uint_eq(s.max_tokens_per_user, 7);
	ck_assert_str_eq(load_text("MaxTokensPerUser=7\n", &s),
			 "jeton.conf:1: MaxTokensPerUser= stands before any [SECTION]");
}
END_TEST

START_TEST(drop_ins_are_read_after_the_file_in_the_order_of_their_names)
{
	struct settings s;

	scratch_write("jeton.conf",
		      "[Agent]\nMaxTokensPerUser=1\nMaxConnections=100\nMaxTokensPerUser=2\n");
	scratch_make_dir("jeton.conf.d");
	scratch_write("jeton.conf.d/20.conf", "[Agent]\nMaxTokensPerUser=20\n");
	scratch_write("jeton.conf.d/10.conf",
		      "[Agent]\nMaxTokensPerUser=10\nMaxConnectionsPerUser=9\n");
	scratch_write("jeton.conf.d/30.conf~", "[Agent]\nMaxTokensPerUser=30\n");
	scratch_write("jeton.conf.d/.40.conf", "[Agent]\nMaxTokensPerUser=40\n");
	ck_assert_int_eq(symlink("/dev/null", scratch_path("jeton.conf.d/50.conf")), 0);
	ck_assert_str_eq(load(&s), "");
	ck_assert_uint_eq(s.max_tokens_per_user, 20);
	ck_assert_uint_eq(s.max_connections, 100);
	ck_assert_uint_eq(s.max_connections_per_user, 9);
	scratch_write("jeton.conf.d/60.conf", "[Agent]\nMaxLifetime=7d\n");
	ck_assert(strncmp(load(&s), "jeton.conf.d/60.conf:2: DefaultLifetime= is 30d (as shipped)",
			  58) == 0);
}
END_TEST

START_TEST(a_file_may_be_missing_unless_it_was_asked_for)
{
	struct settings s;
	struct settings_message message;

	ck_assert_str_eq(load(&s), "");
	ck_assert_int_eq(settings_load(&s, scratch_path("jeton.conf"), true, geteuid(), on_warning,
				       &message),
			 -EINVAL);
	ck_assert_ptr_nonnull(strstr(message.text, "/jeton.conf: there is no such file"));
	ck_assert_int_eq(settings_load(&s, scratch_path("no/where/jeton.conf"), false, geteuid(),
				       on_warning, &message),
			 0);
	ck_assert_int_eq(settings_load(&s, scratch_path("no/where/jeton.conf"), true, geteuid(),
				       on_warning, &message),
			 -EINVAL);
	ck_assert_ptr_nonnull(strstr(message.text, "/no/where/jeton.conf: there is no such file"));
	/* Drop-ins alone count too. */
	scratch_make_dir("jeton.conf.d");
	scratch_write("jeton.conf.d/a.conf", "[Agent]\nMaxTokensPerUser=3\n");
	ck_assert_str_eq(load(&s), "");
	ck_assert_uint_eq(s.max_tokens_per_user, 3);
}
END_TEST

START_TEST(what_others_can_write_to_is_not_read)
{
	static const struct {
		const char *name, *said;
	} rows[] = {
		{ "jeton.conf", "jeton.conf: others than its owner can write to it (mode 0777), so "
				"it is not read (chmod "
				"go-w it)" },
		{ "jeton.conf.d", "jeton.conf.d: others than its owner can write to it (mode "
				  "0777), so it is not read "
				  "(chmod go-w it)" },
		{ "jeton.conf.d/a.conf",
		  "jeton.conf.d/a.conf: others than its owner can write to it (mode 0777), so it "
		  "is not read (chmod go-w it)" },
	};
	struct settings s;
	struct settings_message message;

	scratch_write("jeton.conf", "");
	scratch_make_dir("jeton.conf.d");
	scratch_write("jeton.conf.d/a.conf", "");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ck_assert_int_eq(chmod(scratch_path(rows[i].name), 0777), 0);
		ck_assert_str_eq(load(&s), rows[i].said);
		ck_assert_int_eq(chmod(scratch_path(rows[i].name), 0755), 0);
		ck_assert_str_eq(load(&s), "");
	}
	/* The directory that the file is in: another could take its place. */
	ck_assert_int_eq(chmod(scratch_dir(), 01777), 0);
	ck_assert_int_eq(settings_load(&s, scratch_path("jeton.conf"), false, geteuid(), on_warning,
				       &message),
			 -EINVAL);
	ck_assert_ptr_nonnull(
		strstr(message.text, ": others than its owner can write to it (mode 1777)"));
	if (geteuid() == 0) {
		ck_assert_int_eq(chmod(scratch_dir(), 0755), 0);
		ck_assert_int_eq(chown(scratch_path("jeton.conf"), 4711, 0), 0);
		ck_assert_str_eq(load(&s), "jeton.conf: owned by uid 4711; only what root owns is "
					   "read (chown root it)");
	}
}
END_TEST

START_TEST(what_fails_leaves_the_settings_as_they_were)
{
	struct settings s;

	ck_assert_str_ne(load_text("[Agent]\nMaxTokensPerUser=7\nStorage=disk\n", &s), "");
	ck_assert_uint_eq(s.max_tokens_per_user, 1000);
}
END_TEST

START_TEST(the_table_is_whole_and_the_shipped_file_shows_what_it_says)
{
	size_t n;
	const struct setting *table = settings_table(&n);
	FILE *f = fopen("units/jeton.conf", "re");
	char text[16384] = "";

	if (f) {
		ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, f), 0);
		fclose(f);
	}
	ck_assert_uint_eq(n, 13);
	for (size_t i = 0; i < n; i++) {
		char line[128];

		ck_assert(strlen(table[i].help) > 20 &&
			  table[i].help[strlen(table[i].help) - 1] == '.');
		ck_assert((table[i].type == SETTING_ENUM) == (table[i].choices != NULL));
		ck_assert(!table[i].min == !table[i].max);
		snprintf(line, sizeof(line), "\n#%s=%s\n", table[i].name, table[i].shipped);
		ck_assert_msg(!f || strstr(text, line), "units/jeton.conf lacks %s", line);
	}
}
END_TEST

START_TEST(the_shipped_file_is_read_and_so_are_its_lines_without_their_hash_marks)
{
	FILE *f = fopen("units/jeton.conf", "re");
	char line[512], text[16384] = "";
	struct settings s, shipped;

	if (!f)
		return; /* not run from the top */
	while (fgets(line, sizeof(line), f))
		strcat(text, line[0] == '#' && line[1] != ' ' && line[1] != '\n' ? line + 1 : line);
	fclose(f);
	ck_assert_str_eq(load_text(text, &s), "");
	settings_init(&shipped, false);
	ck_assert_uint_eq(s.max_lifetime_us, shipped.max_lifetime_us);
	ck_assert_uint_eq(s.memory_limit, shipped.memory_limit);
	ck_assert_uint_eq(s.socket_mode, shipped.socket_mode);
	ck_assert_str_eq(s.admin_group, shipped.admin_group);
}
END_TEST

SCRATCH_MAIN("settings", scratch_make, what_is_shipped_is_what_the_contract_says,
	     every_setting_is_read, an_m_is_a_mebibyte_in_a_size_and_a_month_in_a_span,
	     a_wrong_value_is_refused_with_its_line_and_what_would_be_right,
	     lifetimes_must_be_in_order, what_is_unknown_is_warned_of_with_its_line_and_passed_over,
	     drop_ins_are_read_after_the_file_in_the_order_of_their_names,
	     a_file_may_be_missing_unless_it_was_asked_for, what_others_can_write_to_is_not_read,
	     what_fails_leaves_the_settings_as_they_were,
	     the_table_is_whole_and_the_shipped_file_shows_what_it_says,
	     the_shipped_file_is_read_and_so_are_its_lines_without_their_hash_marks)
