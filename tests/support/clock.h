/*
 * tests/support/clock.h - a clock of the tests' own, for the whole of a process that links clock.c:
 * its clock_gettime() and its timers, those of libraries included.
 *
 * Shifted: JETON_TEST_CLOCK names a file that holds a struct test_clock_page, and FILE.bell a FIFO.
 * Clocks are the real ones plus the offsets in the page, which another process changes as it likes:
 * it writes them, adds 1 to `turn`, writes a byte into the bell and waits until `seen` is `turn`.
 * From then on timers stand as they do after such a step: those by a clock that has passed their
 * instant have fired. Suspension is the same step of REALTIME and BOOTTIME.
 *
 * Frozen: time stands still until it is told to move, and no timer fires by itself.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

enum test_clock {
	TEST_CLOCK_REALTIME,
	TEST_CLOCK_BOOTTIME,
	TEST_CLOCK_MONOTONIC,
	TEST_CLOCKS,
};

/* In the order and size that tests/agent/clock.py has, too. */
struct test_clock_page {
	_Atomic int64_t offset_us[TEST_CLOCKS];
	_Atomic uint32_t turn;
	_Atomic uint32_t seen;
};

/*
 * From here on CLOCK_REALTIME is realtime_us since the epoch, and the others stand at what they are
 * in a process that was frozen at the same instant of boot: 1000 s. For a process of one thread.
 */
void test_clock_freeze(uint64_t realtime_us);

/* Time passes, in all clocks: timers that it has come to fire, in the next look at them. */
void test_clock_advance(uint64_t us);

/* REALTIME alone goes to that instant, as when somebody sets it. Frozen only. */
void test_clock_set(uint64_t realtime_us);

/* Clocks and timers are the kernel's again. */
void test_clock_thaw(void);
