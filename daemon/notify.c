/* SPDX-License-Identifier: MIT */
/*
 * Notifications through libsystemd, from the main thread alone: the manager's
 * socket blocks once it is full, and no worker may wait for that.
 */
#include "daemon/notify.h"

#include <systemd/sd-daemon.h>

void notify_ready(void)
{
	(void)sd_notify(0, "READY=1");
}

void notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}
