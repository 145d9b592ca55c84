/* SPDX-License-Identifier: MIT */
/*
 * Every call that the library makes fails once (failing.h), for each kind of
 * address: the result is an error with its reason, or success where the call is
 * not needed; nothing stays open, allocated or on disk; and the next attempt
 * works.  Each trial is a child process of its own.
 */
#include "sockets.h"

#include "failing.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/un.h>

#include <event2/event.h>
#include <event2/http.h>

#include <sockfront/event.h>
#include <sockfront/memory.h>
#include <sockfront/proxy_protocol.h>

#define HANDED    3 /* the first descriptor that is handed over */
#define ADDRESSES 3

/* A call whose failure may end in success: there is another way, or it can be done without. */
struct tolerance {
	enum failing_call call;
	int error;          /* 0: any */
	unsigned int times; /* at most, for each error; 0: any number */
};

/* What one kind of address needs. */
struct scenario {
	const char *name;
	const char *addresses[ADDRESSES + 1]; /* up to NULL */
	const char *options;
	void (*prepare)(void);             /* NULL: nothing */
	const struct tolerance *tolerated; /* beside those of every kind; up to call CALLS */
	bool adopts;                       /* what is prepared as HANDED, for the one address */
	bool inherits;                     /* the same, as somebody else's */
	/* NULL: opens the addresses with the options. */
	int (*open)(struct sfront_listener **ret, struct sfront_error *err);
};

/* What a trial tells its parent. */
struct outcome {
	unsigned int count[CALLS];
	int descriptors;
	int blocks;
	bool tolerated; /* the failure ended in success */
};

static struct outcome *outcome; /* shared with the children */
static const struct scenario *scenario;
static struct outcome clean; /* of a run without any failure */
static char directory[] = "/tmp/sockfront-test-failures.XXXXXX";

/* What is there before the library is called. */
static struct {
	int descriptors;
	int blocks;
	ino_t socket_file; /* of ./app.sock; 0: none */
	int flags[8];      /* of the descriptors from 0 on; -1: closed */
} before;

static ino_t socket_file(void)
{
	struct stat st;

	return lstat("./app.sock", &st) == 0 ? st.st_ino : 0;
}

static void note_what_is_there(void)
{
	before.socket_file = socket_file();
	before.descriptors = count_descriptors();
	before.blocks = live_blocks;
	for (int fd = 0; fd < 8; fd++)
		before.flags[fd] = fcntl(fd, F_GETFL);
}

/* The names of LISTEN_FDNAMES are kept; they are read during the trial, not before it. */
static int kept_blocks;

/* After a failure: as if nothing had been called. */
static void is_as_before(void)
{
	CHECK(count_descriptors() == before.descriptors);
	CHECK(live_blocks == before.blocks || live_blocks == before.blocks + kept_blocks);
	CHECK(socket_file() == 0 || socket_file() == before.socket_file);
	for (int fd = 0; fd < 8; fd++)
		CHECK(fcntl(fd, F_GETFL) == before.flags[fd]);
}

#define END                 \
	{                   \
		CALLS, 0, 0 \
	}

/*
 * /proc/sys is read for warnings alone, what close() was given is closed, and a
 * client that is gone is not the listener's failure.
 */
static const struct tolerance everywhere[] = {
	{ CALL_fopen, 0, 0 },
	{ CALL_close, 0, 0 },
	{ CALL_accept4, 0, 0 },
	/* what became of a buffer's size; who the peer is; how many are queued */
	{ CALL_getsockopt, 0, 6 },
	/* SO_OOBINLINE, of UNIX connections too, SO_PASSRIGHTS, the default of tcp-nodelay */
	{ CALL_setsockopt, 0, 6 },
	END,
};

static const struct tolerance *tolerance_in(const struct tolerance *list, enum failing_call call,
					    int error)
{
	for (; list && list->call != CALLS; list++)
		if (list->call == call && (list->error == 0 || list->error == error))
			return list;
	return NULL;
}

static const struct tolerance *tolerance_of(enum failing_call call, int error)
{
	const struct tolerance *own = tolerance_in(scenario->tolerated, call, error);

	return own ? own : tolerance_in(everywhere, call, error);
}

/* A refusal has a number, and a reason of more than a word. */
static void is_explained(int r, const struct sfront_error *err)
{
	CHECK(r < 0 && r > -4096);
	CHECK(strlen(err->message) > 12);
	CHECK(!strstr(err->message, "Success") && !strstr(err->message, "Unknown error"));
}

