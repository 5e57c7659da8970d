/*
 * agent/masterkey.c - the master key goes straight into its locked place: 32 bytes by one read, or
 * hex digits one at a time, so that no buffer on the way ever holds it.
 *
 * A new key has its name only once it is on the disk. It is made under the directory's lock, and
 * only where there is no store, so that no store ever sees a second key made for it.
 */
#include "agent/masterkey.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/seal.h"
#include "agent/state-dir.h"
#include "agent/store-sqlite.h"
#include "protocol/base/fd.h"

#define KEY_FILE "master.key"
#define NEW_KEY_FILE "master.key.new"
#define NEXT_KEY_FILE "master.key.next"
#define CREDENTIAL "jeton.master"
#define OLD_CREDENTIAL "jeton.master.old"

enum { HEX_LEN = 2 * STORE_KEY_LEN };

/* ---- reading --------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -EINVAL;
}

static int read_hex(int fd, uint8_t *key)
{
	for (size_t i = 0; i < HEX_LEN; i++) {
		char c;
		ssize_t n = fd_read_all(fd, &c, 1);
		int digit = n == 1 ? hex_digit(c) : -EINVAL;

		if (n < 0 || digit < 0)
			return n < 0 ? (int)n : digit;
		key[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : key[i / 2] | digit);
	}
	return 0;
}

static int read_raw(int fd, uint8_t *key)
{
	ssize_t n = fd_read_all(fd, key, STORE_KEY_LEN);

	if (n < 0)
		return (int)n;
	return n == STORE_KEY_LEN ? 0 : -EINVAL;
}

/* Whether the last byte of a file that is one too long for hex digits is a newline. */
static bool ends_in_newline(int fd)
{
	char c = '\0';

	return pread(fd, &c, 1, HEX_LEN) == 1 && c == '\n';
}

/* A file's length says which form it is in. -EINVAL: neither. */
static int read_key(int fd, off_t size, uint8_t *key)
{
	int r = -EINVAL;

	if (size == STORE_KEY_LEN)
		r = read_raw(fd, key);
	else if (size == HEX_LEN || (size == HEX_LEN + 1 && ends_in_newline(fd)))
		r = read_hex(fd, key);
	if (r < 0)
		secret_wipe(key, STORE_KEY_LEN);
	return r;
}

static int take_key(const char *path, int fd, off_t size, uint8_t *key, struct store_error *e)
{
	int r = read_key(fd, size, key);

	if (r == -EINVAL)
		return store_fail(e, r,
				  "%s is no master key (it has %lld bytes; a key is 32 bytes, or "
				  "64 hex digits): put "
				  "back the key that the store was made with",
				  path, (long long)size);
	return r < 0 ? store_fail(e, r, "can't read %s: %s", path, strerror(-r)) : 0;
}

/* ---- the credential -------------------------------------------------------------------------- */

/*
 * systemd guards the directory; its files may be links or belong to root and be lent by an access
 * list, so only what makes a key no secret is refused. Returns 1, or 0 where there is none.
 */
static int read_credential(const char *name, uint8_t *key, struct store_error *e)
{
	const char *dir = secure_getenv("CREDENTIALS_DIRECTORY");
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	struct stat st;
	int r;

	if (!dir)
		return 0;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return store_fail(e, -ENAMETOOLONG, "$CREDENTIALS_DIRECTORY is too long");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return store_fail(e, -errno, "can't open %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return store_fail(
			e, -EMEDIUMTYPE,
			"%s is no plain file: give the master key by LoadCredential=", path);
	if (st.st_mode & S_IRWXO)
		return store_fail(e, -EPERM,
				  "%s can be reached by everyone (mode %04o): \"chmod o=\" it",
				  path, st.st_mode & 07777);
	r = take_key(path, fd, st.st_size, key, e);
	return r < 0 ? r : 1;
}

/* ---- the key file ---------------------------------------------------------------------------- */

static int judge_key_file(const char *path, const struct stat *st, struct store_error *e)
{
	if (st->st_uid != geteuid())
		return store_fail(e, -EPERM, "%s belongs to uid %u: \"chown %u\" it", path,
				  st->st_uid, geteuid());
	if (st->st_mode & (S_IRWXG | S_IRWXO))
		return store_fail(e, -EPERM,
				  "%s can be reached by others (mode %04o): \"chmod 0600\" it",
				  path, st->st_mode & 07777);
	return 0;
}

/* Returns 1, or 0 where there is none. */
static int read_key_file(const struct state_dir *d, const char *name, uint8_t *key,
			 struct store_error *e)
{
	_cleanup_close_ int fd = state_dir_open_file(d, name, O_RDONLY);
	char path[PATH_MAX + sizeof("/" NEXT_KEY_FILE)];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "%s/%s", d->path, name);
	if (fd == -ENOENT)
		return 0;
	if (fd == -ELOOP)
		return store_fail(e, fd, "%s is a symbolic link: put the key itself there", path);
	if (fd == -EMEDIUMTYPE)
		return store_fail(e, fd, "%s is no plain file: put the key there", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return store_fail(e, fd < 0 ? fd : -errno, "can't open %s: %s", path,
				  strerror(fd < 0 ? -fd : errno));
	r = judge_key_file(path, &st, e);
	if (r == 0)
		r = take_key(path, fd, st.st_size, key, e);
	return r < 0 ? r : 1;
}

/* ---- a new key ------------------------------------------------------------------------------- */

