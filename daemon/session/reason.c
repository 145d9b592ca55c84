/* SPDX-License-Identifier: MIT */
/*
 * Words for errors: see reason.h.
 */
#include "daemon/session/reason.h"

#include <errno.h>

static bool is_out_of_space(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

bool reason_is_client_gone(int error)
{
	return error == ECONNRESET || error == EPIPE || error == ETIMEDOUT;
}

const char *reason_of_failure(bool is_backend, int error)
{
	switch (error) {
	case ECONNRESET:
		return is_backend ? "backend reset" : "client reset";
	case EPIPE:
		return is_backend ? "backend gone" : "client gone";
	case ETIMEDOUT:
		return is_backend ? "backend timed out" : "client timed out";
	default:
		if (is_out_of_space(error))
			return "no space left for what the backend sent";
		return is_backend ? "backend failed" : "client failed";
	}
}
