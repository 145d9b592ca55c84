/* SPDX-License-Identifier: MIT */
/*
 * Answers in turns and streams, with paths of the test's own: what is made waits for what is
 * written, what a client sends beyond its request stays outside, and each answer is ended once.
 */
#include "tests/unit/sockets.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "conf/conf.h"
#include "daemon/proxy/listener.h"
#include "daemon/proxy/status_section.h"
#include "daemon/status/answer.h"
#include "daemon/status/http.h"
#include "daemon/status/http_stream.h"
#include "daemon/status/status.h"

#define PIECE   (64 * 1024)
#define PIECES  100
#define STREAMS 40

static struct {
	struct event_base *base;
	struct http *http;
	struct status_section section;
	struct status_config config;
	struct listener *listener;
	unsigned int begun, made, ended; /* answers, pieces */
	struct http_stream *streams[STREAMS];
	unsigned int n_streams;
} world;

/* ---- paths ---- */

struct long_answer {
	unsigned int left;
	bool has_gaps; /* every other piece is empty */
};

static void *begin(struct status *status, const struct answer_request *request, int *ret_code,
		   const char **ret_type)
{
	struct long_answer *answer = calloc(1, sizeof(*answer));

	(void)status;
	(void)request;
	*ret_type = "application/x-test";
	*ret_code = 203;
	world.begun++;
	answer->left = PIECES;
	return answer;
}

static void *begin_with_gaps(struct status *status, const struct answer_request *request,
			     int *ret_code, const char **ret_type)
{
	struct long_answer *answer = begin(status, request, ret_code, ret_type);

	answer->left = 20;
	answer->has_gaps = true;
	return answer;
}

static bool more(void *data, struct evbuffer *out)
{
	static const char piece[PIECE] = { 'p' };
	struct long_answer *answer = data;

	world.made++;
	answer->left--;
	if (!answer->has_gaps || answer->left % 2 == 0)
		evbuffer_add(out, piece, sizeof(piece));
	return answer->left > 0;
}

static void end(void *answer)
{
	world.ended++;
	free(answer);
}

static void *begin_nothing(struct status *status, const struct answer_request *request,
			   int *ret_code, const char **ret_type)
{
	(void)status;
	(void)request;
	(void)ret_type;
	*ret_code = 200; /* which counts for nothing then */
	return NULL;
}

static void open_stream(void *answer, struct http_stream *stream)
{
	(void)answer;
	world.streams[world.n_streams++] = stream;
}

static const struct answer_route long_route = {
	.path = "/long", .policy = "default-src 'self'", .begin = begin, .more = more, .end = end
};
static const struct answer_route gaps_route = {
	.path = "/gaps", .begin = begin_with_gaps, .more = more, .end = end
};
static const struct answer_route nothing_route = {
	.path = "/nothing", .begin = begin_nothing, .more = more, .end = end
};
static const struct answer_route stream_route = {
	.path = "/stream", .begin = begin, .end = end, .open = open_stream
};
static const struct answer_route *const routes[] = { &long_route, &gaps_route, &nothing_route,
						     &stream_route, NULL };

/* ---- the server, and its clients ---- */

static int setup(void **state)
{
	static struct status status;
	static struct sfront_address address;

	(void)state;
	memset(&world, 0, sizeof(world));
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(sfront_address_parse("@sockfront-test-http", &address, &why), 0);
	world.listener = listener_new(&address, 0, NULL, must_open("@sockfront-test-http", ""));
	world.section.config = &world.config;
	world.section.listeners = &world.listener;
	world.section.n_listeners = 1;
	world.base = event_base_new();
	assert_int_equal(event_base_priority_init(world.base, 3), 0);
	world.http = http_new(world.base, routes, &status);
	assert_non_null(world.http);
	http_listen(world.http, &world.section);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	http_free(world.http);
	listener_unref(world.listener);
	event_base_free(world.base);
	assert_int_equal(world.ended, world.begun);
	return 0;
}

static void turn(void)
{
	const struct timespec tick = { .tv_nsec = 1000000 };

	event_base_loop(world.base, EVLOOP_NONBLOCK);
	nanosleep(&tick, NULL);
}

/* Turns until @condition, for a minute at most. */
#define TURN_UNTIL(condition)                        \
	do {                                         \
		for (int t = 0; !(condition); t++) { \
			assert_true(t < 60000);      \
			turn();                      \
		}                                    \
	} while (0)

static void turn_for_a_while(void)
{
	for (int i = 0; i < 100; i++)
		turn();
}

static int ask(const char *path)
{
	int fd = connect_to(world.listener->open, 0);
	char request[128];
	int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
			 path);

	assert_int_equal(send(fd, request, (size_t)n, 0), n);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

struct reply {
	char head[1024]; /* what came first, as text */
	size_t n;
	bool is_over;
};

