/*
 * agent/restore-file.c - see restore-file.h. Whoever may put a file here may do anything to the
 * agent's state; but what it holds counts only if all of it opens with the agent's own key.
 *
 * Blocks are read in the loop: they come from the page cache, where whoever brought the file has
 * just left them, and one at a time.
 */
#include "agent/restore-file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/secretmem.h"
#include "protocol/base/fd.h"

#define FILE_NAME "restore"
#define BAD_FILE "restore.bad"
#define KEY_FILE "restore.pub"
#define NEW_KEY_FILE "restore.pub.new"
#define RESULT_FILE "restore.result"
#define NEW_RESULT_FILE "restore.result.new"

/* As much of the stack as the curve's arithmetic may have written on. */
enum { BOX_STACK = 8192 };

_Static_assert(STORE_KEY_LEN == crypto_box_SECRETKEYBYTES, "the derived key is a secret key");
_Static_assert(BACKUP_BOXED_KEY_LEN == BACKUP_KEY_LEN + crypto_box_SEALBYTES, "a boxed key");

/* ---- the key pair ---------------------------------------------------------------------------- */

static int derive(const struct store *store, uint8_t *secret, uint8_t *ret_public)
{
	int r;

	store_derive_key(store, STORE_USE_RESTORE, secret);
	r = crypto_scalarmult_curve25519_base(ret_public, secret);
	sodium_stackzero(BOX_STACK);
	return r < 0 ? -EINVAL : 0;
}

