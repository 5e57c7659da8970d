/*
 * tests/unit/store-disk.h - a disk that remembers what was done to it, in order, and can say what a
 * power cut at any moment might have left.
 *
 * Only what was synced is sure: of the rest any part may have reached the disk, in any order, down
 * to sectors of 512 bytes. What a failed sync was about may be lost although a later one succeeds.
 * Names are sure once their directory is synced; of those changed since, the first ones may have
 * been, in order. The disk is a box's directory and, beside it, that of its anchor, DIR-anchor. The
 * definitions here take the place of libc's for the whole program, SQLite included.
 */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/store-box.h"

enum disk_op_kind {
	DISK_WRITE,
	DISK_TRUNCATE,
	DISK_SYNC,
	DISK_CREATE,
	DISK_RENAME,
	DISK_LINK,
	DISK_REMOVE,
	DISK_SYNC_DIR
};

struct disk_op {
	enum disk_op_kind kind;
	bool failed;	/* of a sync */
	bool of_anchor; /* the names of its directory */
	size_t file;	/* of the first three, and created */
	off_t at;	/* or the new length */
	size_t n;
	uint8_t *p;
	size_t synced_at; /* by which operation, successfully or not; SIZE_MAX: by none */
	char name[32], to[32];
};

enum { DISK_OPS = 20000, DISK_FILES = 64 };

/* All names that there may be, in either directory. */
static const char *const disk_names[] = {
	"store.db",	    "store.db-wal", "store.db-journal", "store.db-shm",	  "store.db.new",
	"store.db.new-wal", "store.db.1",   "master.key",	"master.key.new", "master.key.next",
	"locked",	    "locked.new",   "locked.old",	"anchor",	  "anchor.new",
};

struct disk_file {
	ino_t ino; /* 0: gone; the number may be another's by now */
	struct bytes base;
	char name[32]; /* at first; "" where it was made later */
};

static struct disk {
	bool on;
	bool lies; /* for a control: no sync brings anything to it */
	char dir[64];
	unsigned fail_sync_at; /* the how many-th sync of a file fails */
	unsigned n_syncs;
	pthread_mutex_t mutex;
	size_t n_ops, n_files;
	struct disk_op ops[DISK_OPS];
	struct disk_file files[DISK_FILES];
} disk = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/*
 * ---- remembering --------------------------------------------------------------------------------
 */

static struct disk_op *disk_note(enum disk_op_kind kind, size_t file)
{
	struct disk_op *op = &disk.ops[disk.n_ops++];

	UNIT_CHECK(disk.n_ops < DISK_OPS, "too many operations");
	memset(op, 0, sizeof(*op));
	op->kind = kind;
	op->file = file;
	return op;
}

static void disk_name(char dst[static 32], const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	UNIT_CHECK(strlen(name) < 32, "a file %s", name);
	strcpy(dst, name);
}

static void disk_note_name(struct disk_op *op, const char *path)
{
	disk_name(op->name, path);
	op->of_anchor = box_is_anchors(op->name);
}

/* The file of this inode; one that was not seen before has just been made. */
static size_t disk_file_of(const struct stat *st, const char *path)
{
	size_t i = 0;

	while (i < disk.n_files && disk.files[i].ino != st->st_ino)
		i++;
	if (i < disk.n_files)
		return i;
	UNIT_CHECK(disk.n_files < DISK_FILES, "too many files");
	disk.files[disk.n_files++] = (struct disk_file){ .ino = st->st_ino };
	disk_note_name(disk_note(DISK_CREATE, i), path);
	return i;
}

static void disk_removed(const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s/%s", disk.dir, box_is_anchors(name) ? "-anchor" : "",
		 name);
	if (stat(path, &st) < 0 || st.st_nlink > 1)
		return;
	for (size_t i = 0; i < disk.n_files; i++)
		if (disk.files[i].ino == st.st_ino)
			disk.files[i].ino = 0;
}

