/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a path, and of who is queued there, when a listener is hidden, refused and
 * closed: the same calls leave alone what another process has too.
 */
#include "tests/unit/sockets.h"

#include <sys/stat.h>

#include "daemon/proxy/listener.h"

static char directory[] = "/tmp/sf-listener-XXXXXX";

static struct listener *listen_on(const char *text, bool is_shared)
{
	struct sfront_address address;
	struct sfront_listener *open = must_open(text, "");
	struct listener *listener;

	assert_int_equal(sfront_address_parse(text, &address, &why), 0);
	listener = listener_new(&address, 0, NULL, open);
	assert_non_null(listener);
	listener->is_shared = is_shared;
	return listener;
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static int connect_by(const struct sfront_sockaddr *addr)
{
	int fd = socket(addr->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = connect(fd, &addr->sa.any, addr->len) < 0 ? -errno : 0;

	assert_true(fd >= 0);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static int connect_at(const struct listener *listener)
{
	const struct sfront_sockaddr local = listener_local(listener, 0);

	return connect_by(&local);
}

static bool is_ended(int fd)
{
	char byte;
	bool ended = is_readable(fd) && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;

	close(fd);
	return ended;
}

static void test_path_that_is_hidden_keeps_its_queue(void **state)
{
	struct listener *listener = listen_on("./app.sock", false);
	struct sfront_connection connection;
	int client = connect_at(listener);

	(void)state;
	listener_hide(listener);
	assert_false(is_there("app.sock"));
	assert_false(is_ended(dup(client)));
	assert_int_equal(sfront_listener_accept(listener->open, &connection), 0);
	sfront_connection_close(&connection);
	assert_true(is_ended(client));
	listener_unref(listener);
}

/* It stays open, for a thread that looks at it, but nobody who comes is left waiting. */
static void test_who_comes_is_refused(void **state)
{
	static const char *const addresses[] = { "127.0.0.1:0", "./app.sock",
						 "@sockfront-test-refused" };

	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct listener *listener = listen_on(addresses[i], false);
		int queued = connect_at(listener);

		assert_true(queued >= 0);
		listener_refuse(listener);
		assert_false(is_there("app.sock"));
		assert_in_range(-connect_at(listener), 1, 4095);
		assert_non_null(listener->open);
		listener_unref(listener);
		assert_true(is_ended(queued));
	}
}

static void test_what_others_have_is_left_alone(void **state)
{
	struct listener *listener = listen_on("./app.sock", true);
	const struct sfront_sockaddr local = listener_local(listener, 0);
	int other = dup(sfront_listener_fd(listener->open, 0)), client;

	(void)state;
	listener_hide(listener);
	assert_true(is_there("app.sock"));
	listener_refuse(listener);
	assert_true(is_there("app.sock"));
	client = connect_at(listener);
	assert_true(client >= 0);
	listener_close(listener);
	assert_true(is_there("app.sock"));
	assert_false(is_ended(dup(client)));
	close(connect_by(&local));

	close(client);
	close(other);
	listener_unref(listener);
	assert_int_equal(unlink("app.sock"), 0);
}

/* As one of whose sockets nobody has heard in the end: see fdstore_settle(). */
static void test_what_nobody_else_has_any_more_goes(void **state)
{
	struct listener *listener = listen_on("./app.sock", true);

	(void)state;
	listener->is_shared = false;
	listener_close(listener);
	assert_false(is_there("app.sock"));
	listener_unref(listener);
}

/* What is not asked of the kernel any more is told by its line. */
static void test_line_outlives_the_sockets(void **state)
{
	static const char *const lines[] = { "127.0.0.1:0", "./app.sock", "@sockfront-test-line" };

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct listener *listener = listen_on(lines[i], false);
		struct sfront_address wanted, address;

		assert_int_equal(sfront_address_parse(lines[i], &wanted, &why), 0);
		assert_true(listener_local(listener, 0).len > 0);
		listener_close(listener);
		assert_int_equal(listener_local(listener, 0).len, 0);
		address = listener_address(listener);
		assert_true(sfront_address_equal(&address, &wanted));
		listener_unref(listener);
	}
}

static void test_path_of_somebody_else_stays(void **state)
{
	struct listener *listener = listen_on("./app.sock", false), *other;

	(void)state;
	assert_int_equal(unlink("app.sock"), 0);
	other = listen_on("./app.sock", false);
	listener_hide(listener);
	assert_true(is_there("app.sock"));
	listener_refuse(listener);
	listener_unref(listener);
	close(connect_at(other));
	listener_unref(other);
	assert_false(is_there("app.sock"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_path_that_is_hidden_keeps_its_queue),
		counted(test_who_comes_is_refused),
		counted(test_what_others_have_is_left_alone),
		counted(test_what_nobody_else_has_any_more_goes),
		counted(test_line_outlives_the_sockets),
		counted(test_path_of_somebody_else_stays),
	};
	int failed;

	if (!mkdtemp(directory) || chdir(directory) < 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (chdir("/") < 0 || rmdir(directory) < 0)
		failed++;
	return failed;
}
