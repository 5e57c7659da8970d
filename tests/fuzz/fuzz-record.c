/*
 * tests/fuzz/fuzz-record.c - any bytes as what the store keeps. They were sealed when they come
 * there, and are distrusted all the same: what is read as a record is written as the same bytes.
 */
#include "tests/fuzz/fuzz.h"

#include "agent/audit-record.h"
#include "agent/credential-record.h"
#include "agent/event-record.h"
#include "agent/record.h"

static void check_token(const uint8_t *data, size_t n)
{
	static uint8_t again[RECORD_MAX];
	struct token_facts facts;
	struct span scope;
	unsigned at = 0, count = 0;

	if (record_read(data, n, &facts) < 0)
		return;
	while (packed_scopes_next(&facts.scopes, &at, &scope))
		count++;
	FUZZ_HOLDS(count == facts.scopes.count);
	FUZZ_HOLDS(record_write(&facts, again) == n && memcmp(again, data, n) == 0);
}

static void check_credential(const uint8_t *data, size_t n)
{
	static uint8_t again[CREDENTIAL_RECORD_MAX];
	struct credential_record record;

	if (credential_record_read(data, n, &record) < 0)
		return;
	FUZZ_HOLDS(credential_name_is_valid(record.name));
	FUZZ_HOLDS(credential_record_write(&record, again) == n && memcmp(again, data, n) == 0);
}

static void check_event(const uint8_t *data, size_t n)
{
	uint8_t again[EVENT_RECORD_MAX];
	struct event event;

	if (event_record_read(data, n, &event) < 0)
		return;
	FUZZ_HOLDS(event_record_write(&event, again) == n && memcmp(again, data, n) == 0);
	free(event.credential);
}

static void check_audit(const uint8_t *data, size_t n)
{
	uint8_t again[AUDIT_RECORD_MAX], previous[AUDIT_HASH_LEN];
	struct audit_entry entry, cut;

	audit_text(cut.result, sizeof(cut.result), (struct span){ (const char *)data, n });
	for (const char *p = cut.result; *p; p++)
		FUZZ_HOLDS(*p > ' ' && *p < 0x7f);
	if (audit_record_read(data, n, &entry, previous) < 0)
		return;
	FUZZ_HOLDS(audit_record_write(&entry, previous, again) == n && memcmp(again, data, n) == 0);
	/* What may stand there is not made anything else. */
	audit_text(cut.operation, sizeof(cut.operation), span_of(entry.operation));
	FUZZ_HOLDS(strcmp(cut.operation, entry.operation) == 0);
	FUZZ_HOLDS(audit_record_at_us(data, n) == entry.at_us);
	FUZZ_HOLDS(audit_record_at_us(data, AUDIT_HEAD_LEN - 1) == 0);
	FUZZ_HOLDS(audit_is_ok(&entry) == (strcmp(entry.result, "ok") == 0));
}

/* Whose a row is may be asked before anything else is; whoever reads all of it finds the same. */
static void check_owner(const uint8_t *data, size_t n)
{
	struct token_facts facts;
	uid_t owner;

	if (record_owner(data, n, &owner) == 0 && record_read(data, n, &facts) == 0)
		FUZZ_HOLDS(facts.owner_uid == owner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_free_ char *copy = fuzz_copy(data, n);
	const uint8_t *bytes = (const uint8_t *)copy;

	check_token(bytes, n);
	check_credential(bytes, n);
	check_event(bytes, n);
	check_audit(bytes, n);
	check_owner(bytes, n);
	return 0;
}
