/* ctl/option-tables.c - see commands.c: options of what has to do with credentials. */
#include "ctl/option-tables.h"

#define AT(member) offsetof(struct args, member)

const struct option put_options[] = {
	{ "expires", 0, OPTION_WHEN, AT(expires_us), "WHEN",
	  "until when it is good: 90d, 2027-01-31, 2027-01-31T12:00:00Z" },
	{ "binary", 0, OPTION_FLAG, AT(binary), NULL,
	  "exactly the bytes of standard input, whatever they are" },
	{ .name = NULL },
};

const struct option get_options[] = {
	{ "min-lifetime", 0, OPTION_SPAN, AT(min_lifetime_s), "SPAN",
	  "fail rather than print one that ends sooner" },
	{ .name = NULL },
};

const struct option run_options[] = {
	{ "file", 0, OPTION_PAIR, AT(files), "VAR=CREDENTIAL",
	  "set VAR to a path that holds the value" },
	{ "env", 0, OPTION_PAIR, AT(envs), "VAR=CREDENTIAL", "set VAR to the value itself" },
	{ "renew", 0, OPTION_RENEW, AT(renew), "restart|SIGNAL",
	  "stay, and start it anew or signal it on changes" },
	{ .name = NULL },
};

const struct option watch_options[] = {
	{ "after", 0, OPTION_NUMBER, AT(after), "SEQ", "from after this event on" },
	{ .name = NULL },
};

const struct option audit_options[] = {
	{ "since", 0, OPTION_SINCE, AT(since_us), "WHEN",
	  "from then on: 2h, 2027-01-31, 2027-01-31T12:00:00Z" },
	{ "token", 0, OPTION_TEXT, AT(token), "T", "what was about this token, an id or a name" },
	{ "refused", 0, OPTION_FLAG, AT(refused), NULL, "only what was refused, or is missing" },
	{ "verify", 0, OPTION_FLAG, AT(verify), NULL, "whether all of it is as it was written" },
	{ .name = NULL },
};

#define POLICY                                                                                    \
	{                                                                                         \
		"policy", 0, OPTION_TEXT, AT(policy_dir), "DIR", "where the agent's policies are" \
	}

const struct option explain_options[] = {
	{ "user", 0, OPTION_TEXT, AT(of_user), "U", "of this user (administrators)" },
	{ "unit", 0, OPTION_TEXT, AT(of_unit), "N", "of this unit (administrators)" },
	POLICY,
	{ .name = NULL },
};

const struct option doctor_options[] = {
	{ "unit", 0, OPTION_TEXT, AT(of_unit), "NAME",
	  "also what this unit would get by LoadCredential=" },
	POLICY,
	{ .name = NULL },
};

const struct option restore_options[] = {
	{ "state", 0, OPTION_TEXT, AT(state), "DIR", "where the agent keeps its state" },
	{ .name = NULL },
};
