/* SPDX-License-Identifier: MIT */
/*
 * For unit tests that open generations: of the listeners of a configuration, none is open
 * already, as where a process begins without a socket from anybody.
 */
#ifndef TESTS_UNIT_NOTHING_IS_OPEN_H
#define TESTS_UNIT_NOTHING_IS_OPEN_H

#include <stddef.h>

#include "daemon/proxy/listeners.h"

/* A listener_finder. */
static inline struct listener *nothing_is_open(void *data, const struct listen_config *listen,
					       const struct sfront_options *options)
{
	(void)data;
	(void)listen;
	(void)options;
	return NULL;
}

#endif
