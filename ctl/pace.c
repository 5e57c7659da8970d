/*
 * ctl/pace.c - each wait has a part that chance decides: what a thousand commands hear at the same
 * moment they do spread over two seconds, and what they could not do they try again at different
 * times.
 */
#include "ctl/pace.h"

#include "protocol/base/time.h"

#define SOON_US (USEC_PER_SEC / 2)
#define SPREAD_US (2 * USEC_PER_SEC)
#define PAUSE_MIN_US (5 * USEC_PER_SEC)
#define PAUSE_MAX_US (300 * USEC_PER_SEC)
#define RETRY_MIN_US (1 * USEC_PER_SEC)
#define RETRY_MAX_US (30 * USEC_PER_SEC)

static uint64_t twice(uint64_t us, uint64_t max_us)
{
	return us * 2 < max_us ? us * 2 : max_us;
}

void pace_init(struct pace *p)
{
	*p = (struct pace){ .due_us = PACE_NEVER, .pause_us = PAUSE_MIN_US };
}

void pace_wanted(struct pace *p, uint64_t now_us, uint64_t random)
{
	uint64_t at = now_us;

	if (p->due_us != PACE_NEVER)
		return;
	if (p->acted_us && p->acted_us + p->pause_us > at)
		at = p->acted_us + p->pause_us;
	p->due_us = at + SOON_US + random % SPREAD_US;
}

void pace_acted(struct pace *p, uint64_t now_us)
{
	bool often = p->acted_us && now_us - p->acted_us < 3 * p->pause_us;

	p->pause_us = often ? twice(p->pause_us, PAUSE_MAX_US) : PAUSE_MIN_US;
	p->acted_us = now_us;
	pace_dropped(p);
}

void pace_dropped(struct pace *p)
{
	p->due_us = PACE_NEVER;
	p->failed_us = 0;
}

void pace_failed(struct pace *p, uint64_t now_us, uint64_t random)
{
	p->failed_us = p->failed_us ? twice(p->failed_us, RETRY_MAX_US) : RETRY_MIN_US;
	p->due_us = now_us + p->failed_us + random % p->failed_us;
}

uint64_t pace_renewal_us(uint64_t now_us, uint64_t life_us, uint64_t random)
{
	uint64_t spread = life_us / 15;

	return now_us + life_us / 5 * 3 + (spread ? random % spread : 0);
}
