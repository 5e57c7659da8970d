/* ctl/passphrase.h - a passphrase, as one is asked for. */
#pragma once

#include <stdbool.h>

#include "ctl/secret.h"

enum { PASSPHRASE_MAX = 1024 };

/*
 * Reads one to *ret, a NUL after it: on a terminal a line, without echo, and `again` asks a second
 * time and wants the same; else all of standard input, less one newline. what: of what it is, for
 * the prompt ("Passphrase of the backup").
 * Returns EXIT_DONE, with what secret_done() ends; or what it failed with, said: an empty one and
 * one over PASSPHRASE_MAX bytes are none.
 */
int passphrase_read(const char *what, bool again, struct secret *ret) MUST_USE;
