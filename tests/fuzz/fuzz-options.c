/*
 * tests/fuzz/fuzz-options.c - any words as jetonctl's command line, a NUL between two: they are read,
 * or a sentence says what is wrong with them.
 */
#include "tests/fuzz/fuzz.h"

#include "ctl/commands.h"
#include "ctl/complete-line.h"
#include "ctl/value.h"

enum { WORDS = 32 };

static unsigned split(char *text, size_t n, char *words[static WORDS + 1])
{
	unsigned count = 0;

	for (size_t at = 0; at < n && count < WORDS; at += strlen(text + at) + 1)
		words[count++] = text + at;
	words[count] = NULL;
	return count;
}

static void check_told(const struct usage_error *e)
{
	FUZZ_HOLDS(e->text[0] && memchr(e->text, '\0', sizeof(e->text)));
}

/* As main() goes about it: what is common, the command, what is its own. */
static void read_line(char *words[], int n)
{
	const struct command *c;
	struct usage_error e = { "" };
	struct args a;
	size_t used;

	args_init(&a, UINT64_C(1800000000000000));
	n = options_read(NULL, common_options, words, n, true, &a, &e);
	if (n <= 0) {
		if (n < 0)
			check_told(&e);
		return;
	}
	c = commands_find(words, (size_t)n, &used, &e);
	if (!c) {
		check_told(&e);
		return;
	}
	FUZZ_HOLDS(used >= 1 && used <= (size_t)n);
	n = options_read(c->options, common_options, words + used, n - (int)used, c->runs, &a, &e);
	if (n < 0)
		check_told(&e);
}

/* The same words, while they are typed: what is due at the cursor is of the word there. */
static void check_completion(char *words[], unsigned n)
{
	struct complete_line line;
	size_t length;

	if (n == 0)
		return;
	complete_line_read(words, n, &line);
	length = strlen(words[n - 1]);
	FUZZ_HOLDS(line.word >= words[n - 1] && line.word <= words[n - 1] + length);
	if (line.value)
		FUZZ_HOLDS(line.value >= words[n - 1] && line.value <= words[n - 1] + length);
	FUZZ_HOLDS(memchr(line.group, '\0', sizeof(line.group)));
	if (line.command)
		(void)complete_operand(line.command);
	if (line.option && !line.unknown)
		FUZZ_HOLDS(line.option->value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_free_ char *text = fuzz_text(data, n);
	char *words[WORDS + 1];
	struct span secret;
	unsigned count;

	/* Else each date has libc look at /etc/localtime. */
	(void)setenv("TZ", "UTC0", 0);
	count = split(text, n, words);
	for (unsigned i = 0; i < count; i++)
		(void)value_find(words[i], &secret);
	check_completion(words, count);
	read_line(words, (int)count);
	return 0;
}
