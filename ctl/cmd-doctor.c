/*
 * ctl/cmd-doctor.c - doctor: the whole set-up as the caller sees it. It only looks: nothing is
 * fetched, changed or sent that is secret.
 */
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/commands.h"
#include "ctl/doctor.h"

static void tell_json(struct doctor *d, enum finding finding, const char *about, const char *text)
{
	static const char *const results[] = { "good", "warning", "wrong" };

	json_open(&d->json, '{');
	json_key(&d->json, "about");
	json_put_string(&d->json, span_of(about));
	json_key(&d->json, "result");
	json_put_string(&d->json, span_of(results[finding]));
	json_key(&d->json, "message");
	json_put_string(&d->json, span_of(text));
	json_close(&d->json, '}');
}

static void tell_people(struct doctor *d, enum finding finding, const char *about, const char *text)
{
	static const struct {
		const char *word;
		enum style style;
	} results[] = { { "", STYLE_PLAIN },
			{ "Warning: ", STYLE_WARN },
			{ "Wrong: ", STYLE_BAD } };
	bool same = d->about && !strcmp(d->about, about);

	if (finding == FINDING_GOOD && d->args->quiet)
		return;
	fact(same ? NULL : about, results[finding].style, "%s%s", results[finding].word, text);
	d->about = about;
}

void doctor_tell(struct doctor *d, enum finding finding, const char *about, const char *format, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	d->any_wrong |= finding == FINDING_WRONG;
	if (d->args->json)
		tell_json(d, finding, about, text);
	else
		tell_people(d, finding, about, text);
}

static void look(struct doctor *d)
{
	doctor_socket(d);
	if (d->answers)
		doctor_agent(d);
	doctor_kernel(d);
	doctor_policies(d);
	if (d->answers)
		doctor_credentials(d);
	if (d->args->of_unit)
		doctor_unit(d, d->args->of_unit);
}

static int print_json(struct doctor *d)
{
	json_close(&d->json, ']');
	json_close(&d->json, '}');
	if (d->json.overflow)
		return fail(EXIT_FAILED,
			    "there is more to say than --json has room for here: leave it out");
	output_json(d->args, (struct span){ d->json.buf, d->json.n });
	return EXIT_DONE;
}

static int conclude(struct doctor *d)
{
	if (d->args->json && print_json(d) != EXIT_DONE)
		return EXIT_FAILED;
	if (!d->args->json && !d->any_wrong)
		remark(d->args, "All is well.");
	return d->any_wrong ? EXIT_FAILED : EXIT_DONE;
}

int cmd_doctor(const struct args *a)
{
	static struct doctor doctor;
	int status;

	doctor.args = a;
	json_writer_init(&doctor.json, doctor.json_room, sizeof(doctor.json_room));
	json_open(&doctor.json, '{');
	json_key(&doctor.json, "findings");
	json_open(&doctor.json, '[');
	status = ask_open(a, &doctor.jeton);
	if (status != EXIT_DONE)
		return status;
	look(&doctor);
	jeton_free(doctor.jeton);
	return conclude(&doctor);
}
