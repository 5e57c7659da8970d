/*
 * agent/policy/near.c
 *
 * An edit distance that counts a swap as one step (optimal string alignment), over words short
 * enough for three rows on the stack. Longer ones are near to nothing: names of keys, sections and
 * credentials are short.
 */
#include "agent/policy/near.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { WORD_MAX = 64, FAR = WORD_MAX + 1 };

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static unsigned distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned rows[3][WORD_MAX + 1];

	if (n > WORD_MAX || m > WORD_MAX)
		return FAR;
	for (unsigned j = 0; j <= m; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= n; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3],
			 *two_above = rows[(i + 1) % 3];

		row[0] = i;
		for (unsigned j = 1; j <= m; j++) {
			row[j] = above[j - 1] + (tolower(a[i - 1]) != tolower(b[j - 1]));
			row[j] = least(row[j], least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], two_above[j - 2] + 1);
		}
	}
	return rows[n % 3][m];
}

const char *near_find(const char *word, near_candidate *candidate, const void *userdata)
{
	unsigned best_distance = strlen(word) <= 4 ? 2 : 3; /* what is nearer than this */
	const char *best = NULL, *c;

	for (size_t i = 0; (c = candidate(userdata, i)); i++) {
		unsigned d = strcasecmp(word, c) == 0 ? 0 : distance(word, c);

		if (d < best_distance) {
			best_distance = d;
			best = c;
		}
	}
	return best;
}
