/* SPDX-License-Identifier: MIT */
/*
 * The signals that the main thread acts upon, as events of its base.
 */
#ifndef DAEMON_CONTROL_SIGNALS_H
#define DAEMON_CONTROL_SIGNALS_H

#include <event2/event.h>

struct signal_handlers {
	/*
	 * SIGTERM, SIGINT, SIGQUIT, and all that would end the process by themselves and
	 * leave behind what it has opened
	 */
	event_callback_fn stop;
	event_callback_fn reload;  /* SIGHUP */
	event_callback_fn upgrade; /* SIGUSR2 */
	event_callback_fn reopen;  /* SIGUSR1 */
};

/*
 * Keeps them waiting until they are caught: by default they would end the process
 * and leave behind what it has opened.
 */
void signals_hold(void);

/*
 * Catches them, and lets those through that wait.  SIGHUP stays ignored for somebody who
 * started us with nohup(1).  Returns 0 or -ENOMEM.
 */
int signals_catch(struct event_base *base, const struct signal_handlers *handlers);

void signals_release(void);

#endif
