/* SPDX-License-Identifier: MIT */
/*
 * The service manager, reached by D-Bus: how units are, and orders to start and stop them.
 * Opened when it is first needed, opened again when it was lost; everything is asynchronous,
 * on the main thread's loop.  on_demand.c decides what is asked.
 */
#ifndef DAEMON_CONTROL_MANAGER_BUS_H
#define DAEMON_CONTROL_MANAGER_BUS_H

#include <stdbool.h>

struct event_base;

/* 32 hexadecimal digits: another one each time that the unit starts.  "": it never has. */
#define INVOCATION_SIZE 33

enum unit_activity { UNIT_INACTIVE, UNIT_ACTIVATING, UNIT_ACTIVE, UNIT_DEACTIVATING };

/* How a unit is, as the manager says. */
struct unit_report {
	enum unit_activity activity;
	bool has_job; /* it is about to change */
	char invocation[INVOCATION_SIZE];
	char result[64]; /* of its last job, or of its process: "exit-code"; "" where all went well
			  */
};

/* @owner: see manager_unit_new() */
struct manager_handlers {
	/* It has been looked at, since that was asked, or since it has changed. */
	void (*looked)(void *owner, const struct unit_report *report);
	/* It cannot be looked at; @error: in words. */
	void (*unknown)(void *owner, const char *error);
	/* An order was obeyed, or refused; @error: in words, NULL: obeyed; @is_denied: for lack of
	 * the right to give it. */
	void (*answered)(void *owner, const char *error, bool is_denied);
	/* The bus is not there any more. */
	void (*lost)(void);
	/* The bus is there, for the first time or again: what was asked before is forgotten. */
	void (*opened)(void);
};

/* A unit that is looked after. */
struct manager_unit;

/* @handlers: copied */
void manager_bus_start(struct event_base *base, const struct manager_handlers *handlers);

/* Frees the units, too. */
void manager_bus_stop(void);

bool manager_is_open(void);

/* Returns NULL when out of memory.  @name: copied */
struct manager_unit *manager_unit_new(const char *name, void *owner);

/*
 * Each leads to an answer, unless the bus is not there: then it is opened, as soon as that can
 * be, and the handler is told of that instead.
 */
void manager_look(struct manager_unit *unit);
void manager_start(struct manager_unit *unit);
void manager_stop(struct manager_unit *unit);

#endif
