/* SPDX-License-Identifier: MIT */
/*
 * The file of the access log.  Lines are appended; it is opened again when it is told to, and
 * when its path has become another file, as those do who rotate logs.
 */
#ifndef DAEMON_SESSION_ACCESS_FILE_H
#define DAEMON_SESSION_ACCESS_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct sfront_error;

/*
 * Opens the file at @path, for access_file_commit() or access_file_discard(), of which one
 * follows.
 *
 * @path: copied; "": there is to be none
 *
 * Returns 0, or -errno with @err saying why.
 */
int access_file_prepare(const char *path, struct sfront_error *err);

/* From now on lines go there, or to no file. */
void access_file_commit(void);
void access_file_discard(void);

/* Whether there is one.  Any thread. */
bool access_file_is_open(void);

/*
 * Appends a line, which ends in a newline, or counts it as lost.  False: there is no file any
 * more.  Any thread.
 */
bool access_file_write(const char *line, size_t len);

/* Opens it again, and says so.  False: there is none. */
bool access_file_reopen(void);

#endif
