/*
 * tests/fuzz/fuzz-restore.c - backups of any content, sealed as they must be, brought to a whole
 * agent (agent-world.h), and read by the tool's half (ctl/backup-copy.c) as well.
 *
 * An input is up to four backups, one after the other, so that the later ones meet what the earlier
 * have left. Each begins with a byte of how it comes, and one of what is done to the sealed file;
 * entries follow, of which one byte makes one fact, and others are bytes as they come. What must
 * hold:
 *	a backup that is good is taken in whole, and any other not at all
 *	the tool's half says the same of what both look at
 *	what ended stays so, here or in the backup
 *	what is active has an owner, a time to come, and a living parent that outlives it
 *	each token of the file counts once; a second time all are known, and nothing changes
 *	what is listed afterwards is JSON
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/credential.h"
#include "agent/credential-record.h"
#include "agent/record.h"
#include "ctl/backup-copy.h"
#include "protocol/base/fd.h"
#include "protocol/base/time.h"
#include "protocol/json.h"
#include "tests/fuzz/agent-calls.h"

enum {
	BACKUPS_MAX = 4,
	ENTRIES_MAX = 40,
	BLOCKS_MAX = 8,
	IDS = 16,
	ROOM = 256 * 1024,
	FILE_MAX = BACKUP_RESTORE_HEAD_LEN + BLOCKS_MAX * BACKUP_SEALED + 1,
};

/* What is done to a file. */
enum damage {
	UNHARMED,
	CUT,		/* at any byte */
	FLIPPED,	/* a bit of it */
	LENGTHENED,	/* by a byte */
	WITHOUT_END,	/* the last block is sealed as any other */
	ENDS_EARLY,	/* the first one as the last */
	SWAPPED,	/* the first two blocks */
	FOR_ANOTHER,	/* sealed to another agent */
	OPEN_TO_OTHERS, /* by its mode */
	IS_LINK,
	DAMAGES,
};

/* How it comes, as bits of a byte; the lowest three say how it is put together. */
enum {
	UNFRAMED = 6, /* no head and no end but those of the input */
	UNSORTED = 7, /* entries come as the input has them, and not by kind */
	FORMS = 7,
	BY_START = 8, /* and not by a reload */
	TWICE = 16,
	LATER = 32, /* some time goes by before */
};

struct backup_made {
	struct backup_entry entries[ENTRIES_MAX + 2];
	size_t n;
	uint8_t records[ROOM];
	size_t used;			 /* of records */
	uint8_t breaks[ENTRIES_MAX + 2]; /* whether a new block begins there */
	uint8_t raw[256], n_raw;	 /* stands in place of the end of the last block */
	enum damage damage;
	uint16_t where;
	bool in_head; /* which the tool's half does not look at */
	uint8_t key[BACKUP_KEY_LEN], start[BACKUP_START_LEN];
	uint8_t file[FILE_MAX];
	size_t n_file, n_blocks;
};

/* What is known of each id. */
enum known { UNKNOWN, ACTIVE, ENDED };

struct scene {
	struct agent_world world;
	struct input in;
	enum known known[IDS + 1];
};

static struct backup_made made;

/* ---- entries --------------------------------------------------------------------------------- */

static struct span take_label(struct input *in)
{
	static const char *const labels[] = { "ci",   "alice", "bob",	   "nobody", "",
					      "root", "a b",   "\xc3\xa4", "\xff",   "al\0x" };
	uint8_t byte = input_byte(in) % 12;

	if (byte >= ARRAY_SIZE(labels))
		return SPAN_NONE;
	return (struct span){ labels[byte], byte == 9 ? 4 : strlen(labels[byte]) };
}

static uint64_t take_time(struct input *in)
{
	static const int64_t from_now_s[] = { 3600,  -3600,  1,		  0,
					      86400, -86400, 400 * 86400, -400 * 86400 };
	static const uint64_t others[] = { 0, 1, (UINT64_C(1) << 58) - 1, UINT64_C(1) << 58 };
	uint8_t byte = input_byte(in);

	return byte < 240 ? world_now() + (uint64_t)(from_now_s[byte % 8] * 1000000)
			  : others[byte % 4];
}

static uint64_t take_id(struct input *in)
{
	uint8_t byte = input_byte(in);

	return byte == UINT8_MAX ? 0 : 1 + byte % IDS;
}

