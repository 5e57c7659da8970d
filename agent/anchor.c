/*
 * agent/anchor.c - see anchor.h. A file of two places, written in turn and synced, so that a write
 * which a power cut tears leaves the mark before it; one that has failed to be written or synced is
 * not written to again, a new file takes its place. docs/store-format.md has the bytes.
 *
 * Invariant: `mark` is on the disk, where is_there.
 */
#include "agent/anchor.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "protocol/base/fd.h"
#include "protocol/base/time.h"

enum {
	FORMAT = 1,
	MARK_LEN = 64,
	SUM_AT = 48,
	PLACE = 4096, /* two of them share no sector */
	FILE_LEN = PLACE + MARK_LEN,
};

static const uint8_t magic[8] = { 'J', 'e', 't', 'n', 'A', 'n', 'c', 'h' };

struct mark {
	uint8_t id[SEAL_ID_LEN];
	uint64_t commits;
	uint64_t at_us; /* for people */
};

struct anchor {
	struct state_dir dir;
	int fd; /* -1: the next mark is a new file */
	bool is_there;
	unsigned place; /* of the mark */
	struct mark mark;
};

/* ---- bytes ----------------------------------------------------------------------------------- */

static void put_le64(uint8_t *dst, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		dst[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_le64(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static void sum_up(const uint8_t *data, uint8_t ret[static MARK_LEN - SUM_AT])
{
	crypto_generichash(ret, MARK_LEN - SUM_AT, data, SUM_AT, NULL, 0);
}

static void mark_write(const struct mark *m, uint8_t dst[static MARK_LEN])
{
	memset(dst, 0, MARK_LEN);
	memcpy(dst, magic, sizeof(magic));
	dst[8] = FORMAT;
	memcpy(dst + 16, m->id, sizeof(m->id));
	put_le64(dst + 32, m->commits);
	put_le64(dst + 40, m->at_us);
	sum_up(dst, dst + SUM_AT);
}

/* 0; -EBADMSG: it is none; -EPROTONOSUPPORT: of a newer Jeton. */
static int mark_read(const uint8_t data[static MARK_LEN], struct mark *ret)
{
	static const uint8_t zeros[7];
	uint8_t sum[MARK_LEN - SUM_AT];

	sum_up(data, sum);
	if (memcmp(data, magic, sizeof(magic)) != 0 || memcmp(data + SUM_AT, sum, sizeof(sum)) != 0)
		return -EBADMSG;
	if (data[8] != FORMAT)
		return data[8] > FORMAT ? -EPROTONOSUPPORT : -EBADMSG;
	if (memcmp(data + 9, zeros, sizeof(zeros)) != 0)
		return -EBADMSG;
	memcpy(ret->id, data + 16, sizeof(ret->id));
	ret->commits = get_le64(data + 32);
	ret->at_us = get_le64(data + 40);
	return 0;
}

/* The higher of the two. A new file has one, and a torn write leaves one. */
static int take_marks(struct anchor *a, const uint8_t *data, size_t n)
{
	int r = -EBADMSG;

	for (unsigned i = 0; i < 2; i++) {
		struct mark m;
		int one = n < (size_t)i * PLACE + MARK_LEN ? -EBADMSG
							   : mark_read(data + (size_t)i * PLACE, &m);

		if (one == -EPROTONOSUPPORT)
			return one;
		if (one < 0 || (a->is_there && m.commits <= a->mark.commits))
			continue;
		a->mark = m;
		a->place = i;
		a->is_there = true;
		r = 0;
	}
	return r;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int judge(const struct anchor *a, const struct stat *st, struct store_error *e)
{
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return store_fail(e, -EPERM, "%s/" ANCHOR_FILE " belongs to uid %u: \"chown %u\" it",
				  a->dir.path, st->st_uid, geteuid());
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return store_fail(e, -EPERM,
				  "%s/" ANCHOR_FILE " can be written to by others (mode %04o): "
				  "\"chmod 0600\" it",
				  a->dir.path, st->st_mode & 07777);
	return 0;
}

static int refuse(const struct anchor *a, int r, struct store_error *e)
{
	if (r == -EPROTONOSUPPORT)
		return store_fail(e, r,
				  "%s/" ANCHOR_FILE " was written by a newer Jeton: install that one "
				  "again, or remove the file",
				  a->dir.path);
	if (r == -ELOOP || r == -EMEDIUMTYPE || r == -EBADMSG)
		return store_fail(e, -EBADMSG,
				  "%s/" ANCHOR_FILE " is %s, so it can't tell whether the store is an "
				  "old copy: see that it is not, and remove that file",
				  a->dir.path, r == -EBADMSG ? "damaged" : "no plain file");
	return store_fail(e, r, "can't read %s/" ANCHOR_FILE ": %s", a->dir.path, strerror(-r));
}

/* What can be read but not written to, or has a second name, is left alone by later marks. */
static int open_file(struct anchor *a)
{
	int fd = state_dir_open_file(&a->dir, ANCHOR_FILE, O_RDWR);

	return fd == -EACCES || fd == -EROFS || fd == -EPERM
		       ? state_dir_open_file(&a->dir, ANCHOR_FILE, O_RDONLY)
		       : fd;
}

static bool may_be_written(int fd, const struct stat *st)
{
	return st->st_nlink == 1 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
}

static int read_file(struct anchor *a, struct store_error *e)
{
	_cleanup_close_ int fd = open_file(a);
	uint8_t data[FILE_LEN];
	struct stat st;
	ssize_t n;
	int r;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return refuse(a, fd, e);
	if (fstat(fd, &st) < 0)
		return refuse(a, -errno, e);
	r = judge(a, &st, e);
	if (r < 0)
		return r;
	n = fd_read_all(fd, data, sizeof(data));
	r = n < 0 ? (int)n : take_marks(a, data, (size_t)n);
	if (r < 0)
		return refuse(a, r, e);
	if (may_be_written(fd, &st))
		a->fd = steal_fd(&fd);
	return 0;
}

static int lock_apart(struct anchor *a, const struct state_dir *state, struct store_error *e)
{
	struct stat st, other;

	if (fstat(a->dir.fd, &st) < 0 || fstat(state->fd, &other) < 0)
		return store_fail(e, -errno, "can't look at %s: %s", a->dir.path, strerror(errno));
	if (st.st_dev == other.st_dev && st.st_ino == other.st_ino)
		return store_fail(e, -EINVAL,
				  "%s can't be the anchor's directory, since it is the store's: give "
				  "another one (--anchor)",
				  a->dir.path);
	if (flock(a->dir.fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return store_fail(e, -EWOULDBLOCK,
				  "another agent has its anchor in %s: stop it, or give this one a "
				  "directory of its own (--anchor)",
				  a->dir.path);
	return store_fail(e, -errno, "can't lock %s: %s", a->dir.path, strerror(errno));
}

int anchor_open(const char *path, const struct state_dir *state, struct anchor **ret,
		struct store_error *e)
{
	struct anchor *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return store_fail(e, -ENOMEM, "no memory");
	a->fd = -1;
	a->dir = STATE_DIR_NONE;
	r = state_dir_open(path, &a->dir, e);
	if (r == 0)
		r = lock_apart(a, state, e);
	if (r == 0)
		r = read_file(a, e);
	if (r < 0) {
		anchor_close(a);
		return r;
	}
	*ret = a;
	return 0;
}

void anchor_close(struct anchor *a)
{
	if (!a)
		return;
	if (a->fd >= 0)
		close(a->fd);
	state_dir_close(&a->dir);
	free(a);
}

/* ---- judging --------------------------------------------------------------------------------- */

bool anchor_is_there(const struct anchor *a)
{
	return a->is_there;
}

static bool is_of(const struct anchor *a, const uint8_t id[static SEAL_ID_LEN])
{
	return a->is_there && memcmp(a->mark.id, id, SEAL_ID_LEN) == 0;
}

int anchor_judge(const struct anchor *a, const struct state_dir *state,
		 const uint8_t id[static SEAL_ID_LEN], uint64_t commits, struct store_error *e)
{
	char when[64];

	if (!a->is_there || (is_of(a, id) && commits >= a->mark.commits))
		return 0;
	if (!is_of(a, id))
		return store_fail(e, -ESTALE,
				  "the store in %s is another one than was there before: put that one "
				  "back; or, if this one is meant, remove %s/" ANCHOR_FILE
				  ", by which it is told",
				  state->path, a->dir.path);
	return store_fail(e, -ESTALE,
			  "the store in %s is an old copy, %llu changes behind what it was on %s: put "
			  "the newer one back; or, to go on without what was done since (revocations "
			  "too: see the journal), remove %s/" ANCHOR_FILE ", by which it is told",
			  state->path, (unsigned long long)(a->mark.commits - commits),
			  time_format_local(a->mark.at_us, when, sizeof(when)), a->dir.path);
}

bool anchor_is_behind(const struct anchor *a, uint64_t commits)
{
	return !a->is_there || a->mark.commits < commits;
}

/* ---- raising --------------------------------------------------------------------------------- */

static int write_in_place(struct anchor *a, const uint8_t *data)
{
	off_t at = (off_t)(1 - a->place) * PLACE;
	ssize_t n = pwrite(a->fd, data, MARK_LEN, at);

	if (n != MARK_LEN)
		return n < 0 ? -errno : -EIO;
	return fdatasync(a->fd) < 0 ? -errno : 0;
}

static int fill_new(const struct anchor *a, const uint8_t *data, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	uint8_t file[FILE_LEN] = { 0 };
	int r = state_dir_remove(&a->dir, ANCHOR_NEW_FILE);

	if (r < 0)
		return r;
	fd = state_dir_open_file(&a->dir, ANCHOR_NEW_FILE, O_RDWR | O_CREAT);
	if (fd < 0)
		return fd;
	memcpy(file, data, MARK_LEN);
	r = fd_write_all(fd, file, sizeof(file));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		*ret_fd = steal_fd(&fd);
	return r;
}

/* In the place of the one before, also where that one is another store's. */
static int write_new(struct anchor *a, const uint8_t *data)
{
	_cleanup_close_ int fd = -1;
	int r = fill_new(a, data, &fd);

	if (r == 0)
		r = state_dir_rename(&a->dir, ANCHOR_NEW_FILE, ANCHOR_FILE);
	if (r == 0)
		r = state_dir_sync(&a->dir);
	if (r < 0) {
		(void)state_dir_remove(&a->dir, ANCHOR_NEW_FILE);
		return r;
	}
	a->fd = steal_fd(&fd);
	return 0;
}

int anchor_raise(struct anchor *a, const uint8_t id[static SEAL_ID_LEN], uint64_t commits)
{
	struct mark m = { .commits = commits, .at_us = time_now_us() };
	uint8_t data[MARK_LEN];
	bool in_place = a->fd >= 0 && is_of(a, id);
	int r;

	if (is_of(a, id) && commits <= a->mark.commits)
		return 0;
	memcpy(m.id, id, sizeof(m.id));
	mark_write(&m, data);
	if (!in_place && a->fd >= 0) {
		close(a->fd);
		a->fd = -1;
	}
	r = in_place ? write_in_place(a, data) : write_new(a, data);
	if (r < 0 && a->fd >= 0) {
		close(a->fd);
		a->fd = -1;
	}
	if (r < 0)
		return r;
	a->place = in_place ? 1 - a->place : 0;
	a->mark = m;
	a->is_there = true;
	return 0;
}