static int open_or_adopt(const struct sfront_address *addresses, size_t n,
			 const struct sfront_options *options, struct sfront_listener **ret,
			 struct sfront_error *err)
{
	const int handed = HANDED;

	if (scenario->inherits)
		return sfront_listener_open_inherited(addresses, HANDED, options, ret, err);
	return scenario->adopts ? sfront_listener_adopt(addresses, &handed, 1, options, ret, err)
				: sfront_listener_open(addresses, n, options, ret, err);
}

/* Opens everything with the options set; each step may be the one to fail. */
static int open_all(struct sfront_listener **ret, struct sfront_error *err)
{
	struct sfront_address addresses[ADDRESSES];
	struct sfront_options *options = sfront_options_new();
	char settings[512], *rest = settings, *setting;
	size_t n = 0;
	int r = 0;

	if (!options) {
		snprintf(err->message, sizeof(err->message), "options: out of memory");
		return -ENOMEM;
	}
	snprintf(settings, sizeof(settings), "%s", scenario->options);
	while (r == 0 && (setting = strsep(&rest, " ")) && *setting) {
		char *value = strchr(setting, '=');

		if (value)
			*value++ = '\0';
		/* Only root gives files away. */
		if (geteuid() != 0 && strstr(setting, "id"))
			continue;
		r = sfront_options_set(options, setting, value, err);
	}
	for (; r == 0 && scenario->addresses[n]; n++)
		r = sfront_address_parse(scenario->addresses[n], &addresses[n], err);
	sfront_options_on_warning(options, collect_warning, NULL);
	if (r == 0)
		r = open_or_adopt(addresses, n, options, ret, err);
	sfront_options_free(options);
	return r;
}

/* Connects, with nothing failing on this side, and says something, as tcp-defer-accept wants. */
static int connect_plainly(const struct sfront_listener *listener, size_t index)
{
	struct sfront_sockaddr addr = { .len = sizeof(addr.sa) };
	bool was_on = failing.on;
	int fd;

	failing.on = false;
	failing.plain = true;
	CHECK(getsockname(sfront_listener_fd(listener, index), &addr.sa.any, &addr.len) == 0);
	fd = socket(addr.sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && connect(fd, &addr.sa.any, addr.len) == 0 && write(fd, "x", 1) == 1);
	CHECK(poll(&(struct pollfd){ sfront_listener_fd(listener, index), POLLIN, 0 }, 1, 5000) ==
	      1);
	failing.on = was_on;
	failing.plain = false;
	return fd;
}

/* A client that connected before anybody asked it to; -1: none. */
static int waiting_client = -1;

/* Who the peer is may be impossible to tell; then a number says why. */
static void is_known(const struct sfront_connection *connection)
{
	bool is_local = connection->read_stream == SFRONT_STREAM_UNIX;
	struct sfront_credentials peer;
	int r;

	r = sfront_connection_credentials(connection, &peer);
	CHECK(is_local ? r == 0 || (failing.done && r == -failing.error) : r == -EOPNOTSUPP);
	r = sfront_connection_pidfd(connection);
	CHECK(is_local || r == -EOPNOTSUPP);
	if (r >= 0)
		close(r);
}

static void is_served(struct sfront_listener *listener, size_t index)
{
	struct sfront_connection connection;
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	int client = waiting_client, r;

	waiting_client = -1;
	if (client < 0 && !sfront_listener_is_single(listener, index))
		client = connect_plainly(listener, index);
	r = sfront_listener_accept_at(listener, index, &connection);
	if (r < 0) {
		CHECK(failing.done && r == -failing.error);
		CHECK(failing.call == CALL_accept4 || failing.call == CALL_eventfd_read ||
		      failing.call == CALL_fcntl);
		r = sfront_listener_accept_at(listener, index, &connection);
	}
	CHECK(r == 0);
	CHECK(sfront_connection_format(&connection, text, sizeof(text)) > 0);
	is_known(&connection);
	CHECK(is_nonblocking(connection.read_fd) || connection.read_stream == SFRONT_STREAM_FILE);
	sfront_connection_close(&connection);
	if (client >= 0)
		close(client);
}

static void use(struct sfront_listener *listener)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	CHECK(sfront_listener_count(listener) >= 1);
	for (size_t i = 0; i < sfront_listener_count(listener); i++) {
		CHECK(sfront_listener_format(listener, i, text, sizeof(text)) > 0);
		is_served(listener, i);
	}
}

static void report(void)
{
	memcpy(outcome->count, failing.count, sizeof(failing.count));
	outcome->descriptors = count_descriptors();
	outcome->blocks = live_blocks - before.blocks - kept_blocks;
}

