/*
 * ctl/helper-aws.c - aws's credential_process: JSON with a key's id, the key, perhaps a session's
 * token, and when it ends.
 *
 * The id is no secret, so it can stand in aws's own configuration, and the value be the key alone;
 * or the value is such JSON itself.
 */
#include <stdlib.h>

#include "ctl/helper.h"
#include "ctl/output.h"

static void begin(struct serving *s)
{
	json_open(&s->out, '{');
	json_key(&s->out, "Version");
	json_put_int(&s->out, 1);
}

static int finish(struct serving *s, bool has_expiration)
{
	char expires[INSTANT_MAX];

	if (!has_expiration && s->value->expires_us != JETON_UNSET) {
		json_key(&s->out, "Expiration");
		json_put_string(&s->out, span_of(instant_text(s->value->expires_us, expires)));
	}
	json_close(&s->out, '}');
	serving_put(s, SPAN("\n"));
	return serving_finish(s);
}

static int give_key(const struct args *a, struct serving *s)
{
	begin(s);
	json_key(&s->out, "AccessKeyId");
	json_put_string(&s->out, span_of(a->access_key_id));
	json_key(&s->out, "SecretAccessKey");
	json_put_string(&s->out, s->text);
	return finish(s, false);
}

/* Hands a member on as it is spelt. Whether it is there, as a text. */
static bool hand_on(struct serving *s, struct json_value from, const char *key)
{
	struct json_value value;

	if (!json_member(from, key, &value) || value.type != JSON_STRING)
		return false;
	json_key(&s->out, key);
	json_put_value(&s->out, value.raw);
	return true;
}

static int give_json(const struct args *a, struct serving *s)
{
	_cleanup_free_ struct json_scratch *scratch = malloc(sizeof(*scratch));
	struct json_value from;
	bool has_expiration;

	if (!scratch)
		return fail(EXIT_FAILED, "there is not enough memory");
	if (json_check(s->text, scratch) != JSON_OK)
		return fail(EXIT_FAILED,
			    "%s is no JSON with AccessKeyId and SecretAccessKey; where it is the "
			    "secret access key alone, give --access-key-id",
			    a->credential);
	from = json_root(s->text);
	begin(s);
	if (!hand_on(s, from, "AccessKeyId") || !hand_on(s, from, "SecretAccessKey"))
		return fail(EXIT_FAILED, "%s has no AccessKeyId or no SecretAccessKey in its JSON",
			    a->credential);
	hand_on(s, from, "SessionToken");
	has_expiration = hand_on(s, from, "Expiration");
	return finish(s, has_expiration);
}

int helper_aws(const struct args *a)
{
	_cleanup_(serving_done) struct serving s;
	int status = serving_init(&s, a, !a->access_key_id);

	if (status != EXIT_DONE)
		return status;
	return a->access_key_id ? give_key(a, &s) : give_json(a, &s);
}
