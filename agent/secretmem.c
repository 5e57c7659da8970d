/*
 * agent/secretmem.c - locked memory.
 *
 * A region is one reservation of address space (PROT_NONE) that is made usable from its start on.
 * Nothing may ever stand in a hole of it, so no step unmaps before it maps: a piece of memfd_secret
 * is mapped elsewhere, touched, and only then moved over the reservation (a refused MAP_FIXED may
 * already have taken away what was there); the other kinds change the reservation's protection.
 *
 * Pages are touched by a system call that writes to them: where the kernel has no page left this is
 * an error, and not the SIGBUS that a store from user space would be.
 */
#include "agent/secretmem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Above this a limit is none: no machine has as much. */
#define LIMIT_NONE ((rlim_t)1 << 46)

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* n rounded up to pages; 0 where that is more than can be. */
static size_t to_pages(size_t n)
{
	size_t page = page_size();

	return n > SIZE_MAX - page ? 0 : (n + page - 1) & ~(page - 1);
}

/*
 * Whether the limit does not count for us. The kernel is asked by trying, since CAP_IPC_LOCK counts
 * in the first user namespace only, and nothing tells for sure whether this is that one. PROT_NONE:
 * not a page of it is filled.
 */
static bool may_exceed(size_t limit)
{
	size_t n = to_pages(limit) + page_size();
	void *p = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_LOCKED,
		       -1, 0);

	if (p == MAP_FAILED)
		return false;
	munmap(p, n);
	return true;
}

size_t secretmem_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return 0;
	if (limit.rlim_cur >= LIMIT_NONE || may_exceed((size_t)limit.rlim_cur))
		return SIZE_MAX;
	return (size_t)limit.rlim_cur;
}

void secret_wipe(void *p, size_t n)
{
	explicit_bzero(p, n);
}

int region_init(struct region *r, struct secretmem *mem, size_t reserve)
{
	size_t n = to_pages(reserve);
	void *base;

	if (n == 0)
		return -ENOMEM;
	base = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -ENOMEM;
	*r = (struct region){ .mem = mem, .base = base, .reserved = n };
	return 0;
}

/* Fills n bytes of fresh memory with pages, all zeros. 0 or -ENOMEM. */
static int touch(char *p, size_t n)
{
	size_t page = page_size();

	for (size_t i = 0; i < n; i += page) {
		if (syscall(SYS_getrandom, p + i, (size_t)1, 0U) != 1)
			return -ENOMEM;
		p[i] = 0;
	}
	return 0;
}

/*
 * A new memfd_secret of n bytes. Returns the descriptor; -ENOSYS where there is none to be had
 * here, -ENOMEM where only not now.
 */
static int secret_fd(size_t n)
{
	_cleanup_close_
	int fd = (int)syscall(SYS_memfd_secret, (unsigned)O_CLOEXEC);

	if (fd < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -ENOMEM : -ENOSYS;
	if (ftruncate(fd, (off_t)n) < 0)
		return -ENOSYS;
	return steal_fd(&fd);
}

/*
 * n bytes of memfd_secret somewhere, filled with pages. The descriptor is closed on return: while
 * it is open, root reads the memory through it. EAGAIN of mmap is the limit on locked memory.
 */
static int secret_map(size_t n, char **ret)
{
	_cleanup_close_
	int fd = secret_fd(n);
	char *p;

	if (fd < 0)
		return fd;
	p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return errno == EAGAIN || errno == ENOMEM ? -ENOMEM : -ENOSYS;
	if (madvise(p, n, MADV_DONTFORK) < 0 || touch(p, n) < 0) {
		munmap(p, n);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

static int grow_secret(struct region *r, size_t n)
{
	char *p;
	int k = secret_map(n, &p);

	if (k < 0)
		return k;
	if (mremap(p, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, r->base + r->size) == MAP_FAILED) {
		munmap(p, n);
		return -ENOMEM;
	}
	return 0;
}

/* Makes what was just made usable a reservation again. */
static void shrink_back(char *p, size_t n)
{
	syscall(SYS_munlock, p, n);
	madvise(p, n, MADV_DONTNEED);
	mprotect(p, n, PROT_NONE);
}

static int grow_plain(struct region *r, size_t n)
{
	return mprotect(r->base + r->size, n, PROT_READ | PROT_WRITE) < 0 ? -ENOMEM : 0;
}

static int grow_unlocked(struct region *r, size_t n)
{
	char *p = r->base + r->size;

	if (grow_plain(r, n) < 0)
		return -ENOMEM;
	if (madvise(p, n, MADV_DONTDUMP) < 0 || madvise(p, n, MADV_DONTFORK) < 0 ||
	    touch(p, n) < 0) {
		shrink_back(p, n);
		return -ENOMEM;
	}
	return 0;
}

static int grow_locked(struct region *r, size_t n)
{
	char *p = r->base + r->size;

	if (grow_plain(r, n) < 0)
		return -ENOMEM;
	/*
	 * mlock() last: it fills the pages, so none is ever filled and not yet kept out of cores. By
	 * its number, since the address sanitizer's mlock() does nothing and says that it worked.
	 */
	if (madvise(p, n, MADV_DONTDUMP) < 0 || madvise(p, n, MADV_DONTFORK) < 0 ||
	    syscall(SYS_mlock, p, n) < 0) {
		shrink_back(p, n);
		return -ENOMEM;
	}
	return 0;
}

static int grow_as(enum memory_kind kind, struct region *r, size_t n)
{
	static int (*const how[])(struct region *, size_t) = {
		[MEMORY_SECRETMEM] = grow_secret,
		[MEMORY_LOCKED] = grow_locked,
		[MEMORY_UNLOCKED] = grow_unlocked,
	};

	return how[kind](r, n);
}

/* The first growth of all: the best kind that works is the kind from now on. */
static int grow_first(struct secretmem *mem, struct region *r, size_t n)
{
	enum memory_kind kind = mem->no_secretmem ? MEMORY_LOCKED : MEMORY_SECRETMEM;
	int k = -ENOMEM;

	if (!mem->allow_unlocked || secretmem_limit() >= mem->needed) {
		k = grow_as(kind, r, n);
		/*
		 * Only where memfd_secret can't be had: over the limit mlock() would fail as well.
		 */
		if (k == -ENOSYS)
			k = grow_as(kind = MEMORY_LOCKED, r, n);
	}
	if (k < 0 && mem->allow_unlocked)
		k = grow_as(kind = MEMORY_UNLOCKED, r, n);
	if (k < 0)
		return k;
	mem->kind = kind;
	mem->decided = true;
	return 0;
}

int region_grow(struct region *r, size_t n)
{
	struct secretmem *mem = r->mem;
	int k;

	if (n > r->reserved - r->size)
		return -ENOSPC;
	n = to_pages(n);
	if (n == 0)
		return 0;
	if (!mem)
		k = grow_plain(r, n);
	else if (!mem->decided)
		k = grow_first(mem, r, n);
	else
		k = grow_as(mem->kind, r, n);
	if (k < 0)
		return -ENOMEM;
	r->size += n;
	if (mem)
		mem->locked += n;
	return 0;
}

void region_done(struct region *r)
{
	if (!r->base)
		return;
	if (r->mem) {
		secret_wipe(r->base, r->size);
		r->mem->locked -= r->size;
	}
	munmap(r->base, r->reserved);
	*r = (struct region){};
}
