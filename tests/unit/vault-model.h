/*
 * tests/unit/vault-model.h - the vault told in the plainest way: an array of tokens, with copies
 * kept for undoing, and a store that keeps what commits hand over.
 */
#pragma once

#include "tests/unit/facts-unit.h"
#include "tests/unit/vault-unit.h"

/* One more than the tokens is a prime number. */
enum { MODEL_TOKENS = 4092, MODEL_OWNERS = 5, MODEL_UNDER_WAY = 12 };

/* Where a token of the model is on its way. */
enum place { PLACE_NONE, PLACE_PREPARED, PLACE_VISIBLE, PLACE_ENDED, PLACE_FORGOTTEN };

struct model_token {
	enum place place;
	bool ending, cut, dirty, forgetting;
	struct token_facts facts; /* texts are literals */
	uint8_t scopes[64];
	uint32_t version;
	int parent; /* its number; -1: none */
	token_ref ref;
};

struct model_row {
	enum place place; /* PLACE_NONE, _VISIBLE (active) or _ENDED */
	uint32_t version;
	size_t n;
	uint8_t data[RECORD_MAX];
};

struct model_step {
	struct vault_row row;
	uint8_t *data;
	int token;
	bool took_use, cleaned, cuts;
	struct model_token before;
};

struct model_change {
	struct vault_change *change;
	struct model_step *steps;
	size_t n;
};

struct model_cursor {
	struct vault_cursor cursor;
	bool open;
	int tokens[MODEL_TOKENS]; /* those visible at its start, the newest first */
	size_t n, at;
};

/* A step that the vault is expected to have made. */
struct expected {
	int token;
	enum step_kind kind;
	struct model_token after;
	bool took_use, cleaned, met;
};

struct model {
	uint64_t seed;
	uint64_t now_us;
	bool tight; /* the arena is so small that it is full at times: labels may be missing */
	struct vault *v;
	struct model_token tokens[MODEL_TOKENS];
	int n;
	int ended[MODEL_TOKENS]; /* in the order of their commits */
	size_t n_ended;
	struct model_row rows[MODEL_TOKENS + 1]; /* by row number */
	struct model_change under_way[MODEL_UNDER_WAY];
	size_t n_under_way;
	struct model_cursor cursors[4];
	struct expected expected[MODEL_TOKENS];
	size_t n_expected;
	size_t n_full;	    /* times that the arena was */
	uint32_t hogs[256]; /* pieces that leave little of the arena */
	size_t n_hogs;
};

/* ---- vault-model.c --------------------------------------------------------------------------- */

struct model *model_new(uint64_t seed, size_t memory_limit);

/* Takes all of the arena but these blocks, so that it is full at times. The limit is about the least. */
void model_tighten(struct model *m, unsigned n_blocks);

/* Ends all tokens, forgets them, checks that nothing is left in the arena, and frees. */
void model_free(struct model *m);

/* A number below n. */
uint64_t model_below(struct model *m, uint64_t n);

/* A token of the model in this place, at random; -1: none was met. */
int model_pick(struct model *m, enum place place);

/*
 * Notes that the next prepare is expected to make this step; the token as it is now, to be changed.
 */
struct model_token *model_expect(struct model *m, int token, enum step_kind kind);

/* Expects ends of a token and all below it, in this way. */
void model_expect_end(struct model *m, int token, enum token_state state, enum end_reason reason,
		      uint64_t ended_us);

/* Whether any below the token is being cut and not ending. */
bool model_is_cut_below(const struct model *m, int token);
/* Whether a is below b, or b itself, on a way on which none is ending. */
bool model_is_below(const struct model *m, int a, int b);
bool model_is_there(const struct model_token *t); /* prepared or visible */
bool model_is_busy(const struct model_token *t);

/* A change to prepare in; it counts as under way. */
struct model_change *model_begin(struct model *m);
/* Takes in the steps that a prepare just made, `exactly` those expected or some of them. */
void model_absorb(struct model *m, struct model_change *c, bool exactly);
void model_commit_oldest(struct model *m);
void model_rollback_newest(struct model *m);

/* Compares all there is. */
void model_check(struct model *m);
/* With nothing under way: loads what the store has into another vault, and compares. */
void model_check_store(struct model *m);
