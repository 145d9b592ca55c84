/* SPDX-License-Identifier: MIT */
/*
 * Where lines go: stderr, whatever that is, a file, or a socket for datagrams.  Writing never
 * waits.  What cannot be written at once is kept, as far as there is room, and written by a
 * thread that exists only from then on.  What there is no room for is lost, and counted.
 *
 * Under those who make the lines: log.c, and the access log.
 */
#ifndef DAEMON_BASE_LOG_SINK_H
#define DAEMON_BASE_LOG_SINK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

/* Of a line, the newline included. */
#define LOG_LINE_SIZE 10240

/* What is kept of lines that could not be written at once. */
#define LOG_BACKLOG_SIZE ((size_t)64 * 1024)

enum log_sink_kind {
	LOG_SINK_FILE,    /* it does not block, or only as a disk does */
	LOG_SINK_SOCKET,  /* a stream */
	LOG_SINK_OWN,     /* a pipe or a terminal, opened anew and non-blocking */
	LOG_SINK_SLOW,    /* one that may block: for the thread alone */
	LOG_SINK_DATAGRAM /* one for each line, to the socket at .path */
};

/* Static, and begun with LOG_SINK_INIT. */
struct log_sink {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum log_sink_kind kind;
	int fd;
	const char *path;
	/*
	 * How many lines were lost is told by one of these: a line of the sink itself, whose
	 * length is returned, or something said elsewhere once a line is written again.
	 */
	size_t (*format_lost)(char *line, unsigned int lost);
	void (*say_lost)(unsigned int lost);
	unsigned int lost; /* and not told yet */
	int error;         /* of the last attempt that failed, as in errno */
	bool torn;         /* a line was written in part: the next one begins a new one */
	bool running;      /* there is a thread */
	bool writing;      /* it has taken something from the backlog */
	bool deaf;         /* whoever waited for room did so in vain, and nothing was read since */
	bool is_listed;    /* for log_sink_flush_all() */
	struct log_sink *next;
	char *backlog; /* of LOG_BACKLOG_SIZE; a file needs none */
	size_t used;
};

#define LOG_SINK_INIT .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER

/*
 * Finds out what stderr is.  Before that, lines are written to it as to a file.
 *
 * @syslog: lines go to syslog's socket instead, each as a datagram
 * @format_lost: writes a line that says that so many were lost, and returns its length
 */
void log_sink_open_stderr(struct log_sink *sink, bool syslog,
			  size_t (*format_lost)(char *line, unsigned int lost));

/*
 * From now on a LOG_SINK_FILE is written there; what was written in part stays behind.
 *
 * @fd: taken; -1: nowhere.  Any thread.
 */
void log_sink_set_file(struct log_sink *sink, int fd);

/*
 * A LOG_SINK_DATAGRAM connects by itself, once it has a line.  For those who want to know before
 * that whether there is somebody: a descriptor for log_sink_adopt() or close(), or -errno.
 */
int log_sink_connect(const char *path);

/* @fd: taken, and used unless the sink is connected already.  Any thread. */
void log_sink_adopt(struct log_sink *sink, int fd);

/*
 * Writes a line of at most LOG_LINE_SIZE, which ends in a newline unless it is a datagram.
 * False: it is lost.  Any thread.
 */
bool log_sink_write(struct log_sink *sink, const char *line, size_t len);

/* All the lines that any sink has lost. */
uint64_t log_sink_lost(void);

/*
 * Waits until all sinks have written what they keep, as long as there is progress at least once
 * in that time: for the end of the process.
 */
void log_sink_flush_all(unsigned int ms);

/*
 * Waits until half of what is kept has been written, as long as there is progress at
 * least once in that time.  Once there was none it no longer waits, until there is some.
 */
void log_sink_make_room(struct log_sink *sink, unsigned int ms);

#endif
