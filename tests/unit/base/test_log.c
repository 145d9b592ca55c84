/* SPDX-License-Identifier: MIT */
/*
 * A log that nobody reads stops nobody, and every line is either written or counted as
 * lost, once: on a terminal, a pipe, a socket and syslog, and where stderr cannot be
 * opened anew.  Each case is a process of its own, since each has a stderr of its own.
 */
#include "tests/unit/large_files.h"
#include "tests/unit/sockets.h"

#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <syslog.h>
#include <termios.h>
#include <time.h>

#include "daemon/base/log.h"

#define LINES 3000 /* far more than any of them and the backlog take */

/* As CHECK(), but stderr is what is tested. */
#define HOLDS(condition)                                                                       \
	do {                                                                                   \
		if (!(condition)) {                                                            \
			dprintf(STDOUT_FILENO, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			_exit(99);                                                             \
		}                                                                              \
	} while (0)

static bool open_fails, threads_fail;
static struct sockaddr_un syslog_at;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	if (open_fails) {
		errno = EACCES;
		return -1;
	}
	return __real_open(path, flags);
}

int __real_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	assert_string_equal(((const struct sockaddr_un *)addr)->sun_path, "/dev/log");
	assert_int_equal(len, sizeof(syslog_at));
	return __real_connect(fd, (const struct sockaddr *)&syslog_at, sizeof(syslog_at));
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg)
{
	return threads_fail ? EAGAIN : __real_pthread_create(thread, attr, run, arg);
}

/* ---- who reads ---- */

static struct {
	int fd;
	char part[4096]; /* of a line that is not whole yet */
	size_t used;
	unsigned int whole, lost, notes;
	int last; /* the number of the last line; they come in order */
	bool in_order;
} reader;

static void count_line(const char *line)
{
	const char *lost = strstr(line, " log line(s) were lost"), *number = strstr(line, "line ");

	if (lost) {
		while (lost > line && lost[-1] >= '0' && lost[-1] <= '9')
			lost--;
		reader.lost += (unsigned int)atoi(lost);
		reader.notes++;
	} else {
		HOLDS(number);
		reader.whole++;
		reader.in_order &= atoi(number + 5) > reader.last;
		reader.last = atoi(number + 5);
	}
}

/* Reads what is there; false: nothing was.  A datagram is a line. */
static bool read_some(bool datagrams)
{
	struct pollfd pfd = { .fd = reader.fd, .events = POLLIN };
	ssize_t n;
	char *end;

	if (poll(&pfd, 1, 200) < 1 || !(pfd.revents & POLLIN))
		return false;
	n = read(reader.fd, reader.part + reader.used, sizeof(reader.part) - reader.used - 1);
	if (n <= 0)
		return false;
	reader.used += (size_t)n;
	if (datagrams)
		reader.part[reader.used++] = '\n';
	while ((end = memchr(reader.part, '\n', reader.used))) {
		*end++ = '\0';
		count_line(reader.part);
		reader.used -= (size_t)(end - reader.part);
		memmove(reader.part, end, reader.used);
	}
	return true;
}

/* Each line that was logged was read or counted, and nothing came twice. */
static void expect_all(unsigned int logged, bool datagrams)
{
	time_t until = time(NULL) + 30;

	while (reader.whole + reader.lost < logged && time(NULL) < until)
		(void)read_some(datagrams);
	while (read_some(datagrams))
		;
	if (reader.whole + reader.lost != logged)
		printf("%u read, %u lost, %u logged\n", reader.whole, reader.lost, logged);
	HOLDS(reader.whole + reader.lost == logged);
}

/* ---- what stderr is ---- */

static void begin(int reads, int writes)
{
	struct termios raw;

	reader.fd = reads;
	reader.in_order = true;
	if (isatty(writes) && tcgetattr(writes, &raw) == 0) {
		cfmakeraw(&raw);
		HOLDS(tcsetattr(writes, TCSANOW, &raw) == 0);
	}
	HOLDS(dup2(writes, STDERR_FILENO) == STDERR_FILENO);
	close(writes);
	log_open(LOG_INFO, false);
	/* It is shared with others. */
	HOLDS(!(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK));
}