/* A new file in the place of one of that name. */
static int put_file(const struct state_dir *d, const char *new_name, const char *name,
		    const uint8_t *data, size_t n)
{
	_cleanup_close_ int fd = -1;
	int r = state_dir_remove(d, new_name);

	if (r < 0)
		return r;
	fd = state_dir_open_file(d, new_name, O_WRONLY | O_CREAT);
	if (fd < 0)
		return fd;
	r = fd_write_all(fd, data, n);
	if (r == 0 && renameat(d->fd, new_name, d->fd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)state_dir_remove(d, new_name);
	return r;
}

static bool is_published(const struct state_dir *d, const uint8_t *public)
{
	_cleanup_close_ int fd = state_dir_open_file(d, KEY_FILE, O_RDONLY);
	uint8_t there[crypto_box_PUBLICKEYBYTES + 1];

	return fd >= 0 && fd_read_all(fd, there, sizeof(there)) == crypto_box_PUBLICKEYBYTES &&
	       memcmp(there, public, crypto_box_PUBLICKEYBYTES) == 0;
}

int restore_file_publish(const char *state_dir, const struct store *store, uint8_t *secret,
			 struct store_error *e)
{
	struct state_dir d = STATE_DIR_NONE;
	uint8_t public[crypto_box_PUBLICKEYBYTES];
	int r = derive(store, secret, public);

	secret_wipe(secret, STORE_KEY_LEN);
	if (r == 0)
		r = state_dir_open(state_dir, &d, e);
	if (r < 0)
		return r;
	if (!is_published(&d, public))
		r = put_file(&d, NEW_KEY_FILE, KEY_FILE, public, sizeof(public));
	state_dir_close(&d);
	return r < 0 ? store_fail(e, r, "can't write %s/" KEY_FILE ": %s", state_dir, strerror(-r))
		     : 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

bool restore_file_is_there(const char *state_dir)
{
	struct state_dir d = STATE_DIR_NONE;
	bool is_there;

	if (state_dir_open(state_dir, &d, NULL) < 0)
		return false;
	is_there = state_dir_is_there(&d, FILE_NAME);
	state_dir_close(&d);
	return is_there;
}

static int judge(const struct restore_file *f, struct store_error *e)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return store_fail(e, -errno, "can't look at %s/" FILE_NAME ": %s", f->dir.path,
				  strerror(errno));
	if (st.st_uid != geteuid() || st.st_mode & (S_IRWXG | S_IRWXO))
		return store_fail(e, -EBADMSG,
				  "%s/" FILE_NAME " belongs to uid %u and has mode %04o: others "
				  "could have written it",
				  f->dir.path, st.st_uid, st.st_mode & 07777);
	return 0;
}

static int open_key(struct restore_file *f, const struct store *store, uint8_t *secret,
		    const struct backup_restore_head *head)
{
	uint8_t public[crypto_box_PUBLICKEYBYTES];
	int r = derive(store, secret, public);

	if (r == 0 && crypto_box_seal_open(f->open->key, head->boxed_key, sizeof(head->boxed_key),
					   public, secret) < 0)
		r = -EBADMSG;
	secret_wipe(secret, STORE_KEY_LEN);
	sodium_stackzero(BOX_STACK);
	return r;
}

static int read_head(struct restore_file *f, const struct store *store, uint8_t *secret,
		     struct store_error *e)
{
	struct backup_restore_head head;
	uint8_t data[BACKUP_RESTORE_HEAD_LEN];
	ssize_t n = fd_read_all(f->fd, data, sizeof(data));
	int r;

	if (n < 0)
		return store_fail(e, (int)n, "can't read %s/" FILE_NAME ": %s", f->dir.path,
				  strerror((int)-n));
	if (n != sizeof(data) || backup_restore_head_read(data, &head) != BACKUP_GOOD)
		return store_fail(e, -EBADMSG, "%s/" FILE_NAME " is nothing that jetonctl made",
				  f->dir.path);
	r = open_key(f, store, secret, &head);
	if (r < 0)
		return store_fail(e, r,
				  "%s/" FILE_NAME " was made for another agent than this one, or "
				  "before its key was changed",
				  f->dir.path);
	memcpy(f->start, head.start, sizeof(f->start));
	return 0;
}

int restore_file_open(const char *state_dir, const struct store *store, uint8_t *secret,
		      struct restore_open *open, struct restore_file *ret, struct store_error *e)
{
	struct restore_file f = RESTORE_FILE_NONE;
	int r = state_dir_open(state_dir, &f.dir, e);

	if (r < 0)
		return r;
	f.open = open;
	f.fd = state_dir_open_file(&f.dir, FILE_NAME, O_RDONLY);
	if (f.fd == -EMEDIUMTYPE || f.fd == -ELOOP)
		r = store_fail(e, -EBADMSG, "%s/" FILE_NAME " is no plain file", f.dir.path);
	else if (f.fd < 0)
		r = store_fail(e, f.fd, "can't open %s/" FILE_NAME ": %s", f.dir.path,
			       strerror(-f.fd));
	if (r == 0)
		r = judge(&f, e);
	if (r == 0)
		r = read_head(&f, store, secret, e);
	if (r == 0 && !(f.sealed = malloc(BACKUP_SEALED)))
		r = store_fail(e, -ENOMEM, "no memory to restore %s/" FILE_NAME, f.dir.path);
	if (r == 0)
		r = restore_file_rewind(&f);
	if (r < 0)
		restore_file_close(&f);
	else
		*ret = f;
	return r;
}

/* ---- reading --------------------------------------------------------------------------------- */

int restore_file_rewind(struct restore_file *f)
{
	if (lseek(f->fd, BACKUP_RESTORE_HEAD_LEN, SEEK_SET) < 0)
		return -errno;
	(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	f->at_end = false;
	return crypto_secretstream_xchacha20poly1305_init_pull(&f->open->stream, f->start,
							       f->open->key) < 0
		       ? -EBADMSG
		       : 0;
}

/* Nothing may follow the last block. */
static int end_of(struct restore_file *f)
{
	char more;
	ssize_t n = fd_read_all(f->fd, &more, 1);

	return n > 0 ? -EBADMSG : (int)n;
}

int restore_file_next(struct restore_file *f)
{
	uint8_t tag;
	ssize_t n;

	if (f->at_end)
		return end_of(f);
	n = fd_read_all(f->fd, f->sealed, BACKUP_SEALED);
	if (n < 0)
		return (int)n;
	if (n != BACKUP_SEALED ||
	    crypto_secretstream_xchacha20poly1305_pull(&f->open->stream, f->open->block, NULL, &tag,
						       f->sealed, BACKUP_SEALED, NULL, 0) < 0)
		return -EBADMSG;
	f->at_end = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
	return 1;
}

/* ---- its end --------------------------------------------------------------------------------- */

void restore_file_tell(const struct restore_file *f, struct backup_result *result)
{
	uint8_t data[BACKUP_RESULT_LEN];

	memcpy(result->start, f->start, sizeof(result->start));
	backup_result_write(result, data);
	(void)put_file(&f->dir, NEW_RESULT_FILE, RESULT_FILE, data, sizeof(data));
}

int restore_file_remove(const struct restore_file *f)
{
	int r = state_dir_remove(&f->dir, FILE_NAME);

	return r < 0 ? r : state_dir_sync(&f->dir);
}

int restore_file_set_aside(const char *state_dir)
{
	struct state_dir d = STATE_DIR_NONE;
	int r = state_dir_open(state_dir, &d, NULL);

	if (r == 0 && renameat(d.fd, FILE_NAME, d.fd, BAD_FILE) < 0)
		r = -errno;
	state_dir_close(&d);
	return r;
}

void restore_file_close(struct restore_file *f)
{
	if (f->open)
		secret_wipe(f->open, sizeof(*f->open));
	free(f->sealed);
	if (f->fd >= 0)
		close(f->fd);
	state_dir_close(&f->dir);
	*f = RESTORE_FILE_NONE;
}
