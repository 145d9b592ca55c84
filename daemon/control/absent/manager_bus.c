/* SPDX-License-Identifier: MIT */
/*
 * In the place of manager_bus.c where libsystemd was left out of the build (make SYSTEMD=0):
 * nothing can be learned of a unit, nor ordered.
 */
#include "daemon/control/manager_bus.h"

#include <stdlib.h>
#include <sys/queue.h>

struct manager_unit {
	LIST_ENTRY(manager_unit) link;
	void *owner;
};

static struct {
	struct manager_handlers handlers;
	LIST_HEAD(, manager_unit) units;
} manager;

void manager_bus_start(struct event_base *base, const struct manager_handlers *handlers)
{
	(void)base;
	manager.handlers = *handlers;
}

void manager_bus_stop(void)
{
	struct manager_unit *unit;

	while ((unit = LIST_FIRST(&manager.units))) {
		LIST_REMOVE(unit, link);
		free(unit);
	}
}

bool manager_is_open(void)
{
	return false;
}

struct manager_unit *manager_unit_new(const char *name, void *owner)
{
	struct manager_unit *unit = calloc(1, sizeof(*unit));

	(void)name;
	if (!unit)
		return NULL;
	unit->owner = owner;
	LIST_INSERT_HEAD(&manager.units, unit, link);
	return unit;
}

void manager_look(struct manager_unit *unit)
{
	manager.handlers.unknown(unit->owner, "sockfront was built without libsystemd");
}

/* Only a unit that was looked at is started or stopped. */
void manager_start(struct manager_unit *unit)
{
	(void)unit;
}

void manager_stop(struct manager_unit *unit)
{
	(void)unit;
}
