/* SPDX-License-Identifier: MIT */
/*
 * The list of sockets that an upgrade passes, which the new process finds in a sealed
 * memory file: there may be more than fit into a variable.
 *
 *	SOCKFRONT_UPGRADE=CONTROL LIST:list
 *
 * CONTROL is the socket for notes and LIST the file: "FD:NAME FD:NAME:kept ...", with
 * names of socket_name.h and "kept" where systemd keeps the socket too.  What else
 * stands behind a name is for later versions.  Version 0.1.0 wrote the list into the
 * variable itself.
 */
#ifndef DAEMON_HANDOVER_PASSED_SOCKETS_H
#define DAEMON_HANDOVER_PASSED_SOCKETS_H

#include <stdbool.h>
#include <stdio.h>

#include "daemon/handover/socket_name.h"

/* In place of a name, for the file. */
#define PASSED_LIST "list"

struct passed_socket {
	int fd;
	char name[SOCKET_NAME_SIZE];
	bool is_kept;
};

void passed_socket_write(FILE *list, const struct passed_socket *passed);

/*
 * Takes the next one off a list, with close-on-exec set.
 *
 * @text: moved on
 *
 * Returns 0, -ENOENT at the end, or -EINVAL: this is no list, or the descriptor is not
 * open.
 */
int passed_socket_read(const char **text, struct passed_socket *ret);

/* Puts a text into a sealed memory file.  Returns its descriptor, or -errno. */
int passed_list_seal(const char *text, size_t size);

/* Reads such a file; the caller frees the text.  Returns 0, or -errno. */
int passed_list_load(int fd, char **ret_text);

#endif
