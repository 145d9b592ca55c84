/* SPDX-License-Identifier: MIT */
/*
 * The daemon's log: one line per message on stderr, for a terminal or for the
 * journal.  Any thread may log.  Only daemon/ logs; lib/ and conf/ return their
 * messages.
 */
#ifndef DAEMON_BASE_LOG_H
#define DAEMON_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

/*
 * Before the first call, messages up to LOG_INFO go to stderr.
 *
 * @stderr_is_client: stderr is the served connection (a classic inetd hands it
 *                    over as 0, 1 and 2): messages go to syslog(3) instead
 */
void log_open(int level, bool stderr_is_client);

/* From the next message on.  Any thread. */
void log_set_level(int level);

/* Whether messages of @priority (LOG_ERR .. LOG_DEBUG) are written. */
bool log_wants(int priority);

/*
 * Writes one line.  Control characters in it are shown as \xNN.  Never waits for whoever
 * reads it: 64 KiB are kept, lines past that are lost, and how many is said as soon as
 * there is room.
 */
void log_line(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * The same of a record that has its form already, and may be longer, at LOG_INFO.
 *
 * @is_bare: it stands alone in its line, where that is no syslog's, without the program's name
 */
void log_record(const char *text, bool is_bare);

/* How many lines were lost so far, of this log and of any other sink. */
uint64_t log_lost(void);

/*
 * Waits until all is written, the lines of other sinks too, no longer than a second without
 * progress: for the end.
 */
void log_flush(void);

/*
 * Waits until there is room for some lines, as long as whoever reads them does: for the
 * main thread, which says at the start and after a reload what may be thousands of lines.
 * No connection waits for it.
 */
void log_make_room(void);

/*
 * Writes what is wrong with a configuration: "FILE:LINE: message", as editors
 * understand it; for the command line (@file NULL) as an error.
 */
void log_problem(const char *file, unsigned int line, const char *message);

/*
 * Lets one message a second through, for what a peer can provoke.  Static
 * storage, zeroed.
 */
struct log_limit {
	_Atomic uint64_t next_ms;
	atomic_uint dropped;
};

/*
 * Whether to log now.  *ret_dropped: how many were held back since the last one
 * that was let through.
 */
bool log_limit_passes(struct log_limit *limit, unsigned int *ret_dropped);

#endif
