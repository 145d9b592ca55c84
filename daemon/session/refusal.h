/* SPDX-License-Identifier: MIT */
/*
 * Why a client is sent away.
 */
#ifndef DAEMON_SESSION_REFUSAL_H
#define DAEMON_SESSION_REFUSAL_H

#include "daemon/proxy/proxy_counts.h"

#define REFUSAL_REASON_SIZE 640

struct refusal {
	enum connection_end end;
	char reason[REFUSAL_REASON_SIZE]; /* for the log */
};

#endif
