/* SPDX-License-Identifier: MIT */
/*
 * Attempts to connect: see connect.h.  The common case, a backend that is there, takes
 * dial() and nothing else; everything slower lives in a struct attempt, which asks
 * resolver.c for addresses and races the handshakes that dial.c begins.
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
#include "daemon/backend/mux.h"
#include "daemon/base/clock.h"
#include "daemon/base/loop.h"

/* Pauses between two rounds over all addresses. */
#define BACKOFF_MIN_MS 10
#define BACKOFF_MAX_MS 1000

/* How long an address has for itself before the next one is tried as well. */
#define HEAD_START_MS 250

/* Of one attempt at the same time: past that, the oldest one makes room for the next address. */
#define MAX_HANDSHAKES 8

/* A name server that takes longer is not waited for when there is an older answer. */
#define LOOKUP_PATIENCE_MS 1000

/* How often addresses that leave us waiting, or have failed, are asked for again. */
#define DOUBT_MS 1000

#define NEVER UINT64_MAX

/* The timer is always set: see attempt_new(). */
#define TIMER_MAX_MS 3600000

/* An address that is being connected to. */
struct handshake {
	struct handshake *older;
	struct attempt *attempt;
	struct event ready; /* its fd is the socket, owned */
	struct sfront_sockaddr addr;
	struct mux_answer answer;
};

struct attempt {
	struct loop *loop;       /* borrowed */
	struct backend *backend; /* a reference */
	attempt_done *done;
	void *arg;
	enum connect_state state; /* assigned by enter() alone */
	uint64_t deadline_ms;
	uint64_t next_ms; /* when the state goes on by itself */
	uint64_t ask_ms;  /* when addresses that leave us waiting are asked for again */
	struct event timer;
	struct sfront_sockaddr client; /* len 0: not wanted */
	unsigned int backoff_ms;
	struct address_list *list;    /* while TRYING; a reference */
	unsigned int preferred;       /* of its addresses, which is tried first */
	unsigned int n_begun;         /* of them, in our order, that were begun with */
	struct handshake *handshakes; /* under way, the newest first */
	unsigned int n_handshakes;
	bool worth_retrying; /* one of this round's failures may pass */
	bool asking;         /* wait.message is queued or on its way */
	bool unresolved;     /* the last failure was the name's */
	int error;           /* the last failure, a positive errno; 0: none yet */
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
	case ENODEV:
	case ETIMEDOUT:
	case EADDRNOTAVAIL:
	case ENOENT: /* there is no such UNIX socket yet */
	case EAGAIN: /* the queue of a UNIX socket is full */
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return true;
	default:
		return false;
	}
}

static void note_failure(struct attempt *attempt, int error)
{
	attempt->error = error;
	attempt->unresolved = false;
	attempt->worth_retrying |= may_pass(error);
}

/* A machine that is still booting knows few names, so even one that does not exist may come. */
static void note_unresolved(struct attempt *attempt, int error)
{
	attempt->error = error;
	attempt->unresolved = true;
	attempt->worth_retrying = error != ELOOP;
}

/* Of the last failure. */
static const char *words_of(const struct attempt *attempt)
{
	if (!attempt->unresolved)
		return strerror(attempt->error);
	switch (attempt->error) {
	case ELOOP:
		return "the name leads to a listener of ours";
	case ENOENT:
		return "the name does not resolve";
	case ENODEV:
		return "there is no such interface";
	default:
		return "the name does not resolve for now";
	}
}

/* ---- handshakes ---- */

static const struct dial_options *options_of(const struct attempt *attempt)
{
	return &backend_settings(attempt->backend)->dial;
}

static void socket_ready(evutil_socket_t fd, short what, void *arg);

/*
 * The handshake is under way; @fd is the attempt's from here on.  Without a
 * timer, the kernel's own patience bounds it.
 *
 * Returns 0, or -ENOMEM: the socket cannot be watched and is closed.
 */
static int handshake_new(struct attempt *attempt, const struct sfront_sockaddr *addr, int fd)
{
	struct handshake *handshake = calloc(1, sizeof(*handshake));

	if (!handshake)
		goto fail;
	event_assign(&handshake->ready, attempt->loop->base, fd,
		     (short)(dial_awaits(options_of(attempt)) | EV_PERSIST), socket_ready,
		     handshake);
	if (event_add(&handshake->ready, NULL) < 0)
		goto fail;
	handshake->attempt = attempt;
	handshake->addr = *addr;
	handshake->older = attempt->handshakes;
	attempt->handshakes = handshake;
	attempt->n_handshakes++;
	return 0;

fail:
	free(handshake);
	close(fd);
	return -ENOMEM;
}