/* What a good run would have closed. */
static void give_up(void)
{
	close(HANDED);
	close(HANDED + 1);
	report();
	exit(0);
}

static int open_listener(struct sfront_listener **ret, struct sfront_error *err)
{
	return scenario->open ? scenario->open(ret, err) : open_all(ret, err);
}

/* One trial: with the failure that is set up, and again without if it did fail. */
static void trial(void)
{
	struct sfront_listener *untouched = (struct sfront_listener *)&before;
	struct sfront_listener *listener = untouched;
	struct sfront_error err = { "" };
	int r;

	if (scenario->prepare)
		scenario->prepare();
	note_what_is_there();
	failing.on = true;
	r = open_listener(&listener, &err);
	if (r < 0) {
		failing.on = false;
		if (!failing.done)
			dprintf(STDERR_FILENO, "without any failure: %s\n", err.message);
		CHECK(failing.done && listener == untouched);
		is_explained(r, &err);
		is_as_before();
		if (failing.call == CALL_sd_listen_fds)
			give_up(); /* the environment is read once, and its result stays */
		r = open_listener(&listener, &err);
		if (r < 0)
			dprintf(STDERR_FILENO, "the next attempt: %s\n", err.message);
		CHECK(r == 0);
	} else {
		outcome->tolerated = failing.done;
		CHECK(!failing.done || tolerance_of(failing.call, failing.error));
	}
	use(listener);
	sfront_listener_close(listener);
	failing.on = false;

	CHECK(failing.nth == 0 || failing.done);
	report();
}

static int run_trial(enum failing_call call, unsigned int nth, int error)
{
	failing.call = call;
	failing.nth = nth;
	failing.error = error;
	memset(outcome, 0, sizeof(*outcome));
	return child_status(trial);
}

/* The only failures that may leave the file are those that keep it from being removed. */
static bool is_left(enum failing_call call)
{
	return socket_file() != 0 && call != CALL_fstatat && call != CALL_unlinkat;
}

static unsigned int fail_each(enum failing_call call, int error)
{
	const struct tolerance *tolerance = tolerance_of(call, error);
	unsigned int broken = 0, tolerated = 0;

	for (unsigned int nth = 1; nth <= clean.count[call]; nth++) {
		int status = run_trial(call, nth, error);

		if (status != 0 || outcome->descriptors != clean.descriptors ||
		    outcome->blocks != clean.blocks || is_left(call)) {
			broken++;
			print_error("%s: call %u of %s fails with %d: status %#x, %d descriptors "
				    "are left (not %d), %d blocks (not %d)%s\n",
				    scenario->name, nth, calls[call].name, error,
				    (unsigned int)status, outcome->descriptors, clean.descriptors,
				    outcome->blocks, clean.blocks,
				    is_left(call) ? ", and app.sock" : "");
		}
		unlink("./app.sock");
		tolerated += outcome->tolerated;
	}
	if (tolerance && tolerance->times && tolerated > tolerance->times) {
		broken++;
		print_error("%s: %u failures of %s with %d do not count, and not only %u\n",
			    scenario->name, tolerated, calls[call].name, error, tolerance->times);
	}
	return broken;
}

/*
 * Whether it makes the file of a socket.  Where it replaces one, the new file may have the
 * number of the old one, and is then not seen when it is left: only by chance is it another.
 */
static bool makes_path(const struct scenario *which)
{
	if (which->adopts || which->inherits)
		return false;
	for (size_t i = 0; which->addresses[i]; i++)
		if (which->addresses[i][0] == '.')
			return true;
	return false;
}

static void test_scenario(void **state)
{
	unsigned int broken = 0;

	scenario = *state;
	if (geteuid() != 0 && makes_path(scenario)) {
		print_message(
			"# only root may ask the kernel for the file of a socket (SIOCUNIXFILE)\n");
		skip();
	}
	unlink("./app.sock"); /* of a test that failed */
	assert_int_equal(run_trial(CALLS, 0, 0), 0);
	clean = *outcome;
	assert_int_equal(socket_file(), 0);
	for (unsigned int call = 0; call < CALLS; call++)
		for (int i = 0; i < ERRORS_MAX && calls[call].errors[i] != 0; i++)
			broken += fail_each(call, calls[call].errors[i]);
	assert_int_equal(broken, 0);
}

/* What is prepared */

