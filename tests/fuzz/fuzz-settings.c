/*
 * tests/fuzz/fuzz-settings.c - any bytes as the settings' file: they are taken, or a mistake is told
 * with its place.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/settings.h"

static char dir[] = "/tmp/jeton-fuzz-XXXXXX";
static char path[64];

static void remove_all(void)
{
	unlink(path);
	rmdir(dir);
}

static void on_warning(const char *text)
{
	FUZZ_HOLDS(text[0] && !strchr(text, '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static int fd = -1;
	struct settings_message error = { "" };
	struct settings s;
	int r;

	if (fd < 0) {
		FUZZ_HOLDS(mkdtemp(dir));
		snprintf(path, sizeof(path), "%s/jeton.conf", dir);
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		FUZZ_HOLDS(fd >= 0);
		atexit(remove_all);
	}
	FUZZ_HOLDS(ftruncate(fd, 0) == 0 && pwrite(fd, data, n, 0) == (ssize_t)n);
	settings_init(&s, false);
	r = settings_load(&s, path, true, getuid(), on_warning, &error);
	if (r == 0) {
		FUZZ_HOLDS(s.min_lifetime_us <= s.max_lifetime_us);
		FUZZ_HOLDS(s.memory_limit > 0 && s.max_connections > 0);
	} else {
		FUZZ_HOLDS(r == -EINVAL && strstr(error.text, "jeton.conf"));
	}
	return 0;
}
