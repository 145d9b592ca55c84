/* SPDX-License-Identifier: MIT */
/*
 * LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES and an sd-listen address, a line each,
 * against three descriptors that are really there.  The source is included
 * (lib/kind/sd_listen.c): what it read stays for the life of a process, and has to
 * be forgotten between two inputs.
 */
#include "lib/kind/sd_listen.c"

#include "fuzz.h"

#include <fcntl.h>
#include <sys/socket.h>

#define PASSED 3

/* The number after the last descriptor that is passed. */
#define BEHIND (SD_LISTEN_FDS_START + PASSED)

/* Where the sockets are kept; descriptors 3 to 5 are made from them each time. */
static int kept[PASSED];

/* So that no file of libFuzzer's own ever gets one of these numbers. */
static void occupy(void)
{
	for (int fd = SD_LISTEN_FDS_START; fd <= BEHIND; fd++)
		PROMISE(dup2(kept[0], fd) == fd);
}

static void pass(void)
{
	close(BEHIND);
	for (int i = 0; i < PASSED; i++)
		PROMISE(dup2(kept[i], SD_LISTEN_FDS_START + i) == SD_LISTEN_FDS_START + i);
}

static int listening_socket(void)
{
	const struct sockaddr nameless = { .sa_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	PROMISE(fd >= 0 && bind(fd, &nameless, sizeof(nameless.sa_family)) == 0);
	PROMISE(listen(fd, 1) == 0);
	return fd;
}

__attribute__((constructor)) static void prepare(void)
{
	for (int i = 0; i < PASSED; i++) {
		int fd = listening_socket();

		kept[i] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
		PROMISE(kept[i] >= 0);
		close(fd);
	}
	for (int fd = SD_LISTEN_FDS_START; fd <= BEHIND; fd++)
		PROMISE(fcntl(fd, F_GETFD) < 0);
	occupy();
}

/* "P" stands for the number of this process, which no corpus can know. */
static void set_variable(const char *name, const char *value)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (!value)
		unsetenv(name);
	else
		setenv(name, strcmp(value, "P") == 0 ? pid : value, 1);
}

static void forget(void)
{
	for (int i = 0; i < PASSED; i++)
		sfront_unclaim(SD_LISTEN_FDS_START + i);
	free(passed.names);
	passed.names = NULL;
	passed.loaded = false;
}

static void is_ours(const struct sfront_listener *listener)
{
	size_t n = sfront_listener_count(listener);

	PROMISE(n >= 1 && n <= PASSED);
	for (size_t i = 0; i < n; i++) {
		int fd = sfront_listener_fd(listener, i);

		PROMISE(fd >= SD_LISTEN_FDS_START && fd < SD_LISTEN_FDS_START + PASSED);
		PROMISE(fcntl(fd, F_GETFD) == FD_CLOEXEC);
		PROMISE(sfront_listener_is_inherited(listener, i));
	}
}

/* A refusal leaves every descriptor open, and free for the next who asks. */
static void is_left_alone(void)
{
	for (int i = 0; i < PASSED; i++) {
		PROMISE(fcntl(SD_LISTEN_FDS_START + i, F_GETFD) >= 0);
		PROMISE(!sfront_is_claimed(SD_LISTEN_FDS_START + i));
	}
}

static void open_address(const struct sfront_address *address, const char *text)
{
	struct sfront_options *options = sfront_options_new();
	struct sfront_inherited inherited;
	struct sfront_listener *listener;
	struct sfront_error err;
	int r;

	PROMISE(options);
	/* After the address, a blank asks for that option. */
	if (strchr(text, ' '))
		PROMISE(sfront_options_set(options, "sd-accept-ignore-environment", NULL, NULL) ==
			0);
	error_clear(&err);
	r = sfront_listener_open(address, 1, options, &listener, &err);
	if (r < 0) {
		error_explains(&err);
		is_left_alone();
	} else {
		is_ours(listener);
		sfront_listener_close(listener);
	}
	PROMISE(!getenv("LISTEN_PID") && !getenv("LISTEN_FDS") && !getenv("LISTEN_FDNAMES"));
	for (size_t i = 0; sfront_inherited_at(i, &inherited) == 0; i++)
		PROMISE(i < PASSED && inherited.fd == SD_LISTEN_FDS_START + (int)i &&
			inherited.name);
	sfront_options_free(options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES" };
	char *text = text_of(data, size), *rest = text;
	struct sfront_address address;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *line = strsep(&rest, "\n");

		/* An empty line leaves the variable unset; '=' alone sets it to nothing. */
		if (line && strcmp(line, "=") == 0)
			set_variable(names[i], "");
		else
			set_variable(names[i], line && line[0] != '\0' ? line : NULL);
	}
	pass();

	/* Other kinds would open real sockets. */
	if (rest && sfront_address_parse(rest, &address, NULL) == 0 &&
	    address.kind == SFRONT_SD_LISTEN)
		open_address(&address, rest);
	forget();
	occupy();
	free(text);
	return 0;
}
