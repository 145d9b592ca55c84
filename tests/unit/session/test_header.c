/* SPDX-License-Identifier: MIT */
/*
 * Headers of a session over a real socket: read exactly, kept without memory, and made for
 * the backend; and ids of connections.
 */
#include "daemon/session/header.h"
#include "daemon/session/refusal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sockfront/proxy_protocol.h>

#include "daemon/proxy/proxy.h"
#include "daemon/session/access_log.h"
#include "daemon/session/connection_id.h"
#include "daemon/session/host.h"
#include "daemon/session/state.h"
#include "tests/unit/descriptors.h"

#define V1 "PROXY TCP4 192.0.2.7 192.0.2.99 4711 443\r\n"

static char nowhere[] = "";

static struct {
	struct session_host host;
	struct session session;
	struct proxy proxy;
	struct listener listener;
	struct listener_socket listener_socket;
	struct proxy_socket proxy_socket;
	int client; /* its side of the connection */
	struct refusal refusal;
	bool no_memory;
} rig;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return rig.no_memory ? NULL : __real_malloc(size);
}

static unsigned int said;

void __wrap_log_line(int level, const char *format, ...);
void __wrap_log_line(int level, const char *format, ...)
{
	(void)level;
	(void)format;
	said++;
}

static int set_up(void **state)
{
	int pair[2];

	(void)state;
	memset(&rig, 0, sizeof(rig));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	rig.client = pair[0];
	rig.listener_socket.text = nowhere;
	rig.listener.sockets = &rig.listener_socket;
	rig.proxy_socket.listener = &rig.listener;
	rig.proxy.sockets = &rig.proxy_socket;
	rig.proxy.n_sockets = 1;
	rig.session.host = &rig.host;
	rig.session.proxy = &rig.proxy;
	pipe_pool_init(&rig.host.pipes, 0, 0);
	endpoint_init_client(&rig.session.client, &(struct sfront_connection){
							  .read_fd = pair[1],
							  .write_fd = pair[1],
							  .read_stream = SFRONT_STREAM_UNIX,
							  .write_stream = SFRONT_STREAM_UNIX,
						  });
	endpoint_init_backend(&rig.session.backend);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pending_drop(&rig.host.pipes, rig.session.client.pending);
	pipe_pool_clear(&rig.host.pipes);
	free(rig.session.note);
	close(rig.client);
	endpoint_close(&rig.session.client, false);
	return 0;
}

static void say(const void *data, size_t size)
{
	assert_int_equal(send(rig.client, data, size, 0), size);
}

static enum header_result take(void)
{
	return header_take(&rig.session, &rig.refusal);
}

/* What is left for the relay. */
static void assert_left(const char *expected)
{
	char buf[64];
	ssize_t n = recv(rig.session.client.read_fd, buf, sizeof(buf), 0);

	assert_int_equal(n, strlen(expected));
	assert_memory_equal(buf, expected, (size_t)n);
}

/* The header for the backend, parsed. */
static struct sfront_proxy_header made(void)
{
	const struct pending *pending = rig.session.client.pending;
	struct sfront_proxy_header header;
	size_t more;

	assert_non_null(pending);
	assert_int_equal(pending->own, pending->length);
	assert_int_equal(sfront_proxy_parse(pending->data + pending->offset, pending->length,
					    &header, &more, NULL),
			 pending->length);
	return header;
}

static void test_exactly_the_header_is_taken(void **state)
{
	(void)state;
	say(V1 "hello", strlen(V1 "hello"));
	assert_int_equal(take(), HEADER_READ);
	assert_left("hello");
	assert_null(rig.session.client.pending);
}

static void test_header_is_kept_byte_by_byte(void **state)
{
	(void)state;
	rig.proxy.config.send_proxy_protocol = 1;
	assert_int_equal(take(), HEADER_AWAITED);
	assert_null(rig.session.client.pending);
	for (size_t i = 0; i + 1 < strlen(V1); i++) {
		say(&V1[i], 1);
		assert_int_equal(take(), HEADER_AWAITED);
		assert_int_equal(rig.session.client.pending->length, i + 1);
	}
	say("\nhello", 6);
	assert_int_equal(take(), HEADER_READ);
	assert_left("hello");
	assert_int_equal(made().source.sa.in.sin_port, htons(4711));
}

