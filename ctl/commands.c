/*
 * ctl/commands.c - the command line's surface, all of it: commands, options, help.
 *
 * The reader of options, --help, and the test that compares both with the man page go by these
 * tables, so that nothing can be said in one place and not in another.
 */
#include "ctl/commands.h"

#include <stdio.h>

#include "agent/policy/near.h"
#include "ctl/option-tables.h"

#define AT(member) offsetof(struct args, member)

const struct option common_options[] = {
	{ "socket", 0, OPTION_TEXT, AT(socket), "PATH", "ask the agent at this socket" },
	{ "user", 0, OPTION_FLAG, AT(user), NULL, "ask your own agent rather than the system's" },
	{ "json", 0, OPTION_JSON, AT(json), "pretty|short|off",
	  "print what the agent says as JSON" },
	{ "no-legend", 0, OPTION_FLAG, AT(no_legend), NULL, "no titles above a table" },
	{ "quiet", 'q', OPTION_FLAG, AT(quiet), NULL,
	  "no remarks: only values, tables and errors" },
	{ "help", 'h', OPTION_FLAG, AT(help), NULL, "what there is, or how a command is used" },
	{ "version", 0, OPTION_FLAG, AT(version), NULL, "the version" },
	{ .name = NULL },
};

#define LIFETIME(of)                                                    \
	{                                                               \
		"lifetime", 0, OPTION_SPAN, AT(lifetime_s), "SPAN",     \
			"how long " of " is good: 30d, 12h, '1h 30min'" \
	}
#define OWNER(help)                                              \
	{                                                        \
		"owner", 0, OPTION_TEXT, AT(owner), "USER", help \
	}

static const struct option issue_options[] = {
	LIFETIME("it"),
	{ "expires", 0, OPTION_WHEN, AT(expires_us), "WHEN",
	  "until when instead: 2027-01-31, 2027-01-31T12:00:00Z" },
	{ "scope", 0, OPTION_SCOPE, AT(scopes), "S",
	  "what it reaches, like acme/risk:read; up to 32 times" },
	{ "uses", 0, OPTION_COUNT, AT(uses), "N", "how often it can be verified" },
	OWNER("own it to this user (administrators)"),
	{ .name = NULL },
};

static const struct option derive_options[] = {
	LIFETIME("it"),
	{ "expires", 0, OPTION_WHEN, AT(expires_us), "WHEN",
	  "until when instead: 2027-01-31, 2027-01-31T12:00:00Z" },
	{ "scope", 0, OPTION_SCOPE, AT(scopes), "S",
	  "what it reaches of what its parent does; up to 32 times" },
	{ "uses", 0, OPTION_COUNT, AT(uses), "N", "how often it can be verified" },
	{ .name = NULL },
};

#define ALL_USERS                                                 \
	{                                                         \
		"all-users", 0, OPTION_FLAG, AT(all_users), NULL, \
			"those of all users (administrators)"     \
	}

static const struct option list_options[] = {
	{ "ended", 0, OPTION_FLAG, AT(ended), NULL, "ended ones too" },
	OWNER("those of this user (administrators)"),
	ALL_USERS,
	{ "expiring", 0, OPTION_SPAN, AT(expiring_s), "SPAN",
	  "only those that end within this time" },
	{ "unused", 0, OPTION_SPAN, AT(unused_s), "SPAN",
	  "only those issued and last used longer ago than this" },
	{ .name = NULL },
};

static const struct option show_options[] = {
	OWNER("whose token the name is (administrators)"),
	{ .name = NULL },
};

static const struct option revoke_options[] = {
	{ "unused", 0, OPTION_SPAN, AT(unused_s), "SPAN",
	  "all those issued and last used longer ago than this" },
	{ "leaked", 0, OPTION_FLAG, AT(leaked), NULL,
	  "those whose values stand on standard input, one a line" },
	OWNER("whose tokens (administrators)"),
	ALL_USERS,
	{ "yes", 0, OPTION_FLAG, AT(yes), NULL, "do not ask (with --unused)" },
	{ .name = NULL },
};

