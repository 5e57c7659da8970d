/* protocol/base/time.h - instants and spans, and how people write them; pure but time_now_us(). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/cleanup.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define SEC_PER_DAY UINT64_C(86400)

/* CLOCK_REALTIME, µs since the epoch. */
uint64_t time_now_us(void);

/*
 * Reads a span as systemd writes it: "1h 30min", "1h30min", "7d", "90", "1y"; a number alone is
 * seconds. Units: us usec ms msec s sec second seconds m min minute minutes h hr hour hours d day
 * days w week weeks M month months y year years (a year is 365.25 days, a month a twelfth of that,
 * as in systemd). Fractions ("1.5h") are taken.
 * Returns 0 with *ret_us, or -EINVAL (no span, or an empty text), or -ERANGE (over 2^63 - 1 µs).
 */
int time_parse_span(const char *text, uint64_t *ret_us) MUST_USE;

/*
 * Reads an instant: a span from now on ("30d"), a date ("2027-01-31", its first moment in local
 * time), a date and time ("2027-01-31 12:00[:30]", local, or UTC where " UTC" stands behind it) or
 * RFC 3339 ("2027-01-31T12:00:00Z", "...+02:00").
 * Returns 0 with *ret_us (since the epoch), or -EINVAL, or -ERANGE (before 1970, after 9999).
 */
int time_parse_when(const char *text, uint64_t now_us, uint64_t *ret_us) MUST_USE;

/*
 * "in 29 days", "3 minutes ago", "just now" (under a second): the coarsest unit (years, months,
 * days, hours, minutes, seconds) alone, rounded down. At least 40 bytes of dst. Returns dst.
 */
const char *time_format_relative(uint64_t at_us, uint64_t now_us, char *dst, size_t size);

/* "2027-01-31 12:00:00 CET": in local time. At least 64 bytes of dst. Returns dst. */
const char *time_format_local(uint64_t at_us, char *dst, size_t size);

/*
 * "30d", "1h 30min", "2y", "0s": the whole seconds of a span, exactly, so that time_parse_span()
 * reads the same again. Years where they come out even, else days, hours, minutes, seconds, those
 * that are not 0. At least 40 bytes of dst. Returns dst.
 */
const char *time_format_span(uint64_t span_us, char *dst, size_t size);
