/*
 * agent/maps.c - see maps.h.
 *
 * A token stands in a map while a Verify by any of its view would find it good for some scope and
 * change nothing but when it was last used: so it is worked out by the same functions, of the vault,
 * of the owner's access (agent/authority.h) and of what a verifier is told. What can't be worked out
 * now, or does not fit, is not in it; a reader asks.
 *
 * Readers can't be seen. A view that nobody has asked for or told of for a while is retired; who
 * still wants it asks again.
 *
 * Invariant: each token that a map says anything of is as the map says, but for its expiry by the
 * clock, which readers look at. A map that is being filled is held to that as any.
 */
#include "agent/maps.h"

#include <errno.h>
#include <time.h>

#include "agent/authority.h"
#include "agent/change.h"
#include "agent/cut.h"
#include "agent/denied.h"
#include "agent/map.h"
#include "agent/policy/reduce.h"
#include "agent/upkeep.h"
#include "protocol/base/time.h"

enum {
	FILL_BYTES = 256 * 1024,  /* of memory, at once */
	FREE_BYTES = 1024 * 1024, /* likewise */
	FILL_TOKENS = 16,	 /* between looks at the clock */
	PARTS_MAX = 128,
	TEXT_FIRST = 64 * 1024,
};
static const uint64_t SLICE_US = 250;
static const uint64_t REST_US = 10 * USEC_PER_SEC;    /* after no larger map could be had */
static const uint64_t IDLE_US = 900 * USEC_PER_SEC; /* that a view nobody asks for is kept */

struct waiting {
	struct waiting *next;
	struct pending *pending;
};

struct view {
	struct view *next;
	struct map_rights rights;
	struct map *map;    /* that is given out, once it is whole */
	struct map *larger; /* that takes its place, once it is filled */
	struct vault_cursor cursor; /* over what is not in the newer of them yet */
	bool filling;
	bool lacks_room; /* something did not fit */
	uint64_t rests_until_us, asked_us;
	struct waiting *waiting;
};

/* A map that is retired, and freed bit by bit. */
struct leaving {
	struct leaving *next;
	struct map *map;
};

/* A token's access, as it is put together. */
struct text {
	const struct map_rights *rights;
	struct span parts[PARTS_MAX];
	char texts[PARTS_MAX][SCOPE_MAX];
	size_t n;
	bool too_much;
	char joined[MAP_ACCESS_MAX];
};

struct maps {
	struct view *views;
	unsigned n_views;
	struct leaving *leaving;
	uint64_t bytes; /* of all maps, but those that leave */
	bool missed;	/* a token whose owner was not known yet */
	uint64_t now_us; /* as of the last beat or slice of work; monotonic */
	sd_event_source *work, *beat;
	struct text text;
};

static bool is_whole(const struct map *m)
{
	return m && map_is_whole(m);
}

/* ---- what a map says of a token -------------------------------------------------------------- */

static void add_part(void *userdata, struct span scope)
{
	struct text *t = userdata;

	if (t->n == PARTS_MAX) {
		t->too_much = true;
		return;
	}
	memcpy(t->texts[t->n], scope.p, scope.n);
	t->parts[t->n] = (struct span){ t->texts[t->n], scope.n };
	t->n++;
}

static void add_scope(void *userdata, struct span scope)
{
	struct text *t = userdata;

	map_rights_cut(t->rights, scope, add_part, t);
}

/* Its length; 0: there is nothing in it, or it is too much. */
static size_t join(struct text *t)
{
	size_t n = 0;

	if (t->too_much || (t->n > 1 && scopes_reduce(t->parts, &t->n) < 0))
		return 0;
	for (size_t i = 0; i < t->n; i++) {
		if (t->parts[i].n + 1 > sizeof(t->joined) - n)
			return 0;
		memcpy(t->joined + n, t->parts[i].p, t->parts[i].n);
		n += t->parts[i].n;
		t->joined[n++] = 0;
	}
	return n;
}

/* The access that this view is told of the token; n 0: none. In the maps' own memory. */
static struct span access_told(struct agent *a, const struct map_rights *rights,
			       const struct token_facts *facts)
{
	_cleanup_(access_done) struct access space = { 0 };
	struct text *t = &a->maps->text;
	const struct access *access;
	enum identity identity;

	t->rights = rights;
	t->n = 0;
	t->too_much = false;
	identity = owner_access(a, facts->owner_uid, facts->owner_name, &space, &access);
	a->maps->missed = a->maps->missed || identity == IDENTITY_WAIT;
	if (identity != IDENTITY_KNOWN || !cut_each(&facts->scopes, access, add_scope, t))
		return SPAN_NONE;
	return (struct span){ t->joined, join(t) };
}

