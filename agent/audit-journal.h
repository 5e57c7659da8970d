/*
 * agent/audit-journal.h - entries of the audit to the journal, with their fields; nothing here ever
 * waits.
 *
 * What the journal can't take at once waits in a ring of fixed size; what does not fit there is
 * counted, and told as one entry in its place: a gap is recorded as a gap.
 */
#pragma once

#include <systemd/sd-event.h>

#include "agent/audit-record.h"

enum { AUDIT_WHY_MAX = 500, AUDIT_RING = 1024 };

/* What is told: an entry, and more of the reason, which the journal alone has. */
struct audit_note {
	struct audit_entry entry;
	char why[AUDIT_WHY_MAX + 1];
};

struct audit_journal;

/*
 * Entries go to the journal whose socket is at path, which need not be there yet. own_uid: the
 * agent's. on_gap(userdata, n) is called when the journal was told that n entries are missing. 0 or
 * a negative errno.
 */
int audit_journal_new(sd_event *event, const char *path, uid_t own_uid,
		      void (*on_gap)(void *userdata, uint32_t n), void *userdata,
		      struct audit_journal **ret) MUST_USE;

/* Tries once more to hand over what waits. NULL is fine. */
void audit_journal_free(struct audit_journal *j);

void audit_journal_tell(struct audit_journal *j, const struct audit_note *note);
