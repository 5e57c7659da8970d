/*
 * agent/holder-start.c - whom the tokens of an earlier agent are bound to: who went while there was
 * none is noticed here.
 */
#include "agent/holder-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

#include "protocol/base/fd.h"

/* Whether text is a UUID, with or without dashes; then *ret_boot has its bytes. */
static bool parse_uuid(const char *text, uint8_t ret_boot[static 16])
{
	size_t n = 0;
	unsigned byte;

	for (const char *p = text; *p && n < 16; p++) {
		if (*p == '-')
			continue;
		if (sscanf(p, "%2x", &byte) != 1)
			return false;
		ret_boot[n++] = (uint8_t)byte;
		p++;
	}
	return n == 16;
}

/*
 * The boot's id, from the kernel; or, where a unit hides that (ProcSubset=pid), from the unit:
 * Environment=JETON_BOOT_ID=%b. Without one, nothing can be bound to a process.
 */
static bool read_boot(uint8_t ret_boot[static 16])
{
	_cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	const char *given = getenv("JETON_BOOT_ID");
	char text[64] = "";

	if (fd >= 0 && fd_read_all(fd, text, sizeof(text) - 1) > 0)
		return parse_uuid(text, ret_boot);
	return given && parse_uuid(given, ret_boot);
}

static int take_loaded(struct agent *a, const struct token_facts *facts)
{
	struct holder_entry *e = holder_entry_find(a->holders, facts->binding, &facts->holder);
	int r = 0;

	if (!e) {
		e = holder_entry_new(a, facts->binding, &facts->holder);
		if (!e)
			return -ENOMEM;
		holder_entry_put_in(a->holders, e);
		r = holder_watch_remembered(e);
	}
	holder_bind(a, e, facts->id);
	holder_note_look(e, r);
	return 0;
}

static int look_at_loaded(struct agent *a)
{
	struct vault_cursor cursor;
	struct token_facts facts;
	token_ref ref;
	int r = 0;

	vault_cursor_init(&cursor, a->vault, NULL, true);
	while (r == 0 && (ref = vault_cursor_peek(&cursor)) != REF_NONE) {
		if (vault_is_bound(a->vault, ref)) {
			vault_facts(a->vault, ref, &facts);
			r = take_loaded(a, &facts);
		}
		vault_cursor_step(&cursor);
	}
	vault_cursor_done(&cursor);
	return r;
}

int holders_start(struct agent *a)
{
	struct holders *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	a->holders = h;
	h->dying_end = &h->dying;
	h->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	h->exits = epoll_create1(EPOLL_CLOEXEC);
	if (h->inotify < 0 || h->exits < 0)
		return -errno;
	h->has_boot = read_boot(h->boot);
	if (!h->has_boot)
		log_warning("the boot's id can't be read, so nothing can be bound to a process: "
			    "set Environment=JETON_BOOT_ID=%%b in the unit");
	r = sd_event_add_io(a->event, &h->inotify_source, h->inotify, EPOLLIN, holder_on_unit_event,
			    a);
	if (r >= 0)
		r = sd_event_add_io(a->event, &h->exits_source, h->exits, EPOLLIN, holder_on_exits,
				    a);
	if (r >= 0)
		r = sd_event_add_time_relative(a->event, &h->retry_timer, CLOCK_MONOTONIC, 0, 0,
					       holder_on_retry, a);
	if (r >= 0)
		r = sd_event_source_set_enabled(h->retry_timer, SD_EVENT_OFF);
	return r < 0 ? r : look_at_loaded(a);
}

void holders_done(struct agent *a)
{
	struct holders *h = a->holders;
	struct holder_entry *e;

	if (!h)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		while ((e = h->slots[i])) {
			h->slots[i] = e->next;
			holder_entry_free(e);
		}
	while ((e = h->dying)) {
		h->dying = e->next;
		holder_entry_free(e);
	}
	sd_event_source_unref(h->inotify_source);
	sd_event_source_unref(h->retry_timer);
	sd_event_source_unref(h->exits_source);
	if (h->inotify >= 0)
		close(h->inotify);
	if (h->exits >= 0)
		close(h->exits);
	free(h);
	a->holders = NULL;
}
