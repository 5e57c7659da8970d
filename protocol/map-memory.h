/*
 * protocol/map-memory.h - a map's memory in a process that reads it, so placed that the kernel can
 * have it in large pages, where it is in such (agent/map-pages.h).
 */
#pragma once

#include <stdint.h>

#include "protocol/base/cleanup.h"

/* What x86-64 calls a large page, and most others; elsewhere a place like any. */
enum { MAP_PAGE_BYTES = 2 * 1024 * 1024 };

/*
 * Maps that many bytes from the start of fd, read-only and shared; munmap() undoes it. Returns 0 or a
 * negative errno.
 */
int map_memory(int fd, uint64_t bytes, void **ret) MUST_USE;