static void begin_terminal(void)
{
	int master, slave;

	HOLDS(openpty(&master, &slave, NULL, NULL, NULL) == 0);
	begin(master, slave);
}

static void begin_pipe(void)
{
	int fds[2];

	HOLDS(pipe(fds) == 0);
	begin(fds[0], fds[1]);
}

static void begin_socket(void)
{
	int fds[2];

	HOLDS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	begin(fds[0], fds[1]);
}

static int first;

static void log_lines(int n)
{
	for (int i = 0; i < n; i++)
		log_line(LOG_INFO, "line %d of a log that tells at some length what happens",
			 ++first);
}

static void nobody_reads(void (*begin_one)(void))
{
	begin_one();
	log_lines(LINES);
	HOLDS(first == LINES);
	expect_all(LINES, false);
	HOLDS(reader.lost > 0 && reader.in_order);
	HOLDS(reader.notes < 100); /* told once, and not for each line */
	/* And again, now that there is room. */
	log_lines(5);
	expect_all(LINES + 5, false);
	log_lines(LINES);
	expect_all(2 * LINES + 5, false);
	HOLDS(reader.in_order);
	HOLDS(log_lost() == reader.lost);
}

static void terminal(void)
{
	nobody_reads(begin_terminal);
}

static void pipe_of_two(void)
{
	nobody_reads(begin_pipe);
}

static void stream_socket(void)
{
	nobody_reads(begin_socket);
}

static void terminal_of_another(void)
{
	open_fails = true;
	nobody_reads(begin_terminal);
}

static void pipe_of_another(void)
{
	open_fails = true;
	nobody_reads(begin_pipe);
}

static void few_lines_are_not_lost(void)
{
	begin_terminal();
	log_lines(200); /* more than the terminal takes */
	expect_all(200, false);
	HOLDS(reader.lost == 0);
}

static void *log_many(void *arg)
{
	(void)arg;
	for (int i = 0; i < LINES; i++)
		log_line(LOG_INFO, "line %d", i);
	return NULL;
}

static void several_threads(void)
{
	pthread_t threads[4];

	begin_pipe();
	for (int i = 0; i < 4; i++)
		HOLDS(pthread_create(&threads[i], NULL, log_many, NULL) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	expect_all(4 * LINES, false);
}

static long cpu_ms(void)
{
	struct timespec used;

	HOLDS(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0);
	return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

/* EPIPE for each; what is kept by then is lost as well, and nobody spins. */
static void reader_that_leaves(void)
{
	long used_ms;

	signal(SIGPIPE, SIG_IGN);
	begin_pipe();
	log_lines(LINES);
	close(reader.fd);
	log_flush();
	log_lines(10);
	used_ms = cpu_ms();
	sleep(1);
	HOLDS(cpu_ms() - used_ms < 250);
}

static void begin_small_pipe(void)
{
	begin_pipe();
	HOLDS(fcntl(reader.fd, F_SETPIPE_SZ, 4096) >= 0);
}

/* A line that waits for room comes before one that would find some just now. */
static void order_is_kept(void)
{
	begin_small_pipe();
	for (int i = 0; i < 10; i++) {
		int before, now = -1;

		do {
			before = now;
			log_lines(1);
			HOLDS(ioctl(reader.fd, FIONREAD, &now) == 0);
		} while (now > before);
		usleep(50000); /* for the thread to take it */
		HOLDS(read_some(false));
		log_lines(1);
		expect_all((unsigned int)first, false);
	}
	HOLDS(reader.lost == 0 && reader.in_order);
}

static void flush_waits_for_a_reader(void)
{
	pid_t pid;

	begin_small_pipe();
	pid = fork();
	if (pid == 0) {
		log_lines(200);
		log_flush();
		_exit(0);
	}
	usleep(300000);
	expect_all(200, false);
	HOLDS(reader.lost == 0);
}

/* What was written of a line stays one, and the next one begins another. */
static void file_that_may_not_grow(void)
{
	const struct rlimit little = { 100, RLIM_INFINITY }, more = { 100000, RLIM_INFINITY };
	FILE *file = tmpfile();
	char line[256];
	unsigned int n = 0;

	signal(SIGXFSZ, SIG_IGN);
	HOLDS(file && dup2(fileno(file), STDERR_FILENO) == STDERR_FILENO);
	log_open(LOG_INFO, false);
	HOLDS(setrlimit(RLIMIT_FSIZE, &little) == 0);
	log_lines(4);
	HOLDS(setrlimit(RLIMIT_FSIZE, &more) == 0);
	log_lines(1);
	rewind(file);
	for (; fgets(line, sizeof(line), file); n++)
		HOLDS(strncmp(line, "sockfront: ", 11) == 0 && !strstr(line + 11, "sockfront: ") &&
		      (n != 2 || strstr(line, " 3 log line(s) were lost")));
	HOLDS(n == 4); /* one, a part, how many were lost, and the last */
	HOLDS(log_lost() == 3);
}

static void flush_does_not_wait_for_ever(void)
{
	begin_pipe();
	log_lines(LINES);
	log_flush();
}

static void room_is_made_by_a_reader(void)
{
	pid_t pid;

	begin_small_pipe();
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < LINES; i++) {
			log_make_room();
			log_lines(1);
		}
		log_flush();
		_exit(0);
	}
	expect_all(LINES, false);
	HOLDS(reader.lost == 0);
}