/* In place of what has that name; its bytes are on the disk, its name is not yet sure to be. */
static int write_file(const struct state_dir *d, const char *name, const uint8_t *key)
{
	_cleanup_close_ int fd = -1;
	int r = state_dir_remove(d, name);

	if (r < 0)
		return r;
	fd = state_dir_open_file(d, name, O_WRONLY | O_CREAT);
	if (fd < 0)
		return fd;
	r = fd_write_all(fd, key, STORE_KEY_LEN);
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

static int write_new(const struct state_dir *d, const uint8_t *key)
{
	/* What a first start that was killed has left goes: no name was ever given to it. */
	int r = write_file(d, NEW_KEY_FILE, key);

	/* Never in place of another: a key that is overwritten is lost. */
	if (r == 0 && renameat2(d->fd, NEW_KEY_FILE, d->fd, KEY_FILE, RENAME_NOREPLACE) < 0)
		r = -errno;
	if (r < 0)
		(void)state_dir_remove(d, NEW_KEY_FILE);
	return r < 0 ? r : state_dir_sync(d);
}

static int make_key(const struct state_dir *d, uint8_t *key, struct store_error *e)
{
	int r = seal_start();

	if (r == 0) {
		randombytes_buf(key, STORE_KEY_LEN);
		r = write_new(d, key);
	}
	if (r == 0)
		return 0;
	secret_wipe(key, STORE_KEY_LEN);
	return store_fail(e, r, "can't make the master key %s/" KEY_FILE ": %s", d->path,
			  strerror(-r));
}

static int make_first_key(const struct state_dir *d, uint8_t *key, struct store_error *e)
{
	int r = state_dir_lock(d, e);

	if (r < 0)
		return r;
	/* Another first start may have made both since we looked. */
	r = read_key_file(d, KEY_FILE, key, e);
	if (r != 0)
		return r < 0 ? r : 0;
	r = store_sqlite_exists(d);
	if (r < 0)
		return store_fail(e, r, "can't look into %s: %s", d->path, strerror(-r));
	if (r > 0)
		return store_fail(
			e, -ENOKEY,
			"there is a store in %s, but no master key: put back master.key (or the "
			"credential " CREDENTIAL
			"), or move store.db and store.db-wal away to start with an empty store",
			d->path);
	return make_key(d, key, e);
}

int masterkey_read_credential(uint8_t *key, struct store_error *ret_error)
{
	int r = read_credential(CREDENTIAL, key, ret_error);

	if (r == 0)
		return store_fail(ret_error, -ENOKEY,
				  "Storage=volatile needs the master key as the credential " CREDENTIAL
				  ": add LoadCredentialEncrypted=" CREDENTIAL
				  ":PATH to the unit (systemd-creds encrypt makes the file), or use "
				  "Storage=persistent");
	return r < 0 ? r : 0;
}

int masterkey_read(const char *state_dir, uint8_t *key, struct store_error *ret_error)
{
	struct state_dir d = STATE_DIR_NONE;
	int r;

	r = read_credential(CREDENTIAL, key, ret_error);
	if (r != 0)
		return r < 0 ? r : 0;
	r = state_dir_open(state_dir, &d, ret_error);
	if (r < 0)
		return r;
	r = read_key_file(&d, KEY_FILE, key, ret_error);
	if (r == 0)
		r = make_first_key(&d, key, ret_error);
	state_dir_close(&d);
	return r < 0 ? r : 0;
}

/* ---- another key ----------------------------------------------------------------------------- */

bool masterkey_is_credential(void)
{
	const char *dir = secure_getenv("CREDENTIALS_DIRECTORY");
	char path[PATH_MAX];

	return dir && snprintf(path, sizeof(path), "%s/" CREDENTIAL, dir) < (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

bool masterkey_has_old_credential(void)
{
	const char *dir = secure_getenv("CREDENTIALS_DIRECTORY");
	char path[PATH_MAX];

	return dir && snprintf(path, sizeof(path), "%s/" OLD_CREDENTIAL, dir) < (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

int masterkey_read_old_credential(uint8_t *key, struct store_error *ret_error)
{
	return read_credential(OLD_CREDENTIAL, key, ret_error);
}

int masterkey_read_next(const char *state_dir, uint8_t *key, struct store_error *ret_error)
{
	struct state_dir d = STATE_DIR_NONE;
	int r = state_dir_open(state_dir, &d, ret_error);

	if (r == 0)
		r = read_key_file(&d, NEXT_KEY_FILE, key, ret_error);
	state_dir_close(&d);
	return r;
}

int masterkey_for_rekey(uint8_t *key, bool *ret_as_file, struct store_error *ret_error)
{
	int r = read_credential(CREDENTIAL, key, ret_error);

	if (r < 0)
		return r;
	*ret_as_file = r == 0;
	if (r == 0)
		randombytes_buf(key, STORE_KEY_LEN);
	return 0;
}

int masterkey_write_next(const struct state_dir *d, const uint8_t *key)
{
	int r = write_file(d, NEXT_KEY_FILE, key);

	if (r == 0)
		r = state_dir_sync(d);
	if (r < 0)
		(void)state_dir_remove(d, NEXT_KEY_FILE);
	return r;
}

int masterkey_adopt_next(const struct state_dir *d)
{
	int r = state_dir_rename(d, NEXT_KEY_FILE, KEY_FILE);

	/* It has that name already, where only the sync had failed. */
	return r < 0 && r != -ENOENT ? r : state_dir_sync(d);
}

int masterkey_drop_next(const struct state_dir *d)
{
	int r;

	/* Mostly there is none: one that a power cut brings back is removed by the start after it. */
	if (!state_dir_is_there(d, NEXT_KEY_FILE))
		return 0;
	r = state_dir_remove(d, NEXT_KEY_FILE);
	return r < 0 ? r : state_dir_sync(d);
}
