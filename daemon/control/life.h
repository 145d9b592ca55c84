/* SPDX-License-Identifier: MIT */
/*
 * Where the process stands between its start and its end, and what follows from what
 * happens to it.  It decides and does nothing: lifecycle.c does.
 *
 *	              accepts              stop, replaced,           drain-timeout,
 *	                                   quiet, orphaned           a second stop
 *	STARTING ----------------> RUNNING ----------------> DRAINING ------------> CUTTING
 *	   |                                                    ^
 *	   '----------------------------------------------------'
 *	     stop, orphaned
 *
 * The process ends when no worker has a connection left, in whichever state it is.
 */
#ifndef DAEMON_CONTROL_LIFE_H
#define DAEMON_CONTROL_LIFE_H

#include <stdbool.h>

enum life_state {
	LIFE_STARTING, /* nobody is accepted yet */
	LIFE_RUNNING,
	LIFE_DRAINING, /* connections end by themselves */
	LIFE_CUTTING   /* those that are left were ended */
};

enum life_event {
	LIFE_ACCEPTS,        /* clients are accepted from now on */
	LIFE_STOP,           /* a signal asks for the end */
	LIFE_STOP_PASSED_ON, /* the process that this one takes over from was asked */
	LIFE_REPLACED,       /* another process has taken over */
	LIFE_ORPHANED,       /* that process has ended, or called the upgrade off */
	LIFE_QUIET,          /* nobody was here for exit-idle-time, and accepting has stopped */
	LIFE_CUT             /* the drain has lasted long enough */
};

enum life_action {
	LIFE_NOTHING,
	LIFE_ANNOUNCE,     /* say what is listened on, and that all is ready */
	LIFE_TAKE_QUEUES,  /* drain; clients that are queued already are served */
	LIFE_LEAVE_QUEUES, /* drain; whoever is queued is somebody else's */
	LIFE_END_CONNECTIONS,
	LIFE_SAY_WAITING /* a stop was asked for already; only a second one cuts */
};

struct life {
	enum life_state state;
	bool stop_asked; /* by a signal: the next one is the second */
};

/*
 * Notes an event and enters the state that follows from it.
 *
 * @expects_word: this process has yet to hear what becomes of it; a stop that reaches
 *                both processes of an upgrade is not a second one then
 *
 * Returns what is to be done.
 */
enum life_action life_note(struct life *life, enum life_event event, bool expects_word);

static inline bool life_is_ending(const struct life *life)
{
	return life->state >= LIFE_DRAINING;
}

#endif
