/*
 * protocol/client-replies.h - what follows a call that was answered: its reply, or its many, as
 * structs.
 */
#pragma once

#include "protocol/client.h"
#include "protocol/reply-read.h"

/*
 * Reads the parameters of the call's one reply to *ret, of the struct that `kind` says, and ends
 * the call.
 * Returns 0, or a negative errno, noted.
 */
int client_read(struct jeton *jeton, enum reply_kind kind, void *ret) MUST_USE;

/* What client_call() returned, and where that was 0, client_read(). */
int client_answer(struct jeton *jeton, int called, enum reply_kind kind, void *ret) MUST_USE;

/* Where the items of many replies go: one of the callbacks, by deliver. */
struct sink {
	int (*deliver)(const struct sink *sink, const void *item);
	union {
		int (*on_token)(void *userdata, const struct jeton_token *token);
		int (*on_credential)(void *userdata, const struct jeton_credential *credential);
		int (*on_entry)(void *userdata, const struct jeton_audit_entry *entry);
	};
	void *userdata;
};

/*
 * Calls a method that answers with one reply an item, or where there is none one with null, and
 * delivers each. kind: a struct of one pointer, to the item. Returns as the functions of jeton.h;
 * or what deliver returned, where that was not 0, and then it ends there.
 */
int client_each(struct jeton *jeton, const char *method, enum reply_kind kind,
		const struct param params[], const struct sink *sink) MUST_USE;
