/* SPDX-License-Identifier: MIT */
/*
 * SO_RCVLOWAT and TCP_NODELAY for long streams: see coalesce.h.  Between pace.c, which
 * says what to wait for, and whoever has a timer.
 */
#include "daemon/relay/coalesce.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sockfront/listener.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "daemon/relay/endpoint.h"

/* Wake-ups are for as much as this at a time: measured, less saves less, and more no more. */
#define LOW_WATER_MAX ((size_t)1 << 20)

/*
 * A stream is long once it has moved this much as bulk, or this much in all and after that
 * what its speed is measured with.
 */
#define FIRST_STEP COALESCE_AFTER

/* Copies are noted once they have moved so much. */
#define NOTED_COPIES ((uint64_t)256 << 10)

/* A stream rests, or stands, once so many looks in a row have said so. */
#define RESTS  4
#define STANDS 3

/*
 * Speeds are compared over spans of so many times what a byte may wait: shorter ones differ by
 * chance.  A stream has become slower once so many of them in a row were.
 */
#define SPAN   16
#define SLOWER 2

/* What the speed before is measured with at least. */
#define MEASURED_BYTES ((uint64_t)1 << 20)

/*
 * One that has coalesced for so many times what a byte may wait has paid for the piece that
 * was kept before.
 */
#define FORGIVEN_AFTER 64