static int listening_on(int family, const char *path)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	int fd = socket(family, SOCK_STREAM, 0), off = 0, r;

	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (path)
		strncpy(un.sun_path, path, sizeof(un.sun_path) - 1);
	if (family == AF_INET)
		r = bind(fd, (struct sockaddr *)&in, sizeof(in));
	else if (family == AF_INET6)
		r = bind(fd, (struct sockaddr *)&in6, sizeof(in6));
	else
		r = bind(fd, (struct sockaddr *)&un, path ? sizeof(un) : sizeof(un.sun_family));
	CHECK(fd >= 0 && r == 0 && listen(fd, 5) == 0);
	return fd;
}

/* Makes @fd descriptor @number, blocking, as it comes from a parent. */
static void become(int fd, int number)
{
	if (fd != number) {
		CHECK(dup2(fd, number) == number);
		close(fd);
	}
}

/* The list of what was claimed grows once and is kept: not to be taken for a leak. */
static void claim_something(void)
{
	struct sfront_listener *listener;
	struct sfront_address address = { .kind = SFRONT_FD, .u.fd.number = 60 };

	CHECK(dup2(listening_on(AF_UNIX, NULL), 60) == 60);
	CHECK(sfront_listener_open(&address, 1, NULL, &listener, NULL) == 0);
	sfront_listener_close(listener);
}

static int high(int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, 80);

	close(fd);
	return moved;
}

static void hand_over_two(void)
{
	int tcp = high(listening_on(AF_INET6, NULL)), local = high(listening_on(AF_UNIX, NULL));
	char pid[16];

	claim_something();
	become(tcp, HANDED);
	become(local, HANDED + 1);
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "web:web", 1);
	kept_blocks = failing.call == CALL_sd_listen_fds;
	if (!kept_blocks)
		CHECK(sfront_inherited_at(0, &(struct sfront_inherited){ 0 }) == 0);
}

static void connected_pair(int ret[2])
{
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ret) == 0);
	ret[0] = high(ret[0]);
	ret[1] = high(ret[1]);
}

static void hand_over_connection(void)
{
	int pair[2];

	connected_pair(pair);
	claim_something();
	become(pair[0], HANDED);
}

static void hand_over_listening(void)
{
	int fd = high(listening_on(AF_INET6, NULL));

	claim_something();
	become(fd, HANDED);
}

static void pass_on(int fd)
{
	claim_something();
	become(high(fd), HANDED);
}

static void pass_on_every(void)
{
	pass_on(listening_on(AF_INET6, NULL));
}

static void pass_on_tcp(void)
{
	pass_on(listening_on(AF_INET, NULL));
}

static void pass_on_path(void)
{
	pass_on(listening_on(AF_UNIX, "./app.sock"));
}

static void pass_on_vsock(void)
{
	pass_on_tcp();
	failing.vsock = HANDED;
}

static void stdio_socket(void)
{
	int pair[2];

	connected_pair(pair);
	claim_something();
	CHECK(dup2(pair[0], STDIN_FILENO) == 0 && dup2(pair[0], STDOUT_FILENO) == 1);
	close(pair[0]);
}

static void stdio_pipes(void)
{
	int in[2], out[2];

	CHECK(pipe(in) == 0 && pipe(out) == 0);
	claim_something();
	CHECK(dup2(in[0], STDIN_FILENO) == 0 && dup2(out[1], STDOUT_FILENO) == 1);
}

static void stdio_files(void)
{
	claim_something();
	become(open("/dev/null", O_RDONLY), STDIN_FILENO);
	become(open("/dev/null", O_WRONLY), STDOUT_FILENO);
}

static void stdio_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), terminal;

	CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
	CHECK(terminal >= 0);
	claim_something();
	CHECK(dup2(terminal, STDIN_FILENO) == 0 && dup2(terminal, STDOUT_FILENO) == 1);
}

static void leave_dead_socket(void)
{
	close(listening_on(AF_UNIX, "./app.sock"));
}

/* Other options for a listener that is open */

static struct sfront_options *other_options(void)
{
	static const char *const settings[][2] = {
		{ "tcp-keepalive", "::" },      { "tcp-listen-backlog", "7" },
		{ "send-buffer-size", "64K" },  { "type-of-service", "8" },
		{ "tcp-congestion", "reno" },   { "unix-listen-chmod", "600" },
		{ "unix-listen-gid", "65534" },
	};
	struct sfront_options *options = sfront_options_new();

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (geteuid() == 0 || !strstr(settings[i][0], "gid"))
			CHECK(sfront_options_set(options, settings[i][0], settings[i][1], NULL) ==
			      0);
	return options;
}

