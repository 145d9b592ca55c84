/* SPDX-License-Identifier: MIT */
/*
 * What the status tells of: the proxies and their backends as they are when an answer begins.
 * They are kept until its end, whatever a reload does meanwhile.
 */
#ifndef DAEMON_STATUS_SUBJECTS_H
#define DAEMON_STATUS_SUBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backend;
struct generation;
struct proxy;
struct server;

struct subject {
	struct proxy *proxy;     /* a reference */
	struct backend *backend; /* a reference: the one that clients get now */
};

struct subjects {
	struct subject *of; /* owned array */
	size_t n;
};

/* Returns 0 or -ENOMEM. */
int subjects_take(struct subjects *subjects, const struct generation *generation);

void subjects_drop(struct subjects *subjects);

/*
 * Whether the server has the same name as an earlier one of its proxy: what is told of that
 * stands for both.
 */
bool subject_repeats_server(const struct subject *subject, size_t index);

/* What is told of a proxy, piece by piece: it may have thousands of sockets. */
enum subject_part {
	SUBJECT_HEAD,
	SUBJECT_SOCKET, /* each that has a name of its own */
	SUBJECT_MIDDLE,
	SUBJECT_SERVER, /* each of these, too */
	SUBJECT_TAIL,
};

/* Where an answer is.  All 0: at the beginning. */
struct subject_cursor {
	size_t subject;
	enum subject_part part;
	size_t index; /* of the socket or the server */
};

/* NULL: it is past the last one. */
const struct subject *subject_at(const struct subjects *subjects,
				 const struct subject_cursor *cursor);

/* Goes on to the next part of it, or of the next one. */
void subject_cursor_next(struct subject_cursor *cursor, const struct subjects *subjects);

/* Connections now, and those that wait for a server; of processes that still drain, too. */
uint64_t subject_open(const struct subject *subject);
uint64_t subject_held(const struct subject *subject);

/* Clients that were refused, and connections that have ended, so far. */
uint64_t subject_refused(const struct subject *subject);
uint64_t subject_ended(const struct subject *subject);

/* Connections to it that failed, so far. */
uint64_t subject_server_failures(const struct server *server);

#endif