static struct packed_scopes take_scopes(struct input *in)
{
	static const struct packed_scopes some[] = {
		{ NULL, 0, 0 },
		{ (const uint8_t *)"\013acme/x:read", 12, 1 },
		{ (const uint8_t *)"\011acme/**:*\013acme/x:read", 22, 2 },
		{ (const uint8_t *)"\004acme", 5, 1 },
	};

	uint8_t byte = input_byte(in);

	return some[byte == UINT8_MAX ? 3 : byte % 3];
}

static void take_life(struct input *in, struct token_facts *f)
{
	f->created_us = take_time(in);
	f->expires_us = take_time(in);
	f->length_us = f->expires_us >= f->created_us ? f->expires_us - f->created_us : 0;
	f->uses_left = input_byte(in) % 4 == 1 ? input_byte(in) : USES_UNLIMITED;
	if (input_byte(in) % 4 == 1)
		f->last_used_us = take_time(in) / USEC_PER_SEC % UINT32_MAX * USEC_PER_SEC;
}

static void take_end(struct input *in, struct token_facts *f)
{
	f->state = input_byte(in) % 2 ? TOKEN_EXPIRED : TOKEN_REVOKED;
	f->ended = (enum end_reason)(END_EXPIRED + input_byte(in) % 8);
	f->ended_us = take_time(in);
	f->replaced_by = input_byte(in) % 4 == 1 ? take_id(in) : 0;
}

static void take_facts(struct input *in, bool ended, struct token_facts *f)
{
	static const uid_t uids[] = { UID_ALICE, UID_BOB, 4242, 0, UID_CI, UINT32_MAX };

	*f = (struct token_facts){ .id = take_id(in), .name = SPAN("token") };
	f->row = 1 + input_byte(in) % 64;
	f->owner_name = take_label(in);
	f->owner_uid = uids[input_byte(in) % ARRAY_SIZE(uids)];
	f->scopes = take_scopes(in);
	f->parent = input_byte(in) % 4 == 1 ? take_id(in) : 0;
	f->hash[0] = (uint8_t)f->id;
	take_life(in, f);
	if (input_byte(in) % 8 == 1)
		f->last_used_by = take_label(in);
	if (input_byte(in) % 8 == 1) {
		f->binding = BINDING_UNIT;
		f->holder.unit = SPAN("a.service");
	}
	if (ended)
		take_end(in, f);
}

static struct span take_token(struct input *in, bool ended, uint8_t *dst, struct span *ret_owner)
{
	/* What the entry says beside the record is for others. */
	bool wrong_kind = input_byte(in) == UINT8_MAX;
	struct token_facts facts;

	take_facts(in, ended != wrong_kind, &facts);
	*ret_owner = facts.owner_name;
	return (struct span){ (char *)dst, record_write(&facts, dst) };
}

static struct span take_credential(struct input *in, uint8_t *dst)
{
	static const struct span names[] = { SPAN("held"), SPAN("minted"), SPAN("other") };
	static char large[CREDENTIAL_VALUE_MAX];
	uint8_t byte = input_byte(in);
	struct credential_record r = { .kind = byte % 4 == 3 ? CREDENTIAL_FETCHED
							     : CREDENTIAL_VALUE,
				       .name = names[byte / 4 % ARRAY_SIZE(names)] };

	r.revision = input_byte(in);
	r.updated_us = take_time(in);
	if (r.kind == CREDENTIAL_FETCHED) {
		r.fetched_us = take_time(in);
		r.fetched_by = take_label(in);
	} else if (byte % 4 > 0) {
		r.form = byte % 4 == 1 ? CREDENTIAL_TEXT : CREDENTIAL_DATA;
		r.expires_us = input_byte(in) % 2 ? take_time(in) : 0;
		memset(large, 'v', sizeof(large));
		r.value = (struct span){ large, r.form == CREDENTIAL_TEXT
							? 5
							: sizeof(large) - input_byte(in) };
	}
	return (struct span){ (char *)dst, credential_record_write(&r, dst) };
}

/* Bytes as they come, with which a good record may begin. */
static struct span take_bytes(struct input *in, struct span record)
{
	size_t at = input_byte(in);

