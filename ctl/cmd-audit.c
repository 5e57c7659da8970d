/*
 * ctl/cmd-audit.c - audit: what was done and refused, by whom; and whether all of it is as it was
 * written.
 *
 * The agent holds each entry against the one before as it reads them, and says where the chain is
 * broken by an entry of operation "damage".
 */
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/commands.h"
#include "ctl/json-print.h"
#include "ctl/output.h"
#include "ctl/select.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "protocol/base/time.h"
#include "protocol/client.h"

static const struct table_column columns[] = {
	{ "TIME", 0, false },	{ "OPERATION", 0, false }, { "RESULT", 8, false },
	{ "ABOUT", 11, false }, { "BY", 8, false },
};

/* Users by number: the last one asked for, as mostly many entries in turn are of one. */
struct user_text {
	bool is_known;
	uint32_t uid;
	char text[64];
};

struct reading {
	const struct args *args;
	struct jeton *jeton;
	struct table table;
	struct user_text user;
	size_t n, n_damages;
	int64_t first_us, last_us;
};

static bool is_damage(const struct jeton_audit_entry *e)
{
	return strcmp(e->operation, "damage") == 0;
}

/* "ok", or "ok, 17 times" */
static bool is_ok(const struct jeton_audit_entry *e)
{
	return strncmp(e->result, "ok", 2) == 0 && (e->result[2] == '\0' || e->result[2] == ',');
}

/* ---- rows ------------------------------------------------------------------------------------ */

static const char *user_of(struct reading *r, uint32_t uid)
{
	struct user_text *u = &r->user;
	const struct passwd *pw;

	if (u->is_known && u->uid == uid)
		return u->text;
	pw = getpwuid(uid);
	if (pw)
		snprintf(u->text, sizeof(u->text), "%s", pw->pw_name);
	else
		snprintf(u->text, sizeof(u->text), "uid %" PRIu32, uid);
	u->is_known = true;
	u->uid = uid;
	return u->text;
}

/* "nightly.service, ci (4242)": the unit, the user, the process. */
static void add_peer(struct reading *r, const struct jeton_audit_entry *e)
{
	char text[512], pid[32] = "";

	if (e->peer_pid != JETON_UNSET)
		snprintf(pid, sizeof(pid), " (%" PRIi64 ")", e->peer_pid);
	snprintf(text, sizeof(text), "%s%s%s%s", e->peer_unit ? e->peer_unit : "",
		 e->peer_unit ? ", " : "", user_of(r, e->peer_uid), pid);
	table_add(&r->table, span_of(text), STYLE_PLAIN);
}

static void add_row(struct reading *r, const struct jeton_audit_entry *e)
{
	enum style style = is_damage(e) ? STYLE_BAD : is_ok(e) ? STYLE_PLAIN : STYLE_WARN;
	char text[TOKEN_ID_LEN + 128];

	table_add(&r->table, span_of(time_format_local((uint64_t)e->at_us, text, sizeof(text))),
		  STYLE_PLAIN);
	table_add(&r->table, span_of(e->operation), style);
	table_add(&r->table, span_of(e->result), style);
	if (is_damage(e))
		snprintf(text, sizeof(text), "entry %" PRIi64, e->seq);
	else
		snprintf(text, sizeof(text), "%s%s%s", e->token ? e->token : "",
			 e->token && e->credential ? ", " : "", e->credential ? e->credential : "");
	table_add(&r->table, span_of(text), STYLE_PLAIN);
	if (is_damage(e))
		table_add(&r->table, span_of(""), STYLE_PLAIN);
	else
		add_peer(r, e);
}

/* An object a line. */
static void print_json(const struct reading *r)
{
	struct json_value entry;

	if (!json_member(json_root(jeton_raw_reply(r->jeton).parameters), "entry", &entry))
		return;
	json_print(entry, false, 0, stdout);
	putchar('\n');
}

static int on_entry(void *userdata, const struct jeton_audit_entry *e)
{
	struct reading *r = userdata;

	r->n_damages += is_damage(e);
	if (r->args->refused && is_ok(e))
		return 0;
	r->n++;
	if (r->args->json)
		print_json(r);
	else
		add_row(r, e);
	return 0;
}

static int print_table(struct reading *r)
{
	struct table_look look = output_look(r->args, stdout);

	if (r->n == 0) {
		remark(r->args, "There is nothing of that kind in the audit.");
		return EXIT_DONE;
	}
	if (table_print(&r->table, &look, stdout) < 0)
		return fail(EXIT_FAILED, "there is not enough memory for this list");
	return EXIT_DONE;
}

static int list(struct reading *r, const char *token)
{
	int result, status = EXIT_DONE;

	text_width_init();
	table_init(&r->table, columns, ARRAY_SIZE(columns));
	result = jeton_read_audit(r->jeton, r->args->since_us, token, on_entry, r);
	if (result != 0)
		status = ask_failed(r->jeton, result);
	else if (!r->args->json)
		status = print_table(r);
	table_done(&r->table);
	if (r->n_damages > 0)
		remark(r->args, "The audit was altered: jetonctl audit --verify says where.");
	return status;
}

/* ---- --verify -------------------------------------------------------------------------------- */

static void say_damage(const struct reading *r, const struct jeton_audit_entry *e)
{
	if (r->args->json)
		print_json(r);
	else
		printf("entry %" PRIi64 ": %s\n", e->seq, e->result);
}

static int on_verified(void *userdata, const struct jeton_audit_entry *e)
{
	struct reading *r = userdata;

	if (is_damage(e)) {
		r->n_damages++;
		say_damage(r, e);
		return 0;
	}
	if (r->n++ == 0)
		r->first_us = e->at_us;
	r->last_us = e->at_us;
	return 0;
}

static int verify(struct reading *r)
{
	char first[64], last[64];
	int result = jeton_read_audit(r->jeton, JETON_UNSET, NULL, on_verified, r);

	if (result != 0)
		return ask_failed(r->jeton, result);
	if (r->n_damages > 0)
		return fail(EXIT_FAILED,
			    "the chain is broken in %zu %s: somebody with the agent's keys wrote "
			    "to its "
			    "store; hold what is left against the journal",
			    r->n_damages, r->n_damages == 1 ? "place" : "places");
	if (r->args->json || r->args->quiet)
		return EXIT_DONE;
	if (r->n == 0)
		puts("no entries yet");
	else
		printf("%zu %s, from %s to %s: the chain is whole\n", r->n,
		       r->n == 1 ? "entry" : "entries",
		       time_format_local((uint64_t)r->first_us, first, sizeof(first)),
		       time_format_local((uint64_t)r->last_us, last, sizeof(last)));
	return EXIT_DONE;
}

int cmd_audit(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	struct reading r = { .args = a };
	struct id_text id;
	int status;

	if (a->verify && (a->refused || a->token || a->since_us != JETON_UNSET))
		return fail(EXIT_USAGE, "--verify reads all of it: it takes no --since, --token or "
					"--refused");
	status = ask_open(a, &jeton);
	r.jeton = jeton;
	if (status == EXIT_DONE && a->token)
		status = select_token(jeton, a, a->token, &id);
	if (status != EXIT_DONE)
		return status;
	return a->verify ? verify(&r) : list(&r, a->token ? id.text : NULL);
}
