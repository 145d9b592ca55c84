/* SPDX-License-Identifier: MIT */
/*
 * The other side of upgrade.h: a process that was started to take over from another.
 */
#ifndef DAEMON_HANDOVER_TAKEOVER_H
#define DAEMON_HANDOVER_TAKEOVER_H

#include <stdbool.h>

struct event_base;

/*
 * At the start of main(): notes what the old process has passed, if there is one.
 * Returns 0, or -errno: it cannot be made out, and this process must not go on.
 */
int takeover_receive(void);

/* What happens to it, on the main thread. */
struct takeover_handlers {
	void (*go)(void);   /* the old process lets it accept: successor_report_accepting() */
	void (*stop)(void); /* before yours: the service is to stop, or to reload */
	void (*reload)(void);
	void (*yours)(void); /* it is the service from now on */
	void (*lost)(void);  /* instead of either: the old one thought better of it, or has ended */
	void (*alone)(void); /* the old one has ended, after yours */
};

/* Whether this is one, and not the service yet. */
bool takeover_is_waiting(void);

/* Whether the old process has yet to say what becomes of this one. */
bool takeover_expects_word(void);

/*
 * Whether it has said that it accepts, and not heard yet what follows from that: the
 * manager may have been told already that this is the service.
 */
bool takeover_is_undecided(void);

/* Whether the process that it took over from has connections left. */
bool takeover_has_predecessor(void);

/* Tells the old process that all is open and set up. */
void takeover_report_ready(struct event_base *base, const struct takeover_handlers *handlers);

void takeover_report_accepting(void);

#endif
