/* SPDX-License-Identifier: MIT */
/*
 * The other side of upgrade.h: a process that was started to take over from another.
 */
#ifndef DAEMON_HANDOVER_TAKEOVER_H
#define DAEMON_HANDOVER_TAKEOVER_H

#include <stdbool.h>

struct event_base;

/*
 *	      start             "go"            "accepting"              "yours"
 *	NONE ------> OPENING ---------> ALLOWED -----------> UNDECIDED ---------> FOLLOWED
 *	                |                | |                    | |                  |
 *	                | "called off",  | | "called off"       | | "called off"     |
 *	                | or the old one v v                    | v                  |
 *	                | has ended     LOST <------------------'                    |
 *	                '---------------->'                                          |
 *	NONE <--- the old one has ended: also from ALLOWED and UNDECIDED ------------'
 *
 * A process that may have accepted somebody goes on as the service when the old one has
 * ended: nobody else would.
 */
enum takeover_state {
	TAKEOVER_NONE,      /* there is no old process, or not any more: this is the service */
	TAKEOVER_OPENING,   /* until the old process says "go": nobody is accepted */
	TAKEOVER_ALLOWED,   /* it may accept, and has not said yet that it does */
	TAKEOVER_UNDECIDED, /* it has; the manager may have been told already that this is the
			       service */
	TAKEOVER_FOLLOWED,  /* this is the service; the old process has connections left */
	TAKEOVER_LOST,      /* the old process goes on, or ends, without this one */
};

enum takeover_state takeover_state(void);

/* Whether this process was started to take over, and is not the service: not yet, or never. */
bool takeover_is_waiting(void);

/* Whether the old process has yet to say what becomes of this one. */
bool takeover_expects_word(void);

/*
 * At the start of main(): notes what the old process has passed, if there is one.
 * Returns 0, or -errno: it cannot be made out, and this process must not go on.
 */
int takeover_receive(void);

/*
 * What the old process says of units, as control/on_demand.h formats it: for the caller to
 * free, once; NULL: nothing.
 */
char *takeover_take_units(void);

/* Adds what the old process has counted to what this one counts, if that counts at all. */
void takeover_follow_counters(void);

/* What happens to it, on the main thread. */
struct takeover_handlers {
	void (*go)(void);   /* the old process lets it accept: takeover_report_accepting() */
	void (*stop)(void); /* before yours: the service is to stop, or to reload */
	void (*reload)(void);
	void (*reopen)(void);           /* the file of the access log; also before yours */
	void (*unit)(const char *name); /* at any time: the old one has started it for a client */
	void (*yours)(void);            /* it is the service from now on */
	void (*lost)(void);  /* instead of either: the old one thought better of it, or has ended */
	void (*alone)(void); /* the old one has ended, after yours */
};

/* Tells the old process that all is open and set up. */
void takeover_report_ready(struct event_base *base, const struct takeover_handlers *handlers);

/* And that it accepts, once it was let. */
void takeover_report_accepting(void);

/* The old process, if it has connections left, is to open the access log's file again. */
void takeover_pass_reopen(void);

#endif
