/* SPDX-License-Identifier: MIT */
/*
 * Which clients are the same one to balance = source.
 */
#include "tests/unit/descriptors.h"

#include <stdbool.h>

#include "daemon/session/affinity.h"

static void test_same(void **state)
{
	static const struct {
		const char *one, *other;
		bool is_same;
	} rows[] = {
		{ "10.0.0.1:1000", "10.0.0.1:2000", true },
		{ "10.0.0.1:1000", "10.0.0.2:1000", false },
		{ "[::1]:1000", "[::1]:2000", true },
		{ "[::1]:1000", "[::2]:1000", false },
		{ "[fe80::1%eth0]:1000", "[fe80::1%eth1]:1000", false },
		{ "unix(pid=1,uid=33,gid=3)", "unix(pid=2,uid=33,gid=4)", true },
		{ "unix(pid=1,uid=33,gid=3)", "unix(pid=1,uid=3,gid=33)", false },
		{ "unix(pid=1,uid=3,gid=3)", "unix(pid=1,uid=33,gid=3)", false },
		{ "vsock:3:1000", "vsock:3:2000", true },
		{ "vsock:3:1000", "vsock:4:1000", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if ((affinity_of(rows[i].one) == affinity_of(rows[i].other)) != rows[i].is_same)
			fail_msg("%s and %s", rows[i].one, rows[i].other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
