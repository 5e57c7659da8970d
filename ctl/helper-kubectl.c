/*
 * ctl/helper-kubectl.c - an ExecCredential of Kubernetes, for client-go's exec plugins. What is
 * asked for comes in the environment; of it only the version counts.
 */
#include <stdlib.h>

#include "ctl/helper.h"

#define GROUP "client.authentication.k8s.io/"

/* The version that is asked for, of those that have just these fields. */
static const char *version(void)
{
	const char *asked = getenv("KUBERNETES_EXEC_INFO");

	return asked && strstr(asked, "\"" GROUP "v1beta1\"") ? GROUP "v1beta1" : GROUP "v1";
}

int helper_kubectl(const struct args *a)
{
	_cleanup_(serving_done) struct serving s;
	char expires[INSTANT_MAX];
	int status = serving_init(&s, a, false);

	if (status != EXIT_DONE)
		return status;
	json_open(&s.out, '{');
	json_key(&s.out, "apiVersion");
	json_put_string(&s.out, span_of(version()));
	json_key(&s.out, "kind");
	json_put_string(&s.out, SPAN("ExecCredential"));
	json_key(&s.out, "status");
	json_open(&s.out, '{');
	if (s.value->expires_us != JETON_UNSET) {
		json_key(&s.out, "expirationTimestamp");
		json_put_string(&s.out, span_of(instant_text(s.value->expires_us, expires)));
	}
	json_key(&s.out, "token");
	json_put_string(&s.out, s.text);
	json_close(&s.out, '}');
	json_close(&s.out, '}');
	serving_put(&s, SPAN("\n"));
	return serving_finish(&s);
}
