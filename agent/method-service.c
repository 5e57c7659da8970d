/* agent/method-service.c - org.varlink.service: what this is, and its interfaces as text. */
#include <stddef.h>

#include "agent/method.h"
#include "agent/policy/map-rights.h"
#include "agent/reply.h"
#include "protocol/interface.h"

static const char service_text[] =
	"# The Varlink Service Interface, which every service has.\n"
	"interface org.varlink.service\n"
	"\n"
	"# Get a list of all the interfaces a service provides and information\n"
	"# about the implementation.\n"
	"method GetInfo() -> (\n"
	"  vendor: string,\n"
	"  product: string,\n"
	"  version: string,\n"
	"  url: string,\n"
	"  interfaces: []string\n"
	")\n"
	"\n"
	"# Get the description of an interface that is implemented by this service.\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n"
	"\n"
	"# The requested interface was not found.\n"
	"error InterfaceNotFound (interface: string)\n"
	"\n"
	"# The requested method was not found\n"
	"error MethodNotFound (method: string)\n"
	"\n"
	"# The interface defines the requested method, but the service does not\n"
	"# implement it.\n"
	"error MethodNotImplemented (method: string)\n"
	"\n"
	"# One of the passed parameters is invalid.\n"
	"error InvalidParameter (parameter: string)\n"
	"\n"
	"# Client is denied access\n"
	"error PermissionDenied ()\n"
	"\n"
	"# Method is expected to be called with 'more' set to true, but wasn't\n"
	"error ExpectedMore ()\n";

static void write_text(struct json_writer *w, const char *key, const char *text)
{
	json_key(w, key);
	json_put_string(w, span_of(text));
}

/* By the policies in force. */
static bool has_maps(const struct agent *a)
{
	return a->policy && map_is_offered(a->policy);
}

enum dispatched method_get_info(struct request *req)
{
	struct bad_parameter bad;
	struct json_writer *w;
	char nothing;

	if (!params_read(&req->call.params, NULL, 0, &req->agent->text, &nothing, 0, &bad))
		return reply_bad_parameter(req, &bad);
	w = reply_begin(req);
	write_text(w, "vendor", "Jeton");
	write_text(w, "product", "jetond");
	write_text(w, "version", JETON_VERSION);
	write_text(w, "url", "https://jeton.io/");
	json_key(w, "interfaces");
	json_open(w, '[');
	json_put_string(w, SPAN("io.jeton.Agent"));
	if (has_maps(req->agent))
		json_put_string(w, SPAN("io.jeton.Verifier"));
	json_put_string(w, SPAN("org.varlink.service"));
	json_close(w, ']');
	return reply_end(req);
}

struct describe_call {
	struct span interface;
};

static const struct field describe_fields[] = {
	{ "interface", offsetof(struct describe_call, interface), FIELD_STRING, true, NULL },
};

enum dispatched method_get_interface_description(struct request *req)
{
	struct describe_call call;
	struct bad_parameter bad;
	struct json_writer *w;
	struct span text;

	if (!params_read(&req->call.params, describe_fields, ARRAY_SIZE(describe_fields),
			 &req->agent->text, &call, sizeof(call), &bad))
		return reply_bad_parameter(req, &bad);
	if (span_is(call.interface, "io.jeton.Agent"))
		text = interface_text();
	else if (span_is(call.interface, "io.jeton.Verifier") && has_maps(req->agent))
		text = interface_verifier_text();
	else if (span_is(call.interface, "org.varlink.service"))
		text = span_of(service_text);
	else
		return reply_error(req, "org.varlink.service.InterfaceNotFound", "interface",
				   call.interface);
	w = reply_begin(req);
	json_key(w, "description");
	json_put_string(w, text);
	return reply_end(req);
}
