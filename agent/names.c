/*
 * agent/names.c
 *
 * Questions go to a thread, which answers them in their order: so a barrier is a question that asks
 * nothing. What is known belongs to the loop alone and changes only in names_dispatch() and
 * names_refresh().
 */
#include "agent/names.h"

#include <errno.h>
#include <string.h>

#include "agent/names-thread.h"

struct user_entry {
	struct user user;
	bool known;
	bool wanted;		      /* somebody asked since the last refresh */
	struct names_request *queued; /* the last one asked, until it is answered */
};

struct name_entry {
	char *name;
	int result; /* as names_user_id() returns */
	uint32_t id;
	struct names_request *queued;
};

struct name_table {
	struct name_entry *entries; /* sorted by name */
	size_t n;
};

struct barrier {
	struct barrier *next;
	uint64_t serial;
	void (*done)(void *userdata);
	void *userdata;
};

struct names {
	struct names_thread *thread;
	struct user_entry **users; /* sorted by uid */
	size_t n_users;
	struct name_table user_names, group_names;
	struct barrier *barriers;
	uint64_t serial; /* of the last barrier */
	bool changed;	 /* to be told by names_dispatch() */
};

/* ---- asking ---------------------------------------------------------------------------------- */

/*
 * Has a question answered, or, where memory is short, does not. Returns the request that will be:
 * `queued`, which is the last one of this kind, if any, where the thread has not begun it yet.
 */
static struct names_request *ask(struct names *n, enum names_kind kind, uid_t uid, const char *name,
				 struct names_request *queued)
{
	struct names_request *r = calloc(1, sizeof(*r));

	if (!r)
		return queued;
	r->kind = kind;
	r->uid = uid;
	r->serial = n->serial;
	if (name && !(r->name = strdup(name))) {
		names_request_free(r);
		return queued;
	}
	return names_thread_ask(n->thread, r, queued);
}

static void ask_user(struct names *n, struct user_entry *e)
{
	e->queued = ask(n, USER_BY_UID, e->user.uid, NULL, e->queued);
}

static void ask_name(struct names *n, struct name_table *table, struct name_entry *e)
{
	enum names_kind kind = table == &n->user_names ? USER_BY_NAME : GROUP_BY_NAME;

	e->queued = ask(n, kind, 0, e->name, e->queued);
}

int names_barrier(struct names *n, void (*done)(void *userdata), void *userdata)
{
	struct barrier *b = malloc(sizeof(*b));

	if (!b)
		return -ENOMEM;
	n->serial++;
	if (!ask(n, BARRIER, 0, NULL, NULL)) {
		free(b);
		return -ENOMEM;
	}
	*b = (struct barrier){ n->barriers, n->serial, done, userdata };
	n->barriers = b;
	return 0;
}

void names_barrier_cancel(struct names *n, void *userdata)
{
	for (struct barrier **at = &n->barriers; *at;) {
		struct barrier *b = *at;

		if (b->userdata != userdata) {
			at = &b->next;
			continue;
		}
		*at = b->next;
		free(b);
	}
}

/* ---- what is known --------------------------------------------------------------------------- */

