/*
 * agent/credential.c - see credential.h.
 *
 * Two rows of the store belong to a name: one for its value, one for its last fetch, so that the
 * latter is kept without the value being opened. A change of one kind at a time is under way for a
 * name.
 *
 * Invariant: an entry stands in the table as long as anything is known of its name, a row in the
 * store or a change on its way there.
 */
#include "agent/credential.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "agent/secretmem.h"
#include "protocol/base/parse.h"

enum {
	NONCE_LEN = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
	OVERHEAD = NONCE_LEN + crypto_aead_xchacha20poly1305_ietf_ABYTES,
};
_Static_assert(CREDENTIAL_KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "the key's size");

/* A row in the store. */
struct place {
	uint64_t row; /* 0: none yet */
	uint32_t version;
	bool busy; /* a change of it is under way */
};

struct entry {
	struct credential c; /* first */
	uint8_t *sealed;     /* the nonce, then n bytes and their tag; NULL: nothing is held */
	struct place value, fetched;
	bool is_dirty;		   /* the last fetch is not in the store */
	struct entry *dirty_newer; /* of those that are dirty */
};

struct credentials {
	struct entry **entries; /* by name */
	size_t n, room;
	size_t n_held;
	uint64_t highest_row;
	struct entry *dirty_oldest, *dirty_newest;
	uint8_t *key; /* locked */
	bool is_keyless; /* it was taken */
};

DEFINE_CLEANUP(struct credential_change *, credential_rollback)

int credentials_new(uint8_t *key, struct credentials **ret)
{
	struct credentials *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	crypto_aead_xchacha20poly1305_ietf_keygen(key);
	all->key = key;
	*ret = all;
	return 0;
}

static void sealed_free(uint8_t *sealed, size_t n)
{
	if (!sealed)
		return;
	secret_wipe(sealed, n + OVERHEAD);
	free(sealed);
}

static void entry_free(struct entry *e)
{
	sealed_free(e->sealed, e->c.n);
	free(e);
}

void credentials_free(struct credentials *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->n; i++)
		entry_free(all->entries[i]);
	free(all->entries);
	free(all);
}

/* ---- the table ------------------------------------------------------------------------------- */

static int compare(struct span a, struct span b)
{
	int r = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return r ? r : a.n < b.n ? -1 : a.n > b.n;
}

/* Where the name stands, or would. */
static size_t place_of(const struct credentials *all, struct span name, bool *ret_found)
{
	size_t low = 0, high = all->n;

	*ret_found = false;
	while (low < high) {
		size_t at = low + (high - low) / 2;
		int r = compare(name, span_of(all->entries[at]->c.name));

		if (r == 0) {
			*ret_found = true;
			return at;
		}
		if (r < 0)
			high = at;
		else
			low = at + 1;
	}
	return low;
}

static struct entry *find(const struct credentials *all, struct span name)
{
	bool found;
	size_t at = place_of(all, name, &found);

	return found ? all->entries[at] : NULL;
}

static bool make_room(struct credentials *all)
{
	size_t room = all->room ? 2 * all->room : 16;
	struct entry **entries;

	if (all->n < all->room)
		return true;
	entries = reallocarray(all->entries, room, sizeof(struct entry *));
	if (!entries)
		return false;
	all->entries = entries;
	all->room = room;
	return true;
}

/* The entry of this name, made where there is none; NULL: no memory. */
static struct entry *get(struct credentials *all, struct span name)
{
	struct entry *e;
	bool found;
	size_t at = place_of(all, name, &found);

	if (found)
		return all->entries[at];
	assert(name.n > 0 && name.n <= CREDENTIAL_NAME_MAX);
	e = make_room(all) ? calloc(1, sizeof(*e)) : NULL;
	if (!e)
		return NULL;
	memcpy(e->c.name, name.p, name.n);
	memmove(all->entries + at + 1, all->entries + at, (all->n - at) * sizeof(struct entry *));
	all->entries[at] = e;
	all->n++;
	return e;
}

/* Takes an entry out again that nothing is known of. */
static void drop_if_unknown(struct credentials *all, struct entry *e)
{
	bool found;
	size_t at;

	if (e->value.row || e->fetched.row || e->value.busy || e->fetched.busy || e->is_dirty)
		return;
	at = place_of(all, span_of(e->c.name), &found);
	all->n--;
	memmove(all->entries + at, all->entries + at + 1, (all->n - at) * sizeof(struct entry *));
	entry_free(e);
}

