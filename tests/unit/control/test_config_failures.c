/* SPDX-License-Identifier: MIT */
/*
 * Every call that opening a configuration makes fails once (failing.h), and every
 * call of a reload: either all of it is there, or nothing has changed, with a reason;
 * no descriptor, block of memory or path is left over; and the next attempt works.
 * Each trial is a child process of its own; a reload's has a worker that accepts.
 *
 * Valgrind translates the program anew in each of them.  Where SOCKFRONT_VALGRIND is set
 * there are fewer: see spare().
 */
#include "../sockets.h"

#include "../failing.h"
#include "../nothing_is_open.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/un.h>

#include "conf/args.h"
#include "conf/conf.h"
#include "daemon/base/log.h"
#include "daemon/control/path_watch.h"
#include "daemon/control/reload.h"
#include "daemon/proxy/generation.h"
#include "daemon/worker/acceptor.h"
#include "daemon/worker/process.h"
#include "daemon/worker/worker.h"
#include "daemon/worker/workers.h"

#define FILE_NAME "./sockfront.conf"
#define KEPT      "./kept.sock"
#define NEW       "./new.sock"

/* Both have a listener on every address that the test knows, in another order. */
static const char first_text[] = "[sockfront]\naccess-log = no\n"
				 "[proxy a]\nlisten = 127.0.0.1:0\nlisten = " KEPT "\n"
				 "unix-listen-chmod = owner\ntcp-keepalive = no\n"
				 "backend = 127.0.0.1:%u\n"
				 "[status]\nlisten = 127.0.0.1:0\nstatus-host = h\nallow = any\n";
static const char next_text[] = "[sockfront]\ndrain-timeout = 1s\n"
				"[proxy b]\nlisten = " NEW "\nlisten = @%s\n"
				"backend = 127.0.0.1:%u\n"
				"[proxy a]\nlisten = 127.0.0.1:0\ntcp-keepalive = 5000:3:1000\n"
				"backend = 127.0.0.1:%u\n"
				"[status]\nlisten = 127.0.0.1:0\nlisten = 127.0.0.1:0\n"
				"tcp-keepalive = 5000:3:1000\n";

/* What a trial tells its parent. */
struct outcome {
	unsigned int count[CALLS];
	int descriptors;
	int blocks;
	bool tolerated; /* the failure ended in success */
};

/* A call whose failure may end in success: there is another way, or it can be done without. */
struct tolerance {
	enum failing_call call;
	unsigned int times; /* at most, for each error; 0: any number */
};

#define ARGUMENTS 3
static char *arguments[] = { (char[]){ "sockfront" }, (char[]){ "-c" }, (char[]){ FILE_NAME },
			     NULL };

static struct outcome *outcome; /* shared with the children */
static struct outcome clean;    /* of a run without any failure */
static int said;                /* a file with what was written to stderr */
static struct process process;
static int backend;
static uint16_t backend_port;
static char directory[] = "/tmp/sockfront-test-config.XXXXXX";

/* ---- what is there ---- */

static struct {
	int descriptors;
	int blocks;
	ino_t kept;
} before;

static ino_t inode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static void note_what_is_there(void)
{
	before.descriptors = count_descriptors();
	before.blocks = live_blocks;
	before.kept = inode_of(KEPT);
}

/* The calls by which a path is removed may fail: then it is there still. */
static bool may_stay(void)
{
	return failing.call == CALL_unlinkat || failing.call == CALL_fstatat;
}

static void is_as_before(void)
{
	CHECK(count_descriptors() == before.descriptors);
	CHECK(live_blocks == before.blocks);
	CHECK(inode_of(KEPT) == before.kept || may_stay());
	CHECK(inode_of(NEW) == 0 || may_stay());
}

