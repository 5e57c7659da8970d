/*
 * protocol/scope.c - scopes are walked as they are written, name by name, and never copied. What
 * the header calls valid is relied on.
 *
 * Within: put names that nobody ever wrote for the stars of the inner scope, and 0, 1, 2 … of them
 * for its double star. Only a star matches such a name, so an outer scope that stands for one of
 * these instances stands for all of that length; and an instance that none stands for is what they
 * lack. Each outer scope stands for those of one length, or from one length on: so it takes one
 * walk for each.
 */
#include "protocol/scope.h"

#include <assert.h>

/*
 * A valid scope taken apart: the names of its path less the double star, of which there may be
 * none.
 */
struct path {
	const char *p;
	const char *end;
	bool tail; /* a double star follows the names */
	struct span action;
};

bool scope_name_is_valid(struct span text)
{
	static const bool in_names[256] = {
		['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true,
		['.'] = true,	      ['_'] = true,	    ['-'] = true,
	};

	for (size_t i = 0; i < text.n; i++)
		if (!in_names[(unsigned char)text.p[i]])
			return false;
	return text.n > 0;
}

static bool is_star(struct span name)
{
	return name.n == 1 && name.p[0] == '*';
}

static struct path path_of(struct span scope)
{
	const char *colon = scope.p + scope.n - 1;
	struct path path = { .p = scope.p };

	/* Actions are short: no call is worth it. */
	while (*colon != ':' && colon > scope.p)
		colon--;
	assert(*colon == ':');
	path.end = colon;
	path.action = (struct span){ colon + 1, (size_t)(scope.p + scope.n - colon - 1) };
	/* No name has two stars, so only the tail ends so. */
	path.tail = colon - scope.p >= 2 && colon[-1] == '*' && colon[-2] == '*';
	if (path.tail)
		path.end -= path.end - scope.p > 2 ? 3 : 2;
	return path;
}

/* Takes the next name or star. Returns false at the end of the path. */
static bool next_name(struct path *path, struct span *ret)
{
	const char *slash = path->p;

	if (slash >= path->end)
		return false;
	while (slash < path->end && *slash != '/')
		slash++;
	*ret = (struct span){ path->p, (size_t)(slash - path->p) };
	path->p = slash + 1;
	return true;
}

static bool part_is_valid(struct span part, bool stars)
{
	return scope_name_is_valid(part) || (stars && is_star(part));
}

static bool scope_is_valid(struct span text, bool stars)
{
	const char *p = text.p, *end = p + text.n, *colon, *slash;
	struct span last;

	if (text.n == 0 || text.n > SCOPE_MAX)
		return false;
	/* The first colon; if there is another, it is in the action, where none may be. */
	colon = memchr(p, ':', text.n);
	if (!colon || !part_is_valid((struct span){ colon + 1, (size_t)(end - colon - 1) }, stars))
		return false;
	for (; (slash = memchr(p, '/', (size_t)(colon - p))); p = slash + 1)
		if (!part_is_valid((struct span){ p, (size_t)(slash - p) }, stars))
			return false;
	last = (struct span){ p, (size_t)(colon - p) };
	return part_is_valid(last, stars) || (stars && span_is(last, "**"));
}

bool scope_is_plain(struct span text)
{
	return scope_is_valid(text, false);
}

bool scope_is_pattern(struct span text)
{
	return scope_is_valid(text, true);
}

static bool covers(struct span outer, struct span inner)
{
	return is_star(outer) || span_equal(outer, inner);
}

/*
 * Whether outer stands for all that inner does with *ret_tail names for inner's double star, and
 * where outer has one of its own, also with any more of them. With no double star in inner
 * *ret_tail is 0.
 */
static bool stands_for(struct path outer, struct path inner, size_t *ret_tail)
{
	struct span theirs, ours;
	size_t tail = 0;

	if (!covers(outer.action, inner.action))
		return false;
	while (next_name(&outer, &theirs)) {
		if (next_name(&inner, &ours)) {
			if (!covers(theirs, ours))
				return false;
		} else if (inner.tail && is_star(theirs)) {
			tail++;
		} else {
			return false;
		}
	}
	if (!outer.tail && next_name(&inner, &ours))
		return false;
	*ret_tail = tail;
	return true;
}

bool scope_matches(struct span pattern, struct span plain)
{
	size_t tail;

	/* As most are asked for. */
	if (span_equal(pattern, plain))
		return true;
	return stands_for(path_of(pattern), path_of(plain), &tail);
}

bool scope_is_within(struct span inner, const struct span outer[], size_t n)
{
	struct path path;
	/*
	 * Lengths of the inner's tail that are covered: these, a bit each, and all from `endless`
	 * on.
	 */
	uint64_t lengths = 0;
	size_t endless = SIZE_MAX;

	static_assert(SCOPE_MAX / 2 <= 64, "a path has at most 63 names");
	if (n == 0)
		return false;
	path = path_of(inner);
	for (size_t i = 0; i < n; i++) {
		struct path other = path_of(outer[i]);
		size_t tail;

		if (!stands_for(other, path, &tail))
			continue;
		if (!other.tail)
			lengths |= UINT64_C(1) << tail;
		else if (tail < endless)
			endless = tail;
	}
	if (!path.tail)
		return endless == 0 || (lengths & 1);
	/* A path has at least one name: where the double star is all, it stands for one or more. */
	for (size_t tail = path.p == path.end; tail < endless; tail++)
		if (tail >= 64 || !(lengths >> tail & 1))
			return false;
	return true;
}

/* A scope being written; it may not fit. */
struct draft {
	char *p;
	size_t n;
};

static bool put(struct draft *draft, char mark, struct span part)
{
	if (draft->n + part.n + (mark != '\0') > SCOPE_MAX)
		return false;
	if (mark)
		draft->p[draft->n++] = mark;
	memcpy(draft->p + draft->n, part.p, part.n);
	draft->n += part.n;
	return true;
}

/* What two names or stars have in common. Returns false where that is nothing. */
static bool common(struct span a, struct span b, struct span *ret)
{
	if (!covers(a, b) && !covers(b, a))
		return false;
	*ret = is_star(a) ? b : a;
	return true;
}

/*
 * The next name of both paths; where one has ended, the other's, if the tail of the ended one takes
 * it.
 */
static bool common_name(struct path *a, struct path *b, struct span *ret, bool *ret_end)
{
	struct span name_a, name_b;
	bool more_a = next_name(a, &name_a), more_b = next_name(b, &name_b);

	*ret_end = !more_a && !more_b;
	if (more_a && more_b)
		return common(name_a, name_b, ret);
	*ret = more_a ? name_a : name_b;
	return *ret_end || (more_a ? b->tail : a->tail);
}

bool scope_is_left_whole(struct span a, struct span b)
{
	struct path path_a = path_of(a);
	size_t tail;

	/* A double star may be written in two ways. */
	return !path_a.tail && stands_for(path_of(b), path_a, &tail);
}

size_t scope_cut(struct span a, struct span b, char dst[static SCOPE_MAX])
{
	struct path path_a = path_of(a), path_b = path_of(b);
	struct draft draft = { dst, 0 };
	struct span part;
	bool end;

	for (;;) {
		if (!common_name(&path_a, &path_b, &part, &end))
			return 0;
		if (end)
			break;
		if (!put(&draft, draft.n ? '/' : '\0', part))
			return 0;
	}
	/* Any name and any number more are what the double star alone stands for. */
	if (path_a.tail && path_b.tail && span_equal((struct span){ dst, draft.n }, SPAN("*")))
		draft.n = 0;
	if (path_a.tail && path_b.tail && !put(&draft, draft.n ? '/' : '\0', SPAN("**")))
		return 0;
	if (!common(path_a.action, path_b.action, &part) || !put(&draft, ':', part))
		return 0;
	return draft.n;
}
