/*
 * agent/loadcred.c - see loadcred.h. The only loud refusal there is: more than systemd takes (1
 * MiB) makes the unit fail with 243/CREDENTIALS. An empty answer would give it an empty file, and a
 * hang keeps it waiting.
 */
#include "agent/loadcred.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/audit.h"
#include "agent/connection.h"
#include "agent/credential.h"
#include "agent/change.h"
#include "agent/holder.h"
#include "agent/last-use.h"
#include "agent/mint.h"
#include "agent/peer.h"
#include "agent/policy/access.h"
#include "agent/unit.h"
#include "protocol/token.h"

enum {
	REFUSAL_BYTES = 1024 * 1024 + 1,
	ZEROS = 64 * 1024,
};

struct loadcred {
	struct deferred deferred; /* names have been looked up */
	struct loadcred *next;
	struct agent *agent;
	int fd;
	sd_event_source *source;
	struct unit unit;
	uid_t peer_uid;
	pid_t peer_pid;
	char credential[CREDENTIAL_NAME_MAX + 1];
	char *value; /* of the large pool; NULL: refused, with zeros */
	size_t n, at;
	bool under_way; /* somebody will come back to it: on_minted(), on_named() */
	bool gone;	/* and frees it then */
};

/* What was to be sent is not. */
static void drop_value(struct loadcred *l)
{
	if (!l->value)
		return;
	secret_wipe(l->value, l->n);
	pool_put(&l->agent->large, STEAL_PTR(l->value));
	l->n = 0;
}

static void loadcred_free(struct loadcred *l)
{
	struct loadcred **at = &l->agent->loadcreds;

	while (*at && *at != l)
		at = &(*at)->next;
	if (*at)
		*at = l->next;
	drop_value(l);
	sd_event_source_unref(l->source);
	close(l->fd);
	free(l);
}

/* ---- the address ----------------------------------------------------------------------------- */

/* Systemd makes its number of 64 random bits. */
static size_t n_digits(struct span s)
{
	size_t n = 0;

	while (n < s.n && n < 16 && memchr("0123456789abcdef", s.p[n], 16))
		n++;
	return n;
}

/* A name that ends at a slash or with the address: neither a unit's nor a credential's has one. */
static bool take_name(struct span *rest, struct span *ret)
{
	const char *slash = memchr(rest->p, '/', rest->n);
	size_t n = slash ? (size_t)(slash - rest->p) : rest->n;

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)rest->p[i] <= ' ' || rest->p[i] == 0x7f)
			return false;
	*ret = (struct span){ rest->p, n };
	rest->p += n;
	rest->n -= n;
	return n > 0;
}

static bool take_text(struct span *rest, struct span text)
{
	if (rest->n < text.n || memcmp(rest->p, text.p, text.n) != 0)
		return false;
	rest->p += text.n;
	rest->n -= text.n;
	return true;
}

bool loadcred_parse(const char *address, size_t n, struct span *ret_unit,
		    struct span *ret_credential)
{
	struct span rest = { address, n }, unit, credential;
	size_t digits;

	if (!take_text(&rest, (struct span){ "", 1 }))
		return false;
	digits = n_digits(rest);
	rest.p += digits;
	rest.n -= digits;
	if (digits == 0 || !take_text(&rest, SPAN("/unit/")) || !take_name(&rest, &unit) ||
	    !take_text(&rest, SPAN("/")) || !take_name(&rest, &credential) || rest.n > 0)
		return false;
	*ret_unit = unit;
	*ret_credential = credential;
	return true;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	static const char zeros[ZEROS];
	struct loadcred *l = userdata;
	size_t left = l->n - l->at;
	const char *p = l->value ? l->value + l->at : zeros;
	ssize_t n;

	(void)source;
	(void)events;
	if (!l->value && left > sizeof(zeros))
		left = sizeof(zeros);
	n = send(fd, p, left, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		l->at += (size_t)n;
	if (l->at == l->n || (n < 0 && errno != EAGAIN && errno != EINTR))
		loadcred_free(l);
	return 0;
}

/* Sends what there is to send; more as the socket has room. */
static void answer(struct loadcred *l)
{
	if (sd_event_add_io(l->agent->event, &l->source, l->fd, EPOLLOUT, on_writable, l) < 0)
		loadcred_free(l);
}

bool loadcred_holds_values(const struct agent *a)
{
	for (const struct loadcred *l = a->loadcreds; l; l = l->next)
		if (l->value)
			return true;
	return false;
}

/* What was sent of it is followed by too much, so that nobody takes it for the whole. */
void loadcred_drop_values(struct agent *a)
{
	for (struct loadcred *l = a->loadcreds; l; l = l->next) {
		if (!l->value)
			continue;
		log_warning("LoadCredential=%s of %s is broken off: the agent is locked",
			    l->credential, l->unit.name);
		drop_value(l);
		l->n = REFUSAL_BYTES;
		l->at = 0;
	}
}

/* Whom the audit names: the manager's process, for the unit. */
static struct audit_actor actor_of(const struct loadcred *l)
{
	struct audit_actor who = { .uid = l->peer_uid, .pid = l->peer_pid };

