/* SPDX-License-Identifier: MIT */
/*
 * /status.txt: the process and its proxies as a table for a terminal.  "sockfront --status"
 * prints it.
 */
#ifndef DAEMON_STATUS_TERMINAL_H
#define DAEMON_STATUS_TERMINAL_H

#include "daemon/status/answer.h"

/* With "width": how many columns a line may take. */
#define TERMINAL_PATH "/status.txt"

#define TERMINAL_WIDTH_MIN 20
#define TERMINAL_WIDTH_MAX 1000

extern const struct answer_route terminal_route;

#endif
