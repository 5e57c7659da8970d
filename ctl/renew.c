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
 *
 * Invariant: `next` is a process that fetches, or (ready) has fetched and waits for a byte in `go`.
 */
#include "ctl/renew.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

#include "ctl/changes.h"
#include "ctl/output.h"
#include "ctl/pace.h"
#include "ctl/fetched.h"
#include "protocol/base/fd.h"
#include "protocol/base/time.h"
#include "protocol/token.h"

#define STOP_US (90 * USEC_PER_SEC)
#define NAP_US \
	(60 * USEC_PER_SEC) /* the longest: poll() does not count a suspended machine's time */

/* What a child tells of each gift. */
struct report {
	int64_t revision;
	int64_t expires_us;
	bool minted;
};

struct renewal {
	struct gifts *gifts;
	struct changes changes;
	struct pace pace;
	uint64_t renew_us; /* when a token nears its end; PACE_NEVER */
	bool must;	   /* that time has come, whatever else has changed or not */

	sigset_t mask_before;
	struct sigaction child_before;
	int signals; /* a signalfd */

	pid_t running; /* 0: none */
	bool stopping; /* it was told to end, to make room for the next */
	uint64_t kill_us;

	pid_t next; /* 0: none */
	bool ready;
	bool again; /* something changed after it began to fetch */
	int report, go;
	struct report reports[PAIRS_MAX * 2];

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

	/* Without it all is as right, but not spread. */
	if (getrandom(&n, sizeof(n), GRND_NONBLOCK) < 0)
		n = (uint64_t)getpid() * 2654435761U;
	return n;
}

static bool by_signal(const struct renewal *r)
{
	return r->gifts->args->renew > 0;
}

/* ---- signals ---- */

/* From here on they come by the descriptor alone. */
static int take_signals(struct renewal *r)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	/* Where it is ignored, nobody could be waited for. */
	sigaction(SIGCHLD, &action, &r->child_before);
	sigprocmask(SIG_BLOCK, &set, &r->mask_before);
	r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signals < 0 ? -errno : 0;
}

static void give_signals_back(const struct renewal *r)
{
	sigaction(SIGCHLD, &r->child_before, NULL);
	sigprocmask(SIG_SETMASK, &r->mask_before, NULL);
}

/* ---- the next process ---- */

/* It ends with this one, whatever ends this one. */
static void follow(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_FAILED);
}

static void become_command(struct renewal *r, const char *owner, bool inherit)
{
	int status = gifts_environment(r->gifts, owner);

	give_signals_back(r);
	_exit(status == EXIT_DONE ? gifts_exec(r->gifts, inherit) : status);
}

static bool tell_parent(const struct renewal *r, int report)
{
	struct report reports[ARRAY_SIZE(r->reports)];

	for (size_t i = 0; i < r->gifts->n; i++) {
		const struct gift *gift = &r->gifts->items[i];

		reports[i] = (struct report){ gift->revision, gift->expires_us, gift->minted };
	}
	return fd_write_all(report, reports, r->gifts->n * sizeof(*reports)) == 0;
}

static void be_next(struct renewal *r, int report, int go)
{
	int status = gifts_fetch(r->gifts);
	char byte;

	if (status != EXIT_DONE)
		_exit(status);
	/* The end of the pipe: it is not wanted any more. */
	if (!tell_parent(r, report) || fd_read_all(go, &byte, 1) != 1)
		_exit(EXIT_DONE);
	become_command(r, "self", true);
}

static pid_t fork_next(struct renewal *r, const int report[2], const int go[2])
{
	pid_t parent = getpid(), pid = fork();

	if (pid != 0)
		return pid;
	follow(parent);
	close(go[1]);
	be_next(r, report[1], go[0]);
	_exit(EXIT_FAILED);
}

static int cannot_start(const struct renewal *r, int error)
{
	return fail(EXIT_CANNOT_RUN, "can't start %.200s: %s", r->gifts->args->operands[0],
		    strerror(error));
}

/* 0 or an exit status, said. */
static int start_next(struct renewal *r)
{
	int report[2], go[2];

	if (pipe2(report, O_CLOEXEC) < 0)
		return cannot_start(r, errno);
	if (pipe2(go, O_CLOEXEC) < 0) {
		close(report[0]);
		close(report[1]);
		return cannot_start(r, errno);
	}
	r->next = fork_next(r, report, go);
	close(report[1]);
	close(go[0]);
	r->report = report[0];
	r->go = go[1];
	r->ready = r->again = false;
	if (r->next > 0)
		return EXIT_DONE;
	r->next = 0;
	return cannot_start(r, errno);
}

static void forget_next(struct renewal *r)
{
	closep(&r->report);
	closep(&r->go);
	r->report = r->go = -1;
	r->next = 0;
	r->ready = false;
}

