/* SPDX-License-Identifier: MIT */
/*
 * Letting bytes coalesce: a long stream costs least when it is moved in few,
 * large pieces, and the kernel wakes us for each small one.  So what has come from a TCP
 * socket that has been streaming for a while is moved once the first of it has waited for as
 * long as a byte may, and the kernel is asked not to wake us before that, unless the stream
 * becomes twice as fast (SO_RCVLOWAT).  Other sources cannot be asked: there the TCP socket
 * that they stream to is asked not to send a small piece behind each that we move
 * (TCP_NODELAY off).
 *
 * On an idle machine a fast stream is read piece by piece, however long it is, and never
 * becomes bulk by what one read finds.  So its pace is measured too while it is copied.  It
 * counts only where the other side says nothing meanwhile: pieces with answers between them
 * are a conversation, and each would wait.
 *
 * A stream is looked at when its bytes have waited.  When nothing has come at several
 * looks, the sockets are as they were.  Every now and then it is looked at when half of the
 * time is over, too: if what was there then is all that is there in the end, it may be a
 * last piece, and somebody wait for the answer to just that.  If that is so three times in a
 * row, it must go on for twice as long as before until all this is done once more; once it
 * has coalesced for long without, that is forgiven.  A last piece that comes in the other
 * half of the time is not seen so, but where somebody waits for an answer to it the stream
 * becomes slower than it was: then the same is done.  A protocol that sends large messages and
 * waits for answers thus loses that time a few times in its life.
 */
#ifndef DAEMON_RELAY_COALESCE_H
#define DAEMON_RELAY_COALESCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/relay/pace.h"

struct endpoint;

/* What coalescing keeps to. */
struct coalesce_terms {
	uint64_t wait_ns; /* how long a byte may wait; 0: nothing coalesces */
	size_t pipe_size; /* more than a pipe takes is not worth waiting for; 0: there are none */
};

/* Of one end; zeroed at first. */
struct coalesce {
	struct pace pace;
	struct pace_look last; /* the last look, while it coalesces */
	uint64_t due;          /* bytes that are to have moved, since they have waited */
	uint64_t look_ns;      /* when the next one is due */
	unsigned int looks;    /* how many there were since it began, or rested */
	unsigned int rests;    /* how many of them in a row have found nothing */
	unsigned int stands;   /* how many times in a row it was judged to stand still */
	int low_water;         /* bytes, while it coalesces */
	uint64_t begin;        /* coalescing begins once so many bytes have moved; 0: not set yet */
	uint64_t step;         /* how many more that is each time */
	uint64_t began_ns;     /* when it last began */
	uint64_t good_ns;      /* for how long it has coalesced since a last piece was kept */
	double speed;          /* bytes a nanosecond before it coalesced; 0: not known */
	uint64_t span_ns;      /* when the span began whose speed is measured; 0: not yet */
	uint64_t span_moved;   /* bytes that had moved by then */
	unsigned int slower;   /* how many spans in a row were slower than before it coalesced */
	uint64_t noted;        /* bytes that had moved when its pace was noted */
	uint64_t answered;     /* and those of the other direction */
	unsigned int turns;    /* since then */
	bool had_nodelay;      /* where the bytes go to, before it coalesced */
};

/* What follows from a look, or from a turn. */
struct coalesce_result {
	uint64_t look_in_ns; /* when to call coalesce_check(); 0: not at all */
	bool is_due;         /* the end is to be read now, although no event says so */
};

/* What has not moved so much can wait for nothing, unless it is bulk. */
#define COALESCE_AFTER ((uint64_t)4 << 20)

/*
 * Counts a turn.  Returns whether coalesce_note() is to be called now: copies are noted many
 * at a time, since each costs little.
 */
bool coalesce_count(struct coalesce *coalesce, const struct endpoint *end);

/*
 * After a turn that coalesce_count() says so of: begins or ends coalescing as the traffic
 * says.
 *
 * @now_ns: by the exact clock
 */
struct coalesce_result coalesce_note(struct coalesce *coalesce, struct endpoint *end,
				     const struct coalesce_terms *terms, uint64_t now_ns);

/* Looks after an end that coalesces, if it is time to. */
struct coalesce_result coalesce_check(struct coalesce *coalesce, struct endpoint *end,
				      const struct coalesce_terms *terms, uint64_t now_ns);

/* Ends coalescing: there is no timer to look after it. */
void coalesce_stop(struct coalesce *coalesce, struct endpoint *end);

#endif
