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
#include <sys/syscall.h>

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

/*
 * The entry of a holder that a loaded token names: of one that lives, or of one that is to die at
 * once.
 */
static struct holder_entry *entry_of_loaded(struct agent *a, const struct token_facts *facts,
					    bool *ret_lives)
{
	_cleanup_close_ int pidfd = -1;
	struct holder_entry *e = holder_entry_new(a, facts->binding, &facts->holder);
	uint64_t inode;

	*ret_lives = false;
	if (!e)
		return NULL;
	if (e->binding == BINDING_UNIT) {
		*ret_lives = holder_watch_unit(e) == 0;
	} else if (a->holders->has_boot && memcmp(e->holder.boot, a->holders->boot, 16) == 0) {
		pidfd = (int)syscall(SYS_pidfd_open, e->holder.pid, 0);
		*ret_lives = pidfd >= 0 && holder_inode_of(pidfd, &inode) == 0 &&
			     inode == e->holder.pidfd_inode && !holder_has_ended(pidfd) &&
			     holder_watch_process(e, &pidfd) == 0;
	}
	return e;
}

static int take_loaded(struct agent *a, const struct token_facts *facts)
{
	struct holder_entry *e = holder_entry_find(a->holders, facts->binding, &facts->holder);
	bool lives = true;

	if (!e) {
		e = entry_of_loaded(a, facts, &lives);
		if (!e)
			return -ENOMEM;
		holder_entry_put_in(a->holders, e);
	}
	holder_bind(a, e, facts->id);
	if (!lives)
		holder_die(e);
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
		vault_facts(a->vault, ref, &facts);
		if (facts.binding != BINDING_NONE)
			r = take_loaded(a, &facts);
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
	h->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (h->inotify < 0)
		return -errno;
	h->has_boot = read_boot(h->boot);
	if (!h->has_boot)
		log_warning("the boot's id can't be read, so nothing can be bound to a process: "
			    "set Environment=JETON_BOOT_ID=%%b in the unit");
	r = sd_event_add_io(a->event, &h->inotify_source, h->inotify, EPOLLIN, holder_on_unit_event,
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
	while (h->dying)
		holder_free_first_dying(h);
	sd_event_source_unref(h->inotify_source);
	sd_event_source_unref(h->retry_timer);
	if (h->inotify >= 0)
		close(h->inotify);
	free(h);
	a->holders = NULL;
}
