/* agent/authority.c - see authority.h. */
#include "agent/authority.h"

#include <errno.h>
#include <stdio.h>

#include "agent/audit-sums.h"
#include "agent/audit.h"
#include "agent/change.h"

/* Whether the peer counts as a user of this host, and so may own tokens or be an administrator. */
static bool is_of_this_host(struct request *req)
{
	struct connection *c = req->connection;
	enum peer_standing standing = peer_settle(&c->peer, c->fd);

	if (standing == PEER_HERE)
		return true;
	/* Where there is a refusal of it, that says why. */
	req->why = peer_standing_text(standing);
	if (!audit_has_journal(req->agent))
		log_limited(&req->agent->limit_refused, agent_monotonic(req->agent),
			    "uid %u (pid %d) has no rights of its own: %s", (unsigned)c->peer.uid,
			    (int)c->peer.pid, req->why);
	return false;
}

bool is_anybody(struct request *req)
{
	struct connection *c = req->connection;
	enum peer_standing standing = peer_settle(&c->peer, c->fd);

	return standing == PEER_HERE || standing == PEER_ELSEWHERE;
}

bool is_admin(struct request *req)
{
	struct agent *a = req->agent;
	const struct peer *peer = &req->connection->peer;

	if (!is_of_this_host(req))
		return false;
	if (a->user)
		return peer->uid == a->uid;
	return peer->uid == 0 || (a->has_admin_gid && peer_is_member(peer, a->admin_gid));
}

enum identity name_of(struct agent *a, uid_t uid, struct span *ret_name)
{
	const struct user *user = names_user(a->names, uid);

	if (!user)
		return IDENTITY_WAIT;
	/* A look-up that gave no answer does not make it somebody without a name, nor anybody else. */
	if (user->failed && !user->sure)
		return IDENTITY_REFUSED;
	*ret_name = span_of(user->name);
	return IDENTITY_KNOWN;
}

enum identity identify(struct request *req, struct span *ret_name)
{
	if (!is_of_this_host(req))
		return IDENTITY_REFUSED;
	return name_of(req->agent, req->connection->peer.uid, ret_name);
}

/* ---- what an owner reaches ------------------------------------------------------------------- */

struct kept_access {
	uint64_t generation;
	struct access access;
};

void authority_on_owner_free(struct owner *owner)
{
	struct kept_access *kept = owner->access;

	if (kept)
		access_done(&kept->access);
	free(kept);
	owner->access = NULL;
}

/* Works out what the user reaches, if it still is who it was. */
static int work_out(struct agent *a, const struct user *user, struct span name, struct access *ret)
{
	struct span now = span_of(user->name);
	struct subject subject = {
		.uid = user->uid,
		.groups = user->groups,
		.n_groups = user->n_groups,
	};

	*ret = (struct access){ 0 };
	if (!now.p != !name.p || !span_equal(now, name))
		return 0;
	return access_of(a->policy, &subject, ret);
}