/* Only a TCP socket has one. */
static void set_low_water(const struct endpoint *end, int bytes)
{
	/* Refused or capped by a small buffer: then we are woken more often, no more. */
	if (end->read_stream == SFRONT_STREAM_TCP)
		(void)setsockopt(end->read_fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static bool get_nodelay(const struct endpoint *to)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(to->write_fd, IPPROTO_TCP, TCP_NODELAY, &on, &len) == 0 && on;
}

/* Turned on, it sends what was held back. */
static void set_nodelay(const struct endpoint *to, int on)
{
	(void)setsockopt(to->write_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* Of what does not come by TCP, small pieces are held back on the way out: nothing is there to
 * move. */
static enum pace_step next_step(const struct coalesce *coalesce, const struct endpoint *end)
{
	if (end->read_stream != SFRONT_STREAM_TCP)
		return coalesce->looks % 2 == 0 ? PACE_SAMPLE : PACE_JUDGE;
	return pace_step_of(coalesce->looks);
}

static void plan_look(struct coalesce *coalesce, const struct endpoint *end, uint64_t wait_ns,
		      uint64_t now_ns)
{
	coalesce->look_ns = now_ns + pace_step_ns(next_step(coalesce, end), wait_ns);
}

static void begin_span(struct coalesce *coalesce, const struct endpoint *end, uint64_t now_ns)
{
	coalesce->span_ns = now_ns;
	coalesce->span_moved = end->moved;
}

static double speed_of_span(const struct coalesce *coalesce, const struct endpoint *end,
			    uint64_t now_ns)
{
	return (double)(end->moved - coalesce->span_moved) / (double)(now_ns - coalesce->span_ns);
}

/* After a rest nothing has moved meanwhile: what was known stays so. */
static void note_speed_before(struct coalesce *coalesce, const struct endpoint *end,
			      uint64_t now_ns)
{
	if (end->moved - coalesce->span_moved >= MEASURED_BYTES && now_ns > coalesce->span_ns)
		coalesce->speed = speed_of_span(coalesce, end, now_ns);
	coalesce->slower = 0;
	begin_span(coalesce, end, now_ns);
}

static void start(struct coalesce *coalesce, struct endpoint *end, int low_water, uint64_t now_ns)
{
	struct endpoint *to = end_peer(end);

	note_speed_before(coalesce, end, now_ns);
	coalesce->low_water = low_water;
	/* What has coalesced on the way in leaves little to coalesce on the way out. */
	coalesce->had_nodelay = end->read_stream != SFRONT_STREAM_TCP && get_nodelay(to);
	coalesce->last = (struct pace_look){ .moved = end->moved };
	coalesce->looks = coalesce->rests = coalesce->stands = 0;
	coalesce->began_ns = now_ns;
	end->bulk = true; /* also where it was copied: it comes in large pieces from now on */
	end->thin_runs = 0;
	set_low_water(end, low_water);
	if (coalesce->had_nodelay)
		set_nodelay(to, 0);
	end->coalesces = true;
}

/* Ends coalescing until @more bytes have moved. */
static void stop(struct coalesce *coalesce, struct endpoint *end, uint64_t more)
{
	set_low_water(end, 1);
	if (coalesce->had_nodelay)
		set_nodelay(end_peer(end), 1);
	end->coalesces = false;
	coalesce->begin = end->moved + more;
	coalesce->span_ns = 0;
}

void coalesce_stop(struct coalesce *coalesce, struct endpoint *end)
{
	if (end->coalesces)
		stop(coalesce, end, coalesce->step);
}

/* It may go on as soon as something moves. */
static void stop_until_it_moves(struct coalesce *coalesce, struct endpoint *end, uint64_t now_ns)
{
	coalesce->good_ns += now_ns - coalesce->began_ns;
	stop(coalesce, end, 0);
}

/* A last piece was kept, or may have been. */
static void back_off(struct coalesce *coalesce, struct endpoint *end,
		     const struct coalesce_terms *terms, uint64_t now_ns)
{
	coalesce->good_ns += now_ns - coalesce->began_ns;
	if (coalesce->good_ns >= FORGIVEN_AFTER * terms->wait_ns)
		coalesce->step = FIRST_STEP;
	else
		coalesce->step *= 2;
	coalesce->good_ns = 0;
	stop(coalesce, end, coalesce->step);
}

/*
 * Only TCP takes so much at a time: a UNIX socket or a pipe would be given it
 * in five pieces or more, while the source stands still.
 */
static bool can_gather(struct endpoint *end)
{
	return end_peer(end)->write_stream == SFRONT_STREAM_TCP;
}

static int wanted_low_water(const struct coalesce *coalesce, const struct endpoint *end,
			    const struct coalesce_terms *terms)
{
	size_t most = terms->pipe_size < LOW_WATER_MAX ? terms->pipe_size : LOW_WATER_MAX;
	size_t present = end->coalesces ? (size_t)coalesce->low_water : 0;

	return (int)pace_low_water(&coalesce->pace, terms->wait_ns, most, present);
}

static void begin_to_count(struct coalesce *coalesce, const struct endpoint *end)
{
	coalesce->step = FIRST_STEP;
	coalesce->begin = end->moved + (end->bulk ? coalesce->step : MEASURED_BYTES);
}

static bool is_long(const struct coalesce *coalesce, const struct endpoint *end,
		    const struct coalesce_terms *terms)
{
	/* After a rest, it need not be seen once more that waiting is worth it. */
	return end->moved >= coalesce->begin &&
	       (coalesce->good_ns > 0 || pace_comes_in_pieces(&coalesce->pace, terms->wait_ns));
}

/* A span of its own each time; an eighth is more than chance, and less than a wait that counts. */
static bool is_slower(struct coalesce *coalesce, const struct endpoint *end,
		      const struct coalesce_terms *terms, uint64_t now_ns)
{
	if (now_ns - coalesce->span_ns < SPAN * terms->wait_ns)
		return false;
	if (speed_of_span(coalesce, end, now_ns) * 8 < coalesce->speed * 7)
		coalesce->slower++;
	else
		coalesce->slower = 0;
	begin_span(coalesce, end, now_ns);
	return coalesce->slower == SLOWER;
}

static void follow_pace(struct coalesce *coalesce, struct endpoint *end,
			const struct coalesce_terms *terms, uint64_t now_ns)
{
	int low_water = wanted_low_water(coalesce, end, terms);

	if (!end->coalesces && low_water > 0 && is_long(coalesce, end, terms)) {
		start(coalesce, end, low_water, now_ns);
	} else if (end->coalesces && (low_water == 0 || is_slower(coalesce, end, terms, now_ns))) {
		back_off(coalesce, end, terms, now_ns); /* it may be slow because it waits */
	} else if (end->coalesces && low_water != coalesce->low_water) {
		coalesce->low_water = low_water;
		set_low_water(end, low_water);
	}
}

/* How soon to look at an end that has just moved: what is there now is new. */
static uint64_t look_in_ns(struct coalesce *coalesce, const struct endpoint *end,
			   const struct coalesce_terms *terms, uint64_t now_ns)
{
	if (!end->coalesces || end->pending)
		return 0;
	coalesce->rests = 0;
	plan_look(coalesce, end, terms->wait_ns, now_ns);
	return coalesce->look_ns - now_ns;
}

bool coalesce_count(struct coalesce *coalesce, const struct endpoint *end)
{
	coalesce->turns++;
	return end->bulk || end->coalesces || end->moved - coalesce->noted >= NOTED_COPIES;
}

/*
 * Whether the pace says for how much to wait.  Of what is copied it does where the mark can
 * be set, and where nobody has answered since the last note.
 */
static bool pace_counts(const struct coalesce *coalesce, struct endpoint *end)
{
	return end->bulk || (end->read_stream == SFRONT_STREAM_TCP && endpoint_can_splice(end) &&
			     end_peer(end)->moved == coalesce->answered);
}

static void note_pace(struct coalesce *coalesce, struct endpoint *end,
		      const struct coalesce_terms *terms, uint64_t now_ns)
{
	if (coalesce->begin == 0)
		begin_to_count(coalesce, end);
	if (coalesce->span_ns == 0)
		begin_span(coalesce, end, now_ns);
	pace_note(&coalesce->pace, now_ns, end->moved, end->coalesces ? 0 : coalesce->turns);
	if (pace_counts(coalesce, end))
		follow_pace(coalesce, end, terms, now_ns);
	coalesce->noted = end->moved;
	coalesce->answered = end_peer(end)->moved;
	coalesce->turns = 0;
}

struct coalesce_result coalesce_note(struct coalesce *coalesce, struct endpoint *end,
				     const struct coalesce_terms *terms, uint64_t now_ns)
{
	if (end->coalesces && !end->bulk)
		coalesce_stop(coalesce, end);
	else if (terms->pipe_size > 0 && terms->wait_ns > 0 && can_gather(end))
		note_pace(coalesce, end, terms, now_ns);
	return (struct coalesce_result){
		.look_in_ns = look_in_ns(coalesce, end, terms, now_ns),
		.is_due = end->coalesces && !end->pending && end->moved < coalesce->due,
	};
}

/* Whether something was written there that has not even been sent. */
static bool is_held_back(const struct endpoint *to)
{
	int unsent = 0;

	return ioctl(to->write_fd, SIOCOUTQNSD, &unsent) == 0 && unsent > 0;
}

/* Many a pause is short: the processor was busy elsewhere. */
static void note_rest(struct coalesce *coalesce, struct endpoint *end, uint64_t now_ns)
{
	coalesce->looks = 0;
	if (++coalesce->rests == RESTS)
		stop_until_it_moves(coalesce, end, now_ns);
}

static uint64_t waiting_at(const struct endpoint *end)
{
	int waiting = 0;

	return ioctl(end->read_fd, SIOCINQ, &waiting) == 0 && waiting > 0 ? (uint64_t)waiting : 0;
}

/* What comes from elsewhere than TCP is read at once, and may be kept on the way out. */
static enum pace_verdict verdict_on(const struct coalesce *coalesce, struct endpoint *end,
				    enum pace_step step, const struct pace_look *now)
{
	bool has_mark = end->read_stream == SFRONT_STREAM_TCP;
	enum pace_verdict verdict =
		pace_judge(step, &coalesce->last, now, has_mark ? (size_t)coalesce->low_water : 1);

	if (verdict == PACE_RESTS && coalesce->had_nodelay && is_held_back(end_peer(end)))
		return PACE_STANDS;
	return verdict;
}

/*
 * A stream may stand still for a moment because the processor was busy elsewhere; one that
 * stands at each look waits for answers.  What is held back on the way out goes on only
 * when coalescing ends.
 */
static void note_standing(struct coalesce *coalesce, struct endpoint *end,
			  const struct coalesce_terms *terms, uint64_t now_ns)
{
	coalesce->looks = 0;
	if (++coalesce->stands == STANDS || end->read_stream != SFRONT_STREAM_TCP)
		back_off(coalesce, end, terms, now_ns);
}

static void note_verdict(struct coalesce *coalesce, struct endpoint *end,
			 const struct coalesce_terms *terms, enum pace_step step,
			 enum pace_verdict verdict, uint64_t now_ns)
{
	coalesce->looks += verdict != PACE_SAMPLED;
	if (verdict == PACE_RESTS)
		note_rest(coalesce, end, now_ns);
	else if (verdict == PACE_STANDS)
		note_standing(coalesce, end, terms, now_ns);
	else if (step == PACE_JUDGE)
		coalesce->stands = 0;
}

/* Returns whether the end is to be read now. */
static bool look_after(struct coalesce *coalesce, struct endpoint *end,
		       const struct coalesce_terms *terms, uint64_t now_ns)
{
	struct pace_look now = { .moved = end->moved, .waiting = waiting_at(end) };
	enum pace_step step = next_step(coalesce, end);
	enum pace_verdict verdict = verdict_on(coalesce, end, step, &now);

	note_verdict(coalesce, end, terms, step, verdict, now_ns);
	coalesce->last = now;
	plan_look(coalesce, end, terms->wait_ns, now_ns);
	if (verdict != PACE_IS_DUE && verdict != PACE_STANDS)
		return false;
	coalesce->due = now.moved + now.waiting; /* in several turns, if one does not take all */
	return true;
}

/* A look that is nearly due is worth no wake-up of its own. */
static bool is_time_to_look(const struct coalesce *coalesce, const struct endpoint *end,
			    const struct coalesce_terms *terms, uint64_t now_ns)
{
	uint64_t whole = pace_step_ns(next_step(coalesce, end), terms->wait_ns);

	return now_ns + whole / 4 >= coalesce->look_ns;
}

struct coalesce_result coalesce_check(struct coalesce *coalesce, struct endpoint *end,
				      const struct coalesce_terms *terms, uint64_t now_ns)
{
	struct coalesce_result result = { 0 };

	/* While the peer takes no more, nothing can move. */
	if (!end->coalesces || end->ended || end->pending)
		return result;
	if (is_time_to_look(coalesce, end, terms, now_ns))
		result.is_due = look_after(coalesce, end, terms, now_ns);
	if (end->coalesces)
		result.look_in_ns = coalesce->look_ns - now_ns;
	return result;
}
