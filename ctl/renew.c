/*
 * ctl/renew.c - a loop over signals, children and events.
 *
 * The next process is made, and has fetched, before the last one is told to end: where the agent is
 * away, or refuses, the command goes on with what it has. A token that is bound to its process is
 * the next one's own, since that process fetches for itself and then becomes the command.
 *
 * With a signal the process stays, and so does its environment, and what it inherited. So the
 * variable leads to a descriptor of this process, /proc/PID/fd/N, and behind that number another
 * sealed memfd takes the place of the last one in a single step: whoever opens the path has a whole
 * value, the old one or the new one.
 */
#include "ctl/renew.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

#include "ctl/changes.h"
#include "ctl/fetched.h"
#include "ctl/next-process.h"
#include "ctl/output.h"
#include "ctl/pace.h"
#include "protocol/base/time.h"
#include "protocol/token.h"

#define STOP_US (90 * USEC_PER_SEC)
/* The longest: poll() does not count the time that a machine is suspended. */
#define NAP_US (60 * USEC_PER_SEC)

struct renewal {
	struct gifts *gifts;
	struct changes changes;
	struct pace pace;
	uint64_t renew_us; /* when a token nears its end; PACE_NEVER */
	bool must;	   /* that time has come, whatever else has changed or not */
	bool again;	   /* something changed since the last fetch began */

	struct signals_before before;
	int signals; /* a signalfd */

	pid_t running; /* 0: none */
	bool stopping; /* it was told to end, to make room for the next */
	uint64_t kill_us;
	struct next_process next;

	bool ended;
	int status; /* as of waitpid() */
};

static const int forwarded[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH };

static uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t chance(void)
{
	uint64_t n = 0;

	/* Without it all is as right, but less spread. */
	if (getrandom(&n, sizeof(n), GRND_NONBLOCK) < 0)
		n = (uint64_t)getpid() * 2654435761U;
	return n;
}

/* ---- time ---- */

static void want(struct renewal *r)
{
	r->again = true;
	pace_wanted(&r->pace, clock_us(), chance());
}

/* When the first of the tokens nears its end. */
static void plan(struct renewal *r)
{
	uint64_t wall_us = time_now_us(), now_us = clock_us(), at;

	r->renew_us = PACE_NEVER;
	for (size_t i = 0; i < r->gifts->n; i++) {
		const struct gift *gift = &r->gifts->items[i];

		if (!gift->minted || gift->expires_us <= (int64_t)wall_us)
			continue;
		at = pace_renewal_us(now_us, (uint64_t)gift->expires_us - wall_us, chance());
		if (at < r->renew_us)
			r->renew_us = at;
	}
}

/* The command has what there is now. What came in the meantime is looked at once more. */
static void renewed(struct renewal *r, bool first)
{
	if (first)
		pace_dropped(&r->pace);
	else
		pace_acted(&r->pace, clock_us());
	if (r->again)
		pace_wanted(&r->pace, clock_us(), chance());
	r->again = r->must = false;
	plan(r);
	changes_start(&r->changes);
}

/* ---- by restart ---- */

static int start_next(struct renewal *r)
{
	r->again = false;
	return next_process_start(&r->next, r->gifts, &r->before);
}

static void let_go(struct renewal *r, bool first)
{
	r->running = next_process_let_go(&r->next, r->gifts);
	r->stopping = false;
	renewed(r, first);
}

static void on_report(struct renewal *r)
{
	next_process_hear(&r->next, r->gifts);
	if (!r->next.ready)
		return;
	if (!r->running) {
		let_go(r, true);
		return;
	}
	r->stopping = true;
	r->kill_us = clock_us() + STOP_US;
	kill(r->running, SIGTERM);
}

/* ---- by signal ---- */

