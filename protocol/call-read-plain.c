/* protocol/call-read-plain.c - see call-read-plain.h. Each step takes what must stand next, or gives up: p is NULL. */
#include "protocol/call-read-plain.h"

#include "protocol/json-text.h"

/* Past this literal. */
static inline const char *take(const char *p, const char *end, struct span literal)
{
	if (!p || (size_t)(end - p) < literal.n || memcmp(p, literal.p, literal.n) != 0)
		return NULL;
	return p + literal.n;
}

/* Past a text in which nothing needs a look, and the quote that ends it. */
static inline const char *take_text(const char *p, const char *end, struct span *ret)
{
	const char *quote = p ? json_plain_end(p, end) : NULL;

	if (!quote || quote == end || *quote != '"')
		return NULL;
	*ret = (struct span){ p, (size_t)(quote - p) };
	return quote + 1;
}

/* Past the texts, of which the first one's opening quote was taken, and the bracket behind them. */
static const char *take_scopes(const char *p, const char *end, struct plain_verify *ret)
{
	do {
		if (ret->n_scopes == SCOPES_MAX)
			return NULL;
		p = take_text(p, end, &ret->scopes[ret->n_scopes++]);
		if (!p || p == end)
			return NULL;
		if (*p == ']')
			return p + 1;
		p = take(p, end, SPAN(",\""));
	} while (p);
	return NULL;
}

bool call_read_plain_verify(struct span message, struct plain_verify *ret)
{
	const char *p = message.p, *end = message.p + message.n;

	ret->n_scopes = 0;
	p = take(p, end,
		 SPAN("{\"method\":\"io.jeton.Agent.Verify\",\"parameters\":{\"token\":\""));
	p = take_text(p, end, &ret->token);
	if (p && p < end && *p == ',') {
		p = take(p, end, SPAN(",\"scopes\":[\""));
		p = p ? take_scopes(p, end, ret) : NULL;
	}
	return take(p, end, SPAN("}}")) == end;
}
