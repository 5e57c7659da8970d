/*
 * agent/restore-judge.h - what becomes of each token that a backup tells of. It decides, and
 * changes nothing.
 */
#pragma once

#include "agent/names.h"
#include "agent/vault.h"
#include "protocol/backup.h"

enum restore_fate {
	FATE_INSERT, /* comes back, active */
	FATE_RECALL, /* is put among the ended ones */
	FATE_END,    /* is active here, and ends, as it has in the backup */
	FATE_KNOWN,
	FATE_EXPIRED, /* this and all below are left out */
	FATE_BOUND,
	FATE_NO_PARENT,
	FATE_NO_OWNER,
	FATE_WAIT, /* can't be told before the changes under way are done */
};

/*
 * Judges a token that was active, or had ended, as its state says. Its owner must have been looked
 * up by name (names_ask_user()). *facts become those that it is to have here: its owner by this
 * host's number or its parent's owner, and no longer a life than its parent's. *ret: the parent
 * (insert; REF_NONE: it has none), or the token itself (end).
 */
enum restore_fate restore_judge(const struct vault *v, const struct names *names, uint64_t now_us,
				struct token_facts *facts, token_ref *ret) MUST_USE;
