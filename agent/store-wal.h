/* agent/store-wal.h - SQLite's log, looked at before SQLite does. */
#pragma once

#include <stdint.h>

#include "protocol/base/cleanup.h"

/*
 * Whether commits that had been made durable are lost to damage in the log (-EBADMSG). SQLite takes
 * a log as far as its checksums hold and drops the rest without a word: right for the one commit
 * that was under way when the power failed, wrong where a later commit proves that an earlier one
 * had been complete, or where all is there but for a bit. fd: the log, read from its start.
 * Returns 0, -EBADMSG, or the errno of a failed read.
 */
int wal_check(int fd) MUST_USE;
