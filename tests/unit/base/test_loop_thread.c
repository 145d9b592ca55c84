/* SPDX-License-Identifier: MIT */
/*
 * A loop that runs beside another one only while it has something to do: it is woken by a
 * descriptor, a message and a timer, rests in between, and ends both when it is left.
 */
#include "tests/unit/sockets.h"

#include <dirent.h>
#include <pthread.h>

#include "daemon/base/clock.h"
#include "daemon/base/counters.h"
#include "daemon/base/loop_thread.h"
#include "daemon/base/thread.h"

#define ROUNDS 5

/* Longer than the thread lingers. */
#define PAUSE_MS 200

static struct loop loop, host;
static struct loop_thread beside;
static pthread_t host_thread;
static unsigned int n_threads_started;
static bool is_thread_refused;

int __real_thread_start(pthread_t *ret_thread, void *(*main)(void *), void *arg);
int __wrap_thread_start(pthread_t *ret_thread, void *(*main)(void *), void *arg);

int __wrap_thread_start(pthread_t *ret_thread, void *(*main)(void *), void *arg)
{
	if (is_thread_refused)
		return -EAGAIN;
	n_threads_started++;
	return __real_thread_start(ret_thread, main, arg);
}

/* Of the timer that the others are compared with, how often there was no memory for it. */
static bool is_memory_short;
static unsigned int n_refused;

int __real_event_add(struct event *event, const struct timeval *timeout);
int __wrap_event_add(struct event *event, const struct timeval *timeout);

int __wrap_event_add(struct event *event, const struct timeval *timeout)
{
	if (!is_memory_short || event != &beside.now)
		return __real_event_add(event, timeout);
	n_refused++;
	return -1;
}

static bool is_on_host(void)
{
	return pthread_equal(pthread_self(), host_thread) != 0;
}

static int open_loops(void **state)
{
	(void)state;
	loop = host = (struct loop){ 0 };
	host_thread = pthread_self();
	n_threads_started = n_refused = 0;
	is_thread_refused = is_memory_short = false;
	return loop_open(&loop, LOOP_PRIORITIES) == 0 && loop.poll_fd >= 0 &&
			       loop_open(&host, 1) == 0
		       ? 0
		       : -1;
}

static int close_loops(void **state)
{
	(void)state;
	loop_close(&loop);
	loop_close(&host);
	return 0;
}

static void run_both(void)
{
	loop_thread_begin(&beside, &loop, &host);
	event_base_loop(host.base, EVLOOP_NO_EXIT_ON_EMPTY);
	loop_thread_end(&beside);
}

static void leave(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	event_base_loopbreak(loop.base);
}

/* On @base, after so long. */
static void after(struct event_base *base, struct event *event, event_callback_fn fired,
		  uint64_t ms)
{
	struct timeval tv = timeval_from_ms(ms);

	event_assign(event, base, -1, 0, fired, event);
	assert_int_equal(event_add(event, &tv), 0);
}

/* ---- what wakes it ---- */

static uint64_t fired_ms;
static bool fired_on_host;

static void note_and_leave(evutil_socket_t fd, short what, void *arg)
{
	fired_ms = clock_exact_ms();
	fired_on_host = is_on_host();
	leave(fd, what, arg);
}

static void test_first_timer_is_on_time(void **state)
{
	struct event late, first, last;
	uint64_t began = clock_exact_ms();

	(void)state;
	after(loop.base, &late, leave, 3600000);
	after(loop.base, &first, note_and_leave, 200);
	after(loop.base, &last, leave, 7200000);
	run_both();
	assert_false(fired_on_host);
	assert_true(fired_ms >= began + 199);
	event_del(&late);
	event_del(&last);
}

static void test_without_memory_it_does_not_spin(void **state)
{
	struct event first;

	(void)state;
	is_memory_short = true;
	after(loop.base, &first, note_and_leave, 200);
	run_both();
	assert_false(fired_on_host);
	assert_in_range(n_refused, 1, 100); /* 20, if nothing delays it */
}

static void test_descriptor_wakes_it(void **state)
{
	struct event readable;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	event_assign(&readable, loop.base, pair[0], EV_READ, note_and_leave, NULL);
	assert_int_equal(event_add(&readable, NULL), 0);
	assert_int_equal(send(pair[1], "x", 1, 0), 1);
	run_both();
	assert_false(fired_on_host);
	close(pair[0]);
	close(pair[1]);
}

/* ---- messages there and back ---- */

static struct message there, back;
static unsigned int n_rounds;
static bool ran_together;
static struct event pause_timer;

static void there_delivered(struct message *message)
{
	(void)message;
	ran_together |= is_on_host();
	mailbox_post(&host.mailbox, &back);
}

static void pause_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	mailbox_post(&loop.mailbox, &there);
}

static struct message bye;

static void bye_delivered(struct message *message)
{
	(void)message;
	event_base_loopbreak(loop.base);
}

static void back_delivered(struct message *message)
{
	(void)message;
	assert_true(is_on_host());
	if (++n_rounds < ROUNDS)
		after(host.base, &pause_timer, pause_over, PAUSE_MS);
	else
		mailbox_post(&loop.mailbox, &bye);
}

static void say_things(void)
{
	there.deliver = there_delivered;
	back.deliver = back_delivered;
	bye.deliver = bye_delivered;
	n_rounds = 0;
	ran_together = false;
	after(host.base, &pause_timer, pause_over, PAUSE_MS);
	run_both();
	assert_int_equal(n_rounds, ROUNDS);
}

static void test_it_rests_between_messages(void **state)
{
	(void)state;
	say_things();
	assert_false(ran_together);
	assert_true(n_threads_started > 1);
	assert_true(n_threads_started <= ROUNDS + 2);
}

static void test_without_a_thread_the_host_runs_it(void **state)
{
	(void)state;
	is_thread_refused = true;
	counters_use_row(0);
	say_things();
	assert_true(ran_together);
	assert_int_equal(n_threads_started, 0);
	assert_int_equal(counters_row, 2);
	counters_use_main_row();
}

/* ---- resting ---- */

static unsigned int count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned int n = 0;

	assert_non_null(tasks);
	for (struct dirent *entry; (entry = readdir(tasks));)
		n += entry->d_name[0] != '.';
	closedir(tasks);
	return n;
}

static unsigned int n_at_rest, n_looks;

static void look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	n_at_rest = count_threads();
	if (n_at_rest == 1 || ++n_looks == 500)
		mailbox_post(&loop.mailbox, &bye);
	else
		after(host.base, arg, look, 10);
}

static void test_one_thread_is_left_at_rest(void **state)
{
	struct event looking, far_off;

	(void)state;
	bye.deliver = bye_delivered;
	n_looks = 0;
	after(loop.base, &far_off, leave, 3600000);
	after(host.base, &looking, look, PAUSE_MS);
	run_both();
	assert_int_equal(n_at_rest, 1);
	event_del(&far_off);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_timer_is_on_time, open_loops,
						close_loops),
		cmocka_unit_test_setup_teardown(test_without_memory_it_does_not_spin, open_loops,
						close_loops),
		cmocka_unit_test_setup_teardown(test_descriptor_wakes_it, open_loops, close_loops),
		cmocka_unit_test_setup_teardown(test_it_rests_between_messages, open_loops,
						close_loops),
		cmocka_unit_test_setup_teardown(test_without_a_thread_the_host_runs_it, open_loops,
						close_loops),
		cmocka_unit_test_setup_teardown(test_one_thread_is_left_at_rest, open_loops,
						close_loops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
