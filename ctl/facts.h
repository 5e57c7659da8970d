/* ctl/facts.h - a token's facts, for people in words. */
#pragma once

#include "ctl/args.h"
#include "ctl/table.h"
#include "protocol/jeton.h"

/* Prints them a line each. access: what it reaches now; NULL: not known. */
void facts_print(const struct args *a, const struct jeton_token *token, const char *const access[]);

/* How a state looks: active is plain, since most are. */
enum style facts_style(const struct jeton_token *token);

/* "in 29 days (2027-01-31 12:00:00 CET)" */
#define FACTS_WHEN_MAX 128
const char *facts_when(const struct args *a, int64_t at_us, char dst[static FACTS_WHEN_MAX]);

/* Scopes with spaces between them; "(all)" for NULL. Free it; NULL where there is no memory. */
char *facts_scopes(const char *const scopes[]) MUST_USE;
