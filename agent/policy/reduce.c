/*
 * agent/policy/reduce.c
 *
 * Held each against all others, ten thousand scopes would take seconds. What can cover a part of a
 * scope, though, has a star where the two begin to differ: up to there it begins as that scope does,
 * and so it is found in a table sorted by text. Only where a double star stands for no name at all
 * do they differ before that: then the path of the one is the other's less the double star.
 */
#include "agent/policy/reduce.h"

#include <errno.h>

#include "protocol/scope.h"

/* Sorted by text, those with stars before those without. */
struct table {
	struct span *scopes;
	size_t n_stars, n;
	bool *gone;	   /* which have been found to be within others */
	struct span *near; /* room for the candidates of one scope */
};

static bool has_star(struct span scope)
{
	return memchr(scope.p, '*', scope.n) != NULL;
}

static int compare(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int r = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return r != 0 ? r : (x->n > y->n) - (x->n < y->n);
}

static int compare_stars_first(const void *a, const void *b)
{
	bool x = has_star(*(const struct span *)a), y = has_star(*(const struct span *)b);

	return x != y ? y - x : compare(a, b);
}

static size_t drop_doubles(struct span scopes[], size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (kept == 0 || !span_equal(scopes[kept - 1], scopes[i]))
			scopes[kept++] = scopes[i];
	return kept;
}

static bool begins_with(struct span text, struct span beginning)
{
	return text.n >= beginning.n && memcmp(text.p, beginning.p, beginning.n) == 0;
}

/* Adds to the candidates those of scopes[from] to scopes[to] that begin so, but for the one at `but`. */
static size_t add_range(const struct table *t, size_t n_near, size_t from, size_t to, size_t but,
			struct span beginning)
{
	size_t low = from, high = to;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&t->scopes[middle], &beginning) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < to && begins_with(t->scopes[low], beginning); low++)
		if (low != but && !t->gone[low])
			t->near[n_near++] = t->scopes[low];
	return n_near;
}

/* Those with a double star after the path, which ends before `colon` and has no star. */
static size_t add_longer(const struct table *t, size_t n_near, size_t i, size_t colon)
{
	char text[SCOPE_MAX + 2];

	memcpy(text, t->scopes[i].p, colon);
	memcpy(text + colon, "/*", 2);
	return add_range(t, n_near, 0, t->n_stars, i, (struct span){ text, colon + 2 });
}

/* Those of the path without the double star, at `star`, which is the first one. */
static size_t add_shorter(const struct table *t, size_t n_near, size_t i, size_t star)
{
	struct span scope = t->scopes[i];
	char text[SCOPE_MAX];
	size_t n = star - 1, n_rest = scope.n - star - 2;

	memcpy(text, scope.p, n);
	memcpy(text + n, scope.p + star + 2, n_rest);
	n_near = add_range(t, n_near, t->n_stars, t->n, i, (struct span){ text, n + n_rest });
	/* Any action, where it has one. */
	text[n + 1] = '*';
	return add_range(t, n_near, 0, t->n_stars, i, (struct span){ text, n + 2 });
}

/* Gathers all that may stand for a part of scopes[i]. */
static size_t gather(const struct table *t, size_t i)
{
	struct span scope = t->scopes[i];
	const char *first_star = memchr(scope.p, '*', scope.n);
	size_t star = first_star ? (size_t)(first_star - scope.p) : scope.n;
	char text[SCOPE_MAX + 1];
	size_t n_near = 0, colon;

	for (size_t k = 0; k <= star; k++) {
		if (k == 0 || scope.p[k - 1] == '/' || scope.p[k - 1] == ':') {
			text[k] = '*';
			n_near = add_range(t, n_near, 0, t->n_stars, i,
					   (struct span){ text, k + 1 });
		}
		if (k < star)
			text[k] = scope.p[k];
	}
	colon = (size_t)((const char *)memrchr(scope.p, ':', scope.n) - scope.p);
	if (star > colon)
		return add_longer(t, n_near, i, colon);
	if (star > 0 && scope.p[star + 1] == '*')
		return add_shorter(t, n_near, i, star);
	return n_near;
}

/*
 * One by one, each held against what is then left, so that of two that stand for the same one stays.
 * Those without a star go first: they never cover what they are within.
 */
static void drop_within(struct table *t)
{
	for (size_t i = t->n; i-- > 0;)
		t->gone[i] = scope_is_within(t->scopes[i], t->near, gather(t, i));
}

int scopes_reduce(struct span scopes[], size_t *n)
{
	_cleanup_free_ struct span *near = NULL;
	_cleanup_free_ bool *gone = NULL;
	struct table t = { .scopes = scopes };

	if (*n < 2)
		return 0;
	near = reallocarray(NULL, *n, sizeof(*near));
	gone = calloc(*n, sizeof(*gone));
	if (!near || !gone)
		return -ENOMEM;
	t.near = near;
	t.gone = gone;
	qsort(scopes, *n, sizeof(*scopes), compare_stars_first);
	t.n = drop_doubles(scopes, *n);
	while (t.n_stars < t.n && has_star(scopes[t.n_stars]))
		t.n_stars++;
	drop_within(&t);

	*n = 0;
	for (size_t i = 0; i < t.n; i++)
		if (!gone[i])
			scopes[(*n)++] = scopes[i];
	qsort(scopes, *n, sizeof(*scopes), compare);
	return 0;
}
