/*
 * agent/policy/ini.h - the text of a file to its sections and KEY=VALUE lines, strictly. Knows no
 * key and no section.
 */
#pragma once

#include "agent/policy/error.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

/* Bytes of a line, of a section's name between its brackets, and of a key. */
enum { INI_LINE_MAX = 4096, INI_SECTION_MAX = 128, INI_KEY_MAX = 32 };

/*
 * What is told of a file, in its order. The texts live until the call returns. Each returns 0, or a
 * negative errno that ends the reading (-EINVAL with the mistake put down in the error that
 * ini_scan() was given).
 */
struct ini_events {
	/* `name`: what stands between the brackets, at least one byte. */
	int (*on_section)(void *userdata, const char *name, unsigned line);
	/*
	 * Only after a section. Letters and digits = at least one byte, without white space around
	 * it.
	 */
	int (*on_entry)(void *userdata, const char *key, const char *value, unsigned line);
};

/*
 * Reads the text of the file `path` (for messages only). A file is UTF-8 without a byte order mark,
 * NUL, control characters or marks that turn the direction of text; its lines end in LF (the last
 * one may do without), have at most INI_LINE_MAX bytes, and are empty, a comment (`#` or `;` as the
 * first character), `[SECTION]` or `KEY=VALUE`. White space is allowed around `=`, and before and
 * after all of it. A line that ends in a `\` goes on in the next that is no comment, as in unit files
 * (systemd.syntax(7)), with a space in the place of the `\`; its number is that of the first, its
 * length that of all.
 * Returns 0, or -EINVAL with *ret_error (the first mistake), or what an event returned; -ENOMEM.
 */
int ini_scan(const char *path, struct span text, const struct ini_events *on, void *userdata,
	     struct policy_error *ret_error) MUST_USE;
