/*
 * ctl/next-process.h - the process that will be the command: it fetches, says that it has, and
 * waits until it may become the command.
 */
#pragma once

#include <signal.h>

#include "ctl/gift.h"

/* How signals were before this process took them for itself. */
struct signals_before {
	sigset_t mask;
	struct sigaction child; /* of SIGCHLD */
};

/* What it tells of each gift. */
struct report {
	int64_t revision;
	int64_t expires_us;
	bool minted;
};

struct next_process {
	pid_t pid; /* 0: none */
	bool ready;
	int report; /* to poll for POLLIN until it is ready; -1 */
	int go;
	struct report reports[PAIRS_MAX * 2];
};

void next_process_init(struct next_process *n);

/* Starts it. EXIT_DONE, or EXIT_CANNOT_RUN, said. Where it can't fetch it says so and ends. */
int next_process_start(struct next_process *n, struct gifts *g, const struct signals_before *before)
	MUST_USE;

/*
 * Takes its report. Where there is none to be had it has failed, and its end is to be waited for.
 */
void next_process_hear(struct next_process *n, const struct gifts *g);

/*
 * Lets it become the command, once it is ready: *g is what it was given. Returns its pid; it is no
 * longer the next one.
 */
pid_t next_process_let_go(struct next_process *n, struct gifts *g);

/* It has ended, and was waited for. */
void next_process_forget(struct next_process *n);

/* Ends it, and waits for that. */
void next_process_drop(struct next_process *n);

/*
 * In a child: ends with its parent, whatever ends that. parent: its pid as it was before the fork.
 */
void follow_parent(pid_t parent);

/*
 * In a child: signals as they were, but for the one of --renew=SIGNAL, which can reach it; then
 * gifts_environment() and gifts_exec().
 */
_Noreturn void become_command(struct gifts *g, const struct signals_before *before,
			      const char *owner, bool inherit);
