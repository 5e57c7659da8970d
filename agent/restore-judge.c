/*
 * agent/restore-judge.c - ids are never given twice, so whatever is known here of an id is of this
 * very token, and later: it counts. What has ended, there or here, has ended.
 */
#include "agent/restore-judge.h"

#include <string.h>

/* This host's number of the owner's name. A uid that had no name stays what it was. */
static bool find_owner(const struct names *names, struct token_facts *facts)
{
	char name[LABEL_MAX + 1];

	if (!facts->owner_name.p)
		return true;
	memcpy(name, facts->owner_name.p, facts->owner_name.n);
	name[facts->owner_name.n] = '\0';
	return names_user_id(names, name, &facts->owner_uid) == 1;
}

static enum restore_fate judge_ended(const struct vault *v, const struct names *names,
				     struct token_facts *facts, token_ref *ret)
{
	token_ref ref = vault_find(v, facts->id);

	if (ref) {
		*ret = ref;
		return vault_is_busy(v, ref) ? FATE_WAIT : FATE_END;
	}
	if (vault_id_is_taken(v, facts->id))
		return FATE_KNOWN;
	return find_owner(names, facts) ? FATE_RECALL : FATE_NO_OWNER;
}

/* A child has its parent's owner, and ends with it at the latest. */
static enum restore_fate judge_child(const struct vault *v, struct token_facts *facts,
				     token_ref *ret)
{
	token_ref parent = vault_find(v, facts->parent);
	const struct owner *owner;

	if (!parent)
		return vault_find_ended(v, facts->parent) || !vault_id_is_taken(v, facts->parent)
			       ? FATE_NO_PARENT
			       : FATE_WAIT;
	if (vault_is_busy(v, parent))
		return FATE_WAIT;
	owner = vault_owner(v, parent);
	facts->owner_uid = owner->uid;
	facts->owner_name = owner->name;
	if (facts->expires_us > vault_expires_us(v, parent))
		facts->expires_us = vault_expires_us(v, parent);
	*ret = parent;
	return FATE_INSERT;
}

static enum restore_fate judge_active(const struct vault *v, const struct names *names,
				      uint64_t now_us, struct token_facts *facts, token_ref *ret)
{
	*ret = REF_NONE;
	if (vault_id_is_taken(v, facts->id))
		return FATE_KNOWN;
	if (facts->expires_us <= now_us)
		return FATE_EXPIRED;
	/* Whom it served was on another host, or is another by now. */
	if (facts->binding != BINDING_NONE)
		return FATE_BOUND;
	if (facts->parent)
		return judge_child(v, facts, ret);
	return find_owner(names, facts) ? FATE_INSERT : FATE_NO_OWNER;
}

enum restore_fate restore_judge(const struct vault *v, const struct names *names, uint64_t now_us,
				struct token_facts *facts, token_ref *ret)
{
	return facts->state == TOKEN_ACTIVE ? judge_active(v, names, now_us, facts, ret)
					    : judge_ended(v, names, facts, ret);
}
