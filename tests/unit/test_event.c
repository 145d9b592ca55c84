/* SPDX-License-Identifier: MIT */
/*
 * The libevent adapter: event.c, event_http.c and event_bridge.c of lib/adapter/.
 * Clients are blocking sockets, or threads where they have to wait for the loop.
 */
#include "sockets.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

#include <sockfront/event.h>
#include <sockfront/memory.h>

static int failure;
static int failures_left;

/* In the place of the C library's: fails as told, for our listeners and for evhttp's. */
int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *restrict addr_len, int flags)
{
	if (failures_left > 0) {
		failures_left--;
		errno = failure;
		return -1;
	}
	return (int)syscall(SYS_accept4, fd, addr, addr_len, flags);
}

/* ---- acceptors -------------------------------------------------------------- */

static struct {
	struct event_base *base;
	struct sfront_acceptor *acceptor;
	int accepted;
	int wanted; /* the loop ends with that many */
	int rests;
	unsigned int rest_ms;
	int ended;
	bool free_in_call;
	bool pause_in_call;
} seen;

static void connection_accepted(void *data, size_t index, struct sfront_connection *connection)
{
	(void)index;
	assert_ptr_equal(data, &seen);
	sfront_connection_close(connection);
	if (seen.pause_in_call)
		sfront_acceptor_pause(seen.acceptor);
	if (seen.free_in_call) {
		sfront_acceptor_free(seen.acceptor);
		seen.acceptor = NULL;
	}
	if (++seen.accepted == seen.wanted)
		event_base_loopbreak(seen.base);
}

static void listener_ended(void *data, int error)
{
	(void)data;
	seen.ended = error;
	event_base_loopbreak(seen.base);
}

static void acceptor_rests(void *data, int error, unsigned int delay_ms)
{
	(void)data;
	assert_int_equal(error, -failure);
	seen.rests++;
	seen.rest_ms = delay_ms;
}

static const struct sfront_acceptor_calls calls = {
	.size = sizeof(calls),
	.accepted = connection_accepted,
	.ended = listener_ended,
	.resting = acceptor_rests,
};

static void begin(struct sfront_listener *listener)
{
	memset(&seen, 0, sizeof(seen));
	failures_left = 0;
	seen.base = event_base_new();
	assert_int_equal(sfront_acceptor_new(seen.base, listener, &calls, &seen, &seen.acceptor),
			 0);
}