/* What fails goes back to what was, and is closed. */
static int open_and_update(struct sfront_listener **ret, struct sfront_error *err)
{
	struct sfront_address addresses[2];
	struct sfront_listener *listener;
	struct sfront_options *options;
	bool was_on = failing.on;
	int r;

	failing.on = false;
	options = other_options();
	CHECK(sfront_address_parse("127.0.0.1:0", &addresses[0], err) == 0);
	CHECK(sfront_address_parse("./app.sock", &addresses[1], err) == 0);
	CHECK(sfront_listener_open(addresses, 2, NULL, &listener, err) == 0);
	failing.on = was_on;
	r = sfront_listener_update(listener, NULL, options, err);
	if (r < 0) {
		failing.on = false;
		CHECK(sfront_listener_update(listener, options, NULL, NULL) == 0);
		sfront_listener_close(listener);
	} else {
		*ret = listener;
	}
	failing.on = false;
	sfront_options_free(options);
	failing.on = was_on;
	return r;
}

/* A new listener on what the old one has lent; if it fails, the old one takes it back. */
static int open_on_lent(struct sfront_listener **ret, struct sfront_error *err)
{
	struct sfront_listener *old = NULL, *more = NULL;
	struct sfront_address address = { .kind = SFRONT_FD, .u.fd.number = HANDED };
	bool was_on = failing.on;
	int r;

	failing.on = false;
	CHECK(sfront_listener_open(&address, 1, NULL, &old, err) == 0);
	failing.on = was_on;
	sfront_listener_lend(old);
	address.u.fd.number = HANDED + 1;
	r = sfront_listener_open(&address, 1, NULL, &more, err);
	address.u.fd.number = HANDED;
	if (r == 0)
		r = sfront_listener_open(&address, 1, NULL, ret, err);
	failing.on = false;
	if (r < 0) {
		CHECK(sfront_listener_take_back(old) == 0);
		CHECK(is_nonblocking(HANDED));
		CHECK(sfront_listener_restore(old) == 0);
		sfront_listener_lend(old);
	}
	sfront_listener_close(old);
	if (more) {
		CHECK(sfront_listener_restore(more) == 0);
		sfront_listener_lend(more);
		sfront_listener_close(more);
	}
	if (r == 0)
		close(HANDED + 1);
	failing.on = was_on;
	return r;
}

/* Listeners without an address */

static int open_memory(struct sfront_listener **ret, struct sfront_error *err)
{
	struct sfront_listener *listener;
	int r;

	r = sfront_memory_listener_new(&listener, err);
	if (r < 0)
		return r;
	waiting_client = sfront_memory_connect(listener);
	if (waiting_client >= 0) {
		*ret = listener;
		return 0;
	}
	r = waiting_client;
	snprintf(err->message, sizeof(err->message), "cannot connect within memory");
	sfront_listener_close(listener);
	return r;
}

static struct sfront_connection prepared;

static int give_prepared(void *data, struct sfront_connection *ret_connection)
{
	CHECK(data == &prepared);
	*ret_connection = prepared;
	prepared.read_fd = -1;
	return 0;
}

static void close_prepared(void *data)
{
	CHECK(data == &prepared && prepared.read_fd == -1);
}

/* Both ends of a socket pair, one as a connection and the other as the client of that. */
static int open_custom(struct sfront_listener **ret, struct sfront_error *err)
{
	const struct sfront_listener_ops ops = { .size = sizeof(ops),
						 .accept = give_prepared,
						 .close = close_prepared };
	bool was_on = failing.on;
	int pair[2], r;

	failing.on = false;
	connected_pair(pair);
	failing.on = was_on;
	r = sfront_connection_from_fds(pair[0], pair[0], &prepared, err);
	if (r < 0) {
		failing.on = false;
		CHECK(!is_nonblocking(pair[0]));
		close(pair[0]);
		close(pair[1]);
		return r;
	}
	r = sfront_listener_new(&ops, &prepared, pair[0], "custom", ret, err);
	if (r == 0) {
		waiting_client = pair[1];
		return 0;
	}
	sfront_connection_close(&prepared);
	close(pair[1]);
	return r;
}

/* A connection whose header is there as a whole. */
static void prepare_with_header(int read_fd, int write_fd, int client,
				struct sfront_connection *ret)
{
	static const char header[] = "PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\n";

	CHECK(write(client, header, sizeof(header) - 1) == sizeof(header) - 1);
	CHECK(sfront_connection_from_fds(read_fd, write_fd, ret, NULL) == 0);
	close(client);
}

static int read_header(struct sfront_connection *connection, struct sfront_error *err)
{
	char buf[SFRONT_PROXY_V1_MAX];
	struct sfront_proxy_reader reader = { .buf = buf, .size = sizeof(buf) };
	struct sfront_proxy_header header;

	return sfront_proxy_read(connection, &reader, &header, err);
}

