/* SPDX-License-Identifier: MIT */
/*
 * http-server ADDRESS [TEXT]: a web server of one page, on any kind of socket.
 * "GET /" gives the text, "GET /conninfo" who is asking, "POST /quit" ends it.
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sockfront/listener.h>

/* Descriptors never block: wait for the client, but not for ever. */
static bool wait_for(int fd, short events)
{
	return poll(&(struct pollfd){ .fd = fd, .events = events }, 1, 5000) > 0;
}

/* Reads the head of a request, in however many pieces it comes. */
static bool read_request(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n = 1;

	for (buf[0] = '\0'; n > 0 && !strstr(buf, "\r\n\r\n"); buf[len] = '\0') {
		n = wait_for(fd, POLLIN) ? read(fd, buf + len, size - len - 1) : -1;
		len += n > 0 ? (size_t)n : 0;
	}
	return n > 0;
}

static void write_text(int fd, const char *text)
{
	for (ssize_t n = 0; *text && n >= 0 && wait_for(fd, POLLOUT); text += n > 0 ? n : 0)
		n = write(fd, text, strlen(text));
}

/* Answers one request.  Returns whether to go on. */
static bool serve(const struct sfront_connection *client, const char *body)
{
	char request[8192], who[SFRONT_ADDRESS_TEXT_SIZE], head[128];
	const char *status = "200 OK";

	if (!read_request(client->read_fd, request, sizeof(request)))
		return true;
	if (strncmp(request, "GET /conninfo ", 14) == 0) {
		sfront_connection_format(client, who, sizeof(who));
		body = who;
	} else if (strncmp(request, "POST /quit ", 11) == 0) {
		body = "Bye.";
	} else if (strncmp(request, "GET / ", 6) != 0) {
		body = status = "404 Not Found";
	}
	snprintf(head, sizeof(head), "HTTP/1.0 %s\r\nContent-Length: %zu\r\n\r\n", status,
		 strlen(body) + 1);
	write_text(client->write_fd, head);
	write_text(client->write_fd, body);
	write_text(client->write_fd, "\n");
	return strncmp(request, "POST /quit ", 11) != 0;
}

int main(int argc, char **argv)
{
	const char *page = argc == 3 ? argv[2] : "Hello from whatever socket this is.";
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_address address;
	struct sfront_listener *listener;
	struct sfront_connection client;
	struct sfront_error error;
	struct pollfd fds[64] = { 0 }; /* a name may stand for several sockets */
	size_t n;
	int r = 0;

	if (argc < 2 || argc > 3)
		errx(2, "usage: http-server ADDRESS [TEXT]");
	signal(SIGPIPE, SIG_IGN); /* a client may go away while it is answered */
	if (sfront_address_parse(argv[1], &address, &error) < 0)
		errx(2, "%s", error.message);
	if (sfront_listener_open(&address, 1, NULL, &listener, &error) < 0)
		errx(1, "%s", error.message);
	for (n = 0; n < sfront_listener_count(listener) && n < 64; n++) {
		fds[n] = (struct pollfd){ .fd = sfront_listener_fd(listener, n), .events = POLLIN };
		sfront_listener_format(listener, n, text, sizeof(text));
		fprintf(stderr, "listening on %s\n", text);
	}
	while (r == 0 || r == -EAGAIN || sfront_accept_should_pause(r)) {
		if (r < 0) /* nobody is there, or no descriptor is free */
			poll(fds, r == -EAGAIN ? n : 0, r == -EAGAIN ? -1 : 100);
		r = sfront_listener_accept(listener, &client);
		if (r == 0) {
			r = serve(&client, page) ? 0 : -ESHUTDOWN;
			sfront_connection_close(&client);
		}
	}
	sfront_listener_close(listener); /* -ESHUTDOWN: that was the last connection */
	return r == -ESHUTDOWN ? 0 : 1;
}
