/*
 * tests/fuzz/fuzz-unit.c - any text as a control group's path, as the address that systemd asks
 * from, and as a pattern for units.
 */
#include "tests/fuzz/fuzz.h"

#include "agent/loadcred.h"
#include "agent/policy/access.h"
#include "agent/unit.h"

static void check_path(const char *path, uid_t uid)
{
	char name[UNIT_NAME_MAX + 1], again[UNIT_NAME_MAX + 1];
	char *part;
	size_t n, n_again;

	if (!unit_from_cgroup(path, uid, name, &n))
		return;
	FUZZ_HOLDS(strlen(name) > 0 && !strchr(name, '/') && n <= strlen(path));
	FUZZ_HOLDS(path[n] == '\0' || path[n] == '/');
	/* What stands below the unit's own group changes nothing. */
	part = strndup(path, n);
	FUZZ_HOLDS(part && unit_from_cgroup(part, uid, again, &n_again));
	FUZZ_HOLDS(n_again == n && strcmp(again, name) == 0);
	free(part);
}

static void check_address(const char *address, size_t n)
{
	struct span unit, credential;

	if (!loadcred_parse(address, n, &unit, &credential))
		return;
	FUZZ_HOLDS(unit.p > address && unit.n > 0 && credential.p + credential.n == address + n);
	FUZZ_HOLDS(unit.p + unit.n < credential.p && credential.n > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_free_ char *copy = fuzz_copy(data, n);
	_cleanup_free_ char *text = fuzz_text(data, n);
	char *line;

	check_address(copy, n);
	check_path(text, (uid_t)-1);
	check_path(text, 1000);
	line = strchr(text, '\n');
	if (line && n < 1024) {
		*line = '\0';
		FUZZ_HOLDS(unit_matches("*", text));
		(void)unit_matches(text, line + 1);
	}
	return 0;
}