static void room_is_waited_for_once(void)
{
	alarm(60); /* a second for each line would be far more */
	begin_pipe();
	for (int i = 0; i < LINES; i++) {
		log_make_room();
		log_lines(1);
	}
	expect_all(LINES, false);
	HOLDS(reader.lost > 0);
}

/* However often it is full and has room again, and whatever part of a line it takes. */
static void file_that_is_full_again_and_again(void)
{
	FILE *file = tmpfile();
	char line[256];
	unsigned int told = 0, written = 0;

	signal(SIGXFSZ, SIG_IGN);
	HOLDS(file && dup2(fileno(file), STDERR_FILENO) == STDERR_FILENO);
	log_open(LOG_INFO, false);
	for (rlim_t room = 0, step = 1; room < 40000; room += step) {
		const struct rlimit limit = { room, RLIM_INFINITY };

		HOLDS(setrlimit(RLIMIT_FSIZE, &limit) == 0);
		log_lines(2);
		step = step % 173 + 1;
	}
	HOLDS(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY }) == 0);
	log_lines(1);
	rewind(file);
	while (fgets(line, sizeof(line), file)) {
		unsigned int lost;

		if (sscanf(line, "sockfront: warning: %u log line(s)", &lost) == 1 &&
		    strstr(line, "for them\n"))
			told += lost;
		else if (strstr(line, " line ") && strstr(line, "what happens\n"))
			written++;
	}
	HOLDS(told > 0 && told + written == (unsigned int)first);
	HOLDS(log_lost() == told);
}

static void bare_records(void)
{
	static char long_one[5000];
	char read_back[6000] = { 0 };

	begin_pipe();
	memset(long_one, 'x', sizeof(long_one) - 1);
	log_record("{}", true);
	HOLDS(read(reader.fd, read_back, sizeof(read_back)) == 3 && strcmp(read_back, "{}\n") == 0);
	log_record(long_one, false);
	HOLDS(read(reader.fd, read_back, sizeof(read_back)) == 11 + 4999 + 1);
	HOLDS(strncmp(read_back, "sockfront: xxx", 14) == 0 && read_back[5010] == '\n');
	log_set_level(LOG_NOTICE);
	log_record("not wanted", true);
	log_line(LOG_NOTICE, "line 1");
	expect_all(1, false);
}

static void without_a_thread(void)
{
	begin_pipe();
	threads_fail = true;
	log_lines(LINES);
	threads_fail = false;
	while (read_some(false))
		;
	log_lines(5);
	expect_all(LINES + 5, false);
}

/* ---- syslog ---- */

static void begin_syslog(void)
{
	char directory[] = "/tmp/sockfront-test-XXXXXX";
	int fd;

	HOLDS(mkdtemp(directory));
	syslog_at.sun_family = AF_UNIX;
	snprintf(syslog_at.sun_path, sizeof(syslog_at.sun_path), "%s/log", directory);
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	HOLDS(bind(fd, (struct sockaddr *)&syslog_at, sizeof(syslog_at)) == 0);
	reader.fd = fd;
	reader.in_order = true;
	if (!log_wants(LOG_DEBUG))
		log_open(LOG_INFO, true);
}

