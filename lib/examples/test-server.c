/* SPDX-License-Identifier: MIT */
/*
 * test-server: how a server that takes a listener is tested without a port.
 * The server counts the lines that a client sends; the tests are its clients.
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sockfront/memory.h>

/* ---- the server: any listener will do --------------------------------------- */

static void count_lines(const struct sfront_connection *client)
{
	struct pollfd readable = { .fd = client->read_fd, .events = POLLIN };
	unsigned int lines = 0;
	char buf[512];
	ssize_t n;

	do {
		poll(&readable, 1, -1);
		n = read(client->read_fd, buf, sizeof(buf));
		for (ssize_t i = 0; i < n; i++)
			lines += buf[i] == '\n';
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	dprintf(client->write_fd, "%u\n", lines);
}

/* Serves until a client sends nothing at all. */
static void *serve(void *arg)
{
	struct sfront_listener *listener = arg;
	struct pollfd readable = { .fd = sfront_listener_fd(listener, 0), .events = POLLIN };
	struct sfront_connection client;
	char first;

	for (;;) {
		poll(&readable, 1, -1);
		if (sfront_listener_accept(listener, &client) < 0)
			continue;
		poll(&(struct pollfd){ .fd = client.read_fd, .events = POLLIN }, 1, -1);
		if (recv(client.read_fd, &first, 1, MSG_PEEK) == 0)
			break;
		count_lines(&client);
		sfront_connection_close(&client);
	}
	sfront_connection_close(&client);
	return NULL;
}

/* ---- its tests -------------------------------------------------------------- */

static void expect(struct sfront_listener *listener, const char *sent, const char *answer)
{
	int fd = sfront_memory_connect(listener);
	char buf[16] = "";

	if (fd < 0 || write(fd, sent, strlen(sent)) < 0)
		err(1, "\"%s\"", sent);
	shutdown(fd, SHUT_WR);
	if (read(fd, buf, sizeof(buf) - 1) < 0 || strcmp(buf, answer) != 0)
		errx(1, "\"%s\": \"%s\" was answered instead of \"%s\"", sent, buf, answer);
	close(fd);
}

int main(void)
{
	struct sfront_listener *listener;
	struct sfront_error error;
	pthread_t server;

	if (sfront_memory_listener_new(&listener, &error) < 0)
		errx(1, "%s", error.message);
	if (pthread_create(&server, NULL, serve, listener) != 0)
		errx(1, "no thread can be made");

	expect(listener, "one\n", "1\n");
	expect(listener, "one\ntwo\nand no end", "2\n");
	expect(listener, "\n\n\n\n", "4\n");

	close(sfront_memory_connect(listener));
	pthread_join(server, NULL);
	sfront_listener_close(listener);
	puts("all is well");
	return 0;
}
