/* SPDX-License-Identifier: MIT */
/*
 * Being put through to a port of a virtual machine: see mux.h.
 */
#include "daemon/backend/mux.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The queue of a new socket has room for it. */
int mux_ask(int fd, uint32_t port)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "CONNECT %u\n", port);
	ssize_t n = send(fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EPIPE ? -ECONNREFUSED : -errno;
	return n == length ? 0 : -EAGAIN;
}

/* As far as it has come, it says "OK " and digits. */
static int check(const struct mux_answer *answer)
{
	static const char begin[] = "OK ";

	for (unsigned int i = 0; i < answer->length; i++) {
		char c = answer->text[i];

		if (i < strlen(begin) ? c != begin[i] : c < '0' || c > '9')
			return -EPROTO;
	}
	return answer->length < MUX_ANSWER_MAX ? -EAGAIN : -EPROTO;
}

static int take(int fd, struct mux_answer *answer, size_t n)
{
	ssize_t taken = recv(fd, answer->text + answer->length, n, MSG_DONTWAIT);

	if (taken < 0)
		return -errno;
	answer->length += (unsigned int)taken;
	return (size_t)taken == n ? 0 : -EPROTO;
}

int mux_read(int fd, struct mux_answer *answer)
{
	char *end, *at = answer->text + answer->length;
	ssize_t n = recv(fd, at, MUX_ANSWER_MAX - answer->length, MSG_PEEK | MSG_DONTWAIT);
	int r;

	if (n == 0)
		return -ECONNREFUSED;
	if (n < 0)
		return errno == ECONNRESET ? -ECONNREFUSED : -errno;
	end = memchr(at, '\n', (size_t)n);
	r = take(fd, answer, end ? (size_t)(end - at) + 1 : (size_t)n);
	if (r < 0)
		return r;
	if (!end)
		return check(answer);
	answer->length--;
	r = check(answer);
	return r == -EAGAIN && answer->length > strlen("OK ") ? 0 : -EPROTO;
}