	if (record.n == 0)
		return record;
	((uint8_t *)(uintptr_t)record.p)[at % record.n] ^= input_byte(in);
	if (input_byte(in) % 4 == 1)
		record.n -= input_byte(in) % record.n;
	return record;
}

static void add_entry(const struct backup_entry *e, bool begins_block)
{
	made.breaks[made.n] = begins_block;
	made.entries[made.n++] = *e;
}

static void take_entry(struct input *in)
{
	uint8_t byte = input_byte(in), *dst = made.records + made.used;
	struct backup_entry e = { .kind = byte % 8 < 5 ? BACKUP_ACTIVE : BACKUP_ENDED };

	if (byte % 8 == 7)
		e.kind = BACKUP_CREDENTIAL;
	if (byte >= 254)
		e = (struct backup_entry){ .kind = byte == 254 ? BACKUP_HEAD : BACKUP_END,
					   .host = take_label(in),
					   .taken_us = take_time(in),
					   .counts = { input_byte(in), input_byte(in),
						       input_byte(in) } };
	else if (e.kind == BACKUP_CREDENTIAL)
		e.record = take_credential(in, dst);
	else
		e.record = take_token(in, e.kind == BACKUP_ENDED, dst, &e.owner);
	if (byte / 8 == 30)
		e.record = take_bytes(in, e.record);
	made.used += e.record.n;
	add_entry(&e, byte / 32 == 6);
}

/* ---- a backup -------------------------------------------------------------------------------- */

/* By kind, and among those of a kind as they came. */
static void sort_entries(void)
{
	for (size_t i = 1; i < made.n; i++)
		for (size_t k = i; k > 0 && made.entries[k - 1].kind > made.entries[k].kind; k--) {
			struct backup_entry e = made.entries[k];

			made.entries[k] = made.entries[k - 1];
			made.entries[k - 1] = e;
		}
}

static void count_entries(struct backup_counts *ret)
{
	*ret = (struct backup_counts){ 0, 0, 0 };
	for (size_t i = 0; i < made.n; i++) {
		ret->active += made.entries[i].kind == BACKUP_ACTIVE;
		ret->ended += made.entries[i].kind == BACKUP_ENDED;
		ret->credentials += made.entries[i].kind == BACKUP_CREDENTIAL;
	}
}

static void take_entries(struct input *in, uint8_t how)
{
	struct backup_entry head = { .kind = BACKUP_HEAD, .taken_us = 7, .host = SPAN("host") };
	struct backup_entry end = { .kind = BACKUP_END };
	unsigned n = input_byte(in) % ENTRIES_MAX;

	made.n = made.used = 0;
	if ((how & FORMS) != UNFRAMED)
		add_entry(&head, false);
	for (; n > 0 && in->n > 0 && made.used < ROOM - CREDENTIAL_RECORD_MAX; n--)
		take_entry(in);
	if ((how & FORMS) != UNSORTED)
		sort_entries();
	count_entries(&end.counts);
	if ((how & FORMS) != UNFRAMED)
		add_entry(&end, false);
}

static void add_block(crypto_secretstream_xchacha20poly1305_state *stream, uint8_t *block,
		      size_t at, bool last)
{
	bool final = made.damage == WITHOUT_END
			     ? false
			     : last || (made.damage == ENDS_EARLY && made.n_blocks == 0);

	FUZZ_HOLDS(made.n_blocks < BLOCKS_MAX);
	backup_pad(block, at);
	if (last && at + made.n_raw <= BACKUP_BLOCK)
		memcpy(block + at, made.raw, made.n_raw);
	FUZZ_HOLDS(crypto_secretstream_xchacha20poly1305_push(
			   stream, made.file + made.n_file, NULL, block, BACKUP_BLOCK, NULL, 0,
			   final ? crypto_secretstream_xchacha20poly1305_TAG_FINAL : 0) == 0);
	made.n_file += BACKUP_SEALED;
	made.n_blocks++;
}

