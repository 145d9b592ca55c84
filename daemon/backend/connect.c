/* SPDX-License-Identifier: MIT */
/*
 * Connecting to a backend.  The common case, a backend that is there, takes two
 * calls and nothing else; everything slower lives in a struct attempt:
 *
 *	RESOLVING --> CONNECTING --> done
 *	    ^             |  the next address, and after the last one
 *	    |             v
 *	    '-------- WAITING   10 ms, doubling to 1 s
 */
#include "daemon/backend/connect.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backend/backend.h"
#include "daemon/base/clock.h"
#include "daemon/base/loop.h"

#define BACKOFF_MIN_MS 10
#define BACKOFF_MAX_MS 1000

/* A name server that takes longer is not waited for when there is an older answer. */
#define LOOKUP_PATIENCE_MS 1000

struct attempt {
	struct loop *loop;       /* borrowed */
	struct backend *backend; /* a reference */
	attempt_done *done;
	void *arg;
	uint64_t deadline_ms; /* UINT64_MAX: none */
	unsigned int backoff_ms;
	int fd; /* the socket that is being connected; -1: none */
	struct event writable;
	struct event timer; /* the address's share of the time, or the pause */
	struct address_list *list;
	unsigned int index;  /* of the address being tried */
	bool worth_retrying; /* one of this round's failures may pass */
	bool resolving;      /* wait.message is queued or on its way */
	int error;           /* the last failure, a positive errno; 0: none yet */
	bool unresolved;     /* it was the name's */
	struct resolver_wait wait;
};

/*
 * What a backend that is still starting, a network that is still coming up or
 * a shortage of our own look like.
 */
static bool may_pass(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case ETIMEDOUT:
	case EADDRNOTAVAIL:
	case EAGAIN:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return true;
	default:
		return false;
	}
}

static void drop_socket(struct attempt *attempt)
{
	if (attempt->fd < 0)
		return;
	event_del(&attempt->writable);
	close(attempt->fd);
	attempt->fd = -1;
}

static void attempt_free(struct attempt *attempt)
{
	drop_socket(attempt);
	event_del(&attempt->timer);
	address_list_unref(attempt->list);
	backend_unref(attempt->backend);
	free(attempt);
}

void attempt_cancel(struct attempt *attempt)
{
	if (!attempt)
		return;
	if (attempt->resolving &&
	    !resolver_cancel(backend_resolver(attempt->backend), &attempt->wait)) {
		event_del(&attempt->timer);
		attempt->done = NULL; /* the answer is on its way here, and frees it */
		return;
	}
	attempt_free(attempt);
}

static void succeed(struct attempt *attempt, int r)
{
	attempt_done *done = attempt->done;
	void *arg = attempt->arg;
	int fd = attempt->fd;

	event_del(&attempt->writable);
	backend_note_success(attempt->backend);
	attempt->fd = -1; /* the receiver's now */
	attempt_free(attempt);
	done(arg, fd, -r, NULL);
}

/* Of the last failure. */
static const char *words_of(const struct attempt *attempt)
{
	if (!attempt->unresolved)
		return strerror(attempt->error);
	if (attempt->error == ELOOP)
		return "the name leads to a listener of ours";
	return may_pass(attempt->error) ? "the name does not resolve for now"
					: "the name does not resolve";
}

static void give_up(struct attempt *attempt)
{
	attempt_done *done = attempt->done;
	void *arg = attempt->arg;
	char reason[200];

	if (attempt->error == 0)
		snprintf(reason, sizeof(reason), "connect timeout");
	else
		snprintf(reason, sizeof(reason), "connect failed: %s", words_of(attempt));
	attempt_free(attempt);
	done(arg, -1, 0, reason);
}

static uint64_t time_left(const struct attempt *attempt)
{
	uint64_t now = clock_ms();

	if (attempt->deadline_ms == UINT64_MAX)
		return UINT64_MAX;
	return attempt->deadline_ms > now ? attempt->deadline_ms - now : 0;
}

/*
 * A timer that lies in the past fires at once; one without end is not set.
 * False: out of memory.
 */
