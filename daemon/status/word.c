/* SPDX-License-Identifier: MIT */
/*
 * States in words: see word.h.
 */
#include "daemon/status/word.h"

const char *word_of_health(enum health_state state)
{
	static const char *const words[] = {
		[HEALTH_UP] = "up",
		[HEALTH_SUSPECT] = "suspect",
		[HEALTH_DOWN] = "down",
		[HEALTH_UNKNOWN] = "unknown",
	};

	return words[state];
}

const char *word_of_unit(enum unit_state state)
{
	static const char *const words[] = {
		[UNIT_STOPPED] = "stopped",
		/* That a client waits for it is what there is to know. */
		[UNIT_LOOKING] = "starting",
		[UNIT_STARTING] = "starting",
		[UNIT_UP] = "up",
		[UNIT_STOPPING] = "stopping",
		[UNIT_FAILED] = "failed",
	};

	return words[state];
}