static const struct option rotate_options[] = {
	{ "grace", 0, OPTION_GRACE, AT(grace_s), "SPAN",
	  "how long the old value stays good; 5min unless given, 0: not at all" },
	LIFETIME("the new one"),
	{ "when-unused", 0, OPTION_FLAG, AT(when_unused), NULL,
	  "wait, and end the old one when its users use the new one" },
	OWNER("whose token the name is (administrators)"),
	{ .name = NULL },
};

static const struct option verify_options[] = {
	{ "scope", 0, OPTION_SCOPE, AT(scopes), "S", "it must reach this as well; up to 32 times" },
	{ .name = NULL },
};

static const struct option scan_options[] = {
	{ "revoke", 0, OPTION_FLAG, AT(revoke), NULL,
	  "end what is found, and say which were still good" },
	{ .name = NULL },
};

#define ANY SIZE_MAX

/* Left out: no more to say, no options, no operands. */
const struct command commands[] = {
	{
		.name = "issue",
		.synopsis = "NAME [--lifetime SPAN | --expires WHEN] [--scope S]... [--uses N] "
			    "[--owner USER]",
		.help = "make a token; its value goes to standard output",
		.more = "The value is shown this once. Without --scope the token reaches\n"
			"all that its owner has access to, now and later.\n",
		.options = issue_options,
		.min = 1,
		.max = 1,
		.run = cmd_issue,
	},
	{
		.name = "derive",
		.synopsis = "NAME [--lifetime SPAN | --expires WHEN] [--scope S]... [--uses N]",
		.help = "make a narrower token from the one on standard input",
		.more = "It ends with the token it was derived from, at the latest.\n",
		.options = derive_options,
		.min = 1,
		.max = 1,
		.reads_value = true,
		.run = cmd_derive,
	},
	{
		.name = "list",
		.synopsis =
			"[--ended] [--owner USER | --all-users] [--expiring SPAN] [--unused SPAN]",
		.help = "a table of tokens",
		.more = "Your own active ones, unless options say otherwise. What was\n"
			"derived from a token counts as its use.\n",
		.options = list_options,
		.run = cmd_list,
	},
	{
		.name = "show",
		.synopsis = "TOKEN [--owner USER]",
		.help = "all that is known of a token",
		.more = "TOKEN is an id, or the name of an active token of yours.\n",
		.options = show_options,
		.min = 1,
		.max = 1,
		.run = cmd_show,
	},
	{
		.name = "revoke",
		.synopsis = "TOKEN... [--owner USER] | --unused SPAN [--owner USER | --all-users] "
			    "[--yes] | --leaked",
		.help = "end tokens, and all that was derived from them",
		.more = "TOKEN is an id, or the name of an active token of yours.\n"
			"--unused shows them and asks.\n"
			"--leaked proves each value before it ends the token.\n",
		.options = revoke_options,
		.max = ANY,
		.run = cmd_revoke,
	},
	{
		.name = "rotate",
		.synopsis = "TOKEN [--grace SPAN] [--lifetime SPAN] [--when-unused] [--owner USER]",
		.help = "a new value in the place of a token's; it goes to standard output",
		.more = "TOKEN is an id, or the name of an active token of yours.\n"
			"--when-unused prints the new value and stays. Given the id of a token that\n"
			"was replaced already, it only waits.\n",
		.options = rotate_options,
		.min = 1,
		.max = 1,
		.run = cmd_rotate,
	},
	{
		.name = "verify",
		.synopsis = "[--scope S]...",
		.help = "whether the token on standard input is good now",
		.more = "Ends with status 3 where it is not.\n",
		.options = verify_options,
		.reads_value = true,
		.run = cmd_verify,
	},
	{
		.name = "scan",
		.synopsis = "[--revoke] [PATH... | -]",
		.help = "find tokens in files",
		.more = "Files and directories, without following links; the current directory\n"
			"where none is given; - is standard input. Prints FILE:LINE: ID, never\n"
			"a value. Ends with status 3 where it found some.\n",
		.options = scan_options,
		.max = ANY,
		.run = cmd_scan,
	},
	{
		.name = "put",
		.synopsis = "CREDENTIAL [--expires WHEN] [--binary]",
		.help = "have the agent hold the value on standard input (administrators)",
		.more = "The value is all of standard input, less one newline at its end. On a\n"
			"terminal it is asked for, without echo.\n",
		.options = put_options,
		.min = 1,
		.max = 1,
		.reads_value = true,
		.run = cmd_put,
	},
	{
		.name = "forget",
		.synopsis = "CREDENTIAL",
		.help = "have the agent hold it no more (administrators)",
		.min = 1,
		.max = 1,
		.run = cmd_forget,
	},
	{
		.name = "credentials",
		.synopsis = "",
		.help = "a table of what you may fetch (administrators: of all)",
		.run = cmd_credentials,
	},
	{
		.name = "get",
		.synopsis = "CREDENTIAL [--min-lifetime SPAN]",
		.help = "a credential's value, to standard output",
		.more = "Exactly as it is; on a terminal a newline is added.\n",
		.options = get_options,
		.min = 1,
		.max = 1,
		.run = cmd_get,
	},
	{
		.name = "run",
		.synopsis = "[--file VAR=CREDENTIAL]... [--env VAR=CREDENTIAL]... "
			    "[--renew=restart|SIGNAL] -- COMMAND...",
		.help = "run a command with credentials",
		.more = "--file is the better way: the value is in no environment, and in no file\n"
			"that others could open. --env is for programs that know no better.\n"
			"Ends as the command does; with 125 where a credential can't be had, with\n"
			"126 or 127 where the command can't be run.\n",
		.options = run_options,
		.min = 1,
		.max = ANY,
		.runs = true,
		.run = cmd_run,
	},
	{
		.name = "watch",
		.synopsis = "[--after SEQ]",
		.help = "events as they happen, a line each",
		.options = watch_options,
		.run = cmd_watch,
	},
	{
		.name = "audit",
		.synopsis = "[--since WHEN] [--token T] [--refused] [--verify]",
		.help = "what was done and refused, by whom (administrators)",
		.more = "The newest comes last. --verify reads all of it, and ends with status 1\n"
			"where an entry was altered, removed or moved.\n",
		.options = audit_options,
		.run = cmd_audit,
	},
	{
		.name = "status",
		.synopsis = "",
		.help = "how the agent is",
		.run = cmd_status,
	},
	{
		.name = "reload",
		.synopsis = "",
		.help = "have the agent read its policies again",
		.run = cmd_reload,
	},
	{
		.name = "lock",
		.synopsis = "",
		.help = "have the agent give nothing until it is unlocked (administrators)",
		.more = "The passphrase is all of standard input, less one newline at its end. On a\n"
			"terminal it is asked for, twice, without echo. Locked, an agent tells its\n"
			"status, revokes by id, and refuses all else, over restarts too.\n",
		.run = cmd_lock,
	},
	{
		.name = "unlock",
		.synopsis = "",
		.help = "take a lock off again, with its passphrase (administrators)",
		.more = "The passphrase is asked for as by lock, once. After wrong ones the agent\n"
			"looks at none for a while, and says for how long.\n",
		.run = cmd_unlock,
	},
	{
		.name = "rekey",
		.synopsis = "",
		.help = "seal all that the agent keeps under new keys (administrators)",
		.more = "A new master key takes the place of master.key; one that systemd gives as\n"
			"jeton.master stays (jetond(8) has how to change it). Changes wait meanwhile.\n",
		.run = cmd_rekey,
	},
	{
		.name = "backup",
		.synopsis = "FILE",
		.help = "a copy of all that the agent holds, sealed by a passphrase (administrators)",
		.more = "The passphrase is all of standard input, less one newline at its end. On a\n"
			"terminal it is asked for, twice, without echo. FILE must not be there yet.\n",
		.min = 1,
		.max = 1,
		.run = cmd_backup,
	},
	{
		.name = "restore",
		.synopsis = "FILE [--state DIR]",
		.help = "bring back what a backup holds (root)",
		.more = "The passphrase is asked for as by backup. What the agent knows stays as it\n"
			"is here; what it does not know comes back, owners by their names. Without\n"
			"an agent that runs, it is taken in when one starts.\n",
		.options = restore_options,
		.min = 1,
		.max = 1,
		.run = cmd_restore,
	},
	{
		.name = "policy check",
		.synopsis = "[FILE...]",
		.help = "find mistakes in policy files",
		.more = "Without FILE, the files that the agent would read.\n",
		.max = ANY,
		.run = cmd_policy_check,
	},
	{
		.name = "policy explain fetch",
		.synopsis = "CREDENTIAL [--user U] [--unit N] [--policy DIR]",
		.help = "who may fetch a credential, and why",
		.options = explain_options,
		.min = 1,
		.max = 1,
		.run = cmd_policy_explain_fetch,
	},
	{
		.name = "policy explain access",
		.synopsis = "SCOPE [--user U] [--unit N] [--policy DIR]",
		.help = "who reaches a scope, and why",
		.options = explain_options,
		.min = 1,
		.max = 1,
		.run = cmd_policy_explain_access,
	},
	{
		.name = "policy explain verify",
		.synopsis = "[--user U] [--unit N] [--policy DIR]",
		.help = "who may verify tokens, and why",
		.options = explain_options,
		.run = cmd_policy_explain_verify,
	},
	{
		.name = "doctor",
		.synopsis = "[--unit NAME] [--policy DIR]",
		.help = "find what is wrong with the set-up, and what to do about it",
		.more = "Ends with status 1 where something is.\n",
		.options = doctor_options,
		.run = cmd_doctor,
	},
	{
		.name = "help",
		.synopsis = "[COMMAND]",
		.help = "this list, or how a command is used",
		.max = 3,
		.run = cmd_help,
	},
	{ .name = NULL },
};

