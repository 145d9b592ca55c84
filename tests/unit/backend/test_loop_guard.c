/* SPDX-License-Identifier: MIT */
/*
 * Which UNIX addresses lead to our own listeners.
 */
#include "tests/unit/descriptors.h"
#include "tests/unit/large_files.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/backend/loop_guard.h"
#include "daemon/backend/target.h"

static size_t n_stats;

int __real_stat(const char *path, struct stat *ret);
int __wrap_stat(const char *path, struct stat *ret);
int __wrap_stat(const char *path, struct stat *ret)
{
	n_stats++;
	return __real_stat(path, ret);
}

static struct sfront_sockaddr addr_of(const char *text)
{
	struct sfront_address address;
	struct sfront_sockaddr addr;
	struct sfront_error err;

	assert_int_equal(sfront_address_parse(text, &address, &err), 0);
	if (!target_fill(&address, &addr))
		assert_int_equal(sfront_address_resolve(&address, &addr, 1, &err), 1);
	return addr;
}

static struct loop_guard *guard_of(const char *text)
{
	struct loop_guard *guard = loop_guard_new();
	struct sfront_sockaddr addr = addr_of(text);

	assert_non_null(guard);
	assert_int_equal(loop_guard_add(guard, &addr, false, text), 0);
	return guard;
}

static bool leads(const struct loop_guard *guard, const char *text)
{
	struct sfront_sockaddr addr = addr_of(text);

	return loop_guard_find(guard, &addr) != NULL;
}

static bool may_return(const struct loop_guard *guard, const char *text)
{
	struct sfront_sockaddr addr = addr_of(text);

	return loop_guard_may_return(guard, &addr);
}

static int bound(const char *path)
{
	struct sfront_sockaddr addr = addr_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &addr.sa.any, addr.len), 0);
	return fd;
}

