/* SPDX-License-Identifier: MIT */
/*
 * echo-glib -l ADDRESS: says everything back, on GLib's main loop.  Shows that
 * the library fits into any loop: descriptors to watch, a call that accepts.
 */
#include <err.h>
#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <sockfront/argp.h>
#include <sockfront/listener.h>

static GMainLoop *loop;
static struct sfront_listener *listener;
static unsigned int n_clients;
static bool over; /* nobody else will come */

static gboolean watch(gpointer index);

static gboolean client_readable(gint fd, GIOCondition condition, gpointer data)
{
	struct sfront_connection *client = data;
	GPollFD writable = { client->write_fd, G_IO_OUT, 0 };
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf)), done = 0;

	(void)condition;
	/* A client that does not take its echo is waited for: the plainest way. */
	while (done < n) {
		ssize_t sent = write(client->write_fd, buf + done, (size_t)(n - done));
		if (sent >= 0)
			done += sent;
		else if (errno == EAGAIN)
			g_poll(&writable, 1, -1);
		else
			n = -1;
	}
	if (n > 0 || (n < 0 && errno == EAGAIN))
		return G_SOURCE_CONTINUE;
	sfront_connection_close(client);
	g_free(client);
	if (--n_clients == 0 && over)
		g_main_loop_quit(loop);
	return G_SOURCE_REMOVE;
}

static gboolean listener_readable(gint fd, GIOCondition condition, gpointer index)
{
	struct sfront_connection *client = g_new(struct sfront_connection, 1);
	int r = sfront_listener_accept_at(listener, GPOINTER_TO_SIZE(index), client);

	(void)fd;
	(void)condition;
	if (r < 0)
		g_free(client);
	else
		g_unix_fd_add(client->read_fd, G_IO_IN | G_IO_HUP, client_readable, client);
	n_clients += r == 0;
	over = r == 0 && sfront_listener_is_single(listener, GPOINTER_TO_SIZE(index));
	if (sfront_accept_should_pause(r))
		g_timeout_add(100, watch, index);
	return r == 0 || r == -EAGAIN;
}

static gboolean watch(gpointer index)
{
	int fd = sfront_listener_fd(listener, GPOINTER_TO_SIZE(index));

	g_unix_fd_add(fd, G_IO_IN, listener_readable, index);
	return G_SOURCE_REMOVE; /* of the timeout that ends a rest */
}

int main(int argc, char **argv)
{
	struct sfront_address address;
	struct sfront_argp listen = { &address, 1, 0, sfront_options_new() };
	struct sfront_error error;

	argp_err_exit_status = 2;
	argp_parse(sfront_argp(SFRONT_ARGP_LISTEN), argc, argv, 0, NULL, &listen);
	signal(SIGPIPE, SIG_IGN);
	if (sfront_listener_open(&address, 1, listen.options, &listener, &error) < 0)
		errx(1, "%s", error.message);
	loop = g_main_loop_new(NULL, FALSE);
	for (size_t i = 0; i < sfront_listener_count(listener); i++)
		watch(GSIZE_TO_POINTER(i));
	fprintf(stderr, "listening\n");
	g_main_loop_run(loop);

	g_main_loop_unref(loop);
	sfront_listener_close(listener);
	sfront_options_free(listen.options);
	return 0;
}
