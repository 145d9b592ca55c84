/* SPDX-License-Identifier: MIT */
/*
 * echo-proxy-protocol ADDRESS: for a server behind a proxy that sends the PROXY
 * protocol, such as HAProxy with send-proxy-v2.  Greets each client by the address
 * that the header tells, then says everything back; a thread for each.
 *
 * If anybody but the proxy can connect to ADDRESS, anybody can claim to be anybody.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <sockfront/proxy_protocol.h>

#define HEADER_SECONDS 5 /* until then the header has to be there */

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

/* From here on connection->peer is the client, where the header tells. */
static int read_header(struct sfront_connection *connection)
{
	unsigned char buf[1024]; /* enough for the TLVs of a proxy that one knows */
	struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };
	struct sfront_proxy_header header;
	struct sfront_error error = { "no PROXY protocol header has come" };
	time_t until = now() + HEADER_SECONDS;
	int r;

	while ((r = sfront_proxy_read(connection, &reader, &header, &error)) == -EAGAIN) {
		if (now() >= until)
			break;
		poll(&(struct pollfd){ .fd = connection->read_fd, .events = POLLIN }, 1, 1000);
	}
	if (r < 0)
		warnx("a client is turned away: %s", error.message);
	return r;
}

/* A reset says to a proxy that is set up wrongly what a plain end would not. */
static void reset_on_close(int fd)
{
	const struct linger at_once = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

static void echo(const struct sfront_connection *connection)
{
	char buf[SFRONT_ADDRESS_TEXT_SIZE];
	ssize_t n;

	/* A thread may block. */
	fcntl(connection->read_fd, F_SETFL, fcntl(connection->read_fd, F_GETFL) & ~O_NONBLOCK);
	fcntl(connection->write_fd, F_SETFL, fcntl(connection->write_fd, F_GETFL) & ~O_NONBLOCK);

	sfront_connection_format(connection, buf, sizeof(buf));
	dprintf(connection->write_fd, "hello %s\n", buf);
	while ((n = read(connection->read_fd, buf, sizeof(buf))) > 0)
		if (write(connection->write_fd, buf, (size_t)n) != n)
			break;
}

static void serve(struct sfront_connection *connection)
{
	/* The option has set header_due: without, there would be nothing to read. */
	if (connection->header_due && read_header(connection) < 0)
		reset_on_close(connection->write_fd);
	else
		echo(connection);
	sfront_connection_close(connection);
}

static void *run(void *arg)
{
	struct sfront_connection connection = *(struct sfront_connection *)arg;

	free(arg);
	serve(&connection);
	return NULL;
}

static void start(const struct sfront_connection *connection)
{
	struct sfront_connection *copy = malloc(sizeof(*copy));
	pthread_t thread;

	if (copy)
		*copy = *connection;
	if (!copy || pthread_create(&thread, NULL, run, copy) != 0)
		errx(1, "a client cannot be served");
	pthread_detach(thread);
}

int main(int argc, char **argv)
{
	struct sfront_options *options = sfront_options_new();
	struct sfront_connection connection;
	struct sfront_listener *listener;
	struct sfront_address address;
	struct sfront_error error;
	struct pollfd fd;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	int r;

	if (argc != 2 || !options)
		errx(2, "usage: echo-proxy-protocol ADDRESS");
	signal(SIGPIPE, SIG_IGN); /* a client may go away while it is answered */
	if (sfront_address_parse(argv[1], &address, &error) < 0)
		errx(2, "%s", error.message);
	if (sfront_options_set(options, "accept-proxy-protocol", "yes", &error) < 0 ||
	    sfront_listener_open(&address, 1, options, &listener, &error) < 0)
		errx(1, "%s", error.message);
	sfront_options_free(options);
	sfront_listener_format(listener, 0, text, sizeof(text));
	fprintf(stderr, "listening on %s\n", text);

	fd = (struct pollfd){ .fd = sfront_listener_fd(listener, 0), .events = POLLIN };
	while ((r = sfront_listener_accept(listener, &connection)) != -ESHUTDOWN) {
		if (r == 0 && sfront_listener_is_single(listener, 0))
			serve(&connection); /* as under inetd: there will be no other */
		else if (r == 0)
			start(&connection);
		else if (r == -EAGAIN || sfront_accept_should_pause(r))
			poll(&fd, r == -EAGAIN, r == -EAGAIN ? -1 : 100);
		else
			errx(1, "cannot accept any more");
	}
	sfront_listener_close(listener);
	return 0;
}
