/*
 * tests/fuzz/fuzz-agent.c - a whole agent with several users at once: an input is a list of steps,
 * each something that a client, an administrator, the clock, the disk or the power does. After
 * each, what clients are told must fit what they know (agent-model.c); at the end all is given back
 * (agent-world.c).
 *
 *	agent-calls.c	calls, made of the input
 *	agent-clients.c	who is connected, and waits for what
 *	agent-model.c	what may be told to whom
 *	agent-world.c	the agent's start, end and clock
 *	agent-surround.c	peers, processes, units, chance
 *	agent-accounts.c	users and groups
 *	agent-backend.c	the store's rows, which can fail
 *	agent-threads.c	its threads, as coroutines
 *
 * JETON_FUZZ_LOG=1 shows the agent's log, calls and replies.
 *
 * That it can fail was tried with these faults put into the agent, one at a time. Each is found
 * within two seconds, from the corpus:
 *	present() takes what is over for good		a token is good after its end
 *	a cut of scopes is the token's own scope	access beyond its owner's
 *	Describe, or Revoke, takes all for administrators	facts of what is another's
 *	a commit that failed is told as one that did not	the next start contradicts itself
 *	descriptors that came with messages stay open	they are not as they were before
 *	an idle connection keeps its buffer		a buffer with nothing in it
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <signal.h>

#include "protocol/base/time.h"
#include "tests/fuzz/agent-backend.h"
#include "tests/fuzz/agent-clients.h"
#include "tests/fuzz/agent-threads.h"

enum {
	STEPS_MAX = 200,
};

struct scene {
	struct agent_world world;
	struct model model;
	struct clients clients;
	struct input in;
	size_t next_probe;
};

/* ---- looking --------------------------------------------------------------------------------- */

static void settle(struct scene *s)
{
	do {
		world_settle(&s->world);
		clients_note(&s->clients);
	} while (clients_read(&s->clients));
}

/* One that sees all asks whether a token is good. */
static void probe_one(struct scene *s, size_t token)
{
	struct call_made call;

	if (s->clients.ends[PROBE].fd < 0)
		client_connect(&s->clients, PROBE, ROOT);
	call_make_verify(&s->model, token, &call);
	client_call(&s->clients, PROBE, &call);
}

