/* ctl/doctor-policy.c - policies and what they define. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "agent/policy/policy.h"
#include "ctl/doctor.h"
#include "ctl/policy-disk.h"
#include "protocol/base/time.h"

#define SOON_US ((int64_t)(7 * SEC_PER_DAY * USEC_PER_SEC))

/* ---- policies ---- */

static void on_name(void *userdata, struct policy_id *id, bool group)
{
	if (group ? getgrnam(id->text) != NULL : getpwnam(id->text) != NULL)
		return;
	doctor_tell(userdata, FINDING_WARNING, "Policies",
		    "%s:%u: there is no %s %.300s here, so it matches nobody: mend the name, or "
		    "make the %s",
		    id->place.path, id->place.line, group ? "group" : "user", id->text,
		    group ? "group" : "user");
}

static void look_at_policy(struct doctor *d, struct policy *p, const struct policy_dirs *dirs)
{
	if (p->n_paths == 0)
		doctor_tell(d, FINDING_GOOD, "Policies",
			    "none yet, so nobody reaches or fetches anything: put one into %s "
			    "(man jeton.policy)",
			    dirs->paths[0]);
	else
		doctor_tell(d, FINDING_GOOD, "Policies", "%zu file%s without mistakes", p->n_paths,
			    p->n_paths == 1 ? "" : "s");
	policy_each_name(p, on_name, d);
	for (size_t i = 0; i < p->n_ignored; i++)
		doctor_tell(d, FINDING_WARNING, "Policies",
			    "%s is ignored: a policy's name ends with .policy", p->ignored[i]);
}

static void on_change(void *userdata, const char *path)
{
	doctor_tell(userdata, FINDING_WRONG, "Policies",
		    "%s was changed after the agent read its policies: jetonctl reload puts it in "
		    "force",
		    path);
}

void doctor_policies(struct doctor *d)
{
	_cleanup_(policy_freep) struct policy *p = NULL;
	struct policy_dirs dirs;
	struct policy_error e;
	int r;

	if (!policy_disk_find(d->args, d->jeton, &dirs)) {
		doctor_tell(d, FINDING_WARNING, "Policies",
			    "are not known for an agent at a socket of its own: --policy DIR says "
			    "where they are");
		return;
	}
	r = policy_load(dirs.paths, dirs.n, dirs.trusted_uid, &p, &e);
	if (r == -EINVAL && e.line)
		doctor_tell(d, FINDING_WRONG, "Policies", "%s:%u: %s", e.file, e.line, e.message);
	else if (r == -EINVAL)
		doctor_tell(d, FINDING_WRONG, "Policies", "%s: %s", e.file, e.message);
	else if (r == 0)
		look_at_policy(d, p, &dirs);
	if (d->answers)
		policy_disk_changed(&dirs, d->loaded_us, on_change, d);
}

/* ---- credentials ---- */

struct counting {
	struct doctor *doctor;
	size_t n;
};

static int on_credential(void *userdata, const struct jeton_credential *c)
{
	struct counting *counting = userdata;
	struct doctor *d = counting->doctor;
	int64_t now_us = (int64_t)d->args->now_us;
	char when[48];

	counting->n++;
	if (c->kind != JETON_CREDENTIAL_HELD)
		return 0;
	if (c->updated_us == JETON_UNSET)
		doctor_tell(d, FINDING_WRONG, "Credentials",
			    "%s is defined and empty: an administrator fills it by jetonctl put %s",
			    c->name, c->name);
	else if (c->expires_us != JETON_UNSET && c->expires_us <= now_us)
		doctor_tell(d, FINDING_WRONG, "Credentials",
			    "%s has expired: an administrator puts in a new one by jetonctl put %s",
			    c->name, c->name);
	else if (c->expires_us != JETON_UNSET && c->expires_us - now_us < SOON_US)
		doctor_tell(d, FINDING_WARNING, "Credentials",
			    "%s expires %s: see to a new one, and jetonctl put %s", c->name,
			    time_format_relative((uint64_t)c->expires_us, (uint64_t)now_us, when,
						 sizeof(when)),
			    c->name);
	return 0;
}

void doctor_credentials(struct doctor *d)
{
	struct counting counting = { d, 0 };
	bool before = d->any_wrong;
	int r;

	d->any_wrong = false;
	r = jeton_list_credentials(d->jeton, on_credential, &counting);
	if (r != 0)
		doctor_tell(d, FINDING_WRONG, "Credentials", "%s", jeton_error_message(d->jeton));
	else if (!d->any_wrong)
		doctor_tell(d, FINDING_GOOD, "Credentials", "%zu for you to fetch or look after",
			    counting.n);
	d->any_wrong |= before;
}