/* The place of a uid in the table: where it is, or would be. */
static size_t user_place(const struct names *n, uid_t uid)
{
	size_t low = 0, high = n->n_users;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (n->users[middle]->user.uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct user_entry *find_user(const struct names *n, uid_t uid)
{
	size_t i = user_place(n, uid);

	return i < n->n_users && n->users[i]->user.uid == uid ? n->users[i] : NULL;
}

static struct user_entry *add_user(struct names *n, uid_t uid)
{
	struct user_entry *e = calloc(1, sizeof(*e));
	struct user_entry **grown = reallocarray(n->users, n->n_users + 1, sizeof(*grown));
	size_t at;

	if (grown)
		n->users = grown;
	if (!e || !grown) {
		free(e);
		return NULL;
	}
	at = user_place(n, uid);
	memmove(grown + at + 1, grown + at, (n->n_users - at) * sizeof(*grown));
	grown[at] = e;
	n->n_users++;
	e->user.uid = uid;
	return e;
}

static void user_entry_free(struct user_entry *e)
{
	free(e->user.name);
	free(e->user.groups);
	free(e);
}

const struct user *names_user(struct names *n, uid_t uid)
{
	struct user_entry *e = find_user(n, uid);

	if (!e)
		e = add_user(n, uid);
	if (!e)
		return NULL;
	e->wanted = true;
	/* One that was never answered is asked for again by whoever is refused for it. */
	if ((!e->known || (e->user.failed && !e->user.sure)) && !e->queued)
		ask_user(n, e);
	return e->known ? &e->user : NULL;
}

static size_t name_place(const struct name_table *t, const char *name)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(t->entries[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct name_entry *find_name(const struct name_table *t, const char *name)
{
	size_t i = name_place(t, name);

	return i < t->n && strcmp(t->entries[i].name, name) == 0 ? &t->entries[i] : NULL;
}

static struct name_entry *add_name(struct name_table *t, const char *name)
{
	_cleanup_free_ char *copy = strdup(name);
	struct name_entry *grown = reallocarray(t->entries, t->n + 1, sizeof(*grown));
	size_t at;

	if (grown)
		t->entries = grown;
	if (!copy || !grown)
		return NULL;
	at = name_place(t, name);
	memmove(grown + at + 1, grown + at, (t->n - at) * sizeof(*grown));
	t->n++;
	grown[at] = (struct name_entry){ .name = STEAL_PTR(copy), .result = -EAGAIN };
	return &grown[at];
}

static void name_table_done(struct name_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->entries[i].name);
	free(t->entries);
}

static void ask_for_name(struct names *n, struct name_table *t, const char *name)
{
	struct name_entry *e = find_name(t, name);

	if (!e)
		e = add_name(t, name);
	if (e)
		ask_name(n, t, e);
}

void names_ask_user(struct names *n, const char *name)
{
	ask_for_name(n, &n->user_names, name);
}

void names_ask_group(struct names *n, const char *name)
{
	ask_for_name(n, &n->group_names, name);
}

static int known_id(const struct name_table *t, const char *name, uint32_t *ret)
{
	const struct name_entry *e = find_name(t, name);

	if (!e)
		return -EAGAIN;
	if (e->result > 0)
		*ret = e->id;
	return e->result;
}

int names_user_id(const struct names *n, const char *name, uid_t *ret)
{
	return known_id(&n->user_names, name, ret);
}

int names_group_id(const struct names *n, const char *name, gid_t *ret)
{
	return known_id(&n->group_names, name, ret);
}

/*
 * A process of a user namespace has tens of thousands of uids to come with, none of which has an
 * account. What rests on a uid's having none (an owner without a name) must be judged anew when
 * nobody looks after it any more: hence `changed`.
 */
static void forget_unwanted(struct names *n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n->n_users; i++) {
		struct user_entry *e = n->users[i];

		if (!e->wanted && !e->user.name && !e->queued) {
			user_entry_free(e);
			n->changed = true;
			continue;
		}
		e->wanted = false;
		n->users[kept++] = e;
	}
	n->n_users = kept;
	if (n->changed)
		names_thread_wake(n->thread);
}

void names_refresh(struct names *n)
{
	forget_unwanted(n);
	for (size_t i = 0; i < n->n_users; i++)
		ask_user(n, n->users[i]);
	for (size_t i = 0; i < n->user_names.n; i++)
		ask_name(n, &n->user_names, &n->user_names.entries[i]);
	for (size_t i = 0; i < n->group_names.n; i++)
		ask_name(n, &n->group_names, &n->group_names.entries[i]);
}

/* ---- taking answers in ----------------------------------------------------------------------- */

static bool same_user(const struct user *u, const struct names_request *r)
{
	if (!u->name != !r->user_name || (u->name && strcmp(u->name, r->user_name) != 0))
		return false;
	return u->n_groups == r->n_groups &&
	       (u->n_groups == 0 ||
		memcmp(u->groups, r->groups, u->n_groups * sizeof(*u->groups)) == 0);
}

static void take_user(struct names *n, struct names_request *r)
{
	struct user_entry *e = find_user(n, r->uid);
	bool first;

	if (!e)
		return;
	if (e->queued == r)
		e->queued = NULL;
	first = !e->known;
	e->known = true;
	e->user.failed = r->result < 0;
	e->user.sure |= r->result >= 0;
	if (r->result < 0 || same_user(&e->user, r))
		return;

	free(e->user.name);
	free(e->user.groups);
	e->user.name = STEAL_PTR(r->user_name);
	e->user.groups = STEAL_PTR(r->groups);
	e->user.n_groups = r->n_groups;
	if (!first)
		n->changed = true;
}

static void take_name(struct names *n, struct name_table *t, const struct names_request *r)
{
	struct name_entry *e = find_name(t, r->name);
	bool was = e && e->result > 0;

	if (!e)
		return;
	if (e->queued == r)
		e->queued = NULL;
	if (r->result < 0) {
		if (e->result == -EAGAIN)
			e->result = -EIO;
		return;
	}
	if (was != (r->result > 0) || (was && e->id != r->id))
		n->changed = true;
	e->result = r->result;
	e->id = r->id;
}

static void take_barrier(struct names *n, uint64_t serial)
{
	for (struct barrier **at = &n->barriers; *at; at = &(*at)->next) {
		struct barrier b = **at;

		if (b.serial != serial)
			continue;
		/* Off the list before the call, which may ask and cancel as it likes. */
		free(*at);
		*at = b.next;
		b.done(b.userdata);
		return;
	}
}

static void take(struct names *n, struct names_request *r)
{
	switch (r->kind) {
	case USER_BY_UID:
		take_user(n, r);
		return;
	case USER_BY_NAME:
		take_name(n, &n->user_names, r);
		return;
	case GROUP_BY_NAME:
		take_name(n, &n->group_names, r);
		return;
	case BARRIER:
		take_barrier(n, r->serial);
		return;
	}
}

bool names_dispatch(struct names *n)
{
	struct names_request *r;
	bool changed;

	while ((r = names_thread_answer(n->thread))) {
		take(n, r);
		names_request_free(r);
	}
	changed = n->changed;
	n->changed = false;
	return changed;
}

/* ---- its life -------------------------------------------------------------------------------- */

int names_new_with(const struct names_functions *fns, struct names **ret)
{
	struct names *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return -ENOMEM;
	r = names_thread_new(fns, &n->thread);
	if (r < 0) {
		names_free(n);
		return r;
	}
	*ret = n;
	return 0;
}

int names_new(struct names **ret)
{
	return names_new_with(&names_libc, ret);
}

void names_free(struct names *n)
{
	if (!n)
		return;
	names_thread_leave(n->thread);
	for (size_t i = 0; i < n->n_users; i++)
		user_entry_free(n->users[i]);
	free(n->users);
	name_table_done(&n->user_names);
	name_table_done(&n->group_names);
	while (n->barriers)
		names_barrier_cancel(n, n->barriers->userdata);
	free(n);
}

int names_fd(const struct names *n)
{
	return names_thread_fd(n->thread);
}
