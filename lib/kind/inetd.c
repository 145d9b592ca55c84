/* SPDX-License-Identifier: MIT */
/*
 * inetd, stdio, -: stdin and stdout are the one connection.  They may be one
 * socket, two pipes, a terminal, plain files, or any mixture.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/kind/inherited.h"

static const char *const names[] = { "stdin", "stdout" };

/* One of stdin and stdout, while it is taken over. */
struct end {
	int number;        /* 0 or 1 */
	int fd;            /* ours */
	unsigned int kind; /* KIND_, for a socket */
	enum sfront_stream stream;
	bool restore;
};

static int refuse(const struct end *end, int error, const char *what, struct sfront_error *err)
{
	return sfront_fail(err, error, "-: %s is %s", names[end->number], what);
}

static int refuse_system(const struct end *end, int error, struct sfront_error *err)
{
	return sfront_fail(err, error, "-: %s cannot be taken over: %s", names[end->number],
			   strerror(-error));
}

/* Our own descriptor of the same open file, out of the way of 0, 1 and 2. */
static int end_duplicate(struct end *end, bool nonblocking, struct sfront_error *err)
{
	int r;

	end->fd = fcntl(end->number, F_DUPFD_CLOEXEC, 3);
	if (end->fd < 0)
		return refuse_system(end, -errno, err);
	if (!nonblocking)
		return 0;

	r = sfront_set_nonblocking(end->fd, &end->restore);
	if (r < 0) {
		close(end->fd);
		return refuse_system(end, r, err);
	}
	return 0;
}

static int end_socket(struct end *end, struct sfront_error *err)
{
	struct sfront_identity identity;
	char what[SFRONT_WHAT_SIZE] = "not to be identified";
	int r;

	r = sfront_identify(end->number, &identity, what);
	if (r < 0)
		return refuse(end, r, what, err);
	if (identity.listening)
		return sfront_fail(err, -EINVAL,
				   "-: %s is a listening socket, not a connection: "
				   "accept-from-fd:%d accepts from it",
				   names[end->number], end->number);
	end->kind = identity.kind;
	end->stream = identity.stream;
	return end_duplicate(end, true, err);
}

/*
 * O_NONBLOCK belongs to the open file, which the shell and others share.  Opened
 * anew, a pipe or a terminal is ours alone; where that is not allowed, the mode
 * has to be set for everybody and restored.
 */
