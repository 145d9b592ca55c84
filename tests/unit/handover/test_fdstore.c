/* SPDX-License-Identifier: MIT */
/*
 * What systemd is told to keep, without systemd and without sockets: each once, no more
 * than there is room for, all sockets of a listener or none.
 */
#include "tests/unit/descriptors.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/base/notify.h"
#include "daemon/handover/fdstore.h"
#include "daemon/handover/socket_name.h"
#include "daemon/proxy/generation.h"

#define LISTENERS 4

static char one[] = "one", two[] = "two";
static struct listener_socket sockets[2] = { { .text = one }, { .text = two } };
static struct listener listeners[LISTENERS];
static struct listener *list[LISTENERS];
static struct proxy proxy = { .listeners = list };
static struct proxy *proxies[] = { &proxy };
static struct generation generation = { .proxies = proxies, .n_proxies = 1 };

/* What systemd was told, in words; the last line of the log; the store that fails, from 1. */
static char told[512], said[512];
static int n_stores, failing_store;
static const char *unsent[LISTENERS + 1]; /* names, up to NULL */

/* ---- in place of the rest ---- */

bool __wrap_notify_wanted(void);
bool __wrap_notify_wanted(void)
{
	return true;
}

bool __wrap_notify_store(const char *name, int fd);
bool __wrap_notify_store(const char *name, int fd)
{
	sprintf(told + strlen(told), " +%s.%d", name, fd);
	if (++n_stores != failing_store)
		return true;
	errno = EMFILE;
	return false;
}

void __wrap_notify_unstore(const char *name);
void __wrap_notify_unstore(const char *name)
{
	sprintf(told + strlen(told), " -%s", name);
}

size_t __wrap_notify_drop_stores(void (*dropped)(const char *name, void *data), void *data);
size_t __wrap_notify_drop_stores(void (*dropped)(const char *name, void *data), void *data)
{
	size_t n = 0;

	for (; unsent[n]; n++)
		dropped(unsent[n], data);
	return n;
}

void __wrap_log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void __wrap_log_line(int priority, const char *format, ...)
{
	va_list arguments;

	(void)priority;
	va_start(arguments, format);
	vsnprintf(said, sizeof(said), format, arguments);
	va_end(arguments);
}

/* Listener number N is called "N", and so is its memory where the library's would be. */
void __wrap_socket_name_format(const struct listener *listener, char *buf);
void __wrap_socket_name_format(const struct listener *listener, char *buf)
{
	sprintf(buf, "%u", listener->nth);
}

int __wrap_sfront_listener_fd(const struct sfront_listener *open, size_t index);
int __wrap_sfront_listener_fd(const struct sfront_listener *open, size_t index)
{
	(void)open;
	return (int)index;
}

/* ---- */

/* The listeners of these numbers, "012"; of one with two sockets the number is followed by "'". */
static void use(const char *numbers)
{
	proxy.n_listeners = 0;
	for (const char *number = numbers; *number != '\0'; number++) {
		struct listener *listener = &listeners[*number - '0'];

		*listener = (struct listener){
			.nth = (unsigned int)(*number - '0'),
			.is_own = true,
			.open = (struct sfront_listener *)sockets, /* not NULL */
			.sockets = sockets,
			.n_sockets = number[1] == '\'' ? 2 : 1,
		};
		number += listener->n_sockets - 1;
		list[proxy.n_listeners++] = listener;
	}
}

static void assert_told(const char *expected)
{
	assert_string_equal(told, expected);
	told[0] = '\0';
}

static void update(const char *numbers, const char *expected)
{
	use(numbers);
	said[0] = '\0';
	fdstore_update(&generation);
	assert_told(expected);
}

/* With an empty store that holds so many. */
static void begin(const char *most)
{
	setenv("FDSTORE", most, 1);
	use("");
	fdstore_update(&generation);
	told[0] = said[0] = '\0';
	n_stores = failing_store = 0;
	memset(unsent, 0, sizeof(unsent));
}

