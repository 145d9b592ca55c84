/* SPDX-License-Identifier: MIT */
/*
 * SIGUSR2: a new process, from the binary and the configuration as they are now,
 * takes over every listening socket; nothing is refused or dropped meanwhile.
 *
 *	old                                   new
 *	 |  fork, fork, exec  ---------------> |  opens, with the sockets it was given
 *	 |                                     |  starts its workers, accepts nobody yet
 *	 |  <--------- what it took, "ready"   |
 *	 |  "go"  ---------------------------> |
 *	 |  <-------------------- "accepting"  |  accepts, beside the old one
 *	 |  MAINPID=, READY=1 to systemd       |
 *	 |  what it is asked meanwhile  -----> |  stops, or will reload
 *	 |  units it starts, at any time  ---> |  will stop them
 *	 |  accepts no more, closes            |
 *	 |  "yours"  ------------------------> |  speaks to systemd, reloads, from now on
 *	 |  drains                             |
 *	 |  ends  ---------------------------> |  may end, too
 *
 * Until MAINPID= the new one may end at any moment, and the old one goes on; options
 * of sockets that both have are as they were, unless it was ended by force.  The old
 * one may say "called off" instead of "go" or "yours".  A new one that is asked to
 * stop between "accepting" and the answer to it waits for that: it may be the service
 * already, whose end is the end of every process of it.
 */
#ifndef DAEMON_HANDOVER_UPGRADE_H
#define DAEMON_HANDOVER_UPGRADE_H

#include <stdbool.h>
#include <sys/types.h>

struct process;

/*
 *	       start              "ready"             finish             release
 *	NONE --------> STARTING ----------> ALLOWED --------> COMMITTED --------> RELEASED
 *	  ^               | |                 | |
 *	  |   it has      | | abort,          | | abort,
 *	  |   ended       | | 60 s            | | 60 s since the start
 *	  |<--------------' |                 | v
 *	  |<----------------|-----------------' LEAVING
 *	  |                 v                     |
 *	  |               ENDING                  |
 *	  |                 | it has ended, or    | it has ended
 *	  |                 | 5 s: by force       |
 *	  '<----------------'<--------------------'
 */
enum upgrade_state {
	UPGRADE_NONE,
	UPGRADE_STARTING,  /* the new process opens its listeners, and accepts nobody */
	UPGRADE_ALLOWED,   /* it was told "go": it may have clients */
	UPGRADE_COMMITTED, /* the manager knows the new process; that does not know it yet */
	UPGRADE_RELEASED,  /* it was told "yours" */
	UPGRADE_ENDING,    /* called off: it was asked to end */
	UPGRADE_LEAVING,   /* the same, and it ends once the clients have that it may have */
};

enum upgrade_state upgrade_state(void);

/* What becomes of it, on the main thread. */
struct upgrade_handlers {
	void (*accepting)(pid_t pid); /* the new process is that, and accepts: upgrade_finish() */
	void (*failed)(void);         /* instead; the log says why */
	void (*gone)(void);           /* after upgrade_abort(): it has ended */
	void (*reopen)(void);         /* after upgrade_finish(): it was asked to, and so are we */
};

/*
 * Starts the new process.
 *
 * @units:    what it has to know of units that were started: see takeover_take_units()
 * @handlers: copied
 *
 * Returns 0, or -errno, which the log says too.
 */
int upgrade_start(struct process *process, const char *units,
		  const struct upgrade_handlers *handlers);

/* Whether the new process is there and has not been called off. */
bool upgrade_is_alive(void);

/*
 * There is no way back any more.  The listeners that the new process has taken over
 * are marked as shared, the others as this process's own.
 */
void upgrade_finish(void);

/*
 * After that, when the listeners are closed here: the new process is on its own, and
 * may open what it has not taken over.  Nothing without an upgrade.
 */
void upgrade_release(void);

/*
 * Between the two: what was asked of this process is meant for the service, which the
 * new one is; it hears of it before it hears that it is that.
 */
void upgrade_pass_stop(void);
void upgrade_pass_reload(void);
void upgrade_pass_reopen(void);

/* A unit was started here, and the new process is to know: nothing without one. */
void upgrade_pass_unit(const char *name);

/* Before upgrade_finish(): calls it off.  Nothing without an upgrade. */
void upgrade_abort(void);

/* At the end of this process, of which the new one hears by that. */
void upgrade_clear(void);

#endif
