/* SPDX-License-Identifier: MIT */
/*
 * echo-ini FILE: says everything back, to one client after the other, where an
 * INI file says:
 *
 *	[echo]
 *	listen = 127.0.0.1:7000
 *	unix-listen-chmod = group
 *	greeting = hello
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sockfront/inih.h>
#include <sockfront/listener.h>

#define MOST 8
static char greeting[128] = "";

/* The keys that the library does not know. */
static int own_key(void *data, const char *section, const char *name, const char *value)
{
	struct sfront_ini *ini = data;

	if (strcmp(section, "echo") == 0 && strcmp(name, "greeting") == 0)
		return snprintf(greeting, sizeof(greeting), "%s\n", value) > 0;
	snprintf(ini->error.message, sizeof(ini->error.message), "there is no key %.60s in [%.60s]",
		 name, section);
	return 0;
}

/* With one client at a time, its descriptors may as well block. */
static void serve(const struct sfront_connection *client)
{
	ssize_t n = (ssize_t)strlen(greeting);
	char buf[4096];

	fcntl(client->read_fd, F_SETFL, 0);
	fcntl(client->write_fd, F_SETFL, 0);
	memcpy(buf, greeting, sizeof(greeting));
	do {
		if (write(client->write_fd, buf, (size_t)n) != n)
			return;
		n = read(client->read_fd, buf, sizeof(buf));
	} while (n > 0);
}

int main(int argc, char **argv)
{
	struct sfront_address addresses[MOST];
	struct sfront_ini ini = {
		.section = "echo",
		.addresses = addresses,
		.max_addresses = MOST,
		.options = sfront_options_new(),
		.other = own_key,
		.data = &ini,
		.error = { "cannot be read" },
	};
	struct pollfd fds[4 * MOST] = { 0 }; /* a name may stand for several sockets */
	struct sfront_listener *listener;
	struct sfront_connection client;
	struct sfront_error error;
	char settings[1024];
	nfds_t n = 0;
	int r;

	if (argc != 2)
		errx(2, "usage: echo-ini FILE");
	r = ini_parse(argv[1], sfront_ini_handler, &ini);
	if (r != 0)
		errx(2, "%s:%d: %s", argv[1], r, ini.error.message);
	signal(SIGPIPE, SIG_IGN);
	if (sfront_listener_open(addresses, ini.n_addresses, ini.options, &listener, &error) < 0)
		errx(1, "%s", error.message);
	sfront_options_format(ini.options, settings, sizeof(settings));
	fprintf(stderr, "%slistening\n", settings);

	for (; n < sfront_listener_count(listener) && n < 4 * MOST; n++)
		fds[n] = (struct pollfd){ .fd = sfront_listener_fd(listener, n), .events = POLLIN };
	for (r = 0; r == 0 || r == -EAGAIN || sfront_accept_should_pause(r);) {
		poll(fds, r == 0 || r == -EAGAIN ? n : 0, r == 0 || r == -EAGAIN ? -1 : 100);
		r = sfront_listener_accept(listener, &client);
		if (r == 0) {
			serve(&client);
			sfront_connection_close(&client);
		}
	}
	sfront_options_free(ini.options);
	sfront_listener_close(listener);
	return r == -ESHUTDOWN ? 0 : 1;
}
