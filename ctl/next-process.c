/*
 * ctl/next-process.c - two pipes: on one it reports, in a single write, on the other it waits for a
 * byte. Their ends tell of the other side's end as well.
 */
#include "ctl/next-process.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "ctl/output.h"
#include "protocol/base/fd.h"

void next_process_init(struct next_process *n)
{
	n->pid = 0;
	n->ready = false;
	n->report = n->go = -1;
}

/* ---- in the child ---- */

void follow_parent(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_FAILED);
}

/*
 * One that tells of changes is to reach the command. Where it was ignored (nohup) or blocked it would
 * stay so, and a shell can't even trap it.
 */
static void let_through(int signo, sigset_t *mask)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	sigaction(signo, &action, NULL);
	sigdelset(mask, signo);
}

_Noreturn void become_command(struct gifts *g, const struct signals_before *before,
			      const char *owner, bool inherit)
{
	int status = gifts_environment(g, owner);
	sigset_t mask = before->mask;

	sigaction(SIGCHLD, &before->child, NULL);
	if (g->args->renew > 0)
		let_through(g->args->renew, &mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	_exit(status == EXIT_DONE ? gifts_exec(g, inherit) : status);
}

static bool tell(const struct gifts *g, int report)
{
	struct report reports[PAIRS_MAX * 2] = { { .minted = false } };

	for (size_t i = 0; i < g->n; i++) {
		reports[i].revision = g->items[i].revision;
		reports[i].expires_us = g->items[i].expires_us;
		reports[i].minted = g->items[i].minted;
	}
	return fd_write_all(report, reports, g->n * sizeof(*reports)) == 0;
}

static _Noreturn void be_next(struct gifts *g, const struct signals_before *before, int report,
			      int go)
{
	int status = gifts_fetch(g);
	char byte;

	if (status != EXIT_DONE)
		_exit(status);
	/* The end of the pipe: it is not wanted any more. */
	if (!tell(g, report) || fd_read_all(go, &byte, 1) != 1)
		_exit(EXIT_DONE);
	become_command(g, before, "self", true);
}

/* ---- in the parent ---- */

static int cannot_start(const struct gifts *g)
{
	return fail(EXIT_CANNOT_RUN, "can't start %.200s: %s", g->args->operands[0],
		    strerror(errno));
}

int next_process_start(struct next_process *n, struct gifts *g, const struct signals_before *before)
{
	_cleanup_close_ int report = -1, go = -1;
	pid_t parent = getpid();
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return cannot_start(g);
	n->report = pair[0];
	report = pair[1];
	if (pipe2(pair, O_CLOEXEC) == 0) {
		go = pair[0];
		n->go = pair[1];
		n->pid = fork();
	} else {
		n->pid = -1;
	}
	if (n->pid == 0) {
		follow_parent(parent);
		/* Or the end of the pipe would never come. */
		close(n->go);
		be_next(g, before, report, go);
	}
	if (n->pid > 0)
		return EXIT_DONE;
	cannot_start(g);
	next_process_forget(n);
	return EXIT_CANNOT_RUN;
}

void next_process_hear(struct next_process *n, const struct gifts *g)
{
	size_t size = g->n * sizeof(*n->reports);

	n->ready = fd_read_all(n->report, n->reports, size) == (ssize_t)size;
	close(n->report);
	n->report = -1;
}

pid_t next_process_let_go(struct next_process *n, struct gifts *g)
{
	pid_t pid = n->pid;

	for (size_t i = 0; i < g->n; i++) {
		g->items[i].revision = n->reports[i].revision;
		g->items[i].expires_us = n->reports[i].expires_us;
		g->items[i].minted = n->reports[i].minted;
	}
	/* Where nobody reads it, it has ended, and that is about to be told. */
	(void)!write(n->go, "", 1);
	next_process_forget(n);
	return pid;
}

void next_process_forget(struct next_process *n)
{
	closep(&n->report);
	closep(&n->go);
	next_process_init(n);
}

void next_process_drop(struct next_process *n)
{
	if (!n->pid)
		return;
	kill(n->pid, SIGKILL);
	while (waitpid(n->pid, NULL, 0) < 0 && errno == EINTR)
		;
	next_process_forget(n);
}
