/* SPDX-License-Identifier: MIT */
/*
 * echo-poll ADDRESS...: says everything back, to many clients at once, with
 * nothing but poll().  The place to begin reading.
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sockfront/listener.h>

#define MOST 1000

static struct pollfd fds[MOST]; /* the listener's descriptors, and then each client's */
static struct sfront_connection clients[MOST];
static nfds_t n_listening, n_fds;

/* Echoes what client @i has sent; returns whether it goes on. */
static bool echo(nfds_t i)
{
	char buf[4096];
	ssize_t n = read(clients[i].read_fd, buf, sizeof(buf)), done = 0;

	/* A client that does not take its echo is waited for: the plainest way. */
	while (done < n) {
		ssize_t sent = write(clients[i].write_fd, buf + done, (size_t)(n - done));
		if (sent < 0 && errno != EAGAIN)
			return false;
		if (sent < 0)
			poll(&(struct pollfd){ .fd = clients[i].write_fd, .events = POLLOUT }, 1,
			     -1);
		else
			done += sent;
	}
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static void serve(void)
{
	for (nfds_t i = n_listening; i < n_fds; i++) {
		if (fds[i].revents == 0 || echo(i))
			continue;
		sfront_connection_close(&clients[i]);
		fds[i] = fds[--n_fds]; /* the last one takes its place, and its turn */
		clients[i] = clients[n_fds];
		i--;
	}
}

/* Takes whoever waits.  Returns 0, how long to rest, or a negative errno. */
static int accept_all(struct sfront_listener *listener)
{
	int r = 0;

	while (n_fds < MOST) {
		r = sfront_listener_accept(listener, &clients[n_fds]);
		if (r < 0)
			break;
		fds[n_fds] = (struct pollfd){ .fd = clients[n_fds].read_fd, .events = POLLIN };
		n_fds++;
	}
	if (sfront_accept_should_pause(r))
		return 100; /* no descriptor is free: clients wait in the backlog meanwhile */
	return r == -EAGAIN ? 0 : r;
}

int main(int argc, char **argv)
{
	struct sfront_address addresses[16];
	struct sfront_listener *listener;
	struct sfront_error error;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	int n = argc - 1, rest = 0;

	if (n < 1 || n > 16)
		errx(2, "usage: echo-poll ADDRESS... (at most 16)");
	signal(SIGPIPE, SIG_IGN); /* a client may go away while it is answered */
	for (int i = 0; i < n; i++)
		if (sfront_address_parse(argv[i + 1], &addresses[i], &error) < 0)
			errx(2, "%s", error.message);
	if (sfront_listener_open(addresses, (size_t)n, NULL, &listener, &error) < 0)
		errx(1, "%s", error.message);

	n_listening = n_fds = sfront_listener_count(listener);
	for (nfds_t i = 0; i < n_fds; i++) {
		sfront_listener_format(listener, i, text, sizeof(text));
		fprintf(stderr, "listening on %s\n", text);
		fds[i] = (struct pollfd){ .fd = sfront_listener_fd(listener, i), .events = POLLIN };
	}
	/* Without inetd or an inherited connection this never ends by itself. */
	for (; rest >= 0 || n_fds > n_listening; rest = rest < 0 ? rest : accept_all(listener)) {
		poll(fds, n_fds, rest > 0 ? rest : -1);
		serve();
	}
	sfront_listener_close(listener);
	return rest == -ESHUTDOWN ? 0 : 1;
}
