/*
 * ctl/terminal.c - echo off, and on again whatever happens.
 *
 * Handlers only note a signal; the loop restores the terminal, lets the signal do what it does by
 * itself, and starts anew if the process goes on. Signals are let in while ppoll() waits and at no
 * other moment, so that none comes unnoticed between looking and reading.
 */
#include "ctl/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>

#include "protocol/base/fd.h"

static volatile sig_atomic_t caught;

static void on_signal(int signo)
{
	caught = signo;
}

static const int signals[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP, SIGTTIN, SIGTTOU };

/* How things were. */
struct before {
	struct sigaction actions[ARRAY_SIZE(signals)];
	sigset_t mask;
	struct termios termios;
	bool hidden; /* echo was switched off: not in the background */
};

/*
 * Echo goes off before signals are kept out, so that in the background SIGTTOU comes, as it should,
 * and the terminal stays as it is.
 */
static int hide(int fd, struct before *b)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct termios hidden;
	sigset_t set;

	if (tcgetattr(fd, &b->termios) < 0)
		return -errno;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		sigaddset(&set, signals[i]);
		sigaction(signals[i], NULL, &b->actions[i]);
		if (b->actions[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
	hidden = b->termios;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	hidden.c_lflag |= ECHONL | ICANON | ISIG;
	b->hidden = tcsetattr(fd, TCSAFLUSH, &hidden) == 0;
	sigprocmask(SIG_BLOCK, &set, &b->mask);
	return 0;
}

static void show(int fd, const struct before *b)
{
	if (b->hidden)
		tcsetattr(fd, TCSAFLUSH, &b->termios);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &b->actions[i], NULL);
	sigprocmask(SIG_SETMASK, &b->mask, NULL);
}

/* Waits for a line with signals let in. */
static ssize_t wait_and_read(int fd, const struct before *b, char *dst, size_t size)
{
	struct pollfd poll = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (ppoll(&poll, 1, NULL, &b->mask) < 0)
		return -errno;
	n = read(fd, dst, size);
	return n < 0 ? -errno : n;
}

static ssize_t ask(int fd, const struct before *b, const char *prompt, char *dst, size_t size)
{
	ssize_t n;
	int r;

	if (!b->hidden)
		return -EINTR;
	r = fd_write_all(STDERR_FILENO, prompt, strlen(prompt));
	n = r < 0 ? r : wait_and_read(fd, b, dst, size);
	/* What is said next begins a line of its own, where no newline was typed. */
	if (n == -EINTR && fd_write_all(STDERR_FILENO, "\n", 1) < 0)
		return -EIO;
	return n;
}

ssize_t terminal_read_unseen(int fd, const char *prompt, char *dst, size_t size)
{
	for (;;) {
		struct before before;
		ssize_t n;
		int r;

		caught = 0;
		r = hide(fd, &before);
		if (r < 0)
			return r;
		n = ask(fd, &before, prompt, dst, size);
		show(fd, &before);
		if (!caught && n != -EINTR)
			return n;
		explicit_bzero(dst, size);
		if (caught)
			raise(caught);
	}
}
