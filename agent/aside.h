/*
 * agent/aside.h - work that takes its time, one piece after the other, each in a thread of its own
 * beside the loop, which hears when it is over.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "protocol/base/cleanup.h"

struct aside {
	sd_event_source *source;
	int event_fd; /* readable: the work is over */
	pthread_t thread;
	bool is_running; /* started, and its end not yet heard of */
	void (*work)(void *userdata);
	void (*done)(void *userdata);
	void *userdata;
};

/* Both are called with userdata. done: on the loop, after the work. 0 or a negative errno. */
int aside_init(struct aside *a, sd_event *event, void (*done)(void *userdata), void *userdata)
	MUST_USE;

/*
 * Begins work, which has to itself what it uses until done is called; none may be running. 0 or a
 * negative errno: no thread can be had.
 */
int aside_start(struct aside *a, void (*work)(void *userdata)) MUST_USE;

/* Waits for work that is running; done is not called. Fine on zeros, and twice. */
void aside_done(struct aside *a);
