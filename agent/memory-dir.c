/*
 * agent/memory-dir.c - see memory-dir.h. The names stand in a memfd of their own, so that a file
 * can be renamed in one step, which the names under which systemd holds descriptors do not allow.
 *
 * Invariant: of the two lists in that memfd the whole one with the higher number counts, and the
 * service manager has been given every file that is in it. So a new file is given away before it is
 * listed, and one that goes is dropped after the list no longer has it; what the agent's end leaves
 * in between is dropped by the next start.
 */
#include "agent/memory-dir.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/fdstore.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define LIST_NAME FDSTORE_PREFIX "names"
#define FILE_NAME FDSTORE_PREFIX "file-"

/* As it stands in the memfd, twice, a page apart. */
struct list {
	char magic[8];
	uint64_t number; /* of this state of the list: grows */
	uint64_t last;	 /* the highest number that a file was given */
	struct {
		char name[MEMORY_NAME_MAX]; /* "": none */
		uint64_t number;
	} files[MEMORY_FILES];
	uint8_t hash[16]; /* of all before it */
};

enum { LIST_APART = 4096 };

_Static_assert(sizeof(struct list) <= LIST_APART, "a page");

static const char magic[8] = "JtnDir1";

struct memory_dir {
	pthread_mutex_t mutex;
	bool is_kept;
	int list_fd;
	struct list list;
	int fds[MEMORY_FILES]; /* of the files in the list; -1 */
	struct sqlite3_vfs *vfs;
};

/* ---- the list -------------------------------------------------------------------------------- */

static void hash_list(const struct list *l, uint8_t ret[static 16])
{
	crypto_generichash(ret, 16, (const uint8_t *)l, offsetof(struct list, hash), NULL, 0);
}

static bool read_list(int fd, int which, struct list *ret)
{
	uint8_t hash[16];

	if (pread(fd, ret, sizeof(*ret), (off_t)which * LIST_APART) != sizeof(*ret) ||
	    memcmp(ret->magic, magic, sizeof(magic)) != 0)
		return false;
	hash_list(ret, hash);
	return memcmp(hash, ret->hash, sizeof(hash)) == 0;
}

/* Over the older of the two, so that the other one is there whenever this ends halfway. */
static int write_list(struct memory_dir *d, struct list *l)
{
	memcpy(l->magic, magic, sizeof(magic));
	l->number = d->list.number + 1;
	hash_list(l, l->hash);
	if (pwrite(d->list_fd, l, sizeof(*l), (off_t)(l->number % 2) * LIST_APART) != sizeof(*l))
		return errno ? -errno : -ENOSPC;
	d->list = *l;
	return 0;
}

static void name_of(uint64_t number, char dst[static FDSTORE_NAME_MAX])
{
	snprintf(dst, FDSTORE_NAME_MAX, FILE_NAME "%llu", (unsigned long long)number);
}

static int find(const struct memory_dir *d, const char *name)
{
	for (int i = 0; i < MEMORY_FILES; i++)
		if (strcmp(d->list.files[i].name, name) == 0)
			return i;
	return -ENOENT;
}

/* ---- memfds ---------------------------------------------------------------------------------- */

static int make_memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	/* Before Linux 6.3 there is no such flag. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

static int give_away(const struct memory_dir *d, const char *name, int fd)
{
	return d->is_kept ? fdstore_put(name, fd) : 0;
}

static void drop(const struct memory_dir *d, uint64_t number)
{
	char name[FDSTORE_NAME_MAX];

	name_of(number, name);
	if (d->is_kept)
		fdstore_remove(name);
}

/* ---- from start to end ----------------------------------------------------------------------- */

/* A file that was passed: one of the list's, or left over. */
static int take_file(void *userdata, const char *name, int fd)
{
	struct memory_dir *d = userdata;
	char listed[FDSTORE_NAME_MAX];

	if (strncmp(name, FILE_NAME, strlen(FILE_NAME)) != 0)
		return 0;
	for (int i = 0; i < MEMORY_FILES; i++) {
		name_of(d->list.files[i].number, listed);
		if (!d->list.files[i].name[0] || d->fds[i] >= 0 || strcmp(listed, name) != 0)
			continue;
		d->fds[i] = fd;
		return 0;
	}
	close(fd);
	fdstore_remove(name);
	return 0;
}

