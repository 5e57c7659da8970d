/*
 * tests/fuzz/fuzz-settings.c - any bytes as the settings' file and its drop-ins: they are taken, or a
 * mistake is told with its place.
 */
#include "tests/fuzz/files.h"

#include "agent/settings.h"

static void on_warning(const char *text)
{
	FUZZ_HOLDS(text[0] && !strchr(text, '\n'));
}

/* The first file of the first directory is jeton.conf, those of the second its drop-ins. */
static int load(const uint8_t *data, size_t n, struct settings *ret,
		struct settings_message *ret_error)
{
	static const char *const paths[] = { "jeton.conf", "/etc/jeton/jeton.conf", "/jeton.conf" };

	fuzz_files_set(data, n, ".conf");
	settings_init(ret, n % 2);
	return settings_load(ret, paths[n % 3], n % 4 != 3, 0, on_warning, ret_error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct settings_message error = { "" };
	struct settings s, shipped;
	int r = load(data, n, &s, &error);

	if (r == 0) {
		FUZZ_HOLDS(s.min_lifetime_us <= s.default_lifetime_us);
		FUZZ_HOLDS(s.default_lifetime_us <= s.max_lifetime_us);
		FUZZ_HOLDS(s.memory_limit > 0 && s.max_connections > 0);
		FUZZ_HOLDS(memchr(s.admin_group, '\0', sizeof(s.admin_group)));
	} else {
		FUZZ_HOLDS(r == -EINVAL && strstr(error.text, ".conf"));
		settings_init(&shipped, n % 2);
		FUZZ_HOLDS(memcmp((const char *)&s, (const char *)&shipped, sizeof(s)) == 0);
	}
	return 0;
}
