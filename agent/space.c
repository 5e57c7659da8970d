/*
 * agent/space.c - growth in steps.
 *
 * A page of memfd_secret costs 15 µs at first touch, and the loop stands still meanwhile, so a step
 * is small. But each step is a mapping of its own, of which a process may have 65,530: in a large
 * space steps are a part of it.
 */
#include "agent/space.h"

#include <errno.h>

enum { STEP_SHARE = 256 };

int space_init(struct space *s, struct secretmem *mem, struct budget *budget, size_t reserve,
	       size_t step)
{
	struct region region;
	int k = region_init(&region, mem, reserve);

	if (k < 0)
		return k;
	*s = (struct space){ .region = region, .budget = budget, .step = step };
	return 0;
}

static size_t step_of(const struct space *s)
{
	size_t share = s->region.size / STEP_SHARE;

	return share < s->step ? s->step : share;
}

static int grow(struct space *s, size_t n)
{
	size_t before = s->region.size;
	struct budget *budget = s->budget;

	if (budget && n > budget->limit - budget->used)
		return -ENOSPC;
	if (region_grow(&s->region, n) < 0)
		return -ENOSPC;
	if (budget)
		budget->used += s->region.size - before;
	return 0;
}

int space_need(struct space *s, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t least, step;

	if (size <= s->region.size)
		return 0;
	if (size > s->region.reserved)
		return -ENOSPC;
	/* In whole pages, so that the budget is held against what is really taken. */
	least = (size - s->region.size + page - 1) / page * page;
	step = (step_of(s) + page - 1) / page * page;
	if (step > least && grow(s, step) == 0)
		return 0;
	return grow(s, least);
}

void space_done(struct space *s)
{
	if (s->budget)
		s->budget->used -= s->region.size;
	region_done(&s->region);
}
