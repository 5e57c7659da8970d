/*
 * agent/backup.c - see backup.h. The store's rows go into a block in locked memory, which is sealed
 * when it is full and sent as the reader takes it; only then is the next one filled. So a copy of
 * any size takes two blocks of memory, and a reader that is slow holds up nobody but itself.
 *
 * Active tokens are read before ended ones: what ends between the two is in both, never in neither.
 * Tokens made meanwhile are left out, or a copy might never end.
 *
 * Invariant: a copy waits for exactly one of these: its socket, by its source; the store, which
 * calls on_rows().
 */
#include "agent/backup.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "protocol/backup.h"
#include "protocol/base/time.h"

enum { FIRST_ROW = 1 };

static const uint64_t STALL_US = 30 * USEC_PER_SEC;

/* In locked memory, a large buffer of the agent's. */
struct work {
	crypto_secretstream_xchacha20poly1305_state stream;
	uint8_t block[BACKUP_BLOCK];
	struct backup_stream_head head;
	uint8_t head_bytes[BACKUP_STREAM_HEAD_LEN];
};

struct backup {
	struct backup *next;
	struct agent *agent;
	int fd;
	sd_event_source *source, *timer;
	struct work *work; /* NULL: it has ended, and the store will call back once more */
	uint8_t *sealed;   /* a block of it */
	size_t at;	   /* in work->block */
	const uint8_t *out;
	size_t out_n, out_at;
	size_t part; /* of what is read */
	uint64_t next_row, last_row;
	struct store_rows *rows;
	unsigned n_rows; /* of these, taken */
	bool is_reading; /* the store will call back */
	bool is_last;	 /* what goes out now is the end */
	struct backup_counts counts;
};

_Static_assert(sizeof(struct work) <= LARGE_BUF, "room to work in");
_Static_assert(BACKUP_KEY_LEN == crypto_secretstream_xchacha20poly1305_KEYBYTES, "key");
_Static_assert(BACKUP_START_LEN == crypto_secretstream_xchacha20poly1305_HEADERBYTES, "header");
_Static_assert(BACKUP_SEALED == BACKUP_BLOCK + crypto_secretstream_xchacha20poly1305_ABYTES,
	       "a sealed block");

/* What is read, in this order. */
static const struct part {
	enum store_table table;
	enum backup_kind kind;
	unsigned max; /* rows at a time: credentials are long */
	bool is_tokens;
} parts[] = {
	{ STORE_ACTIVE, BACKUP_ACTIVE, STORE_READ_MAX, true },
	{ STORE_ENDED, BACKUP_ENDED, STORE_READ_MAX, true },
	{ STORE_CREDENTIALS, BACKUP_CREDENTIAL, 8, false },
};

/* ---- its end --------------------------------------------------------------------------------- */

static void leave(struct backup *b)
{
	struct backup **at = &b->agent->backups;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	b->agent->n_backups--;
}

/* Wipes and closes; what the store may still bring is dropped when it comes. */
static void end(struct backup *b)
{
	leave(b);
	if (b->work)
		secret_wipe(b->work, sizeof(*b->work));
	pool_put(&b->agent->large, (char *)STEAL_PTR(b->work));
	sd_event_source_unref(b->source);
	sd_event_source_unref(b->timer);
	close(b->fd);
	free(b->sealed);
	store_rows_free(b->rows);
	if (!b->is_reading)
		free(b);
}

static void fail(struct backup *b, const char *why)
{
	log_warning("a backup was ended before it was whole: %s", why);
	end(b);
}

