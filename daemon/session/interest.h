/* SPDX-License-Identifier: MIT */
/*
 * What an end of a session waits for.  That follows from the session's state alone, so that
 * no transition has to remember to turn something on or off.
 */
#ifndef DAEMON_SESSION_INTEREST_H
#define DAEMON_SESSION_INTEREST_H

#include "daemon/relay/endpoint.h"

struct session;

enum watch interest_of(const struct session *session, struct endpoint *end);

#endif