static void probe(struct scene *s, bool all)
{
	size_t n = all ? s->model.n_tokens : 1;

	if (s->model.n_tokens == 0)
		return;
	for (size_t i = 0; i < n; i++)
		probe_one(s, s->next_probe++ % s->model.n_tokens);
	settle(s);
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Any but the one that probes. */
static size_t take_client(struct scene *s)
{
	return 1 + input_byte(&s->in) % (CLIENTS - 1);
}

static bool step_connect(struct scene *s)
{
	uint8_t byte = input_byte(&s->in);

	client_connect(&s->clients, 1 + byte % (CLIENTS - 1),
		       (enum whom)(byte / (CLIENTS - 1) % WHOMS));
	return false;
}

/* A client that is not there yet comes first. */
static size_t take_connected(struct scene *s)
{
	uint8_t byte = input_byte(&s->in);
	size_t i = 1 + byte % (CLIENTS - 1);

	if (s->clients.ends[i].fd < 0)
		client_connect(&s->clients, i, (enum whom)(byte / (CLIENTS - 1) % WHOMS));
	return i;
}

static bool step_call(struct scene *s)
{
	size_t i = take_connected(s);
	struct call_made call;

	call_make(&s->model, &s->in, &call);
	client_call(&s->clients, i, &call);
	return call.asked.method == METHOD_REVOKE || call.asked.method == METHOD_ROTATE;
}

/* Several in one go. */
static bool step_calls(struct scene *s)
{
	size_t i = take_connected(s);
	struct call_made call;

	for (unsigned n = 2 + input_byte(&s->in) % 6; n > 0; n--) {
		call_make(&s->model, &s->in, &call);
		client_call(&s->clients, i, &call);
	}
	return true;
}

static bool step_raw(struct scene *s)
{
	size_t i = take_connected(s), n = input_byte(&s->in);
	uint8_t end = 0;

	n = n < s->in.n ? n : s->in.n;
	client_send_raw(&s->clients, i, s->in.p, n);
	s->in.p += n;
	s->in.n -= n;
	if (input_byte(&s->in) % 2)
		client_send_raw(&s->clients, i, &end, 1);
	return false;
}

static bool step_vanish(struct scene *s)
{
	client_vanish(&s->clients, take_client(s));
	return false;
}

static bool step_half_close(struct scene *s)
{
	client_half_close(&s->clients, take_client(s));
	return false;
}

static bool step_deaf(struct scene *s)
{
	struct client_end *e = &s->clients.ends[take_client(s)];

	e->is_deaf = !e->is_deaf;
	return false;
}

static bool step_time(struct scene *s)
{
	static const uint64_t passes_us[] = {
		1,
		1000,
		USEC_PER_SEC,
		5 * USEC_PER_SEC,
		30 * USEC_PER_SEC,
		300 * USEC_PER_SEC,
		3600 * USEC_PER_SEC,
		86400 * USEC_PER_SEC,
		31 * 86400 * USEC_PER_SEC,
	};
	uint8_t byte = input_byte(&s->in);

	world_advance(&s->world, passes_us[byte % ARRAY_SIZE(passes_us)]);
	return true;
}

/* To the last microsecond of a token, or to its first without it. */
static bool step_to_expiry(struct scene *s)
{
	uint8_t byte = input_byte(&s->in);
	uint64_t now = world_now(), at;

	if (s->model.n_tokens == 0)
		return false;
	at = s->model.tokens[byte / 2 % s->model.n_tokens].expires_us - 1 + byte % 2;
	if (at > now)
		world_advance(&s->world, at - now);
	return true;
}

static void choose_policies(struct scene *s)
{
	s->world.on_disk = (enum policies)(input_byte(&s->in) % POLICIES);
	world_point_at(&s->world);
}

static bool step_reload(struct scene *s)
{
	choose_policies(s);
	surround_signal(SIGHUP);
	return true;
}

/* For the next Reload, or the next start. */
static bool step_policies(struct scene *s)
{
	choose_policies(s);
	return false;
}

static bool step_fault(struct scene *s)
{
	uint8_t byte = input_byte(&s->in);
	struct backend_fault fault = {
		.steps = { byte & 1, byte & 2, byte & 4, byte & 8 },
		.for_ever = byte & 16,
		.breaks = byte & 32,
		.error = byte & 64 ? -EIO : -ENOSPC,
	};

	backend_set_fault(&fault);
	return false;
}

static bool step_hold(struct scene *s)
{
	threads_hold_store(input_byte(&s->in) % 2);
	return false;
}

static bool step_restart(struct scene *s)
{
	world_restart(&s->world, input_byte(&s->in) % 2);
	return true;
}

static bool step_exit(struct scene *s)
{
	surround_exit((enum whom)(input_byte(&s->in) % WHOMS));
	return true;
}

static bool step_end_unit(struct scene *s)
{
	surround_end_unit((enum whom)(input_byte(&s->in) % WHOMS));
	return true;
}

/* Whether what it has changed may concern any token. More often what stands here more than once. */
static bool (*const steps[])(struct scene *s) = {
	step_call,  step_call,	  step_call,	  step_call,	 step_call,	step_call,
	step_calls, step_calls,	  step_connect,	  step_raw,	 step_vanish,	step_half_close,
	step_deaf,  step_time,	  step_to_expiry, step_reload,	 step_policies, step_fault,
	step_hold,  step_restart, step_exit,	  step_end_unit,
};

/* ---- an input -------------------------------------------------------------------------------- */

/* All trouble is over, and everyone listens: who still waits is forgotten. */
static void finish(struct scene *s)
{
	struct backend_fault none = { .error = 0 };

	backend_set_fault(&none);
	threads_hold_store(false);
	for (size_t i = 0; i < CLIENTS; i++)
		s->clients.ends[i].is_deaf = false;
	settle(s);
	probe(s, true);
	world_advance(&s->world, 2 * USEC_PER_SEC);
	settle(s);
	clients_check_answered(&s->clients);
	clients_end(&s->clients);
	world_settle(&s->world);
	world_check_idle(&s->world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct scene s;

	s = (struct scene){ .in = { data, n } };
	world_begin(&s.world);
	s.model.world = &s.world;
	clients_begin(&s.clients, &s.model);
	for (unsigned i = 0; s.in.n > 0 && i < STEPS_MAX; i++) {
		bool all = steps[input_byte(&s.in) % ARRAY_SIZE(steps)](&s);

		settle(&s);
		probe(&s, all);
		world_check_buffers(&s.world);
	}
	finish(&s);
	world_end(&s.world);
	return 0;
}