const struct credential *credentials_find(const struct credentials *all, struct span name)
{
	const struct entry *e = find(all, name);

	return e ? &e->c : NULL;
}

const struct credential *credentials_after(const struct credentials *all, struct span name)
{
	bool found = false;
	size_t at = name.p ? place_of(all, name, &found) : 0;

	at += found;
	return at < all->n ? &all->entries[at]->c : NULL;
}

size_t credentials_n_held(const struct credentials *all)
{
	return all->n_held;
}

/* ---- sealing --------------------------------------------------------------------------------- */

/* The name goes with the value, so that none is ever given for another. NULL: no memory. */
static uint8_t *seal(const struct credentials *all, struct span name, struct span value)
{
	uint8_t *sealed = malloc(value.n + OVERHEAD);

	assert(!all->is_keyless);
	if (!sealed)
		return NULL;
	randombytes_buf(sealed, NONCE_LEN);
	crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + NONCE_LEN, NULL,
						   (const uint8_t *)value.p, value.n,
						   (const uint8_t *)name.p, name.n, NULL, sealed,
						   all->key);
	return sealed;
}

static void unseal(const struct credentials *all, struct span name, const uint8_t *sealed, size_t n,
		   char *dst)
{
	int r;

	assert(!all->is_keyless);
	r = crypto_aead_xchacha20poly1305_ietf_decrypt(
		(uint8_t *)dst, NULL, NULL, sealed + NONCE_LEN, n + OVERHEAD - NONCE_LEN,
		(const uint8_t *)name.p, name.n, sealed, all->key);

	/* What this process sealed is as it was, or its memory is not to be trusted with anything. */
	assert(r == 0);
}

void credential_open(const struct credentials *all, const struct credential *c, char *dst)
{
	const struct entry *e = (const struct entry *)c;

	assert(e->sealed);
	unseal(all, span_of(c->name), e->sealed, c->n, dst);
}

void credentials_take_key(struct credentials *all, uint8_t *dst)
{
	assert(!all->is_keyless);
	memcpy(dst, all->key, CREDENTIAL_KEY_LEN);
	secret_wipe(all->key, CREDENTIAL_KEY_LEN);
	all->is_keyless = true;
}

void credentials_give_key(struct credentials *all, const uint8_t *key)
{
	assert(all->is_keyless);
	memcpy(all->key, key, CREDENTIAL_KEY_LEN);
	all->is_keyless = false;
}

/* ---- last fetches ---------------------------------------------------------------------------- */

static void soil(struct credentials *all, struct entry *e)
{
	if (e->is_dirty)
		return;
	e->is_dirty = true;
	e->dirty_newer = NULL;
	*(all->dirty_newest ? &all->dirty_newest->dirty_newer : &all->dirty_oldest) = e;
	all->dirty_newest = e;
}

/* Takes the oldest dirty one that can be kept now. */
static struct entry *take_dirty(struct credentials *all)
{
	struct entry **at = &all->dirty_oldest, *e, *before = NULL;

	while ((e = *at) && e->fetched.busy) {
		before = e;
		at = &e->dirty_newer;
	}
	if (!e)
		return NULL;
	*at = e->dirty_newer;
	if (all->dirty_newest == e)
		all->dirty_newest = before;
	e->is_dirty = false;
	return e;
}

static void set_fetched_by(struct credential *c, struct span by)
{
	if (span_is(by, c->fetched_by))
		return;
	if (by.n > CREDENTIAL_BY_MAX || !utf8_valid(by))
		by = SPAN_NONE;
	if (by.n > 0)
		memcpy(c->fetched_by, by.p, by.n);
	c->fetched_by[by.n] = '\0';
}

void credentials_fetched(struct credentials *all, struct span name, uint64_t now_us, struct span by)
{
	struct entry *e = get(all, name);

	if (!e)
		return;
	e->c.fetched_us = now_us;
	set_fetched_by(&e->c, by);
	soil(all, e);
}

void credentials_each_unkept(const struct credentials *all,
			     void (*on_fetched)(void *userdata, const struct credential *c),
			     void *userdata)
{
	for (const struct entry *e = all->dirty_oldest; e; e = e->dirty_newer)
		on_fetched(userdata, &e->c);
}

/* ---- changes --------------------------------------------------------------------------------- */

/* Of a change of values there is one step; of last fetches there are several. */
struct step {
	struct entry *entry;
	struct place before; /* of the row, as a rollback leaves it */
};

struct credential_change {
	struct credentials *all;
	enum credential_record_kind kind;

