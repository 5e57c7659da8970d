/*
 * ctl/cmd-explain.c - policy explain: the agent decides, and says why. What is on the disk and not
 * in force is told first, since that is what people look at.
 */
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/commands.h"
#include "ctl/output.h"
#include "ctl/policy-disk.h"
#include "ctl/text.h"
#include "protocol/client.h"

static void on_change(void *userdata, const char *path)
{
	remark(userdata,
	       "%s was changed after the agent read its policies: jetonctl reload puts it in "
	       "force.",
	       path);
}

/* That it can't be found out is no reason not to answer. */
static void tell_changes(const struct args *a, struct jeton *jeton)
{
	const struct jeton_status *agent;
	struct policy_dirs dirs;

	if (!policy_disk_find(a, jeton, &dirs) || jeton_get_status(jeton, &agent) != 0)
		return;
	policy_disk_changed(&dirs, agent->policies_loaded_us, on_change, (void *)a);
}

static void print_answer(int allowed, const char *const lines[])
{
	static const struct {
		const char *text;
		enum style style;
	} answers[] = { { "not to be said", STYLE_WARN },
			{ "no", STYLE_BAD },
			{ "yes", STYLE_GOOD } };

	fact("Allowed", answers[allowed + 1].style, "%s", answers[allowed + 1].text);
	for (size_t i = 0; lines[i]; i++)
		fact(i ? NULL : "Because", STYLE_PLAIN, "%s", lines[i]);
}

/* As systemctl has it, "nightly" is nightly.service. May be NULL or too long, and stays so. */
static const char *unit_named(const char *unit, char *room, size_t size)
{
	if (!unit || !*unit || strchr(unit, '.'))
		return unit;
	return (size_t)snprintf(room, size, "%s.service", unit) < size ? room : unit;
}

static int explain(const struct args *a, const char *credential, const char *scope)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	const char *const *lines;
	char room[256];
	int status, allowed, r;

	status = ask_open(a, &jeton);
	if (status != EXIT_DONE)
		return status;
	tell_changes(a, jeton);
	r = jeton_explain(jeton, a->of_user, unit_named(a->of_unit, room, sizeof(room)), credential,
			  scope, &allowed, &lines);
	if (r != 0)
		return ask_failed(jeton, r);
	if (a->json)
		output_json(a, jeton_raw_reply(jeton).parameters);
	else
		print_answer(allowed, lines);
	return EXIT_DONE;
}

int cmd_policy_explain_fetch(const struct args *a)
{
	if (!is_credential_name(a->operands[0]))
		return fail(EXIT_USAGE,
			    "'%.100s' is no credential's name: 1 to 64 of A-Z a-z 0-9 . _ -, and "
			    "not . or ..",
			    a->operands[0]);
	return explain(a, a->operands[0], NULL);
}

int cmd_policy_explain_access(const struct args *a)
{
	if (!scope_is_pattern(span_of(a->operands[0])))
		return fail(EXIT_USAGE,
			    "'%.130s' is no scope: write it like acme/risk:read, acme/**:read or "
			    "acme/risk:*",
			    a->operands[0]);
	return explain(a, NULL, a->operands[0]);
}

int cmd_policy_explain_verify(const struct args *a)
{
	return explain(a, NULL, NULL);
}