static int check_files(const struct memory_dir *d, struct memory_dir_error *e)
{
	for (int i = 0; i < MEMORY_FILES; i++) {
		if (!d->list.files[i].name[0] || d->fds[i] >= 0)
			continue;
		snprintf(e->text, sizeof(e->text),
			 "of what Storage=volatile keeps in memory, the service manager has lost "
			 "%s: "
			 "raise FileDescriptorStoreMax= of the unit; " MEMORY_DIR_REMEDY,
			 d->list.files[i].name);
		return -EBADMSG;
	}
	return 0;
}

static int take_list(struct memory_dir *d, struct memory_dir_error *e)
{
	struct list other;
	bool one, two;
	int r;

	one = read_list(d->list_fd, 0, &d->list);
	two = read_list(d->list_fd, 1, &other);
	if (!one && !two) {
		snprintf(e->text, sizeof(e->text),
			 "what the service manager passed as the store of Storage=volatile is "
			 "none: " MEMORY_DIR_REMEDY);
		return -EBADMSG;
	}
	if (two && (!one || other.number > d->list.number))
		d->list = other;
	for (int i = 0; i < MEMORY_FILES; i++)
		d->list.files[i].name[MEMORY_NAME_MAX - 1] = '\0';
	r = fdstore_each(take_file, d);
	return r < 0 ? r : check_files(d, e);
}

static int make_list(struct memory_dir *d)
{
	struct list empty = { .number = 0 };
	int r;

	d->list_fd = make_memfd(LIST_NAME);
	r = d->list_fd < 0 ? d->list_fd : write_list(d, &empty);
	/* Files of which there is no list. */
	if (r == 0)
		r = fdstore_each(take_file, d);
	return r < 0 ? r : give_away(d, LIST_NAME, d->list_fd);
}

static int start(struct memory_dir *d, struct memory_dir_error *e)
{
	if (sodium_init() < 0)
		return -EIO;
	d->list_fd = fdstore_take(LIST_NAME);
	if (d->list_fd == -ENOENT)
		return make_list(d);
	return d->list_fd < 0 ? d->list_fd : take_list(d, e);
}

int memory_dir_open(struct memory_dir **ret, struct memory_dir_error *ret_error)
{
	struct memory_dir *d = calloc(1, sizeof(*d));
	int r;

	ret_error->text[0] = '\0';
	if (!d)
		return -ENOMEM;
	pthread_mutex_init(&d->mutex, NULL);
	d->is_kept = fdstore_is_there();
	for (int i = 0; i < MEMORY_FILES; i++)
		d->fds[i] = -1;
	r = start(d, ret_error);
	if (r < 0) {
		memory_dir_close(d);
		return r;
	}
	*ret = d;
	return 0;
}

void memory_dir_close(struct memory_dir *d)
{
	if (!d)
		return;
	memory_vfs_free(d->vfs);
	for (int i = 0; i < MEMORY_FILES; i++)
		if (d->fds[i] >= 0)
			close(d->fds[i]);
	if (d->list_fd >= 0)
		close(d->list_fd);
	pthread_mutex_destroy(&d->mutex);
	free(d);
}

bool memory_dir_is_kept(const struct memory_dir *d)
{
	return d->is_kept;
}

static int drop_passed(void *userdata, const char *name, int fd)
{
	int *found = userdata;

	if (strcmp(name, LIST_NAME) != 0 && strncmp(name, FILE_NAME, strlen(FILE_NAME)) != 0)
		return 0;
	close(fd);
	fdstore_remove(name);
	*found = 1;
	return 0;
}

int memory_dir_drop(void)
{
	int found = 0;

	(void)fdstore_each(drop_passed, &found);
	return found;
}

