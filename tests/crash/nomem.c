/*
 * tests/crash/nomem.c - a heap that has no more: preloaded into a program, it has the N-th request
 * for memory fail, as the test says that preloads it.
 *
 * Both see the page of the file that JETON_TEST_NOMEM names. Without it all requests are met, and so
 * are those that end a process by the library's own fault where they fail: libseccomp's (2.5.4 frees
 * what it was not given), and those of libc (2.36) for NSS, which asserts that it was given it and
 * which the agent has in a thread of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Numbers of 4 bytes, in this order: tests/crash/nomem.py writes and reads them. */
struct page {
	atomic_uint at;	    /* the how many-th request fails, from 1 on; 0: none */
	atomic_uint more;   /* 1: and those after it */
	atomic_uint n;	    /* requests since the test set this to 0 */
	atomic_uint struck; /* of them failed */
	atomic_int live;    /* blocks that were given out and not taken back */
	atomic_int cached;  /* likewise, SQLite's: it keeps the pages of a store that grows */
};

static struct page own, *page = &own;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *p);

/* Where the code of a library is. */
struct code {
	const char *name;
	uintptr_t from, to;
};

static struct code seccomp = { .name = "/libseccomp." }, libc = { .name = "/libc.so" },
		   sqlite = { .name = "/libsqlite3." };

static int on_library(struct dl_phdr_info *info, size_t size, void *userdata)
{
	struct code *code = userdata;

	(void)size;
	for (unsigned i = 0; strstr(info->dlpi_name, code->name) && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];

		if (h->p_type != PT_LOAD || !(h->p_flags & PF_X))
			continue;
		code->from = info->dlpi_addr + h->p_vaddr;
		code->to = code->from + h->p_memsz;
	}
	return 0;
}

static int is_in(const struct code *code, const void *caller)
{
	return (uintptr_t)caller >= code->from && (uintptr_t)caller < code->to;
}

static int is_spared(const void *caller)
{
	return is_in(&seccomp, caller) || (is_in(&libc, caller) && gettid() != getpid());
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("JETON_TEST_NOMEM");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	(void)dl_iterate_phdr(on_library, &seccomp);
	(void)dl_iterate_phdr(on_library, &libc);
	(void)dl_iterate_phdr(on_library, &sqlite);
	p = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		page = p;
}

/* Whether this request is met. */
static int is_met(const void *caller)
{
	unsigned at = page->at, n;

	if (is_spared(caller))
		return 1;
	n = ++page->n;
	if (at == 0 || n < at || (n > at && !page->more))
		return 1;
	page->struck++;
	errno = ENOMEM;
	return 0;
}

/* It takes and gives back its own. */
static void count(const void *caller, int n)
{
	*(is_in(&sqlite, caller) ? &page->cached : &page->live) += n;
}

static void *given(const void *caller, void *p)
{
	if (p)
		count(caller, 1);
	return p;
}

void *malloc(size_t n)
{
	const void *caller = __builtin_return_address(0);

	return is_met(caller) ? given(caller, __libc_malloc(n)) : NULL;
}

void *calloc(size_t n, size_t size)
{
	const void *caller = __builtin_return_address(0);

	return is_met(caller) ? given(caller, __libc_calloc(n, size)) : NULL;
}

void *realloc(void *p, size_t n)
{
	const void *caller = __builtin_return_address(0);
	void *q;

	if (!is_met(caller))
		return NULL;
	q = __libc_realloc(p, n);
	if (q && !p)
		count(caller, 1);
	else if (!q && p && n == 0)
		count(caller, -1);
	return q;
}

void *reallocarray(void *p, size_t n, size_t size)
{
	size_t all;

	if (__builtin_mul_overflow(n, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, all);
}

void *memalign(size_t alignment, size_t n)
{
	const void *caller = __builtin_return_address(0);

	return is_met(caller) ? given(caller, __libc_memalign(alignment, n)) : NULL;
}

void *aligned_alloc(size_t alignment, size_t n)
{
	return memalign(alignment, n);
}

int posix_memalign(void **ret, size_t alignment, size_t n)
{
	void *p = memalign(alignment, n);

	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}

void free(void *p)
{
	if (p)
		count(__builtin_return_address(0), -1);
	__libc_free(p);
}
