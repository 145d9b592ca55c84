/* SPDX-License-Identifier: MIT */
/*
 * The daemon's log.  A line is formatted on the stack and given to log_sink.c as one, so
 * that lines of several threads do not mix.
 */
#include "daemon/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log_sink.h"

#define TEXT_SIZE 2048

/* A reader that does not read is waited for no longer. */
#define FLUSH_MS 1000

static char backlog[LOG_BACKLOG_SIZE];
static struct log_sink sink = { LOG_SINK_INIT, .fd = STDERR_FILENO, .backlog = backlog };

static struct {
	atomic_int level; /* a reload may change it */
	bool journal;     /* stderr is the journal: a <N> in front tells the priority */
	bool syslog;
} state = { .level = LOG_INFO };

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

/* As syslog(3) does it. */
static size_t format_syslog(char *line, size_t size, int priority)
{
	char when[32];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(when, sizeof(when), "%b %e %T", &tm);
	return (size_t)snprintf(line, size, "<%d>%s sockfront[%d]: ", LOG_DAEMON | priority, when,
				getpid());
}

/* @line: LOG_LINE_SIZE bytes.  Returns the length. */
static size_t format_line(char *line, int priority, const char *before, const char *text)
{
	size_t used;

	if (state.syslog)
		used = format_syslog(line, LOG_LINE_SIZE, priority);
	else if (state.journal)
		used = (size_t)snprintf(line, LOG_LINE_SIZE, "<%d>", priority);
	else
		used = (size_t)snprintf(line, LOG_LINE_SIZE, "%s", before);
	used = escape(line, LOG_LINE_SIZE - 1, used, text);
	if (!state.syslog)
		line[used++] = '\n';
	return used;
}

static void write_line(int priority, const char *before, const char *text)
{
	char line[LOG_LINE_SIZE];

	(void)log_sink_write(&sink, line, format_line(line, priority, before, text));
}

static size_t format_lost(char *line, unsigned int lost)
{
	char text[80];

	snprintf(text, sizeof(text), "%u log line(s) were lost: there was no room for them", lost);
	return format_line(line, LOG_WARNING, prefix(LOG_WARNING), text);
}

void log_open(int level, bool stderr_is_client)
{
	atomic_store(&state.level, level);
	state.journal = stderr_is_journal();
	state.syslog = stderr_is_client;
	log_sink_open_stderr(&sink, stderr_is_client, format_lost);
}

void log_flush(void)
{
	log_sink_flush_all(FLUSH_MS);
}

void log_make_room(void)
{
	log_sink_make_room(&sink, FLUSH_MS);
}

void log_line(int priority, const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list ap;

	if (!log_wants(priority))
		return;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	write_line(priority, prefix(priority), text);
}

void log_record(const char *text, bool is_bare)
{
	if (log_wants(LOG_INFO))
		write_line(LOG_INFO, is_bare ? "" : prefix(LOG_INFO), text);
}

uint64_t log_lost(void)
{
	return log_sink_lost();
}

void log_problem(const char *file, unsigned int line, const char *message)
{
	char text[TEXT_SIZE];

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
