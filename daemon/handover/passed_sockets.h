/* SPDX-License-Identifier: MIT */
/*
 * The list of sockets that an upgrade passes, which the new process finds in a sealed
 * memory file: there may be more than fit into a variable.
 *
 *	SOCKFRONT_UPGRADE=CONTROL LIST:list
 *
 * CONTROL is the socket for notes and LIST the file, with a line for each descriptor:
 *
 *	FD:NAME         a socket of our own, with its name of socket_name.h
 *	FD:NAME:kept    which systemd keeps, too
 *	FD:former:TEXT  an inherited one: what it had, see sfront_former_format()
 *	FD:counters     a file of counters.h, the nearest process's first
 *
 * After a NUL byte, what the new process has to know of units that were started: see
 * control/on_demand.h.  A version that knows of none reads no further than that.
 *
 * What else stands behind a name is for later versions.  Version 0.1.0 wrote FD:NAME
 * into the variable itself, with blanks between them.
 */
#ifndef DAEMON_HANDOVER_PASSED_SOCKETS_H
#define DAEMON_HANDOVER_PASSED_SOCKETS_H

#include <stdbool.h>
#include <stdio.h>

#include "daemon/handover/socket_name.h"

/* In place of a name, for the file. */
#define PASSED_LIST "list"

/* The same, for files of counters. */
#define PASSED_COUNTERS "counters"

/* What sfront_former_format() writes is shorter. */
#define PASSED_FORMER_SIZE 1024

struct passed_socket {
	int fd;
	char name[SOCKET_NAME_SIZE]; /* or "": it was inherited */
	bool is_kept;
	char former[PASSED_FORMER_SIZE]; /* of an inherited one */
};

void passed_socket_write(FILE *list, const struct passed_socket *passed);

/*
 * Takes the next one off a list; one of our own with close-on-exec set.
 *
 * @text: moved on
 *
 * Returns 0, -ENOENT at the end, or -EINVAL: this is no list, or the descriptor is not
 * open.
 */
int passed_socket_read(const char **text, struct passed_socket *ret);

/* After the last socket. */
void passed_units_write(FILE *list, const char *units);

/* Where they are in a list that was loaded; "" where there are none. */
const char *passed_units_find(const char *list);

/* Puts a text into a sealed memory file.  Returns its descriptor, or -errno. */
int passed_list_seal(const char *text, size_t size);

/* Reads such a file; the caller frees the text.  Returns 0, or -errno. */
int passed_list_load(int fd, char **ret_text);

#endif
