/* tests/unit/test-unit.c - which unit a control group is of. */
#include "agent/unit.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static const uid_t SYSTEM = (uid_t)-1;

struct example {
	const char *path, *name;
	const char *rest; /* behind the unit's own group; NULL: nothing */
};

/* What the system's manager made decides, whatever stands below. */
static const struct example of_the_system[] = {
	{ "/system.slice/app.service", "app.service", NULL },
	{ "/system.slice/app.service/", "app.service", "/" },
	{ "/app.service", "app.service", NULL },
	{ "/init.scope", "init.scope", NULL },
	{ "/a.slice/a-b.slice/a-b-c.slice/app.service", "app.service", NULL },
	{ "/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", NULL },
	{ "/system.slice/nightly@etc-x\\x2dy.service", "nightly@etc-x\\x2dy.service", NULL },
	{ "/system.slice/x\\x2dy.service", "x\\x2dy.service", NULL },
	{ "/system.slice/a:b_c-d.e.service", "a:b_c-d.e.service", NULL },
	{ "/system.slice/dbus.socket", "dbus.socket", NULL },
	{ "/system.slice/home-x.mount", "home-x.mount", NULL },
	{ "/system.slice/dev-sda.swap", "dev-sda.swap", NULL },
	{ "/machine.slice/machine-x.scope/payload/system.slice/evil.service", "machine-x.scope",
	  "/payload/system.slice/evil.service" },
	/* Names that clash with the kernel's files have a '_' before them. */
	{ "/system.slice/_cgroup.service", "cgroup.service", NULL },
	{ "/system.slice/__under.service", "_under.service", NULL },
	{ "/system.slice/_cpu.service/x", "cpu.service", "/x" },
	/* Users, and what they made below their own manager. */
	{ "/user.slice/user-1000.slice/session-3.scope", "session-3.scope", NULL },
	{ "/user.slice/user-1000.slice/user@1000.service/app.slice/trusted.service",
	  "user@1000.service", "/app.slice/trusted.service" },
	{ "/user.slice/user-1000.slice/user@1000.service/trusted.service", "user@1000.service",
	  "/trusted.service" },
	{ "/user.slice/user-1000.slice/user@1000.service/system.slice/trusted.service/x",
	  "user@1000.service", "/system.slice/trusted.service/x" },
	/* Delegated groups. */
	{ "/system.slice/docker.service/trusted.service", "docker.service", "/trusted.service" },
	{ "/system.slice/docker.service/system.slice/trusted.service", "docker.service",
	  "/system.slice/trusted.service" },
	{ "/system.slice/app.service/a\nb", "app.service", "/a\nb" },
	{ "/system.slice/app.service/../trusted.service", "app.service", "/../trusted.service" },
	{ "/system.slice/app.service//trusted.service", "app.service", "//trusted.service" },
};

static const char *const of_none[] = {
	"",
	"/",
	"//",
	"app.service",
	"system.slice/app.service",
	"/system.slice",
	"/system.slice/",
	"/a.slice/b.slice",
	/* Parts that no manager made, where a unit should be. */
	"//app.service",
	"/system.slice//app.service",
	"/docker/app.service",
	"/system.slice/docker/app.service",
	"/../app.service",
	"/../../system.slice/app.service",
	"/./app.service",
	"/slice/app.service",
	"/.slice/app.service",
	"/system.slice/app.services",
	"/system.slice/app.service (deleted)",
	"/system.slice/app.SERVICE",
	"/system.slice/.service",
	"/system.slice/_.service",
	"/system.slice/app.timer",
	"/system.slice/app.target",
	"/system.slice/app",
	"/system.slice/_",
	/* Names that are not clean. */
	"/system.slice/a\nb.service",
	"/system.slice/\n.service",
	"/system.slice/a\tb.service",
	"/system.slice/a b.service",
	"/system.slice/a\x1b[1mb.service",
	"/system.slice/a\x7f.service",
	"/system.slice/a\x01.service",
	"/system.slice/app.service\n",
};

/* A user's own agent goes by what that user's manager made, and only there. */
static const struct example of_user_1000[] = {
	{ "/user.slice/user-1000.slice/user@1000.service/app.slice/mine.service", "mine.service", NULL },
	{ "/user.slice/user-1000.slice/user@1000.service/mine.service/x.service", "mine.service",
	  "/x.service" },
	{ "/user.slice/user-1000.slice/user@1000.service/init.scope", "init.scope", NULL },
	{ "/user.slice/user-1000.slice/user@1000.service/a.slice/a-b.slice/run-u1.scope", "run-u1.scope",
	  NULL },
	{ "/user@1000.service/_cpu.service", "cpu.service", NULL },
};