/* Reads headers of the PROXY protocol from a socket and from a pipe first. */
static int open_after_headers(struct sfront_listener **ret, struct sfront_error *err)
{
	struct sfront_connection connections[2];
	bool was_on = failing.on;
	int pair[2], in[2], r;

	failing.on = false;
	connected_pair(pair);
	CHECK(pipe(in) == 0);
	prepare_with_header(pair[0], pair[0], pair[1], &connections[0]);
	prepare_with_header(in[0], open("/dev/null", O_WRONLY), in[1], &connections[1]);
	failing.on = was_on;
	r = read_header(&connections[0], err);
	if (r == 0)
		r = read_header(&connections[1], err);
	failing.on = false;
	sfront_connection_close(&connections[0]);
	sfront_connection_close(&connections[1]);
	failing.on = was_on;
	return r < 0 ? r : open_memory(ret, err);
}

static void answer(struct evhttp_request *request, void *data)
{
	struct sfront_connection connection;

	sfront_evhttp_connection(data, request, &connection);
	evhttp_send_reply(request, 200, "OK", NULL);
}

/* Whether a client is answered; else it has seen an end. */
static bool is_answered(struct event_base *base, int client)
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	char reply[512];
	ssize_t len = -1;

	if (write(client, request, sizeof(request) - 1) < 0)
		len = 0;
	for (int i = 0; i < 5000 && len < 0; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		len = __real_recv(client, reply, sizeof(reply), MSG_DONTWAIT);
		if (len < 0)
			usleep(1000);
	}
	close(client);
	CHECK(len >= 0);
	return len > 12 && memcmp(reply + 9, "200", 3) == 0;
}

/* One may be lost where evhttp could not be given it; the next is served. */
static void is_served_by(struct event_base *base, struct sfront_listener *listener)
{
	bool was_on = failing.on;
	int clients[2];

	failing.on = false;
	for (int i = 0; i < 2; i++)
		clients[i] = sfront_memory_connect(listener);
	failing.on = was_on;
	CHECK(is_answered(base, clients[0]) || failing.done);
	CHECK(is_answered(base, clients[1]) || failing.done);
	failing.on = false;
	CHECK(is_answered(base, sfront_memory_connect(listener)));
	failing.on = was_on;
}

/* An evhttp server on a listener in memory, which serves three and goes. */
static int open_http(struct sfront_listener **ret, struct sfront_error *err)
{
	struct sfront_listener *listener = NULL;
	struct sfront_evhttp *server;
	bool was_on = failing.on;
	struct event_base *base;
	struct evhttp *http;
	int r;

	failing.on = false;
	base = event_base_new();
	http = evhttp_new(base);
	CHECK(http && sfront_memory_listener_new(&listener, NULL) == 0);
	failing.on = was_on;
	r = sfront_evhttp_new(base, http, listener, NULL, NULL, &server, err);
	if (r == 0) {
		evhttp_set_gencb(http, answer, server);
		is_served_by(base, listener);
		sfront_evhttp_free(server);
	}
	was_on = failing.on;
	failing.on = false;
	evhttp_free(http);
	event_base_free(base);
	if (r == 0) {
		*ret = listener;
		waiting_client = sfront_memory_connect(listener);
	} else {
		sfront_listener_close(listener);
	}
	failing.on = was_on;
	return r;
}

static const struct tolerance tcp_tolerates[] = {
	{ CALL_bind, EADDRINUSE, 0 }, /* tried again with another free port */
	{ CALL_listen, EADDRINUSE, 0 },
	END,
};

static const struct tolerance every_tolerates[] = {
	{ CALL_socket, EAFNOSUPPORT, 0 }, /* 0.0.0.0 then */
	END,
};

static const struct tolerance unix_tolerates[] = {
	{ CALL_chmod, ENOENT, 0 },    /* no /proc: the kernel has another way */
	{ CALL_ioctl, 0, 0 },         /* the file is found by its name */
	{ CALL_realpath, 0, 0 },      /* bound as it was typed */
	{ CALL_open, EACCES, 0 },     /* the directory may not be read: opened without */
	{ CALL_nanosleep, EINTR, 0 }, /* a shorter pause */
	{ CALL_flock, 0, 0 },
	{ CALL_getpwnam_r, ERANGE, 0 }, /* asked again with a larger buffer */
	{ CALL_getgrnam_r, ERANGE, 0 },
	END,
};

