/*
 * ctl/commands.h - every command in one table, with its options: what runs it, what help says of
 * it.
 */
#pragma once

#include "ctl/options.h"

struct command {
	const char *name; /* one word or two: "policy check" */
	const char *
		synopsis; /* what follows the name: "NAME [--lifetime SPAN | --expires WHEN] ..." */
	const char *help; /* one line */
	const char *more; /* further lines for its own help, each ended by a newline; NULL: none */
	const struct option *options; /* NULL: none of its own */
	size_t min, max;	      /* operands */
	bool reads_value;	      /* from standard input */
	bool runs;		      /* from its first operand on all is another command's line */
	/* Does it, says all there is to say, and returns the exit status. */
	int (*run)(const struct args *a);
};

/* All of them, ended by a row without a name. */
extern const struct command commands[];

/* The options that every command takes. */
extern const struct option common_options[];

/*
 * Finds the command that the words begin with; *ret_n is how many of them it is. Returns NULL with
 * *ret_error where there is none.
 */
const struct command *commands_find(char *const words[], size_t n_words, size_t *ret_n,
				    struct usage_error *ret_error);

/* One function a row. */
int cmd_issue(const struct args *a);
int cmd_derive(const struct args *a);
int cmd_list(const struct args *a);
int cmd_show(const struct args *a);
int cmd_revoke(const struct args *a);
int cmd_rotate(const struct args *a);
int cmd_verify(const struct args *a);
int cmd_scan(const struct args *a);
int cmd_status(const struct args *a);
int cmd_reload(const struct args *a);
int cmd_rekey(const struct args *a);
int cmd_lock(const struct args *a);
int cmd_unlock(const struct args *a);
int cmd_backup(const struct args *a);
int cmd_restore(const struct args *a);
int cmd_policy_check(const struct args *a);
int cmd_put(const struct args *a);
int cmd_forget(const struct args *a);
int cmd_credentials(const struct args *a);
int cmd_get(const struct args *a);
int cmd_run(const struct args *a);
int cmd_watch(const struct args *a);
int cmd_audit(const struct args *a);
int cmd_policy_explain_fetch(const struct args *a);
int cmd_policy_explain_access(const struct args *a);
int cmd_policy_explain_verify(const struct args *a);
int cmd_doctor(const struct args *a);
int cmd_help(const struct args *a);
