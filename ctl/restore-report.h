/* ctl/restore-report.h - what a restore has brought, in words. */
#pragma once

#include "ctl/args.h"
#include "ctl/backup-copy.h"
#include "ctl/owners.h"
#include "protocol/jeton.h"

struct restored {
	uint8_t start[BACKUP_START_LEN]; /* tells it from another */
	struct copied copied;		 /* what the file holds */
	struct owners owners;
	struct backup_result result; /* what the agent made of it */
};

/* Says what the agent took in and left out. Returns the exit status. */
int restore_report(const struct args *a, struct restored *r);

/*
 * Says that it lies in dir and waits for the agent, which has not taken it in; result is what its
 * call ended with. Returns the exit status.
 */
int restore_report_waiting(const struct args *a, struct jeton *jeton, int result, const char *dir,
			   struct restored *r);
