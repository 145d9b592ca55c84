/* SPDX-License-Identifier: MIT */
/*
 * What --check and --units do: nothing is opened, and nobody is served.
 */
#ifndef DAEMON_MODES_H
#define DAEMON_MODES_H

struct args;
struct config;

/* Says that the configuration is valid, and which lines a .socket unit can serve.  On stdout. */
void mode_check(const struct config *config, const struct args *args);

/*
 * Makes the units of a configuration, and prints or writes them.
 *
 * @program: as it was called, absolute; NULL: it is not known
 *
 * Returns 0; -EINVAL: no units can be made of that, as the log says; another -errno: they
 * cannot be written, as the log says.
 */
int mode_units(const struct config *config, const struct args *args, const char *program);

#endif