static void read_some(int fd, struct reply *reply)
{
	static char data[1 << 20];
	ssize_t n = recv(fd, data, sizeof(data), 0);

	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		reply->is_over = true;
		return;
	}
	if (n < 0)
		return;
	if (reply->n < sizeof(reply->head) - 1) {
		size_t room = sizeof(reply->head) - 1 - reply->n;

		memcpy(reply->head + reply->n, data, (size_t)n < room ? (size_t)n : room);
	}
	reply->n += (size_t)n;
}

static bool has_ended(int fd, struct reply *reply)
{
	read_some(fd, reply);
	return reply->is_over;
}

static bool has_come(int fd, struct reply *reply, const char *text)
{
	read_some(fd, reply);
	return strstr(reply->head, text);
}

/* ---- turns ---- */

static void test_pieces_wait_for_the_client(void **state)
{
	struct reply reply = { .n = 0 };
	int fd = ask("/long");
	unsigned int made;

	(void)state;
	TURN_UNTIL(world.made > 0);
	turn_for_a_while();
	made = world.made;
	assert_in_range(made, 1, PIECES / 4);
	turn_for_a_while();
	assert_int_equal(world.made, made);
	assert_int_equal(world.ended, 0);

	TURN_UNTIL(has_ended(fd, &reply));
	assert_int_equal(world.made, PIECES);
	assert_int_equal(world.ended, 1);
	assert_true(reply.n > (size_t)PIECES * PIECE);
	assert_contains(reply.head, "HTTP/1.1 203 ");
	assert_contains(reply.head, "Content-Type: application/x-test\r\n");
	assert_contains(reply.head, "Content-Security-Policy: default-src 'self'\r\n");
	close(fd);
}

static void test_empty_pieces(void **state)
{
	struct reply reply = { .n = 0 };
	int fd = ask("/gaps");

	(void)state;
	TURN_UNTIL(has_ended(fd, &reply));
	assert_true(reply.n > 10 * PIECE);
	assert_int_equal(world.made, 20);
	close(fd);
}

static void test_client_that_leaves(void **state)
{
	int fd = ask("/long");

	(void)state;
	TURN_UNTIL(world.made > 0);
	close(fd);
	TURN_UNTIL(world.ended == 1);
	assert_true(world.made < PIECES);
}

/* Ten seconds without a byte, and it is closed. */
static void test_client_that_never_reads(void **state)
{
	int answer = ask("/long"), stream = ask("/stream");
	struct evbuffer *event = evbuffer_new();

	(void)state;
	TURN_UNTIL(world.made > 0 && world.n_streams == 1);
	do {
		evbuffer_add_printf(event, "%065536d", 0);
		turn();
	} while (http_stream_send(world.streams[0], event));
	TURN_UNTIL(world.ended == 2);
	evbuffer_free(event);
	close(answer);
	close(stream);
}

static void test_out_of_memory(void **state)
{
	struct reply reply = { .n = 0 };
	int fd = ask("/nothing");

	(void)state;
	TURN_UNTIL(has_ended(fd, &reply));
	assert_contains(reply.head, "HTTP/1.1 503 ");
	close(fd);
}

static void test_ended_with_all_under_way(void **state)
{
	int answer = ask("/long"), stream = ask("/stream"), silent;

	(void)state;
	silent = connect_to(world.listener->open, 0);
	TURN_UNTIL(world.made > 0 && world.n_streams == 1);
	http_free(world.http);
	world.http = NULL;
	assert_int_equal(world.ended, 2);
	close(answer);
	close(stream);
	close(silent);
}

/* ---- streams ---- */

static void test_events(void **state)
{
	struct reply reply = { .n = 0 };
	struct evbuffer *event = evbuffer_new();
	int fd = ask("/stream");

	(void)state;
	TURN_UNTIL(world.n_streams == 1);
	TURN_UNTIL(has_come(fd, &reply, "203"));
	for (int i = 0; i < 3; i++) {
		char text[32];

		snprintf(text, sizeof(text), "event %d", i);
		evbuffer_add(event, text, strlen(text));
		assert_true(http_stream_send(world.streams[0], event));
		assert_int_equal(evbuffer_get_length(event), 0);
		TURN_UNTIL(has_come(fd, &reply, text));
	}
	assert_int_equal(world.ended, 0);
	close(fd);
	TURN_UNTIL(world.ended == 1);
	evbuffer_free(event);
}

/* What is not read is not piled up. */
static void test_events_that_are_left_out(void **state)
{
	struct evbuffer *event = evbuffer_new();
	struct reply reply = { .n = 0 };
	int fd = ask("/stream"), sent = 0;
	bool was_sent;

	(void)state;
	TURN_UNTIL(world.n_streams == 1);
	do {
		evbuffer_add_printf(event, "%032768d", 0);
		was_sent = http_stream_send(world.streams[0], event);
		sent += was_sent;
		assert_true(sent < 1000);
		turn();
	} while (was_sent);
	assert_int_equal(evbuffer_get_length(event), 32768);
	assert_true(sent >= 8);
	for (int i = 0; i < 1000 && !http_stream_send(world.streams[0], event); i++) {
		read_some(fd, &reply);
		turn();
	}
	assert_int_equal(evbuffer_get_length(event), 0);
	assert_int_equal(world.ended, 0);
	evbuffer_free(event);
	close(fd);
	TURN_UNTIL(world.ended == 1);
}

