/*
 * ctl/cmd-backup.c - backup: all that the agent holds, to a file that a passphrase seals.
 *
 * The agent gives a stream and its key. The blocks go to the file as they come; only in place of
 * the key stands the key as the passphrase seals it, so that whoever has the file alone has
 * nothing. The passphrase is asked for before the agent is: it waits for no reader that types.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "ctl/ask.h"
#include "ctl/backup-copy.h"
#include "ctl/commands.h"
#include "ctl/facts.h"
#include "ctl/new-file.h"
#include "ctl/output.h"
#include "ctl/passkey.h"
#include "ctl/passphrase.h"
#include "protocol/base/fd.h"

/* How long the agent may give nothing. */
enum { SILENCE_S = 60 };

/* ---- what went wrong ---- */

static int say_not_written(const struct args *a, int r)
{
	const char *file = a->operands[0];

	if (r == -EEXIST)
		return fail(EXIT_FAILED,
			    "%s is there already, and no backup is written over another: name "
			    "another file, or remove it",
			    file);
	if (r == -ENAMETOOLONG || r == -EISDIR)
		return fail(EXIT_FAILED, "%s can't be a file's name: %s", file, strerror(-r));
	return fail(EXIT_FAILED, "can't write %s: %s; nothing of it is left", file, strerror(-r));
}

static int say_not_whole(const struct args *a, enum copy_end how, const struct copied *copied)
{
	switch (how) {
	case COPY_WHOLE:
		return EXIT_DONE;
	case COPY_NOT_WRITTEN:
		return say_not_written(a, -copied->error);
	case COPY_NOT_READ:
		return fail(EXIT_FAILED,
			    "the agent gave no more for a minute (%s): %s was not made",
			    strerror(copied->error), a->operands[0]);
	case COPY_NO_MEMORY:
		return fail(EXIT_FAILED, "there is not enough memory for a backup");
	case COPY_CUT:
	case COPY_ALTERED:
	case COPY_LONGER:
		break;
	}
	return fail(EXIT_FAILED,
		    "the agent ended the copy before it was whole, and its log says why: %s was "
		    "not made",
		    a->operands[0]);
}

/* ---- the copy ---- */

/* Reads the head of what the agent gives. 0 or -EBADMSG. */
static int read_stream_head(int fd, struct backup_stream_head *ret)
{
	uint8_t data[BACKUP_STREAM_HEAD_LEN];
	ssize_t n = fd_read_all(fd, data, sizeof(data));
	int r = -EBADMSG;

	if (n == (ssize_t)sizeof(data) && backup_stream_head_read(data, ret) == BACKUP_GOOD)
		r = 0;
	explicit_bzero(data, sizeof(data));
	return r;
}

static int write_file_head(const struct secret *passkey, const struct backup_stream_head *stream,
			   struct backup_file_head *head, int fd)
{
	uint8_t data[BACKUP_FILE_HEAD_LEN];

	memcpy(head->start, stream->start, sizeof(head->start));
	passkey_seal(passkey, stream->key, head);
	backup_file_head_write(head, data);
	return fd_write_all(fd, data, sizeof(data));
}

/* Copies from the agent to the file; says what is wrong. */
static int copy(const struct args *a, const struct secret *passkey, struct backup_file_head *head,
		int from, int to, struct copied *ret)
{
	_cleanup_(secret_done) struct secret locked = { NULL, 0, 0 };
	struct backup_stream_head *stream;
	enum copy_end how;
	int r;

	if (secret_init(&locked, sizeof(*stream)) < 0)
		return fail(EXIT_FAILED, "there is not enough memory for a backup");
	stream = (struct backup_stream_head *)(void *)locked.p;
	if (read_stream_head(from, stream) < 0)
		return fail(EXIT_FAILED,
			    "the agent gives a copy of another form than this jetonctl knows: "
			    "both should be of one version");
	r = write_file_head(passkey, stream, head, to);
	if (r < 0)
		return say_not_written(a, r);
	how = backup_copy(stream->key, stream->start, from, to, NULL, NULL, ret);
	return say_not_whole(a, how, ret);
}