/* Whether words begin with those of a name; then how many they are, else 0. */
static size_t words_of(const char *name, char *const words[], size_t n_words)
{
	size_t used = 0;

	for (;;) {
		size_t n = (size_t)(strchrnul(name, ' ') - name);

		if (used == n_words || strlen(words[used]) != n ||
		    memcmp(words[used], name, n) != 0)
			return 0;
		used++;
		if (!name[n])
			return used;
		name += n + 1;
	}
}

static const char *name_at(const void *userdata, size_t i)
{
	(void)userdata;
	return commands[i].name;
}

/* The second words of commands of two words whose first one is this, with ", " between. */
static bool second_words(const char *first, char *dst, size_t size)
{
	size_t n = strlen(first);

	*dst = 0;
	for (const struct command *c = commands; c->name; c++)
		if (!strncmp(c->name, first, n) && c->name[n] == ' ')
			snprintf(dst + strlen(dst), size - strlen(dst), "%s%s", *dst ? ", " : "",
				 c->name + n + 1);
	return *dst != 0;
}

static void say_unknown(char *const words[], size_t n_words, struct usage_error *e)
{
	const char *near = near_find(words[0], name_at, NULL);
	char second[128];

	if (second_words(words[0], second, sizeof(second)))
		snprintf(e->text, sizeof(e->text), "%s needs one of these after it: %s%s%.50s%s",
			 words[0], second, n_words > 1 ? ", and not '" : "",
			 n_words > 1 ? words[1] : "", n_words > 1 ? "'" : "");
	else if (near)
		snprintf(e->text, sizeof(e->text), "unknown command '%.50s'; did you mean %s?",
			 words[0], near);
	else
		snprintf(e->text, sizeof(e->text),
			 "unknown command '%.50s'; jetonctl help lists all", words[0]);
}

const struct command *commands_find(char *const words[], size_t n_words, size_t *ret_n,
				    struct usage_error *ret_error)
{
	for (const struct command *c = commands; c->name; c++) {
		size_t n = words_of(c->name, words, n_words);

		if (n) {
			*ret_n = n;
			return c;
		}
	}
	say_unknown(words, n_words, ret_error);
	return NULL;
}