static const char *const not_of_user_1000[] = {
	"/system.slice/mine.service",
	"/system.slice/mine.service/user@1000.service/mine.service",
	"/user.slice/user-1000.slice/session-3.scope",
	"/user.slice/user-1000.slice/session-3.scope/user@1000.service/mine.service",
	"/user.slice/user-1000.slice/user@1000.service",
	"/user.slice/user-1000.slice/user@1000.service/",
	"/user.slice/user-1000.slice/user@1000.service/app.slice",
	"/user.slice/user-1001.slice/user@1001.service/app.slice/mine.service",
	"/user.slice/user-100.slice/user@100.service/mine.service",
	"/user.slice/user-10000.slice/user@10000.service/mine.service",
	"/user.slice/user-1000.slice/user@01000.service/mine.service",
	"/user.slice/user-1000.slice/user@1000.service//mine.service",
	"/user.slice/user-1000.slice/user@1000.service/mine/mine.service",
	"/user.slice/user-1000.slice/_user@1000.service/mine.service",
};

static void check(const struct example *e, uid_t uid)
{
	char name[UNIT_NAME_MAX + 1];
	size_t path_n, rest_n = e->rest ? strlen(e->rest) : 0;

	ck_assert_msg(unit_from_cgroup(e->path, uid, name, &path_n), "%s is of none", e->path);
	ck_assert_str_eq(name, e->name);
	ck_assert_msg(path_n == strlen(e->path) - rest_n, "%s: up to %zu", e->path, path_n);
}

static void check_none(const char *path, uid_t uid)
{
	char name[UNIT_NAME_MAX + 1] = "untouched";
	size_t path_n;

	ck_assert_msg(!unit_from_cgroup(path, uid, name, &path_n), "%s is of %s", path, name);
	ck_assert_str_eq(name, "untouched");
}

START_TEST(the_part_that_the_systems_manager_made_decides)
{
	for (size_t i = 0; i < ARRAY_SIZE(of_the_system); i++)
		check(&of_the_system[i], SYSTEM);
}
END_TEST

START_TEST(groups_that_are_no_units_are_of_none)
{
	for (size_t i = 0; i < ARRAY_SIZE(of_none); i++)
		check_none(of_none[i], SYSTEM);
}
END_TEST

START_TEST(in_a_users_own_agent_that_users_manager_decides)
{
	for (size_t i = 0; i < ARRAY_SIZE(of_user_1000); i++)
		check(&of_user_1000[i], 1000);
	for (size_t i = 0; i < ARRAY_SIZE(not_of_user_1000); i++)
		check_none(not_of_user_1000[i], 1000);
	for (size_t i = 0; i < ARRAY_SIZE(of_none); i++)
		check_none(of_none[i], 1000);
}
END_TEST

/* Whatever is put below a unit's group, it is that unit. */
START_TEST(nothing_below_a_unit_changes_whose_it_is)
{
	char path[4 * UNIT_PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(of_the_system); i++) {
		size_t n = strlen(of_the_system[i].path) -
			   (of_the_system[i].rest ? strlen(of_the_system[i].rest) : 0);

		for (size_t j = 0; j < ARRAY_SIZE(of_the_system); j++) {
			struct example e = { path, of_the_system[i].name, path + n };

			snprintf(path, sizeof(path), "%.*s%s", (int)n, of_the_system[i].path,
				 of_the_system[j].path);
			check(&e, SYSTEM);
		}
	}
}
END_TEST

START_TEST(names_up_to_the_longest_are_units_and_no_longer_ones)
{
	char path[2 * UNIT_NAME_MAX], name[UNIT_NAME_MAX + 1];
	size_t path_n, type = strlen(".service");

	for (size_t n = type; n < UNIT_NAME_MAX + 20; n++)
		for (int escaped = 0; escaped < 2; escaped++) {
			char *p = path + snprintf(path, sizeof(path), "/system.slice/%s", escaped ? "_" : "");
			bool is_one;

			memset(p, 'x', n - type);
			memcpy(p + n - type, ".service", type + 1);
			is_one = unit_from_cgroup(path, SYSTEM, name, &path_n);
			UNIT_CHECK(is_one == (n > type && n <= UNIT_NAME_MAX), "%zu", n);
			UNIT_CHECK(!is_one || (strcmp(name, p) == 0 && path_n == strlen(path)), "%zu", n);
		}
}
END_TEST

/* Every byte in every place of a name. */
START_TEST(no_name_with_a_byte_that_a_terminal_or_a_log_would_obey_is_a_unit)
{
	char path[64], name[UNIT_NAME_MAX + 1];
	size_t path_n, start = strlen("/system.slice/");

	for (size_t at = start; at < start + strlen("app.service"); at++)
		for (int byte = 1; byte < 256; byte++) {
			snprintf(path, sizeof(path), "/system.slice/app.service");
			path[at] = (char)byte;
			if (!unit_from_cgroup(path, SYSTEM, name, &path_n))
				continue;
			for (const char *p = name; *p; p++)
				UNIT_CHECK((unsigned char)*p > ' ' && *p != 0x7f && *p != '/',
					   "byte %d at %zu", byte, at);
		}
}
END_TEST

UNIT_MAIN("unit", the_part_that_the_systems_manager_made_decides, groups_that_are_no_units_are_of_none,
	  in_a_users_own_agent_that_users_manager_decides, nothing_below_a_unit_changes_whose_it_is,
	  names_up_to_the_longest_are_units_and_no_longer_ones,
	  no_name_with_a_byte_that_a_terminal_or_a_log_would_obey_is_a_unit)
