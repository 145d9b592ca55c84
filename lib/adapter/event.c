/* SPDX-License-Identifier: MIT */
/*
 * A listener on a libevent base: accepts, rests when descriptors are out.  Of
 * libsockfront-event; uses the public headers of libsockfront alone.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include <sockfront/event.h>

/* Clients taken from one descriptor before everything else gets its turn. */
#define ACCEPTS_A_TURN 16

#define REST_MIN_MS 100
#define REST_MAX_MS 1000

/* A descriptor of the listener. */
struct source {
	struct sfront_acceptor *acceptor;
	struct event *readable; /* owned; NULL once it gives no more */
	size_t index;
};

struct sfront_acceptor {
	struct sfront_listener *listener; /* borrowed */
	struct sfront_acceptor_calls calls;
	void *data;         /* the program's */
	struct event *rest; /* owned; pending while it rests */
	bool paused;        /* by the program */
	unsigned int rest_ms;
	bool *freed; /* set where a call may free the acceptor: told when it did */
	size_t n_open;
	size_t n_sources;
	struct source sources[];
};

static void watch(struct sfront_acceptor *acceptor)
{
	bool rests = evtimer_pending(acceptor->rest, NULL);

	for (size_t i = 0; i < acceptor->n_sources; i++) {
		struct event *readable = acceptor->sources[i].readable;

		if (readable && (acceptor->paused || rests))
			event_del(readable);
		else if (readable)
			event_add(readable, NULL);
	}
}

static void rest(struct sfront_acceptor *acceptor, int error)
{
	unsigned int delay_ms = acceptor->rest_ms;
	struct timeval delay = { .tv_sec = (time_t)(delay_ms / 1000),
				 .tv_usec = (suseconds_t)(delay_ms % 1000 * 1000) };

	acceptor->rest_ms = delay_ms * 2 < REST_MAX_MS ? delay_ms * 2 : REST_MAX_MS;
	evtimer_add(acceptor->rest, &delay);
	watch(acceptor);
	if (acceptor->calls.resting)
		acceptor->calls.resting(acceptor->data, error, delay_ms);
}

static void rested(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	watch(arg);
}

static void close_source(struct source *source, int error)
{
	struct sfront_acceptor *acceptor = source->acceptor;

	event_free(source->readable);
	source->readable = NULL;
	if (--acceptor->n_open == 0 && acceptor->calls.ended)
		acceptor->calls.ended(acceptor->data, error);
}

static void source_readable(evutil_socket_t fd, short what, void *arg)
{
	struct source *source = arg;
	struct sfront_acceptor *acceptor = source->acceptor;
	struct sfront_connection connection;
	bool freed = false;
	int r = 0;

	(void)fd;
	(void)what;
	acceptor->freed = &freed;
	for (int i = 0; i < ACCEPTS_A_TURN && r == 0 && !freed && !acceptor->paused; i++) {
		r = sfront_listener_accept_at(acceptor->listener, source->index, &connection);
		if (r < 0)
			break;
		acceptor->rest_ms = REST_MIN_MS;
		/* After its one connection it is never readable again. */
		if (sfront_listener_is_single(acceptor->listener, source->index))
			r = -ESHUTDOWN;
		acceptor->calls.accepted(acceptor->data, source->index, &connection);
	}
	if (freed)
		return;
	if (sfront_accept_should_pause(r))
		rest(acceptor, r);
	else if (r < 0 && r != -EAGAIN)
		close_source(source, r);
	if (!freed)
		acceptor->freed = NULL;
}

int sfront_acceptor_new(struct event_base *base, struct sfront_listener *listener,
			const struct sfront_acceptor_calls *calls, void *data,
			struct sfront_acceptor **ret_acceptor)
{
	size_t n = sfront_listener_count(listener);
	struct sfront_acceptor *acceptor;

	if (calls->size < offsetof(struct sfront_acceptor_calls, ended) || !calls->accepted)
		return -EINVAL;
	acceptor = calloc(1, sizeof(*acceptor) + n * sizeof(acceptor->sources[0]));
	if (!acceptor)
		return -ENOMEM;

	memcpy(&acceptor->calls, calls,
	       calls->size < sizeof(*calls) ? calls->size : sizeof(*calls));
	acceptor->listener = listener;
	acceptor->data = data;
	acceptor->rest_ms = REST_MIN_MS;
	acceptor->n_open = acceptor->n_sources = n;
	acceptor->rest = evtimer_new(base, rested, acceptor);
	if (!acceptor->rest)
		goto fail;
	for (size_t i = 0; i < n; i++) {
		struct source *source = &acceptor->sources[i];

		source->acceptor = acceptor;
		source->index = i;
		source->readable = event_new(base, sfront_listener_fd(listener, i),
					     EV_READ | EV_PERSIST, source_readable, source);
		if (!source->readable || event_add(source->readable, NULL) < 0)
			goto fail;
	}
	*ret_acceptor = acceptor;
	return 0;

fail:
	sfront_acceptor_free(acceptor);
	return -ENOMEM;
}

void sfront_acceptor_pause(struct sfront_acceptor *acceptor)
{
	acceptor->paused = true;
	watch(acceptor);
}

void sfront_acceptor_resume(struct sfront_acceptor *acceptor)
{
	acceptor->paused = false;
	watch(acceptor);
}

void sfront_acceptor_free(struct sfront_acceptor *acceptor)
{
	if (!acceptor)
		return;

	if (acceptor->freed)
		*acceptor->freed = true;
	for (size_t i = 0; i < acceptor->n_sources; i++)
		if (acceptor->sources[i].readable)
			event_free(acceptor->sources[i].readable);
	if (acceptor->rest)
		event_free(acceptor->rest);
	free(acceptor);
}
