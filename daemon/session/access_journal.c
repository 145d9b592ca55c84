/* SPDX-License-Identifier: MIT */
/*
 * A datagram for each connection, by way of log_sink.c: see access_journal.h.
 */
#include "daemon/session/access_journal.h"

#include <sockfront/listener.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "daemon/base/log_sink.h"
#include "daemon/session/access_format.h"

#define JOURNAL "/run/systemd/journal/socket"

static void say_lost(unsigned int lost)
{
	log_line(LOG_WARNING,
		 "%u line(s) of the access log were lost: the journal did not take them", lost);
}

static char backlog[LOG_BACKLOG_SIZE];
static struct log_sink sink = {
	LOG_SINK_INIT, .kind = LOG_SINK_DATAGRAM, .path = JOURNAL,
	.fd = -1,      .backlog = backlog,        .say_lost = say_lost,
};

static int next = -1;

int access_journal_prepare(struct sfront_error *err)
{
	next = log_sink_connect(JOURNAL);
	if (next >= 0)
		return 0;
	snprintf(err->message, sizeof(err->message),
		 "access-log = journal: there is no journal at " JOURNAL ": %s", strerror(-next));
	return next;
}

void access_journal_commit(void)
{
	if (next >= 0)
		log_sink_adopt(&sink, next);
	next = -1;
}

void access_journal_discard(void)
{
	if (next >= 0)
		close(next);
	next = -1;
}

void access_journal_write(const struct access_record *record)
{
	char text[ACCESS_TEXT_SIZE];

	(void)log_sink_write(&sink, text, access_format_journal(record, text));
}
