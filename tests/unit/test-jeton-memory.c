/* tests/unit/test-jeton-memory.c - where libjeton leaves values: nowhere. */
#include "protocol/jeton.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "tests/unit/fake-agent.h"
#include "tests/unit/unit.h"

static struct fake_agent fake;
static struct jeton *jeton;

#define VERIFIED "{\"parameters\":{\"info\":" FAKE_TOKEN ",\"access\":[]}}"

/*
 * The needle is never here in plain: only its mask is. What the library can't do for a program:
 * lazy binding (no -z now) has the dynamic linker save registers on the stack, values' last bytes
 * too.
 */
enum { MASK = 0x55 };

static size_t count_in(const unsigned char *p, size_t n, const unsigned char masked[static 43])
{
	size_t hits = 0;

	for (size_t i = 0; i + 43 <= n; i++) {
		size_t k = 0;

		while (k < 43 && (p[i + k] ^ MASK) == masked[k])
			k++;
		hits += k == 43;
	}
	return hits;
}

static size_t count_in_memory(const unsigned char masked[static 43])
{
	static unsigned char chunk[1 << 20];
	FILE *maps = fopen("/proc/self/maps", "re");
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	unsigned long from, to;
	char line[512];
	size_t hits = 0;

	while (fgets(line, sizeof(line), maps)) {
		/* A sanitizer's shadow of terabytes holds no bytes of ours. */
		if (sscanf(line, "%lx-%lx r", &from, &to) != 2 || to - from > 1ul << 30)
			continue;
		for (; from < to; from += sizeof(chunk) - 43) {
			size_t n = to - from < sizeof(chunk) ? to - from : sizeof(chunk);
			ssize_t got = pread(mem, chunk, n, (off_t)from);

			/*
			 * The chunk that is searched is itself searched, so it must not keep what
			 * it held.
			 */
			if (got > 0)
				hits += count_in(chunk, (size_t)got, masked);
			explicit_bzero(chunk, sizeof(chunk));
			if (n < sizeof(chunk))
				break;
		}
	}
	fclose(maps);
	close(mem);
	return hits;
}

/* In a process of its own: answers Issue, Verify and Fetch with a value that nobody else knows. */
static void serve_needle(void)
{
	static char text[4096];
	char value[JETON_TOKEN_LEN + 1] = "jeton_0000000000A_";
	unsigned char random[49];
	struct fake_step steps[] = {
		{ FAKE_REPLY, text, 0, 0 },
		FAKE_ANSWER(VERIFIED),
		{ FAKE_REPLY, text, 0, 0 },
		FAKE_STOP,
	};

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		_exit(1);
	for (size_t i = 0; i < sizeof(random); i++)
		value[18 + i] =
			"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[random[i] %
											 62];
	steps[0].n = steps[2].n =
		(size_t)snprintf(
			text, sizeof(text),
			"{\"parameters\":{\"token\":\"%s\",\"text\":\"%s\",\"info\":" FAKE_TOKEN
			"}}",
			value, value) +
		1;
	fake.steps = steps;
	fake_agent_serve(&fake);
	_exit(0);
}

START_TEST(no_value_is_left_in_memory_once_the_handle_is_freed)
{
	static const struct fake_step steps[] = { FAKE_STOP };
	struct jeton_issue issue = JETON_ISSUE_INIT;
	const struct jeton_value *fetched;
	unsigned char masked[43];
	const char *value;
	pid_t pid;

	/* The thread of the fake agent does nothing here: a child serves its socket. */
	fake_agent_start(&fake, steps);
	pid = fork();
	if (pid == 0)
		serve_needle();
	ck_assert_int_eq(jeton_new(fake.path, &jeton), 0);
	issue.name = "n";
	ck_assert_int_eq(jeton_issue(jeton, &issue, &value, NULL), 0);
	for (size_t i = 0; i < sizeof(masked); i++)
		masked[i] = (unsigned char)(value[18 + i] ^ MASK);
	/* What looks for it finds it where it is: as given, and as received. */
	ck_assert_uint_ge(count_in_memory(masked), 2);
	ck_assert_int_eq(jeton_verify(jeton, value, NULL, -1, NULL, NULL), 0);
	ck_assert_uint_eq(count_in_memory(masked), 0);
	ck_assert_int_eq(jeton_fetch(jeton, "c", JETON_UNSET, &fetched), 0);
	ck_assert_uint_eq(fetched->n, JETON_TOKEN_LEN);
	ck_assert_uint_ge(count_in_memory(masked), 2);
	jeton_free(jeton);
	ck_assert_uint_eq(count_in_memory(masked), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	fake_agent_done(&fake);
}
END_TEST

UNIT_MAIN("jeton-memory", no_value_is_left_in_memory_once_the_handle_is_freed)
