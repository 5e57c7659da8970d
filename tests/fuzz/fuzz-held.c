/*
 * tests/fuzz/fuzz-held.c - any bytes as what an earlier agent has left: the file `locked`, the mark of
 * the anchor, and the notes in its memfd. They are what one of ours wrote, or refused with a sentence;
 * and what was written is read as the same.
 *
 * The directory is the target's: one file, with no disk behind it. The seal of notes is a sum, and
 * a sum that stands at the end of a file is put right where the input asks for it: so that bytes get
 * as far as they would under keys of ours.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/anchor.h"
#include "agent/carried.h"
#include "agent/lock-file.h"

enum { OURS = 4711, SUM_LEN = 16, MARK_LEN = 64, MARK_AT = 4096, NOTES_AT = 4096, PUT_SUM_RIGHT = 0x80 };

static int file = -1;	 /* the only one there is */
static int open_error; /* of the next time that it is opened; 0: none */

static char file_name[] = "held";

static void file_set(const uint8_t *data, size_t n)
{
	if (file < 0) {
		file = memfd_create(file_name, MFD_CLOEXEC);
		FUZZ_HOLDS(file >= 0);
		FUZZ_HOLDS(fchmod(file, 0600) == 0);
	}
	FUZZ_HOLDS(ftruncate(file, 0) == 0 && pwrite(file, data, n, 0) == (ssize_t)n);
}

/* ---- the directory (agent/state-dir.c's place) ----------------------------------------------- */

int store_fail(struct store_error *e, int r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	FUZZ_HOLDS(vsnprintf(e->text, sizeof(e->text), format, args) > 0);
	va_end(args);
	return r;
}

int state_dir_open(const char *path, struct state_dir *ret, struct store_error *e)
{
	/* Two that are not the same, and can be locked. */
	static int fds[2] = { -1, -1 };
	int *fd = &fds[strcmp(path, "/anchor") == 0];

	(void)e;
	if (*fd < 0)
		*fd = memfd_create("directory", MFD_CLOEXEC);
	*ret = (struct state_dir){ .fd = fcntl(*fd, F_DUPFD_CLOEXEC, 0) };
	snprintf(ret->path, sizeof(ret->path), "%s", path);
	return ret->fd < 0 ? -errno : 0;
}

void state_dir_open_memory(struct memory_dir *memory, struct state_dir *ret)
{
	*ret = (struct state_dir){ .fd = -1, .memory = memory };
}

int state_dir_lock(const struct state_dir *d, struct store_error *e)
{
	(void)d;
	(void)e;
	return 0;
}

int state_dir_sync(const struct state_dir *d)
{
	(void)d;
	return 0;
}

