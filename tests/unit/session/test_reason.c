/* SPDX-License-Identifier: MIT */
/*
 * The words for each error.
 */
#include "daemon/session/reason.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_words(void **state)
{
	static const struct {
		int error;
		const char *client, *backend;
		bool comes_and_goes;
	} rows[] = {
		{ ECONNRESET, "client reset", "backend reset", true },
		{ EPIPE, "client gone", "backend gone", true },
		{ ETIMEDOUT, "client timed out", "backend timed out", true },
		{ EIO, "client failed", "backend failed", false },
		{ ENOSPC, "no space left for what the backend sent",
		  "no space left for what the backend sent", false },
		{ EDQUOT, "no space left for what the backend sent",
		  "no space left for what the backend sent", false },
		{ EFBIG, "no space left for what the backend sent",
		  "no space left for what the backend sent", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_string_equal(reason_of_failure(false, rows[i].error), rows[i].client);
		assert_string_equal(reason_of_failure(true, rows[i].error), rows[i].backend);
		assert_int_equal(reason_is_client_gone(rows[i].error), rows[i].comes_and_goes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_words) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