/* Ends @handshake, and leaves its socket to the caller. */
static int handshake_take(struct handshake *handshake)
{
	struct attempt *attempt = handshake->attempt;
	struct handshake **at = &attempt->handshakes;
	int fd = event_get_fd(&handshake->ready);

	event_del(&handshake->ready);
	while (*at != handshake)
		at = &(*at)->older;
	*at = handshake->older;
	attempt->n_handshakes--;
	free(handshake);
	return fd;
}

static void handshake_drop(struct handshake *handshake)
{
	close(handshake_take(handshake));
}

/* But for those to addresses that are in @kept; NULL: all of them. */
static void drop_handshakes(struct attempt *attempt, const struct address_list *kept)
{
	struct handshake *handshake, *older;

	for (handshake = attempt->handshakes; handshake; handshake = older) {
		older = handshake->older;
		if (!kept || address_list_find(kept, &handshake->addr) == kept->n)
			handshake_drop(handshake);
	}
}

static struct handshake *oldest_handshake(const struct attempt *attempt)
{
	struct handshake *handshake = attempt->handshakes;

	while (handshake->older)
		handshake = handshake->older;
	return handshake;
}

static bool is_under_way(const struct attempt *attempt, const struct sfront_sockaddr *addr)
{
	for (const struct handshake *h = attempt->handshakes; h; h = h->older)
		if (sfront_sockaddr_equal(&h->addr, addr))
			return true;
	return false;
}

/* ---- the attempt ---- */

static struct resolver *resolver_of(const struct attempt *attempt)
{
	return backend_resolver(attempt->backend);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void set_timer(struct attempt *attempt)
{
	uint64_t now = clock_ms();
	uint64_t due = earlier(attempt->deadline_ms, earlier(attempt->next_ms, attempt->ask_ms));
	struct timeval tv = timeval_from_ms(earlier(due > now ? due - now : 0, TIMER_MAX_MS));

	(void)event_add(&attempt->timer, &tv);
}

/* Goes on in @state, which goes on by itself at @next_ms. */
static void enter(struct attempt *attempt, enum connect_state state, uint64_t next_ms)
{
	attempt->state = state;
	attempt->next_ms = next_ms;
	attempt->ask_ms = NEVER;
	if (state == CONNECT_TRYING) {
		attempt->n_begun = 0;
		if (!resolver_literal(resolver_of(attempt)))
			attempt->ask_ms = clock_ms() + DOUBT_MS;
	} else {
		drop_handshakes(attempt, NULL);
		address_list_unref(attempt->list);
		attempt->list = NULL;
	}
	if (state == CONNECT_ENDED)
		event_del(&attempt->timer);
	else
		set_timer(attempt);
}

static void attempt_free(struct attempt *attempt)
{
	backend_unref(attempt->backend);
	free(attempt);
}

static void attempt_end(struct attempt *attempt)
{
	enter(attempt, CONNECT_ENDED, NEVER);
	if (!attempt->asking || resolver_cancel(resolver_of(attempt), &attempt->wait))
		attempt_free(attempt);
}

void attempt_cancel(struct attempt *attempt)
{
	if (attempt)
		attempt_end(attempt);
}

enum connect_state attempt_state(const struct attempt *attempt)
{
	return attempt->state;
}

/* @r: of the socket @fd to @addr, see dial_is_connected() */
static void succeed(struct attempt *attempt, const struct sfront_sockaddr *addr, int fd, int r)
{
	attempt_done *done = attempt->done;
	void *arg = attempt->arg;

	backend_note_success(attempt->backend, attempt->list->n > 1 ? addr : NULL);
	attempt_end(attempt);
	done(arg, fd, -r, NULL);
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
	attempt_end(attempt);
	done(arg, -1, 0, reason);
}

/* The round has failed. */
static void wait_and_retry(struct attempt *attempt)
{
	uint64_t now = clock_ms();

	if (!attempt->worth_retrying || !backend_settings(attempt->backend)->connect_retry ||
	    now >= attempt->deadline_ms) {
		give_up(attempt);
		return;
	}
	backend_note_failure(attempt->backend, words_of(attempt));
	enter(attempt, CONNECT_WAITING, now + attempt->backoff_ms);
	attempt->backoff_ms = (unsigned int)earlier(2 * attempt->backoff_ms, BACKOFF_MAX_MS);
}

/* What answered last comes first, then the others in the resolver's order. */
static const struct sfront_sockaddr *nth_address(const struct attempt *attempt, unsigned int n)
{
	if (n == 0)
		n = attempt->preferred;
	else if (n <= attempt->preferred)
		n--;
	return &attempt->list->addresses[n];
}

static void make_room(struct attempt *attempt)
{
	while (attempt->n_handshakes >= MAX_HANDSHAKES) {
		handshake_drop(oldest_handshake(attempt));
		note_failure(attempt, ETIMEDOUT);
	}
}

/*
 * Begins with the next address; those that fail at once are passed over.  May free the
 * attempt.
 */
static void try_next(struct attempt *attempt)
{
	while (attempt->n_begun < attempt->list->n) {
		const struct sfront_sockaddr *addr = nth_address(attempt, attempt->n_begun++);
		int fd = -1, r;

		if (is_under_way(attempt, addr))
			continue;
		make_room(attempt);
		r = dial(options_of(attempt), &attempt->client, addr, &fd);
		if (dial_is_connected(r)) {
			succeed(attempt, addr, fd, r);
			return;
		}
		if (r == -EINPROGRESS)
			r = handshake_new(attempt, addr, fd);
		if (r == 0)
			break;
		note_failure(attempt, -r);
	}
	if (!attempt->handshakes) {
		wait_and_retry(attempt);
		return;
	}
	attempt->next_ms = attempt->n_begun < attempt->list->n ? clock_ms() + HEAD_START_MS : NEVER;
	set_timer(attempt);
}

static void socket_ready(evutil_socket_t fd, short what, void *arg)
{
	struct handshake *handshake = arg;
	struct attempt *attempt = handshake->attempt;
	struct sfront_sockaddr addr = handshake->addr;
	int r = dial_result(options_of(attempt), &addr, fd, &handshake->answer);

	(void)what;
	if (r == -EINPROGRESS)
		return;
	if (dial_is_connected(r)) {
		succeed(attempt, &addr, handshake_take(handshake), r);
		return;
	}
	handshake_drop(handshake);
	note_failure(attempt, -r);
	try_next(attempt);
}

/* ---- addresses ---- */

/*
 * Returns addresses that are no older than that, a reference of the caller's; or NULL:
 * addresses_arrived() will be called.
 */
static struct address_list *ask(struct attempt *attempt, uint64_t max_age_ms)
{
	struct address_list *list;

