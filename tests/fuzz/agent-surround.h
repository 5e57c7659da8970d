/*
 * tests/fuzz/agent-surround.h - what is around the agent, in the target's hands: who connects and
 * from which process and unit, accounts, chance, and what an agent asks of the kernel for its own
 * sake.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { UID_ALICE = 1001, UID_BOB = 1002, UID_CAROL = 1003, UID_CI = 1004, UID_SERVICE = 990 };
enum { GID_API = 2000, GID_ADMIN = 3000 };

/* Who may be at the other end. */
enum whom {
	ROOT,
	ALICE,
	BOB,
	CAROL,	   /* an administrator by her group */
	SERVICE,   /* nightly.service, of a user of its own */
	CRON,	   /* alice's, in cron.service */
	CONTAINER, /* alice's number, in another pid namespace */
	STRANGER,  /* of a uid that has no account */
	UNMAPPED,  /* of a uid that means nothing here */
	WHOMS,
};

struct whom_facts {
	uid_t uid;
	gid_t gids[2];	  /* 0 behind the first: none */
	const char *unit; /* NULL: none */
	bool elsewhere;
	bool is_admin;
};
extern const struct whom_facts whoms[WHOMS];

/* A directory for the state, the policies and the units of this process; it goes with it. */
const char *surround_dir(void);

/* Before an input: chance begins anew, all processes and units live. */
void surround_begin(void);
/* After it: nothing waits to be accepted. */
void surround_end(void);

/*
 * A connection of that peer to the agent's socket, as it comes out of accept(): the client's end,
 * non-blocking. Negative errno: the agent does not listen.
 */
int surround_connect(enum whom who);

/* The agent has gone: nobody listens, and who waited to be let in is let down. */
void surround_hang_up(void);

/* The server's end of a connection of that peer to somebody else, to be shown to the agent. */
int surround_bearer(enum whom who);

/* Its process ends; a new one takes its place. */
void surround_exit(enum whom who);
/* A run of its unit ends, if it has one; another begins. */
void surround_end_unit(enum whom who);

/* What SIGHUP and the like would do: the handler of the agent that runs. */
void surround_signal(int signal);