	audit_text(who.unit, sizeof(who.unit), span_of(l->unit.name));
	return who;
}

/* error: what a call would be answered with. */
static void refuse(struct loadcred *l, const char *error, const char *why)
{
	struct audit_actor who = actor_of(l);
	struct agent *a = l->agent;

	a->denied_total++;
	audit_loaded(a, &who, l->credential, error, why);
	if (!audit_has_journal(a))
		log_warning("LoadCredential=%s of %s is refused: %s", l->credential, l->unit.name,
			    why);
	if (a->settings.credential_refusal == REFUSAL_EMPTY) {
		loadcred_free(l);
		return;
	}
	l->n = REFUSAL_BYTES;
	answer(l);
}

static void give_held(struct loadcred *l)
{
	struct agent *a = l->agent;
	struct span name = span_of(l->credential);
	const struct credential *held = credentials_find(a->credentials, name);
	struct audit_actor who;

	if (!held || held->form == CREDENTIAL_NONE) {
		refuse(l, "CredentialEmpty", "nothing was put in yet (jetonctl put)");
		return;
	}
	if (held->expires_us && held->expires_us <= agent_now(a)) {
		refuse(l, "CredentialExpired",
		       "its value has expired: put in a new one (jetonctl put)");
		return;
	}
	l->value = pool_get(&a->large);
	if (!l->value) {
		refuse(l, "LimitReached", "no locked buffer is left at this moment");
		return;
	}
	l->n = held->n;
	credential_open(a->credentials, held, l->value);
	last_use_fetched(a, name, agent_now(a), span_of(l->unit.name));
	who = actor_of(l);
	audit_loaded(a, &who, l->credential, NULL, "");
	answer(l);
}

static void on_minted(void *userdata, int r)
{
	struct loadcred *l = userdata;

	l->under_way = false;
	if (l->gone) {
		loadcred_free(l);
	} else if (r < 0) {
		drop_value(l);
		refuse(l, "StoreFailed", "the token could not be made durable");
	} else {
		answer(l);
	}
}

/* The value is sent when the token is durable. */
static int prepare_minted(struct loadcred *l, struct token_facts *facts,
			  struct holder_entry *holder)
{
	struct agent *a = l->agent;
	struct vault_change *change = vault_change_new(a->vault);
	struct audit_actor who = actor_of(l);

