/*
 * agent/policy/policy.h - the rule files, read: what they say, and where each thing is said.
 *
 * Loading reads files; from then on a policy is plain data that never changes, but for the numbers
 * of names, which whoever looks them up fills in (policy_each_name()). It logs nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/policy/error.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

/*
 * Where something stands. path lives as long as the policy. line 0: the file or directory as a
 * whole.
 */
struct policy_place {
	const char *path;
	unsigned line;
};

/* A user or group: a name or a number. `User=*` is anyone. */
struct policy_id {
	char *text; /* as written */
	struct policy_place place;
	uint32_t id; /* of a number, or of a name once resolved */
	bool any;    /* "*" */
	bool number; /* written as one */
	bool exists; /* id counts: a number, or a name that was found */
};

/*
 * Selectors of one section. Of one kind they are alternatives; different kinds must all hold. In
 * [Access] there are users and groups only; in [Fetch] and [Verify] at least one of users, groups
 * and units.
 */
struct policy_selector {
	struct policy_id *users;
	size_t n_users;
	struct policy_id *groups;
	size_t n_groups;
	char **units; /* shell patterns */
	size_t n_units;
	bool container; /* Container=yes */
};

struct policy_scope {
	char *text;
	struct policy_place place;
};

struct policy_access { /* [Access] */
	struct policy_place place;
	struct policy_selector who;
	struct policy_scope *scopes;
	size_t n_scopes;
};

enum {
	/*
	 * Of a minted credential's active tokens, where it has no MaxTokens=; and the most it may
	 * say.
	 */
	POLICY_MAX_TOKENS_DEFAULT = 1000,
	POLICY_MAX_TOKENS_MOST = 10000000,
};

struct policy_credential { /* [Credential NAME] */
	struct policy_place place;
	char *name;
	char *description; /* NULL: none */
	bool minted;
	struct policy_id owner;	     /* minted; never any */
	struct policy_scope *scopes; /* minted; at most SCOPES_MAX; none: all that the owner has */
	size_t n_scopes;
	uint64_t lifetime_us; /* minted; 0: the settings' default; else a minute or more */
	uint8_t binding;      /* minted; enum token_binding's numbers: 0 none, 1 process, 2 unit */
	uint64_t max_tokens;  /* minted */
};

struct policy_credential_name {
	char *name;
	struct policy_place place;
};

struct policy_fetch { /* [Fetch] */
	struct policy_place place;
	struct policy_selector who;
	struct policy_credential_name *credentials; /* each defined in the policy */
	size_t n_credentials;
};

struct policy_verify { /* [Verify] */
	struct policy_place place;
	struct policy_selector who;
	struct policy_scope *scopes; /* none: all of a token's access is told */
	size_t n_scopes;
	bool map; /* Map=yes: whom it matches is given the map of these scopes */
};

struct policy {
	struct policy_access *access;
	size_t n_access;
	struct policy_credential *credentials; /* sorted by name */
	size_t n_credentials;
	struct policy_fetch *fetch;
	size_t n_fetch;
	struct policy_verify *verify;
	size_t n_verify;
	char **paths; /* of the files read, in order */
	size_t n_paths;
	/*
	 * What the directories hold that is no policy by its name (editors' left-overs, .dpkg-new):
	 * ignored, but told.
	 */
	char **ignored;
	size_t n_ignored;
};

/*
 * Reads *.policy of n directories, in order of their names; of several files of one name, the one
 * in the directory that stands first, and nothing of the name where that one is a link to
 * /dev/null. A directory that is absent is empty. Directories and files must be owned by root or
 * trusted_uid and not writable by anyone else, judged on the open descriptor; files must be
 * regular, at most 1 MiB, UTF-8 without NUL. Everything is read before anything is judged; one
 * mistake refuses it all. Names are not looked up: see policy_each_name().
 * Returns 0 with a policy that is the caller's (policy_free()), or -EINVAL with *ret_error;
 * -ENOMEM.
 */
int policy_load(const char *const dirs[], size_t n_dirs, uid_t trusted_uid, struct policy **ret,
		struct policy_error *ret_error) MUST_USE;

/*
 * As policy_load(), of single files by whatever name (jetonctl policy check FILE...): ownership is
 * not judged, and a file that is not there is a mistake.
 */
int policy_load_files(const char *const files[], size_t n_files, struct policy **ret,
		      struct policy_error *ret_error) MUST_USE;

/* A policy that says nothing, or NULL where memory is short. The caller's, for policy_free(). */
struct policy *policy_new_empty(void);
/* NULL is fine. */
void policy_free(struct policy *p);
DEFINE_CLEANUP(struct policy *, policy_free)

/*
 * Calls on_name for every name (not number) that a User=, Group= or Owner= gives, a name possibly
 * more than once: who looks names up sets id and exists there.
 */
void policy_each_name(struct policy *p,
		      void (*on_name)(void *userdata, struct policy_id *id, bool group),
		      void *userdata);
