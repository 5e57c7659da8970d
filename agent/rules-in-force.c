/* agent/rules-in-force.c - see rules-in-force.h. */
#include "agent/rules-in-force.h"

#include <errno.h>
#include <string.h>

#include "agent/audit.h"
#include "agent/change.h"
#include "agent/maps.h"
#include "agent/watch.h"

/* Policies on their way into force. */
struct candidate {
	struct deferred deferred;
	struct candidate *next; /* agent->candidates */
	struct agent *agent;
	struct policy *policy;
	uint64_t read_us; /* from its files */
	void (*done)(void *userdata);
	void *userdata;
};

static void ask_name(void *userdata, struct policy_id *id, bool group)
{
	struct agent *a = userdata;

	if (group)
		names_ask_group(a->names, id->text);
	else
		names_ask_user(a->names, id->text);
}

static void resolve_name(void *userdata, struct policy_id *id, bool group)
{
	struct agent *a = userdata;
	int r = group ? names_group_id(a->names, id->text, &id->id)
		      : names_user_id(a->names, id->text, &id->id);

	id->exists = r == 1;
}

static void warn_of_missing(void *userdata, struct policy_id *id, bool group)
{
	(void)userdata;
	if (!id->exists)
		log_warning("%s:%u: there is no %s '%s': this matches nobody until there is",
			    id->place.path, id->place.line, group ? "group" : "user", id->text);
}

static void resolve_admin_group(struct agent *a)
{
	a->has_admin_gid = !a->user && a->settings.admin_group[0] &&
			   names_group_id(a->names, a->settings.admin_group, &a->admin_gid) == 1;
}

static void put_in_force(struct agent *a, struct policy *policy, uint64_t read_us)
{
	policy_each_name(policy, resolve_name, a);
	policy_each_name(policy, warn_of_missing, a);
	resolve_admin_group(a);
	policy_free(a->policy);
	a->policy = policy;
	a->access_generation++;
	maps_retire(a);
	a->policies_loaded_us = read_us;
}

static void leave(struct candidate *c)
{
	struct candidate **at = &c->agent->candidates;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
}

static void complete(struct deferred *d)
{
	struct candidate *c = (struct candidate *)d;

	leave(c);
	put_in_force(c->agent, c->policy, c->read_us);
	if (c->done) {
		c->agent->refusing = false;
		watch_reloaded(c->agent);
		c->done(c->userdata);
	}
	free(c);
}

static void on_named(void *userdata)
{
	struct candidate *c = userdata;

	change_defer(c->agent, &c->deferred);
}

void rules_refresh_names(struct agent *a)
{
	const struct owner *owner = NULL;

	/* So that no call about a token ever waits for its owner's name. */
	while ((owner = vault_next_owner(a->vault, owner)))
		(void)names_user(a->names, owner->uid);
	names_refresh(a->names);
}

/* Takes the policy over. */
static int look_up_names(struct agent *a, struct policy *policy, void (*done)(void *userdata),
			 void *userdata)
{
	struct candidate *c = calloc(1, sizeof(*c));

	if (!c) {
		policy_free(policy);
		return -ENOMEM;
	}
	*c = (struct candidate){
		.deferred.complete = complete,
		.agent = a,
		.policy = policy,
		.read_us = agent_now(a),
		.done = done,
		.userdata = userdata,
	};
	/* Those of the start are told of before their names are looked up. */
	if (!a->policy)
		a->policies_loaded_us = c->read_us;
	rules_refresh_names(a);
	if (a->settings.admin_group[0])
		names_ask_group(a->names, a->settings.admin_group);
	policy_each_name(policy, ask_name, a);
	if (names_barrier(a->names, on_named, c) < 0) {
		policy_free(policy);
		free(c);
		return -ENOMEM;
	}
	c->next = a->candidates;
	a->candidates = c;
	return 0;
}

static int load(struct agent *a, struct policy **ret, struct policy_error *ret_error)
{
	return policy_load(a->paths.policy_dirs, a->paths.n_policy_dirs, a->uid, ret, ret_error);
}

static void log_policy_error(const struct policy_error *error)
{
	if (error->line)
		log_error("%s:%u: %s", error->file, error->line, error->message);
	else
		log_error("%s: %s", error->file, error->message);
}

bool rules_check(struct agent *a)
{
	struct policy_error error;
	struct policy *policy = NULL;
	int r = load(a, &policy, &error);

	if (r == -EINVAL)
		log_policy_error(&error);
	else if (r < 0)
		log_error("the policies can't be read: %s", strerror(-r));
	policy_free(policy);
	return r >= 0;
}

int rules_start(struct agent *a)
{
	struct policy *policy = NULL;
	int r = load(a, &policy, &a->policy_error);

	if (r == -EINVAL) {
		log_policy_error(&a->policy_error);
		log_error("the policies are wrong, so all but GetStatus, Explain and Reload is "
			  "refused; mend them and run `jetonctl reload`");
		a->refusing = true;
		policy = policy_new_empty();
		r = policy ? 0 : -ENOMEM;
	}
	return r < 0 ? r : look_up_names(a, policy, NULL, NULL);
}

/* By a signal: no call tells of it. */
static void on_reloaded_by_signal(void *userdata)
{
	audit_own(userdata, AUDIT_RELOAD);
}

int rules_reload(struct agent *a, void (*done)(void *userdata), void *userdata,
		 struct policy_error *ret_error)
{
	struct policy *policy = NULL;
	int r = load(a, &policy, ret_error);

	if (r == -EINVAL && a->refusing)
		a->policy_error = *ret_error;
	/* What a call is refused for is told with the refusal. */
	if (r == -EINVAL && (!done || !audit_has_journal(a))) {
		log_policy_error(ret_error);
		if (!a->refusing)
			log_warning("the policies read before stay in force");
	}
	if (r < 0)
		return r;
	return done ? look_up_names(a, policy, done, userdata)
		    : look_up_names(a, policy, on_reloaded_by_signal, a);
}

void rules_names_changed(struct agent *a)
{
	if (!a->policy)
		return;
	policy_each_name(a->policy, resolve_name, a);
	resolve_admin_group(a);
	a->access_generation++;
	maps_retire(a);
}

void rules_done(struct agent *a)
{
	struct candidate *c;

	/* Names that are still being looked up are not waited for. */
	while ((c = a->candidates)) {
		a->candidates = c->next;
		policy_free(c->policy);
		free(c);
	}
	policy_free(a->policy);
	a->policy = NULL;
}
