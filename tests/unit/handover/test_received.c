/* SPDX-License-Identifier: MIT */
/*
 * Sockets that nobody goes on with, of systemd's store and of an old process: when systemd's
 * copy has to be waited for before an address is opened anew, or left.
 */
#include "tests/unit/sockets.h"

#include "conf/conf.h"
#include "daemon/base/log.h"
#include "daemon/base/notify.h"
#include "daemon/handover/fdstore.h"
#include "daemon/handover/received.h"
#include "daemon/handover/socket_name.h"
#include "daemon/proxy/proxy.h"

#define STRANGER SOCKET_NAME_PREFIX "0"

static struct {
	struct sfront_inherited kept[2]; /* what systemd has passed */
	size_t n_kept;
	int fds[2]; /* what is closed by the time that systemd is waited for */
	size_t n_fds;
	char done[256];
} world;

static void note_done(const char *word)
{
	strcat(strcat(world.done, *world.done ? " " : ""), word);
}

/* ---- in place of the rest ---- */

void __wrap_fdstore_forget_name(const char *name);
void __wrap_fdstore_forget_name(const char *name)
{
	(void)name;
	note_done("forget");
}

void __wrap_fdstore_note_kept(const char *name);
void __wrap_fdstore_note_kept(const char *name)
{
	(void)name;
}

void __wrap_log_line(int priority, const char *format, ...);
void __wrap_log_line(int priority, const char *format, ...)
{
	(void)priority;
	(void)format;
}

void __wrap_notify_barrier(unsigned int seconds);
void __wrap_notify_barrier(unsigned int seconds)
{
	CHECK(seconds == 5);
	for (size_t i = 0; i < world.n_fds; i++)
		CHECK(fcntl(world.fds[i], F_GETFD) < 0);
	note_done("wait");
}

int __wrap_sfront_inherited_reserve(const char *prefix);
int __wrap_sfront_inherited_reserve(const char *prefix)
{
	CHECK(strcmp(prefix, SOCKET_NAME_PREFIX) == 0);
	return (int)world.n_kept;
}

int __wrap_sfront_inherited_at(size_t index, struct sfront_inherited *ret);
int __wrap_sfront_inherited_at(size_t index, struct sfront_inherited *ret)
{
	if (index >= world.n_kept)
		return -ENOENT;
	*ret = world.kept[index];
	return 0;
}

/* The options or the address have changed. */
int __wrap_sfront_listener_adopt(const struct sfront_address *address, const int *fds, size_t n,
				 const struct sfront_options *options, struct sfront_listener **ret,
				 struct sfront_error *err);
int __wrap_sfront_listener_adopt(const struct sfront_address *address, const int *fds, size_t n,
				 const struct sfront_options *options, struct sfront_listener **ret,
				 struct sfront_error *err)
{
	(void)address;
	(void)fds;
	(void)n;
	(void)options;
	(void)ret;
	note_done("adopt");
	snprintf(err->message, sizeof(err->message), "it is something else");
	return -EINVAL;
}

/* ---- */

static int listening(void)
{
	const struct sockaddr_in in = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && bind(fd, (const struct sockaddr *)&in, sizeof(in)) == 0);
	CHECK(listen(fd, 1) == 0);
	return fd;
}

/* As a vsock socket is. */
static int without_shutdown(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void keep(const char *name, int fd)
{
	CHECK(fd >= 0);
	world.kept[world.n_kept++] = (struct sfront_inherited){ .fd = fd, .name = name };
	world.fds[world.n_fds++] = fd;
}

static void is_done(const char *expected)
{
	if (strcmp(world.done, expected) != 0)
		dprintf(STDERR_FILENO, "%s\n", world.done);
	CHECK(strcmp(world.done, expected) == 0);
	for (size_t i = 0; i < world.n_fds; i++)
		CHECK(fcntl(world.fds[i], F_GETFD) < 0);
	received_close_rest();
}

static void close_strangers(void)
{
	static struct proxy_config proxy;
	const struct config config = { .proxies = &proxy, .n_proxies = 1 };

	received_add_kept();
	received_close_strangers(&config);
}

/* A shutdown reaches systemd's copy, too. */
static void strangers(void)
{
	keep(STRANGER "1", listening());
	keep(STRANGER "2", listening());
	close_strangers();
	is_done("forget forget");
}

static void strangers_that_listen_on(void)
{
	keep(STRANGER "1", without_shutdown());
	keep(STRANGER "2", listening());
	close_strangers();
	is_done("forget forget wait");
}

static void strangers_of_an_old_process(void)
{
	world.fds[world.n_fds++] = without_shutdown();
	CHECK(received_add(STRANGER "1", world.fds[0]));
	close_strangers();
	is_done("");
}

static struct listen_config line;
static char line_name[SOCKET_NAME_SIZE];

static void make_line(void)
{
	CHECK(sfront_address_parse("127.0.0.1:80", &line.address, &why) == 0);
	socket_name_format_wanted(&line, line_name);
}

static void opened_anew(void)
{
	make_line();
	keep(line_name, listening());
	keep(line_name, listening());
	received_add_kept();
	CHECK(!received_find(NULL, &line, NULL));
	is_done("adopt forget wait");
	CHECK(!received_find(NULL, &line, NULL));
}

static void opened_anew_beside_an_old_process(void)
{
	make_line();
	world.fds[world.n_fds++] = listening();
	CHECK(received_add(line_name, world.fds[0]));
	CHECK(!received_find(NULL, &line, NULL));
	is_done("adopt forget");
}

/* Each in a process of its own: what was received is never forgotten. */
#define CASE(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		in_child(name);               \
	}

CASE(strangers)
CASE(strangers_that_listen_on)
CASE(strangers_of_an_old_process)
CASE(opened_anew)
CASE(opened_anew_beside_an_old_process)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_strangers_that_listen_on),
		cmocka_unit_test(test_strangers_of_an_old_process),
		cmocka_unit_test(test_opened_anew),
		cmocka_unit_test(test_opened_anew_beside_an_old_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
