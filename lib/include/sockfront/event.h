/* SPDX-License-Identifier: MIT */
/*
 * Listeners on a libevent base: connections handed to a callback, or to an
 * evhttp server.  A library of its own, libsockfront-event, so that libsockfront
 * needs no libevent.
 *
 * Everything here belongs to the thread that runs the base.
 */
#ifndef SOCKFRONT_EVENT_H
#define SOCKFRONT_EVENT_H

#include <stddef.h>

#include <sockfront/error.h>
#include <sockfront/listener.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
struct evhttp;
struct evhttp_connection;
struct evhttp_request;

/* Accepts from a listener whenever somebody is there. */
struct sfront_acceptor;

/* What an acceptor tells the program.  It may be paused, resumed and freed in each of these. */
struct sfront_acceptor_calls {
	size_t size; /* sizeof(struct sfront_acceptor_calls): later versions add members at the end
		      */

	/* A connection of descriptor @index.  The program's: it closes it. */
	void (*accepted)(void *data, size_t index, struct sfront_connection *connection);

	/*
	 * There will be none any more: @error is -ESHUTDOWN where each was for one
	 * connection, or what broke the last one.  Called once.  NULL is allowed.
	 */
	void (*ended)(void *data, int error);

	/*
	 * Descriptors or memory are out (@error): accepting rests for that long
	 * and then goes on by itself, while clients wait in the backlog.  NULL is
	 * allowed.
	 */
	void (*resting)(void *data, int error, unsigned int delay_ms);
};

/*
 * Starts to accept.
 *
 * @base, @listener: borrowed until the acceptor is freed
 * @calls:           copied
 * @data:            borrowed, handed to each call
 * @ret_acceptor:    the caller frees it, before @listener is closed
 *
 * A shortage pauses accepting for 100 ms, then twice that, up to 1 s, until
 * somebody has been accepted.  Returns 0, -EINVAL (no accepted call, a size of
 * zero) or -ENOMEM.
 */
int sfront_acceptor_new(struct event_base *base, struct sfront_listener *listener,
			const struct sfront_acceptor_calls *calls, void *data,
			struct sfront_acceptor **ret_acceptor);

/* Stops accepting until it is resumed: clients wait in the backlog.  Neither counts calls. */
void sfront_acceptor_pause(struct sfront_acceptor *acceptor);
void sfront_acceptor_resume(struct sfront_acceptor *acceptor);

/* Stops accepting for good.  The listener stays open.  NULL is allowed. */
void sfront_acceptor_free(struct sfront_acceptor *acceptor);

/* Hands the connections of a listener to an evhttp. */
struct sfront_evhttp;

/* What that tells the program; it may be freed in ended(). */
struct sfront_evhttp_calls {
	size_t size; /* sizeof(struct sfront_evhttp_calls): later versions add members at the end */

	/*
	 * There will be no more connections, because it was stopped or because
	 * the listener has none, and those of inetd and of sockets that were
	 * inherited connected have ended, with all that they were sent.  Others
	 * may be going on; evhttp_free() ends them.
	 * @error: as in struct sfront_acceptor_calls; 0: it was stopped
	 */
	void (*ended)(void *data, int error);

	/*
	 * evhttp has taken a client, of which it has read nothing yet: @connection is
	 * evhttp's, and may be given limits, a callback for its end, or be freed.  @client
	 * says who it is, as sfront_evhttp_connection() does.  NULL is allowed.
	 */
	void (*connected)(void *data, struct evhttp_connection *connection,
			  const struct sfront_connection *client);
};

/*
 * Serves HTTP on a listener of any kind, inetd and inherited connections
 * included.
 *
 * @base, @http, @listener: borrowed.  @http must be of @base, and its bevcb
 *                          (evhttp_set_bevcb) is this one's
 * @calls:                  copied; NULL: nothing is told
 * @ret_server:             freed by the caller, before @http and @listener
 *
 * evhttp takes its connections by accept() alone, and its public interface has
 * no other way in.  So for each client it is shown a private socket with one
 * connection waiting.  Where the client is a socket, that one's descriptor is
 * then replaced by the client's with dup3(), and nothing is in between.
 * Where it is stdin and stdout, or was handed over connected, bytes are carried
 * between the two, so that pipes, terminals and files are served too and their
 * blocking mode is restored in the end.  (A program that would rather hand
 * descriptors to its HTTP library finds MHD_add_connection() in GNU
 * libmicrohttpd, to which it can pass read_fd where is equals write_fd.)
 *
 * A listener whose option accept-proxy-protocol is set is refused (-EOPNOTSUPP):
 * nobody would read the headers.
 *
 * A base made with EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST is not for this.  What
 * evhttp_connection_get_peer() says is of the private socket: ask
 * sfront_evhttp_connection().  The program ignores SIGPIPE, as evhttp wants.
 *
 * Returns 0, -EMFILE, -ENFILE, -ENOMEM, -EOPNOTSUPP or another -errno with @err
 * filled.
 */
int sfront_evhttp_new(struct event_base *base, struct evhttp *http,
		      struct sfront_listener *listener, const struct sfront_evhttp_calls *calls,
		      void *data, struct sfront_evhttp **ret_server, struct sfront_error *err);

/*
 * Who sends @request: fills @ret with its connection, for
 * sfront_connection_format() and its like.  Valid until the request is answered;
 * the descriptors stay evhttp's.  Returns 0, or -ENOTCONN if the client has gone.
 */
int sfront_evhttp_connection(struct sfront_evhttp *server, struct evhttp_request *request,
			     struct sfront_connection *ret);

/*
 * Takes no connection until it is resumed: clients wait in the backlog.  One that is being
 * taken at the time still comes.  Neither counts calls.
 */
void sfront_evhttp_pause(struct sfront_evhttp *server);
void sfront_evhttp_resume(struct sfront_evhttp *server);

/* Takes no more connections; calls ended() when that is so, from the base's loop. */
void sfront_evhttp_stop(struct sfront_evhttp *server);

/* NULL is allowed. */
void sfront_evhttp_free(struct sfront_evhttp *server);

#ifdef __cplusplus
}
#endif
#endif