static void test_each_is_sent_once(void **state)
{
	(void)state;
	begin("10");
	update("01", " +0.0 +1.0");
	update("01", "");
	update("012'", " +2.0 +2.1");
	update("2'1", " -0");
	update("0", " -1 -2 +0.0");
	assert_true(listeners[0].is_shared);
}

static void test_what_nobody_took_is_forgotten(void **state)
{
	(void)state;
	begin("10");
	fdstore_note_kept("3");
	fdstore_note_kept("1");
	fdstore_note_kept("3");
	assert_true(fdstore_has("3"));
	update("1", " -3");
	assert_true(listeners[1].is_shared);
	assert_false(fdstore_has("3"));
}

static void test_another_number_of_sockets_is_another_listener(void **state)
{
	(void)state;
	begin("10");
	update("0'1", " +0.0 +0.1 +1.0");
	update("01", " -0 +0.0");
	update("0'1", " -0 +0.0 +0.1");
}

static void test_all_sockets_of_a_listener_or_none(void **state)
{
	(void)state;
	begin("3");
	update("0'1'2", " +0.0 +0.1 +2.0");
	assert_true(listeners[0].is_shared && listeners[2].is_shared);
	assert_false(listeners[1].is_shared);
	assert_contains(said, "at most 3 sockets");
	assert_contains(said, "one will be opened anew at a restart; FileDescriptorStoreMax=5 ");
	/* What is kept stays so; what comes later finds the room that is left. */
	update("1'0'2", "");
	assert_false(listeners[1].is_shared);
	update("1'2", " -0 +1.0 +1.1");
	assert_string_equal(said, "");
}

static void test_one_that_cannot_be_sent(void **state)
{
	(void)state;
	begin("3");
	failing_store = 2;
	update("0'1'", " +0.0 +0.1 -0 +1.0 +1.1");
	assert_false(listeners[0].is_shared);
	assert_true(listeners[1].is_shared);
	assert_false(fdstore_has("0"));
	update("1'0", " +0.0"); /* is tried again */
	assert_true(listeners[0].is_shared);
}

static void test_one_is_forgotten(void **state)
{
	(void)state;
	begin("2");
	update("01", " +0.0 +1.0");
	fdstore_forget(&listeners[0]);
	assert_told(" -0");
	fdstore_forget(&listeners[0]);
	fdstore_forget_name("2");
	listeners[1].is_own = false;
	fdstore_forget(&listeners[1]);
	assert_told("");
	update("120", " +2.0");
	assert_true(listeners[1].is_shared && listeners[2].is_shared);
	assert_false(listeners[0].is_shared);
}

static void test_without_a_store(void **state)
{
	(void)state;
	begin("0");
	assert_false(fdstore_is_on());
	use("01");
	listeners[0].is_shared = true;
	fdstore_note_kept("0");
	fdstore_update(&generation);
	assert_told("");
	assert_false(listeners[0].is_shared);
}

static void test_what_was_not_read_is_not_kept(void **state)
{
	(void)state;
	begin("10");
	update("0123", " +0.0 +1.0 +2.0 +3.0");
	listeners[2].is_taken_over = true; /* another process has it, whatever systemd knows */
	unsent[0] = "1";
	unsent[1] = "2";
	fdstore_settle(&generation);
	assert_true(listeners[0].is_shared && listeners[2].is_shared && listeners[3].is_shared);
	assert_false(listeners[1].is_shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_each_is_sent_once),
		counted(test_what_nobody_took_is_forgotten),
		counted(test_another_number_of_sockets_is_another_listener),
		counted(test_all_sockets_of_a_listener_or_none),
		counted(test_one_that_cannot_be_sent),
		counted(test_one_is_forgotten),
		counted(test_without_a_store),
		counted(test_what_was_not_read_is_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