static int end_reopen(struct end *end, struct sfront_error *err)
{
	int mode = end->number == STDIN_FILENO ? O_RDONLY : O_WRONLY, fd, r = 0;
	char self[32], slave[64];

	/* Opening the master of a pseudo-terminal anew makes another one. */
	if (ptsname_r(end->number, slave, sizeof(slave)) == 0)
		return end_duplicate(end, true, err);

	snprintf(self, sizeof(self), "/proc/self/fd/%d", end->number);
	fd = open(self, mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return end_duplicate(end, true, err);

	end->fd = fd;
	if (fd > STDERR_FILENO)
		return 0;
	/* stderr is closed: its number is not for a stream of bytes. */
	end->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (end->fd < 0)
		r = refuse_system(end, -errno, err);
	close(fd);
	return r;
}

static int end_file(struct end *end, mode_t mode, struct sfront_error *err)
{
	int r;

	r = sfront_identify_file(end->number, mode, &end->stream);
	if (r == -EISDIR)
		return refuse(end, r, "a directory", err);
	if (r < 0)
		return refuse_system(end, r, err);
	/* A file is not opened anew: the position in it is shared with those after us. */
	return end->stream == SFRONT_STREAM_FILE ? end_duplicate(end, false, err)
						 : end_reopen(end, err);
}

static int end_open(struct end *end, struct sfront_error *err)
{
	bool reads = end->number == STDIN_FILENO;
	struct stat st;
	int flags;

	flags = fcntl(end->number, F_GETFL);
	if (flags < 0 || fstat(end->number, &st) < 0)
		return refuse(end, -errno, "closed", err);
	if ((flags & O_ACCMODE) == (reads ? O_WRONLY : O_RDONLY) || (flags & O_PATH))
		return refuse(end, -EBADF, reads ? "not open for reading" : "not open for writing",
			      err);
	return S_ISSOCK(st.st_mode) ? end_socket(end, err) : end_file(end, st.st_mode, err);
}

static bool is_same_socket(void)
{
	struct stat in, out;

	return fstat(STDIN_FILENO, &in) == 0 && fstat(STDOUT_FILENO, &out) == 0 &&
	       S_ISSOCK(in.st_mode) && in.st_dev == out.st_dev && in.st_ino == out.st_ino;
}

static int open_ends(struct end *in, struct end *out, struct sfront_error *err)
{
	int r;

	r = end_open(in, err);
	if (r < 0)
		return r;
	if (is_same_socket()) {
		*out = *in;
		return 0;
	}
	r = end_open(out, err);
	if (r < 0)
		sfront_connection_close(&(struct sfront_connection){
			.read_fd = in->fd, .write_fd = -1, .restore_read = in->restore });
	return r;
}

static int apply_options(const struct end *in, const struct end *out,
			 const struct sfront_options *options, struct sfront_error *err)
{
	int r = 0;

	if (in->kind)
		r = sfront_socket_apply(in->fd, CONNECTED(in->kind), "-", options, err);
	if (r == 0 && out->kind && out->fd != in->fd)
		r = sfront_socket_apply(out->fd, CONNECTED(out->kind), "-", options, err);
	return r;
}

static struct sfront_connection connect_ends(const struct end *in, const struct end *out)
{
	struct sfront_connection only = {
		.read_fd = in->fd,
		.write_fd = out->fd,
		.read_stream = in->stream,
		.write_stream = out->stream,
		.restore_read = in->restore,
		.restore_write = out->restore,
		.peer = { .len = sizeof(only.peer.sa) },
	};

	if (getpeername(in->fd, &only.peer.sa.any, &only.peer.len) < 0)
		only.peer.len = 0;
	return only;
}

/* So that nothing written to stdout by mistake gets into the stream. */
static int replace_with_null(struct sfront_error *err)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), old_stdin, r = 0;

	if (fd < 0)
		return sfront_fail(err, -errno, "-: /dev/null cannot be opened: %s",
				   strerror(errno));
	old_stdin = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (old_stdin < 0 || dup2(fd, STDIN_FILENO) < 0) {
		r = -errno;
	} else if (dup2(fd, STDOUT_FILENO) < 0) {
		r = -errno;
		dup2(old_stdin, STDIN_FILENO);
	}
	if (old_stdin >= 0)
		close(old_stdin);
	close(fd);
	if (r < 0)
		sfront_fail(err, r, "-: stdin and stdout cannot be replaced: %s", strerror(-r));
	return r;
}

static int take_over(struct sfront_listener *listener, const struct sfront_options *options,
		     struct sfront_error *err)
{
	struct end in = { .number = STDIN_FILENO, .fd = -1 };
	struct end out = { .number = STDOUT_FILENO, .fd = -1 };
	char text[] = "-";
	struct sfront_socket socket = {
		.class = &sfront_inetd_class,
		.inherited = true,
		.text = text,
	};
	struct sfront_connection only;
	int r;

	r = open_ends(&in, &out, err);
	if (r < 0)
		return r;

	only = connect_ends(&in, &out);
	r = apply_options(&in, &out, options, err);
	if (r < 0)
		goto fail;
	r = sfront_single_init(&socket, &only);
	if (r < 0) {
		r = sfront_fail(err, r, "-: no descriptor to poll can be made: %s", strerror(-r));
		goto fail;
	}
	socket.stream = in.stream;
	socket.target = CONNECTED((in.kind ? in.kind : KIND_FILE) | out.kind);
	sfront_socket_local(in.fd, &socket.local);
	r = sfront_listener_add(listener, &socket, err);
	if (r < 0) {
		close(socket.fd);
		sfront_socket_clear(&socket);
		goto fail;
	}
	/* The listener owns everything from here on, and closes it if this fails. */
	return replace_with_null(err);

fail:
	sfront_connection_close(&only);
	return r;
}

static int inetd_open(struct sfront_listener *listener, const struct sfront_address *address,
		      const struct sfront_options *options, struct sfront_error *err)
{
	int r;

	(void)address;
	r = sfront_claim(STDIN_FILENO);
	if (r == 0) {
		r = sfront_claim(STDOUT_FILENO);
		if (r < 0)
			sfront_unclaim(STDIN_FILENO);
	}
	if (r < 0)
		return sfront_fail(err, r,
				   "-: stdin or stdout is taken already: only one listener can "
				   "have them");

	r = take_over(listener, options, err);
	if (r < 0) {
		sfront_unclaim(STDIN_FILENO);
		sfront_unclaim(STDOUT_FILENO);
	}
	return r;
}

const struct sfront_class sfront_inetd_class = {
	.name = "inetd",
	.open = inetd_open,
	.accept = sfront_single_accept,
	.close = sfront_single_close,
};
