/* SPDX-License-Identifier: MIT */
/*
 * What the command line takes, for people.
 */
#ifndef DAEMON_HELP_H
#define DAEMON_HELP_H

/* The help text, on stdout. */
void help_print(void);

/* The few lines for somebody who gave no arguments, on stderr. */
void help_print_usage(void);

#endif