/* Whether any map may say anything of it. */
static bool is_for_maps(const struct agent *a, token_ref ref)
{
	return vault_is_sound(a->vault, ref) && !vault_is_bound(a->vault, ref) &&
	       vault_uses_left(a->vault, ref) == USES_UNLIMITED && !is_denied(a, ref);
}

static void enter(struct view *v, struct map *m, const struct map_token *token)
{
	if (is_whole(m) && !map_enter(m, token))
		v->lacks_room = true;
}

static void leave(struct map *m, uint64_t id)
{
	if (is_whole(m))
		map_leave(m, id);
}

/* Puts both of a view's maps right about the token. */
static void show(struct agent *a, struct view *v, const struct token_facts *facts, bool sound)
{
	struct span access = sound ? access_told(a, &v->rights, facts) : SPAN_NONE;
	struct map_token token = { facts->id, facts->expires_us, facts->hash, access };

	if (access.n > 0) {
		enter(v, v->map, &token);
		enter(v, v->larger, &token);
	} else {
		leave(v->map, facts->id);
		leave(v->larger, facts->id);
	}
}

static void wake(struct maps *maps)
{
	(void)sd_event_source_set_enabled(maps->work, SD_EVENT_ONESHOT);
}

static bool wants_larger(const struct agent *a, const struct view *v)
{
	return !v->larger && !v->filling && is_whole(v->map) &&
	       (v->lacks_room || map_is_crowded(v->map)) && a->maps->now_us >= v->rests_until_us;
}

static void on_token(void *userdata, token_ref ref)
{
	struct agent *a = userdata;
	bool sound = is_for_maps(a, ref);
	struct token_facts facts;

	vault_facts(a->vault, ref, &facts);
	for (struct view *v = a->maps->views; v; v = v->next) {
		show(a, v, &facts, sound);
		if (wants_larger(a, v))
			wake(a->maps);
	}
}

/* ---- maps ------------------------------------------------------------------------------------ */

static uint64_t at_least(uint64_t least, uint64_t n)
{
	while (least < n)
		least *= 2;
	return least;
}

/* A map with room for all tokens there are, and some more. */
static int make_map(struct agent *a, uint64_t n_text, struct map **ret)
{
	uint64_t n_slots = at_least(4 * MAP_SLOTS_MIN, vault_n_active(a->vault) * 10 / 6);
	uint64_t text_bytes = at_least(TEXT_FIRST, 2 * n_text);
	uint64_t bytes = map_bytes(n_slots, text_bytes);
	int r;

	if (n_slots > MAP_SLOTS_MAX || a->maps->bytes + bytes > a->settings.memory_limit)
		return -ENOSPC;
	r = map_new(n_slots, text_bytes, ret);
	if (r == 0)
		a->maps->bytes += bytes;
	return r;
}

/* Readers are told at once. */
static void drop_map(struct agent *a, struct map **m)
{
	struct leaving *l;

	if (!*m)
		return;
	a->maps->bytes -= map_size(*m);
	l = malloc(sizeof(*l));
	if (l) {
		map_retire(*m);
		*l = (struct leaving){ a->maps->leaving, *m };
		a->maps->leaving = l;
		wake(a->maps);
	} else {
		map_free(*m);
	}
	*m = NULL;
}

/* Frees more of what leaves, up to so many bytes; false: there is nothing. */
static bool free_some(struct maps *maps, uint64_t bytes)
{
	struct leaving *l = maps->leaving;

	if (!l)
		return false;
	if (map_free_some(l->map, bytes)) {
		maps->leaving = l->next;
		free(l);
	}
	return true;
}

static enum map_state state_now(struct agent *a)
{
	return a->locked || wall_clock_is_doubted(&a->wall_clock) ? MAP_ASK : MAP_GOOD;
}

static uint64_t monotonic_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

static void tell_state(struct agent *a, struct map *m)
{
	map_beat(m, monotonic_now());
	map_set_state(m, state_now(a));
}

static void stop_filling(struct view *v)
{
	vault_cursor_done(&v->cursor);
	v->filling = false;
}

static void start_filling(struct agent *a, struct view *v)
{
	stop_filling(v);
	vault_cursor_init(&v->cursor, a->vault, NULL, true);
	v->filling = true;
}

/* Calls that wait for this map are dispatched again. */
static void answer_waiting(struct view *v)
{
	struct waiting *w;

	while ((w = v->waiting)) {
		v->waiting = w->next;
		pending_complete(w->pending);
		free(w);
	}
}

static void drop_view(struct agent *a, struct view **at)
{
	struct view *v = *at;

	*at = v->next;
	a->maps->n_views--;
	stop_filling(v);
	drop_map(a, &v->larger);
	drop_map(a, &v->map);
	answer_waiting(v);
	map_rights_done(&v->rights);
	free(v);
	/* With no map, no change pays for one. */
	if (!a->maps->views) {
		vault_watch(a->vault, NULL, NULL);
		(void)sd_event_source_set_enabled(a->maps->beat, SD_EVENT_OFF);
	}
}

