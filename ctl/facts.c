/* ctl/facts.c - what people are told of a token. (--json is the agent's own answer.) */
#include "ctl/facts.h"

#include <inttypes.h>
#include <stdio.h>

#include "ctl/output.h"
#include "protocol/base/time.h"

enum style facts_style(const struct jeton_token *t)
{
	static const enum style styles[] = {
		[JETON_STATE_OTHER] = STYLE_WARN,
		[JETON_STATE_ACTIVE] = STYLE_GOOD,
		[JETON_STATE_EXPIRED] = STYLE_DIM,
		[JETON_STATE_REVOKED] = STYLE_BAD,
	};

	return t->state < ARRAY_SIZE(styles) ? styles[t->state] : STYLE_WARN;
}

static const char *when(int64_t at_us, uint64_t now_us, char dst[static FACTS_WHEN_MAX])
{
	char relative[48], local[64];

	snprintf(dst, FACTS_WHEN_MAX, "%s (%s)",
		 time_format_relative((uint64_t)at_us, now_us, relative, sizeof(relative)),
		 time_format_local((uint64_t)at_us, local, sizeof(local)));
	return dst;
}

const char *facts_when(int64_t at_us, char dst[static FACTS_WHEN_MAX])
{
	return when(at_us, time_now_us(), dst);
}

const char *facts_when_made(int64_t at_us, char dst[static FACTS_WHEN_MAX])
{
	uint64_t now_us = time_now_us();

	/* What was made a moment ago for 30 days ends in 30 days, not in 29 and most of another. */
	if ((uint64_t)at_us > now_us + 60 * USEC_PER_SEC)
		now_us -= 5 * USEC_PER_SEC;
	return when(at_us, now_us, dst);
}

char *facts_scopes(const char *const scopes[])
{
	size_t n = 1;
	char *text, *p;

	if (!scopes)
		return strdup("(all)");
	for (size_t i = 0; scopes[i]; i++)
		n += strlen(scopes[i]) + 1;
	p = text = malloc(n);
	if (!text)
		return NULL;
	*p = 0;
	for (size_t i = 0; scopes[i]; i++) {
		if (i)
			*p++ = ' ';
		p = stpcpy(p, scopes[i]);
	}
	return text;
}

static void print_list(const char *label, const char *const texts[], const char *none)
{
	if (!texts || !texts[0])
		fact(label, STYLE_PLAIN, "%s", none);
	for (size_t i = 0; texts && texts[i]; i++)
		fact(i ? NULL : label, STYLE_PLAIN, "%s", texts[i]);
}

static void print_text(const char *label, const char *text)
{
	if (text)
		fact(label, STYLE_PLAIN, "%s", text);
}

/* An instant, as a line of a token says it. */
typedef const char *say_when(int64_t at_us, char dst[static FACTS_WHEN_MAX]);

static const char *span_alone(int64_t at_us, char dst[static FACTS_WHEN_MAX])
{
	return time_format_relative((uint64_t)at_us, time_now_us(), dst, FACTS_WHEN_MAX);
}

static void print_used(const struct jeton_token *t, say_when *say)
{
	char when[FACTS_WHEN_MAX];

	if (t->last_used_us == JETON_UNSET) {
		fact("Last used", STYLE_PLAIN, "never");
		return;
	}
	fact("Last used", STYLE_PLAIN, "%s%s%s", say(t->last_used_us, when),
	     t->last_used_by ? " by " : "", t->last_used_by ? t->last_used_by : "");
}

static void print_end(const struct jeton_token *t, say_when *say)
{
	static const char *const reasons[] = {
		[JETON_END_EXPIRED] = "at its time",
		[JETON_END_OWNER] = "by its owner",
		[JETON_END_ADMINISTRATOR] = "by an administrator",
		[JETON_END_PRESENTED] = "by someone who had its value",
		[JETON_END_PARENT] = "with the token it was derived from",
		[JETON_END_BINDING] = "with the process or unit it served",
		[JETON_END_USES] = "with its last use",
		[JETON_END_ROTATED] = "in favour of another",
	};
	const char *reason = t->ended < ARRAY_SIZE(reasons) ? reasons[t->ended] : NULL;
	char when[FACTS_WHEN_MAX];

	if (t->ended_us != JETON_UNSET)
		fact("Ended", STYLE_PLAIN, "%s%s%s", say(t->ended_us, when), reason ? ", " : "",
		     reason ? reason : "");
}

static void print(const struct jeton_token *t, const char *const access[], say_when *say)
{
	char when[FACTS_WHEN_MAX];

	fact("Name", STYLE_TITLE, "%s", t->name);
	fact("ID", STYLE_PLAIN, "%s", t->id);
	fact("State", facts_style(t), "%s", jeton_state_text(t->state));
	fact("Owner", STYLE_PLAIN, "%s (uid %" PRIu32 ")", t->owner ? t->owner : "no name",
	     t->owner_uid);
	print_list("Scopes", t->scopes, "all that its owner has access to");
	if (access)
		print_list("Access now", access, "none: its owner has lost it");
	fact("Created", STYLE_PLAIN, "%s", say(t->created_us, when));
	fact("Expires", STYLE_PLAIN, "%s", say(t->expires_us, when));
	print_used(t, say);
	if (t->uses_left != JETON_UNSET)
		fact("Uses left", STYLE_PLAIN, "%" PRIi64, t->uses_left);
	if (t->binding != JETON_BINDING_NONE)
		fact("Bound to", STYLE_PLAIN, "its %s", jeton_binding_text(t->binding));
	print_text("Derived from", t->parent);
	print_text("Replaced by", t->replaced_by);
	print_text("Credential", t->credential);
	print_text("Issued to", t->issued_to);
	print_end(t, say);
}

void facts_print(const struct jeton_token *t)
{
	print(t, NULL, facts_when);
}

void facts_print_verified(const struct jeton_token *t, const char *const access[])
{
	print(t, access, span_alone);
}