/* This process asks, so what is bound to a process would be bound to the wrong one. */
static int check_unbound(const struct args *a, const struct gift *gift)
{
	_cleanup_(secret_done) struct secret value = { NULL, 0, 0 };
	const char *name = gift->pair->credential;
	bool bound, ended;

	if (!gift->minted)
		return EXIT_DONE;
	if (secret_init(&value, TOKEN_LEN + 1) < 0 ||
	    pread(gift->fd, value.p, TOKEN_LEN, 0) != TOKEN_LEN)
		return fail(EXIT_NO_CREDENTIAL, "can't read the token of %s", name);
	if (fetched_is_bound(a, value.p, &bound, &ended) != EXIT_DONE)
		return EXIT_NO_CREDENTIAL;
	if (bound)
		return fail(EXIT_NO_CREDENTIAL,
			    "a token of %s is bound to the process that asks for it, which with a "
			    "signal is not the command: use --renew=restart",
			    name);
	if (ended)
		return fail(EXIT_NO_CREDENTIAL,
			    "what a token of %s is bound to can't be told, since no policy lets "
			    "you verify tokens: use --renew=restart",
			    name);
	return EXIT_DONE;
}

static int fetch_unbound(struct gifts *g)
{
	int status = gifts_fetch(g);

	for (size_t i = 0; i < g->n && status == EXIT_DONE; i++)
		status = check_unbound(g->args, &g->items[i]);
	return status;
}

/* Puts what was fetched behind the numbers that the command knows. */
static void put_in_place(struct gifts *g, const struct gifts *fresh)
{
	for (size_t i = 0; i < g->n; i++) {
		(void)dup3(fresh->items[i].fd, g->items[i].fd, O_CLOEXEC);
		g->items[i].revision = fresh->items[i].revision;
		g->items[i].expires_us = fresh->items[i].expires_us;
		g->items[i].minted = fresh->items[i].minted;
	}
}

static int send_signal(struct renewal *r)
{
	_cleanup_(gifts_done) struct gifts fresh;
	int status = gifts_init(&fresh, r->gifts->args);

	r->again = false;
	if (status == EXIT_DONE)
		status = fetch_unbound(&fresh);
	if (status != EXIT_DONE)
		return status;
	put_in_place(r->gifts, &fresh);
	kill(r->running, r->gifts->args->renew);
	renewed(r, false);
	return EXIT_DONE;
}

static int start_for_signals(struct renewal *r)
{
	pid_t parent = getpid();
	char owner[16];
	int status = fetch_unbound(r->gifts);

	if (status != EXIT_DONE)
		return status;
	r->running = fork();
	if (r->running < 0)
		return fail(EXIT_CANNOT_RUN, "can't start a process: %s", strerror(errno));
	if (r->running == 0) {
		follow_parent(parent);
		snprintf(owner, sizeof(owner), "%d", (int)parent);
		become_command(r->gifts, &r->before, owner, false);
	}
	renewed(r, true);
	return EXIT_DONE;
}

/* ---- what happens ---- */

static bool by_signal(const struct renewal *r)
{
	return r->gifts->args->renew > 0;
}

static void act(struct renewal *r, uint64_t now_us)
{
	int changed;

	if (r->renew_us <= now_us) {
		r->renew_us = PACE_NEVER;
		r->must = true;
	}
	changed = r->must ? 1 : changes_look(&r->changes);
	if (changed == 0)
		pace_dropped(&r->pace);
	else if (changed < 0 || (by_signal(r) ? send_signal(r) : start_next(r)) != EXIT_DONE)
		pace_failed(&r->pace, now_us, chance());
}

/* It ended as it was told. Whether the next one goes on, or (it died meanwhile) another begins. */
static bool make_room(struct renewal *r)
{
	r->stopping = false;
	if (!r->next.pid)
		return start_next(r) == EXIT_DONE;
	if (r->next.ready)
		let_go(r, false);
	return true;
}

static void on_ended(struct renewal *r, pid_t pid, int status)
{
	if (pid == r->next.pid) {
		next_process_forget(&r->next);
		pace_failed(&r->pace, clock_us(), chance());
		if (r->running)
			return;
	} else if (pid == r->running) {
		r->running = 0;
		if (r->stopping && make_room(r))
			return;
	} else {
		return;
	}
	r->ended = true;
	r->status = status;
}

static void reap(struct renewal *r)
{
	int status;
	pid_t pid;

	while (!r->ended && (pid = waitpid(-1, &status, WNOHANG)) > 0)
		on_ended(r, pid, status);
}

/* Somebody wants the command to end: then nothing takes its place. */
static void give_up_next(struct renewal *r)
{
	if (!r->next.pid)
		return;
	next_process_drop(&r->next);
	r->stopping = false;
	want(r);
}

