/*
 * ctl/renew.h - run --renew: stays beside the command, and acts when what it was given has changed
 * or nears its end.
 */
#pragma once

#include "ctl/gift.h"

/*
 * Runs the command, to its end. By --renew it is started anew, or sent a signal. Returns its exit
 * status, or ends by the signal that it ended by.
 */
int renew_run(struct gifts *g);
