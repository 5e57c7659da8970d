/*
 * agent/secretmem.h - locked memory: never swapped, never in a core, never inherited.
 *
 * memfd_secret where the kernel has it (then not even root reads it through /proc/PID/mem), else
 * anonymous memory with mlock. Which of the two is decided by the first region and holds for all;
 * memory that could not be locked is never used, unless the administrator said so
 * (AllowUnlocked=yes).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/cleanup.h"

enum memory_kind { MEMORY_SECRETMEM, MEMORY_LOCKED, MEMORY_UNLOCKED };

/* What one agent has locked. Embedded in the agent, all zeros at first; regions point to it. */
struct secretmem {
	enum memory_kind kind;
	bool decided;	     /* kind is settled: a region has grown once */
	bool allow_unlocked; /* from the settings, before the first region */
	bool no_secretmem;   /* tests: behave as a kernel without memfd_secret */
	/*
	 * With allow_unlocked, before the first region: what an empty agent needs, in bytes. Where
	 * the limit is lower, all is unlocked from the first region on, rather than failing at the
	 * second or third.
	 */
	size_t needed;
	size_t locked; /* bytes, in all regions; with MEMORY_UNLOCKED those that should be */
};

/*
 * The limit on locked memory in force for this process, in bytes; SIZE_MAX for none (also with
 * CAP_IPC_LOCK).
 */
size_t secretmem_limit(void);

/*
 * A run of address space that is filled with locked memory from its start on, in steps. Its start
 * never moves, so pointers and offsets into it live as long as it does. Not inherited by a child
 * (MADV_DONTFORK), not in a core.
 */
struct region {
	struct secretmem *mem; /* NULL: ordinary memory, which nothing locks */
	char *base;
	size_t size;	 /* usable now: locked, touched, zeroed */
	size_t reserved; /* at most, ever */
};

/*
 * Reserves address space for `reserve` bytes (rounded up to pages); locks nothing yet. mem NULL
 * makes a region of ordinary memory, for what is no secret but must not move. 0 or -ENOMEM.
 */
int region_init(struct region *r, struct secretmem *mem, size_t reserve) MUST_USE;

/*
 * Makes at least n more bytes usable (rounded up to pages), zeroed and touched.
 * Returns 0; -ENOSPC where `reserved` would be exceeded; -ENOMEM where the limit on locked memory
 * (or memory itself) is reached. Nothing has changed on failure.
 */
int region_grow(struct region *r, size_t n) MUST_USE;

/* Wipes and gives back all of it. Fine on a region that is all zeros, or twice. */
void region_done(struct region *r);

/* Overwrites n bytes such that no compiler leaves it out. */
void secret_wipe(void *p, size_t n);

#include "agent/pool.h"
