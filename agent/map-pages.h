/*
 * agent/map-pages.h - a large map in few, large pages: who looks tokens up at random in a map of
 * small ones waits for the table of pages nearly as long as for the token, and each of its readers
 * has such a table (256 KiB for a million tokens).
 *
 * The kernel makes large pages of shared memory only where it is told to by the administrator, or
 * asked for it for once (MADV_COLLAPSE, since Linux 6.1; it copies what is there). Where it does not,
 * all is as it was.
 */
#pragma once

#include <stdint.h>

/*
 * Asks for it, for the first `bytes` of the memory behind fd, all of which is there already. It takes
 * as long as copying it all, and longer where the kernel has to make room first; whoever reads or
 * writes there meanwhile waits for a page's copy at most. Returns 0 or a negative errno: nothing
 * depends on it.
 */
int map_pages_join(int fd, uint64_t bytes);

/* The same, soon, in a thread of its own. fd stays the caller's. */
void map_pages_join_soon(int fd, uint64_t bytes);
