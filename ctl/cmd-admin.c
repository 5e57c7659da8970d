/* ctl/cmd-admin.c - status, reload, rekey. */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/commands.h"
#include "ctl/facts.h"
#include "ctl/output.h"
#include "protocol/client.h"

/* "1.2M": bytes as the settings have them. */
static const char *size_text(int64_t bytes, char *dst, size_t size)
{
	static const char units[] = "BKMGT";
	double n = (double)bytes;
	size_t u = 0;

	for (; n >= 1024 && u + 2 < sizeof(units); u++)
		n /= 1024;
	snprintf(dst, size, u && n < 10 ? "%.1f%c" : "%.0f%c", n, units[u]);
	return dst;
}

static void print_state(const struct jeton_status *s)
{
	static const struct {
		enum style style;
		const char *means;
	} states[] = {
		[JETON_AGENT_OTHER] = { STYLE_WARN, "" },
		[JETON_AGENT_RUNNING] = { STYLE_GOOD, "" },
		[JETON_AGENT_LOCKED] = { STYLE_WARN, ": until jetonctl unlock it only revokes" },
		[JETON_AGENT_REFUSING] = { STYLE_BAD, ": its policies have a mistake, see jetonctl "
						      "policy check" },
	};
	size_t i = s->state < ARRAY_SIZE(states) ? s->state : JETON_AGENT_OTHER;

	fact("State", states[i].style, "%s%s", jeton_agent_state_text(s->state), states[i].means);
}

static void print_memory(const struct jeton_status *s)
{
	char used[16], limit[16];

	size_text(s->locked_bytes, used, sizeof(used));
	size_text(s->locked_limit, limit, sizeof(limit));
	if (s->memory == JETON_MEMORY_UNLOCKED)
		fact("Memory", STYLE_BAD,
		     "unlocked: secrets may reach the swap device; %s of %s used", used, limit);
	else
		fact("Memory", STYLE_PLAIN, "%s of %s used (%s)", used, limit,
		     jeton_memory_text(s->memory));
}

static void print_status(struct jeton *jeton, const struct jeton_status *s)
{
	char when[FACTS_WHEN_MAX];

	fact("Version", STYLE_PLAIN, "%s", s->version);
	fact("Socket", STYLE_PLAIN, "%s", jeton_path(jeton));
	print_state(s);
	print_memory(s);
	fact("Tokens", STYLE_PLAIN, "%" PRIi64 " active, %" PRIi64 " with those that have ended",
	     s->tokens_active, s->tokens_total);
	fact("Credentials", STYLE_PLAIN, "%" PRIi64, s->credentials);
	fact("Connections", STYLE_PLAIN, "%" PRIi64, s->connections);
	fact("Verified", STYLE_PLAIN, "%" PRIi64 ", and %" PRIi64 " refused", s->verified_total,
	     s->denied_total);
	fact("Started", STYLE_PLAIN, "%s", facts_when(s->started_us, when));
	fact("Policies", STYLE_PLAIN, "read %s", facts_when(s->policies_loaded_us, when));
}

int cmd_status(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	const struct jeton_status *agent;
	int status, r;

	status = ask_open(a, &jeton);
	if (status != EXIT_DONE)
		return status;
	r = jeton_get_status(jeton, &agent);
	if (r != 0)
		return ask_failed(jeton, r);
	if (a->json)
		output_json(a, jeton_raw_reply(jeton).parameters);
	else
		print_status(jeton, agent);
	return EXIT_DONE;
}

/* Every row is sealed anew, which of many takes a while: there is no telling how long. */
int cmd_rekey(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	int status, r;

	status = ask_open(a, &jeton);
	if (status != EXIT_DONE)
		return status;
	jeton_set_timeout(jeton, -1);
	r = jeton_rekey(jeton);
	if (r == JETON_ERROR_STORE_FAILED)
		return fail(EXIT_FAILED,
			    "The keys are the old ones, and nothing has changed: the new store could "
			    "not be brought to the disk. The agent's log says why.");
	if (r != 0)
		return ask_failed(jeton, r);
	if (a->json)
		output_json(a, jeton_raw_reply(jeton).parameters);
	else
		remark(a, "All that the agent keeps is sealed under new keys.");
	return EXIT_DONE;
}

int cmd_reload(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	int status, r;

	status = ask_open(a, &jeton);
	if (status != EXIT_DONE)
		return status;
	r = jeton_reload(jeton);
	if (r != 0)
		return ask_failed(jeton, r);
	if (a->json)
		output_json(a, jeton_raw_reply(jeton).parameters);
	else
		remark(a, "The policies were read again and are in force.");
	return EXIT_DONE;
}
