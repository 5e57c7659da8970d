/*
 * ctl/moved.c - a short list: who uses one token is seldom more than a few. Instants are an agent's
 * word, and any number there is.
 */
#include "ctl/moved.h"

#include <errno.h>
#include <string.h>

void moved_done(struct moved *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->users[i].name);
	free(m->users);
	*m = (struct moved){ NULL, 0, 0 };
}

static struct moved_user *find(struct moved *m, const char *name)
{
	struct moved_user *users;

	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->users[i].name, name))
			return &m->users[i];
	users = reallocarray(m->users, m->n + 1, sizeof(*users));
	if (!users)
		return NULL;
	m->users = users;
	users[m->n] = (struct moved_user){ strdup(name), JETON_UNSET, JETON_UNSET };
	return users[m->n].name ? &users[m->n++] : NULL;
}

static struct moved_user *find_last(struct moved *m, const struct jeton_token *t)
{
	return find(m, t->last_used_by ? t->last_used_by : "somebody");
}

int moved_note(struct moved *m, const struct jeton_token *old, const struct jeton_token *successor)
{
	struct moved_user *user;

	if (old->last_used_us != JETON_UNSET) {
		user = find_last(m, old);
		if (!user)
			return -ENOMEM;
		user->old_us = old->last_used_us;
		m->old_us = old->last_used_us;
	}
	if (successor->last_used_us != JETON_UNSET) {
		user = find_last(m, successor);
		if (!user)
			return -ENOMEM;
		user->new_us = successor->last_used_us;
	}
	return 0;
}

static bool lags(const struct moved_user *user)
{
	return user->old_us != JETON_UNSET &&
	       (user->new_us == JETON_UNSET || user->new_us <= user->old_us);
}

const char *moved_laggard(const struct moved *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (lags(&m->users[i]))
			return m->users[i].name;
	return NULL;
}

bool moved_all(const struct moved *m, int64_t now_us, int64_t quiet_us)
{
	bool any_new = false;

	for (size_t i = 0; i < m->n; i++)
		any_new |= m->users[i].new_us != JETON_UNSET;
	return any_new && !moved_laggard(m) && m->old_us <= now_us - quiet_us;
}