/* ---- filling --------------------------------------------------------------------------------- */

/* More memory for the map that is being made; whether that goes on. */
static void take_memory(struct agent *a, struct view *v, struct map **m)
{
	int r = map_fill(*m, FILL_BYTES);

	if (r == 0)
		return;
	if (r > 0) {
		if (*m == v->map)
			tell_state(a, v->map);
		v->lacks_room = false;
		start_filling(a, v);
		answer_waiting(v);
		return;
	}
	log_limited(&a->limit_fds, agent_monotonic(a),
		    "no memory for a verifier's map of %llu bytes: %s; verifiers ask over the "
		    "socket for what it does not have",
		    (unsigned long long)map_size(*m), strerror(-r));
	drop_map(a, m);
	v->lacks_room = false;
	v->rests_until_us = a->maps->now_us + REST_US;
	answer_waiting(v);
}

static void show_some(struct agent *a, struct view *v)
{
	for (int i = 0; i < FILL_TOKENS; i++) {
		token_ref ref = vault_cursor_peek(&v->cursor);
		struct token_facts facts;

		if (ref == REF_NONE) {
			stop_filling(v);
			return;
		}
		vault_facts(a->vault, ref, &facts);
		show(a, v, &facts, is_for_maps(a, ref));
		vault_cursor_step(&v->cursor);
	}
}

/* The larger map has all that the other has. */
static void exchange(struct agent *a, struct view *v)
{
	tell_state(a, v->larger);
	drop_map(a, &v->map);
	v->map = STEAL_PTR(v->larger);
	/* One that has no room all the same is not followed by another at once. */
	if (v->lacks_room)
		v->rests_until_us = a->maps->now_us + REST_US;
}

static void start_larger(struct agent *a, struct view *v)
{
	int r;

	v->lacks_room = false;
	r = make_map(a, map_n_text(v->map) + MAP_ACCESS_MAX, &v->larger);
	if (r < 0)
		v->rests_until_us = a->maps->now_us + REST_US;
}

/* One step of a view's work; false: there is none. */
static bool step(struct agent *a, struct view *v)
{
	struct map **making = v->map && !map_is_whole(v->map) ? &v->map : &v->larger;

	if (*making && !map_is_whole(*making))
		take_memory(a, v, making);
	else if (v->filling)
		show_some(a, v);
	else if (v->larger)
		exchange(a, v);
	else if (wants_larger(a, v))
		start_larger(a, v);
	else
		return false;
	return true;
}

/* Steps of each view in turn, for a slice of time. False: there is nothing left to do. */
static bool work_on(struct agent *a)
{
	uint64_t until_us = monotonic_now() + SLICE_US;
	bool works;

	a->maps->now_us = agent_monotonic(a);
	do {
		works = free_some(a->maps, FREE_BYTES);
		for (struct view *v = a->maps->views; v; v = v->next)
			works = step(a, v) || works;
	} while (works && monotonic_now() < until_us);
	return works;
}

static int on_work(sd_event_source *source, uint64_t at_us, void *userdata)
{
	struct agent *a = userdata;

	(void)source;
	(void)at_us;
	if (work_on(a))
		wake(a->maps);
	change_complete_deferred(a);
	return 0;
}

/* ---- the beat -------------------------------------------------------------------------------- */

static void beat(struct agent *a)
{
	a->maps->now_us = agent_monotonic(a);
	for (struct view **at = &a->maps->views, *v; (v = *at);) {
		if (a->maps->now_us > v->asked_us + IDLE_US) {
			drop_view(a, at);
			continue;
		}
		if (is_whole(v->map))
			tell_state(a, v->map);
		if (wants_larger(a, v))
			wake(a->maps);
		at = &v->next;
	}
}

