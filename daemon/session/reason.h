/* SPDX-License-Identifier: MIT */
/*
 * Why a connection ended, in the words of the log.
 */
#ifndef DAEMON_SESSION_REASON_H
#define DAEMON_SESSION_REASON_H

#include <stdbool.h>

/* @end failed with @error.  Static. */
const char *reason_of_failure(bool is_backend, int error);

/* Clients come and go; anything else that fails at their end is worth a word. */
bool reason_is_client_gone(int error);

#endif
