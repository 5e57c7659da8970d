/*
 * protocol/reply-read-words.c
 *
 * An enumeration's values of jeton.h are its words' places here, so that one list serves both ways.
 * The words stand in place, as the tables of reply-read.c do.
 */
#include "protocol/reply-read.h"

/*
 * The words of an enumeration, in the order of its values from 1 on, and the value for any other.
 */
struct words {
	char text[88]; /* each ended by a NUL, the last by two */
	uint8_t other;
};

static const struct words enumerations[] = {
	[WORDS_STATE] = { "active\0expired\0revoked\0", JETON_STATE_OTHER },
	[WORDS_BINDING] = { "none\0process\0unit\0", JETON_BINDING_OTHER },
	[WORDS_END] = { "expired\0owner\0administrator\0presented\0parent\0binding\0uses\0rotated"
			"\0",
			JETON_END_OTHER },
	[WORDS_KIND] = { "held\0minted\0", JETON_CREDENTIAL_OTHER },
	[WORDS_EVENT] = { "issued\0derived\0rotated\0revoked\0expired\0put\0forgotten\0reloaded\0lo"
			  "cked\0"
			  "unlocked\0",
			  JETON_EVENT_OTHER },
	[WORDS_AGENT] = { "running\0locked\0refusing\0", JETON_AGENT_OTHER },
	[WORDS_MEMORY] = { "secretmem\0locked\0unlocked\0", JETON_MEMORY_OTHER },
};

int reply_word(enum reply_words enumeration, struct json_value string)
{
	const struct words *words = &enumerations[enumeration];
	int n = 1;

	for (const char *w = words->text; *w; w += strlen(w) + 1, n++)
		if (json_string_is(string, w))
			return n;
	return words->other;
}

static const char *word_of(enum reply_words enumeration, int value, const char *zero)
{
	const char *w = enumerations[enumeration].text;

	if (value == 0)
		return zero;
	for (int n = 1; *w; w += strlen(w) + 1, n++)
		if (n == value)
			return w;
	return "other";
}

const char *jeton_state_text(enum jeton_state state)
{
	return word_of(WORDS_STATE, (int)state, "other");
}

const char *jeton_binding_text(enum jeton_binding binding)
{
	return word_of(WORDS_BINDING, (int)binding, "unset");
}

const char *jeton_end_text(enum jeton_end end)
{
	return word_of(WORDS_END, (int)end, "not");
}

const char *jeton_credential_kind_text(enum jeton_credential_kind kind)
{
	return word_of(WORDS_KIND, (int)kind, "other");
}

const char *jeton_event_kind_text(enum jeton_event_kind kind)
{
	return word_of(WORDS_EVENT, (int)kind, "other");
}

const char *jeton_agent_state_text(enum jeton_agent_state state)
{
	return word_of(WORDS_AGENT, (int)state, "other");
}

const char *jeton_memory_text(enum jeton_memory memory)
{
	return word_of(WORDS_MEMORY, (int)memory, "other");
}
