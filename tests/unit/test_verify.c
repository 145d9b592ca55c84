/* SPDX-License-Identifier: MIT */
/*
 * Whether an open listener still is what its address says: what it was bound to
 * goes away, or comes back as something else.  Each promise is kept by a child
 * in a directory of its own; interfaces are in a network namespace of its own.
 */
#include "sockets.h"

#include <sched.h>
#include <sys/stat.h>
#include <sys/un.h>

static char directory[] = "/tmp/sockfront-test-verify.XXXXXX";

static int verify(const struct sfront_listener *listener, const char *text, const char *settings)
{
	struct sfront_options *options = options_of(settings);
	struct sfront_address address;
	int r;

	why.message[0] = '\0';
	CHECK(sfront_address_parse(text, &address, &why) == 0);
	r = sfront_listener_verify(listener, &address, options, &why);
	sfront_options_free(options);
	return r;
}

static void finds(const struct sfront_listener *listener, const char *text, const char *settings,
		  int error, const char *reason)
{
	int r = verify(listener, text, settings);

	if (r != error)
		dprintf(STDERR_FILENO, "%s: %d (%s), not %d\n", text, r, why.message, error);
	CHECK(r == error);
	if (reason)
		CHECK_CONTAINS(why.message, reason);
	else
		CHECK(why.message[0] == '\0');
}

static void what_stays(void)
{
	static const char *const texts[] = { "127.0.0.1:0", "*:0", "./app.sock",
					     "@sockfront-test-verify" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct sfront_listener *listener = must_open(texts[i], "");
		struct sfront_address address;

		finds(listener, texts[i], "", 0, NULL);
		CHECK(sfront_address_parse(texts[i], &address, NULL) == 0);
		CHECK(sfront_listener_verify(listener, &address, NULL, NULL) == 0);
		close(sfront_listener_release(listener, 0));
		finds(listener, texts[i], "", 0, NULL); /* nothing is left of it */
		sfront_listener_close(listener);
	}
	unlink("./app.sock");
}

/* Another process has the same socket. */
static void shut_down_by_another(void)
{
	static const char *const texts[] = { "127.0.0.1:0", "./app.sock",
					     "@sockfront-test-verify" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct sfront_listener *listener = must_open(texts[i], "");
		int theirs = dup(sfront_listener_fd(listener, 0));

		CHECK(shutdown(theirs, SHUT_RD) == 0);
		finds(listener, texts[i], "", -ESHUTDOWN, "listens no more: another process");
		close(theirs);
		sfront_listener_close(listener);
	}
}

static int socket_at(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(un.sun_path, path, sizeof(un.sun_path) - 1);
	CHECK(bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(fd, 5) == 0);
	return fd;
}

static void path_that_goes_away(void)
{
	struct sfront_listener *listener = must_open("./app.sock", "");
	int other;

	CHECK(rename("./app.sock", "./away") == 0);
	finds(listener, "./app.sock", "", -ENOENT, "./app.sock: the path is gone");
	other = socket_at("./app.sock");
	finds(listener, "./app.sock", "", -ESTALE, "something else is at the path");
	CHECK(unlink("./app.sock") == 0 && rename("./away", "./app.sock") == 0);
	finds(listener, "./app.sock", "", 0, NULL);
	close(other);
	sfront_listener_close(listener);
}

/* The directory is another one by now, or a link leads elsewhere. */
static void directory_that_goes_away(void)
{
	struct sfront_listener *listener;
	int other;

	CHECK(mkdir("./d", 0700) == 0 && symlink("d", "./link") == 0);
	listener = must_open("./link/app.sock", "");
	finds(listener, "./link/app.sock", "", 0, NULL);
	CHECK(rename("./d", "./old") == 0);
	finds(listener, "./link/app.sock", "", -ENOENT, "the path is gone");
	CHECK(mkdir("./d", 0700) == 0);
	other = socket_at("./d/app.sock");
	finds(listener, "./link/app.sock", "", -ESTALE, "something else");
	CHECK(unlink("./link") == 0 && symlink("old", "./link") == 0);
	finds(listener, "./link/app.sock", "", 0, NULL);
	CHECK(unlink("./link") == 0 && symlink("old/app.sock", "./link") == 0);
	finds(listener, "./link/app.sock", "", -ENOENT, "the path is gone");
	close(other);
	sfront_listener_close(listener);
	CHECK(unlink("./d/app.sock") == 0 && rmdir("./d") == 0 && rmdir("./old") == 0 &&
	      unlink("./link") == 0);
}