/* The names of both ends are for messages. */
static const struct tolerance inherited_tolerates[] = {
	{ CALL_getsockopt, 0, 28 }, /* what the socket had: that is not given back then */
	{ CALL_fcntl, 0, 2 },       /* the same of O_NONBLOCK */
	{ CALL_eventfd_read, 0, 0 }, { CALL_getsockname, 0, 0 }, { CALL_getpeername, 0, 1 }, END,
};

static const struct tolerance inetd_tolerates[] = {
	{ CALL_eventfd_read, 0, 0 },
	{ CALL_getsockname, 0, 0 },
	{ CALL_getpeername, 0, 1 },
	{ CALL_fstat, 0, 2 }, /* whether both are one socket: taken for two */
	{ CALL_open, 0, 2 },  /* not opened anew: shared */
	END,
};

/* A client may be lost, and the next door made a little later; is_served_by() looks at that. */
static const struct tolerance http_tolerates[] = {
	{ CALL_bind, 0, 0 },
	{ CALL_calloc, 0, 0 },
	{ CALL_connect, 0, 0 },
	{ CALL_dup3, 0, 0 },
	{ CALL_eventfd_read, 0, 0 },
	{ CALL_fcntl, 0, 0 },
	{ CALL_fstat, 0, 0 },
	{ CALL_getpeername, 0, 0 },
	{ CALL_getsockname, 0, 0 },
	{ CALL_getsockopt, 0, 0 },
	{ CALL_listen, 0, 0 },
	{ CALL_socket, 0, 0 },
	END,
};

static const struct tolerance adoption_tolerates[] = {
	{ CALL_chmod, ENOENT, 0 },
	{ CALL_realpath, 0, 0 },
	{ CALL_getsockname, 0, 1 }, /* whether the name is a path: seen when that is compared */
	{ CALL_open, EACCES, 1 },
	{ CALL_flock, 0, 0 },
	{ CALL_fstat, 0, 1 }, /* the path's access cannot be compared: it stays, with a warning */
	END,
};

static const struct tolerance update_tolerates[] = {
	{ CALL_chmod, ENOENT, 0 },
	{ CALL_ioctl, 0, 0 },
	{ CALL_realpath, 0, 0 },
	{ CALL_fstat, 0, 1 },
	{ CALL_flock, 0, 0 },
	{ CALL_getsockopt, 0, 0 }, /* what the socket had, for when it goes back */
	END,
};

static const struct tolerance several_tolerate[] = {
	{ CALL_bind, EADDRINUSE, 1 }, /* of TCP */
	{ CALL_listen, EADDRINUSE, 1 },
	{ CALL_chmod, ENOENT, 0 }, /* as with UNIX alone */
	{ CALL_ioctl, 0, 0 },
	{ CALL_realpath, 0, 0 },
	{ CALL_open, EACCES, 1 },
	{ CALL_flock, 0, 0 },
	END,
};

/* A call that was interrupted is made again; what cannot be looked into is read. */
static const struct tolerance headers_tolerate[] = {
	{ CALL_eventfd_read, 0, 0 },
	{ CALL_recv, EINTR, 0 },
	{ CALL_recv, EOPNOTSUPP, 0 },
	{ CALL_read, EINTR, 0 },
	END,
};

