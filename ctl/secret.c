/*
 * ctl/secret.c - pages of their own, since that is what can be locked, and kept out of dumps. That
 * they can't be locked is no failure: a user's limit may be 0, and the value passes within
 * milliseconds.
 */
#include "ctl/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int secret_init(struct secret *s, size_t size)
{
	size_t page = (size_t)getpagesize(), all = (size + page - 1) / page * page;
	void *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	(void)mlock(p, all);
	(void)madvise(p, all, MADV_DONTDUMP);
	(void)madvise(p, all, MADV_WIPEONFORK);
	*s = (struct secret){ p, 0, all };
	return 0;
}

void secret_done(struct secret *s)
{
	if (!s->p)
		return;
	explicit_bzero(s->p, s->size);
	munmap(s->p, s->size);
	*s = (struct secret){ NULL, 0, 0 };
}