static int on_beat(sd_event_source *source, uint64_t at_us, void *userdata)
{
	struct agent *a = userdata;

	(void)at_us;
	if (upkeep_believes_clock(a))
		upkeep_vault_changed(a);
	(void)sd_event_source_set_time(source, agent_monotonic(a) + MAP_BEAT_US);
	(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	beat(a);
	change_complete_deferred(a);
	return 0;
}

void maps_state_changed(struct agent *a)
{
	for (struct view *v = a->maps ? a->maps->views : NULL; v; v = v->next)
		if (is_whole(v->map))
			tell_state(a, v->map);
}

/* ---- views ----------------------------------------------------------------------------------- */

static int start_maps(struct agent *a)
{
	struct maps *maps = calloc(1, sizeof(*maps));
	int r;

	if (!maps)
		return -ENOMEM;
	/* A timer that is always due: see turns.c. */
	r = sd_event_add_time(a->event, &maps->work, CLOCK_MONOTONIC, 0, 1, on_work, a);
	if (r >= 0)
		r = sd_event_add_time(a->event, &maps->beat, CLOCK_MONOTONIC, 0, 1000, on_beat, a);
	if (r >= 0)
		r = sd_event_source_set_enabled(maps->work, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_source_set_enabled(maps->beat, SD_EVENT_OFF);
	a->maps = maps;
	if (r < 0)
		maps_done(a);
	return r < 0 ? r : 0;
}

bool maps_would_tell(struct agent *a, const struct map_rights *rights, token_ref ref)
{
	struct token_facts facts;

	if ((!a->maps && start_maps(a) < 0) || !is_for_maps(a, ref))
		return false;
	vault_facts(a->vault, ref, &facts);
	return access_told(a, rights, &facts).n > 0;
}

static struct view *find_view(const struct maps *maps, const struct map_rights *rights)
{
	struct view *v = maps->views;

	while (v && !map_rights_equal(&v->rights, rights))
		v = v->next;
	return v;
}

static int copy_rights(const struct map_rights *rights, struct map_rights *ret)
{
	size_t n = rights->scopes.n, n_bytes = n * sizeof(struct span);
	struct span *scopes;
	char *text;

	for (size_t i = 0; i < n; i++)
		n_bytes += rights->scopes.scopes[i].n;
	scopes = malloc(n_bytes + 1);
	if (!scopes)
		return -ENOMEM;
	text = (char *)(scopes + n);
	for (size_t i = 0; i < n; i++) {
		struct span s = rights->scopes.scopes[i];

		scopes[i] = (struct span){ memcpy(text, s.p, s.n), s.n };
		text += s.n;
	}
	*ret = (struct map_rights){ rights->all, { scopes, n, scopes } };
	return 0;
}

static int add_view(struct agent *a, const struct map_rights *rights, struct view **ret)
{
	struct view *v = calloc(1, sizeof(*v));
	int r = v ? copy_rights(rights, &v->rights) : -ENOMEM;

	if (r == 0)
		r = make_map(a, 0, &v->map);
	if (r < 0) {
		if (v)
			map_rights_done(&v->rights);
		free(v);
		return r;
	}
	if (!a->maps->views) {
		vault_watch(a->vault, on_token, a);
		(void)sd_event_source_set_enabled(a->maps->beat, SD_EVENT_ONESHOT);
	}
	v->next = a->maps->views;
	a->maps->views = v;
	a->maps->n_views++;
	wake(a->maps);
	*ret = v;
	return 0;
}

static int wait_for(struct request *req, struct view *v)
{
	struct waiting *w = malloc(sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->pending = pending_new_again(req);
	if (!w->pending) {
		free(w);
		return -ENOMEM;
	}
	w->next = v->waiting;
	v->waiting = w;
	return -EAGAIN;
}

int maps_get(struct request *req, const struct map_rights *rights, int *ret_fd)
{
	struct agent *a = req->agent;
	struct view *v;
	int r = a->stopping ? -ESHUTDOWN : a->maps ? 0 : start_maps(a);

	if (r < 0)
		return r;
	v = find_view(a->maps, rights);
	if (!v && a->maps->n_views == MAPS_MAX)
		return -EUSERS;
	if (!v)
		r = add_view(a, rights, &v);
	if (r < 0)
		return r;
	v->asked_us = agent_monotonic(a);
	if (!v->map && v->asked_us < v->rests_until_us)
		return -ENOSPC;
	if (!v->map)
		r = make_map(a, 0, &v->map);
	if (r < 0)
		return r;
	if (!map_is_whole(v->map)) {
		wake(a->maps);
		return wait_for(req, v);
	}
	r = map_open(v->map);
	if (r < 0)
		return r;
	*ret_fd = r;
	return 0;
}

void maps_in_use(struct agent *a, const struct map_rights *rights)
{
	struct view *v = a->maps ? find_view(a->maps, rights) : NULL;

	if (v)
		v->asked_us = agent_monotonic(a);
}

void maps_retire(struct agent *a)
{
	while (a->maps && a->maps->views)
		drop_view(a, &a->maps->views);
}

void maps_names_known(struct agent *a)
{
	if (!a->maps || !a->maps->missed)
		return;
	a->maps->missed = false;
	for (struct view *v = a->maps->views; v; v = v->next)
		if (is_whole(v->map) && (!v->larger || map_is_whole(v->larger)))
			start_filling(a, v);
	wake(a->maps);
}

void maps_done(struct agent *a)
{
	if (!a->maps)
		return;
	maps_retire(a);
	while (free_some(a->maps, UINT64_MAX))
		;
	sd_event_source_unref(a->maps->work);
	sd_event_source_unref(a->maps->beat);
	free(a->maps);
	a->maps = NULL;
}
