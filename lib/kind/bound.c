/* SPDX-License-Identifier: MIT */
/*
 * Addresses of our own on sockets that somebody else bound to them, and handed to this
 * process: whether one is bound to exactly that, the class of the address tells;
 * inherited.c takes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/kind/inherited.h"

static bool is_bound_to(int fd, const struct sfront_class *class,
			const struct sfront_address *address, const struct sfront_options *options)
{
	struct sfront_identity identity = { 0 };
	char ignored[SFRONT_WHAT_SIZE], text[] = "";
	struct sfront_socket socket = { .fd = fd, .text = text };

	if (sfront_identify(fd, &identity, ignored) < 0 || !identity.listening ||
	    sfront_socket_local(fd, &socket.local) < 0)
		return false;
	socket.target = INHERITED(identity.kind);
	return class->fits(&socket, address, options);
}

static void compare(const struct sfront_socket *socket, enum sfront_option_id option,
		    unsigned int asked, unsigned int is, const struct sfront_options *options)
{
	if (sfront_option_given(options, option) && asked != is)
		sfront_warn(options,
			    "%s: %s has no effect on this inherited socket: whoever binds it sets "
			    "that",
			    socket->text, sfront_option_name(option));
}

/* Mode and owner are those of whoever made the path. */
static void compare_path(const struct sfront_socket *socket, const struct sfront_options *options)
{
	struct stat st;

	if (!socket->path.seen ||
	    fstatat(AT_FDCWD, socket->local.sa.un.sun_path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	compare(socket, OPTION_UNIX_MODE, (unsigned int)options->unix_mode, st.st_mode & 07777,
		options);
	compare(socket, OPTION_UNIX_UID, options->unix_uid, st.st_uid, options);
	compare(socket, OPTION_UNIX_GID, options->unix_gid, st.st_gid, options);
}

static int open_bound(struct sfront_listener *listener, const struct sfront_address *address,
		      int fd, const char *text, const struct sfront_options *options,
		      struct sfront_error *err)
{
	struct sfront_socket *socket;
	int r;

	r = sfront_inherited_open(listener, &sfront_fd_class, fd, text, NULL, 0, options, err);
	if (r < 0)
		return r;
	socket = &listener->sockets[0];
	socket->kind = address->kind;
	socket->header_due = options->accept_proxy_protocol;
	sfront_socket_compare(fd, socket->target, socket->text, options);
	compare_path(socket, options);
	return 0;
}

int sfront_listener_open_inherited(const struct sfront_address *address, int fd,
				   const struct sfront_options *options,
				   struct sfront_listener **ret_listener, struct sfront_error *err)
{
	const struct sfront_class *class = sfront_class_of(address->kind);
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_listener *listener;
	int r;

	sfront_address_format(address, text, sizeof(text));
	if (!class || !class->fits)
		return sfront_fail(err, -EINVAL, "%s: no address that a socket is bound to", text);
	if (!options)
		options = &sfront_default_options;
	if (!is_bound_to(fd, class, address, options))
		return sfront_fail(err, -EADDRNOTAVAIL, "%s: descriptor %d does not listen there",
				   text, fd);
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return sfront_fail(err, -ENOMEM, "%s: out of memory", text);
	r = open_bound(listener, address, fd, text, options, err);
	if (r < 0) {
		sfront_listener_free(listener);
		return r;
	}
	*ret_listener = listener;
	return 0;
}