/* One file has many names. */
static void test_paths(void **state)
{
	char dir[] = "/tmp/sf-guard-XXXXXX", here[256], absolute[64], twice[64];
	struct loop_guard *guard;
	int own, other;

	(void)state;
	assert_non_null(getcwd(here, sizeof(here)));
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	own = bound("./own");
	other = bound("./other");
	assert_int_equal(symlink("own", "link"), 0);
	snprintf(absolute, sizeof(absolute), "%s/own", dir);
	snprintf(twice, sizeof(twice), "%s/..%s//own", dir, strrchr(dir, '/'));
	guard = guard_of(absolute);

	assert_true(leads(guard, absolute));
	assert_true(leads(guard, "./own"));
	assert_true(leads(guard, "./link"));
	assert_true(leads(guard, twice));
	assert_false(leads(guard, "./other"));
	assert_false(leads(guard, "./none"));
	assert_false(leads(guard, "@own"));
	assert_false(leads(guard, "127.0.0.1:80"));
	assert_true(may_return(guard, "./other")); /* it may be linked to ours at any time */
	assert_false(may_return(guard, "127.0.0.1:80"));

	loop_guard_unref(guard);
	close(own);
	close(other);
	assert_int_equal(unlink("own") + unlink("other") + unlink("link"), 0);
	assert_int_equal(chdir(here), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void test_abstract_names(void **state)
{
	struct loop_guard *guard = guard_of("@own");

	(void)state;
	assert_true(leads(guard, "@own"));
	assert_false(leads(guard, "@own2"));
	assert_false(leads(guard, "@ow"));
	assert_false(leads(guard, "./own"));
	assert_true(may_return(guard, "@other"));
	loop_guard_unref(guard);
}

/* Of other numbers than that of the loopback the kernel is asked. */
static void test_vsock(void **state)
{
	struct loop_guard *guard = guard_of("vsock:any:5000");

	(void)state;
	assert_true(leads(guard, "vsock:local:5000"));
	assert_false(leads(guard, "vsock:local:5001"));
	assert_false(leads(guard, "./own"));
	assert_false(may_return(guard, "./own"));
	loop_guard_unref(guard);
	guard = guard_of("vsock:7:5000");
	assert_true(leads(guard, "vsock:7:5000"));
	assert_false(leads(guard, "vsock:8:5000"));
	assert_false(leads(guard, "vsock:local:5000"));
	loop_guard_unref(guard);
}

static void test_tcp(void **state)
{
	struct loop_guard *guard = guard_of("127.0.0.1:80");

	(void)state;
	assert_true(leads(guard, "127.0.0.1:80"));
	assert_false(leads(guard, "127.0.0.2:80"));
	assert_true(may_return(guard, "10.0.0.1:80"));
	assert_false(may_return(guard, "10.0.0.1:81"));
	assert_false(may_return(guard, "@own"));
	assert_false(leads(guard, "vsock:local:80"));
	loop_guard_unref(guard);
}

/* Whoever has every address is found by any of this machine's, of both families if it has both. */
static void test_every_address(void **state)
{
	struct loop_guard *guard = loop_guard_new();
	struct sfront_sockaddr in6 = addr_of("[::]:80"), in = addr_of("0.0.0.0:81");
	struct sfront_sockaddr mapped = addr_of("[::ffff:127.0.0.1]:82");

	(void)state;
	assert_non_null(guard);
	assert_int_equal(loop_guard_add(guard, &in6, true, "*:80"), 0);
	assert_int_equal(loop_guard_add(guard, &in, false, "0.0.0.0:81"), 0);
	assert_int_equal(loop_guard_add(guard, &mapped, false, "mapped"), 0);
	assert_true(leads(guard, "127.9.9.9:80"));
	assert_true(leads(guard, "[::1]:80"));
	assert_true(leads(guard, "[::ffff:127.0.0.1]:81"));
	assert_true(leads(guard, "0.0.0.0:81"));
	assert_false(leads(guard, "[::1]:81"));
	assert_true(leads(guard, "127.0.0.1:82"));
	assert_false(leads(guard, "127.0.0.1:83"));
	loop_guard_unref(guard);
}

static void test_first_of_two(void **state)
{
	struct loop_guard *guard = loop_guard_new();
	struct sfront_sockaddr addr = addr_of("127.0.0.1:80");

	(void)state;
	assert_non_null(guard);
	assert_int_equal(loop_guard_add(guard, &addr, false, "one"), 0);
	assert_int_equal(loop_guard_add(guard, &addr, false, "other"), 0);
	assert_string_equal(loop_guard_find(guard, &addr), "one");
	loop_guard_unref(guard);
}

/* Of thousands of paths, a few are looked at. */
static void test_paths_that_are_looked_at(void **state)
{
	char dir[] = "/tmp/sf-guard-XXXXXX", path[64];
	struct loop_guard *guard = loop_guard_new();
	int fds[200];

	(void)state;
	assert_non_null(guard);
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < 200; i++) {
		struct sfront_sockaddr addr;

		snprintf(path, sizeof(path), "%s/%zu", dir, i);
		fds[i] = bound(path);
		addr = addr_of(path);
		assert_int_equal(loop_guard_add(guard, &addr, false, path), 0);
	}
	for (size_t i = 0; i < 200; i++) {
		snprintf(path, sizeof(path), "%s/../%s/%zu", dir, strrchr(dir, '/'), i);
		n_stats = 0;
		assert_true(leads(guard, path));
		assert_in_range(n_stats, 1, 8);
		snprintf(path, sizeof(path), "%s/other-%zu", dir, i);
		n_stats = 0;
		assert_false(leads(guard, path));
		assert_in_range(n_stats, 0, 8);
		snprintf(path, sizeof(path), "%s/%zu", dir, i);
		close(fds[i]);
		unlink(path);
	}
	rmdir(dir);
	loop_guard_unref(guard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_paths),
		counted(test_abstract_names),
		counted(test_vsock),
		counted(test_tcp),
		counted(test_every_address),
		counted(test_first_of_two),
		counted(test_paths_that_are_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
