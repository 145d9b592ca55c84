/* SPDX-License-Identifier: MIT */
/*
 * A check: see check.h.  Between probe.c, which has one made, and connect.c, which connects.
 */
#include "daemon/backend/check.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sockfront/proxy_protocol.h>

#include "conf/conf.h"
#include "daemon/backend/backend.h"
#include "daemon/backend/connect.h"
#include "daemon/base/clock.h"
#include "daemon/base/loop.h"

/* What is expected is within that much of an answer. */
#define ANSWER_MAX 4096

/*
 *	            connected                  enough has come
 *	CONNECTING -----------> AWAITING ---------------------------> over
 *	     |                      an end, a reset, the time is over   ^
 *	     '----------------------------------------------------------'
 *	       it fails, or nothing is expected
 */
struct check {
	struct loop *loop;       /* borrowed */
	struct backend *backend; /* borrowed */
	struct server *server;
	check_done *done;
	void *arg;
	uint64_t deadline_ms;
	struct attempt *attempt; /* while CONNECTING */
	struct event readable;   /* while AWAITING; its fd is the socket, owned */
	bool is_awaiting;
	size_t n; /* bytes of the answer */
	char answer[ANSWER_MAX];
};

static const struct check_config *config_of(const struct check *check)
{
	return &backend_settings(check->backend)->check;
}

static void check_free(struct check *check)
{
	attempt_cancel(check->attempt);
	if (check->is_awaiting) {
		event_del(&check->readable);
		close(event_get_fd(&check->readable));
	}
	free(check);
}

void check_cancel(struct check *check)
{
	if (check)
		check_free(check);
}

static void end(struct check *check, bool has_passed)
{
	check_done *done = check->done;
	void *arg = check->arg;

	check_free(check);
	done(arg, has_passed);
}

static void pass(struct check *check)
{
	backend_note_passed_check(check->backend, check->server);
	end(check, true);
}

/* @reason: in words */
static void fail(struct check *check, const char *reason)
{
	backend_note_failed_check(check->backend, check->server, reason);
	end(check, false);
}

/* ---- what is sent ---- */

/* A new socket has room for all of it.  Returns 0 or -errno. */
static int say(int fd, const void *data, size_t size)
{
	ssize_t n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EAGAIN;
}

/* A server that is used to headers takes a connection without one for an attack. */
static int say_who(unsigned int version, int fd)
{
	char text[SFRONT_PROXY_V2_MAX];
	struct sfront_proxy_writer writer = { .buf = text, .size = sizeof(text) };
	int size;

	if (version == 1) {
		size = sfront_proxy_format_v1(NULL, NULL, text, sizeof(text));
	} else {
		(void)sfront_proxy_begin_v2(&writer, NULL, NULL);
		size = sfront_proxy_finish(&writer);
	}
	return size > 0 ? say(fd, text, (size_t)size) : 0;
}

static int say_all(const struct check *check, int fd)
{
	unsigned int version = backend_settings(check->backend)->send_proxy_protocol;
	const struct bytes *send = &config_of(check)->send;
	int r = version > 0 ? say_who(version, fd) : 0;

	return r == 0 && send->n > 0 ? say(fd, send->data, send->n) : r;
}

/* ---- what comes back ---- */

enum match { MATCH, MISMATCH, TOO_SHORT };

static enum match compare(const struct check *check)
{
	const struct expectation *expect = &config_of(check)->expect;
	const struct bytes *wanted = &expect->bytes;
	size_t n = check->n < wanted->n ? check->n : wanted->n;

	if (expect->is_anywhere) {
		if (memmem(check->answer, check->n, wanted->data, wanted->n))
			return MATCH;
		return check->n < ANSWER_MAX ? TOO_SHORT : MISMATCH;
	}
	if (memcmp(check->answer, wanted->data, n) != 0)
		return MISMATCH;
	return n == wanted->n ? MATCH : TOO_SHORT;
}

static struct timeval rest_of(const struct check *check)
{
	uint64_t now = clock_ms();

	return timeval_from_ms(check->deadline_ms > now ? check->deadline_ms - now : 0);
}

/* Its time goes on from the beginning, however much comes, and how slowly. */
static void await_more(struct check *check)
{
	struct timeval rest = rest_of(check);

	(void)event_add(&check->readable, &rest);
}

static void more_has_come(struct check *check)
{
	switch (compare(check)) {
	case MATCH:
		pass(check);
		break;
	case MISMATCH:
		fail(check, "its answer is not the one that is expected");
		break;
	case TOO_SHORT:
		await_more(check);
		break;
	}
}

static void take(struct check *check, int fd)
{
	ssize_t n = recv(fd, check->answer + check->n, ANSWER_MAX - check->n, MSG_DONTWAIT);

	if (n > 0) {
		check->n += (size_t)n;
		more_has_come(check);
	} else if (n == 0) {
		fail(check, "it ends without the answer that is expected");
	} else if (errno == EAGAIN || errno == EINTR) {
		await_more(check);
	} else {
		fail(check, strerror(errno));
	}
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
	if (what & EV_READ)
		take(arg, fd);
	else
		fail(arg, "it does not answer in time");
}

/* The socket is the check's from here on. */
static void await(struct check *check, int fd)
{
	struct timeval rest = rest_of(check);

	event_assign(&check->readable, check->loop->base, fd, EV_READ | EV_PERSIST, readable,
		     check);
	check->is_awaiting = event_add(&check->readable, &rest) == 0;
	if (check->is_awaiting)
		return;
	close(fd);
	end(check, false); /* a shortage of our own */
}

static void connected(struct check *check, int fd)
{
	int r = say_all(check, fd);

	if (config_of(check)->expect.bytes.data && r == 0) {
		await(check, fd);
		return;
	}
	close(fd);
	/* Without an expectation it has done its part by accepting. */
	if (r < 0 && config_of(check)->expect.bytes.data)
		fail(check, strerror(-r));
	else
		pass(check);
}

static void attempt_over(void *arg, const struct outcome *outcome)
{
	struct check *check = arg;

	check->attempt = NULL;
	if (outcome->fd >= 0)
		connected(check, outcome->fd);
	else
		end(check, false); /* the attempt has noted it */
}

struct check *check_start(struct loop *loop, struct backend *backend, struct server *server,
			  uint64_t timeout_ms, check_done *done, void *arg)
{
	struct check *check = malloc(sizeof(*check));

	if (!check)
		return NULL;
	check->loop = loop;
	check->backend = backend;
	check->server = server;
	check->done = done;
	check->arg = arg;
	check->deadline_ms = clock_sum_ms(clock_ms(), timeout_ms);
	check->is_awaiting = false;
	check->n = 0;
	check->attempt = attempt_probe(loop, backend, server, timeout_ms, attempt_over, check);
	if (check->attempt)
		return check;
	free(check);
	return NULL;
}