/* Runs the loop until as many were accepted, or for that long. */
static void run(int wanted, int ms)
{
	const struct timeval most = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000L };

	seen.wanted = seen.accepted + wanted;
	event_base_loopexit(seen.base, &most);
	event_base_loop(seen.base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static void end(struct sfront_listener *listener)
{
	sfront_acceptor_free(seen.acceptor);
	event_base_free(seen.base);
	sfront_listener_close(listener);
}

static struct sfront_listener *memory_listener(int n_clients, int *clients)
{
	struct sfront_listener *listener;

	assert_int_equal(sfront_memory_listener_new(&listener, &why), 0);
	for (int i = 0; i < n_clients; i++)
		clients[i] = sfront_memory_connect(listener);
	return listener;
}

static void close_all(const int *clients, int n)
{
	for (int i = 0; i < n; i++)
		close(clients[i]);
}

static void test_accepts(void **state)
{
	int clients[40];
	struct sfront_listener *listener = memory_listener(40, clients);

	(void)state;
	begin(listener);
	run(40, 5000);
	assert_int_equal(seen.accepted, 40);
	assert_int_equal(seen.rests, 0);
	end(listener);
	close_all(clients, 40);
}

static void test_pause_and_resume(void **state)
{
	int clients[3];
	struct sfront_listener *listener = memory_listener(3, clients);

	(void)state;
	begin(listener);
	seen.pause_in_call = true;
	run(3, 100);
	assert_int_equal(seen.accepted, 1); /* the burst ends with the pause */
	sfront_acceptor_resume(seen.acceptor);
	seen.pause_in_call = false;
	run(2, 5000);
	assert_int_equal(seen.accepted, 3);
	end(listener);
	close_all(clients, 3);
}

static void test_freed_in_its_call(void **state)
{
	int clients[2];
	struct sfront_listener *listener = memory_listener(2, clients);

	(void)state;
	begin(listener);
	seen.free_in_call = true;
	run(2, 100);
	assert_int_equal(seen.accepted, 1);
	end(listener);
	close_all(clients, 2);
}

static void test_rests_when_descriptors_are_out(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	int client = connect_to(listener, 0);

	(void)state;
	begin(listener);
	failure = EMFILE;
	failures_left = 2;
	run(1, 5000);
	assert_int_equal(seen.accepted, 1);
	assert_int_equal(seen.rests, 2);
	assert_int_equal(seen.rest_ms, 200);
	end(listener);
	close(client);
}

static void test_broken_listener_ends(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	int client = connect_to(listener, 0);

	(void)state;
	begin(listener);
	failure = EINVAL;
	failures_left = 1;
	run(1, 5000);
	assert_int_equal(seen.accepted, 0);
	assert_int_equal(seen.ended, -EINVAL);
	end(listener);
	close(client);
}

static void test_wants_an_accepted_call(void **state)
{
	const struct sfront_acceptor_calls none = { .size = sizeof(none) }, no_size = { 0 };
	struct sfront_listener *listener = memory_listener(0, NULL);
	struct event_base *base = event_base_new();
	struct sfront_acceptor *acceptor;

	(void)state;
	assert_int_equal(sfront_acceptor_new(base, listener, &none, NULL, &acceptor), -EINVAL);
	assert_int_equal(sfront_acceptor_new(base, listener, &no_size, NULL, &acceptor), -EINVAL);
	sfront_acceptor_free(NULL);
	event_base_free(base);
	sfront_listener_close(listener);
}

/* ---- evhttp ----------------------------------------------------------------- */

#define LARGE 3000000

static struct {
	struct event_base *base;
	struct evhttp *http;
	struct sfront_evhttp *server;
	int ended;
	int error;
	int connected;
	int closed;
	bool is_unwanted;                      /* whoever comes is sent away */
	char client[SFRONT_ADDRESS_TEXT_SIZE]; /* who came last */
} web;

static void answer(struct evhttp_request *request, void *data)
{
	struct evbuffer *output = evhttp_request_get_output_buffer(request);
	const char *path = evhttp_request_get_uri(request);
	struct sfront_connection connection;
	char who[SFRONT_ADDRESS_TEXT_SIZE], *large;

	(void)data;
	if (strcmp(path, "/conninfo") == 0) {
		CHECK(sfront_evhttp_connection(web.server, request, &connection) == 0);
		sfront_connection_format(&connection, who, sizeof(who));
		evbuffer_add_printf(output, "%s", who);
	} else if (strcmp(path, "/large") == 0) {
		large = calloc(1, LARGE);
		memset(large, 'x', LARGE);
		evbuffer_add(output, large, LARGE);
		free(large);
	} else {
		evbuffer_add_buffer(output, evhttp_request_get_input_buffer(request));
		evbuffer_add_printf(output, "hello");
	}
	evhttp_send_reply(request, HTTP_OK, NULL, NULL);
}

static void web_ended(void *data, int error)
{
	(void)data;
	web.ended++;
	web.error = error;
	event_base_loopbreak(web.base);
}

static void web_closed(struct evhttp_connection *connection, void *data)
{
	(void)connection;
	(void)data;
	web.closed++;
}

static void web_connected(void *data, struct evhttp_connection *connection,
			  const struct sfront_connection *client)
{
	(void)data;
	web.connected++;
	sfront_connection_format(client, web.client, sizeof(web.client));
	evhttp_connection_set_closecb(connection, web_closed, NULL);
	if (web.is_unwanted)
		evhttp_connection_free(connection);
}

static void web_begin(struct sfront_listener *listener)
{
	static const struct sfront_evhttp_calls web_calls = { .size = sizeof(web_calls),
							      .ended = web_ended,
							      .connected = web_connected };

	signal(SIGPIPE, SIG_IGN);
	memset(&web, 0, sizeof(web));
	failures_left = 0;
	web.base = event_base_new();
	web.http = evhttp_new(web.base);
	evhttp_set_gencb(web.http, answer, NULL);
	CHECK(sfront_evhttp_new(web.base, web.http, listener, &web_calls, NULL, &web.server,
				&why) == 0);
}

static void web_end(struct sfront_listener *listener)
{
	sfront_evhttp_free(web.server);
	evhttp_free(web.http);
	event_base_free(web.base);
	sfront_listener_close(listener);
}

/* A client with what it sends, in a thread of its own. */
struct visitor {
	int fd; /* to send and to read from */
	const char *request;
	char *reply; /* owned */
	size_t len;
	pthread_t thread;
};

static void *visit(void *arg)
{
	struct visitor *visitor = arg;
	size_t size = LARGE + 4096;
	ssize_t n;

	visitor->reply = calloc(1, size);
	CHECK(write(visitor->fd, visitor->request, strlen(visitor->request)) ==
	      (ssize_t)strlen(visitor->request));
	do {
		n = read(visitor->fd, visitor->reply + visitor->len, size - visitor->len - 1);
		visitor->len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	close(visitor->fd);
	return NULL;
}

static void send_visitor(struct visitor *visitor, int fd, const char *request)
{
	*visitor = (struct visitor){ .fd = fd, .request = request };
	CHECK(pthread_create(&visitor->thread, NULL, visit, visitor) == 0);
}

/* Runs the loop until the visitor has gone; the reply is the caller's to free. */
static char *see_off(struct visitor *visitor)
{
	const struct timespec tick = { .tv_nsec = 5000000 };

	for (int i = 0; i < 4000 && pthread_tryjoin_np(visitor->thread, NULL) != 0; i++) {
		event_base_loop(web.base, EVLOOP_NONBLOCK);
		nanosleep(&tick, NULL);
		CHECK(i < 3999);
	}
	return visitor->reply;
}

/* Sends one request that closes, and looks for @part in what comes back. */
static void expect(int fd, const char *path, const char *part)
{
	struct visitor visitor;
	char request[128], *reply;

	snprintf(request, sizeof(request),
		 "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
	send_visitor(&visitor, fd, request);
	reply = see_off(&visitor);
	CHECK_CONTAINS(reply, "HTTP/1.1 200 OK");
	CHECK_CONTAINS(reply, part);
	free(reply);
}

static void test_http_over_tcp(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct sfront_sockaddr local = { .len = sizeof(local.sa) };
	char who[SFRONT_ADDRESS_TEXT_SIZE];
	int fd;

	(void)state;
	web_begin(listener);
	for (int i = 0; i < 3; i++)
		expect(connect_to(listener, 0), "/", "hello");
	fd = connect_to(listener, 0);
	assert_int_equal(getsockname(fd, &local.sa.any, &local.len), 0);
	sfront_sockaddr_format(&local, who, sizeof(who));
	expect(fd, "/conninfo", who);
	web_end(listener);
}

static void test_http_over_unix_and_in_memory(void **state)
{
	struct sfront_listener *listener = must_open("@sockfront-test-event", "");
	char who[64];

	(void)state;
	snprintf(who, sizeof(who), "unix(pid=%d,uid=%u", (int)getpid(), getuid());
	web_begin(listener);
	expect(connect_to(listener, 0), "/conninfo", who);
	web_end(listener);

	listener = memory_listener(0, NULL);
	web_begin(listener);
	expect(sfront_memory_connect(listener), "/conninfo", who);
	web_end(listener);
}

/* A reply of several megabytes, and a client that is accepted while it goes out. */
static void test_http_large_and_at_once(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct visitor visitors[8];

	(void)state;
	web_begin(listener);
	for (int i = 0; i < 8; i++)
		send_visitor(&visitors[i], connect_to(listener, 0),
			     i % 2 ? "GET / HTTP/1.0\r\n\r\n" : "GET /large HTTP/1.0\r\n\r\n");
	for (int i = 0; i < 8; i++) {
		char *reply = see_off(&visitors[i]);

		if (i % 2)
			CHECK_CONTAINS(reply, "hello");
		else
			assert_true(visitors[i].len > LARGE);
		free(reply);
	}
	web_end(listener);
}

/* evhttp would take the headers for requests. */
static void test_http_refuses_headers(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "accept-proxy-protocol");
	struct event_base *base = event_base_new();
	struct evhttp *http = evhttp_new(base);
	struct sfront_evhttp *server;

	(void)state;
	assert_int_equal(sfront_evhttp_new(base, http, listener, NULL, NULL, &server, &why),
			 -EOPNOTSUPP);
	assert_contains(why.message, "accept-proxy-protocol");
	evhttp_free(http);
	event_base_free(base);
	sfront_listener_close(listener);
}

/* Told who a client is before it has said anything, and of its end. */
static void test_http_connected(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct sfront_sockaddr local = { .len = sizeof(local.sa) };
	char who[SFRONT_ADDRESS_TEXT_SIZE];
	int fd = connect_to(listener, 0);

	(void)state;
	assert_int_equal(getsockname(fd, &local.sa.any, &local.len), 0);
	sfront_sockaddr_format(&local, who, sizeof(who));
	web_begin(listener);
	while (web.connected == 0)
		event_base_loop(web.base, EVLOOP_ONCE);
	assert_string_equal(web.client, who);
	assert_int_equal(web.closed, 0);
	close(fd);
	while (web.closed == 0)
		event_base_loop(web.base, EVLOOP_ONCE);
	web_end(listener);
}

static void test_http_sent_away(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct visitor visitor;

	(void)state;
	web_begin(listener);
	web.is_unwanted = true;
	send_visitor(&visitor, connect_to(listener, 0), "GET / HTTP/1.0\r\n\r\n");
	free(see_off(&visitor));
	assert_int_equal(visitor.len, 0);
	web.is_unwanted = false;
	expect(connect_to(listener, 0), "/", "hello");
	assert_int_equal(web.connected, 2);
	web_end(listener);
}

static void test_http_paused(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct visitor visitor;

	(void)state;
	web_begin(listener);
	sfront_evhttp_pause(web.server);
	sfront_evhttp_pause(web.server);
	send_visitor(&visitor, connect_to(listener, 0), "GET / HTTP/1.0\r\n\r\n");
	for (int i = 0; i < 20; i++) {
		event_base_loop(web.base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
	assert_int_equal(web.connected, 0);
	sfront_evhttp_resume(web.server);
	free(see_off(&visitor));
	assert_true(visitor.len > 0);
	assert_int_equal(web.connected, 1);
	expect(connect_to(listener, 0), "/", "hello"); /* by the next door */
	web_end(listener);
}

static void test_http_keeps_alive(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");
	struct visitor visitor;
	char *reply;

	(void)state;
	web_begin(listener);
	send_visitor(&visitor, connect_to(listener, 0),
		     "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
		     "GET /conninfo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	reply = see_off(&visitor);
	CHECK_CONTAINS(reply, "hello");
	CHECK_CONTAINS(reply, "127.0.0.1:");
	free(reply);
	web_end(listener);
}

/* evhttp's own accept() meets the shortage that ours did not: the client waits. */
static void test_http_when_descriptors_are_out(void **state)
{
	struct sfront_listener *listener = memory_listener(0, NULL);
	struct visitor visitor;

	(void)state;
	web_begin(listener);
	failure = EMFILE;
	failures_left = 2;
	send_visitor(&visitor, sfront_memory_connect(listener), "GET / HTTP/1.0\r\n\r\n");
	free(see_off(&visitor));
	assert_int_equal(failures_left, 0);
	assert_true(visitor.len > 0);
	web_end(listener);
}

static void test_http_stops(void **state)
{
	struct sfront_listener *listener = must_open("127.0.0.1:0", "");

	(void)state;
	web_begin(listener);
	expect(connect_to(listener, 0), "/", "hello");
	sfront_evhttp_stop(web.server);
	assert_int_equal(web.ended, 0); /* from the loop alone */
	event_base_loop(web.base, EVLOOP_NONBLOCK);
	assert_int_equal(web.ended, 1);
	assert_int_equal(web.error, 0);
	sfront_evhttp_stop(web.server);
	event_base_loop(web.base, EVLOOP_NONBLOCK);
	assert_int_equal(web.ended, 1);
	web_end(listener);
}

/* With clients that are connected, being taken, and not yet accepted. */
static void test_http_freed_at_any_moment(void **state)
{
	(void)state;
	for (int turns = 0; turns < 6; turns++) {
		struct sfront_listener *listener = must_open("127.0.0.1:0", "");
		int clients[3];

		web_begin(listener);
		for (int i = 0; i < 3; i++)
			clients[i] = connect_to(listener, 0);
		for (int i = 0; i < turns; i++)
			event_base_loop(web.base, EVLOOP_NONBLOCK);
		web_end(listener);
		close_all(clients, 3);
	}
}

/* ---- evhttp on what is no listening socket ---------------------------------- */

static void become_stdio(int in, int out)
{
	CHECK(dup2(in, STDIN_FILENO) == 0 && dup2(out, STDOUT_FILENO) == 1);
	close(in);
	if (out != in)
		close(out);
}

static void run_to_the_end(struct sfront_listener *listener)
{
	event_base_dispatch(web.base);
	CHECK(web.ended == 1 && web.error == -ESHUTDOWN);
	web_end(listener);
}

static void inetd_socket(void)
{
	struct sfront_listener *listener;
	struct visitor visitor;
	char who[64];
	int pair[2], shared;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	shared = fcntl(pair[0], F_DUPFD_CLOEXEC, 50);
	become_stdio(pair[0], pair[0]);
	listener = must_open("-", "");
	web_begin(listener);
	send_visitor(&visitor, dup(pair[1]),
		     "GET /conninfo HTTP/1.1\r\nHost: x\r\n\r\n"
		     "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	run_to_the_end(listener);
	CHECK(!is_nonblocking(shared));
	close(shared);
	pthread_join(visitor.thread, NULL);
	snprintf(who, sizeof(who), "unix(pid=%d,", (int)getpid());
	CHECK_CONTAINS(visitor.reply, who);
	CHECK(visitor.len > LARGE);
	free(visitor.reply);
}

static void inetd_pipes_and_files(void)
{
	static const char request[] = "GET /conninfo HTTP/1.0\r\n\r\n";
	char name[] = "/tmp/sockfront-test-event.XXXXXX", reply[512] = "";
	struct sfront_listener *listener;
	int file = mkstemp(name), in[2];

	CHECK(file >= 0 && unlink(name) == 0 && pipe2(in, O_CLOEXEC) == 0);
	CHECK(write(in[1], request, strlen(request)) > 0);
	close(in[1]); /* the request ends, the answer comes all the same */
	become_stdio(in[0], file);
	file = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 50);
	listener = must_open("-", "");
	web_begin(listener);
	run_to_the_end(listener);
	CHECK(pread(file, reply, sizeof(reply) - 1, 0) > 0);
	CHECK_CONTAINS(reply, "200 OK");
	CHECK_CONTAINS(reply, "stdin");
	close(file);
}

static void inetd_client_without_a_request(void)
{
	struct sfront_listener *listener;
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	become_stdio(pair[0], pair[0]);
	listener = must_open("-", "");
	web_begin(listener);
	close(pair[1]);
	run_to_the_end(listener);
}

static void inherited_connection(void)
{
	struct sfront_listener *source = must_open("127.0.0.1:0", ""), *listener;
	struct sfront_connection connection;
	struct visitor visitor;
	char text[32];

	send_visitor(&visitor, connect_to(source, 0),
		     "GET /conninfo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	while (sfront_listener_accept(source, &connection) == -EAGAIN)
		continue;
	sfront_listener_close(source);
	snprintf(text, sizeof(text), "accept-from-fd:%d", connection.read_fd);
	listener = must_open(text, "");
	web_begin(listener);
	run_to_the_end(listener);
	pthread_join(visitor.thread, NULL);
	CHECK_CONTAINS(visitor.reply, "127.0.0.1:");
	free(visitor.reply);
}

#define child_test(name)                      \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		in_child(name);               \
	}

child_test(inetd_socket) child_test(inetd_pipes_and_files)
	child_test(inetd_client_without_a_request) child_test(inherited_connection)

		int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_accepts),
		counted(test_pause_and_resume),
		counted(test_freed_in_its_call),
		counted(test_rests_when_descriptors_are_out),
		counted(test_broken_listener_ends),
		counted(test_wants_an_accepted_call),
		counted(test_http_over_tcp),
		counted(test_http_over_unix_and_in_memory),
		counted(test_http_large_and_at_once),
		counted(test_http_connected),
		counted(test_http_sent_away),
		counted(test_http_paused),
		counted(test_http_keeps_alive),
		counted(test_http_when_descriptors_are_out),
		counted(test_http_stops),
		counted(test_http_freed_at_any_moment),
		counted(test_http_refuses_headers),
		counted(test_inetd_socket),
		counted(test_inetd_pipes_and_files),
		counted(test_inetd_client_without_a_request),
		counted(test_inherited_connection),
	};

	return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
