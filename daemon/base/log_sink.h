/* SPDX-License-Identifier: MIT */
/*
 * Where the log's lines go: stderr, whatever that is, or syslog.  Writing never waits.
 * What cannot be written at once is kept, as far as there is room, and written by a
 * thread that exists only from then on.  What there is no room for is lost, and
 * counted; the count is a line of its own as soon as that fits.
 *
 * Under log.c, which makes the lines.
 */
#ifndef DAEMON_BASE_LOG_SINK_H
#define DAEMON_BASE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

/* Of a line, the newline included. */
#define LOG_LINE_SIZE 2304

/*
 * Finds out what stderr is.  Before that, lines are written to it as to a file.
 *
 * @syslog: lines go to syslog's socket instead, each as a datagram
 * @format_lost: writes a line that says that so many were lost, and returns its length
 */
void log_sink_open(bool syslog, size_t (*format_lost)(char *line, unsigned int lost));

/* Writes a line of at most LOG_LINE_SIZE, which ends in a newline.  Any thread. */
void log_sink_write(const char *line, size_t len);

/*
 * Waits until all has been written, as long as there is progress at least once in that
 * time: for the end of the process.
 */
void log_sink_flush(unsigned int ms);

/*
 * Waits until half of what is kept has been written, as long as there is progress at
 * least once in that time.  Once there was none it no longer waits, until there is some.
 */
void log_sink_make_room(unsigned int ms);

#endif
