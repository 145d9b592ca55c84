/* SPDX-License-Identifier: MIT */
/*
 * backend-unit: has systemd start a unit for the first client, and stop it once it has had none
 * for backend-unit-idle.  The states are those of backend/unit.h; manager_bus.h asks and orders.
 *
 * A unit that somebody else has started is used and left alone: only one that was started
 * here, and whose invocation is still that one, is stopped.
 */
#ifndef DAEMON_CONTROL_ON_DEMAND_H
#define DAEMON_CONTROL_ON_DEMAND_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct generation;

/* Before other threads run.  Costs nothing while no proxy has a unit. */
void on_demand_start(struct event_base *base);

/* At the end of the process, without other threads.  Units stay as they are. */
void on_demand_clear(void);

/* What the current configuration says of units is in force. */
void on_demand_configure(const struct generation *generation);

/*
 * Whether units may be stopped: not while the process is about to change, or to end, or while
 * another one has connections to them.
 */
void on_demand_allow_stops(bool may_stop);

/* The process that this one took over from, and its connections, have ended just now. */
void on_demand_note_alone(void);

/* How long the process has to be there still, to stop what it has started; 0: not at all. */
uint64_t on_demand_time_left_ms(void);

/*
 * What the next process has to know: a line for each unit that was started here.  Returns it,
 * for the caller to free, or NULL when out of memory.
 */
char *on_demand_format(void);

/*
 * Goes on with what the process before has started.  After on_demand_configure(), before other
 * threads run.
 */
void on_demand_take_over(const char *text);

/* The same of one unit that the process before has started since it wrote that.  At any time. */
void on_demand_note_started(const char *name);

#endif
