/* SPDX-License-Identifier: MIT */
/*
 * In the place of watchdog.c where libsystemd was left out of the build (make SYSTEMD=0): no
 * manager hears of this process, which one that waits for that is better told by the log.
 */
#include "daemon/control/watchdog.h"

#include <stdlib.h>

#include "daemon/base/log.h"

void watchdog_start(struct process *process)
{
	(void)process;
	if (getenv("NOTIFY_SOCKET"))
		log_line(LOG_WARNING, "NOTIFY_SOCKET is set, but sockfront was built without "
				      "libsystemd: the service manager hears nothing of it");
}

void watchdog_stop(void)
{
}