static void drop_next(struct renewal *r)
{
	if (!r->next)
		return;
	kill(r->next, SIGKILL);
	while (waitpid(r->next, NULL, 0) < 0 && errno == EINTR)
		;
	forget_next(r);
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

static void let_go(struct renewal *r, bool first)
{
	pid_t pid = r->next;

	for (size_t i = 0; i < r->gifts->n; i++) {
		r->gifts->items[i].revision = r->reports[i].revision;
		r->gifts->items[i].expires_us = r->reports[i].expires_us;
		r->gifts->items[i].minted = r->reports[i].minted;
	}
	/* Where it has gone, its end is about to be told. */
	if (write(r->go, "", 1) < 0)
		kill(pid, SIGKILL);
	forget_next(r);
	r->running = pid;
	r->stopping = false;
	renewed(r, first);
}

static void on_report(struct renewal *r)
{
	size_t n = r->gifts->n * sizeof(*r->reports);

	if (fd_read_all(r->report, r->reports, n) != (ssize_t)n) {
		/* It failed, and its end is about to be told. */
		closep(&r->report);
		r->report = -1;
		return;
	}
	closep(&r->report);
	r->report = -1;
	r->ready = true;
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
	bool bound, ended;
	int status;

	if (!gift->minted)
		return EXIT_DONE;
	if (secret_init(&value, TOKEN_LEN + 1) < 0 ||
	    pread(gift->fd, value.p, TOKEN_LEN, 0) != TOKEN_LEN)
		return fail(EXIT_NO_CREDENTIAL, "can't read the token of %s",
			    gift->pair->credential);
	status = fetched_is_bound(a, value.p, &bound, &ended);
	if (status != EXIT_DONE)
		return EXIT_NO_CREDENTIAL;
	if (!bound)
		return EXIT_DONE;
	return fail(EXIT_NO_CREDENTIAL,
		    "a token of %s is bound to the process that asks for it, which with a signal "
		    "is not the command: use --renew=restart",
		    gift->pair->credential);
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

static void send_signal(struct renewal *r)
{
	struct gifts fresh;
	int status = gifts_init(&fresh, r->gifts->args);

	if (status == EXIT_DONE)
		status = fetch_unbound(&fresh);
	if (status == EXIT_DONE) {
		put_in_place(r->gifts, &fresh);
		r->again = false;
		kill(r->running, r->gifts->args->renew);
		renewed(r, false);
	} else {
		pace_failed(&r->pace, clock_us(), chance());
	}
	gifts_done(&fresh);
}

static int start_for_signals(struct renewal *r)
{
	char owner[16];
	pid_t parent = getpid();
	int status = fetch_unbound(r->gifts);

	if (status != EXIT_DONE)
		return status;
	r->running = fork();
	if (r->running < 0)
		return cannot_start(r, errno);
	if (r->running == 0) {
		follow(parent);
		snprintf(owner, sizeof(owner), "%d", (int)parent);
		become_command(r, owner, false);
	}
	renewed(r, true);
	return EXIT_DONE;
}

/* ---- the loop ---- */

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
	else if (changed < 0)
		pace_failed(&r->pace, now_us, chance());
	else if (by_signal(r))
		send_signal(r);
	else if (start_next(r) != EXIT_DONE)
		pace_failed(&r->pace, now_us, chance());
}

/* It ended as it was told. Whether the next one goes on, or (it died meanwhile) another begins. */
static bool make_room(struct renewal *r)
{
	r->stopping = false;
	if (r->ready)
		let_go(r, false);
	else if (!r->next)
		return start_next(r) == EXIT_DONE;
	return true;
}

static void on_ended(struct renewal *r, pid_t pid, int status)
{
	if (pid == r->next) {
		bool first = !r->running;

		forget_next(r);
		pace_failed(&r->pace, clock_us(), chance());
		if (!first)
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
	if (!r->next)
		return;
	drop_next(r);
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
		if (!ends && signo != SIGHUP)
			return;
		r->ended = true;
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

static int timeout_ms(const struct renewal *r, uint64_t now_us)
{
	const uint64_t times[] = {
		r->next ? PACE_NEVER : r->pace.due_us,
		r->next ? PACE_NEVER : r->renew_us,
		r->stopping ? r->kill_us : PACE_NEVER,
		r->changes.retry_us,
	};
	uint64_t at = now_us + NAP_US;

	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (times[i] < at)
			at = times[i];
	return at <= now_us ? 0 : (int)((at - now_us + 999) / 1000);
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
	if (r->running && !r->next && (r->pace.due_us <= now_us || r->renew_us <= now_us))
		act(r, now_us);
}

static void turn(struct renewal *r)
{
	struct pollfd p[] = {
		{ .fd = r->signals, .events = POLLIN },
		{ .fd = r->report, .events = POLLIN },
		{ .fd = changes_fd(&r->changes), .events = POLLIN },
	};

	if (poll(p, ARRAY_SIZE(p), timeout_ms(r, clock_us())) < 0 && errno != EINTR)
		return;
	/* First: it is still the report that was waited for. */
	if (p[1].revents)
		on_report(r);
	if (p[0].revents)
		on_signals(r);
	if (!r->ended)
		on_time(r);
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
	sigprocmask(SIG_SETMASK, &r->mask_before, NULL);
	raise(WTERMSIG(r->status));
	return 128 + WTERMSIG(r->status);
}

int renew_run(struct gifts *g)
{
	struct renewal r = {
		.gifts = g,
		.renew_us = PACE_NEVER,
		.report = -1,
		.go = -1,
	};
	int status = EXIT_DONE, error;

	changes_init(&r.changes, g);
	pace_init(&r.pace);
	error = take_signals(&r);
	if (error < 0)
		return cannot_start(&r, -error);
	status = by_signal(&r) ? start_for_signals(&r) : start_next(&r);
	while (status == EXIT_DONE && !r.ended)
		turn(&r);
	drop_next(&r);
	changes_done(&r.changes);
	close(r.signals);
	return r.ended ? end_likewise(&r) : status;
}