	/* The value as it will be. */
	enum credential_form form;
	uint8_t *sealed;
	size_t value_n;
	uint64_t revision, updated_us, expires_us;

	size_t n;
	struct step steps[];
};

static struct place *place_in(const struct credential_change *c, struct entry *e)
{
	return c->kind == CREDENTIAL_VALUE ? &e->value : &e->fetched;
}

static struct credential_change *change_new(struct credentials *all,
					    enum credential_record_kind kind, size_t max_steps)
{
	struct credential_change *c = calloc(1, sizeof(*c) + max_steps * sizeof(struct step));

	if (!c)
		return NULL;
	c->all = all;
	c->kind = kind;
	return c;
}

/* The entry's row gets a new version, and a number if it has none. */
static void add_step(struct credential_change *c, struct entry *e)
{
	struct place *place = place_in(c, e);

	assert(!place->busy);
	c->steps[c->n++] = (struct step){ e, *place };
	if (!place->row)
		place->row = ++c->all->highest_row;
	place->version++;
	place->busy = true;
}

int credential_prepare_put(struct credentials *all, struct span name, enum credential_form form,
			   struct span value, uint64_t now_us, uint64_t expires_us,
			   uint64_t *ret_revision, struct credential_change **ret)
{
	_cleanup_(credential_rollbackp) struct credential_change *c = NULL;
	struct entry *e = find(all, name);

	assert(form != CREDENTIAL_NONE && value.n > 0 && value.n <= CREDENTIAL_VALUE_MAX);
	if (e && e->value.busy)
		return -EBUSY;
	c = change_new(all, CREDENTIAL_VALUE, 1);
	if (!c)
		return -ENOMEM;
	c->sealed = seal(all, name, value);
	c->value_n = value.n;
	if (c->sealed)
		e = get(all, name);
	if (!c->sealed || !e)
		return -ENOMEM;
	c->form = form;
	c->revision = e->c.revision + 1;
	c->updated_us = now_us;
	c->expires_us = expires_us;
	add_step(c, e);
	*ret_revision = c->revision;
	*ret = STEAL_PTR(c);
	return 0;
}

int credential_prepare_forget(struct credentials *all, struct span name, uint64_t now_us,
			      struct credential_change **ret)
{
	struct credential_change *c;
	struct entry *e = find(all, name);

	if (e && e->value.busy)
		return -EBUSY;
	if (!e || !e->sealed)
		return -ENOENT;
	c = change_new(all, CREDENTIAL_VALUE, 1);
	if (!c)
		return -ENOMEM;
	c->revision = e->c.revision;
	c->updated_us = now_us;
	add_step(c, e);
	*ret = c;
	return 0;
}

/* Of a name of which nothing is known by Put, the revision is 0. */
static bool is_later(const struct credential *here, const struct credential_record *there)
{
	return here->revision >= there->revision ||
	       (here->revision > 0 && here->updated_us >= there->updated_us);
}

int credential_prepare_restore(struct credentials *all, const struct credential_record *record,
			       struct credential_change **ret)
{
	_cleanup_(credential_rollbackp) struct credential_change *c = NULL;
	struct entry *e = find(all, record->name);

	assert(record->kind == CREDENTIAL_VALUE);
	if (e && e->value.busy)
		return -EBUSY;
	if (e && is_later(&e->c, record))
		return -EEXIST;
	c = change_new(all, CREDENTIAL_VALUE, 1);
	if (!c)
		return -ENOMEM;
	c->form = record->form;
	c->value_n = record->value.n;
	c->revision = record->revision;
	c->updated_us = record->updated_us;
	c->expires_us = record->expires_us;
	if (c->form != CREDENTIAL_NONE)
		c->sealed = seal(all, record->name, record->value);
	if (c->form == CREDENTIAL_NONE || c->sealed)
		e = get(all, record->name);
	else
		e = NULL;
	if (!e)
		return -ENOMEM;
	add_step(c, e);
	*ret = STEAL_PTR(c);
	return 0;
}

int credentials_prepare_fetched(struct credentials *all, size_t max, struct credential_change **ret)
{
	struct credential_change *c = NULL;
	struct entry *e;

	if (all->dirty_oldest) {
		c = change_new(all, CREDENTIAL_FETCHED, max);
		if (!c)
			return -ENOMEM;
		while (c->n < max && (e = take_dirty(all)))
			add_step(c, e);
	}
	if (c && c->n == 0)
		credential_rollback(STEAL_PTR(c));
	*ret = c;
	return 0;
}

