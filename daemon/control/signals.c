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

/* SIGRTMIN and above are nobody's by mistake. */
static const struct {
	int number;
	size_t handler; /* in struct signal_handlers */
} signals[] = {
	{ SIGHUP, offsetof(struct signal_handlers, reload) },
	{ SIGUSR1, offsetof(struct signal_handlers, reopen) },
	{ SIGUSR2, offsetof(struct signal_handlers, upgrade) },
	{ SIGTERM, offsetof(struct signal_handlers, stop) },
	{ SIGINT, offsetof(struct signal_handlers, stop) },
	{ SIGQUIT, offsetof(struct signal_handlers, stop) },
	{ SIGALRM, offsetof(struct signal_handlers, stop) },
	{ SIGVTALRM, offsetof(struct signal_handlers, stop) },
	{ SIGPROF, offsetof(struct signal_handlers, stop) },
	{ SIGIO, offsetof(struct signal_handlers, stop) },
	{ SIGPWR, offsetof(struct signal_handlers, stop) },
	{ SIGSTKFLT, offsetof(struct signal_handlers, stop) },
	{ SIGXCPU, offsetof(struct signal_handlers, stop) },
};

#define SIGNALS_COUNT (sizeof(signals) / sizeof(signals[0]))

static struct event *events[SIGNALS_COUNT];

static void change_mask(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < SIGNALS_COUNT; i++)
		sigaddset(&set, signals[i].number);
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
		const event_callback_fn *handler =
			(const void *)((const char *)handlers + signals[i].handler);

		if (is_ignored(signals[i].number))
			continue;
		events[i] = evsignal_new(base, signals[i].number, *handler, NULL);
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
