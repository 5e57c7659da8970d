/*
 * protocol/jeton-verifier.c - verifying from many threads: by the map where it says yes, else over
 * one of a few connections, which a thread has to itself for as long as a call takes.
 */
#include "protocol/jeton-verifier.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "protocol/client.h"

/* As a handle's that sets none. */
enum { TIMEOUT_MS = 10 * 1000 };

/* ---- the verifier ---- */

/* Costs no call, unlike getpid(): the page is zero in a child. */
static bool is_at_home(const struct jeton_verifier *v)
{
	return v->home->is_wiped ? v->home->pid != 0 : v->home->pid == getpid();
}

static struct verifier_home *make_home(void)
{
	struct verifier_home *home = mmap(NULL, sizeof(*home), PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (home == MAP_FAILED)
		return NULL;
	home->pid = getpid();
	home->is_wiped = madvise(home, sizeof(*home), MADV_WIPEONFORK) == 0;
	return home;
}

static void free_memory(struct jeton_verifier *v)
{
	for (unsigned i = 0; i < v->n_idle; i++)
		jeton_free(v->idle[i]);
	jeton_free(v->jeton);
	map_hold_free(v->hold);
	if (v->home)
		munmap(v->home, sizeof(*v->home));
	free(v->message);
	free(v);
}

DEFINE_CLEANUP(struct jeton_verifier *, free_memory)

int jeton_verifier_new(const char *path, struct jeton_verifier **ret_verifier)
{
	_cleanup_(free_memoryp)
	struct jeton_verifier *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	v->timeout_ms = TIMEOUT_MS;
	v->home = make_home();
	if (!v->home)
		return -ENOMEM;
	r = jeton_new(path, &v->jeton);
	if (r == 0)
		r = map_hold_new(&v->hold);
	if (r == 0)
		r = verifier_thread_start(v);
	if (r < 0)
		return r;
	*ret_verifier = STEAL_PTR(v);
	return 0;
}

void jeton_verifier_set_timeout(struct jeton_verifier *verifier, int timeout_ms)
{
	atomic_store(&verifier->timeout_ms, timeout_ms);
}

void jeton_verifier_free(struct jeton_verifier *verifier)
{
	if (!verifier)
		return;
	/* A child has no such thread; its copies of locks are as they were, and nobody's. */
	if (is_at_home(verifier))
		verifier_thread_stop(verifier);
	free_memory(verifier);
}

void jeton_verifier_counts(struct jeton_verifier *verifier, uint64_t *ret_by_map,
			   uint64_t *ret_by_socket)
{
	bool here = is_at_home(verifier);

	if (ret_by_map)
		*ret_by_map = here ? map_hold_count(verifier->hold) : 0;
	if (ret_by_socket)
		*ret_by_socket = here ? atomic_load(&verifier->by_socket) : 0;
}

/* ---- over the socket ---- */

/* Whoever comes here found no yes in the map: a good moment to see whether there is one. */
static int take_connection(struct jeton_verifier *v, struct jeton **ret)
{
	pthread_mutex_lock(&v->lock);
	if (map_hold_state(v->hold) == MAP_RETIRED)
		verifier_thread_wake(v);
	*ret = v->n_idle > 0 ? v->idle[--v->n_idle] : NULL;
	pthread_mutex_unlock(&v->lock);
	return *ret ? 0 : jeton_new(jeton_path(v->jeton), ret);
}

static void give_back(struct jeton_verifier *v, struct jeton *jeton)
{
	pthread_mutex_lock(&v->lock);
	if (v->n_idle < VERIFIER_IDLE_MAX)
		v->idle[v->n_idle++] = STEAL_PTR(jeton);
	pthread_mutex_unlock(&v->lock);
	jeton_free(jeton);
}

static void tell_id(struct jeton_verified *ret, const char *id)
{
	snprintf(ret->id, sizeof(ret->id), "%s", id);
}

static int fail(struct jeton_verified *ret, int r, const char *message)
{
	if (ret)
		snprintf(ret->message, sizeof(ret->message), "%s", message);
	return r;
}

static int verify_by_socket(struct jeton_verifier *v, const char *value, const char *const *scopes,
			    int bearer, struct jeton_verified *ret)
{
	const struct jeton_token *token = NULL;
	struct jeton *jeton;
	int r = take_connection(v, &jeton);

	if (r < 0)
		return fail(ret, r, "There is not enough memory for another connection.");
	atomic_fetch_add_explicit(&v->by_socket, 1, memory_order_relaxed);
	jeton_set_timeout(jeton, atomic_load(&v->timeout_ms));
	r = jeton_verify(jeton, value, scopes, bearer, &token, NULL);
	if (r != 0)
		fail(ret, r, jeton_error_message(jeton));
	else if (ret) {
		tell_id(ret, token->id);
		ret->expires_us = token->expires_us;
		ret->by_map = false;
		ret->message[0] = '\0';
	}
	give_back(v, jeton);
	return r;
}

/* ---- by the map ---- */

static bool verify_by_map(struct jeton_verifier *v, const char *value, const char *const *scopes,
			  struct jeton_verified *ret)
{
	struct span text = { value, value ? strnlen(value, TOKEN_LEN + 1) : 0 };
	struct map_found found;

	if (!map_hold_verify(v->hold, text, scopes, &found))
		return false;
	if (!ret)
		return true;
	/* Its id stands in the value, as it was read there. */
	memcpy(ret->id, value + TOKEN_SECRET_AT - 1 - TOKEN_ID_LEN, TOKEN_ID_LEN);
	ret->id[TOKEN_ID_LEN] = '\0';
	ret->expires_us = (int64_t)found.expires_us;
	ret->by_map = true;
	ret->message[0] = '\0';
	return true;
}

int jeton_verifier_verify(struct jeton_verifier *verifier, const char *value,
			  const char *const *scopes, int bearer, struct jeton_verified *ret)
{
	if (ret && ret->size != sizeof(*ret))
		return -EINVAL;
	if (!is_at_home(verifier))
		return fail(ret, -ECHILD,
			    "This verifier was made by another process: after fork() make one of your own.");
	if (bearer < 0 && verify_by_map(verifier, value, scopes, ret))
		return 0;
	return verify_by_socket(verifier, value, scopes, bearer, ret);
}