static void end_syslog(void)
{
	char *slash = strrchr(syslog_at.sun_path, '/');

	unlink(syslog_at.sun_path);
	*slash = '\0';
	rmdir(syslog_at.sun_path);
}

static void syslog_that_nobody_reads(void)
{
	char first_line[512] = { 0 };

	begin_syslog();
	log_line(LOG_WARNING, "a word\nof warning");
	HOLDS(read(reader.fd, first_line, sizeof(first_line) - 1) > 0);
	HOLDS(strncmp(first_line, "<28>", 4) == 0);
	HOLDS(strstr(first_line, " sockfront["));
	HOLDS(strstr(first_line, "]: a word\\x0aof warning"));
	HOLDS(!strchr(first_line, '\n'));
	log_lines(LINES);
	expect_all(LINES, true);
	HOLDS(reader.lost > 0);
	log_lines(5);
	expect_all(LINES + 5, true);
	end_syslog();
}

static void syslog_that_is_restarted(void)
{
	begin_syslog();
	log_lines(1);
	expect_all(1, true);
	close(reader.fd);
	log_lines(3); /* nobody is there */
	unlink(syslog_at.sun_path);
	reader.fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	HOLDS(bind(reader.fd, (struct sockaddr *)&syslog_at, sizeof(syslog_at)) == 0);
	log_lines(1);
	expect_all(5, true);
	HOLDS(reader.lost == 3 && reader.whole == 2);
	/* So quickly that nothing was logged meanwhile. */
	close(reader.fd);
	unlink(syslog_at.sun_path);
	reader.fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	HOLDS(bind(reader.fd, (struct sockaddr *)&syslog_at, sizeof(syslog_at)) == 0);
	log_lines(1);
	expect_all(6, true);
	HOLDS(reader.lost == 3 && log_lost() == 3);
	end_syslog();
}

/* With it, how many were lost before is lost, which is not one. */
static void syslog_that_ends_unread(void)
{
	begin_syslog();
	log_lines(LINES);
	for (int i = 0; i < 20; i++)
		HOLDS(read_some(true));
	usleep(100000);
	HOLDS(shutdown(reader.fd, SHUT_RDWR) == 0);
	while (read_some(true))
		;
	close(reader.fd);
	unlink(syslog_at.sun_path);
	log_flush();
	reader.fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	HOLDS(bind(reader.fd, (struct sockaddr *)&syslog_at, sizeof(syslog_at)) == 0);
	log_lines(5);
	expect_all(LINES + 5, true);
	HOLDS(log_lost() == reader.lost);
	end_syslog();
}

/* Its number must not be one that something is written to. */
static void standard_descriptors_are_left_alone(void)
{
	int fds[2];

	HOLDS(pipe(fds) == 0);
	HOLDS(dup2(fds[1], STDERR_FILENO) == STDERR_FILENO);
	close(STDIN_FILENO);
	log_open(LOG_INFO, false);
	HOLDS(fcntl(STDIN_FILENO, F_GETFD) < 0);
	log_line(LOG_INFO, "line 1");
	reader.fd = fds[0];
	expect_all(1, false);
}

#define CASES(X)                             \
	X(terminal)                          \
	X(pipe_of_two)                       \
	X(stream_socket)                     \
	X(terminal_of_another)               \
	X(pipe_of_another)                   \
	X(few_lines_are_not_lost)            \
	X(several_threads)                   \
	X(reader_that_leaves)                \
	X(order_is_kept)                     \
	X(file_that_may_not_grow)            \
	X(file_that_is_full_again_and_again) \
	X(bare_records)                      \
	X(flush_waits_for_a_reader)          \
	X(flush_does_not_wait_for_ever)      \
	X(room_is_made_by_a_reader)          \
	X(room_is_waited_for_once)           \
	X(without_a_thread)                  \
	X(syslog_that_nobody_reads)          \
	X(syslog_that_is_restarted)          \
	X(syslog_that_ends_unread)           \
	X(standard_descriptors_are_left_alone)

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		in_child(name);               \
	}
CASES(TEST)

#define COUNTED(name) counted(test_##name),

int main(void)
{
	const struct CMUnitTest tests[] = { CASES(COUNTED) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
