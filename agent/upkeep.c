/*
 * agent/upkeep.c - see upkeep.h. Each kind of work goes in slices, one slice under way at a time,
 * so that a million tokens ending at once delay no call.
 */
#include "agent/upkeep.h"

#include <sys/stat.h>

#include "agent/audit.h"
#include "agent/change.h"
#include "agent/holder.h"
#include "agent/last-use.h"
#include "agent/lock.h"
#include "agent/rules-in-force.h"
#include "agent/trim.h"
#include "agent/watch.h"
#include "protocol/base/time.h"

/* Touched by systemd-timesyncd whenever it has synchronised the clock. */
#define SYNCHRONIZED "/run/systemd/timesync/synchronized"

enum {
	SLICE = 256,
	ENDED_PER_OWNER = 1000,
};
static const uint64_t KEEP_EVERY_US = 30 * USEC_PER_SEC; /* last uses are kept to within a minute */
static const uint64_t NAMES_EVERY_US = 300 * USEC_PER_SEC; /* accounts are looked up again */
static const uint64_t RETRY_US = 5 * USEC_PER_SEC;	   /* after the store failed */

static const uint64_t SETTLED_US = 250 * 1000; /* names are looked up, policies in force */

static void arm(struct agent *a, uint64_t at_us)
{
	if (at_us == UINT64_MAX) {
		(void)sd_event_source_set_enabled(a->expiry_timer, SD_EVENT_OFF);
		return;
	}
	(void)sd_event_source_set_time(a->expiry_timer, at_us);
	(void)sd_event_source_set_enabled(a->expiry_timer, SD_EVENT_ONESHOT);
}

void upkeep_vault_changed(struct agent *a)
{
	uint64_t next = vault_next_expiry_us(a->vault);

	if (a->sweeping || next == a->next_expiry_us)
		return;
	a->next_expiry_us = next;
	arm(a, next);
}

static void on_swept(struct agent *a, int r)
{
	a->sweeping = false;
	a->next_expiry_us = 0;
	if (r < 0)
		arm(a, agent_now(a) + RETRY_US);
	else
		upkeep_vault_changed(a);
}

/* ---- the clock ------------------------------------------------------------------------------- */

/* When systemd-timesyncd last set it; 0: never, since the machine was started. */
static uint64_t synchronized_us(void)
{
	struct stat st;

	if (stat(SYNCHRONIZED, &st) < 0 || st.st_mtim.tv_sec <= 0)
		return 0;
	return (uint64_t)st.st_mtim.tv_sec * USEC_PER_SEC + (uint64_t)st.st_mtim.tv_nsec / 1000;
}

static void tell_of_clock(const struct agent *a, enum wall_clock_news news)
{
	int64_t apart_us = a->wall_clock.apart_us;
	char span[64];

	time_format_span((uint64_t)(apart_us < 0 ? -apart_us : apart_us) / USEC_PER_SEC *
				 USEC_PER_SEC,
			 span, sizeof(span));
	if (news == WALL_CLOCK_AHEAD)
		log_warning("the clock is %s ahead of what it should be, or no agent ran for so long: "
			    "until time synchronisation confirms it, or it has stood for an hour, "
			    "tokens whose time is over by it are refused, but those that nobody "
			    "asks for do not end; set the clock if it is wrong",
			    span);
	else if (news == WALL_CLOCK_BEHIND)
		log_warning("the clock is %s behind what it was: what has ended stays so, and all "
			    "else ends as much later; set the clock if it is wrong",
			    span);
	else if (news == WALL_CLOCK_RIGHT)
		log_notice("the clock is right again");
	else if (news == WALL_CLOCK_CONFIRMED)
		log_notice("the clock is believed as it is from now on");
}

/* Of now, and not of the turn: what is compared with another clock is read together with it. */
static uint64_t boot_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

bool upkeep_believes_clock(struct agent *a)
{
	bool was_doubted = wall_clock_is_doubted(&a->wall_clock);
	enum wall_clock_news news;

	news = wall_clock_look(&a->wall_clock, time_now_us(), boot_now_us(), synchronized_us());
	tell_of_clock(a, news);
	if (!wall_clock_is_doubted(&a->wall_clock) && was_doubted)
		a->next_expiry_us = 0; /* what waited for this */
	return !wall_clock_is_doubted(&a->wall_clock);
}

static void start_clock(struct agent *a)
{
	wall_clock_start(&a->wall_clock, time_now_us(), boot_now_us(),
			 vault_next_expiry_us(a->vault), audit_loaded_last_us(a));
	(void)upkeep_believes_clock(a);
}