size_t credential_change_n(const struct credential_change *c)
{
	return c->n;
}

static size_t write_value(const struct credential_change *c, struct span name, uint8_t *dst)
{
	struct credential_record record = {
		.kind = CREDENTIAL_VALUE,
		.name = name,
		.form = c->form,
		.revision = c->revision,
		.updated_us = c->updated_us,
		.expires_us = c->expires_us,
		.value = { NULL, c->value_n },
	};
	size_t n = credential_record_write(&record, dst);

	if (c->sealed)
		unseal(c->all, name, c->sealed, c->value_n, (char *)dst + n - c->value_n);
	return n;
}

static size_t write_fetched(const struct credential *c, struct span name, uint8_t *dst)
{
	struct credential_record record = {
		.kind = CREDENTIAL_FETCHED,
		.name = name,
		.fetched_us = c->fetched_us,
		.fetched_by = span_of(c->fetched_by),
	};

	return credential_record_write(&record, dst);
}

void credential_change_row(const struct credential_change *c, size_t i, uint8_t *dst,
			   struct credential_row *ret)
{
	const struct step *s = &c->steps[i];
	const struct place *place = place_in(c, s->entry);
	struct span name = span_of(s->entry->c.name);

	assert(i < c->n);
	*ret = (struct credential_row){
		.row = place->row,
		.old_version = s->before.version,
		.version = place->version,
		.n = c->kind == CREDENTIAL_VALUE ? write_value(c, name, dst)
						 : write_fetched(&s->entry->c, name, dst),
		.name = s->entry->c.name,
		.is_put = c->kind == CREDENTIAL_VALUE && c->form != CREDENTIAL_NONE,
		.is_forgotten = c->kind == CREDENTIAL_VALUE && c->form == CREDENTIAL_NONE &&
				s->entry->sealed,
	};
}

static void put_in_place(struct credential_change *c, struct entry *e)
{
	struct credentials *all = c->all;

	all->n_held -= e->sealed != NULL;
	sealed_free(e->sealed, e->c.n);
	e->sealed = STEAL_PTR(c->sealed);
	all->n_held += e->sealed != NULL;
	e->c.form = c->form;
	e->c.n = c->value_n;
	e->c.revision = c->revision;
	e->c.updated_us = c->updated_us;
	e->c.expires_us = c->expires_us;
}

void credential_commit(struct credential_change *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct entry *e = c->steps[i].entry;

		place_in(c, e)->busy = false;
		if (c->kind == CREDENTIAL_VALUE)
			put_in_place(c, e);
	}
	free(c);
}

void credential_rollback(struct credential_change *c)
{
	if (!c)
		return;
	for (size_t i = c->n; i-- > 0;) {
		struct entry *e = c->steps[i].entry;

		*place_in(c, e) = c->steps[i].before;
		if (c->kind == CREDENTIAL_FETCHED)
			soil(c->all, e);
		drop_if_unknown(c->all, e);
	}
	sealed_free(c->sealed, c->value_n);
	free(c);
}

/* ---- loading --------------------------------------------------------------------------------- */

static int load_value(struct credentials *all, struct entry *e, const struct credential_record *r)
{
	if (r->form != CREDENTIAL_NONE) {
		e->sealed = seal(all, r->name, r->value);
		if (!e->sealed)
			return -ENOMEM;
		all->n_held++;
	}
	e->c.form = r->form;
	e->c.n = r->value.n;
	e->c.revision = r->revision;
	e->c.updated_us = r->updated_us;
	e->c.expires_us = r->expires_us;
	return 0;
}

int credentials_load(struct credentials *all, uint64_t row, uint32_t version, const uint8_t *record,
		     size_t n)
{
	struct credential_record r;
	struct entry *e;
	struct place *place;
	int k = credential_record_read(record, n, &r);

	if (k < 0)
		return k;
	e = get(all, r.name);
	if (!e)
		return -ENOMEM;
	place = r.kind == CREDENTIAL_VALUE ? &e->value : &e->fetched;
	if (place->row)
		return -EBADMSG;
	*place = (struct place){ .row = row, .version = version };
	if (row > all->highest_row)
		all->highest_row = row;
	if (r.kind == CREDENTIAL_VALUE)
		return load_value(all, e, &r);
	/* Of a fetch that was noted elsewhere the newer one counts. */
	if (e->is_dirty && e->c.fetched_us >= r.fetched_us)
		return 0;
	e->c.fetched_us = r.fetched_us;
	set_fetched_by(&e->c, r.fetched_by);
	return 0;
}
