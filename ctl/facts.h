/* ctl/facts.h - a token's facts, for people in words. */
#pragma once

#include "ctl/args.h"
#include "ctl/table.h"
#include "protocol/jeton.h"

/* Prints them a line each. */
void facts_print(const struct jeton_token *token);

/*
 * The same with what it reaches now, and with times as spans alone: finding out the local time
 * would cost a verification a tenth of its time.
 */
void facts_print_verified(const struct jeton_token *token, const char *const access[]);

/* How a state looks: active is plain, since most are. */
enum style facts_style(const struct jeton_token *token);

/* "in 29 days (2027-01-31 12:00:00 CET)", as seen at this moment. Gives dst. */
#define FACTS_WHEN_MAX 128
const char *facts_when(int64_t at_us, char dst[static FACTS_WHEN_MAX]);
/* The same of what has just been made. */
const char *facts_when_made(int64_t at_us, char dst[static FACTS_WHEN_MAX]);

/* Scopes with spaces between them; "(all)" for NULL. Free it; NULL where there is no memory. */
char *facts_scopes(const char *const scopes[]) MUST_USE;
