/*
 * agent/carried.c - see carried.h. A note is written where the last one ends, by plain stores into
 * shared memory, which a SIGKILL leaves as they are: so it costs a good Verify no system call but
 * the one for its nonce, once a second for a token.
 *
 * Invariant: the notes of a half are those that open, one after the other from its start on, for
 * the half's generation and their place in it. One that was torn by the end of the agent does not
 * open, nor does what an earlier generation has left behind; so there is no mark to keep in step,
 * and to begin a half anew is to store one number.
 */
#include "agent/carried.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/fdstore.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define NAME FDSTORE_PREFIX "carried"

enum {
	HEAD = 4096,
	SIZE = HEAD + 2 * CARRIED_HALF,
	GIVE_BACK = 256 * 1024, /* a half that took so much gives its memory back */
	SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
};

static const char magic[8] = "JtnCarr1";

/* What the memfd begins with. */
struct head {
	char magic[8];
	uint64_t generation[2]; /* of each half; 0: it is empty. The higher one is the newer */
};

enum note_kind { NOTE_USE = 1, NOTE_FETCH = 2, NOTE_DENIAL = 3 };

/* A note in clear; its texts follow it. */
struct note {
	uint64_t at_us;
	uint64_t id; /* of a use or denial */
	uint16_t name_n, by_n;
	uint8_t kind;
	uint8_t has_by;
	uint8_t zero[2];
};

_Static_assert(sizeof(struct note) + 2 * CARRIED_TEXT_MAX <= CARRIED_NOTE_MAX, "room for a note");

struct carried {
	struct store *store;
	uint8_t *map; /* SIZE bytes */
	unsigned now; /* the half that is written to */
	size_t used[2];
	uint64_t generation; /* the highest so far */
};

/* ---- the memfd ------------------------------------------------------------------------------- */

static struct head *head_of(const struct carried *c)
{
	return (struct head *)(void *)c->map;
}

static uint8_t *half_at(const struct carried *c, unsigned half)
{
	return c->map + HEAD + half * (size_t)CARRIED_HALF;
}