/* What was written to stderr since the last time. */
static const char *heard(void)
{
	static char text[8192];
	ssize_t n = pread(said, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	CHECK(ftruncate(said, 0) == 0 && lseek(said, 0, SEEK_SET) == 0);
	return text;
}

/* ---- opening ---- */

static void problem_reported(void *data, const struct place *place, const char *message)
{
	(void)data;
	log_problem(place->file, place->line, message);
}

/* As main() does.  False: the log has the reason. */
static bool open_configuration(void)
{
	const struct generation_source source = {
		.find = nothing_is_open,
		.home = &process.loop,
		.n_workers = 1,
	};
	struct problems problems = { .report = problem_reported };
	struct sfront_error err = { "" };
	struct config config;
	struct args args;

	(void)args_parse(ARGUMENTS, arguments, &config, &problems, &args);
	if (problems.count == 0) {
		process.settings = config.process;
		process.generation = generation_open(&config, args.file, &source, &err);
		if (process.generation)
			process_start_counting(&process);
		else
			process_stop_counting(&process);
		if (!process.generation)
			log_line(LOG_ERR, "%s", err.message);
	}
	config_clear(&config);
	return problems.count == 0 && process.generation;
}

static void write_file(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void write_file(const char *format, ...)
{
	FILE *file = __real_fopen(FILE_NAME, "w");
	va_list values;

	CHECK(file);
	va_start(values, format);
	vfprintf(file, format, values);
	va_end(values);
	CHECK(fclose(file) == 0);
}

static void open_loop(void)
{
	process.loop.base = event_base_new();
	process.loop.poll_fd = -1; /* the loop is run here, and the worker has a thread */
	CHECK(process.loop.base);
	CHECK(mailbox_open(&process.loop.mailbox, process.loop.base) == 0);
}

static void close_loop(void)
{
	mailbox_close(&process.loop.mailbox);
	event_base_free(process.loop.base);
}

static struct listener *listener_number(size_t n)
{
	for (size_t i = 0; i < process.generation->n_proxies; i++) {
		const struct proxy *proxy = process.generation->proxies[i];

		if (n < proxy->n_listeners)
			return proxy->listeners[n];
		n -= proxy->n_listeners;
	}
	return NULL;
}

/* Listens itself; nothing accepts yet. */
static void is_open(const struct listener *listener)
{
	struct sfront_connection connection;
	int client = connect_to(listener->open, 0);

	CHECK(sfront_listener_accept_at(listener->open, 0, &connection) == 0);
	sfront_connection_close(&connection);
	close(client);
}

static void report(void)
{
	failing.on = false;
	/* How often a thread wakes is not the same each time. */
	CHECK(failing.nth == 0 || failing.done || failing.count[failing.call] < failing.nth);
	memcpy(outcome->count, failing.count, sizeof(failing.count));
	outcome->descriptors = count_descriptors();
	outcome->blocks = live_blocks;
}

static void opening(void)
{
	bool opened;

	write_file(first_text, backend_port);
	open_loop();
	note_what_is_there();
	failing.on = true;
	opened = open_configuration();
	failing.on = false;
	if (!opened) {
		CHECK(failing.done);
		CHECK(strlen(heard()) > 20);
		is_as_before();
		unlink(KEPT); /* see may_stay() */
		CHECK(open_configuration());
	} else {
		outcome->tolerated = failing.done;
	}
	CHECK(process.generation->n_proxies == 1);
	is_open(listener_number(0));
	is_open(listener_number(1));

	failing.on = true;
	generation_free(process.generation);
	failing.on = false;
	process_stop_counting(&process);
	close_loop();
	report();
}

/* ---- reloading ---- */

static bool done; /* what the loop is turned for has come */

static void loop_until_done(void)
{
	while (!done)
		CHECK(event_base_loop(process.loop.base, EVLOOP_ONCE) == 0);
	done = false;
}

static void has_come(struct message *message)
{
	(void)message;
	done = true;
}

static void reload_ended(void)
{
	done = true;
}

static void nothing_is_told(void)
{
}

static bool always(void)
{
	return true;
}

static void start_serving(void)
{
	const struct worker_handlers handlers = {
		.polling = has_come,
		.accepting_drains = has_come,
		.accepting_stopped = has_come,
		.idle = has_come,
	};

	CHECK(open_configuration());
	generation_become_newest(process.generation);
	process_set_limit(&process, 100);
	process.roster = roster_new(process.generation, reload_roster_over);
	CHECK(process.roster);
	CHECK(workers_start(&process, 4, &handlers) == 0);
	loop_until_done();
	process.acceptor->switched.deliver = has_come;
	acceptor_switch(process.acceptor, process.roster);
	loop_until_done();
}

static void stop_serving(void)
{
	acceptor_stop(process.acceptor);
	loop_until_done();
	worker_finish(&process.workers[0]);
	loop_until_done();
	path_watch_stop();
	workers_stop(&process);
	reload_clear(&process);
	free(process.roster);
	generation_free(process.generation);
	process_stop_counting(&process);
}

/* A client gets through to the backend, and the connection ends with it. */
static void is_served(const struct listener *listener)
{
	int client = connect_to(listener->open, 0), connection;

	CHECK(poll(&(struct pollfd){ backend, POLLIN, 0 }, 1, 10000) == 1);
	connection = __real_accept4(backend, NULL, NULL, SOCK_CLOEXEC);
	CHECK(connection >= 0);
	close(connection);
	CHECK(poll(&(struct pollfd){ client, POLLIN, 0 }, 1, 10000) == 1);
	close(client);
}

static void reload(void)
{
	const struct reload_handlers handlers = { .is_wanted = always,
						  .changed = nothing_is_told,
						  .ended = reload_ended };

	if (reload_start(&process, &handlers) == 0)
		loop_until_done();
	/* What nothing is accepted from any more is closed a moment later. */
	while (process.generation->older)
		CHECK(event_base_loop(process.loop.base, EVLOOP_ONCE) == 0);
}

static bool has_keepalive(const struct listener *listener)
{
	int on = 0;
	socklen_t size = sizeof(on);

	CHECK(__real_getsockopt(sfront_listener_fd(listener->open, 0), SOL_SOCKET, SO_KEEPALIVE,
				&on, &size) == 0);
	return on != 0;
}

static void is_reloaded(const struct listener *tcp)
{
	CHECK(process.generation->n_proxies == 2);
	CHECK(listener_number(2) == tcp && has_keepalive(tcp));
	CHECK(inode_of(KEPT) == 0 || may_stay());
	for (size_t i = 0; i < 3; i++)
		is_served(listener_number(i));
}

static void reloading(void)
{
	const struct generation *running;
	const struct listener *tcp;
	const char *said_so_far;

	write_file(first_text, backend_port);
	reload_remember(ARGUMENTS, arguments);
	open_loop();
	start_serving();
	running = process.generation;
	tcp = listener_number(0);
	write_file(next_text, directory + strlen("/tmp/"), backend_port, backend_port);
	note_what_is_there();
	(void)heard();

	failing.on = true;
	reload();
	failing.on = false;
	said_so_far = heard();
	if (process.generation == running) {
		CHECK(failing.done);
		CHECK_CONTAINS(said_so_far, "nothing has changed");
		is_as_before();
		CHECK(!has_keepalive(tcp));
		is_served(tcp);
		is_served(listener_number(1));
		unlink(NEW); /* see may_stay() */
		reload();
		CHECK(process.generation != running);
	} else {
		outcome->tolerated = failing.done;
		CHECK_CONTAINS(said_so_far, "2 listener(s) kept, 3 added, 1 removed");
	}
	is_reloaded(tcp);

	stop_serving();
	close_loop();
	report();
}

/* ---- trials ---- */

static void (*trial)(void); /* opening() or reloading() */

static void hear_and_try(void)
{
	CHECK(lseek(said, 0, SEEK_SET) == 0 && dup2(said, STDERR_FILENO) >= 0);
	trial();
}

static int run_trial(enum failing_call call, unsigned int nth, int error)
{
	failing.call = call;
	failing.nth = nth;
	failing.error = error;
	memset(outcome, 0, sizeof(*outcome));
	unlink(KEPT);
	unlink(NEW);
	assert_int_equal(ftruncate(said, 0), 0);
	return child_status(hear_and_try);
}

/* Those of a UNIX path and of a free port, as in test_failures.c. */
static const struct tolerance everywhere[] = {
	{ CALL_bind, 2 },                       /* another free port */
	{ CALL_listen, 2 },                     /* the same */
	{ CALL_close, 0 },                      /* what is closed is closed */
	{ CALL_fopen, 0 },                      /* /proc/sys is read for warnings alone */
	{ CALL_ioctl, 1 },                      /* the file is found by its name */
	{ CALL_realpath, 1 }, { CALL_open, 1 }, /* a directory that may not be read */
	{ CALL_flock, 0 },    { CALL_pthread_mutex_init, 0 }, /* cannot fail, without attributes */
	{ CALLS, 0 },
};

static const struct tolerance opening_tolerates[] = {
	{ CALL_getsockopt, 4 }, /* which network namespace a socket is in */
	{ CALL_socket, 1 },     /* ... and we are */
	{ CALL_setsockopt, 6 }, /* SO_OOBINLINE, SO_PASSRIGHTS, tcp-nodelay by default */
	{ CALL_malloc, 5 },     /* nothing is counted for the status then */
	{ CALL_calloc, 8 },     { CALL_tsearch, 8 }, { CALL_fcntl, 1 }, { CALLS, 0 },
};

static const struct tolerance reloading_tolerates[] = {
	{ CALL_getsockopt, 12 }, /* network namespaces; whether a kept listener still is one */
	{ CALL_socket, 1 },
	{ CALL_calloc, 5 }, /* limits are counted apart then, or nothing for the status */
	{ CALL_malloc, 7 },
	{ CALL_tsearch, 4 },
	{ CALL_setsockopt, 16 },
	{ CALL_accept4, 1 },  /* the last look at the queue of a listener that goes */
	{ CALL_shutdown, 1 }, /* tells those in that queue before it is closed */
	{ CALL_fstatat, 4 },  /* the path that goes stays */
	{ CALL_unlinkat, 1 },
	{ CALL_sd_listen_fds, 1 }, /* which inherited sockets nobody has taken */
	{ CALLS, 0 },
};

static const struct tolerance *tolerance_in(const struct tolerance *list, enum failing_call call)
{
	for (; list->call != CALLS; list++)
		if (list->call == call)
			return list;
	return NULL;
}

static const struct tolerance *tolerance_of(const struct tolerance *own, enum failing_call call)
{
	const struct tolerance *found = tolerance_in(own, call);

	return found ? found : tolerance_in(everywhere, call);
}

/* How many errors of a call are tried, and how far apart the calls are that fail. */
static struct {
	int errors;
	unsigned int stride;
} effort = { ERRORS_MAX, 1 };

/* Elsewhere, with and without sanitizers, everything is tried. */
static void spare(void)
{
	if (!getenv("SOCKFRONT_VALGRIND"))
		return;
	effort.errors = 1;
	effort.stride = 3;
	print_message("# under valgrind: each third call fails, with its first error\n");
}

static unsigned int fail_each(const struct tolerance *tolerated, enum failing_call call, int error)
{
	const struct tolerance *tolerance = tolerance_of(tolerated, call);
	unsigned int broken = 0, successes = 0;

	for (unsigned int nth = 1; nth <= clean.count[call]; nth += effort.stride) {
		int status = run_trial(call, nth, error);

		successes += outcome->tolerated;
		if (status == 0 && outcome->descriptors == clean.descriptors &&
		    outcome->blocks == clean.blocks)
			continue;
		broken++;
		print_error("call %u of %s fails with %d: status %#x, %d descriptors are left "
			    "(not %d), %d blocks (not %d)\n%s\n",
			    nth, calls[call].name, error, (unsigned int)status,
			    outcome->descriptors, clean.descriptors, outcome->blocks, clean.blocks,
			    heard());
	}
	if (successes > 0 && (!tolerance || (tolerance->times && successes > tolerance->times))) {
		broken++;
		print_error("%u failures of %s with %d do not count, and not only %u\n", successes,
			    calls[call].name, error, tolerance ? tolerance->times : 0);
	}
	return broken;
}

static void fail_every(void (*which)(void), const struct tolerance *tolerated)
{
	unsigned int broken = 0, trials = 0;
	int status;

	trial = which;
	status = run_trial(CALLS, 0, 0);
	if (status != 0)
		fail_msg("without any failure: status %#x\n%s", (unsigned int)status, heard());
	clean = *outcome;
	for (unsigned int call = 0; call < CALLS; call++) {
		if (call == CALL_read)
			continue; /* of mailboxes: how often they are is a matter of chance */
		for (int i = 0; i < effort.errors && calls[call].errors[i] != 0; i++)
			broken += fail_each(tolerated, call, calls[call].errors[i]);
		trials += clean.count[call];
	}
	assert_true(trials > 50);
	assert_int_equal(broken, 0);
}

/* Others find the file of a socket by its name alone, which may fail as well. */
static void needs_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("# only root may ask the kernel for the file of a socket (SIOCUNIXFILE)\n");
	skip();
}

static void test_opening(void **state)
{
	(void)state;
	needs_root();
	fail_every(opening, opening_tolerates);
}

static void test_reloading(void **state)
{
	(void)state;
	needs_root();
	fail_every(reloading, reloading_tolerates);
}

static void open_backend(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);

	backend = __real_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(backend >= 0 && __real_bind(backend, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
	      __real_listen(backend, 8) == 0 &&
	      __real_getsockname(backend, (struct sockaddr *)&addr, &len) == 0);
	backend_port = ntohs(addr.sin_port);
}

int main(void)
{
	const int flags = MAP_SHARED | MAP_ANONYMOUS;
	const struct CMUnitTest tests[] = { counted(test_opening), counted(test_reloading) };
	int failed;

	signal(SIGPIPE, SIG_IGN);
	/* cppcheck-suppress invalidFunctionArg ; -1 is what mmap() is given without a file */
	outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, flags, -1, 0);
	said = memfd_create("said", MFD_CLOEXEC);
	if (outcome == MAP_FAILED || said < 0 || !mkdtemp(directory) || chdir(directory) < 0)
		return 1;
	open_backend();
	spare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	close(backend);
	close(said);
	unlink(FILE_NAME);
	unlink(KEPT);
	unlink(NEW);
	if (chdir("/") < 0 || rmdir(directory) < 0)
		failed++;
	return failed;
}
