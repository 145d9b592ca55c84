/* SPDX-License-Identifier: MIT */
/*
 * One end of a connection: what is read from and written to, and what is known of
 * it.  Everything here is written for one end that knows its peer, so that both directions
 * run through the same code.
 */
#ifndef DAEMON_RELAY_ENDPOINT_H
#define DAEMON_RELAY_ENDPOINT_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sockfront/listener.h>
#include <stdbool.h>
#include <stdint.h>

struct pending;

/* What an end's event waits for; whoever has a loop sets it. */
enum watch {
	WATCH_NOTHING,
	WATCH_READABLE,
	WATCH_GONE /* edge-triggered: a change of state, such as a reset, while it is not read */
};

struct endpoint {
	struct event event;      /* on read_fd; on write_fd while WATCH_GONE of what is no socket */
	struct pending *pending; /* read here, not yet written to the peer; NULL mostly */
	uint64_t moved;          /* bytes read here that the peer's descriptor took */
	int read_fd;             /* -1: closed */
	int write_fd;            /* the same as read_fd for a socket; -1: closed */
	uint8_t read_stream;     /* enum sfront_stream */
	uint8_t write_stream;
	uint8_t watch;     /* enum watch */
	uint8_t broken;    /* an error that a call has already taken off the socket: its errno */
	uint8_t full_runs; /* copies in a row that filled the buffer */
	uint8_t thin_runs; /* splices in a row that moved little */
	bool is_backend : 1;
	bool ended : 1;     /* nothing more will be read from here */
	bool bulk : 1;      /* what is read here goes through a pipe */
	bool coalesces : 1; /* moved in large pieces only: see coalesce.h */
	bool copy_only : 1; /* splice was refused for what is read here */
	bool restore_read : 1;
	bool restore_write : 1;
	bool fds_may_come : 1; /* what is read here may pass some: see passed_fds.h */
	bool finished : 1;     /* a socket's: the end of stream was written to it */
};

/* The two ends of a connection stand side by side: the client, then the backend. */
static inline struct endpoint *end_peer(struct endpoint *end)
{
	return end->is_backend ? end - 1 : end + 1;
}

/* Sockets take recv(), send() and shutdown(); the others read(), write() and close(). */
static inline bool is_socket(uint8_t stream)
{
	return stream <= SFRONT_STREAM_VSOCK;
}

/*
 * Whether what is read here may go through a pipe.  Plain files and terminals refuse splice()
 * in one case or another: they are copied.  So is what a UNIX peer sends where splice() would
 * close what it passes.
 */
static inline bool endpoint_can_splice(struct endpoint *from)
{
	return !from->copy_only && from->read_stream <= SFRONT_STREAM_PIPE &&
	       end_peer(from)->write_stream <= SFRONT_STREAM_PIPE && !from->fds_may_come;
}

/* Whether it is not read at present: it has ended, or its peer takes no more. */
static inline bool endpoint_is_unread(const struct endpoint *end)
{
	return end->ended || end->pending;
}

/* Takes the descriptors of a client. */
void endpoint_init_client(struct endpoint *end, const struct sfront_connection *connection);

/* A backend, without a descriptor so far. */
void endpoint_init_backend(struct endpoint *end);

/*
 * The connection of an end, with who is at its other side by the word of the kernel, which
 * is asked; its descriptors stay the end's.
 */
struct sfront_connection endpoint_connection(const struct endpoint *end);

/* Takes the socket of a backend. */
void endpoint_connected(struct endpoint *end, int fd, enum sfront_stream stream);

/* Carries an end of stream: no more will be written. */
void endpoint_finish(struct endpoint *end);

/* Closes a connection that no session serves, with a reset where the transport knows one. */
void endpoint_turn_away(const struct sfront_connection *connection);

/* @reset: with a reset instead of an end of stream, where the transport knows one */
void endpoint_close(struct endpoint *end, bool reset);

/* What has been written and is still on its way, as the kernel counts it. */
uint64_t endpoint_unsent(const struct endpoint *end);

/* How many bytes of that a reset would throw away. */
uint64_t endpoint_undelivered(const struct endpoint *end);

/* Whether its peer has acknowledged whatever it has room for: only reading makes more. */
bool endpoint_awaits_window(const struct endpoint *end);

/* The error that ended the connection, which the kernel tells once; 0: it lives. */
int endpoint_error(const struct endpoint *end);

/*
 * Whether an end that has ended takes nothing any more either: a UNIX peer that has
 * closed altogether, a pipe without a reader, a terminal that was hung up.  Of TCP nobody knows:
 * see endpoint_probe().
 */
bool endpoint_is_gone(const struct endpoint *end);

/* The same of one that was not read so far, if it has left nothing to be read. */
bool endpoint_left_nothing(const struct endpoint *end);

/*
 * Has the kernel ask a TCP peer that has ended its side, every minute, whether it is
 * still there: an error tells if not.
 */
void endpoint_probe(const struct endpoint *end);

#endif
