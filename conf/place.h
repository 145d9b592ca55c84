/* SPDX-License-Identifier: MIT */
/*
 * Where in a configuration something was written: for whoever has to say it.
 */
#ifndef CONF_PLACE_H
#define CONF_PLACE_H

/* @file NULL: on the command line; line 0: nowhere in particular. */
struct place {
	const char *file; /* borrowed */
	unsigned int line;
};

#endif
