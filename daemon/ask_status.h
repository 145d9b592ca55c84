/* SPDX-License-Identifier: MIT */
/*
 * --status: asks a running process how it is, and prints that.  Nothing is opened but the
 * connection to it, and signals do what they do by themselves.
 */
#ifndef DAEMON_ASK_STATUS_H
#define DAEMON_ASK_STATUS_H

struct args;
struct config;

/*
 * @config: where to ask, if the command line names a file
 *
 * Returns 0 or a negative errno, of which the log has the reason.  With --watch it returns only
 * if the first answer fails, or stdout.
 */
int ask_status(const struct args *args, const struct config *config);

#endif