static int ask_for_copy(const struct args *a, int *ret_fd)
{
	const struct timeval silence = { .tv_sec = SILENCE_S };
	_cleanup_jeton_ struct jeton *jeton = NULL;
	int status, r, fd = -1;

	status = ask_open(a, &jeton);
	if (status != EXIT_DONE)
		return status;
	r = jeton_backup(jeton, &fd);
	if (r != 0)
		return ask_failed(jeton, r);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	*ret_fd = fd;
	return EXIT_DONE;
}

/* ---- its parts in order ---- */

/* Whether there is an agent at all: known before a passphrase is typed, twice. */
static int look_for_agent(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	int status = ask_open(a, &jeton), r;

	if (status != EXIT_DONE)
		return status;
	r = jeton_connect(jeton);
	return r != 0 ? ask_failed(jeton, r) : EXIT_DONE;
}

static int make_passkey(struct backup_file_head *head, struct secret *ret)
{
	_cleanup_(secret_done) struct secret passphrase = { NULL, 0, 0 };
	int status;

	if (passkey_start() < 0)
		return fail(EXIT_FAILED, "there are no random numbers: getrandom() fails");
	status = passphrase_read("Passphrase for the backup", true, &passphrase);
	if (status != EXIT_DONE)
		return status;
	passkey_choose(head);
	if (passkey_make(&passphrase, head, ret) < 0)
		return fail(EXIT_FAILED,
			    "there is not enough memory to seal a backup: %" PRIu32 " MiB are "
			    "needed for a moment",
			    head->memory_kib / 1024);
	return EXIT_DONE;
}

static void say_done(const struct args *a, const struct copied *c)
{
	char when[FACTS_WHEN_MAX];

	if (a->json) {
		char json[256];
		int n = snprintf(json, sizeof(json),
				 "{\"takenUSec\":%" PRIu64 ",\"tokensActive\":%" PRIu64
				 ",\"tokensEnded\":%" PRIu64 ",\"credentials\":%" PRIu64 "}",
				 c->taken_us, c->counts.active, c->counts.ended,
				 c->counts.credentials);

		output_json(a, (struct span){ json, (size_t)n });
		return;
	}
	remark(a,
	       "%s holds %" PRIu64 " active tokens, %" PRIu64 " that have ended, and %" PRIu64
	       " records of credentials, as of %s. Without the passphrase nobody can open it.",
	       a->operands[0], c->counts.active, c->counts.ended, c->counts.credentials,
	       facts_when((int64_t)c->taken_us, when));
}

/* With the file begun: asks for the copy, takes it in, and gives the file its name. */
static int fill(const struct args *a, const struct secret *passkey, struct backup_file_head *head,
		struct new_file *file)
{
	_cleanup_close_ int from = -1;
	struct copied copied;
	int status, r;

	status = ask_for_copy(a, &from);
	if (status == EXIT_DONE)
		status = copy(a, passkey, head, from, file->fd, &copied);
	if (status != EXIT_DONE)
		return status;
	r = new_file_finish(file);
	if (r < 0)
		return say_not_written(a, r);
	say_done(a, &copied);
	return EXIT_DONE;
}

int cmd_backup(const struct args *a)
{
	_cleanup_(secret_done) struct secret passkey = { NULL, 0, 0 };
	_cleanup_(new_file_drop) struct new_file file = NEW_FILE_NONE;
	struct backup_file_head head = { 0 };
	int status, r;

	/*
	 * Whether it can be written is known before a passphrase is typed; ^C there leaves
	 * nothing.
	 */
	r = new_file_begin_at(a->operands[0], &file);
	new_file_drop(&file);
	if (r < 0)
		return say_not_written(a, r);
	status = look_for_agent(a);
	if (status == EXIT_DONE)
		status = make_passkey(&head, &passkey);
	if (status != EXIT_DONE)
		return status;
	r = new_file_begin_at(a->operands[0], &file);
	return r < 0 ? say_not_written(a, r) : fill(a, &passkey, &head, &file);
}