/* The buffer itself is kept then, and without another one nothing is read. */
static void test_nothing_is_lost_without_memory(void **state)
{
	(void)state;
	rig.proxy.config.send_proxy_protocol = 2;
	rig.no_memory = true;
	assert_int_equal(take(), HEADER_NO_MEMORY);
	rig.no_memory = false;
	assert_int_equal(take(), HEADER_AWAITED);
	rig.no_memory = true;
	say(V1, 20);
	assert_int_equal(take(), HEADER_AWAITED);
	assert_int_equal(rig.session.client.pending->length, 20);
	say(&V1[20], strlen(V1) - 20);
	for (int i = 0; i < 3; i++)
		assert_int_equal(take(), HEADER_NO_MEMORY);
	assert_int_equal(rig.session.client.pending->length, 20);
	rig.no_memory = false;
	assert_int_equal(take(), HEADER_READ);
	assert_int_equal(made().source.sa.in.sin_port, htons(4711));
}

static void test_header_to_the_backend_without_memory(void **state)
{
	(void)state;
	rig.proxy.config.send_proxy_protocol = 2;
	rig.no_memory = true;
	assert_false(header_prepare(&rig.session));
	rig.no_memory = false;
	assert_true(header_prepare(&rig.session));
	assert_true(header_prepare(&rig.session)); /* it is there */
	assert_false(made().is_local);
}

static void test_what_is_wrong_stands_in_single_quotes(void **state)
{
	(void)state;
	say("GET / \"x\"", 9);
	assert_int_equal(take(), HEADER_REFUSED);
	assert_null(strchr(rig.refusal.reason, '"'));
	assert_non_null(strstr(rig.refusal.reason, "owed a PROXY protocol header: 'GET / "));
}

static void test_what_has_come_in_time_is_told(void **state)
{
	(void)state;
	header_format_missing(&rig.session, "5 s", &rig.refusal);
	assert_string_equal(rig.refusal.reason,
			    "owed a PROXY protocol header: nothing came within 5 s");
	say(V1, 20);
	assert_int_equal(take(), HEADER_AWAITED);
	header_format_missing(&rig.session, "5 s", &rig.refusal);
	assert_string_equal(rig.refusal.reason,
			    "owed a PROXY protocol header: 20 bytes of it came within 5 s");
}

/* Takes a header that has nothing but that id. */
static void take_with_id(const char *id, size_t size)
{
	unsigned char buf[SFRONT_PROXY_HEADER_MAX];
	struct sfront_proxy_writer writer = { .buf = buf, .size = sizeof(buf) };

	rig.proxy.config.send_proxy_protocol = 2;
	assert_int_equal(sfront_proxy_begin_v2(&writer, &(struct sfront_sockaddr){ 0 }, NULL), 0);
	assert_int_equal(sfront_proxy_add(&writer, SFRONT_PROXY_TLV_UNIQUE_ID, id, size), 0);
	say(buf, (size_t)sfront_proxy_finish(&writer));
	assert_int_equal(take(), HEADER_READ);
}

/* The id of a note is the one that is sent; one that was told becomes that of the note. */
static void test_id_is_the_same_in_both(void **state)
{
	struct sfront_connection connection = endpoint_connection(&rig.session.client);
	struct connection_id id = connection_id_next();
	struct sfront_proxy_header header;
	struct sfront_proxy_tlv tlv;

	(void)state;
	rig.proxy.config.send_proxy_protocol = 2;
	rig.session.note = access_note_new(&connection, &id);
	assert_true(header_prepare(&rig.session));
	header = made();
	assert_true(sfront_proxy_find_tlv(&header, SFRONT_PROXY_TLV_UNIQUE_ID, &tlv));
	assert_int_equal(tlv.size, strlen(access_note_id(rig.session.note)));
	assert_memory_equal(tlv.value, access_note_id(rig.session.note), tlv.size);
}

