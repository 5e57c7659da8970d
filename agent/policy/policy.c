/*
 * agent/policy/policy.c
 *
 * A load is all or nothing: the texts of all files are taken in first, then read into a policy that
 * nobody has seen yet, which is handed over only when it is whole. What it says, rules.c knows;
 * here is where it comes from, and its life.
 */
#include "agent/policy/policy.h"

#include <errno.h>
#include <fcntl.h>

#include "agent/policy/rules.h"
#include "agent/policy/trusted.h"
#include "protocol/base/parse.h"

/* ---- its life -------------------------------------------------------------------------------- */

struct policy *policy_new_empty(void)
{
	return calloc(1, sizeof(struct policy));
}

static void free_texts(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

static void free_ids(struct policy_id *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(ids[i].text);
	free(ids);
}

static void free_scopes(struct policy_scope *scopes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(scopes[i].text);
	free(scopes);
}

static void free_selector(struct policy_selector *who)
{
	free_ids(who->users, who->n_users);
	free_ids(who->groups, who->n_groups);
	free_texts(who->units, who->n_units);
}

static void free_credential(struct policy_credential *c)
{
	free(c->name);
	free(c->description);
	free(c->owner.text);
	free_scopes(c->scopes, c->n_scopes);
}

static void free_fetch(struct policy_fetch *f)
{
	free_selector(&f->who);
	for (size_t i = 0; i < f->n_credentials; i++)
		free(f->credentials[i].name);
	free(f->credentials);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_access; i++) {
		free_selector(&p->access[i].who);
		free_scopes(p->access[i].scopes, p->access[i].n_scopes);
	}
	free(p->access);
	for (size_t i = 0; i < p->n_credentials; i++)
		free_credential(&p->credentials[i]);
	free(p->credentials);
	for (size_t i = 0; i < p->n_fetch; i++)
		free_fetch(&p->fetch[i]);
	free(p->fetch);
	for (size_t i = 0; i < p->n_verify; i++) {
		free_selector(&p->verify[i].who);
		free_scopes(p->verify[i].scopes, p->verify[i].n_scopes);
	}
	free(p->verify);
	free_texts(p->paths, p->n_paths);
	free_texts(p->ignored, p->n_ignored);
	free(p);
}

typedef void on_name_fn(void *userdata, struct policy_id *id, bool group);

static void each_name_of(struct policy_id *ids, size_t n, bool group, on_name_fn *on_name,
			 void *userdata)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i].text && !ids[i].number && !ids[i].any)
			on_name(userdata, &ids[i], group);
}

static void each_name_selected(struct policy_selector *who, on_name_fn *on_name, void *userdata)
{
	each_name_of(who->users, who->n_users, false, on_name, userdata);
	each_name_of(who->groups, who->n_groups, true, on_name, userdata);
}

void policy_each_name(struct policy *p, on_name_fn *on_name, void *userdata)
{
	for (size_t i = 0; i < p->n_access; i++)
		each_name_selected(&p->access[i].who, on_name, userdata);
	for (size_t i = 0; i < p->n_credentials; i++)
		each_name_of(&p->credentials[i].owner, 1, false, on_name, userdata);
	for (size_t i = 0; i < p->n_fetch; i++)
		each_name_selected(&p->fetch[i].who, on_name, userdata);
	for (size_t i = 0; i < p->n_verify; i++)
		each_name_selected(&p->verify[i].who, on_name, userdata);
}

/* ---- its files ------------------------------------------------------------------------------- */

struct source {
	char *name;	  /* without its directory */
	char *path;	  /* for people */
	struct span text; /* p NULL: a link to /dev/null, which only hides others of its name */
};

struct sources {
	struct source *files;
	size_t n;
};

static void sources_done(struct sources *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->files[i].name);
		free(s->files[i].path);
		free((char *)s->files[i].text.p);
	}
	free(s->files);
}

