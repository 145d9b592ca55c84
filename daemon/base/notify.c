/* SPDX-License-Identifier: MIT */
/*
 * Notifications through libsystemd.  The thread starts with a message and ends once
 * all are sent.
 */
#include "daemon/base/notify.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/thread.h"

/* More than this unsent, and hints are dropped: the manager's own socket takes eleven. */
#define BACKLOG_MAX 16

#define TEXT_SIZE    512
#define FDNAME       "FDNAME="
#define THREAD_STACK ((size_t)128 * 1024)

enum kind {
	LINES,
	HINT,
	STORE,
	UNSTORE,
};

struct notice {
	struct notice *next;
	enum kind kind;
	int fd; /* to be stored, owned; or -1 */
	char text[];
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool running, muted;
	unsigned int unsent; /* the one that is being sent included */
	struct notice *sending;
	struct notice *first, **last;
} queue = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
	.last = &queue.first,
};

bool notify_wanted(void)
{
	const char *socket = getenv("NOTIFY_SOCKET");

	return socket && *socket != '\0';
}

static void notice_free(struct notice *notice)
{
	if (notice->fd >= 0)
		close(notice->fd);
	free(notice);
}

static void transmit(const struct notice *notice)
{
	if (notice->fd >= 0)
		(void)sd_pid_notify_with_fds(0, 0, notice->text, &notice->fd, 1);
	else
		(void)sd_notify(0, notice->text);
}

/* NULL: there is none, and the thread is over. */
static struct notice *take_first(void)
{
	struct notice *notice;

	pthread_mutex_lock(&queue.lock);
	notice = queue.first;
	if (notice) {
		queue.first = notice->next;
		if (!queue.first)
			queue.last = &queue.first;
	}
	queue.sending = notice;
	queue.running = notice;
	pthread_mutex_unlock(&queue.lock);
	return notice;
}

static void *notify_main(void *arg)
{
	struct notice *notice;

	(void)arg;
	while ((notice = take_first())) {
		transmit(notice);
		pthread_mutex_lock(&queue.lock);
		queue.sending = NULL;
		queue.unsent--;
		pthread_cond_broadcast(&queue.changed);
		pthread_mutex_unlock(&queue.lock);
		notice_free(notice);
	}
	return NULL;
}

static void post(struct notice *notice)
{
	pthread_mutex_lock(&queue.lock);
	if (!queue.running)
		queue.running = thread_start_detached(notify_main, NULL, THREAD_STACK) == 0;
	if (queue.running) {
		notice->next = NULL;
		*queue.last = notice;
		queue.last = &notice->next;
		queue.unsent++;
		pthread_cond_broadcast(&queue.changed);
		notice = NULL;
	}
	pthread_mutex_unlock(&queue.lock);
	/* Without a thread, better late than never. */
	if (notice) {
		transmit(notice);
		notice_free(notice);
	}
}

/* @fd: -1, or to be copied */
static bool say(enum kind kind, int fd, const char *text)
{
	struct notice *notice;
	bool full, muted;

	pthread_mutex_lock(&queue.lock);
	muted = queue.muted;
	full = kind == HINT && queue.unsent >= BACKLOG_MAX;
	pthread_mutex_unlock(&queue.lock);
	if (muted || !notify_wanted())
		return true;
	notice = full ? NULL : malloc(sizeof(*notice) + strlen(text) + 1);
	if (!notice)
		return false;
	strcpy(notice->text, text);
	notice->kind = kind;
	notice->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0 && notice->fd < 0) {
		free(notice);
		return false;
	}
	post(notice);
	return true;
}

bool notify_send(const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return say(LINES, -1, text);
}

bool notify_hint(const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return say(HINT, -1, text);
}

bool notify_store(const char *name, int fd)
{
	char text[TEXT_SIZE];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\n" FDNAME "%s", name);
	return say(STORE, fd, text);
}

/* Of a notice of a stored descriptor. */
static const char *name_of(const struct notice *notice)
{
	return strstr(notice->text, FDNAME) + strlen(FDNAME);
}

static bool is_about(const struct notice *notice, enum kind kind, const char *name)
{
	return notice->kind == kind && (!name || strcmp(name_of(notice), name) == 0);
}

/*
 * Takes those to store, of that name or (NULL) of any, out of the queue, which is
 * locked.  Returns them, for the caller to free.
 */
static struct notice *take_stores(const char *name)
{
	struct notice **at = &queue.first, *taken = NULL;

	while (*at) {
		struct notice *notice = *at;

		if (!is_about(notice, STORE, name)) {
			at = &notice->next;
			continue;
		}
		*at = notice->next;
		notice->next = taken;
		taken = notice;
		queue.unsent--;
	}
	queue.last = at;
	pthread_cond_broadcast(&queue.changed);
	return taken;
}

static size_t free_all(struct notice *list)
{
	struct notice *next;
	size_t n = 0;

	for (; list; list = next, n++) {
		next = list->next;
		notice_free(list);
	}
	return n;
}

static bool is_queued(enum kind kind, const char *name)
{
	const struct notice *notice = queue.first;

	while (notice && !is_about(notice, kind, name))
		notice = notice->next;
	return notice;
}

void notify_unstore(const char *name)
{
	struct notice *taken = NULL;
	char text[TEXT_SIZE];
	bool is_said;

	pthread_mutex_lock(&queue.lock);
	if (!queue.muted)
		taken = take_stores(name);
	is_said = taken && is_queued(UNSTORE, name);
	pthread_mutex_unlock(&queue.lock);
	free_all(taken);
	if (is_said)
		return;
	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\n" FDNAME "%s", name);
	(void)say(UNSTORE, -1, text);
}

size_t notify_drop_stores(void (*dropped)(const char *name, void *data), void *data)
{
	char sending[TEXT_SIZE] = "";
	struct notice *taken = NULL;

	pthread_mutex_lock(&queue.lock);
	if (!queue.muted)
		taken = take_stores(NULL);
	if (!queue.muted && queue.sending && queue.sending->kind == STORE)
		snprintf(sending, sizeof(sending), "%s", name_of(queue.sending));
	pthread_mutex_unlock(&queue.lock);
	for (const struct notice *notice = taken; notice; notice = notice->next)
		dropped(name_of(notice), data);
	if (*sending)
		dropped(sending, data);
	return free_all(taken) + (*sending ? 1 : 0);
}

bool notify_flush(unsigned int seconds)
{
	struct timespec until;
	bool sent;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)seconds;
	pthread_mutex_lock(&queue.lock);
	while (queue.unsent > 0 && r == 0)
		r = pthread_cond_clockwait(&queue.changed, &queue.lock, CLOCK_MONOTONIC, &until);
	sent = queue.unsent == 0;
	pthread_mutex_unlock(&queue.lock);
	return sent;
}

void notify_barrier(unsigned int seconds)
{
	if (notify_wanted() && notify_flush(seconds))
		(void)sd_notify_barrier(0, (uint64_t)seconds * 1000000);
}

void notify_mute(bool mute)
{
	pthread_mutex_lock(&queue.lock);
	queue.muted = mute;
	pthread_mutex_unlock(&queue.lock);
}
