/* SPDX-License-Identifier: MIT */
/*
 * Catches signals through libevent.  What they mean is lifecycle.c's.
 */
#include "daemon/control/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

static const int numbers[SIGNALS_COUNT] = { SIGTERM, SIGINT, SIGHUP, SIGUSR2 };

static struct event *events[SIGNALS_COUNT];

static void change_mask(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < SIGNALS_COUNT; i++)
		sigaddset(&set, numbers[i]);
	pthread_sigmask(how, &set, NULL);
}

void signals_hold(void)
{
	change_mask(SIG_BLOCK);
}

static bool is_ignored(int number)
{
	struct sigaction action;

	return number == SIGHUP && sigaction(number, NULL, &action) == 0 &&
	       action.sa_handler == SIG_IGN;
}

int signals_catch(struct event_base *base, const struct signal_handlers *handlers)
{
	for (size_t i = 0; i < SIGNALS_COUNT; i++) {
		if (is_ignored(numbers[i]))
			continue;
		events[i] = evsignal_new(base, numbers[i], handlers->arrived[i], NULL);
		if (!events[i] || event_add(events[i], NULL) < 0)
			return -ENOMEM;
	}
	change_mask(SIG_UNBLOCK);
	return 0;
}

void signals_release(void)
{
	/* What comes from here on must not end the process by itself. */
	signals_hold();
	for (size_t i = 0; i < SIGNALS_COUNT; i++)
		if (events[i])
			event_free(events[i]);
}
