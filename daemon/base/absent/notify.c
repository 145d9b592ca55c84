/* SPDX-License-Identifier: MIT */
/*
 * In the place of notify.c where libsystemd was left out of the build (make SYSTEMD=0): there
 * is no manager that listens.  control/absent/watchdog.c says so where one would.
 */
#include "daemon/base/notify.h"

bool notify_wanted(void)
{
	return false;
}

bool notify_send(const char *format, ...)
{
	(void)format;
	return true;
}

bool notify_hint(const char *format, ...)
{
	(void)format;
	return true;
}

bool notify_store(const char *name, int fd)
{
	(void)name;
	(void)fd;
	return true;
}

void notify_unstore(const char *name)
{
	(void)name;
}

size_t notify_drop_stores(void (*dropped)(const char *name, void *data), void *data)
{
	(void)dropped;
	(void)data;
	return 0;
}

bool notify_flush(unsigned int seconds)
{
	(void)seconds;
	return true;
}

void notify_barrier(unsigned int seconds)
{
	(void)seconds;
}

void notify_mute(bool mute)
{
	(void)mute;
}