static bool set_timer(struct attempt *attempt, uint64_t ms)
{
	struct timeval tv = timeval_from_ms(ms);

	event_del(&attempt->timer);
	return ms == UINT64_MAX || event_add(&attempt->timer, &tv) == 0;
}

static void wait_and_retry(struct attempt *attempt)
{
	uint64_t left = time_left(attempt);
	uint64_t pause = attempt->backoff_ms;

	if (!attempt->worth_retrying || !backend_settings(attempt->backend)->connect_retry ||
	    left == 0) {
		give_up(attempt);
		return;
	}
	backend_note_failure(attempt->backend, words_of(attempt));
	attempt->backoff_ms *= 2;
	if (attempt->backoff_ms > BACKOFF_MAX_MS)
		attempt->backoff_ms = BACKOFF_MAX_MS;
	address_list_unref(attempt->list);
	attempt->list = NULL;
	if (!set_timer(attempt, pause < left ? pause : left))
		give_up(attempt);
}

static void note_failure(struct attempt *attempt, int error)
{
	attempt->error = error;
	attempt->unresolved = false;
	attempt->worth_retrying |= may_pass(error);
}

/*
 * An address that never answers must leave time for those behind it: each gets
 * an equal share of what is left.
 */
static uint64_t share_of_time(const struct attempt *attempt)
{
	uint64_t left = time_left(attempt);

	return left == UINT64_MAX ? UINT64_MAX : left / (attempt->list->n - attempt->index);
}

static void try_addresses(struct attempt *attempt);

static void try_next(struct attempt *attempt, int error)
{
	drop_socket(attempt);
	note_failure(attempt, error);
	attempt->index++;
	try_addresses(attempt);
}

static void socket_writable(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *attempt = arg;
	int r = connect_result(fd);

	(void)what;
	if (dial_is_connected(r))
		succeed(attempt, r);
	else if (r != -EINPROGRESS)
		try_next(attempt, -r);
}

/*
 * The handshake is under way; @fd is the attempt's from here on.  Without a
 * timer, the kernel's own patience bounds it.
 *
 * Returns 0, or -ENOMEM: the socket cannot be watched and is closed.
 */
static int await_connect(struct attempt *attempt, int fd)
{
	attempt->fd = fd;
	event_assign(&attempt->writable, attempt->loop->base, fd, EV_WRITE | EV_PERSIST,
		     socket_writable, attempt);
	if (event_add(&attempt->writable, NULL) < 0) {
		drop_socket(attempt);
		return -ENOMEM;
	}
	(void)set_timer(attempt, share_of_time(attempt));
	return 0;
}

/* Tries the addresses from attempt->index on. */
static void try_addresses(struct attempt *attempt)
{
	for (; attempt->index < attempt->list->n; attempt->index++) {
		int fd = -1;
		int r = dial(&backend_settings(attempt->backend)->dial,
			     &attempt->list->addresses[attempt->index], &fd);

		if (r == -EINPROGRESS) {
			r = await_connect(attempt, fd);
			if (r == 0)
				return;
		}
		if (dial_is_connected(r)) {
			attempt->fd = fd;
			succeed(attempt, r);
			return;
		}
		note_failure(attempt, -r);
	}
	wait_and_retry(attempt);
}

static void await_addresses(struct attempt *attempt)
{
	uint64_t left = time_left(attempt);

	/* Without one, for the name server as long as it takes. */
	(void)set_timer(attempt, left < LOOKUP_PATIENCE_MS ? left : LOOKUP_PATIENCE_MS);
}

/* Begins a round over all addresses. */
static void begin_round(struct attempt *attempt)
{
	attempt->index = 0;
	attempt->worth_retrying = false;
	attempt->list = resolver_ask(backend_resolver(attempt->backend), &attempt->wait);
	attempt->resolving = !attempt->list;
	if (attempt->resolving)
		await_addresses(attempt);
	else
		try_addresses(attempt);
}

