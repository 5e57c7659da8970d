/*
 * tests/fuzz/fuzz-scan.c - a stream in which tokens are looked for, in pieces of any size: the same
 * ones are found as in one piece, on the same lines.
 */
#include "tests/fuzz/fuzz.h"

#include "ctl/scan-text.h"

struct found {
	size_t n;
	uint64_t sum; /* of the lines and the texts */
};

static int on_token(void *userdata, struct span token, uint64_t line)
{
	struct found *f = userdata;
	struct span secret;
	uint64_t id;

	FUZZ_HOLDS(token_read(token, &id, &secret));
	f->n++;
	f->sum = f->sum * 31 + id * 7 + line;
	return 0;
}

static struct found scan(const uint8_t *data, size_t n, const uint8_t *choices, size_t n_choices)
{
	static struct scan_text s;
	struct found found = { 0, 0 };
	size_t room, piece;
	char *to;

	scan_text_start(&s, on_token, &found);
	while (n > 0) {
		room = scan_text_room(&s, &to);
		piece = n_choices ? (size_t)1 + fuzz_byte(&choices, &n_choices) : n;
		piece = piece < room ? piece : room;
		piece = piece < n ? piece : n;
		memcpy(to, data, piece);
		FUZZ_HOLDS(scan_text_piece(&s, piece) == 0);
		data += piece;
		n -= piece;
	}
	scan_text_end(&s);
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t n_choices = n / 8;
	struct found pieces = scan(data + n_choices, n - n_choices, data, n_choices);
	struct found whole = scan(data + n_choices, n - n_choices, NULL, 0);

	FUZZ_HOLDS(pieces.n == whole.n && pieces.sum == whole.sum);
	return 0;
}
