/* SPDX-License-Identifier: MIT */
/*
 * The daemon's log.  A line is formatted on the stack and written with one
 * write(), so that lines of several threads do not mix.
 */
#include "daemon/base/log.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/clock.h"

#define LINE_SIZE 2048

static struct {
	atomic_int level; /* a reload may change it */
	bool journal;     /* stderr is the journal: a <N> in front tells the priority */
	bool syslog;
	atomic_uint lost;
	pthread_mutex_t lock;
} state = { .level = LOG_INFO, .lock = PTHREAD_MUTEX_INITIALIZER };

/* JOURNAL_STREAM names the device and inode of the journal's stream: see systemd.exec(5). */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(int level, bool stderr_is_client)
{
	atomic_store(&state.level, level);
	state.journal = stderr_is_journal();
	state.syslog = stderr_is_client;
	if (state.syslog)
		openlog("sockfront", LOG_PID, LOG_DAEMON);
}

void log_set_level(int level)
{
	atomic_store(&state.level, level);
}

bool log_wants(int priority)
{
	return priority <= atomic_load(&state.level);
}

static const char *prefix(int priority)
{
	switch (priority) {
	case LOG_ERR:
		return "sockfront: error: ";
	case LOG_WARNING:
		return "sockfront: warning: ";
	case LOG_DEBUG:
		return "sockfront: debug: ";
	default:
		return "sockfront: ";
	}
}

/* A name with a newline in it must not forge a line. */
static size_t escape(char *line, size_t size, size_t used, const char *text)
{
	for (const char *p = text; *p != '\0' && used + 5 < size; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c == 0x7f)
			used += (size_t)snprintf(line + used, size - used, "\\x%02x", c);
		else
			line[used++] = *p;
	}
	return used;
}

/* A log reader that has stopped must not stop the workers with it. */
static bool stderr_has_room(void)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLOUT) != 0;
}

static void write_line(int priority, const char *before, const char *text)
{
	char line[LINE_SIZE];
	size_t used;

	if (state.journal)
		used = (size_t)snprintf(line, sizeof(line), "<%d>", priority);
	else
		used = (size_t)snprintf(line, sizeof(line), "%s", before);
	used = escape(line, sizeof(line) - 1, used, text);
	line[used++] = '\n';

	/* One at a time, or the room that two saw is taken by the first.  Nobody blocks in here. */
	pthread_mutex_lock(&state.lock);
	if (!stderr_has_room() || write(STDERR_FILENO, line, used) < 0)
		atomic_fetch_add(&state.lost, 1);
	pthread_mutex_unlock(&state.lock);
}

void log_line(int priority, const char *format, ...)
{
	char text[LINE_SIZE];
	unsigned int lost;
	va_list ap;

	if (!log_wants(priority))
		return;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);

	if (state.syslog) {
		syslog(priority, "%s", text);
		return;
	}
	lost = atomic_exchange(&state.lost, 0);
	if (lost > 0) {
		char note[80];

		snprintf(note, sizeof(note), "%u log line(s) were lost: stderr had no room", lost);
		write_line(LOG_WARNING, prefix(LOG_WARNING), note);
	}
	write_line(priority, prefix(priority), text);
}

void log_problem(const char *file, unsigned int line, const char *message)
{
	char text[LINE_SIZE];

	if (!file) {
		log_line(LOG_ERR, "%s", message);
		return;
	}
	if (line > 0)
		snprintf(text, sizeof(text), "%s:%u: %s", file, line, message);
	else
		snprintf(text, sizeof(text), "%s: %s", file, message);
	write_line(LOG_ERR, "", text);
}

bool log_limit_passes(struct log_limit *limit, unsigned int *ret_dropped)
{
	uint64_t now = clock_ms();
	uint64_t next = atomic_load(&limit->next_ms);

	if (now < next || !atomic_compare_exchange_strong(&limit->next_ms, &next, now + 1000)) {
		atomic_fetch_add(&limit->dropped, 1);
		return false;
	}
	*ret_dropped = atomic_exchange(&limit->dropped, 0);
	return true;
}