void state_dir_close(struct state_dir *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

int state_dir_remove(const struct state_dir *d, const char *name)
{
	(void)d;
	(void)name;
	return 0;
}

int state_dir_rename(const struct state_dir *d, const char *from, const char *to)
{
	(void)d;
	(void)from;
	(void)to;
	return 0;
}

int state_dir_open_file(const struct state_dir *d, const char *name, int flags)
{
	(void)d;
	(void)name;
	if (flags & O_CREAT)
		FUZZ_HOLDS(ftruncate(file, 0) == 0);
	if (open_error) {
		int r = open_error;

		open_error = 0;
		return r;
	}
	FUZZ_HOLDS(lseek(file, 0, SEEK_SET) == 0);
	return fcntl(file, F_DUPFD_CLOEXEC, 0);
}

bool state_dir_is_there(const struct state_dir *d, const char *name)
{
	(void)d;
	(void)name;
	return true;
}

int state_dir_has(const struct state_dir *d, const char *name)
{
	return state_dir_is_there(d, name);
}

/* ---- the file `locked` ----------------------------------------------------------------------- */

static void put_sum_right(uint8_t *data, size_t n)
{
	crypto_generichash(data + n - SUM_LEN, SUM_LEN, data, n - SUM_LEN, NULL, 0);
}

static void check_told(const struct store_error *e)
{
	FUZZ_HOLDS(e->text[0] && !strchr(e->text, '\n'));
}

/* What was sealed to its public half is no longer what it was, and nobody has its secret half. */
static void check_sealing(const struct lockbox *box)
{
	static const uint8_t key[32] = "a key that opens held secrets";
	uint8_t sealed[sizeof(key) + LOCKBOX_OVERHEAD], opened[sizeof(key)];
	struct lockbox_room room = { { 0 }, { 0 } };

	lockbox_seal(box, key, sizeof(key), sealed);
	FUZZ_HOLDS(!memmem(sealed, sizeof(sealed), key, sizeof(key)));
	/* The room has a secret half of zeros. */
	FUZZ_HOLDS(lockbox_unseal(box, &room, sealed, sizeof(sealed), opened) == -EBADMSG);
}

/* how: none is there, or it is a link, not to be opened, or in memory; or others can reach it. */
static void check_lock_file(uint8_t *data, size_t n, bool sum, unsigned how)
{
	static const int errors[] = { 0, 0, 0, 0, -ENOENT, -ELOOP, -EMEDIUMTYPE, -EACCES };
	struct state_dir dir = { .fd = -1, .path = "/state" };
	struct store_error e = { "" };
	uint8_t again[LOCKBOX_LEN];
	struct lockbox box;
	int r;

	if (sum && n >= LOCKBOX_LEN)
		put_sum_right(data, LOCKBOX_LEN);
	file_set(data, n);
	dir.memory = how == 1 ? (struct memory_dir *)(void *)file_name : NULL;
	FUZZ_HOLDS(how != 2 || fchmod(file, 0640) == 0);
	open_error = errors[how];
	r = lock_file_read(&dir, &box, &e);
	FUZZ_HOLDS(how != 2 || (r == -EPERM && fchmod(file, 0600) == 0));
	FUZZ_HOLDS((r == 0) == (how == 4));
	if (r <= 0) {
		FUZZ_HOLDS(r == 0 || e.text[0]);
		return;
	}
	FUZZ_HOLDS(r == 1 && n == LOCKBOX_LEN);
	lockbox_write(&box, again);
	FUZZ_HOLDS(memcmp(again, data, n) == 0);
	check_sealing(&box);
	FUZZ_HOLDS(lock_file_write(&dir, &box) == 0);
	FUZZ_HOLDS(lock_file_read(&dir, &box, &e) == 1);
}

/* ---- the anchor ------------------------------------------------------------------------------ */

static void check_anchor_there(struct anchor *a, const struct state_dir *state)
{
	static const uint8_t id[SEAL_ID_LEN] = "the store's id";
	struct store_error e = { "" };
	int r = anchor_judge(a, state, id, 7, &e);

	FUZZ_HOLDS(anchor_is_there(a));
	if (r < 0)
		check_told(&e);
	FUZZ_HOLDS(r == 0 || r == -ESTALE);
	/* A store that is behind is told as one, and no other of its id. */
	FUZZ_HOLDS(!anchor_is_behind(a, 7) || r == 0 || strstr(e.text, "other"));
	FUZZ_HOLDS(anchor_raise(a, id, 9) == 0);
	FUZZ_HOLDS(anchor_judge(a, state, id, UINT64_MAX, &e) == 0);
}

static void check_anchor(uint8_t *data, size_t n, bool sum)
{
	static uint8_t bytes[MARK_AT + MARK_LEN];
	static struct state_dir state = { .fd = -1 };
	struct store_error e = { "" };
	struct anchor *a;
	size_t second = n > MARK_LEN ? n - MARK_LEN : 0;

	if (state.fd < 0)
		FUZZ_HOLDS(state_dir_open("/state", &state, &e) == 0);
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, data, n < MARK_LEN ? n : MARK_LEN);
	memcpy(bytes + MARK_AT, data + n - second, second < MARK_LEN ? second : MARK_LEN);
	if (sum) {
		put_sum_right(bytes, MARK_LEN);
		put_sum_right(bytes + MARK_AT, MARK_LEN);
	}
	file_set(bytes, second ? sizeof(bytes) : n < MARK_LEN ? n : MARK_LEN);
	if (anchor_open("/anchor", &state, &a, &e) < 0) {
		check_told(&e);
		return;
	}
	if (anchor_is_there(a))
		check_anchor_there(a, &state);
	anchor_close(a);
}

/* ---- notes ----------------------------------------------------------------------------------- */

static uint8_t sum_of(const uint8_t *note, size_t n)
{
	uint8_t sum = 0x5A;

	for (size_t i = 0; i < n; i++)
		sum = (uint8_t)(sum * 3 + note[i]);
	return sum;
}

/* The store's place. The input may leave the sum out: 0 is right for all. */
void store_seal_note(const struct store *s, uint64_t number, uint64_t at, const uint8_t *note,
		     size_t n, uint8_t *dst)
{
	(void)s;
	FUZZ_HOLDS(number > 0 && at + n + STORE_NOTE_OVERHEAD + 2 <= CARRIED_HALF);
	memset(dst, 0, STORE_NOTE_OVERHEAD);
	dst[0] = sum_of(note, n);
	memcpy(dst + STORE_NOTE_OVERHEAD, note, n);
}

int store_open_note(const struct store *s, uint64_t number, uint64_t at, const uint8_t *sealed,
		    size_t n, uint8_t *dst)
{
	(void)s;
	FUZZ_HOLDS(number > 0 && n > STORE_NOTE_OVERHEAD && at + 2 + n <= CARRIED_HALF);
	if (sealed[0] && sealed[0] != sum_of(sealed + STORE_NOTE_OVERHEAD, n - STORE_NOTE_OVERHEAD))
		return -EBADMSG;
	memcpy(dst, sealed + STORE_NOTE_OVERHEAD, n - STORE_NOTE_OVERHEAD);
	return 0;
}

