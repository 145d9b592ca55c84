/* SPDX-License-Identifier: MIT */
/*
 * Proxies whose backend is a range of ports: each port of the range becomes a proxy of its
 * own, with servers and limits of its own, and all other keys of the section.  It is called
 * NAME:PORT, after the port that its first line listens on, as no section can be called.
 */
#ifndef CONF_SPREAD_H
#define CONF_SPREAD_H

#include "conf/conf.h"

/*
 * Puts the proxies of each range in the place of its section.  For a configuration that
 * config_check() found nothing wrong with.
 *
 * Returns 0, or -ENOMEM: some of it is gone, and config_clear() takes the rest.
 */
int config_spread(struct config *config);

#endif
