/* SPDX-License-Identifier: MIT */
/*
 * The access log as fields of the system's journal, without waiting for whoever reads it, as
 * sd_journal_send(3) would.
 */
#ifndef DAEMON_SESSION_ACCESS_JOURNAL_H
#define DAEMON_SESSION_ACCESS_JOURNAL_H

struct access_record;
struct sfront_error;

/*
 * Connects to it, for access_journal_commit() or access_journal_discard(), of which one follows.
 * Returns 0, or -errno with @err saying why not.
 */
int access_journal_prepare(struct sfront_error *err);

/* Nothing where it was not prepared. */
void access_journal_commit(void);
void access_journal_discard(void);

/* Any thread. */
void access_journal_write(const struct access_record *record);

#endif