/* The answer takes its time.  May free the attempt. */
static void lookup_is_late(struct attempt *attempt)
{
	struct resolver *resolver = backend_resolver(attempt->backend);
	struct address_list *last = resolver_last(resolver);

	if (!last && time_left(attempt) > 0) {
		(void)set_timer(attempt, time_left(attempt));
		return;
	}
	if (!resolver_cancel(resolver, &attempt->wait)) {
		address_list_unref(last); /* it is here: one more round trip through the mailbox */
		return;
	}
	attempt->resolving = false;
	attempt->list = last;
	if (last) {
		try_addresses(attempt);
	} else {
		attempt->error = EAGAIN;
		attempt->unresolved = true;
		give_up(attempt);
	}
}

static void addresses_arrived(struct message *message)
{
	struct resolver_wait *wait =
		(struct resolver_wait *)((char *)message - offsetof(struct resolver_wait, message));
	struct attempt *attempt = (struct attempt *)((char *)wait - offsetof(struct attempt, wait));

	attempt->resolving = false;
	attempt->list = wait->list;
	wait->list = NULL;
	if (!attempt->done) {
		attempt_free(attempt);
	} else if (attempt->list) {
		try_addresses(attempt);
	} else {
		attempt->error = -wait->error;
		attempt->unresolved = true;
		attempt->worth_retrying = may_pass(attempt->error);
		wait_and_retry(attempt);
	}
}

static void timer_fired(evutil_socket_t unused, short what, void *arg)
{
	struct attempt *attempt = arg;

	(void)unused;
	(void)what;
	if (attempt->fd >= 0) {
		if (attempt->index + 1 < attempt->list->n)
			try_next(attempt, ETIMEDOUT);
		else
			give_up(attempt);
	} else if (attempt->resolving) {
		lookup_is_late(attempt);
	} else if (attempt->list) {
		try_next(attempt, attempt->error); /* the first address has failed at once */
	} else if (time_left(attempt) == 0) {
		give_up(attempt);
	} else {
		begin_round(attempt);
	}
}

static struct attempt *attempt_new(struct loop *loop, struct backend *backend, attempt_done *done,
				   void *arg)
{
	struct attempt *attempt = calloc(1, sizeof(*attempt));
	uint64_t timeout = backend_settings(backend)->connect_timeout_ms;

	if (!attempt)
		return NULL;
	attempt->loop = loop;
	attempt->backend = backend_ref(backend);
	attempt->done = done;
	attempt->arg = arg;
	attempt->fd = -1;
	attempt->backoff_ms = BACKOFF_MIN_MS;
	attempt->deadline_ms = timeout == SFRONT_INFINITY_MS ? UINT64_MAX : clock_ms() + timeout;
	attempt->wait.mailbox = &loop->mailbox;
	attempt->wait.message.deliver = addresses_arrived;
	event_assign(&attempt->timer, loop->base, -1, 0, timer_fired, attempt);
	event_assign(&attempt->writable, loop->base, -1, EV_WRITE, socket_writable, attempt);
	return attempt;
}

int attempt_start(struct loop *loop, struct backend *backend, attempt_done *done, void *arg,
		  struct attempt **ret_attempt, int *ret_error)
{
	struct address_list *list = resolver_literal(backend_resolver(backend));
	struct attempt *attempt;
	int fd = -1, r = -EINPROGRESS;

	if (list)
		r = dial(&backend_settings(backend)->dial, &list->addresses[0], &fd);
	if (dial_is_connected(r)) {
		backend_note_success(backend);
		*ret_error = -r;
		return fd;
	}

	attempt = attempt_new(loop, backend, done, arg);
	if (!attempt) {
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	if (list)
		attempt->list = address_list_ref(list);
	if (fd < 0 || (r = await_connect(attempt, fd)) < 0) {
		/* The outcome comes from the event loop: the caller is not ready for it. */
		attempt->error = list ? -r : 0;
		if (!set_timer(attempt, 0)) {
			attempt_free(attempt);
			return -ENOMEM;
		}
	}
	*ret_attempt = attempt;
	return -EINPROGRESS;
}