	l->value = pool_get(&a->large);
	if (!change || !l->value || mint(a, change, facts, REF_NONE) < 0) {
		mint_done(a);
		vault_rollback(change);
		holder_unpin(a, holder);
		return -ENOMEM;
	}
	memcpy(l->value, a->scratch->value, TOKEN_LEN);
	l->n = TOKEN_LEN;
	mint_done(a);
	l->under_way = true;
	return change_submit_minted(a, change, &who, holder, facts->id, on_minted, l);
}

static void decide(struct loadcred *l);

static void complete(struct deferred *d)
{
	struct loadcred *l = (struct loadcred *)d;

	l->under_way = false;
	if (l->gone)
		loadcred_free(l);
	else
		decide(l);
}

static void on_named(void *userdata)
{
	struct loadcred *l = userdata;

	l->deferred.complete = complete;
	change_defer(l->agent, &l->deferred);
}

/* Decides when the names asked for until now are looked up. */
static void wait_for_names(struct loadcred *l)
{
	l->under_way = true;
	if (names_barrier(l->agent->names, on_named, l) == 0)
		return;
	l->under_way = false;
	refuse(l, "LimitReached", "no memory is left");
}

static void mint_value(struct loadcred *l, const struct policy_credential *c)
{
	struct agent *a = l->agent;
	uint8_t packed[PACKED_MAX];
	struct holder_entry *holder = NULL;
	struct token_facts facts;

	if (!c->owner.exists) {
		refuse(l, "NoSuchCredential", "there is no such user as its Owner=");
		return;
	}
	switch (mint_facts_of(a, c, agent_now(a), packed, &facts)) {
	case IDENTITY_WAIT:
		wait_for_names(l);
		return;
	case IDENTITY_REFUSED:
		refuse(l, "NoSuchCredential", "its Owner= could not be looked up");
		return;
	case IDENTITY_KNOWN:
		break;
	}
	if (c->binding == BINDING_PROCESS) {
		refuse(l, "BindingUnavailable",
		       "Binding=process is for a process that asks by itself; use Binding=unit");
		return;
	}
	if (vault_n_minted(a->vault, facts.credential) >= c->max_tokens) {
		refuse(l, "LimitReached", "MaxTokens= is reached");
		return;
	}
	facts.issued_to = span_of(l->unit.name);
	if (c->binding == BINDING_UNIT && holder_of_unit(a, &l->unit, &facts.holder, &holder) < 0) {
		refuse(l, "BindingUnavailable",
		       "the unit can't be watched, so nothing can be bound to it");
		return;
	}
	if (prepare_minted(l, &facts, holder) < 0) {
		l->under_way = false;
		drop_value(l);
		refuse(l, "LimitReached", "no memory is left for another token");
		return;
	}
	last_use_fetched(a, facts.credential, agent_now(a), facts.issued_to);
}

static void decide(struct loadcred *l)
{
	struct agent *a = l->agent;
	struct span name = span_of(l->credential);
	struct subject subject = { .uid = (uid_t)-1, .no_user = true, .unit = l->unit.name };
	const struct policy_credential *credential;

	if (a->locked) {
		refuse(l, "AgentLocked", "the agent is locked (jetonctl unlock)");
		return;
	}
	if (a->refusing) {
		refuse(l, "PolicyInvalid", "the policies are wrong (jetonctl policy check)");
		return;
	}
	if (!a->policy) {
		wait_for_names(l);
		return;
	}
	credential = policy_find_credential(a->policy, name);
	if (!credential)
		refuse(l, "NoSuchCredential", "no policy defines a credential of this name");
	else if (!fetch_is_allowed(a->policy, &subject, name, true, NULL))
		refuse(l, "NoSuchCredential",
		       "no [Fetch] section with a matching Unit= lets this unit have it "
			  "(jetonctl policy explain fetch)");
	else if (credential->minted)
		mint_value(l, credential);
	else
		give_held(l);
}

/* ---- who asks -------------------------------------------------------------------------------- */

/* Whether the client is the manager, in the unit's own group; why not, for the log. */
static const char *judge(struct loadcred *l, struct span unit)
{
	uid_t manager = l->agent->user ? l->agent->uid : 0;
	_cleanup_close_ int pidfd = -1;
	struct peer peer;
	int r;

	r = peer_init(&peer, l->fd);
	l->peer_uid = r == 0 ? peer.uid : AUDIT_NO_UID;
	l->peer_pid = r == 0 ? peer.pid : 0;
	if (r == 0 && peer.uid != manager)
		return "it is not the service manager that asks";
	if (r == 0)
		r = peer_pidfd(l->fd, &pidfd);
	if (r == 0)
		r = unit_of_process(pidfd, agent_manager_uid(l->agent), &l->unit);
	if (r == -EOPNOTSUPP)
		return "this kernel does not tell which unit asks (Linux 6.5 or newer is needed)";
	if (r < 0)
		return "it can't be told from which unit this was asked";
	return span_is(unit, l->unit.name) ? NULL : "it was not asked from within that unit";
}

static bool read_address(struct loadcred *l, struct span *ret_unit, struct sockaddr_un *address)
{
	socklen_t n = sizeof(*address);
	struct span credential;

	if (getpeername(l->fd, (struct sockaddr *)address, &n) < 0 ||
	    n <= offsetof(struct sockaddr_un, sun_path) ||
	    !loadcred_parse(address->sun_path, n - offsetof(struct sockaddr_un, sun_path), ret_unit,
			    &credential) ||
	    credential.n > CREDENTIAL_NAME_MAX)
		return false;
	memcpy(l->credential, credential.p, credential.n);
	return true;
}

void loadcred_take(struct agent *a, int fd)
{
	struct loadcred *l = calloc(1, sizeof(*l));
	struct sockaddr_un address;
	struct span unit;
	const char *why;

	if (!l) {
		close(fd);
		return;
	}
	l->agent = a;
	l->fd = fd;
	l->next = a->loadcreds;
	a->loadcreds = l;
	if (!read_address(l, &unit, &address)) {
		log_limited(&a->limit_refused, agent_monotonic(a),
			    "a client of the socket for LoadCredential= was closed: it is no "
			    "service manager's");
		loadcred_free(l);
		return;
	}
	why = judge(l, unit);
	if (why) {
		snprintf(l->unit.name, sizeof(l->unit.name), "%.*s", (int)unit.n, unit.p);
		refuse(l, "PermissionDenied", why);
	} else {
		decide(l);
	}
}

void loadcred_done(struct agent *a)
{
	struct loadcred *l, *next;

	for (l = a->loadcreds; l; l = next) {
		next = l->next;
		l->gone = l->under_way;
		if (!l->under_way)
			loadcred_free(l);
	}
}
