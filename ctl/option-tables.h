/* ctl/option-tables.h - the options of those commands that commands.c does not tell of itself. */
#pragma once

#include "ctl/options.h"

extern const struct option put_options[], get_options[], run_options[], watch_options[], audit_options[],
	explain_options[], doctor_options[], restore_options[];
