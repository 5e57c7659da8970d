/* protocol/base/cleanup.h - scope-bound clean-up, and handing over what a scope has built. */
#pragma once
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

/* Defines TYPE *name##p(), for _cleanup_: calls func on a pointer variable that is not NULL. */
#define DEFINE_CLEANUP(type, func)                                                                 \
	static inline void func##p(type *p)                                                        \
	{                                                                                          \
		if (*p)                                                                            \
			func(*p);                                                                  \
	}

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

/* Gives the pointer that stands in the variable and leaves NULL there: ownership moves on. */
#define STEAL_PTR(ptr)                                                                             \
	({                                                                                         \
		__typeof__(ptr) stolen_ = (ptr);                                                   \
		(ptr) = NULL;                                                                      \
		stolen_;                                                                           \
	})

static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#define MUST_USE __attribute__((warn_unused_result))
#define NOT_ZEROED __attribute__((uninitialized)) /* large, on a hot path, never read unwritten */
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