static uint8_t scratch[CARRIED_NOTE_MAX];

struct replayed {
	unsigned n;
	unsigned ours; /* the how-manieth is the one that the target noted; 0: none yet */
	uint64_t sum;
};

static bool is_in_scratch(struct span s)
{
	const char *from = (const char *)scratch;

	return !s.p || (s.p >= from && s.p + s.n <= from + sizeof(scratch));
}

static void add(struct replayed *r, uint64_t id, struct span name, struct span by)
{
	FUZZ_HOLDS(is_in_scratch(name) && is_in_scratch(by));
	r->n++;
	r->sum = r->sum * 31 + id + name.n * 7 + by.n;
	if (id == OURS && r->ours == 0)
		r->ours = r->n;
}

static void on_use(void *userdata, uint64_t id, uint64_t at_us, struct span by)
{
	(void)at_us;
	add(userdata, id, SPAN_NONE, by);
}

static void on_fetch(void *userdata, struct span name, uint64_t at_us, struct span by)
{
	add(userdata, at_us, name, by);
}

static void on_denial(void *userdata, uint64_t id)
{
	add(userdata, id, SPAN_NONE, SPAN_NONE);
}

static struct carried *replay(int fd, struct replayed *ret)
{
	static const struct carried_fns fns = { on_use, on_fetch, on_denial };
	struct carried *c;

	*ret = (struct replayed){ 0 };
	FUZZ_HOLDS(carried_map(NULL, fd, &c) == 0);
	carried_replay(c, scratch, &fns, ret);
	for (size_t i = 0; i < sizeof(scratch); i++)
		FUZZ_HOLDS(scratch[i] == 0);
	return c;
}

/* Behind the numbers of both halves, half of the bytes for each. */
static void write_notes(int fd, const uint8_t *data, size_t n)
{
	size_t numbers = n < 16 ? n : 16, half = (n - numbers) / 2;

	FUZZ_HOLDS(pwrite(fd, data, numbers, 8) == (ssize_t)numbers);
	FUZZ_HOLDS(pwrite(fd, data + numbers, half, NOTES_AT) == (ssize_t)half);
	FUZZ_HOLDS(pwrite(fd, data + numbers + half, half, NOTES_AT + CARRIED_HALF) ==
		   (ssize_t)half);
}

/* A memfd as carried_make() makes it, used again and again. */
static void erase_notes(int fd)
{
	FUZZ_HOLDS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8,
			     NOTES_AT + 2 * CARRIED_HALF - 8) == 0);
}

static bool is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* Of whom is not told. */
static const char long_name[CARRIED_TEXT_MAX + 1];

static void check_notes(const uint8_t *data, size_t n)
{
	static int fd = -1;
	struct replayed first, second, third;
	struct carried *c;

	if (fd < 0)
		fd = carried_make();
	FUZZ_HOLDS(fd >= 0);
	write_notes(fd, data, n);
	carried_close(replay(fd, &first));
	c = replay(fd, &second);
	/* Of a memfd that has no notes yet the first agent makes one that has. */
	if (n >= 16 && !is_zero(data, 16))
		FUZZ_HOLDS(first.n == second.n && first.sum == second.sum);
	/* What is noted comes behind all that was. (What it then reaches to had no note's place.) */
	FUZZ_HOLDS(carried_use(c, OURS, 1, SPAN("a.service")) == 0);
	FUZZ_HOLDS(carried_fetch(c, SPAN("modulos"), 1, SPAN_NONE) == 0);
	FUZZ_HOLDS(carried_use(c, OURS, 1, (struct span){ long_name, sizeof(long_name) }) == 0);
	FUZZ_HOLDS(carried_denial(c, OURS) == 0);
	carried_close(c);
	c = replay(fd, &third);
	FUZZ_HOLDS(third.n > second.n && (second.ours || third.ours == second.n + 1));
	carried_turn(c);
	carried_kept(c);
	carried_close(c);
	erase_notes(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t choice = fuzz_byte(&data, &n);
	_cleanup_free_ char *copy = fuzz_copy(data, n);
	uint8_t *bytes = (uint8_t *)copy;

	if (n > 64 * 1024)
		return 0;
	if (choice % 3 == 0)
		check_lock_file(bytes, n, choice & PUT_SUM_RIGHT, choice >> 3 & 7);
	else if (choice % 3 == 1)
		check_anchor(bytes, n, choice & PUT_SUM_RIGHT);
	else
		check_notes(bytes, n);
	return 0;
}