static void seal_blocks(void)
{
	static uint8_t block[BACKUP_BLOCK];
	crypto_secretstream_xchacha20poly1305_state stream;
	size_t at = 0;

	made.n_file = BACKUP_RESTORE_HEAD_LEN;
	made.n_blocks = 0;
	crypto_secretstream_xchacha20poly1305_keygen(made.key);
	crypto_secretstream_xchacha20poly1305_init_push(&stream, made.start, made.key);
	for (size_t i = 0; i < made.n; i++) {
		if ((made.breaks[i] && made.n_blocks < 2) ||
		    !backup_put(block, &at, &made.entries[i])) {
			add_block(&stream, block, at, false);
			at = 0;
			FUZZ_HOLDS(backup_put(block, &at, &made.entries[i]));
		}
	}
	add_block(&stream, block, at, true);
}

/* To whoever's public key lies in the state directory. */
static void seal_key(void)
{
	struct backup_restore_head head;
	uint8_t public[crypto_box_PUBLICKEYBYTES], secret[crypto_box_SECRETKEYBYTES];
	char path[128];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "%s/restore.pub", world_state_dir());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	FUZZ_HOLDS(fd_read_all(fd, public, sizeof(public)) == (ssize_t)sizeof(public));
	if (made.damage == FOR_ANOTHER)
		crypto_box_keypair(public, secret);
	FUZZ_HOLDS(crypto_box_seal(head.boxed_key, made.key, sizeof(made.key), public) == 0);
	memcpy(head.start, made.start, sizeof(head.start));
	backup_restore_head_write(&head, made.file);
}

static void swap_blocks(uint8_t *first)
{
	for (size_t i = 0; i < BACKUP_SEALED; i++) {
		uint8_t byte = first[i];

		first[i] = first[BACKUP_SEALED + i];
		first[BACKUP_SEALED + i] = byte;
	}
}

/* What one block has no room for is done to none. */
static void do_damage(void)
{
	size_t where = made.where * UINT64_C(31) % made.n_file;

	made.in_head = made.damage == FLIPPED && where < BACKUP_RESTORE_HEAD_LEN;
	if (made.damage == CUT)
		made.n_file = where;
	if (made.damage == FLIPPED)
		made.file[where] ^= (uint8_t)(1 << made.where % 8);
	if (made.damage == LENGTHENED)
		made.file[made.n_file++] = 0;
	if (made.damage == SWAPPED)
		swap_blocks(made.file + BACKUP_RESTORE_HEAD_LEN);
}

static void take_backup(struct input *in, uint8_t how)
{
	uint8_t byte = input_byte(in);

	made.damage = byte / 16 < 14 ? UNHARMED : (enum damage)(byte % DAMAGES);
	made.where = made.damage ? (uint16_t)(input_byte(in) << 8 | input_byte(in)) : 0;
	made.n_raw = byte / 16 == 13 ? (uint8_t)(byte % 16) : 0;
	for (size_t i = 0; i < made.n_raw; i++)
		made.raw[i] = input_byte(in) | (i == 0 ? 0x80 : 0); /* no entry begins so */
	take_entries(in, how);
	seal_blocks();
	if (made.n_blocks == 1 && (made.damage == ENDS_EARLY || made.damage == SWAPPED))
		made.damage = UNHARMED;
	seal_key();
	do_damage();
}

/* ---- what must come of it -------------------------------------------------------------------- */

/*
 * All entries, read as a stranger to the agent would; *ret_records: whether their records are good,
 * too.
 */
static bool is_in_order(bool *ret_records)
{
	struct backup_order order = { 0 };
	struct credential_record credential;
	struct token_facts facts;

	*ret_records = true;
	for (size_t i = 0; i < made.n; i++) {
		const struct backup_entry *e = &made.entries[i];
		const uint8_t *record = (const uint8_t *)e->record.p;

		if (backup_order_add(&order, e) < 0)
			return false;
		if (e->kind == BACKUP_CREDENTIAL)
			*ret_records &=
				credential_record_read(record, e->record.n, &credential) == 0;
		if (e->kind == BACKUP_ACTIVE || e->kind == BACKUP_ENDED)
			*ret_records &= record_read(record, e->record.n, &facts) == 0 &&
					(facts.state == TOKEN_ACTIVE) == (e->kind == BACKUP_ACTIVE);
	}
	return backup_order_is_whole(&order);
}

/* A file for the tool's half, kept from one input to the next. */
static int copy_from(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("from", MFD_CLOEXEC);
	return fd;
}

