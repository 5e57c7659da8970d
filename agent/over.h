/*
 * agent/over.h - tokens whose time is over, and when that may be told.
 *
 * What has ended must not come back, whatever the clock does next. So that a token has expired is
 * told once its end is durable, and not before. Where the store can't keep the end it is told all
 * the same, and holds until the agent stops.
 *
 * What is asked to be done with a token that is over, by the clock as it is, ends it. What only
 * looks at tokens does so while the clock is believed (wall-clock.h); else they are told as they
 * are in the store.
 */
#pragma once

#include "agent/request.h"
#include "agent/vault.h"

/*
 * Whether the end of a token, which is over (vault_is_over()), may be told now. False: *ret is what
 * becomes of the call, which is dispatched again when its end is kept.
 */
bool over_may_be_told(struct request *req, token_ref ref, enum dispatched *ret);

/*
 * The same of a token that is but looked at: also true where it is not over, or the clock that says
 * so is not believed; then facts_told() has it as active.
 */
bool over_may_be_shown(struct request *req, token_ref ref, enum dispatched *ret);

/* The same of all tokens that were over when the connection began to ask. */
bool over_all_may_be_shown(struct request *req, enum dispatched *ret);
