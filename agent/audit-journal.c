/*
 * agent/audit-journal.c - see audit-journal.h. The protocol is the journal's own, a datagram of
 * FIELD=value lines (systemd.io/JOURNAL_NATIVE_PROTOCOL), written here and not by
 * sd_journal_sendv(): that waits where the journal is slow, and takes a socket that is not there
 * for success, so that nobody would hear of what is lost.
 *
 * Invariant: while something is in the ring or was lost, nothing overtakes it, so that the order is
 * that of what happened, and a gap stands where it was.
 */
#include "agent/audit-journal.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/audit-words.h"
#include "agent/log.h"
#include "protocol/base/time.h"
#include "protocol/token.h"

enum { MESSAGE_SIZE = 2048, AT_ONCE = 64 /* of the ring, before others get their turn */ };
static const uint64_t RETRY_US = USEC_PER_SEC;
static const uint64_t LAST_US = 2 * USEC_PER_SEC;
enum { LAST_MS = 300 };

struct audit_journal {
	sd_event *event;
	struct sockaddr_un address;
	uid_t own_uid;
	void (*on_gap)(void *userdata, uint32_t n);
	void *userdata;
	int fd; /* connected; -1: not */
	sd_event_source *source, *timer;
	bool is_waiting; /* for the socket or the timer */
	size_t first, n; /* of the ring */
	uint32_t lost;	 /* entries that come after those in the ring */
	struct audit_note *ring;
};

/* ---- the message ----------------------------------------------------------------------------- */

struct message {
	char text[MESSAGE_SIZE];
	size_t n;
};

/* One field; no value has a newline: entries have no such bytes, and neither has a sentence. */
__attribute__((format(printf, 3, 4)))
static void add(struct message *m, const char *name, const char *format, ...)
{
	size_t room = sizeof(m->text) - m->n;
	va_list args;
	int n, r;

	n = snprintf(m->text + m->n, room, "%s=", name);
	va_start(args, format);
	r = vsnprintf(m->text + m->n + n, room - (size_t)n, format, args);
	va_end(args);
	/* A field that has no room is left out; those that come first are the ones that count. */
	if (r < 0 || (size_t)n + (size_t)r + 1 >= room)
		return;
	for (size_t i = m->n + (size_t)n; i < m->n + (size_t)(n + r); i++)
		if ((unsigned char)m->text[i] < 0x20 || m->text[i] == 0x7f)
			m->text[i] = '?';
	m->n += (size_t)(n + r);
	m->text[m->n++] = '\n';
}

static void add_token(struct message *m, uint64_t id)
{
	char text[TOKEN_ID_LEN];

	token_id_write(id, text);
	add(m, "JETON_TOKEN_ID", "%.*s", (int)sizeof(text), text);
}

static void write_message(const struct audit_journal *j, const struct audit_note *note,
			  struct message *m)
{
	const struct audit_entry *e = &note->entry;
	struct audit_kind kind = audit_kind_of(e);
	char sentence[1024];

	m->n = 0;
	audit_sentence(e, note->why, j->own_uid, sentence, sizeof(sentence));
	add(m, "MESSAGE", "%s", sentence);
	add(m, "MESSAGE_ID", "%s", kind.message_id);
	add(m, "PRIORITY", "%d", kind.priority);
	add(m, "SYSLOG_IDENTIFIER", "jetond");
	add(m, "JETON_OPERATION", "%s", e->operation);
	add(m, "JETON_RESULT", "%s", e->result);
	add(m, "JETON_COUNT", "%u", e->count);
	if (e->token)
		add_token(m, e->token);
	if (e->owner_uid != AUDIT_NO_UID)
		add(m, "JETON_OWNER_UID", "%u", (unsigned)e->owner_uid);
	if (e->credential[0])
		add(m, "JETON_CREDENTIAL", "%s", e->credential);
	add(m, "JETON_PEER_UID", "%u", (unsigned)e->peer_uid);
	if (e->peer_pid)
		add(m, "JETON_PEER_PID", "%d", (int)e->peer_pid);
	if (e->unit[0])
		add(m, "JETON_PEER_UNIT", "%s", e->unit);
	if (e->seq)
		add(m, "JETON_SEQ", "%llu", (unsigned long long)e->seq);
}

/* ---- the socket ------------------------------------------------------------------------------ */

static void disconnect(struct audit_journal *j)
{
	j->source = sd_event_source_unref(j->source);
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata);

static int connect_journal(struct audit_journal *j)
{
	int r;

	j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (j->fd < 0)
		return -errno;
	if (connect(j->fd, (const struct sockaddr *)&j->address, sizeof(j->address)) < 0) {
		r = -errno;
		disconnect(j);
		return r;
	}
	r = sd_event_add_io(j->event, &j->source, j->fd, 0, on_writable, j);
	if (r < 0)
		disconnect(j);
	return r;
}

