/*
 * ctl/args.h - what was asked for on the command line, as one struct: filled by options.c, read by
 * the commands.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/span.h"
#include "protocol/scope.h"

/* By the contract. Only main() turns it into the process's end. */
enum exit_status {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_GOOD = 3, /* verify: the token is not; scan: found some */
	EXIT_DENIED = 4,
	EXIT_NO_AGENT = 5,
	/* run, in the place of the command's own: */
	EXIT_NO_CREDENTIAL = 125,
	EXIT_CANNOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
};

enum json_mode { JSON_OFF, JSON_SHORT, JSON_PRETTY };

/* Ends with NULL, as the library wants it. */
struct text_list {
	const char *texts[SCOPES_MAX + 1];
	size_t n;
};

enum { PAIRS_MAX = 64, VARIABLE_MAX = 128 };

/* VAR=CREDENTIAL */
struct pair {
	struct span variable;
	const char *credential;
};

struct pair_list {
	struct pair pairs[PAIRS_MAX];
	size_t n;
};

/* What --renew says; a number over 0 is that of the signal to send. */
enum { RENEW_NOT = 0, RENEW_RESTART = -1 };

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
	bool when_unused;

	bool binary;
	int64_t min_lifetime_s;
	struct pair_list files, envs; /* of run */
	int renew;
	int64_t after;		       /* an event's number */
	int64_t since_us;	       /* an instant */
	const char *token;	       /* an id or a name */
	bool refused;
	bool verify;
	const char *of_user, *of_unit; /* whom a question is about */
	const char *policy_dir;
	const char *state; /* the agent's state directory */

	/* of the helpers */
	const char *credential;
	const char *username;
	const char *header;
	const char *access_key_id;

	/* What is no option, the command's own words not counted. */
	char **operands;
	size_t n_operands;

	/* CLOCK_REALTIME at the start, µs: what "now" means for all that this process says. */
	uint64_t now_us;
};
