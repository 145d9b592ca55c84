/* SPDX-License-Identifier: MIT */
/*
 * Writes lines without waiting: see log_sink.h.
 *
 * A socket is told so with each call.  The flag that makes anything else non-blocking is
 * shared with whoever else has it, so that a pipe or a terminal is opened anew; one
 * that must not be opened is left to the thread.
 */
#include "daemon/base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/thread.h"

/* What is kept of lines that could not be written at once. */
#define BACKLOG_SIZE ((size_t)64 * 1024)

#define STACK_SIZE ((size_t)128 * 1024)

/* For a terminal that says that there is room, and has none for a whole character. */
static const struct timespec moment = { .tv_nsec = 10000000 };

enum kind {
	KIND_FILE,   /* it does not block, or only as a disk does */
	KIND_SOCKET, /* a stream */
	KIND_OWN,    /* a pipe or a terminal, opened anew and non-blocking */
	KIND_SLOW,   /* one that may block: for the thread alone */
	KIND_SYSLOG  /* a datagram for each line */
};

/* Kept in the backlog in front of each line. */
struct kept {
	unsigned int stands_for; /* lines that are lost with it: 1, or those it tells of */
	unsigned int len;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum kind kind;
	int fd;
	size_t (*format_lost)(char *line, unsigned int lost);
	unsigned int lost; /* and not told yet */
	bool torn;         /* a line was written in part: the next one begins a new one */
	bool running;      /* there is a thread */
	bool writing;      /* it has taken something from the backlog */
	bool deaf;         /* whoever waited for room did so in vain, and nothing was read since */
	char backlog[BACKLOG_SIZE];
	size_t used;
} sink = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
	.fd = STDERR_FILENO,
};

/* ---- what stderr is ---- */

/* A number above those of stdin, stdout and stderr: somebody may write to these. */
static int above_standard(int fd)
{
	int moved;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(fd);
	return moved;
}

/* The master of a pseudo-terminal would be another one if it was opened anew. */
static bool is_master(int fd)
{
	int number;

	return ioctl(fd, TIOCGPTN, &number) == 0;
}

static enum kind open_stderr(void)
{
	struct stat st;
	int fd;

