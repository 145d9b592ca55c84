/* SPDX-License-Identifier: MIT */
/*
 * A request in HTTP/1.0, whose answer ends with the connection: see http_get.h.
 */
#include "daemon/http_get.h"

#include <errno.h>
#include <event2/buffer.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backend/dial.h"
#include "daemon/backend/loop_guard.h"
#include "daemon/base/clock.h"

#define ANSWER_MAX ((size_t)64 * 1024 * 1024)

/* ---- connecting ---- */

/* Until something of @events is so.  Returns 0, -ETIMEDOUT or another -errno. */
static int wait_for(int fd, short events, uint64_t until_ms)
{
	struct pollfd pollfd = { .fd = fd, .events = events };
	uint64_t now_ms = clock_exact_ms();
	int n;

	if (now_ms >= until_ms)
		return -ETIMEDOUT;
	n = poll(&pollfd, 1, (int)(until_ms - now_ms));
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}

/* The queue of a UNIX socket is full, of which there is no event to wait for. */
static int rest(uint64_t until_ms)
{
	if (clock_exact_ms() >= until_ms)
		return -ETIMEDOUT;
	(void)poll(NULL, 0, 50);
	return 0;
}

static int finish_connecting(const struct dial_options *options, const struct sfront_sockaddr *addr,
			     int fd, uint64_t until_ms)
{
	int r = -EINPROGRESS;

	while (r == -EINPROGRESS) {
		r = wait_for(fd, POLLOUT, until_ms);
		if (r == 0)
			r = dial_result(options, addr, fd, NULL);
	}
	return r;
}

static int connect_by(const struct dial_options *options, const struct sfront_sockaddr *addr,
		      uint64_t until_ms)
{
	int fd, r;

	while ((r = dial(options, NULL, addr, &fd)) == -EAGAIN) {
		r = rest(until_ms);
		if (r < 0)
			return r;
	}
	if (r != -EINPROGRESS && !dial_is_connected(r))
		return r;
	if (r == -EINPROGRESS)
		r = finish_connecting(options, addr, fd, until_ms);
	if (dial_is_connected(r))
		return fd;
	close(fd);
	return r;
}

int http_connect(const struct sfront_sockaddr *addr, uint64_t until_ms)
{
	struct loop_guard *guard = loop_guard_new();
	const struct dial_options options = { .guard = guard };
	int fd;

	if (!guard)
		return -ENOMEM;
	fd = connect_by(&options, addr, until_ms);
	loop_guard_unref(guard);
	return fd;
}

/* ---- asking ---- */

static int send_request(int fd, const char *path, uint64_t until_ms)
{
	char text[256];
	size_t size = (size_t)snprintf(text, sizeof(text), "GET %s HTTP/1.0\r\n\r\n", path);
	ssize_t n;
	int r;

	for (size_t sent = 0; sent < size; sent += (size_t)n) {
		r = wait_for(fd, POLLOUT, until_ms);
		if (r < 0)
			return r;
		n = write(fd, text + sent, size - sent);
		/* The answer may be there all the same, and says more. */
		if (n < 0)
			return errno == EPIPE || errno == ECONNRESET ? 0 : -errno;
	}
	return 0;
}

static int read_answer(int fd, uint64_t until_ms, struct evbuffer *answer)
{
	int n = 1, r;

	while (n > 0) {
		if (evbuffer_get_length(answer) > ANSWER_MAX)
			return -EMSGSIZE;
		r = wait_for(fd, POLLIN, until_ms);
		if (r < 0)
			return r;
		n = evbuffer_read(answer, fd, -1);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			n = 1;
		else if (n < 0)
			return -errno;
	}
	return evbuffer_get_length(answer) > 0 ? 0 : -ECONNRESET;
}

/* Moves what is behind the headers to @body.  Returns the status code, or -EPROTO. */
static int take_apart(struct evbuffer *answer, struct evbuffer *body)
{
	struct evbuffer_ptr end = evbuffer_search(answer, "\r\n\r\n", 4, NULL);
	char first[16] = "";
	int code;

	evbuffer_copyout(answer, first, sizeof(first) - 1);
	if (end.pos < 0 || sscanf(first, "HTTP/1.%*1[01] %3d", &code) != 1)
		return -EPROTO;
	evbuffer_drain(answer, (size_t)end.pos + 4);
	return evbuffer_add_buffer(body, answer) < 0 ? -ENOMEM : code;
}

int http_get(int fd, const char *path, uint64_t until_ms, struct evbuffer *body)
{
	struct evbuffer *answer = evbuffer_new();
	int r;

	if (!answer)
		return -ENOMEM;
	r = send_request(fd, path, until_ms);
	if (r == 0)
		r = read_answer(fd, until_ms, answer);
	if (r == 0)
		r = take_apart(answer, body);
	evbuffer_free(answer);
	return r;
}
