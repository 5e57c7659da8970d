/*
 * agent/event-record.c - see event-record.h. All but those about credentials are of one length, so
 * that a row of the ring is written over in its place.
 */
#include "agent/event-record.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1, FIXED_LEN = 2 + 8 + 8 + 8 + 4 + OWNER_TAG_LEN + 1 };

_Static_assert(FIXED_LEN + EVENT_CREDENTIAL_MAX <= EVENT_RECORD_MAX, "room");

void owner_tag(struct span name, uint8_t ret[static OWNER_TAG_LEN])
{
	memset(ret, 0, OWNER_TAG_LEN);
	if (name.p)
		crypto_generichash(ret, OWNER_TAG_LEN, (const uint8_t *)name.p, name.n, NULL, 0);
}

static uint8_t *put_number(uint8_t *dst, uint64_t v, unsigned n_bytes)
{
	for (unsigned i = 0; i < n_bytes; i++)
		dst[i] = (uint8_t)(v >> 8 * i);
	return dst + n_bytes;
}

static uint64_t get_number(const uint8_t **p, unsigned n_bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n_bytes; i++)
		v |= (uint64_t) * (*p)++ << 8 * i;
	return v;
}

size_t event_record_write(const struct event *event, uint8_t dst[static EVENT_RECORD_MAX])
{
	size_t n = event->credential ? strlen(event->credential) : 0;
	uint8_t *p = dst;

	*p++ = FORMAT;
	*p++ = (uint8_t)event->kind;
	p = put_number(p, event->number, 8);
	p = put_number(p, event->at_us, 8);
	p = put_number(p, event->token, 8);
	p = put_number(p, event->owner_uid, 4);
	memcpy(p, event->owner_tag, OWNER_TAG_LEN);
	p += OWNER_TAG_LEN;
	*p++ = (uint8_t)n;
	if (n > 0)
		memcpy(p, event->credential, n);
	return (size_t)(p - dst) + n;
}

/* What it is about: a token, a credential or neither, by its kind. */
static bool is_complete(const struct event *event, size_t n_credential)
{
	bool of_token = event->kind <= EVENT_EXPIRED,
	     of_credential = event->kind == EVENT_PUT || event->kind == EVENT_FORGOTTEN;
	bool has_owner = event->owner_uid || !sodium_is_zero(event->owner_tag, OWNER_TAG_LEN);

	return of_token == (event->token != 0) && of_credential == (n_credential > 0) &&
	       (of_token || !has_owner);
}

int event_record_read(const uint8_t *data, size_t n, struct event *ret)
{
	const uint8_t *p = data;
	struct event event = { 0 };
	size_t n_credential;

	if (n < FIXED_LEN || *p++ != FORMAT || *p < EVENT_ISSUED || *p > EVENT_UNLOCKED)
		return -EBADMSG;
	event.kind = (enum event_kind) * p++;
	event.number = get_number(&p, 8);
	event.at_us = get_number(&p, 8);
	event.token = get_number(&p, 8);
	event.owner_uid = (uid_t)get_number(&p, 4);
	memcpy(event.owner_tag, p, OWNER_TAG_LEN);
	p += OWNER_TAG_LEN;
	n_credential = *p++;
	if (n_credential != n - FIXED_LEN || n_credential > EVENT_CREDENTIAL_MAX ||
	    event.number == 0 || event.at_us > INT64_MAX || !is_complete(&event, n_credential) ||
	    memchr(p, '\0', n_credential))
		return -EBADMSG;
	if (n_credential > 0) {
		event.credential = malloc(n_credential + 1U);
		if (!event.credential)
			return -ENOMEM;
		/* Nothing behind the record is looked at: it may end where its memory ends. */
		memcpy(event.credential, p, n_credential);
		event.credential[n_credential] = '\0';
	}
	*ret = event;
	return 0;
}
