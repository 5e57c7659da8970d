/*
 * agent/settings.h - jeton.conf and its drop-ins. One table in settings.c has every setting, what
 * is shipped and its bounds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/base/cleanup.h"

enum storage { STORAGE_PERSISTENT, STORAGE_VOLATILE };
enum credential_refusal { REFUSAL_FAIL, REFUSAL_EMPTY };

struct settings {
	uint64_t min_lifetime_us, max_lifetime_us, default_lifetime_us;
	uint64_t max_tokens_per_user;
	uint64_t max_connections, max_connections_per_user;
	uint64_t memory_limit; /* bytes */
	char admin_group[64];
	uint64_t socket_mode;
	bool allow_unlocked;
	enum storage storage;
	enum credential_refusal credential_refusal;
	uint64_t keep_ended_us;
};

/* "FILE:LINE: what is wrong and what would be right" */
struct settings_message {
	char text[832];
};

/* What is shipped; of a user's own agent where `user`. */
void settings_init(struct settings *s, bool user);

/*
 * Reads the file and then file.d's *.conf in order of their names; neither need exist (where
 * `must_exist`, the file must). What is read later counts. The files and the directories they are
 * in must be owned by root or trusted_uid and writable by no one else. Unknown settings and
 * sections are warnings.
 * Returns 0; -EINVAL with *ret_error; or -ENOMEM; then *s is untouched. on_warning may be called
 * any number of times.
 */
int settings_load(struct settings *s, const char *file, bool must_exist, uid_t trusted_uid,
		  void (*on_warning)(const char *text), struct settings_message *ret_error)
	MUST_USE;

enum setting_type {
	SETTING_SPAN,  /* uint64_t, µs */
	SETTING_SIZE,  /* uint64_t, bytes */
	SETTING_COUNT, /* uint64_t */
	SETTING_MODE,  /* uint64_t, of a file: octal */
	SETTING_BOOL,  /* bool */
	SETTING_ENUM,  /* an enum whose numbers are the places of its words in `choices` */
	SETTING_NAME,  /* char[64]: of a group */
};

struct setting {
	const char *name;
	enum setting_type type;
	size_t offset;		  /* in struct settings */
	const char *shipped;	  /* as it would be written */
	const char *shipped_user; /* of a user's own agent, where that differs; else NULL */
	const char *min,
		*max; /* as they would be written; both count. NULL where the type has none */
	const char *const *choices; /* of an enum; ends in NULL */
	const char *help;	    /* what it is, for people, as one sentence */
};

/* Every setting there is, in the order in which they are shown. */
const struct setting *settings_table(size_t *ret_n);