static int keep_access(struct agent *a, struct owner *owner, const struct user *user)
{
	struct kept_access *kept = owner->access;
	struct access access;
	int r;

	if (!kept)
		owner->access = kept = calloc(1, sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	r = work_out(a, user, owner->name, &access);
	if (r < 0)
		return r;
	access_done(&kept->access);
	kept->access = access;
	kept->generation = a->access_generation;
	return 0;
}

enum identity owner_access(struct agent *a, uid_t uid, struct span name, struct access *space,
			   const struct access **ret)
{
	struct owner *owner = vault_find_owner(a->vault, uid, name);
	const struct kept_access *kept = owner ? owner->access : NULL;
	const struct user *user;

	*space = (struct access){ 0 };
	*ret = space;
	if (kept && kept->generation == a->access_generation) {
		*ret = &kept->access;
		return IDENTITY_KNOWN;
	}
	user = names_user(a->names, uid);
	if (!user)
		return IDENTITY_WAIT;
	/* Where memory fails, nothing is reached: *space is empty. */
	if (!owner)
		return work_out(a, user, name, space) < 0 ? IDENTITY_REFUSED : IDENTITY_KNOWN;
	if (keep_access(a, owner, user) < 0)
		return IDENTITY_REFUSED;
	kept = owner->access;
	*ret = &kept->access;
	return IDENTITY_KNOWN;
}

/* ---- verifiers ------------------------------------------------------------------------------- */

/* A service says more than its user; of a login the user says more. */
static bool tells_more(const char *unit)
{
	size_t n = strlen(unit);

	return n > strlen(".service") && strcmp(unit + n - strlen(".service"), ".service") == 0 &&
	       strncmp(unit, "user@", 5) != 0;
}

/* Once for a connection, and with no descriptor kept: it is for people to read. */
static void label_by_unit(struct connection *c)
{
	_cleanup_close_ int pidfd = -1;
	const char *unit;
	int r;

	if (c->label_asked)
		return;
	c->label_asked = true;
	r = peer_pidfd(c->fd, &pidfd);
	c->was_gone = r == -ESRCH || r == -ENODATA || (r == 0 && peer_has_ended(pidfd));
	if (r < 0)
		return;
	unit = unit_names_find(&c->agent->unit_names, pidfd, agent_manager_uid(c->agent));
	if (!unit)
		return;
	c->unit_name = strdup(unit);
	if (tells_more(unit))
		snprintf(c->label, sizeof(c->label), "%s", unit);
}

struct span peer_unit_name(struct connection *c)
{
	label_by_unit(c);
	return span_of(c->unit_name);
}

uint32_t peer_tag(struct connection *c)
{
	if (!c->tag) {
		label_by_unit(c);
		c->tag = audit_verifier_tag(c->peer.uid, c->unit_name ? c->unit_name : "");
	}
	return c->tag;
}

struct span peer_label(struct connection *c)
{
	struct agent *a = c->agent;
	struct span name = SPAN_NONE;

	label_by_unit(c);
	if (!c->label[0]) {
		if (name_of(a, c->peer.uid, &name) != IDENTITY_KNOWN || !name.p)
			/* Not kept: the name may be known next time. */
			return span_of(c->uid_label);
		snprintf(c->label, sizeof(c->label), "%s", name.p);
	}
	return span_of(c->label);
}

void subject_of(struct request *req, struct subject *ret)
{
	struct connection *c = req->connection;
	enum peer_standing standing = peer_settle(&c->peer, c->fd);

	*ret = (struct subject){
		.uid = c->peer.uid,
		.no_user = standing != PEER_HERE,
		.groups = c->peer.groups,
		.n_groups = c->peer.n_groups,
	};
}

void subject_with_unit(struct request *req, struct subject *ret)
{
	struct connection *c = req->connection;
	const struct unit *unit;

	subject_of(req, ret);
	if (peer_unit(&c->peer, c->fd, agent_manager_uid(req->agent), &unit) == 0)
		ret->unit = unit->name;
}

void verifier_of(struct request *req, struct subject *ret)
{
	if (verify_needs_unit(req->agent->policy))
		subject_with_unit(req, ret);
	else
		subject_of(req, ret);
}

/* Whether the token is the peer's own: KNOWN or REFUSED, or WAIT. */
static enum identity is_own(struct request *req, const struct token_facts *facts)
{
	struct span name;
	enum identity identity;

	if (!facts || facts->owner_uid != req->connection->peer.uid)
		return IDENTITY_REFUSED;
	identity = identify(req, &name);
	if (identity != IDENTITY_KNOWN)
		return identity;
	return !name.p == !facts->owner_name.p && span_equal(name, facts->owner_name)
		       ? IDENTITY_KNOWN
		       : IDENTITY_REFUSED;
}

enum identity may_verify(struct request *req, const struct token_facts *facts, bool *ret_limited)
{
	struct agent *a = req->agent;
	struct subject subject;
	enum identity own;

	*ret_limited = false;
	if (!verify_needs_peer(a->policy)) {
		label_by_unit(req->connection);
		return req->connection->was_gone ? IDENTITY_REFUSED : IDENTITY_KNOWN;
	}
	own = is_own(req, facts);
	if (own != IDENTITY_REFUSED)
		return own;
	*ret_limited = true;
	verifier_of(req, &subject);
	return verify_is_allowed(a->policy, &subject) ? IDENTITY_KNOWN : IDENTITY_REFUSED;
}