static void test_id_that_was_told(void **state)
{
	struct sfront_proxy_header header;
	struct sfront_proxy_tlv tlv = { 0 };

	(void)state;
	take_with_id("a \"b\\\n\xff", 7);
	assert_string_equal(access_note_id(rig.session.note), "a\\x20\\x22b\\x5c\\x0a\\xff");
	header = made();
	assert_true(sfront_proxy_next_tlv(&header, &tlv));
	assert_int_equal(tlv.type, SFRONT_PROXY_TLV_UNIQUE_ID);
	assert_memory_equal(tlv.value, "a \"b\\\n\xff", 7);
	assert_false(sfront_proxy_next_tlv(&header, &tlv));
}

/* An empty one is none. */
static void test_empty_id(void **state)
{
	struct sfront_proxy_header header;
	struct sfront_proxy_tlv tlv = { 0 };

	(void)state;
	take_with_id("", 0);
	header = made();
	assert_true(sfront_proxy_next_tlv(&header, &tlv));
	assert_int_equal(tlv.size, 16);
	assert_int_equal(strlen(access_note_id(rig.session.note)), 16);
	assert_false(sfront_proxy_next_tlv(&header, &tlv));
}

static void test_largest_header_is_cut_at_the_end(void **state)
{
	static unsigned char buf[SFRONT_PROXY_HEADER_MAX], value[SFRONT_PROXY_HEADER_MAX];
	struct sfront_proxy_writer writer = { .buf = buf, .size = sizeof(buf) };
	struct sfront_proxy_header header;
	struct sfront_proxy_tlv tlv = { 0 };
	int n = 0;

	(void)state;
	rig.proxy.config.send_proxy_protocol = 2;
	assert_int_equal(sfront_proxy_begin_v2(&writer, &(struct sfront_sockaddr){ 0 }, NULL), 0);
	assert_int_equal(sfront_proxy_add(&writer, 0x77, value, 8000), 0);
	assert_int_equal(sfront_proxy_add(&writer, 0x78, value, 8300), 0);
	assert_int_equal(sfront_proxy_add(&writer, 0x79, value, sizeof(buf) - 16322 - 3), 0);
	assert_int_equal(writer.len, sizeof(buf));
	assert_int_equal(sfront_proxy_finish(&writer), sizeof(buf));
	say(buf, sizeof(buf));
	said = 0;
	assert_int_equal(take(), HEADER_READ);
	assert_int_equal(said, 1);
	header = made();
	while (sfront_proxy_next_tlv(&header, &tlv))
		n++;
	assert_int_equal(tlv.type, 0x78);
	assert_int_equal(n, 3); /* the id, and two */
}

static void test_ids_are_never_the_same(void **state)
{
	char last[CONNECTION_ID_TEXT_SIZE] = "", text[CONNECTION_ID_TEXT_SIZE];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct connection_id id = connection_id_next();

		connection_id_format(&id, text);
		assert_int_equal(strspn(text, "0123456789abcdef"), 16);
		assert_int_equal(strlen(text), 16);
		assert_string_not_equal(text, last);
		strcpy(last, text);
	}
}

static void test_longest_id(void **state)
{
	struct connection_id id = { .size = sizeof(id.bytes) };
	char text[CONNECTION_ID_TEXT_SIZE];

	(void)state;
	memset(id.bytes, 0, sizeof(id.bytes));
	connection_id_format(&id, text);
	assert_int_equal(strlen(text), CONNECTION_ID_TEXT_SIZE - 1);
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_exactly_the_header_is_taken),
		test(test_header_is_kept_byte_by_byte),
		test(test_nothing_is_lost_without_memory),
		test(test_header_to_the_backend_without_memory),
		test(test_what_is_wrong_stands_in_single_quotes),
		test(test_what_has_come_in_time_is_told),
		test(test_id_is_the_same_in_both),
		test(test_id_that_was_told),
		test(test_empty_id),
		test(test_largest_header_is_cut_at_the_end),
		test(test_ids_are_never_the_same),
		test(test_longest_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
