/* ctl/doctor.h - what doctor finds, part by part. */
#pragma once

#include "ctl/args.h"
#include "ctl/output.h"
#include "ctl/policy-dirs.h"
#include "protocol/jeton.h"
#include "protocol/json.h"

enum finding {
	FINDING_GOOD,
	FINDING_WARNING, /* worth a thought; all works */
	FINDING_WRONG,
};

struct doctor {
	const struct args *args;
	struct jeton *jeton;
	bool answers;	   /* the agent does: `loaded_us` is known */
	int64_t loaded_us; /* when the policies in force were read */
	bool any_wrong;
	const char *about; /* what the last finding was about */
	struct json_writer json;
	char json_room[64 * 1024];
};

/*
 * Tells one thing that was found: what it is about, what is so and, where it is not good, what to
 * do.
 */
void doctor_tell(struct doctor *d, enum finding finding, const char *about, const char *format, ...)
	PRINTF(4, 5);

/* Each looks at its part and tells what it finds. */
void doctor_socket(struct doctor *d);
void doctor_agent(struct doctor *d);
void doctor_kernel(struct doctor *d);
void doctor_policies(struct doctor *d);
void doctor_credentials(struct doctor *d);

/* Whether LoadCredential= of this unit would be refused, and why. */
void doctor_unit(struct doctor *d, const char *unit);