static struct bytes disk_read(const char *path)
{
	struct bytes f = { NULL, 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	UNIT_CHECK(fd >= 0 && fstat(fd, &st) == 0, "can't read %s", path);
	f.n = (size_t)st.st_size;
	f.p = malloc(f.n + 1);
	UNIT_CHECK(f.p && fd_read_all(fd, f.p, f.n) == (ssize_t)f.n, "can't read %s", path);
	close(fd);
	return f;
}

/* From now on. What is there now is on the disk. */
static inline void disk_start(const struct box *b)
{
	disk.n_ops = disk.n_files = 0;
	disk.n_syncs = disk.fail_sync_at = 0;
	snprintf(disk.dir, sizeof(disk.dir), "%s", b->dir);
	for (size_t i = 0; i < ARRAY_SIZE(disk_names); i++) {
		struct disk_file *f = &disk.files[disk.n_files];
		char path[128];
		struct stat st;

		box_path(b, disk_names[i], path);
		if (stat(path, &st) < 0)
			continue;
		*f = (struct disk_file){ .ino = st.st_ino, .base = disk_read(path) };
		disk_name(f->name, path);
		disk.n_files++;
	}
	disk.on = true;
}

/* Enough was remembered. Notes of each operation which sync was the first after it. */
static inline void disk_stop(void)
{
	size_t next[DISK_FILES];

	disk.on = false;
	for (size_t i = 0; i < DISK_FILES; i++)
		next[i] = SIZE_MAX;
	for (size_t i = disk.n_ops; i-- > 0;) {
		disk.ops[i].synced_at = next[disk.ops[i].file];
		if (disk.ops[i].kind == DISK_SYNC)
			next[disk.ops[i].file] = i;
	}
}

static inline void disk_done(void)
{
	for (size_t i = 0; i < disk.n_files; i++)
		free(disk.files[i].base.p);
	for (size_t i = 0; i < disk.n_ops; i++)
		free(disk.ops[i].p);
	disk.n_ops = disk.n_files = 0;
}

static inline size_t disk_now(void)
{
	size_t n;

	pthread_mutex_lock(&disk.mutex);
	n = disk.n_ops;
	pthread_mutex_unlock(&disk.mutex);
	return n;
}

/* Whether the descriptor is of the disk; its path, then. */
static bool disk_has(int fd, struct stat *st, char path[static 128])
{
	char link[32];
	ssize_t n;

	if (!disk.on || fstat(fd, st) < 0)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, 127);
	path[n > 0 ? n : 0] = '\0';
	return strncmp(path, disk.dir, strlen(disk.dir)) == 0;
}

static ssize_t disk_write(int fd, const void *buf, size_t n, off_t at)
{
	struct stat st;
	char path[128];
	ssize_t r;

	pthread_mutex_lock(&disk.mutex);
	r = syscall(SYS_pwrite64, fd, buf, n, at);
	if (r > 0 && disk_has(fd, &st, path) && S_ISREG(st.st_mode)) {
		size_t file = disk_file_of(&st, path);
		struct disk_op *op = disk_note(DISK_WRITE, file);

		op->at = at;
		op->n = (size_t)r;
		op->p = memcpy(malloc(op->n), buf, op->n);
	}
	pthread_mutex_unlock(&disk.mutex);
	return r;
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off_t at)
{
	return disk_write(fd, buf, n, at);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
	return disk_write(fd, buf, n, at);
}

