/*
 * ctl/cmd-restore.c - restore: a backup back into an agent, this host's or another's.
 *
 * The file is proved from its first byte to its last before the agent hears of it: on the way it is
 * copied into the agent's state directory, its key sealed to that agent, and only what came whole
 * gets the name that the agent looks for. The agent takes it in by itself, while it runs or when it
 * starts, and leaves the figures there.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/backup-copy.h"
#include "ctl/commands.h"
#include "ctl/facts.h"
#include "ctl/output.h"
#include "ctl/owners.h"
#include "ctl/passkey.h"
#include "ctl/passphrase.h"
#include "ctl/restore-place.h"
#include "ctl/restore-report.h"
#include "protocol/base/fd.h"

/* A million tokens take the agent minutes. */
enum { RESTORE_TIMEOUT_MS = 60 * 60 * 1000 };

_Static_assert(RESTORE_PUBLIC_KEY_LEN == crypto_box_PUBLICKEYBYTES, "key");
_Static_assert(BACKUP_BOXED_KEY_LEN == BACKUP_KEY_LEN + crypto_box_SEALBYTES, "boxed key");

/* ---- what is wrong with a file ---- */

static int say_head(const struct args *a, enum backup_fault fault)
{
	const char *file = a->operands[0];

	switch (fault) {
	case BACKUP_GOOD:
		return EXIT_DONE;
	case BACKUP_IS_NONE:
		return fail(EXIT_FAILED, "%s is no backup that jetonctl made; nothing has changed",
			    file);
	case BACKUP_IS_OLDER:
		return fail(EXIT_FAILED,
			    "%s was made by an older Jeton, in a form that this one no longer "
			    "reads; nothing has changed",
			    file);
	case BACKUP_IS_NEWER:
		return fail(EXIT_FAILED,
			    "%s was made by a newer Jeton: restore it with that version or a later "
			    "one; nothing has changed",
			    file);
	case BACKUP_IS_BAD:
		break;
	}
	return fail(EXIT_FAILED,
		    "%s was altered: what opening it would cost is more than any backup's; nothing "
		    "has changed",
		    file);
}

static int say_copy(const struct args *a, enum copy_end how, const struct copied *c)
{
	uint64_t at = BACKUP_FILE_HEAD_LEN + c->n_bytes;

	switch (how) {
	case COPY_WHOLE:
		return EXIT_DONE;
	case COPY_CUT:
		return fail(EXIT_FAILED,
			    "%s is cut short: its last part is missing; nothing has changed",
			    a->operands[0]);
	case COPY_ALTERED:
		return fail(EXIT_FAILED,
			    "%s was altered or is damaged, in the 64 KiB from byte %" PRIu64
			    " on; nothing has changed",
			    a->operands[0], at);
	case COPY_LONGER:
		return fail(EXIT_FAILED,
			    "%s goes on after its end, at byte %" PRIu64
			    ": something was added to it; nothing has changed",
			    a->operands[0], at);
	case COPY_NOT_READ:
		return fail(EXIT_FAILED, "can't read %s: %s; nothing has changed", a->operands[0],
			    strerror(c->error));
	case COPY_NOT_WRITTEN:
		return fail(EXIT_FAILED,
			    "can't write to the agent's state directory: %s; nothing has changed",
			    strerror(c->error));
	case COPY_NO_MEMORY:
		break;
	}
	return fail(EXIT_FAILED, "there is not enough memory for a restore");
}

/* ---- the file ---- */

/* Opens the file and reads its head. */
static int open_file(const struct args *a, int *ret_fd, struct backup_file_head *ret)
{
	_cleanup_close_ int fd = open(a->operands[0], O_RDONLY | O_CLOEXEC);
	uint8_t data[BACKUP_FILE_HEAD_LEN];
	ssize_t n = fd < 0 ? -errno : fd_read_all(fd, data, sizeof(data));
	int status;

	if (n < 0)
		return fail(EXIT_FAILED, "can't read %s: %s", a->operands[0], strerror((int)-n));
	if (n < (ssize_t)sizeof(data))
		memset(data + n, 0, sizeof(data) - (size_t)n);
	status = say_head(a, backup_file_head_read(data, ret));
	if (status == EXIT_DONE && n < (ssize_t)sizeof(data))
		status = say_copy(a, COPY_CUT, &(struct copied){ 0 });
	if (status == EXIT_DONE)
		*ret_fd = steal_fd(&fd);
	return status;
}

