/*
 * ctl/restore-report.c - from when a copy is and what it may have brought back is told each time: a
 * token that was revoked since, and whose revocation this agent does not know, is good again.
 */
#include "ctl/restore-report.h"

#include <inttypes.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/facts.h"
#include "ctl/output.h"

enum { OWNERS_SHOWN = 10 };

/* ---- from when it is, and from whom ---- */

static void print_origin(const struct restored *r)
{
	char when[FACTS_WHEN_MAX];

	fact("Copy of", STYLE_PLAIN, "%s", r->copied.host[0] ? r->copied.host : "(unknown)");
	fact("Made", STYLE_PLAIN, "%s", facts_when((int64_t)r->copied.taken_us, when));
	fact("Holds", STYLE_PLAIN,
	     "%" PRIu64 " active tokens, %" PRIu64 " that had ended, %" PRIu64
	     " records of credentials",
	     r->copied.counts.active, r->copied.counts.ended, r->copied.counts.credentials);
}

static void print_missing(struct owners *o)
{
	const char *label = "No user";

	owners_keep_missing(o);
	for (size_t i = 0; i < o->n && i < OWNERS_SHOWN; i++) {
		fact(label, STYLE_WARN, "%s (%" PRIu64 " active tokens left out)", o->all[i].name,
		     o->all[i].n_active);
		label = NULL;
	}
	if (o->n > OWNERS_SHOWN)
		fact(label, STYLE_WARN, "and %zu more", o->n - OWNERS_SHOWN);
}

/* ---- what the agent made of it ---- */

/* In the order in which they are told. */
static const struct {
	enum backup_outcome outcome;
	bool always;
	enum style style;
	const char *label;
	const char *what; /* after the number */
} outcomes[] = {
	{ BACKUP_CAME_BACK, true, STYLE_GOOD, "Tokens", "came back" },
	{ BACKUP_ENDED_CAME_BACK, false, STYLE_PLAIN, NULL,
	  "came back among those that have ended" },
	{ BACKUP_ENDED_NOW, false, STYLE_WARN, NULL,
	  "active here, but ended in the copy: have ended here too" },
	{ BACKUP_WERE_KNOWN, true, STYLE_PLAIN, NULL, "known here, and left as they are" },
	{ BACKUP_HAD_EXPIRED, false, STYLE_PLAIN, "Left out", "expired since" },
	{ BACKUP_WERE_BOUND, false, STYLE_PLAIN, "Left out",
	  "bound to a process or unit, which asks for new ones" },
	{ BACKUP_NO_PARENT, false, STYLE_PLAIN, "Left out",
	  "derived from tokens that have ended or are not here" },
	{ BACKUP_NO_OWNER, false, STYLE_WARN, "Left out", "of users that are not on this host" },
	{ BACKUP_NO_ROOM, false, STYLE_BAD, "Left out",
	  "for want of room: raise MemoryLimit= in jeton.conf, and restore again" },
	{ BACKUP_CREDENTIALS_CAME_BACK, true, STYLE_GOOD, "Credentials", "came back" },
	{ BACKUP_CREDENTIALS_KEPT, false, STYLE_PLAIN, NULL,
	  "the same here, or put or forgotten here since: left as they are" },
};

static void print_outcomes(const struct backup_result *result)
{
	const char *before = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++) {
		uint64_t n = result->n[outcomes[i].outcome];
		const char *label = outcomes[i].label;

		if (n == 0 && !outcomes[i].always)
			continue;
		fact(label && before && !strcmp(label, before) ? NULL : label, outcomes[i].style,
		     "%" PRIu64 " %s", n, outcomes[i].what);
		before = label ? label : before;
	}
}

static void warn(const struct args *a, const struct restored *r)
{
	if (r->result.n[BACKUP_CAME_BACK] > 0)
		remark(a,
		       "What was revoked after the copy was made is good again if this agent did "
		       "not know of it: jetonctl list --all-users shows all, jetonctl revoke "
		       "ends what should not be.");
}

/* ---- as JSON ---- */

static void print_json(const struct args *a, const struct restored *r)
{
	static const char *const keys[BACKUP_OUTCOMES] = {
		[BACKUP_CAME_BACK] = "tokensRestored",
		[BACKUP_ENDED_CAME_BACK] = "endedRestored",
		[BACKUP_ENDED_NOW] = "tokensEnded",
		[BACKUP_WERE_KNOWN] = "tokensKnown",
		[BACKUP_HAD_EXPIRED] = "tokensExpired",
		[BACKUP_WERE_BOUND] = "tokensBound",
		[BACKUP_NO_PARENT] = "tokensWithoutParent",
		[BACKUP_NO_OWNER] = "tokensWithoutOwner",
		[BACKUP_NO_ROOM] = "tokensWithoutRoom",
		[BACKUP_CREDENTIALS_CAME_BACK] = "credentialsRestored",
		[BACKUP_CREDENTIALS_KEPT] = "credentialsKept",
	};
	char json[1024];
	int n = snprintf(json, sizeof(json), "{\"takenUSec\":%" PRIu64, r->copied.taken_us);

	for (size_t i = 0; i < BACKUP_OUTCOMES; i++)
		n += snprintf(json + n, sizeof(json) - (size_t)n, ",\"%s\":%" PRIu64, keys[i],
			      r->result.n[i]);
	n += snprintf(json + n, sizeof(json) - (size_t)n, "}");
	output_json(a, (struct span){ json, (size_t)n });
}

/* ---- all of it ---- */

int restore_report(const struct args *a, struct restored *r)
{
	if (a->json) {
		print_json(a, r);
	} else {
		print_origin(r);
		print_outcomes(&r->result);
		print_missing(&r->owners);
		warn(a, r);
	}
	if (r->result.is_whole)
		return EXIT_DONE;
	return fail(EXIT_FAILED,
		    "the agent could not take in all of it, and its log says why; what is missing "
		    "comes when it reloads or starts again, or by restoring again");
}

int restore_report_waiting(const struct args *a, struct jeton *jeton, int result, const char *dir,
			   struct restored *r)
{
	if (!a->json) {
		print_origin(r);
		print_missing(&r->owners);
	}
	if (ask_status(result) == EXIT_NO_AGENT) {
		say("No agent runs: the backup lies in %s/restore, and is taken in when one starts "
		    "there; its log then says what came back.",
		    dir);
		return EXIT_DONE;
	}
	if (result == JETON_ERROR_AGENT_LOCKED) {
		say("The agent is locked: the backup lies in %s/restore, and is taken in when it "
		    "is "
		    "unlocked (jetonctl unlock); its log then says what came back.",
		    dir);
		return EXIT_DONE;
	}
	say("The backup lies in %s/restore, and is taken in when the agent of that directory next "
	    "reloads or starts.",
	    dir);
	return result ? ask_failed(jeton, result)
		      : fail(EXIT_FAILED,
			     "the agent at %s took in nothing: is its state elsewhere (--state "
			     "DIR)?",
			     jeton_path(jeton));
}