static const struct scenario scenarios[] = {
	{
		.name = "tcp",
		.addresses = { "127.0.0.1:0" },
		.options =
			"tcp-keepalive=30000:5:10000 tcp-reuse-port recv-buffer-size=64K "
			"send-buffer-size=64K tcp-listen-backlog=100 tcp-user-timeout=1s tcp-fast-open=5 "
			"tcp-defer-accept=1s ip-freebind tcp-congestion=reno bind-to-device=lo "
			"type-of-service=8 tcp-nodelay",
		.tolerated = tcp_tolerates,
	},
	{
		.name = "tcp on every address",
		.addresses = { "*:0" },
		.options = "ip-freebind type-of-service=8",
		.tolerated = every_tolerates,
	},
	{
		.name = "tcp by name",
		.addresses = { "localhost:0" },
		.options = "",
		.tolerated = tcp_tolerates,
	},
	{
		.name = "tcp by service",
		.addresses = { "127.0.0.1:" TEST_SERVICE },
		.options = "",
		.tolerated = tcp_tolerates,
	},
	{
		.name = "tcp with a scope",
		.addresses = { "[::1%lo]:0" },
		.options = "",
		.tolerated = tcp_tolerates,
	},
	{
		.name = "unix",
		.addresses = { "./app.sock" },
		.options = "",
		.tolerated = unix_tolerates,
	},
	{
		.name = "unix in place of a dead one",
		.addresses = { "./app.sock" },
		.options = "unix-listen-unlink unix-listen-chmod=group unix-listen-uid=root "
			   "unix-listen-gid=root send-buffer-size=64K",
		.prepare = leave_dead_socket,
		.tolerated = unix_tolerates,
	},
	{
		.name = "abstract",
		.addresses = { "@sockfront-test-failures" },
		.options = "send-buffer-size=64K",
	},
	{
		.name = "vsock",
		.addresses = { "vsock:any:5000" },
		.options = "recv-buffer-size=64K",
	},
	{
		.name = "sd-listen",
		.addresses = { "sd-listen:*" },
		.options = "tcp-listen-backlog=7 tcp-keepalive=",
		.prepare = hand_over_two,
		.tolerated = inherited_tolerates,
	},
	{
		.name = "accept-from-fd",
		.addresses = { "accept-from-fd:3" },
		.options = "tcp-nodelay=no",
		.prepare = hand_over_listening,
		.tolerated = inherited_tolerates,
	},
	{
		.name = "accept-from-fd, connected",
		.addresses = { "accept-from-fd:3" },
		.options = "send-buffer-size=64K",
		.prepare = hand_over_connection,
		.tolerated = inherited_tolerates,
	},
	{
		.name = "inetd, a socket",
		.addresses = { "-" },
		.options = "send-buffer-size=64K",
		.prepare = stdio_socket,
		.tolerated = inetd_tolerates,
	},
	{
		.name = "inetd, pipes",
		.addresses = { "-" },
		.options = "",
		.prepare = stdio_pipes,
		.tolerated = inetd_tolerates,
	},
	{
		.name = "inetd, files",
		.addresses = { "-" },
		.options = "",
		.prepare = stdio_files,
		.tolerated = inetd_tolerates,
	},
	{
		.name = "inetd, a terminal",
		.addresses = { "-" },
		.options = "",
		.prepare = stdio_terminal,
		.tolerated = inetd_tolerates,
	},
	{
		.name = "several",
		.addresses = { "127.0.0.1:0", "./app.sock", "@sockfront-test-failures" },
		.options = "",
		.tolerated = several_tolerate,
	},
	{
		.name = "adopted tcp",
		.addresses = { "127.0.0.1:0" },
		.options = "tcp-keepalive= recv-buffer-size=64K ip-freebind",
		.prepare = pass_on_tcp,
		.adopts = true,
	},
	{
		.name = "adopted tcp on every address",
		.addresses = { "*:0" },
		.options = "",
		.prepare = pass_on_every,
		.adopts = true,
	},
	{
		.name = "adopted unix",
		.addresses = { "./app.sock" },
		.options = "unix-listen-chmod=600 send-buffer-size=64K",
		.prepare = pass_on_path,
		.adopts = true,
		.tolerated = adoption_tolerates,
	},
	{
		.name = "adopted vsock",
		.addresses = { "vsock:any:5000" },
		.options = "recv-buffer-size=64K",
		.prepare = pass_on_vsock,
		.adopts = true,
	},
	{
		.name = "bound by others",
		.addresses = { "vsock:any:5000" },
		.options = "recv-buffer-size=64K",
		.prepare = pass_on_vsock,
		.inherits = true,
		.tolerated = inherited_tolerates,
	},
	{
		.name = "updated",
		.tolerated = update_tolerates,
		.open = open_and_update,
	},
	{
		.name = "lent",
		.prepare = hand_over_two,
		.tolerated = inherited_tolerates,
		.open = open_on_lent,
	},
	{
		.name = "memory",
		.tolerated = inherited_tolerates,
		.open = open_memory,
	},
	{
		.name = "headers of the PROXY protocol",
		.tolerated = headers_tolerate,
		.open = open_after_headers,
	},
	{
		.name = "custom",
		.tolerated = inherited_tolerates,
		.open = open_custom,
	},
	{
		.name = "evhttp",
		.tolerated = http_tolerates,
		.open = open_http,
	},
};

#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

int main(void)
{
	struct CMUnitTest tests[SCENARIOS];
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC), failed;

	signal(SIGPIPE, SIG_IGN); /* as evhttp wants */
	outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
	close(zero);
	if (outcome == MAP_FAILED || !mkdtemp(directory) || chdir(directory) < 0)
		return 1;
	for (size_t i = 0; i < SCENARIOS; i++)
		tests[i] = (struct CMUnitTest){
			.name = scenarios[i].name,
			.test_func = test_scenario,
			.setup_func = descriptors_setup,
			.teardown_func = descriptors_teardown,
			.initial_state = (void *)&scenarios[i],
		};
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (chdir("/") < 0 || rmdir(directory) < 0)
		failed++;
	return failed;
}
