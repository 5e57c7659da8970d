/*
 * agent/memory-vfs.c - SQLite on files of a memory-dir.h: reads, writes and sizes by descriptor.
 * There is one user of a database, so nothing is locked; nothing is synced either, for what a write
 * has brought into a memfd outlives the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/memory-dir.h"

enum { SECTOR = 4096 };

/* An open file, as SQLite has room for it. */
struct memory_file {
	sqlite3_file base; /* first */
	int fd;
};

struct memory_vfs {
	sqlite3_vfs base; /* first */
	char name[40];
};

static int fd_of(sqlite3_file *file)
{
	return ((struct memory_file *)file)->fd;
}

/* ---- a file ---------------------------------------------------------------------------------- */

static int close_file(sqlite3_file *file)
{
	close(fd_of(file));
	return SQLITE_OK;
}

static int read_file(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
	uint8_t *dst = p;
	size_t left = (size_t)n;

	while (left > 0) {
		ssize_t got = pread(fd_of(file), dst, left, at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return SQLITE_IOERR_READ;
		if (got == 0)
			break;
		dst += got;
		at += got;
		left -= (size_t)got;
	}
	if (left == 0)
		return SQLITE_OK;
	memset(dst, 0, left);
	return SQLITE_IOERR_SHORT_READ;
}

static int write_file(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
	const uint8_t *src = p;
	size_t left = (size_t)n;

	while (left > 0) {
		ssize_t done = pwrite(fd_of(file), src, left, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno == ENOSPC || errno == ENOMEM ? SQLITE_FULL
								  : SQLITE_IOERR_WRITE;
		src += done;
		at += done;
		left -= (size_t)done;
	}
	return SQLITE_OK;
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 n)
{
	return ftruncate(fd_of(file), n) < 0 ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

static int sync_file(sqlite3_file *file, int flags)
{
	(void)file;
	(void)flags;
	return SQLITE_OK;
}

static int size_of_file(sqlite3_file *file, sqlite3_int64 *ret)
{
	struct stat st;

	if (fstat(fd_of(file), &st) < 0)
		return SQLITE_IOERR_FSTAT;
	*ret = st.st_size;
	return SQLITE_OK;
}

static int lock_file(sqlite3_file *file, int level)
{
	(void)file;
	(void)level;
	return SQLITE_OK;
}

static int check_reserved(sqlite3_file *file, int *ret)
{
	(void)file;
	*ret = 0;
	return SQLITE_OK;
}

static int control_file(sqlite3_file *file, int what, void *p)
{
	(void)file;
	(void)what;
	(void)p;
	return SQLITE_NOTFOUND;
}

static int sector_size(sqlite3_file *file)
{
	(void)file;
	return SECTOR;
}

static int characteristics(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = close_file,
	.xRead = read_file,
	.xWrite = write_file,
	.xTruncate = truncate_file,
	.xSync = sync_file,
	.xFileSize = size_of_file,
	.xLock = lock_file,
	.xUnlock = lock_file,
	.xCheckReservedLock = check_reserved,
	.xFileControl = control_file,
	.xSectorSize = sector_size,
	.xDeviceCharacteristics = characteristics,
};

/* ---- the directory --------------------------------------------------------------------------- */

static struct memory_dir *dir_of(sqlite3_vfs *vfs)
{
	return vfs->pAppData;
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int open_or_make(struct memory_dir *d, const char *name, int flags)
{
	int fd = memory_dir_open_file(d, name, 0);

	if (fd == -ENOENT && flags & SQLITE_OPEN_CREATE)
		fd = memory_dir_open_file(d, name, O_CREAT);
	return fd;
}

static int open_path(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
		     int *ret_flags)
{
	struct memory_file *f = (struct memory_file *)file;
	/* Files that SQLite would name itself are kept in its own memory. */
	int fd = path ? open_or_make(dir_of(vfs), last_name(path), flags) : -ENOENT;

	*f = (struct memory_file){ .fd = fd };
	if (fd == -ENOMEM)
		return SQLITE_NOMEM;
	if (fd < 0)
		return SQLITE_CANTOPEN;
	f->base.pMethods = &methods;
	if (ret_flags)
		*ret_flags = flags;
	return SQLITE_OK;
}

static int delete_path(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
	(void)sync_dir;
	if (!memory_dir_is_there(dir_of(vfs), last_name(path)))
		return SQLITE_IOERR_DELETE_NOENT;
	return memory_dir_remove(dir_of(vfs), last_name(path)) < 0 ? SQLITE_IOERR_DELETE
								   : SQLITE_OK;
}

/* A log or journal with nothing in it is as good as none. */
static int is_there(sqlite3_vfs *vfs, const char *path, int flags, int *ret)
{
	(void)flags;
	*ret = memory_dir_size(dir_of(vfs), last_name(path)) > 0;
	return SQLITE_OK;
}

static int full_path(sqlite3_vfs *vfs, const char *path, int n, char *dst)
{
	(void)vfs;
	if (strlen(path) >= (size_t)n)
		return SQLITE_CANTOPEN;
	strcpy(dst, path);
	return SQLITE_OK;
}

const char *memory_dir_vfs(struct memory_dir *d)
{
	struct sqlite3_vfs **place = memory_dir_vfs_place(d);
	sqlite3_vfs *usual = *place ? NULL : sqlite3_vfs_find(NULL);
	struct memory_vfs *v;

	if (*place)
		return (*place)->zName;
	v = usual ? calloc(1, sizeof(*v)) : NULL;
	if (!v)
		return NULL;
	/* Clocks, sleep and random numbers are as they are elsewhere. */
	v->base = *usual;
	snprintf(v->name, sizeof(v->name), "memory-%p", (void *)d);
	v->base.szOsFile = sizeof(struct memory_file);
	v->base.pNext = NULL;
	v->base.zName = v->name;
	v->base.pAppData = d;
	v->base.xOpen = open_path;
	v->base.xDelete = delete_path;
	v->base.xAccess = is_there;
	v->base.xFullPathname = full_path;
	if (sqlite3_vfs_register(&v->base, 0) != SQLITE_OK) {
		free(v);
		return NULL;
	}
	*place = &v->base;
	return v->name;
}

void memory_vfs_free(struct sqlite3_vfs *vfs)
{
	if (!vfs)
		return;
	(void)sqlite3_vfs_unregister(vfs);
	free(vfs);
}