ssize_t write(int fd, const void *buf, size_t n)
{
	struct stat st;
	off_t at;
	ssize_t r;

	if (!disk.on || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return syscall(SYS_write, fd, buf, n);
	at = lseek(fd, 0, SEEK_CUR);
	r = disk_write(fd, buf, n, at);
	if (r > 0)
		(void)lseek(fd, at + r, SEEK_SET);
	return r;
}

int ftruncate64(int fd, off_t n)
{
	struct stat st;
	char path[128];
	int r;

	pthread_mutex_lock(&disk.mutex);
	r = (int)syscall(SYS_ftruncate, fd, n);
	if (r == 0 && disk_has(fd, &st, path)) {
		size_t file = disk_file_of(&st, path);

		disk_note(DISK_TRUNCATE, file)->at = n;
	}
	pthread_mutex_unlock(&disk.mutex);
	return r;
}

static int disk_sync(int fd)
{
	struct stat st;
	char path[128];
	bool failed = false;

	pthread_mutex_lock(&disk.mutex);
	if (disk_has(fd, &st, path)) {
		if (S_ISDIR(st.st_mode)) {
			disk_note(DISK_SYNC_DIR, 0)->of_anchor =
				strcmp(path + strlen(disk.dir), "-anchor") == 0;
		} else {
			size_t file = disk_file_of(&st, path);

			failed = ++disk.n_syncs == disk.fail_sync_at;
			disk_note(DISK_SYNC, file)->failed = failed;
		}
	}
	pthread_mutex_unlock(&disk.mutex);
	errno = EIO;
	return failed ? -1 : 0;
}

int fsync(int fd)
{
	return disk_sync(fd);
}

int fdatasync(int fd)
{
	return disk_sync(fd);
}

int renameat2(int old_dir, const char *old, int new_dir, const char *new, unsigned flags)
{
	int r;

	pthread_mutex_lock(&disk.mutex);
	if (disk.on && !(flags & RENAME_NOREPLACE))
		disk_removed(new);
	r = (int)syscall(SYS_renameat2, old_dir, old, new_dir, new, flags);
	if (r == 0 && disk.on) {
		struct disk_op *op = disk_note(DISK_RENAME, 0);

		disk_note_name(op, old);
		disk_name(op->to, new);
	}
	pthread_mutex_unlock(&disk.mutex);
	return r;
}

int renameat(int old_dir, const char *old, int new_dir, const char *new)
{
	return renameat2(old_dir, old, new_dir, new, 0);
}

int linkat(int old_dir, const char *old, int new_dir, const char *new, int flags)
{
	int r;

	pthread_mutex_lock(&disk.mutex);
	r = (int)syscall(SYS_linkat, old_dir, old, new_dir, new, flags);
	if (r == 0 && disk.on) {
		struct disk_op *op = disk_note(DISK_LINK, 0);

		disk_note_name(op, old);
		disk_name(op->to, new);
	}
	pthread_mutex_unlock(&disk.mutex);
	return r;
}

static int disk_remove(long number, long a, long b, long c, const char *path)
{
	char name[32];
	int r;

	disk_name(name, path);
	pthread_mutex_lock(&disk.mutex);
	if (disk.on)
		disk_removed(name);
	r = (int)syscall(number, a, b, c);
	if (r == 0 && disk.on)
		disk_note_name(disk_note(DISK_REMOVE, 0), name);
	pthread_mutex_unlock(&disk.mutex);
	return r;
}

int unlinkat(int dir, const char *name, int flags)
{
	return disk_remove(SYS_unlinkat, dir, (long)name, flags, name);
}

int unlink(const char *name)
{
	return disk_remove(SYS_unlink, (long)name, 0, 0, name);
}

/* ---- what a power cut leaves ----------------------------------------------------------------- */

/* Which of the operations that were not synced are on the disk. */
enum disk_loss {
	LOSE_ALL,
	LOSE_NONE,
	LOSE_SOME,     /* of the operations */
	LOSE_SECTORS,  /* of the writes */
	LOSE_TO_ZEROS, /* files have grown, and what was to stand there is zeros */
	LOSE_LAST,
	N_LOSSES
};

struct power_cut {
	size_t at; /* operations before it were done */
	enum disk_loss loss;
	uint64_t random;
	size_t kept; /* LOSE_LAST: those before this one */
};

/* Whether a sync before the cut has made this operation sure. */
static bool disk_is_sure(const struct power_cut *cut, size_t i)
{
	size_t synced_at = disk.ops[i].synced_at;

	return !disk.lies && synced_at < cut->at && !disk.ops[synced_at].failed;
}

static bool disk_keeps(struct power_cut *cut, size_t i)
{
	switch (cut->loss) {
	case LOSE_ALL:
	case N_LOSSES:
		return false;
	case LOSE_NONE:
	case LOSE_TO_ZEROS:
		return true;
	case LOSE_SOME:
	case LOSE_SECTORS:
		return unit_random(&cut->random) % 2;
	case LOSE_LAST:
		return i < cut->kept;
	}
	return false;
}

/* What is allocated for so many bytes. */
static size_t disk_room(size_t n)
{
	size_t room = 4096;

	while (room < n)
		room *= 2;
	return room;
}

static void disk_put(struct bytes *f, off_t at, const uint8_t *p, size_t n)
{
	size_t end = (size_t)at + n;

	if (end > f->n) {
		if (disk_room(end) > disk_room(f->n))
			f->p = realloc(f->p, disk_room(end));
		memset(f->p + f->n, 0, end - f->n);
		f->n = end;
	}
	if (n > 0)
		memcpy(f->p + at, p, n);
}

static void disk_apply_write(struct power_cut *cut, struct bytes *f, const struct disk_op *op,
			     bool sure)
{
	if (!sure && cut->loss == LOSE_TO_ZEROS && unit_random(&cut->random) % 2) {
		if ((size_t)op->at + op->n > f->n)
			disk_put(f, op->at + (off_t)op->n, NULL, 0);
		return;
	}
	if (sure || cut->loss != LOSE_SECTORS) {
		disk_put(f, op->at, op->p, op->n);
		return;
	}
	for (size_t done = 0, n; done < op->n; done += n) {
		n = 512 - (size_t)(op->at + (off_t)done) % 512;
		if (n > op->n - done)
			n = op->n - done;
		if (unit_random(&cut->random) % 2)
			disk_put(f, op->at + (off_t)done, op->p + done, n);
	}
}

static struct bytes disk_content(struct power_cut *cut, size_t file)
{
	const struct bytes *base = &disk.files[file].base;
	struct bytes f = { malloc(disk_room(base->n)), base->n };

	if (base->n > 0)
		memcpy(f.p, base->p, base->n);
	for (size_t i = 0; i < cut->at; i++) {
		const struct disk_op *op = &disk.ops[i];
		bool sure;

		if ((op->kind != DISK_WRITE && op->kind != DISK_TRUNCATE) || op->file != file)
			continue;
		sure = disk_is_sure(cut, i);
		if (!sure && !disk_keeps(cut, i))
			continue;
		if (op->kind == DISK_WRITE)
			disk_apply_write(cut, &f, op, sure);
		else if ((size_t)op->at < f.n)
			f.n = (size_t)op->at;
		else
			disk_put(&f, op->at, NULL, 0);
	}
	return f;
}

/* Names of the directories: which file each is, or none (DISK_FILES). */
struct disk_listing {
	size_t of[ARRAY_SIZE(disk_names)];
};

static size_t *disk_entry(struct disk_listing *list, const char *name)
{
	size_t i = 0;

	while (strcmp(disk_names[i], name) != 0)
		UNIT_CHECK(++i < ARRAY_SIZE(disk_names), "a file %s", name);
	return &list->of[i];
}

static void disk_apply_name(struct disk_listing *list, const struct disk_op *op)
{
	if (op->kind == DISK_CREATE) {
		*disk_entry(list, op->name) = op->file;
	} else if (op->kind == DISK_REMOVE) {
		*disk_entry(list, op->name) = DISK_FILES;
	} else if (op->kind == DISK_LINK) {
		*disk_entry(list, op->to) = *disk_entry(list, op->name);
	} else if (op->kind == DISK_RENAME) {
		*disk_entry(list, op->to) = *disk_entry(list, op->name);
		*disk_entry(list, op->name) = DISK_FILES;
	}
}

/* Of either directory by itself: they may be on two disks. */
static void disk_list(struct power_cut *cut, bool of_anchor, struct disk_listing *list)
{
	size_t n_sure = 0, n;

	for (size_t i = 0; i < cut->at; i++)
		if (disk.ops[i].kind == DISK_SYNC_DIR && disk.ops[i].of_anchor == of_anchor)
			n_sure = i;
	n = cut->loss == LOSE_ALL ? n_sure : cut->at;
	if (cut->loss >= LOSE_SOME)
		n = n_sure + unit_random(&cut->random) % (cut->at - n_sure + 1);
	for (size_t i = 0; i < n; i++)
		if (disk.ops[i].of_anchor == of_anchor)
			disk_apply_name(list, &disk.ops[i]);
}

static struct disk_listing disk_names_at(struct power_cut *cut)
{
	struct disk_listing list;

	for (size_t i = 0; i < ARRAY_SIZE(list.of); i++)
		list.of[i] = DISK_FILES;
	for (size_t i = 0; i < disk.n_files; i++)
		if (disk.files[i].name[0])
			*disk_entry(&list, disk.files[i].name) = i;
	disk_list(cut, false, &list);
	disk_list(cut, true, &list);
	return list;
}

/* FNV-1a, by words. */
static uint64_t disk_hash(uint64_t hash, const uint8_t *p, size_t n)
{
	uint64_t word = n;

	for (size_t i = 0; i < n; i += sizeof(word)) {
		hash = (hash ^ word) * UINT64_C(0x100000001b3);
		hash ^= hash >> 29;
		memcpy(&word, p + i, n - i < sizeof(word) ? n - i : sizeof(word));
	}
	return (hash ^ word) * UINT64_C(0x100000001b3);
}

/* What a power cut leaves. p NULL: no such file. */
struct disk_left {
	struct bytes files[ARRAY_SIZE(disk_names)];
	uint64_t hash;
};

static inline struct disk_left disk_cut(struct power_cut cut)
{
	struct disk_listing list = disk_names_at(&cut);
	struct disk_left left = { .hash = 1 };

	cut.kept = cut.at > 0 ? unit_random(&cut.random) % cut.at : 0;
	for (size_t i = 0; i < ARRAY_SIZE(disk_names); i++) {
		left.files[i] = (struct bytes){ NULL, 0 };
		if (list.of[i] < DISK_FILES)
			left.files[i] = disk_content(&cut, list.of[i]);
		left.hash = disk_hash(left.hash ^ i, left.files[i].p, left.files[i].n);
	}
	return left;
}

static inline void disk_left_done(struct disk_left *left)
{
	for (size_t i = 0; i < ARRAY_SIZE(disk_names); i++)
		free(left->files[i].p);
}

/* Pages of zeros are left out: most of a store's file is room to grow. */
static void disk_write_file(const char *path, struct bytes f)
{
	static const uint8_t zeros[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	UNIT_CHECK(fd >= 0, "can't make %s", path);
	for (size_t at = 0, n; at < f.n; at += n) {
		n = f.n - at < sizeof(zeros) ? f.n - at : sizeof(zeros);
		if (memcmp(f.p + at, zeros, n) != 0)
			UNIT_CHECK(syscall(SYS_pwrite64, fd, f.p + at, n, at) == (ssize_t)n,
				   "can't write %s", path);
	}
	UNIT_CHECK(syscall(SYS_ftruncate, fd, f.n) == 0, "can't write %s", path);
	close(fd);
}

/* Makes the box's directory, and its anchor's, what the power cut has left. */
static inline void disk_put_left(const struct box *b, const struct disk_left *left)
{
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(disk_names); i++) {
		box_path(b, disk_names[i], path);
		if (left->files[i].p)
			disk_write_file(path, left->files[i]);
		else
			(void)syscall(SYS_unlink, path);
	}
}

/* Removes both directories; the box may be made anew. */
static inline void disk_box_done(struct box *b)
{
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(disk_names); i++) {
		box_path(b, disk_names[i], path);
		(void)unlink(path);
	}
	snprintf(path, sizeof(path), "%s-anchor", b->dir);
	(void)rmdir(path);
	box_done(b);
	b->dir[0] = '\0';
}