static int seal_memfd(int fd)
{
	ssize_t n = sizeof(magic);

	if (fchmod(fd, 0600) < 0 || ftruncate(fd, SIZE) < 0 ||
	    pwrite(fd, magic, sizeof(magic), 0) != n || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	return 0;
}

int carried_make(void)
{
	_cleanup_close_ int fd =
		memfd_create(NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	int r;

	/* Before Linux 6.3 there is no such flag. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	r = seal_memfd(fd);
	return r < 0 ? r : steal_fd(&fd);
}

/* What is mapped can't be cut short, so that no access to it fails. */
static int map_memfd(int fd, uint8_t **ret)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *p;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 || st.st_size != SIZE)
		return -EBADMSG;
	p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	(void)madvise(p, SIZE, MADV_DONTDUMP);
	*ret = p;
	return 0;
}

int carried_map(struct store *store, int fd, struct carried **ret)
{
	struct carried *c = calloc(1, sizeof(*c));
	int r = c ? map_memfd(fd, &c->map) : -ENOMEM;

	if (r == 0 && memcmp(head_of(c)->magic, magic, sizeof(magic)) != 0)
		r = -EBADMSG;
	if (r < 0) {
		carried_close(c);
		return r;
	}
	c->store = store;
	*ret = c;
	return 0;
}

/* The generation is stored in one piece: a half is as it was, or empty. */
static void begin_half(struct carried *c, unsigned half, uint64_t generation)
{
	__atomic_store_n(&head_of(c)->generation[half], generation, __ATOMIC_SEQ_CST);
	if (c->used[half] >= GIVE_BACK)
		(void)madvise(half_at(c, half), CARRIED_HALF, MADV_REMOVE);
	c->used[half] = 0;
}

int carried_open(struct store *store, struct carried **ret)
{
	_cleanup_close_ int passed = -1, made = -1;
	int r;

	*ret = NULL;
	if (!fdstore_is_there())
		return 0;
	passed = fdstore_take(NAME);
	if (passed >= 0 && carried_map(store, passed, ret) == 0)
		return 0;
	made = carried_make();
	r = made < 0 ? made : carried_map(store, made, ret);
	if (r < 0)
		return r;
	/* One that is there is of no use to anybody. */
	fdstore_remove(NAME);
	r = fdstore_put(NAME, made);
	if (r < 0)
		carried_close(STEAL_PTR(*ret));
	return r;
}

void carried_close(struct carried *c)
{
	if (c && c->map)
		munmap(c->map, SIZE);
	free(c);
}

/* ---- notes found ----------------------------------------------------------------------------- */

static void hand_over(const uint8_t *text, size_t n, const struct carried_fns *fns, void *userdata)
{
	const char *name = (const char *)text + sizeof(struct note);
	struct note note;
	struct span by;

	if (n < sizeof(note))
		return;
	memcpy(&note, text, sizeof(note));
	if (n - sizeof(note) != (size_t)note.name_n + note.by_n)
		return;
	by = note.has_by ? (struct span){ name + note.name_n, note.by_n } : SPAN_NONE;
	if (note.kind == NOTE_USE)
		fns->on_use(userdata, note.id, note.at_us, by);
	else if (note.kind == NOTE_FETCH)
		fns->on_fetch(userdata, (struct span){ name, note.name_n }, note.at_us, by);
	else if (note.kind == NOTE_DENIAL)
		fns->on_denial(userdata, note.id);
}

static uint16_t length_at(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

/* Up to the first that does not open: there the next one goes. */
static void replay_half(struct carried *c, unsigned half, uint8_t *scratch,
			const struct carried_fns *fns, void *userdata)
{
	uint64_t generation = head_of(c)->generation[half];
	const uint8_t *p = half_at(c, half);
	size_t at = 0;

	while (generation > 0 && CARRIED_HALF - at > 2) {
		size_t n = length_at(p + at);

		if (n <= STORE_NOTE_OVERHEAD || n > CARRIED_NOTE_MAX + STORE_NOTE_OVERHEAD ||
		    n > CARRIED_HALF - at - 2 ||
		    store_open_note(c->store, generation, at, p + at + 2, n, scratch) < 0)
			break;
		hand_over(scratch, n - STORE_NOTE_OVERHEAD, fns, userdata);
		secret_wipe(scratch, n - STORE_NOTE_OVERHEAD);
		at += 2 + n;
	}
	c->used[half] = at;
}

void carried_replay(struct carried *c, uint8_t *scratch, const struct carried_fns *fns,
		    void *userdata)
{
	const uint64_t *generation;
	unsigned older;

	if (!c)
		return;
	generation = head_of(c)->generation;
	older = generation[0] > generation[1];
	replay_half(c, older, scratch, fns, userdata);
	replay_half(c, !older, scratch, fns, userdata);
	c->now = !older;
	c->generation = generation[c->now];
	if (c->generation == 0)
		begin_half(c, c->now, ++c->generation);
}

/* ---- notes made ------------------------------------------------------------------------------ */

static int write_note(struct carried *c, struct note *note, struct span name, struct span by)
{
	uint8_t text[CARRIED_NOTE_MAX], *p = half_at(c, c->now) + c->used[c->now];
	size_t n = sizeof(*note), sealed;

	if (by.n > CARRIED_TEXT_MAX)
		by = SPAN_NONE;
	note->name_n = (uint16_t)name.n;
	note->by_n = (uint16_t)by.n;
	note->has_by = by.p != NULL;
	memcpy(text, note, n);
	if (name.n > 0)
		memcpy(text + n, name.p, name.n);
	n += name.n;
	if (by.n > 0)
		memcpy(text + n, by.p, by.n);
	n += by.n;
	sealed = n + STORE_NOTE_OVERHEAD;
	if (CARRIED_HALF - c->used[c->now] < 2 + sealed)
		return -ENOSPC;
	store_seal_note(c->store, head_of(c)->generation[c->now], c->used[c->now], text, n, p + 2);
	p[0] = (uint8_t)sealed;
	p[1] = (uint8_t)(sealed >> 8);
	c->used[c->now] += 2 + sealed;
	return c->used[c->now] > CARRIED_HALF / 2 ? -EXFULL : 0;
}

int carried_use(struct carried *c, uint64_t id, uint64_t at_us, struct span by)
{
	struct note note = { .at_us = at_us, .id = id, .kind = NOTE_USE };

	return c ? write_note(c, &note, SPAN_NONE, by) : 0;
}

int carried_fetch(struct carried *c, struct span name, uint64_t at_us, struct span by)
{
	struct note note = { .at_us = at_us, .kind = NOTE_FETCH };

	assert(name.n <= CARRIED_TEXT_MAX);
	return c ? write_note(c, &note, name, by) : 0;
}

int carried_denial(struct carried *c, uint64_t id)
{
	struct note note = { .id = id, .kind = NOTE_DENIAL };

	return c ? write_note(c, &note, SPAN_NONE, SPAN_NONE) : -ENOTCONN;
}

void carried_turn(struct carried *c)
{
	/* Notes of before the last turn that the store could not keep stay where they are. */
	if (!c || c->used[!c->now] > 0)
		return;
	c->now = !c->now;
	begin_half(c, c->now, ++c->generation);
}

void carried_kept(struct carried *c)
{
	if (c)
		begin_half(c, !c->now, 0);
}

void carried_begin_anew(struct carried *c)
{
	if (!c)
		return;
	begin_half(c, !c->now, 0);
	begin_half(c, c->now, ++c->generation);
}