static int append_text(char ***texts, size_t *n, char *text)
{
	char **grown = reallocarray(*texts, *n + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*texts = grown;
	grown[(*n)++] = text;
	return 0;
}

/* Takes in one file. `path` becomes the sources' own, whatever comes of it. */
static int add_source(struct sources *s, int dir_fd, const char *name, char *path, uid_t trusted,
		      struct policy_error *e)
{
	struct source *grown = reallocarray(s->files, s->n + 1, sizeof(*grown)), *file;
	int r;

	if (!grown) {
		free(path);
		return -ENOMEM;
	}
	s->files = grown;
	file = &s->files[s->n++];
	*file = (struct source){ .name = strdup(name), .path = path };
	if (!file->name || !file->path)
		return -ENOMEM;

	r = trusted_read_file(dir_fd, name, path, trusted, &file->text, e);
	if (r == -ENOENT)
		return policy_mistake(e, path, 0,
				      "there is no such file, or it is a link that leads nowhere");
	return r < 0 ? r : 0;
}

/* What is no policy by its name is told as ignored. `path` becomes the policy's own. */
static int add_ignored(struct policy *p, char *path)
{
	if (path && append_text(&p->ignored, &p->n_ignored, path) == 0)
		return 0;
	free(path);
	return -ENOMEM;
}

static bool is_policy_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return name[0] != '.' && dot && strcmp(dot, ".policy") == 0;
}

static bool has_name(const struct source *files, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(files[i].name, name) == 0)
			return true;
	return false;
}

static int add_directory(struct sources *s, struct policy *p, const char *dir, uid_t trusted,
			 struct policy_error *e)
{
	_cleanup_(trusted_names_done)
	struct trusted_names names = { NULL, 0 };
	_cleanup_close_
	int fd = -1;
	size_t n_above = s->n; /* from directories that stand before this one */
	int r = trusted_open_dir(dir, trusted, &fd, e);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = trusted_list(fd, dir, &names, e);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		const char *name = names.names[i];

		if (!is_policy_name(name))
			r = add_ignored(p, trusted_path(dir, name));
		else if (!has_name(s->files, n_above, name))
			r = add_source(s, fd, name, trusted_path(dir, name), trusted, e);
	}
	return r;
}

static int compare_sources(const void *a, const void *b)
{
	const struct source *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Reads what has been taken in, in the order in which it stands. */
static int read_sources(struct policy *p, struct sources *s, struct policy_error *e)
{
	for (size_t i = 0; i < s->n; i++) {
		struct source *file = &s->files[i];
		int r;

		if (!file->text.p)
			continue;
		r = append_text(&p->paths, &p->n_paths, file->path);
		if (r < 0)
			return r;
		r = rules_read(p, STEAL_PTR(file->path), file->text, e);
		if (r < 0)
			return r;
	}
	return rules_finish(p, e);
}

int policy_load(const char *const dirs[], size_t n_dirs, uid_t trusted_uid, struct policy **ret,
		struct policy_error *ret_error)
{
	_cleanup_(policy_freep)
	struct policy *p = policy_new_empty();
	_cleanup_(sources_done)
	struct sources s = { NULL, 0 };
	int r = p ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < n_dirs; i++)
		r = add_directory(&s, p, dirs[i], trusted_uid, ret_error);
	if (r < 0)
		return r;
	if (s.n > 1)
		qsort(s.files, s.n, sizeof(*s.files), compare_sources);
	r = read_sources(p, &s, ret_error);
	if (r < 0)
		return r;
	*ret = STEAL_PTR(p);
	return 0;
}

int policy_load_files(const char *const files[], size_t n_files, struct policy **ret,
		      struct policy_error *ret_error)
{
	_cleanup_(policy_freep)
	struct policy *p = policy_new_empty();
	_cleanup_(sources_done)
	struct sources s = { NULL, 0 };
	int r = p ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < n_files; i++)
		r = add_source(&s, AT_FDCWD, files[i], strdup(files[i]), TRUST_ANYONE, ret_error);
	if (r == 0)
		r = read_sources(p, &s, ret_error);
	if (r < 0)
		return r;
	*ret = STEAL_PTR(p);
	return 0;
}