	if (fstat(STDERR_FILENO, &st) < 0)
		return KIND_FILE;
	if (S_ISSOCK(st.st_mode))
		return KIND_SOCKET;
	if (!S_ISFIFO(st.st_mode) && !isatty(STDERR_FILENO))
		return KIND_FILE;
	if (is_master(STDERR_FILENO))
		return KIND_SLOW;
	fd = above_standard(open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	if (fd < 0)
		return KIND_SLOW;
	sink.fd = fd;
	return KIND_OWN;
}

void log_sink_open(bool syslog, size_t (*format_lost)(char *line, unsigned int lost))
{
	pthread_mutex_lock(&sink.lock);
	if (!sink.format_lost) {
		sink.format_lost = format_lost;
		sink.kind = syslog ? KIND_SYSLOG : open_stderr();
		if (syslog)
			sink.fd = -1;
	}
	pthread_mutex_unlock(&sink.lock);
}

/* ---- one attempt ---- */

static int connect_syslog(void)
{
	const struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	int fd = above_standard(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	sink.fd = fd;
	return 0;
}

/* Whoever reads it may have been restarted. */
static ssize_t send_to_syslog(const char *line, size_t len)
{
	for (int tries = 0; tries < 2; tries++) {
		int r = sink.fd < 0 ? connect_syslog() : 0;

		if (r < 0)
			return r;
		if (send(sink.fd, line, len - 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return (ssize_t)len;
		if (errno == EAGAIN || errno == ENOBUFS)
			return -EAGAIN;
		close(sink.fd);
		sink.fd = -1;
	}
	return -EIO;
}

/* Returns how much of it was written, or -errno; -EAGAIN: there is no room. */
static ssize_t attempt(const char *bytes, size_t len)
{
	ssize_t n;

	if (sink.kind == KIND_SYSLOG)
		return send_to_syslog(bytes, len);
	do {
		n = sink.kind == KIND_SOCKET
			    ? send(sink.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL)
			    : write(sink.fd, bytes, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* ---- the backlog, under the lock ---- */

static size_t room_for(size_t len)
{
	return sizeof(struct kept) + len;
}

static void append(const char *bytes, size_t len, unsigned int stands_for)
{
	const struct kept kept = { .stands_for = stands_for, .len = (unsigned int)len };

	memcpy(sink.backlog + sink.used, &kept, sizeof(kept));
	memcpy(sink.backlog + sink.used + sizeof(kept), bytes, len);
	sink.used += room_for(len);
}

static struct kept take_first(char *line)
{
	struct kept kept;

	memcpy(&kept, sink.backlog, sizeof(kept));
	memcpy(line, sink.backlog + sizeof(kept), kept.len);
	sink.used -= room_for(kept.len);
	memmove(sink.backlog, sink.backlog + room_for(kept.len), sink.used);
	return kept;
}

/* Appends how many were lost, if there is room for that and @more. */
static bool append_lost(size_t more)
{
	char line[LOG_LINE_SIZE];
	size_t len;

	if (sink.lost == 0)
		return true;
	len = sink.format_lost(line, sink.lost);
	if (sink.used + room_for(len) + more > BACKLOG_SIZE)
		return false;
	append(line, len, sink.lost);
	sink.lost = 0;
	return true;
}

static void *sink_main(void *arg);

static void keep(const char *bytes, size_t len, unsigned int stands_for)
{
	if (!sink.running)
		sink.running = thread_start_detached(sink_main, NULL, STACK_SIZE) == 0;
	if (sink.used + room_for(len) > BACKLOG_SIZE || !append_lost(room_for(len))) {
		sink.lost += stands_for;
		return;
	}
	append(bytes, len, stands_for);
	pthread_cond_broadcast(&sink.changed);
}

/* ---- the thread ---- */

/* What was written in part is ended first.  Under the lock, or while it is writing. */
static bool mend_line(void)
{
	if (sink.torn && attempt("\n", 1) == 1)
		sink.torn = false;
	return !sink.torn;
}

/* Room is waited for here, and nowhere else. */
static bool write_out(const char *bytes, size_t len)
{
	bool mended = mend_line();
	size_t done = 0;

	while (mended && done < len) {
		struct pollfd pfd = { .fd = sink.fd, .events = POLLOUT };
		ssize_t n = attempt(bytes + done, len - done);

		if (n >= 0) {
			done += (size_t)n;
		} else if (n == -EAGAIN) {
			(void)poll(&pfd, 1, -1);
			nanosleep(&moment, NULL);
		} else {
			sink.torn = done > 0;
			return false;
		}
	}
	return mended;
}

static void *sink_main(void *arg)
{
	char line[LOG_LINE_SIZE];

	(void)arg;
	pthread_mutex_lock(&sink.lock);
	for (;;) {
		struct kept kept;
		bool written;

		while (sink.used == 0)
			pthread_cond_wait(&sink.changed, &sink.lock);
		kept = take_first(line);
		sink.writing = true;
		pthread_mutex_unlock(&sink.lock);
		written = write_out(line, kept.len);
		pthread_mutex_lock(&sink.lock);
		sink.writing = false;
		if (written) {
			sink.deaf = false;
			(void)append_lost(0);
		} else {
			sink.lost += kept.stands_for;
		}
		pthread_cond_broadcast(&sink.changed);
	}
	return NULL;
}

/* ---- any thread ---- */

/* Whether nothing is kept that would have to come first. */
static bool may_write(void)
{
	return sink.used == 0 && !sink.writing && sink.kind != KIND_SLOW;
}

/* Writes it, or keeps what there is no room for.  False: it is lost. */
static bool write_now(const char *line, size_t len, unsigned int stands_for)
{
	ssize_t n;

	if (!mend_line())
		return false;
	n = attempt(line, len);
	if (n == (ssize_t)len)
		return true;
	/* A disk that is full may stay so. */
	if (sink.kind != KIND_FILE && (n > 0 || n == -EAGAIN)) {
		size_t done = n > 0 ? (size_t)n : 0;

		keep(line + done, len - done, stands_for);
		return true;
	}
	sink.torn = n > 0;
	return false;
}

static bool tell_lost(void)
{
	char line[LOG_LINE_SIZE];
	unsigned int lost = sink.lost;

	if (lost == 0)
		return true;
	sink.lost = 0;
	if (write_now(line, sink.format_lost(line, lost), lost))
		return true;
	sink.lost = lost;
	return false;
}

void log_sink_write(const char *line, size_t len)
{
	bool told;

	pthread_mutex_lock(&sink.lock);
	told = !may_write() || tell_lost();
	if (told && !may_write())
		keep(line, len, 1);
	else if (!told || !write_now(line, len, 1))
		sink.lost++;
	pthread_mutex_unlock(&sink.lock);
}

/* Waits until something changes.  False: nothing did in that time. */
static bool wait_for_change(unsigned int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	return pthread_cond_clockwait(&sink.changed, &sink.lock, CLOCK_MONOTONIC, &until) == 0;
}

void log_sink_flush(unsigned int ms)
{
	bool progress = true;

	pthread_mutex_lock(&sink.lock);
	if (may_write())
		(void)tell_lost();
	while (sink.running && (sink.used > 0 || sink.writing) && progress)
		progress = wait_for_change(ms);
	pthread_mutex_unlock(&sink.lock);
}

void log_sink_make_room(unsigned int ms)
{
	pthread_mutex_lock(&sink.lock);
	while (sink.running && sink.used > BACKLOG_SIZE / 2 && !sink.deaf)
		sink.deaf = !wait_for_change(ms);
	pthread_mutex_unlock(&sink.lock);
}
