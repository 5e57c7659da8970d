/*
 * ctl/args.h - what was asked for on the command line, as one struct: filled by options.c, read by
 * the commands.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/scope.h"

/* By the contract. Only main() turns it into the process's end. */
enum exit_status {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_GOOD = 3, /* verify: the token is not; scan: found some */
	EXIT_DENIED = 4,
	EXIT_NO_AGENT = 5,
};

enum json_mode { JSON_OFF, JSON_SHORT, JSON_PRETTY };

/* Ends with NULL, as the library wants it. */
struct text_list {
	const char *texts[SCOPES_MAX + 1];
	size_t n;
};

/*
 * Options that were not given are NULL, false or JETON_UNSET (-1); see args_init(). All texts are
 * the command line's own.
 */
struct args {
	/* understood by every command */
	const char *socket;
	bool user;
	enum json_mode json;
	bool no_legend;
	bool quiet;
	bool help;
	bool version;

	int64_t lifetime_s;
	int64_t grace_s;
	int64_t expires_us; /* an instant */
	int64_t uses;
	int64_t expiring_s;
	int64_t unused_s;
	struct text_list scopes;
	const char *owner; /* a user's name or number */
	bool all_users;
	bool ended;
	bool leaked;
	bool revoke;
	bool yes;

	/* What is no option, the command's own words not counted. */
	char **operands;
	size_t n_operands;

	/* CLOCK_REALTIME at the start, µs: what "now" means for all that this process says. */
	uint64_t now_us;
};
