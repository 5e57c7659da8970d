/* ctl/owners.c - see owners.h. */
#include "ctl/owners.h"

#include <pwd.h>
#include <string.h>

static int compare(struct span a, const char *b)
{
	size_t n = strlen(b);
	int r = memcmp(a.p, b, a.n < n ? a.n : n);

	return r ? r : a.n < n ? -1 : a.n > n;
}

/* Where the name stands, or would. */
static size_t place_of(const struct owners *o, struct span name, bool *ret_found)
{
	size_t low = 0, high = o->n;

	*ret_found = false;
	while (low < high && !*ret_found) {
		size_t at = low + (high - low) / 2;
		int r = compare(name, o->all[at].name);

		if (r > 0)
			low = at + 1;
		else
			high = at;
		*ret_found = r == 0;
	}
	return high;
}

static bool make_room(struct owners *o)
{
	size_t room = o->room ? 2 * o->room : 16;
	struct owner_seen *all;

	if (o->n < o->room)
		return true;
	all = reallocarray(o->all, room, sizeof(*all));
	if (!all)
		return false;
	o->all = all;
	o->room = room;
	return true;
}

static void insert(struct owners *o, size_t at, struct span name)
{
	char *copy = make_room(o) ? strndup(name.p, name.n) : NULL;

	if (!copy) {
		o->is_short = true;
		return;
	}
	memmove(o->all + at + 1, o->all + at, (o->n - at) * sizeof(*o->all));
	o->all[at] = (struct owner_seen){ copy, 1 };
	o->n++;
}

void owners_add(struct owners *o, struct span name)
{
	bool found;
	size_t at;

	if (name.n == 0)
		return;
	at = place_of(o, name, &found);
	if (found)
		o->all[at].n_active++;
	else
		insert(o, at, name);
}

void owners_keep_missing(struct owners *o)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->n; i++) {
		if (getpwnam(o->all[i].name))
			free(o->all[i].name);
		else
			o->all[kept++] = o->all[i];
	}
	o->n = kept;
}

void owners_done(struct owners *o)
{
	for (size_t i = 0; i < o->n; i++)
		free(o->all[i].name);
	free(o->all);
	*o = (struct owners){ NULL, 0, 0, false };
}