static void check_copy(bool good)
{
	int from = copy_from();
	bool has_head = made.n_file >= BACKUP_RESTORE_HEAD_LEN;
	size_t n = has_head ? made.n_file - BACKUP_RESTORE_HEAD_LEN : 0;
	struct backup_counts counts;
	struct copied copied;
	enum copy_end end;

	FUZZ_HOLDS(ftruncate(from, 0) == 0);
	FUZZ_HOLDS(pwrite(from, made.file + BACKUP_RESTORE_HEAD_LEN, n, 0) == (ssize_t)n);
	FUZZ_HOLDS(lseek(from, 0, SEEK_SET) == 0);
	end = backup_copy(made.key, made.start, from, -1, NULL, NULL, &copied);
	FUZZ_HOLDS(copied.n_bytes <= n && copied.n_bytes % BACKUP_SEALED == 0);
	FUZZ_HOLDS((end == COPY_WHOLE) == good);
	count_entries(&counts);
	if (good)
		FUZZ_HOLDS(memcmp(&copied.counts, &counts, sizeof(counts)) == 0 &&
			   copied.n_bytes == n);
}

/* ---- the agent ------------------------------------------------------------------------------- */

static bool is_there(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", world_state_dir(), name);
	return access(path, F_OK) == 0;
}

static void remove_file(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", world_state_dir(), name);
	(void)unlink(path);
}

static void put_file(void)
{
	char path[128];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "%s/restore%s", world_state_dir(),
		 made.damage == IS_LINK ? ".real" : "");
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	FUZZ_HOLDS(fd >= 0 && fd_write_all(fd, made.file, made.n_file) == 0);
	FUZZ_HOLDS(made.damage != OPEN_TO_OTHERS || fchmod(fd, 0640) == 0);
	if (made.damage != IS_LINK)
		return;
	snprintf(path, sizeof(path), "%s/restore", world_state_dir());
	FUZZ_HOLDS(symlink("restore.real", path) == 0);
}

static bool read_result(struct backup_result *ret)
{
	uint8_t data[BACKUP_RESULT_LEN];
	char path[128];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "%s/restore.result", world_state_dir());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	FUZZ_HOLDS(fd_read_all(fd, data, sizeof(data)) == (ssize_t)sizeof(data));
	FUZZ_HOLDS(backup_result_read(data, ret) == BACKUP_GOOD);
	return true;
}

static void check_active(const struct vault *v, token_ref ref)
{
	struct token_facts facts;
	token_ref parent;

	vault_facts(v, ref, &facts);
	FUZZ_HOLDS(facts.state == TOKEN_ACTIVE && facts.binding == BINDING_NONE);
	FUZZ_HOLDS(facts.expires_us > world_now());
	FUZZ_HOLDS(!facts.owner_name.p || !span_is(facts.owner_name, "nobody"));
	parent = facts.parent ? vault_find(v, facts.parent) : REF_NONE;
	FUZZ_HOLDS(!facts.parent || parent);
	FUZZ_HOLDS(!parent || vault_expires_us(v, parent) >= facts.expires_us);
	FUZZ_HOLDS(!parent || vault_owner(v, parent) == vault_owner(v, ref));
}

/* What is there now, which follows from what was there; unchanged: nothing may have. */
static void look_around(struct scene *s, bool unchanged)
{
	const struct vault *v = s->world.agent->vault;

	for (uint64_t id = 1; id <= IDS; id++) {
		token_ref ref = vault_find(v, id);
		enum known now = ref ? ACTIVE : vault_find_ended(v, id) ? ENDED : UNKNOWN;

		FUZZ_HOLDS(s->known[id] != ENDED || now != ACTIVE);
		FUZZ_HOLDS(!unchanged || now == s->known[id]);
		if (ref)
			check_active(v, ref);
		s->known[id] = now;
	}
}

static void take_in(struct scene *s, bool by_start)
{
	remove_file("restore.bad");
	remove_file("restore.result");
	put_file();
	if (by_start)
		world_restart(&s->world, true);
	else
		surround_signal(SIGHUP);
	world_settle(&s->world);
	FUZZ_HOLDS(!s->world.agent->restore && !is_there("restore"));
}

