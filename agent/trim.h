/* agent/trim.h - gives back what only the start needed. */
#pragma once

/*
 * Drops this process's hold on pages of programs and libraries that are as they are on disk, and
 * free pages of the heap. What is still used comes back by itself, a page fault each.
 */
void trim_memory(void);