	if (attempt->asking)
		return NULL;
	list = resolver_ask(resolver_of(attempt), max_age_ms, &attempt->wait);
	attempt->asking = !list;
	return list;
}

/* Takes the reference. */
static void try_addresses(struct attempt *attempt, struct address_list *list)
{
	enter(attempt, CONNECT_TRYING, NEVER);
	attempt->list = list;
	attempt->preferred = backend_preferred(attempt->backend, list);
	try_next(attempt);
}

/*
 * The addresses while some are being tried: what is no longer among them is left, what is
 * new is tried.  Takes the reference; may free the attempt.
 */
static void update_addresses(struct attempt *attempt, struct address_list *list)
{
	if (address_list_equal(list, attempt->list)) {
		address_list_unref(list);
		set_timer(attempt);
		return;
	}
	drop_handshakes(attempt, list);
	address_list_unref(attempt->list);
	try_addresses(attempt, list);
}

/* Begins a round over all addresses. */
static void begin_round(struct attempt *attempt)
{
	uint64_t max_age = attempt->error == 0 ? RESOLVER_FRESH_MS : DOUBT_MS;
	struct address_list *list;

	attempt->worth_retrying = false;
	enter(attempt, CONNECT_RESOLVING, clock_ms() + LOOKUP_PATIENCE_MS);
	list = ask(attempt, max_age);
	if (list)
		try_addresses(attempt, list);
}

/* The answer takes its time: an older one does too, and the new one is used when it comes. */
static void answer_is_late(struct attempt *attempt)
{
	struct address_list *last = resolver_last(resolver_of(attempt));

	if (last) {
		try_addresses(attempt, last);
		return;
	}
	attempt->next_ms = NEVER;
	set_timer(attempt);
}

static void ask_again(struct attempt *attempt)
{
	struct address_list *list = ask(attempt, DOUBT_MS);

	attempt->ask_ms = clock_ms() + DOUBT_MS;
	if (list)
		update_addresses(attempt, list);
	else
		set_timer(attempt);
}

/* @list: NULL: there are none.  Takes the reference; may free the attempt. */
static void use_answer(struct attempt *attempt, struct address_list *list, int error)
{
	if (attempt->state == CONNECT_WAITING) {
		address_list_unref(list); /* the next round asks again */
	} else if (!list) {
		note_unresolved(attempt, error);
		wait_and_retry(attempt);
	} else if (attempt->state == CONNECT_TRYING) {
		update_addresses(attempt, list);
	} else {
		try_addresses(attempt, list);
	}
}

static void addresses_arrived(struct message *message)
{
	struct resolver_wait *wait = message_owner(message, struct resolver_wait, message);
	struct attempt *attempt = message_owner(wait, struct attempt, wait);

	attempt->asking = false;
	if (attempt->state == CONNECT_ENDED) {
		address_list_unref(wait->list);
		attempt_free(attempt);
	} else {
		use_answer(attempt, wait->list, -wait->error);
	}
}

/* ---- time ---- */

static void time_is_up(struct attempt *attempt)
{
	if (attempt->state == CONNECT_RESOLVING)
		note_unresolved(attempt, EAGAIN);
	else if (attempt->state == CONNECT_TRYING)
		attempt->error = 0;
	give_up(attempt);
}

static void go_on(struct attempt *attempt)
{
	switch (attempt->state) {
	case CONNECT_WAITING:
		begin_round(attempt);
		break;
	case CONNECT_RESOLVING:
		answer_is_late(attempt);
		break;
	case CONNECT_TRYING:
		try_next(attempt);
		break;
	case CONNECT_ENDED:
		break;
	}
}

static void timer_fired(evutil_socket_t unused, short what, void *arg)
{
	struct attempt *attempt = arg;
	uint64_t now = clock_ms();

	(void)unused;
	(void)what;
	if (now >= attempt->deadline_ms)
		time_is_up(attempt);
	else if (now >= attempt->next_ms)
		go_on(attempt);
	else if (now >= attempt->ask_ms)
		ask_again(attempt);
	else
		set_timer(attempt);
}

/* ---- the beginning ---- */

/*
 * From here to its end the timer is pending, whatever it waits for: to set one anew
 * takes no memory, and so cannot fail.
 */
static struct attempt *attempt_new(struct loop *loop, struct backend *backend, attempt_done *done,
				   void *arg)
{
	struct attempt *attempt = malloc(sizeof(*attempt));
	uint64_t timeout = backend_settings(backend)->connect_timeout_ms;
	uint64_t now = clock_ms();

	if (!attempt)
		return NULL;
	*attempt = (struct attempt){
		.loop = loop,
		.backend = backend_ref(backend),
		.done = done,
		.arg = arg,
		.backoff_ms = BACKOFF_MIN_MS,
		.deadline_ms = timeout < NEVER - now ? now + timeout : NEVER,
		.wait = { .mailbox = &loop->mailbox, .message.deliver = addresses_arrived },
	};
	event_assign(&attempt->timer, loop->base, -1, 0, timer_fired, attempt);
	if (event_add(&attempt->timer, &(struct timeval){ 0 }) == 0) {
		enter(attempt, CONNECT_WAITING, now);
		return attempt;
	}
	attempt_free(attempt);
	return NULL;
}

/*
 * Goes on with a literal address that did not answer at once: with its socket, or with
 * its failure, which is told from the loop, since the caller is not ready for it.
 */
static void await_literal(struct attempt *attempt, struct address_list *list, int fd, int r)
{
	enter(attempt, CONNECT_TRYING, NEVER);
	attempt->list = address_list_ref(list);
	attempt->n_begun = 1;
	if (r == -EINPROGRESS)
		r = handshake_new(attempt, &list->addresses[0], fd);
	if (r == 0)
		return;
	note_failure(attempt, -r);
	attempt->next_ms = clock_ms();
	set_timer(attempt);
}

int attempt_start(struct loop *loop, struct backend *backend, const struct sfront_sockaddr *client,
		  attempt_done *done, void *arg, struct attempt **ret_attempt, int *ret_error)
{
	struct address_list *list = resolver_literal(backend_resolver(backend));
	struct attempt *attempt;
	int fd = -1, r = -EINPROGRESS;

	if (list)
		r = dial(&backend_settings(backend)->dial, client, &list->addresses[0], &fd);
	if (dial_is_connected(r)) {
		backend_note_success(backend, NULL);
		*ret_error = -r;
		return fd;
	}
	attempt = attempt_new(loop, backend, done, arg);
	if (!attempt) {
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	if (client)
		attempt->client = *client;
	if (list)
		await_literal(attempt, list, fd, r);
	*ret_attempt = attempt;
	return -EINPROGRESS;
}