static void on_signal(struct renewal *r, const struct signalfd_siginfo *info)
{
	int signo = (int)info->ssi_signo;
	bool ends = signo == SIGTERM || signo == SIGINT || signo == SIGQUIT;

	if (signo == SIGCHLD) {
		reap(r);
		return;
	}
	if (!r->running) {
		/* It has not begun yet. */
		r->ended = ends || signo == SIGHUP;
		r->status = signo;
		return;
	}
	if (ends)
		give_up_next(r);
	/* What a terminal sends goes to all of the job's processes, so the command has it already. */
	if (info->ssi_code != SI_KERNEL)
		kill(r->running, signo);
}

static void on_signals(struct renewal *r)
{
	struct signalfd_siginfo info;

	while (!r->ended && read(r->signals, &info, sizeof(info)) == sizeof(info))
		on_signal(r, &info);
}

static void on_time(struct renewal *r)
{
	uint64_t now_us = clock_us();

	if (r->stopping && r->kill_us <= now_us) {
		kill(r->running, SIGKILL);
		r->kill_us = PACE_NEVER;
	}
	if (changes_pump(&r->changes, now_us, chance()))
		want(r);
	if (r->running && !r->next.pid && (r->pace.due_us <= now_us || r->renew_us <= now_us))
		act(r, now_us);
}

/* ---- the loop ---- */

static int timeout_ms(const struct renewal *r, uint64_t now_us)
{
	const uint64_t times[] = {
		r->next.pid ? PACE_NEVER : r->pace.due_us,
		r->next.pid ? PACE_NEVER : r->renew_us,
		r->stopping ? r->kill_us : PACE_NEVER,
		r->changes.retry_us,
	};
	uint64_t at = now_us + NAP_US;

	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (times[i] < at)
			at = times[i];
	return at <= now_us ? 0 : (int)((at - now_us + 999) / 1000);
}

static void turn(struct renewal *r)
{
	struct pollfd p[] = {
		{ .fd = r->signals, .events = POLLIN },
		{ .fd = r->next.report, .events = POLLIN },
		{ .fd = changes_fd(&r->changes), .events = POLLIN },
	};

	if (poll(p, ARRAY_SIZE(p), timeout_ms(r, clock_us())) < 0)
		return;
	/* First: it is still the report that was waited for. */
	if (p[1].revents)
		on_report(r);
	if (p[0].revents)
		on_signals(r);
	if (!r->ended)
		on_time(r);
}

/* From here on signals come by the descriptor alone. */
static int take_signals(struct renewal *r)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	/* Where it is ignored, nobody could be waited for. */
	sigaction(SIGCHLD, &action, &r->before.child);
	sigprocmask(SIG_BLOCK, &set, &r->before.mask);
	r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->signals >= 0)
		return EXIT_DONE;
	return fail(EXIT_CANNOT_RUN, "can't look after a process: %s", strerror(errno));
}

/* As the command ended, so does this process. */
static int end_likewise(const struct renewal *r)
{
	static const struct rlimit none = { 0, 0 };
	struct sigaction action = { .sa_handler = SIG_DFL };

	if (WIFEXITED(r->status))
		return WEXITSTATUS(r->status);
	/* A core of the command's is enough. */
	setrlimit(RLIMIT_CORE, &none);
	sigaction(WTERMSIG(r->status), &action, NULL);
	sigprocmask(SIG_SETMASK, &r->before.mask, NULL);
	raise(WTERMSIG(r->status));
	return 128 + WTERMSIG(r->status);
}

int renew_run(struct gifts *g)
{
	struct renewal r = { .gifts = g, .renew_us = PACE_NEVER };
	int status;

	changes_init(&r.changes, g);
	pace_init(&r.pace);
	next_process_init(&r.next);
	status = take_signals(&r);
	if (status != EXIT_DONE)
		return status;
	status = by_signal(&r) ? start_for_signals(&r) : start_next(&r);
	while (status == EXIT_DONE && !r.ended)
		turn(&r);
	next_process_drop(&r.next);
	changes_done(&r.changes);
	close(r.signals);
	return r.ended ? end_likewise(&r) : status;
}