/* 0; -EAGAIN: it has no room now; other: it is not there. */
static int send_note(struct audit_journal *j, const struct audit_note *note)
{
	struct message m;
	int r = j->fd < 0 ? connect_journal(j) : 0;

	if (r < 0)
		return r;
	write_message(j, note, &m);
	if (send(j->fd, m.text, m.n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	r = -errno;
	if (r != -EAGAIN)
		disconnect(j);
	return r;
}

/* Goes on when the socket can be written to, or after a while. */
static void wait_for(struct audit_journal *j, int r)
{
	if (r == -EAGAIN)
		(void)sd_event_source_set_io_events(j->source, EPOLLOUT);
	/* Also where the socket never says so: its journal may have made room for another. */
	(void)sd_event_source_set_time_relative(j->timer, RETRY_US);
	(void)sd_event_source_set_enabled(j->timer, SD_EVENT_ONESHOT);
	j->is_waiting = true;
}

static void stop_waiting(struct audit_journal *j)
{
	if (j->source)
		(void)sd_event_source_set_io_events(j->source, 0);
	(void)sd_event_source_set_enabled(j->timer, SD_EVENT_OFF);
	j->is_waiting = false;
}

/* ---- what waits ------------------------------------------------------------------------------ */

static int send_gap(struct audit_journal *j)
{
	struct audit_note note = {
		.entry = { .count = j->lost,
			   .at_us = time_now_us(),
			   .peer_uid = j->own_uid,
			   .owner_uid = AUDIT_NO_UID,
			   .result = "journal" },
	};
	uint32_t n = j->lost;
	int r;

	audit_text(note.entry.operation, sizeof(note.entry.operation),
		   span_of(audit_operation_text(AUDIT_GAP)));
	r = send_note(j, &note);
	if (r == 0) {
		j->lost = 0;
		j->on_gap(j->userdata, n);
	}
	return r;
}

static int send_next(struct audit_journal *j)
{
	int r;

	if (j->n == 0)
		return send_gap(j);
	r = send_note(j, &j->ring[j->first]);
	if (r == 0) {
		j->first = (j->first + 1) % AUDIT_RING;
		j->n--;
	}
	return r;
}

/* Sends what waits, some of it at once. */
static void go_on(struct audit_journal *j)
{
	int r = 0;

	stop_waiting(j);
	for (unsigned i = 0; r == 0 && i < AT_ONCE && (j->n > 0 || j->lost > 0); i++)
		r = send_next(j);
	if (j->n > 0 || j->lost > 0)
		wait_for(j, r < 0 ? r : -EAGAIN);
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source;
	(void)fd;
	(void)events;
	go_on(userdata);
	return 0;
}

static int on_time(sd_event_source *source, uint64_t at_us, void *userdata)
{
	struct audit_journal *j = userdata;

	(void)source;
	(void)at_us;
	/* Whoever reads at this path now may be another one. */
	disconnect(j);
	go_on(j);
	return 0;
}

static void keep(struct audit_journal *j, const struct audit_note *note)
{
	if (j->n == AUDIT_RING || j->lost > 0) {
		j->lost += j->lost < UINT32_MAX;
		return;
	}
	j->ring[(j->first + j->n++) % AUDIT_RING] = *note;
}

void audit_journal_tell(struct audit_journal *j, const struct audit_note *note)
{
	int r;

	if (!j->is_waiting) {
		r = send_note(j, note);
		if (r == 0)
			return;
		wait_for(j, r);
	}
	keep(j, note);
}

/*
 * At the end of the agent: what is left, as long as there is somebody who takes it, and for two
 * seconds at most. Nobody is kept waiting any more but the end itself.
 */
static void send_rest(struct audit_journal *j)
{
	uint64_t until_us = time_now_us() + LAST_US;
	int r = 0;

	while (r == 0 && (j->n > 0 || j->lost > 0)) {
		struct pollfd p = { .events = POLLOUT };

		r = send_next(j);
		p.fd = j->fd;
		if (r == -EAGAIN && time_now_us() < until_us && poll(&p, 1, LAST_MS) > 0)
			r = 0;
	}
	if (j->n > 0 || j->lost > 0)
		log_error("%zu entries of the audit did not reach the journal", j->n + j->lost);
}

/* ---- birth and end --------------------------------------------------------------------------- */

int audit_journal_new(sd_event *event, const char *path, uid_t own_uid,
		      void (*on_gap)(void *userdata, uint32_t n), void *userdata,
		      struct audit_journal **ret)
{
	struct audit_journal *j;
	int r;

	if (strlen(path) >= sizeof(j->address.sun_path))
		return -ENAMETOOLONG;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	*j = (struct audit_journal){ .event = sd_event_ref(event),
				     .address.sun_family = AF_UNIX,
				     .own_uid = own_uid,
				     .on_gap = on_gap,
				     .userdata = userdata,
				     .fd = -1 };
	memcpy(j->address.sun_path, path, strlen(path));
	/* Costs nothing before it is written to. */
	j->ring = calloc(AUDIT_RING, sizeof(*j->ring));
	r = j->ring ? sd_event_add_time(event, &j->timer, CLOCK_MONOTONIC, 0, 0, on_time, j)
		    : -ENOMEM;
	if (r >= 0)
		r = sd_event_source_set_enabled(j->timer, SD_EVENT_OFF);
	if (r < 0) {
		audit_journal_free(j);
		return r;
	}
	*ret = j;
	return 0;
}

void audit_journal_free(struct audit_journal *j)
{
	if (!j)
		return;
	send_rest(j);
	disconnect(j);
	sd_event_source_unref(j->timer);
	sd_event_unref(j->event);
	free(j->ring);
	free(j);
}
