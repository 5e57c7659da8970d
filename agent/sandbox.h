/*
 * agent/sandbox.h - the second wall: what the agent takes from itself once it no longer needs it,
 * so that whoever gets code to run in it has little to do with it. A unit's own walls stand before
 * it; agents that run without a unit have this one alone.
 *
 * Both walls are a thread's own, and what it starts inherits them. The process is entered before
 * the first thread, and then holds for all; the store's thread and the loop enter narrower ones.
 */
#pragma once

#include <stdbool.h>

/* Paths are borrowed. */
struct sandbox {
	const char *state_dir;	   /* NULL: the store is in memory */
	const char *anchor_dir;	   /* NULL: there is no anchor */
	const char *sockets[2];	   /* that the agent makes, and removes at its end; NULL: none */
	bool has_calls, has_files; /* what the kernel gave, set by sandbox_enter_process() */
};

/*
 * For the whole process, while it has one thread: new privileges, other programs, other processes,
 * mounts and namespaces are out of reach, and nothing is changed but beneath the state directory,
 * the anchor's and that of each socket, which must be there. Where the kernel has no seccomp or no Landlock this
 * is said in the log, once, and the rest stands.
 */
void sandbox_enter_process(struct sandbox *s);

/*
 * For the store's thread, from within it: files of the state directory, and of the anchor's, and nothing else.
 * userdata: the struct sandbox.
 */
void sandbox_enter_store(void *userdata);

/*
 * For the loop, when all is started, and for the threads that it starts from then on: only the
 * calls that serving takes. Sockets are Unix ones, no memory becomes code, none is made at a path.
 */
void sandbox_enter_loop(const struct sandbox *s);
