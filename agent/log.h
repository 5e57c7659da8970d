/*
 * agent/log.h - lines for people, to standard error, which under systemd is the journal. Never a
 * value.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Levels are syslog's. Each call is one line, with no newline; bytes that are no clean text are
 * replaced.
 */
void log_init(void);
/* Whether standard error is the journal's. */
bool log_is_journal(void);
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* At most one line in 10 s comes of each limit; the next one says how many were left out. */
struct log_limit {
	uint64_t next_us; /* CLOCK_MONOTONIC */
	unsigned n_left_out;
};
void log_limited(struct log_limit *limit, uint64_t monotonic_us, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