void backup_end_all(struct agent *a)
{
	while (a->backups)
		fail(a->backups, "the agent stops, or is being locked");
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* What is in the block goes out, and the block is empty again. */
static void seal_block(struct backup *b, bool is_last)
{
	struct work *w = b->work;

	backup_pad(w->block, b->at);
	crypto_secretstream_xchacha20poly1305_push(
		&w->stream, b->sealed, NULL, w->block, BACKUP_BLOCK, NULL, 0,
		is_last ? crypto_secretstream_xchacha20poly1305_TAG_FINAL
			: crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
	secret_wipe(w->block, b->at);
	b->at = 0;
	b->out = b->sealed;
	b->out_n = BACKUP_SEALED;
	b->out_at = 0;
	b->is_last = is_last;
}

/* Whether the block was full, and is on its way. */
static bool add(struct backup *b, const struct backup_entry *entry)
{
	if (backup_put(b->work->block, &b->at, entry))
		return false;
	seal_block(b, false);
	/* An empty block has room for any. */
	return backup_put(b->work->block, &b->at, entry);
}

static void count(struct backup *b, enum backup_kind kind)
{
	b->counts.active += kind == BACKUP_ACTIVE;
	b->counts.ended += kind == BACKUP_ENDED;
	b->counts.credentials += kind == BACKUP_CREDENTIAL;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void on_rows(void *userdata, struct store_rows *rows, int r)
{
	struct backup *b = userdata;

	b->is_reading = false;
	if (!b->work) {
		store_rows_free(rows);
		free(b);
		return;
	}
	b->rows = rows;
	b->n_rows = 0;
	if (r < 0 || sd_event_source_set_enabled(b->source, SD_EVENT_ON) < 0)
		fail(b, r < 0 ? strerror(-r) : "its socket can't be watched");
}

static void ask_for_rows(struct backup *b)
{
	const struct part *part = &parts[b->part];

	b->is_reading = true;
	(void)sd_event_source_set_enabled(b->source, SD_EVENT_OFF);
	store_read_from(b->agent->store, part->table, b->next_row, part->max, on_rows, b);
}

static void next_part(struct backup *b)
{
	b->part++;
	b->next_row = FIRST_ROW;
}

/* These rows are all taken: more may follow, or what comes after them is of another table. */
static void end_rows(struct backup *b)
{
	bool more = b->n_rows == parts[b->part].max;

	store_rows_free(STEAL_PTR(b->rows));
	if (!more)
		next_part(b);
}

/* The entry of a row. 0 or -EBADMSG. */
static int entry_of(const struct part *part, const uint8_t *record, size_t n,
		    struct backup_entry *ret)
{
	struct token_facts facts;
	int r;

	*ret = (struct backup_entry){ .kind = part->kind, .record = { (const char *)record, n } };
	if (!part->is_tokens)
		return 0;
	r = record_read(record, n, &facts);
	if (r == 0)
		ret->owner = facts.owner_name;
	return r;
}

/* Takes a row. 1: the block is on its way; 0: there is room for more; or a negative errno. */
static int take_row(struct backup *b)
{
	const struct part *part = &parts[b->part];
	struct backup_entry entry;
	const uint8_t *record;
	uint32_t version;
	uint64_t row;
	size_t n;
	int r = store_rows_next(b->rows, &row, &version, &record, &n);

	if (r < 0)
		return r;
	if (r == 0) {
		end_rows(b);
		return 0;
	}
	if (part->is_tokens && row > b->last_row) {
		store_rows_free(STEAL_PTR(b->rows));
		next_part(b);
		return 0;
	}
	b->n_rows++;
	b->next_row = row + 1;
	r = entry_of(part, record, n, &entry);
	if (r < 0)
		return r;
	count(b, part->kind);
	return add(b, &entry);
}

static void fill_last(struct backup *b)
{
	struct backup_entry entry = { .kind = BACKUP_END, .counts = b->counts };

	/* Where there is no room, the next turn comes here again. */
	if (backup_put(b->work->block, &b->at, &entry))
		seal_block(b, true);
	else
		seal_block(b, false);
}

/* Goes on until a block is on its way, or rows have to be waited for. 0 or a negative errno. */
static int fill(struct backup *b)
{
	int r = 0;

	while (r == 0 && b->part < ARRAY_SIZE(parts)) {
		if (!b->rows) {
			ask_for_rows(b);
			return 0;
		}
		r = take_row(b);
	}
	if (r == 0)
		fill_last(b);
	return r < 0 ? r : 0;
}

/* ---- the socket ------------------------------------------------------------------------------ */

static void put_off_stall(struct backup *b)
{
	(void)sd_event_source_set_time(b->timer, agent_monotonic(b->agent) + STALL_US);
	(void)sd_event_source_set_enabled(b->timer, SD_EVENT_ONESHOT);
}

static int on_stall(sd_event_source *source, uint64_t at_us, void *userdata)
{
	struct backup *b = userdata;

	(void)source;
	(void)at_us;
	if (b->is_reading)
		put_off_stall(b);
	else
		fail(b, "nothing of it was read for 30 s");
	return 0;
}

static void finish(struct backup *b)
{
	log_notice("a backup was made: %" PRIu64 " active tokens, %" PRIu64
		   " that have ended, %" PRIu64 " records of credentials",
		   b->counts.active, b->counts.ended, b->counts.credentials);
	end(b);
}

/* Sends what is to go out, or as much of it as there is room for. 0 or a negative errno. */
static int send_some(struct backup *b)
{
	ssize_t n;

	if (b->out_at == b->out_n)
		return 0;
	n = send(b->fd, b->out + b->out_at, b->out_n - b->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	b->out_at += (size_t)n;
	put_off_stall(b);
	return 0;
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct backup *b = userdata;
	int r = send_some(b);

	(void)source;
	(void)fd;
	(void)events;
	if (r < 0) {
		fail(b, "its reader has gone");
	} else if (b->out_at == b->out_n && b->is_last) {
		finish(b);
	} else if (b->out_at == b->out_n) {
		r = fill(b);
		if (r < 0)
			fail(b, strerror(-r));
	}
	return 0;
}

/* ---- its start ------------------------------------------------------------------------------- */

static void start_stream(struct backup *b)
{
	struct work *w = b->work;

	crypto_secretstream_xchacha20poly1305_keygen(w->head.key);
	crypto_secretstream_xchacha20poly1305_init_push(&w->stream, w->head.start, w->head.key);
	backup_stream_head_write(&w->head, w->head_bytes);
	secret_wipe(w->head.key, sizeof(w->head.key));
	b->out = w->head_bytes;
	b->out_n = sizeof(w->head_bytes);
}

static bool put_head(struct backup *b)
{
	char host[BACKUP_HOST_MAX + 1] = "";
	struct backup_entry entry = { .kind = BACKUP_HEAD, .taken_us = agent_now(b->agent) };

	(void)gethostname(host, sizeof(host) - 1);
	entry.host = span_of(host);
	return backup_put(b->work->block, &b->at, &entry);
}

static int start_sources(struct backup *b)
{
	sd_event *event = b->agent->event;
	int r = sd_event_add_io(event, &b->source, b->fd, EPOLLOUT, on_writable, b);

	if (r >= 0)
		r = sd_event_add_time_relative(event, &b->timer, CLOCK_MONOTONIC, STALL_US,
					       USEC_PER_SEC, on_stall, b);
	return r < 0 ? r : 0;
}

/* Takes the socket over. */
static int start(struct agent *a, int fd)
{
	struct backup *b = calloc(1, sizeof(*b));
	int r = -ENOMEM;

	if (!b) {
		close(fd);
		return -ENOMEM;
	}
	*b = (struct backup){ .agent = a, .fd = fd, .next = a->backups, .next_row = FIRST_ROW };
	a->backups = b;
	a->n_backups++;
	b->last_row = vault_highest_row(a->vault);
	b->sealed = malloc(BACKUP_SEALED);
	b->work = (struct work *)(void *)pool_get(&a->large);
	if (b->sealed && b->work && put_head(b)) {
		start_stream(b);
		r = start_sources(b);
	}
	if (r < 0)
		end(b);
	return r;
}

int backup_start(struct agent *a, int *ret_fd)
{
	int fds[2], r;

	if (a->n_backups >= BACKUPS_MAX)
		return -EBUSY;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	/* Nothing is heard from the other side. */
	(void)shutdown(fds[0], SHUT_RD);
	r = start(a, fds[0]);
	if (r < 0) {
		close(fds[1]);
		return r;
	}
	*ret_fd = fds[1];
	return 0;
}