static void test_so_many_streams_and_no_more(void **state)
{
	struct reply reply = { .n = 0 };
	int fds[32], more_than_that, other;

	(void)state;
	for (unsigned int i = 0; i < 32; i++)
		fds[i] = ask("/stream");
	TURN_UNTIL(world.n_streams == 32);
	more_than_that = ask("/stream");
	TURN_UNTIL(has_ended(more_than_that, &reply));
	assert_contains(reply.head, "HTTP/1.1 503 ");
	other = ask("/gaps");
	reply = (struct reply){ .n = 0 };
	TURN_UNTIL(has_ended(other, &reply));
	assert_contains(reply.head, "HTTP/1.1 203 ");

	close(fds[0]);
	TURN_UNTIL(world.ended == 2);
	fds[0] = ask("/stream");
	TURN_UNTIL(world.n_streams == 33);
	for (unsigned int i = 0; i < 32; i++)
		close(fds[i]);
	close(more_than_that);
	close(other);
	TURN_UNTIL(world.ended == world.begun);
}

static bool notices_that_the_client_is_gone(struct evbuffer *event)
{
	if (world.n_streams > 0 && world.ended == 0) {
		evbuffer_add(event, "x", 1);
		(void)http_stream_send(world.streams[0], event);
	}
	return world.ended == world.begun;
}

/* As much as goes in behind a request that is being answered: plain evhttp takes all of it. */
static void test_what_comes_behind_stays_outside(void **state)
{
	static const char *const paths[] = { "/stream", "/long" };
	static const char behind[65536];
	struct evbuffer *event = evbuffer_new();

	(void)state;
	for (int i = 0; i < 2; i++) {
		size_t total = 0;
		int fd = ask(paths[i]);

		TURN_UNTIL(world.begun == (unsigned int)i + 1);
		for (int j = 0; j < 1100; j++) {
			ssize_t n = send(fd, behind, sizeof(behind), 0);

			total += n > 0 ? (size_t)n : 0;
			event_base_loop(world.base, EVLOOP_NONBLOCK);
		}
		assert_in_range(total, 1, 4 << 20);
		assert_int_equal(world.ended, i);
		close(fd);
		TURN_UNTIL(notices_that_the_client_is_gone(event));
	}
	evbuffer_free(event);
}

static void test_head_begins_no_stream(void **state)
{
	struct reply reply = { .n = 0 };
	int fd = connect_to(world.listener->open, 0);
	static const char head[] = "HEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n";

	(void)state;
	assert_int_equal(send(fd, head, strlen(head), 0), strlen(head));
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	TURN_UNTIL(has_ended(fd, &reply));
	assert_contains(reply.head, "HTTP/1.1 203 ");
	assert_int_equal(world.n_streams, 0);
	assert_int_equal(world.ended, 1);
	close(fd);
}

/* Who has asked gets the answer, and who only watches may ask elsewhere. */
static void test_listener_that_goes(void **state)
{
	struct reply reply = { .n = 0 }, events = { .n = 0 };
	int fd = ask("/long"), stream = ask("/stream");

	(void)state;
	TURN_UNTIL(world.made > 0 && world.n_streams == 1);
	http_listen(world.http, NULL);
	assert_int_equal(world.ended, 1);
	TURN_UNTIL(has_ended(stream, &events));
	assert_contains(events.head, "\r\n\r\n0\r\n\r\n");
	TURN_UNTIL(has_ended(fd, &reply));
	assert_true(reply.n > (size_t)PIECES * PIECE);
	close(fd);
	close(stream);

	http_listen(world.http, &world.section);
	fd = ask("/gaps");
	reply = (struct reply){ .n = 0 };
	TURN_UNTIL(has_ended(fd, &reply));
	close(fd);
}

#define COUNTED(test)                              \
	{                                          \
#test, test, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		COUNTED(test_pieces_wait_for_the_client),
		COUNTED(test_empty_pieces),
		COUNTED(test_client_that_leaves),
		COUNTED(test_client_that_never_reads),
		COUNTED(test_out_of_memory),
		COUNTED(test_ended_with_all_under_way),
		COUNTED(test_events),
		COUNTED(test_events_that_are_left_out),
		COUNTED(test_so_many_streams_and_no_more),
		COUNTED(test_what_comes_behind_stays_outside),
		COUNTED(test_head_begins_no_stream),
		COUNTED(test_listener_that_goes),
	};

	return cmocka_run_group_tests(tests, descriptors_setup, descriptors_teardown);
}
