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
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/thread.h"

#define STACK_SIZE ((size_t)128 * 1024)

#define NS_PER_S 1000000000L

/* How long the thread stays when there is nothing to write. */
#define LINGER_NS 10000000L

/* For a terminal that says that there is room, and has none for a whole character. */
static const struct timespec moment = { .tv_nsec = 10000000 };

/* Kept in the backlog in front of each line. */
struct kept {
	unsigned int stands_for; /* lines that are lost with it: 1, or those it tells of */
	bool is_note;            /* it tells of others, and is none of those that were logged */
	unsigned int len;
};

static atomic_ullong total_lost;

/* Those that have been written to, or opened; under its own lock. */
static struct {
	pthread_mutex_t lock;
	struct log_sink *first;
} sinks = { .lock = PTHREAD_MUTEX_INITIALIZER };

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

static enum log_sink_kind open_stderr(struct log_sink *sink)
{
	struct stat st;
	int fd;

	if (fstat(STDERR_FILENO, &st) < 0)
		return LOG_SINK_FILE;
	if (S_ISSOCK(st.st_mode))
		return LOG_SINK_SOCKET;
	if (!S_ISFIFO(st.st_mode) && !isatty(STDERR_FILENO))
		return LOG_SINK_FILE;
	if (is_master(STDERR_FILENO))
		return LOG_SINK_SLOW;
	fd = above_standard(open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	if (fd < 0)
		return LOG_SINK_SLOW;
	sink->fd = fd;
	return LOG_SINK_OWN;
}

static void open_syslog(struct log_sink *sink)
{
	sink->kind = LOG_SINK_DATAGRAM;
	sink->path = "/dev/log";
	sink->fd = -1;
}

void log_sink_open_stderr(struct log_sink *sink, bool syslog,
			  size_t (*format_lost)(char *line, unsigned int lost))
{
	pthread_mutex_lock(&sink->lock);
	if (!sink->format_lost) {
		sink->format_lost = format_lost;
		if (syslog)
			open_syslog(sink);
		else
			sink->kind = open_stderr(sink);
	}
	pthread_mutex_unlock(&sink->lock);
}

/* ---- files ---- */

void log_sink_set_file(struct log_sink *sink, int fd)
{
	int before;

	pthread_mutex_lock(&sink->lock);
	before = sink->fd;
	sink->fd = fd;
	sink->torn = false;
	pthread_mutex_unlock(&sink->lock);
	if (before >= 0)
		close(before);
}

/* ---- one attempt ---- */

int log_sink_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = above_standard(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	if (fd < 0)
		return -errno;
	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

void log_sink_adopt(struct log_sink *sink, int fd)
{
	bool is_wanted;

	pthread_mutex_lock(&sink->lock);
	is_wanted = sink->fd < 0 && !sink->writing;
	if (is_wanted)
		sink->fd = fd;
	pthread_mutex_unlock(&sink->lock);
	if (!is_wanted)
		close(fd);
}

/* Whoever reads it may have been restarted. */
static ssize_t send_datagram(struct log_sink *sink, const char *line, size_t len)
{
	for (int tries = 0; tries < 2; tries++) {
		if (sink->fd < 0)
			sink->fd = log_sink_connect(sink->path);
		if (sink->fd < 0)
			return sink->fd;
		if (send(sink->fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return (ssize_t)len;
		if (errno == EAGAIN || errno == ENOBUFS)
			return -EAGAIN;
		close(sink->fd);
		sink->fd = -1;
	}
	return -EIO;
}

/* Returns how much of it was written, or -errno; -EAGAIN: there is no room. */
static ssize_t attempt(struct log_sink *sink, const char *bytes, size_t len)
{
	ssize_t n;

	if (sink->kind == LOG_SINK_DATAGRAM)
		return send_datagram(sink, bytes, len);
	do {
		n = sink->kind == LOG_SINK_SOCKET
			    ? send(sink->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL)
			    : write(sink->fd, bytes, len);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	sink->error = errno;
	return -sink->error;
}

/* ---- what is lost, under the lock ---- */

static void lose(struct log_sink *sink, const struct kept *kept)
{
	sink->lost += kept->stands_for;
	if (!kept->is_note)
		atomic_fetch_add(&total_lost, 1);
}

/* A line has been written: there is room again. */
static void say_lost_elsewhere(struct log_sink *sink)
{
	unsigned int lost = sink->lost;

	if (lost == 0 || !sink->say_lost)
		return;
	sink->lost = 0;
	sink->say_lost(lost);
}

/* The line that says it in the sink itself.  False: there is nothing to say. */
static bool make_note(struct log_sink *sink, char *line, struct kept *ret)
{
	if (sink->lost == 0 || !sink->format_lost)
		return false;
	*ret = (struct kept){ .stands_for = sink->lost, .is_note = true };
	ret->len = (unsigned int)sink->format_lost(line, sink->lost);
	return true;
}

uint64_t log_sink_lost(void)
{
	return atomic_load(&total_lost);
}

/* ---- the backlog, under the lock ---- */

static size_t room_for(size_t len)
{
	return sizeof(struct kept) + len;
}

static void append(struct log_sink *sink, const char *bytes, const struct kept *kept)
{
	memcpy(sink->backlog + sink->used, kept, sizeof(*kept));
	memcpy(sink->backlog + sink->used + sizeof(*kept), bytes, kept->len);
	sink->used += room_for(kept->len);
}

static struct kept take_first(struct log_sink *sink, char *line)
{
	struct kept kept;

	memcpy(&kept, sink->backlog, sizeof(kept));
	memcpy(line, sink->backlog + sizeof(kept), kept.len);
	sink->used -= room_for(kept.len);
	memmove(sink->backlog, sink->backlog + room_for(kept.len), sink->used);
	return kept;
}

/* Appends how many were lost, if there is room for that and @more. */
static bool append_note(struct log_sink *sink, size_t more)
{
	char line[LOG_LINE_SIZE];
	struct kept note;

	if (!make_note(sink, line, &note))
		return true;
	if (sink->used + room_for(note.len) + more > LOG_BACKLOG_SIZE)
		return false;
	append(sink, line, &note);
	sink->lost = 0;
	return true;
}

static void *sink_main(void *arg);

/* False: it is lost. */
static bool keep(struct log_sink *sink, const char *bytes, const struct kept *kept)
{
	size_t room = room_for(kept->len);

	if (!sink->running)
		sink->running = thread_start_detached(sink_main, sink, STACK_SIZE) == 0;
	if (sink->used + room > LOG_BACKLOG_SIZE || !append_note(sink, room)) {
		lose(sink, kept);
		return false;
	}
	append(sink, bytes, kept);
	pthread_cond_broadcast(&sink->changed);
	return true;
}

/* ---- the thread ---- */

/* What was written in part is ended first.  Under the lock, or while it is writing. */
static bool mend_line(struct log_sink *sink)
{
	if (sink->torn && attempt(sink, "\n", 1) == 1)
		sink->torn = false;
	return !sink->torn;
}

/* Room is waited for here, and nowhere else. */
static bool write_out(struct log_sink *sink, const char *bytes, size_t len)
{
	bool mended = mend_line(sink);
	size_t done = 0;

	while (mended && done < len) {
		ssize_t n = attempt(sink, bytes + done, len - done);
		struct pollfd pfd = { .fd = sink->fd, .events = POLLOUT };

		if (n >= 0) {
			done += (size_t)n;
		} else if (n == -EAGAIN) {
			(void)poll(&pfd, 1, -1);
			nanosleep(&moment, NULL);
		} else {
			sink->torn = done > 0;
			return false;
		}
	}
	return mended;
}

/* The first line that is kept, without the lock meanwhile. */
static void write_first(struct log_sink *sink)
{
	char line[LOG_LINE_SIZE];
	struct kept kept = take_first(sink, line);
	bool is_written;

	sink->writing = true;
	pthread_mutex_unlock(&sink->lock);
	is_written = write_out(sink, line, kept.len);
	pthread_mutex_lock(&sink->lock);
	sink->writing = false;
	if (is_written) {
		sink->deaf = false;
		(void)append_note(sink, 0);
		say_lost_elsewhere(sink);
	} else {
		lose(sink, &kept);
	}
	pthread_cond_broadcast(&sink->changed);
}

/* Whether there is a line; one may come in a moment. */
static bool await_line(struct log_sink *sink)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LINGER_NS;
	until.tv_sec += until.tv_nsec / NS_PER_S;
	until.tv_nsec %= NS_PER_S;
	while (sink->used == 0 && r == 0)
		r = pthread_cond_clockwait(&sink->changed, &sink->lock, CLOCK_MONOTONIC, &until);
	return sink->used > 0;
}

static void *sink_main(void *arg)
{
	struct log_sink *sink = arg;

	pthread_mutex_lock(&sink->lock);
	while (await_line(sink))
		write_first(sink);
	sink->running = false;
	pthread_cond_broadcast(&sink->changed);
	pthread_mutex_unlock(&sink->lock);
	return NULL;
}

/* ---- any thread ---- */

/* For the end of the process. */
static void list(struct log_sink *sink)
{
	if (sink->is_listed)
		return;
	sink->is_listed = true;
	pthread_mutex_lock(&sinks.lock);
	sink->next = sinks.first;
	sinks.first = sink;
	pthread_mutex_unlock(&sinks.lock);
}

/* Whether nothing is kept that would have to come first. */
static bool may_write(const struct log_sink *sink)
{
	return sink->used == 0 && !sink->writing && sink->kind != LOG_SINK_SLOW;
}

/*
 * A disk that is full may stay so: nothing is kept for it.  A line that lacks nothing but its
 * newline is none that is lost: that comes before the next one.
 */
static bool write_to_file(struct log_sink *sink, const char *line, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = attempt(sink, line + done, len - done);

		if (n <= 0) {
			sink->torn = done > 0;
			return done + 1 == len;
		}
		done += (size_t)n;
	}
	return true;
}

/* Writes it, or keeps what there is no room for.  False: it is lost, and not counted yet. */
static bool write_now(struct log_sink *sink, const char *line, struct kept kept)
{
	size_t done = 0;
	ssize_t n;

	if (!mend_line(sink))
		return false;
	if (sink->kind == LOG_SINK_FILE) {
		if (!write_to_file(sink, line, kept.len))
			return false;
		done = kept.len;
	} else {
		n = attempt(sink, line, kept.len);
		if (n < 0 && n != -EAGAIN)
			return false;
		done = n > 0 ? (size_t)n : 0;
	}
	if (done == kept.len) {
		if (!sink->torn)
			say_lost_elsewhere(sink);
		return true;
	}
	kept.len -= (unsigned int)done;
	(void)keep(sink, line + done, &kept);
	return true;
}

static bool tell_lost(struct log_sink *sink)
{
	char line[LOG_LINE_SIZE];
	unsigned int lost = sink->lost;
	struct kept note;

	if (!make_note(sink, line, &note))
		return true;
	sink->lost = 0;
	if (write_now(sink, line, note))
		return true;
	sink->lost = lost;
	return false;
}

/* Under the lock.  False: it is lost. */
static bool write_or_keep(struct log_sink *sink, const char *line, const struct kept *kept)
{
	bool told = !may_write(sink) || tell_lost(sink);

	if (told && !may_write(sink))
		return keep(sink, line, kept);
	if (told && write_now(sink, line, *kept))
		return true;
	lose(sink, kept);
	return false;
}

bool log_sink_write(struct log_sink *sink, const char *line, size_t len)
{
	const struct kept kept = { .stands_for = 1, .len = (unsigned int)len };
	bool is_written;

	pthread_mutex_lock(&sink->lock);
	list(sink);
	is_written = write_or_keep(sink, line, &kept);
	pthread_mutex_unlock(&sink->lock);
	return is_written;
}

/* Waits until something changes.  False: nothing did in that time. */
static bool wait_for_change(struct log_sink *sink, unsigned int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	return pthread_cond_clockwait(&sink->changed, &sink->lock, CLOCK_MONOTONIC, &until) == 0;
}

static void flush(struct log_sink *sink, unsigned int ms)
{
	bool progress = true;

	pthread_mutex_lock(&sink->lock);
	if (may_write(sink))
		(void)tell_lost(sink);
	while (sink->running && (sink->used > 0 || sink->writing) && progress)
		progress = wait_for_change(sink, ms);
	say_lost_elsewhere(sink);
	pthread_mutex_unlock(&sink->lock);
}

/* What is lost in one may be said in another: those that do so come first. */
void log_sink_flush_all(unsigned int ms)
{
	struct log_sink *first;

	pthread_mutex_lock(&sinks.lock);
	first = sinks.first;
	pthread_mutex_unlock(&sinks.lock);
	for (struct log_sink *sink = first; sink; sink = sink->next)
		if (sink->say_lost)
			flush(sink, ms);
	for (struct log_sink *sink = first; sink; sink = sink->next)
		if (!sink->say_lost)
			flush(sink, ms);
}

void log_sink_make_room(struct log_sink *sink, unsigned int ms)
{
	pthread_mutex_lock(&sink->lock);
	while (sink->running && sink->used > LOG_BACKLOG_SIZE / 2 && !sink->deaf)
		sink->deaf = !wait_for_change(sink, ms);
	pthread_mutex_unlock(&sink->lock);
}