static void check_result(const struct backup_result *result, bool again)
{
	struct backup_counts counts;
	uint64_t n = 0;

	count_entries(&counts);
	FUZZ_HOLDS(result->is_whole);
	for (enum backup_outcome i = BACKUP_CAME_BACK; i <= BACKUP_NO_ROOM; i++)
		n += result->n[i];
	FUZZ_HOLDS(n == counts.active + counts.ended);
	FUZZ_HOLDS(result->n[BACKUP_CREDENTIALS_CAME_BACK] + result->n[BACKUP_CREDENTIALS_KEPT] <=
		   counts.credentials);
	if (again)
		FUZZ_HOLDS(result->n[BACKUP_CAME_BACK] + result->n[BACKUP_ENDED_CAME_BACK] +
				   result->n[BACKUP_ENDED_NOW] +
				   result->n[BACKUP_CREDENTIALS_CAME_BACK] ==
			   0);
}

/* Whatever else an entry of the same id says. */
static void check_ends(const struct vault *v)
{
	struct token_facts facts;

	for (size_t i = 0; i < made.n; i++) {
		const struct span record = made.entries[i].record;

		if (made.entries[i].kind != BACKUP_ENDED)
			continue;
		FUZZ_HOLDS(record_read((const uint8_t *)record.p, record.n, &facts) == 0);
		FUZZ_HOLDS(!vault_find(v, facts.id));
	}
}

static void restore_once(struct scene *s, bool by_start, bool good, bool again)
{
	struct backup_result result;

	take_in(s, by_start);
	FUZZ_HOLDS(is_there("restore.bad") == !good);
	if (good) {
		FUZZ_HOLDS(read_result(&result));
		check_result(&result, again);
		check_ends(s->world.agent->vault);
	} else {
		FUZZ_HOLDS(!read_result(&result) || !result.is_whole);
	}
	look_around(s, !good || again);
}

/* ---- what is told of it ---------------------------------------------------------------------- */

static void read_replies(int fd)
{
	static struct json_scratch *scratch;
	static char replies[ROOM];
	ssize_t n = 0, k;
	char *end;

	if (!scratch)
		scratch = malloc(sizeof(*scratch));
	while ((k = read(fd, replies + n, sizeof(replies) - (size_t)n)) > 0)
		n += k;
	FUZZ_HOLDS(scratch && n > 0 && replies[n - 1] == '\0');
	for (char *p = replies; p < replies + n; p = end + 1) {
		end = p + strlen(p);
		FUZZ_HOLDS(json_check((struct span){ p, (size_t)(end - p) }, scratch) == JSON_OK);
		FUZZ_HOLDS(!strstr(p, "vvvvv"));
	}
}

static void list_all(struct scene *s)
{
	static const char calls[] =
		"{\"method\":\"io.jeton.Agent.List\",\"parameters\":{\"all\":true},\"more\":true}\0"
		"{\"method\":\"io.jeton.Agent.ListCredentials\",\"more\":true}";
	int fd = surround_connect(ROOT);

	FUZZ_HOLDS(fd >= 0 && write(fd, calls, sizeof(calls)) == (ssize_t)sizeof(calls));
	world_settle(&s->world);
	read_replies(fd);
	close(fd);
	world_settle(&s->world);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void one_backup(struct scene *s)
{
	static const uint64_t later_s[] = { 1, 3600, 86400, 10 };
	uint8_t how = input_byte(&s->in);
	bool records, in_order, good;

	if (how & LATER)
		world_advance(&s->world, later_s[how >> 6] * USEC_PER_SEC);
	look_around(s, false);
	take_backup(&s->in, how);
	in_order = is_in_order(&records) && made.n_raw == 0;
	good = in_order && made.damage == UNHARMED;
	check_copy(in_order &&
		   (made.damage == UNHARMED || made.damage >= FOR_ANOTHER || made.in_head));
	restore_once(s, how & BY_START, good && records, false);
	if (how & TWICE)
		restore_once(s, !(how & BY_START), good && records, true);
	list_all(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct scene s;

	s = (struct scene){ .in = { data, n } };
	(void)copy_from(); /* before descriptors are counted */
	world_begin(&s.world);
	world_settle(&s.world);
	for (unsigned i = 0; i < BACKUPS_MAX && s.in.n > 0; i++)
		one_backup(&s);
	world_check_idle(&s.world);
	world_end(&s.world);
	return 0;
}