static void inherited_path(void)
{
	char path[128], text[32];
	struct sfront_listener *listener;
	int fd, unseen, other;

	snprintf(path, sizeof(path), "%s/app.sock", directory);
	fd = socket_at(path);
	snprintf(text, sizeof(text), "accept-from-fd:%d", fd);
	listener = must_open(text, "");
	finds(listener, text, "", 0, NULL);
	CHECK(unlink(path) == 0);
	finds(listener, text, "", -ENOENT, "/app.sock: the path is gone");
	other = socket_at(path);
	finds(listener, text, "", -ESTALE, "something else");
	close(other);
	sfront_listener_close(listener);
	CHECK(unlink(path) == 0);

	/* Where it was made cannot be seen from here. */
	unseen = fcntl(socket_at(path), F_DUPFD, 30);
	CHECK(unlink(path) == 0);
	snprintf(text, sizeof(text), "accept-from-fd:%d", unseen);
	listener = must_open(text, "");
	finds(listener, text, "", 0, NULL);
	sfront_listener_close(listener);
}

static void run(const char *command)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void make_interface(void)
{
	run("ip link add vpn0 type veth peer name vpn1 && "
	    "ip address add fe80::7/64 dev vpn0 nodad && ip link set vpn0 up");
}

static void is_alone_in_a_network(void)
{
	CHECK(unshare(CLONE_NEWNET) == 0);
	make_interface();
}

static void interface_of_an_option(void)
{
	static const char settings[] = "bind-to-device=vpn0";
	struct sfront_listener *listener, *inherited;
	char text[32];
	int fd;

	is_alone_in_a_network();
	listener = must_open("0.0.0.0:7000", settings);
	fd = fcntl(sfront_listener_fd(listener, 0), F_DUPFD, 40);
	snprintf(text, sizeof(text), "accept-from-fd:%d", fd);
	inherited = must_open(text, "");
	finds(listener, "0.0.0.0:7000", settings, 0, NULL);
	finds(inherited, text, "", 0, NULL);

	run("ip link set vpn0 down && ip link set vpn0 name vpn7");
	finds(listener, "0.0.0.0:7000", settings, -ENODEV, "interface vpn0, which it was bound to");
	finds(inherited, text, "", 0, NULL);
	run("ip link set vpn7 name vpn0");
	finds(listener, "0.0.0.0:7000", settings, 0, NULL);

	run("ip link delete vpn0");
	finds(listener, "0.0.0.0:7000", settings, -ENODEV, "is gone");
	finds(inherited, text, "", -ENODEV, "the interface that it was bound to is gone");
	make_interface();
	finds(listener, "0.0.0.0:7000", settings, -ESTALE, "interface vpn0 is another one");
	finds(inherited, text, "", -ENODEV, "is gone");
	sfront_listener_close(inherited);
	sfront_listener_close(listener);
	listener = must_open("0.0.0.0:7000", settings);
	finds(listener, "0.0.0.0:7000", settings, 0, NULL);
	sfront_listener_close(listener);
}

static void interface_of_an_address(void)
{
	static const char text[] = "[fe80::7%vpn0]:7000";
	struct sfront_listener *listener;

	is_alone_in_a_network();
	listener = must_open(text, "");
	finds(listener, text, "", 0, NULL);
	run("ip link delete vpn0");
	finds(listener, text, "", -ENODEV, "vpn0");
	make_interface();
	finds(listener, text, "", -ESTALE, "interface vpn0 is another one");
	sfront_listener_close(listener);
	listener = must_open(text, "");
	finds(listener, text, "", 0, NULL);
	sfront_listener_close(listener);
}

#define promise(name)                         \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		in_child(name);               \
	}

/* As root, who may make a network. */
#define promise_of_root(name)                       \
	static void test_##name(void **state)       \
	{                                           \
		(void)state;                        \
		skip_unless(getuid() == 0, "root"); \
		in_child(name);                     \
	}

promise(what_stays) promise(shut_down_by_another) promise(path_that_goes_away)
	promise(directory_that_goes_away) promise(inherited_path)
		promise_of_root(interface_of_an_option) promise_of_root(interface_of_an_address)

			int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_what_stays),
		counted(test_shut_down_by_another),
		counted(test_path_that_goes_away),
		counted(test_directory_that_goes_away),
		counted(test_inherited_path),
		counted(test_interface_of_an_option),
		counted(test_interface_of_an_address),
	};
	int failed;

	if (!mkdtemp(directory) || chdir(directory) < 0)
		return 1;
	failed = cmocka_run_group_tests_name("verify", tests, NULL, NULL);
	return rmdir(directory) < 0 ? 1 : failed;
}