/* ---- ends ------------------------------------------------------------------------------------ */

void upkeep_sweep(struct agent *a)
{
	struct vault_change *change;
	size_t n = 0;

	if (a->sweeping)
		return;
	if (!upkeep_believes_clock(a)) {
		/* on_keep() looks again. */
		arm(a, UINT64_MAX);
		return;
	}
	change = vault_change_new(a->vault);
	if (!change || vault_prepare_expired(change, agent_now(a), SLICE, &n) < 0 || n == 0) {
		vault_rollback(change);
		/*
		 * Nothing is due yet (the clock was set back, or the timer early), or there is no
		 * memory.
		 */
		a->next_expiry_us = vault_next_expiry_us(a->vault);
		arm(a,
		    a->next_expiry_us > agent_now(a) ? a->next_expiry_us : agent_now(a) + RETRY_US);
		return;
	}
	a->sweeping = true;
	if (change_submit_own(a, change, on_swept) < 0)
		on_swept(a, -1);
}

static int on_expiry(sd_event_source *source, uint64_t at_us, void *userdata)
{
	(void)source;
	(void)at_us;
	upkeep_sweep(userdata);
	return 0;
}

/* ---- ended tokens that are no longer kept ----------------------------------------------------- */

static void forget_some(struct agent *a);

static void on_forgotten(struct agent *a, int r)
{
	a->forgetting = false;
	if (r == 0)
		forget_some(a);
}

static void forget_some(struct agent *a)
{
	uint64_t now = agent_now(a), keep = a->settings.keep_ended_us;
	struct vault_change *change;
	size_t n = 0;

	/* A restore counts on it that what has ended stays known. */
	if (a->forgetting || a->restore || !upkeep_believes_clock(a))
		return;
	change = vault_change_new(a->vault);
	if (!change ||
	    vault_prepare_forget(change, now > keep ? now - keep : 0, ENDED_PER_OWNER, SLICE, &n) <
		    0 ||
	    n == 0) {
		vault_rollback(change);
		return;
	}
	a->forgetting = change_submit_own(a, change, on_forgotten) == 0;
}

/* A whole period without a call, after one with calls. */
static void trim_when_idle(struct agent *a)
{
	bool idle = a->n_calls == a->n_calls_before;

	if (idle && !a->is_trimmed)
		trim_memory();
	a->is_trimmed = idle;
	a->n_calls_before = a->n_calls;
}

static int on_keep(sd_event_source *source, uint64_t at_us, void *userdata)
{
	struct agent *a = userdata;

	(void)at_us;
	last_use_keep(a);
	forget_some(a);
	if (upkeep_believes_clock(a))
		upkeep_vault_changed(a);
	holders_tidy(a);
	if (a->reload_untold)
		watch_reloaded(a);
	lock_tell(a);
	trim_when_idle(a);
	(void)sd_event_source_set_time(source, agent_monotonic(a) + KEEP_EVERY_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_names_age(sd_event_source *source, uint64_t at_us, void *userdata)
{
	struct agent *a = userdata;

	(void)at_us;
	rules_refresh_names(a);
	(void)sd_event_source_set_time(source, agent_monotonic(a) + NAMES_EVERY_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_started(sd_event_source *source, uint64_t at_us, void *userdata)
{
	(void)source;
	(void)at_us;
	(void)userdata;
	trim_memory();
	return 0;
}

int upkeep_init(struct agent *a)
{
	uint64_t now = agent_monotonic(a);
	int r;

	r = sd_event_add_time(a->event, &a->expiry_timer, CLOCK_REALTIME, 0, 1000, on_expiry, a);
	if (r >= 0)
		r = sd_event_source_set_enabled(a->expiry_timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(a->event, &a->keep_timer, CLOCK_MONOTONIC,
				      now + KEEP_EVERY_US, USEC_PER_SEC, on_keep, a);
	if (r >= 0)
		r = sd_event_add_time(a->event, &a->names_timer, CLOCK_MONOTONIC,
				      now + NAMES_EVERY_US, USEC_PER_SEC, on_names_age, a);
	if (r >= 0)
		r = sd_event_add_time(a->event, NULL, CLOCK_MONOTONIC, now + SETTLED_US, 0,
				      on_started, a);
	if (r < 0)
		return r;
	start_clock(a);
	upkeep_vault_changed(a);
	return 0;
}

void upkeep_done(struct agent *a)
{
	a->expiry_timer = sd_event_source_unref(a->expiry_timer);
	a->keep_timer = sd_event_source_unref(a->keep_timer);
	a->names_timer = sd_event_source_unref(a->names_timer);
}
