/* SPDX-License-Identifier: MIT */
/*
 * "/": the page for a browser.  Its script draws what /events says; the table that is in it
 * already is for browsers without script, and until the first event.
 */
#ifndef DAEMON_STATUS_PAGE_H
#define DAEMON_STATUS_PAGE_H

#include "daemon/status/answer.h"

extern const struct answer_route page_route;

#endif
