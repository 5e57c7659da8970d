/* protocol/base/parse.h - numbers and UTF-8, strictly. */
#pragma once

#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

/*
 * Reads decimal digits only: no sign, no space, no leading zeros but "0" itself.
 * Returns 0, -EINVAL, or -ERANGE (over max).
 */
int parse_u64(struct span text, uint64_t max, uint64_t *ret) MUST_USE;

/*
 * Reads "12", "1.5" or ".5" at *p, in billionths (what is finer is dropped), and moves *p past it.
 * Returns 0; -EINVAL (no number); or -ERANGE (the number is over 2^64 - 1).
 */
int parse_decimal(const char **p, unsigned __int128 *ret) MUST_USE;

/* So many billionths of unit, rounded down. Returns 0, or -ERANGE (over 2^64 - 1). */
int decimal_times(unsigned __int128 billionths, uint64_t unit, uint64_t *ret) MUST_USE;

/*
 * "4096", "64K", "1.5G": units B K M G T P E, powers of 1024 as in systemd, with spaces before
 * the unit if need be. Returns 0, -EINVAL or -ERANGE.
 */
int parse_size(const char *text, uint64_t *ret_bytes) MUST_USE;

/* "yes", "true", "on", "1" / "no", "false", "off", "0", in any case. Returns 1, 0 or -EINVAL. */
int parse_bool(const char *text) MUST_USE;

/*
 * Reads the first character of text, strictly. Returns how many bytes it takes, with its number in
 * *ret; or 0 where there is none, or not in the shortest form, or a surrogate, or over U+10FFFF.
 */
size_t utf8_decode(struct span text, uint32_t *ret) MUST_USE;

/* Whether text is UTF-8 in its shortest form, with no surrogates. */
bool utf8_valid(struct span text);

/*
 * Whether text is fit to be a name that people read: valid UTF-8 with no control characters (C0,
 * DEL, C1), no line or paragraph separators, and none of the marks that turn the direction of
 * writing (U+202A-202E, U+2066-2069, U+200E, U+200F, U+061C), with which one name could pass for
 * another on a terminal.
 */
bool utf8_clean(struct span text);
