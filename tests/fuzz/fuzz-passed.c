/*
 * tests/fuzz/fuzz-passed.c - descriptors that come with pieces of messages, in control messages of any
 * kind: each is closed once, by the end at the latest, and a message has those that came with it.
 *
 * No descriptor is one: closing counts them.
 */
#include "tests/fuzz/fuzz.h"

#include <sys/resource.h>

#include "agent/closer.h"
#include "agent/passed.h"
#include "protocol/frame.h"

enum { FIRST_FD = 100, FDS = 512, ROOM = 4096, PIECES_MAX = 64 };

static struct {
	unsigned n_given;
	uint8_t n_closed[FDS];
} table;

/* The agent's closer, less its thread. */
void closer_close(const int fds[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int fd = fds[i] - FIRST_FD;

		FUZZ_HOLDS(fd >= 0 && (unsigned)fd < table.n_given);
		FUZZ_HOLDS(table.n_closed[fd]++ == 0);
	}
}

/* With hardly any descriptors left, for one input of eight: then the highest numbers are closed at once. */
static void limit_descriptors(bool hardly_any)
{
	static struct rlimit all;
	struct rlimit limit;

	if (all.rlim_cur == 0)
		FUZZ_HOLDS(getrlimit(RLIMIT_NOFILE, &all) == 0);
	limit = all;
	if (hardly_any)
		limit.rlim_cur = FIRST_FD + 20;
	FUZZ_HOLDS(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * PASSED_MAX) + CMSG_SPACE(sizeof(int) * 8)];
};

/* One control message more, of the kernel's making: of descriptors, or of another kind. */
static void add_control(union control *c, size_t *used, unsigned n, bool is_fds)
{
	struct cmsghdr *header = (struct cmsghdr *)(void *)(c->bytes + *used);
	int fds[8] = { 0 };

	for (unsigned i = 0; is_fds && i < n; i++)
		fds[i] = FIRST_FD + (int)table.n_given++;
	header->cmsg_level = is_fds || n != 2 ? SOL_SOCKET : SOL_SOCKET + 1;
	header->cmsg_type = is_fds ? SCM_RIGHTS : SCM_CREDENTIALS;
	header->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(header), fds, n * sizeof(int));
	*used += CMSG_SPACE(n * sizeof(int));
}

static void receive(struct passed *p, struct span bytes, uint8_t choice)
{
	static union control control;
	struct msghdr m = { .msg_control = &control };
	size_t used = 0;
	unsigned n = choice & 7;

	memset(&control, 0, sizeof(control));
	if (choice & 8)
		add_control(&control, &used, choice & 16 ? 2 : 3, false);
	if (n > 0 && table.n_given + n <= FDS)
		add_control(&control, &used, n, true);
	m.msg_controllen = used;
	passed_receive(p, &m, bytes);
}

/* All messages that are whole, as a connection takes them before it receives more. */
static void take_messages(struct passed *p, struct frame *frame)
{
	struct span message;
	unsigned n;

	while (frame_next(frame, &message) == 1) {
		const int *fds = passed_for_message(p, message, &n);

		FUZZ_HOLDS(n <= PASSED_KEPT);
		for (unsigned i = 0; i < n; i++)
			FUZZ_HOLDS(table.n_closed[fds[i] - FIRST_FD] == 0);
		passed_end_message(p, message);
		for (unsigned i = 0; i < n && table.n_given; i++)
			FUZZ_HOLDS(p->batches[0].n == 0 || p->batches[0].owner_end > p->given ||
				   p->batches[0].owner_end == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static char buf[ROOM];
	struct passed p = { 0 };
	bool hardly_any = n % 8 == 7;
	struct frame frame;
	char *to;

	memset(&table, 0, sizeof(table));
	if (hardly_any)
		limit_descriptors(true);
	frame_init(&frame, buf, sizeof(buf));
	for (unsigned pieces = 0; n > 0 && pieces < PIECES_MAX; pieces++) {
		uint8_t choice = fuzz_byte(&data, &n);
		size_t piece = (size_t)fuzz_byte(&data, &n) % 32, room = frame_room(&frame, &to);

		piece = piece < n ? piece : n;
		if (piece > room)
			break;
		memcpy(to, data, piece);
		receive(&p, (struct span){ to, piece }, piece ? choice : 0);
		frame_received(&frame, piece);
		data += piece;
		n -= piece;
		take_messages(&p, &frame);
	}
	passed_done(&p);
	if (hardly_any)
		limit_descriptors(false);
	for (unsigned i = 0; i < table.n_given; i++)
		FUZZ_HOLDS(table.n_closed[i] == 1);
	return 0;
}