struct sqlite3_vfs **memory_dir_vfs_place(struct memory_dir *d)
{
	return &d->vfs;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A descriptor of the caller's, at the start of the file. */
static int descriptor_of(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		return -errno;
	(void)lseek(copy, 0, SEEK_SET);
	return copy;
}

/* The place in the list is `at`. */
static int create(struct memory_dir *d, const char *name, int at)
{
	struct list list = d->list;
	char given[FDSTORE_NAME_MAX];
	_cleanup_close_ int fd = -1;
	int r;

	if (strlen(name) >= MEMORY_NAME_MAX)
		return -ENAMETOOLONG;
	fd = make_memfd(name);
	if (fd < 0)
		return fd;
	name_of(++list.last, given);
	r = give_away(d, given, fd);
	if (r < 0)
		return r;
	strcpy(list.files[at].name, name);
	list.files[at].number = list.last;
	r = write_list(d, &list);
	if (r < 0) {
		drop(d, list.last);
		return r;
	}
	d->fds[at] = steal_fd(&fd);
	return 0;
}

static int open_file(struct memory_dir *d, const char *name, bool is_new)
{
	int i = find(d, name), r;

	if (i >= 0)
		return is_new ? -EEXIST : descriptor_of(d->fds[i]);
	if (!is_new)
		return -ENOENT;
	i = find(d, "");
	if (i < 0)
		return -ENFILE;
	r = create(d, name, i);
	return r < 0 ? r : descriptor_of(d->fds[i]);
}

/* Takes out the file at this place, of which the list as it is to be has nothing any more. */
static int take_out(struct memory_dir *d, struct list *list, int at)
{
	uint64_t number = d->list.files[at].number;
	int r = write_list(d, list);

	if (r < 0)
		return r;
	drop(d, number);
	close(d->fds[at]);
	d->fds[at] = -1;
	return 0;
}

static int remove_file(struct memory_dir *d, const char *name)
{
	struct list list = d->list;
	int i = find(d, name);

	if (i < 0)
		return 0;
	memset(&list.files[i], 0, sizeof(list.files[i]));
	return take_out(d, &list, i);
}

static int rename_file(struct memory_dir *d, const char *from, const char *to)
{
	struct list list = d->list;
	int i = find(d, from), replaced = find(d, to);

	if (i < 0)
		return i;
	if (i == replaced)
		return 0;
	if (strlen(to) >= MEMORY_NAME_MAX)
		return -ENAMETOOLONG;
	memset(list.files[i].name, 0, sizeof(list.files[i].name));
	strcpy(list.files[i].name, to);
	if (replaced < 0)
		return write_list(d, &list);
	memset(&list.files[replaced], 0, sizeof(list.files[replaced]));
	return take_out(d, &list, replaced);
}

int memory_dir_open_file(struct memory_dir *d, const char *name, int flags)
{
	int r;

	pthread_mutex_lock(&d->mutex);
	r = open_file(d, name, flags & O_CREAT);
	pthread_mutex_unlock(&d->mutex);
	return r;
}

int memory_dir_remove(struct memory_dir *d, const char *name)
{
	int r;

	pthread_mutex_lock(&d->mutex);
	r = remove_file(d, name);
	pthread_mutex_unlock(&d->mutex);
	return r;
}

int memory_dir_rename(struct memory_dir *d, const char *from, const char *to)
{
	int r;

	pthread_mutex_lock(&d->mutex);
	r = rename_file(d, from, to);
	pthread_mutex_unlock(&d->mutex);
	return r;
}

bool memory_dir_is_there(struct memory_dir *d, const char *name)
{
	return memory_dir_size(d, name) >= 0;
}

long long memory_dir_size(struct memory_dir *d, const char *name)
{
	struct stat st = { .st_size = -ENOENT };
	int i;

	pthread_mutex_lock(&d->mutex);
	i = find(d, name);
	if (i >= 0 && fstat(d->fds[i], &st) < 0)
		st.st_size = -errno;
	pthread_mutex_unlock(&d->mutex);
	return st.st_size;
}