/* Opens its key, by the passphrase. */
static int open_key(const struct args *a, const struct backup_file_head *head, struct secret *ret)
{
	_cleanup_(secret_done) struct secret passphrase = { NULL, 0, 0 }, passkey = { NULL, 0, 0 };
	struct secret key;
	int status;

	status = passphrase_read("Passphrase of the backup", false, &passphrase);
	if (status != EXIT_DONE)
		return status;
	if (passkey_start() < 0 || passkey_make(&passphrase, head, &passkey) < 0 ||
	    secret_init(&key, BACKUP_KEY_LEN) < 0)
		return fail(EXIT_FAILED,
			    "there is not enough memory to open the backup: %" PRIu32 " MiB are "
			    "needed for a moment",
			    head->memory_kib / 1024);
	if (passkey_open(&passkey, head, (uint8_t *)key.p) < 0) {
		secret_done(&key);
		return fail(EXIT_FAILED,
			    "wrong passphrase: it does not open %s; nothing has changed",
			    a->operands[0]);
	}
	*ret = key;
	return EXIT_DONE;
}

/* ---- to the agent ---- */

static void on_entry(void *userdata, const struct backup_entry *entry)
{
	if (entry->kind == BACKUP_ACTIVE)
		owners_add(userdata, entry->owner);
}

static int write_head(const struct restore_place *place, const struct secret *key,
		      const uint8_t start[static BACKUP_START_LEN], int fd)
{
	struct backup_restore_head head;
	uint8_t data[BACKUP_RESTORE_HEAD_LEN];

	memcpy(head.start, start, sizeof(head.start));
	if (crypto_box_seal(head.boxed_key, (const uint8_t *)key->p, BACKUP_KEY_LEN,
			    place->public_key) < 0)
		return -EBADMSG;
	backup_restore_head_write(&head, data);
	return fd_write_all(fd, data, sizeof(data));
}

/* Copies what follows the head of the file to the agent's directory, where it has no name yet. */
static int hand_over(const struct args *a, const struct restore_place *place,
		     const struct secret *key, const struct backup_file_head *head, int from,
		     int to, struct restored *ret)
{
	int r = write_head(place, key, head->start, to);

	if (r < 0)
		return say_copy(a, COPY_NOT_WRITTEN, &(struct copied){ .error = -r });
	return say_copy(a,
			backup_copy((const uint8_t *)key->p, head->start, from, to, on_entry,
				    &ret->owners, &ret->copied),
			&ret->copied);
}

/*
 * Has the agent look, and says what came of it. That its policies are wrong does not keep it from
 * taking in a backup.
 */
static int tell_agent(const struct args *a, struct jeton *jeton, const struct restore_place *place,
		      struct restored *restored)
{
	int r;

	jeton_set_timeout(jeton, RESTORE_TIMEOUT_MS);
	r = jeton_reload(jeton);
	if (restore_place_result(place, restored->start, &restored->result) == 0)
		return restore_report(a, restored);
	return restore_report_waiting(a, jeton, r, place->path, restored);
}

static int restore(const struct args *a, struct jeton *jeton, const struct restore_place *place,
		   struct restored *restored)
{
	_cleanup_(new_file_drop) struct new_file file = NEW_FILE_NONE;
	_cleanup_(secret_done) struct secret key = { NULL, 0, 0 };
	_cleanup_close_ int from = -1;
	struct backup_file_head head;
	int status;

	status = open_file(a, &from, &head);
	if (status == EXIT_DONE)
		status = restore_place_begin(place, &file);
	if (status == EXIT_DONE)
		status = open_key(a, &head, &key);
	if (status == EXIT_DONE)
		status = hand_over(a, place, &key, &head, from, file.fd, restored);
	if (status == EXIT_DONE)
		status = restore_place_give(place, &file);
	if (status != EXIT_DONE)
		return status;
	memcpy(restored->start, head.start, sizeof(restored->start));
	return tell_agent(a, jeton, place, restored);
}

int cmd_restore(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	struct restore_place place = RESTORE_PLACE_NONE;
	struct restored restored = { .start = { 0 } };
	int status;

	status = ask_open(a, &jeton);
	if (status == EXIT_DONE)
		status = restore_place_open(a, jeton_path(jeton), &place);
	if (status == EXIT_DONE)
		status = restore(a, jeton, &place, &restored);
	owners_done(&restored.owners);
	restore_place_close(&place);
	return status;
}
