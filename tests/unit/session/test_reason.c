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
		const char *client, *backend;
		int error;
		bool comes_and_goes;
	} rows[] = {
		{ "client reset", "backend reset", ECONNRESET, true },
		{ "client gone", "backend gone", EPIPE, true },
		{ "client timed out", "backend timed out", ETIMEDOUT, true },
		{ "client failed", "backend failed", EIO, false },
		{ "no space left for what the backend sent",
		  "no space left for what the backend sent", ENOSPC, false },
		{ "no space left for what the backend sent",
		  "no space left for what the backend sent", EDQUOT, false },
		{ "no space left for what the backend sent",
		  "no space left for what the backend sent", EFBIG, false },
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
