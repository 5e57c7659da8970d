/*
 * ctl/secret.h - memory for a value on its way through the tool: locked where the limits allow, in
 * no core dump, in no child, wiped.
 */
#pragma once

#include <stddef.h>

#include "protocol/base/cleanup.h"

struct secret {
	char *p; /* NULL: none */
	size_t n;
	size_t size; /* whole pages */
};

/* At least size bytes, all zero, n 0. 0 or -ENOMEM. End it by secret_done(). */
int secret_init(struct secret *s, size_t size) MUST_USE;

/* Wipes all of it. Harmless twice, and where there is none. */
void secret_done(struct secret *s);
