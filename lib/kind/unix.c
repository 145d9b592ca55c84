/* SPDX-License-Identifier: MIT */
/*
 * Listening UNIX sockets: /path and @name.  Where a path is, and what is in its
 * way, is the matter of place.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/kind/place.h"

/* Of <linux/un.h>, which cannot be included together with <sys/un.h>. */
#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE 0x89e0
#endif

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* Linux 6.6 */
#endif

/* In a struct sfront_access, of a file that is to be changed. */
#define AS_IT_IS UINT32_MAX
_Static_assert(sizeof(mode_t) == 4 && sizeof(uid_t) == 4 && sizeof(gid_t) == 4,
	       "mode, user and group have room for -1");

static int stream_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	return fd;
}

static int refuse_bind(const char *path, int error, struct sfront_error *err)
{
	switch (error) {
	case -EADDRINUSE:
		return sfront_fail(err, error, "%s: another process took the path just now", path);
	case -EACCES:
	case -EPERM:
		return sfront_fail(err, error,
				   "%s: no permission to make a socket in that directory", path);
	case -EROFS:
		return sfront_fail(err, error,
				   "%s: that file system is read-only; /run is where sockets go",
				   path);
	default:
		return sfront_fail(err, error, "%s: no socket can be made there: %s", path,
				   strerror(-error));
	}
}

static int refuse_access(const char *path, const char *option, int error, const char *remedy,
			 struct sfront_error *err)
{
	return sfront_fail(err, error, "%s: %s cannot be set: %s%s", path, option, strerror(-error),
			   error == -EPERM ? remedy : "");
}

/* Gives the file that is open as @file_fd away, if it is not the right one's already. */
static int set_owner(int file_fd, const char *path, const struct sfront_access *access,
		     const struct stat *st, struct sfront_error *err)
{
	if (access->gid != AS_IT_IS && access->gid != st->st_gid &&
	    fchownat(file_fd, "", AS_IT_IS, access->gid, AT_EMPTY_PATH) < 0)
		return refuse_access(path, "unix-listen-gid", -errno,
				     " (without CAP_CHOWN, only to a group that the process is in: "
				     "SupplementaryGroups= in a systemd unit; a unit's "
				     "SystemCallFilter= must allow @chown)",
				     err);
	if (access->uid != AS_IT_IS && access->uid != st->st_uid &&
	    fchownat(file_fd, "", access->uid, AS_IT_IS, AT_EMPTY_PATH) < 0)
		return refuse_access(
			path, "unix-listen-uid", -errno,
			" (it takes CAP_CHOWN, or a process that runs as that user: "
			"User= in a systemd unit; a unit's SystemCallFilter= must allow "
			"@chown)",
			err);
	return 0;
}

/* chmod() of an open file, where fchmod() does not take its descriptor. */
static int change_mode(int file_fd, mode_t mode)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", file_fd);
	if (chmod(self, mode) == 0)
		return 0;
	if (errno != ENOENT && errno != ENOTDIR)
		return -errno;
	return syscall(SYS_fchmodat2, file_fd, "", mode, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* The socket file is open as @file_fd, whatever happens to its name. */
static int set_access(int file_fd, const char *path, const struct sfront_access *access,
		      struct sfront_error *err)
{
	struct stat st;
	int r;

	if (fstat(file_fd, &st) < 0)
		return refuse_bind(path, -errno, err);
	r = set_owner(file_fd, path, access, &st, err);
	if (r < 0 || access->mode == AS_IT_IS || access->mode == (st.st_mode & 07777))
		return r;
	r = change_mode(file_fd, access->mode);
	if (r == -ENOSYS)
		return sfront_fail(err, r,
				   "%s: unix-listen-chmod cannot be set: it takes /proc to be "
				   "mounted, or Linux 6.6 or later",
				   path);
	return r < 0 ? refuse_access(path, "unix-listen-chmod", r, "", err) : 0;
}

static struct sfront_access access_asked(const struct sfront_options *options)
{
	struct sfront_access access = { AS_IT_IS, AS_IT_IS, AS_IT_IS };

	if (sfront_option_given(options, OPTION_UNIX_MODE))
		access.mode = (mode_t)options->unix_mode;
	if (sfront_option_given(options, OPTION_UNIX_UID))
		access.uid = options->unix_uid;
	if (sfront_option_given(options, OPTION_UNIX_GID))
		access.gid = options->unix_gid;
	return access;
}

/* Remembers what was bound, and what of its access is not due to an option. */
static void note_file(struct sfront_socket *socket, const struct stat *st,
		      const struct sfront_options *options)
{
	struct sfront_access asked = access_asked(options);

	socket->path.dev = st->st_dev;
	socket->path.ino = st->st_ino;
	socket->path.made = (struct sfront_access){
		.mode = asked.mode == AS_IT_IS ? st->st_mode & 07777 : AS_IT_IS,
		.uid = asked.uid == AS_IT_IS ? st->st_uid : AS_IT_IS,
		.gid = asked.gid == AS_IT_IS ? st->st_gid : AS_IT_IS,
	};
}

/* Whether @st is of the socket that was bound. */
static bool is_bound_file(const struct sfront_socket *socket, const struct stat *st)
{
	return S_ISSOCK(st->st_mode) && st->st_dev == socket->path.dev &&
	       st->st_ino == socket->path.ino;
}

static const char *leaf_of(const struct sfront_socket *socket)
{
	return sfront_place_leaf(socket->local.sa.un.sun_path);
}

static int remove_bound(const struct sfront_socket *socket)
{
	return sfront_place_remove(socket->path.dir_fd, leaf_of(socket), socket->path.dev,
				   socket->path.ino);
}

/*
 * A file that has the right name, and may be another if the directory was
 * replaced while the socket was bound.  It was not there just before; if it is
 * of this user, and the path leads to it, it was made here.
 */
static bool is_plausible(const struct sfront_place *place, const struct stat *st)
{
	return st->st_uid == geteuid() && st->st_nlink == 1 &&
	       sfront_place_is(place, place->addr.sa.un.sun_path);
}

/* The file cannot be opened: removes it all the same, if that can be told without. */
static void remove_unopened(const struct sfront_place *place)
{
	struct stat st;

	if (fstatat(place->dir_fd, place->leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    is_plausible(place, &st))
		sfront_place_remove(place->dir_fd, place->leaf, st.st_dev, st.st_ino);
}

/* The socket was bound in another directory, which is at the path now: removes it from there. */
static void remove_astray(const struct sfront_place *place, const struct stat *made)
{
	struct sfront_place now;

	if (sfront_place_open(&now, place->addr.sa.un.sun_path, place->options, NULL) < 0)
		return;
	sfront_place_remove(now.dir_fd, now.leaf, made->st_dev, made->st_ino);
	sfront_place_close(&now);
}

/*
 * Opens the file that @fd was bound to.  The kernel has it, and gives it to
 * whoever has CAP_NET_ADMIN; else there is its name.
 */
static int open_bound(int fd, const struct sfront_place *place, struct stat *ret,
		      struct sfront_error *err)
{
	int file_fd = ioctl(fd, SIOCUNIXFILE), r;
	bool by_name = file_fd < 0;
	struct stat named = { .st_ino = 0 };

	if (by_name)
		file_fd = openat(place->dir_fd, place->leaf, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (file_fd < 0 || fstat(file_fd, ret) < 0 ||
	    (fstatat(place->dir_fd, place->leaf, &named, AT_SYMLINK_NOFOLLOW) < 0 &&
	     errno != ENOENT)) {
		r = refuse_bind(place->path, -errno, err);
		remove_unopened(place);
		goto fail;
	}
	if (S_ISSOCK(ret->st_mode) && ret->st_dev == named.st_dev && ret->st_ino == named.st_ino &&
	    (!by_name || is_plausible(place, ret)))
		return file_fd;
	r = sfront_fail(err, -EBUSY,
			"%s: another process replaced the directory, or the socket that was just "
			"made in it",
			place->path);
	if (!by_name)
		remove_astray(place, ret);

fail:
	if (file_fd >= 0)
		close(file_fd);
	return r;
}

/* Remembers what was bound, and gives it its owner and mode, by its descriptor alone. */
static int finish_file(const struct sfront_place *place, struct sfront_socket *socket,
		       struct sfront_error *err)
{
	struct sfront_access access = access_asked(place->options);
	struct stat st = { .st_ino = 0 };
	int file_fd, r;

	file_fd = open_bound(socket->fd, place, &st, err);
	if (file_fd < 0)
		return file_fd;
	note_file(socket, &st, place->options);
	r = set_access(file_fd, place->path, &access, err);
	close(file_fd);
	if (r < 0)
		remove_bound(socket);
	return r;
}

/* Nobody can connect before the last step. */
static int start_listening(const struct sfront_place *place, const struct sfront_socket *socket,
			   struct sfront_error *err)
{
	struct stat st;
	int r;

	if (listen(socket->fd, sfront_socket_backlog(place->path, place->options)) < 0) {
		r = sfront_fail(err, -errno, "%s: cannot listen: %s", place->path, strerror(errno));
		goto fail;
	}
	/* Without the lock it may have been taken for a dead one up to now. */
	if (place->locked || (fstatat(place->dir_fd, place->leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			      is_bound_file(socket, &st)))
		return 0;
	r = refuse_bind(place->path, -EADDRINUSE, err);

fail:
	remove_bound(socket);
	return r;
}

/* Options, bind, owner, mode, listen. */
static int listen_on_path(struct sfront_place *place, struct sfront_socket *socket,
			  struct sfront_error *err)
{
	const struct sfront_options *options = place->options;
	int r;

	/* The umask can only take away from this, so that the file is never too open. */
	if (sfront_option_given(options, OPTION_UNIX_MODE) &&
	    fchmod(socket->fd, (mode_t)options->unix_mode) < 0)
		return refuse_access(place->path, "unix-listen-chmod", -errno, "", err);

	r = sfront_socket_apply(socket->fd, socket->target, place->path, options, err);
	if (r == 0)
		r = sfront_place_clear(place, err);
	if (r < 0)
		return r;
	if (bind(socket->fd, &place->addr.sa.any, place->addr.len) < 0)
		return refuse_bind(place->path, -errno, err);
	r = finish_file(place, socket, err);
	return r < 0 ? r : start_listening(place, socket, err);
}

/* Fills @ret, but for its buffer; it owns the directory of @place from then on. */
static int make_socket(struct sfront_place *place, struct sfront_socket *ret,
		       struct sfront_error *err)
{
	int r;

	*ret = (struct sfront_socket){
		.class = &sfront_unix_class,
		.target = OWN(KIND_PATH),
		.stream = SFRONT_STREAM_UNIX,
		.send_buffer = place->options->send_buffer,
		.local = place->addr,
		.path.dir_fd = place->dir_fd,
		.fd = stream_socket(),
		.text = ret->text,
	};
	if (ret->fd < 0)
		return refuse_bind(place->path, ret->fd, err);
	snprintf(ret->text, SFRONT_ADDRESS_TEXT_SIZE, "%s", place->path);
	r = listen_on_path(place, ret, err);
	if (r < 0)
		close(ret->fd);
	return r;
}

static int unix_open(struct sfront_listener *listener, const struct sfront_address *address,
		     const struct sfront_options *options, struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_socket socket = { .text = text };
	struct sfront_place place;
	int r;

	r = sfront_place_open(&place, address->u.local.name, options, err);
	if (r < 0)
		return r;
	sfront_place_lock(&place);
	r = make_socket(&place, &socket, err);
	if (r < 0)
		goto fail;
	r = sfront_listener_add(listener, &socket, err);
	if (r < 0) {
		remove_bound(&socket);
		close(socket.fd);
		goto fail;
	}
	sfront_place_unlock(&place);
	return 0;

fail:
	sfront_place_close(&place);
	return r;
}

/*
 * While the socket is open its inode cannot be used again, so that the same
 * number is the same file; and it still answers, so that nobody else removes it.
 * So the lock is not waited for: anybody who may open the directory could keep
 * it, and the one who closes may have other things to do.
 */
static void unix_close(struct sfront_socket *socket)
{
	bool locked = flock(socket->path.dir_fd, LOCK_EX | LOCK_NB) == 0;

	remove_bound(socket);
	if (locked)
		flock(socket->path.dir_fd, LOCK_UN);
	close(socket->fd);
	close(socket->path.dir_fd);
}

/* The path goes with the socket: the one who has that may remove it. */
static int unix_release(struct sfront_socket *socket)
{
	close(socket->path.dir_fd);
	return socket->fd;
}

/* Whether the path that was bound, as clients look for it, is still that socket. */
static int unix_check(const struct sfront_socket *socket)
{
	return sfront_socket_verify_path(socket, socket->local.sa.un.sun_path);
}

/* The path as it was typed may go through links that the one that was bound does not. */
static int unix_verify(const struct sfront_socket *socket, const struct sfront_address *address,
		       const struct sfront_options *options, struct sfront_error *err)
{
	(void)options;
	return sfront_socket_explain_path(socket, address->u.local.name, err);
}

static int unix_remove_path(const struct sfront_socket *socket)
{
	int r = remove_bound(socket);

	return r == -EBUSY ? -ESTALE : r;
}

static int find_file(const struct sfront_place *place, struct stat *ret, struct sfront_error *err)
{
	if (fstatat(place->dir_fd, place->leaf, ret, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return sfront_fail(err, -ESTALE,
					   "%s: the path is gone: nobody can connect to the socket "
					   "that was passed on",
					   place->path);
		return sfront_fail(err, -errno, "%s: the path cannot be looked at: %s", place->path,
				   strerror(errno));
	}
	if (!S_ISSOCK(ret->st_mode))
		return sfront_fail(err, -ESTALE,
				   "%s: %s is where the socket that was passed on was bound",
				   place->path, sfront_place_type(ret->st_mode));
	return 0;
}

/* Whether a socket with that name was bound to the path as it was typed, or made absolute. */
static bool is_bound_to(const struct sfront_sockaddr *bound, const char *path)
{
	const char *name = bound->sa.un.sun_path;

	return bound->len > offsetof(struct sockaddr_un, sun_path) && name[0] != '\0' &&
	       (strcmp(name, path) == 0 ||
		(name[0] == '/' && path[0] != '/' &&
		 strcmp(sfront_place_leaf(name), sfront_place_leaf(path)) == 0));
}

static int unix_adopt(struct sfront_socket *socket, const struct sfront_address *address,
		      const struct sfront_options *options, struct sfront_error *err)
{
	const char *path = address->u.local.name, *bound = socket->local.sa.un.sun_path;
	struct sfront_place place;
	struct stat st;
	int r;

	if (socket->local.sa.any.sa_family != AF_UNIX || !is_bound_to(&socket->local, path))
		return -EINVAL;
	r = sfront_place_open(&place, path, options, err);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? -ESTALE : r;
	r = strcmp(bound, path) == 0 || sfront_place_is(&place, bound) ? 0 : -EINVAL;
	if (r == 0)
		r = find_file(&place, &st, err);
	if (r < 0) {
		sfront_place_close(&place);
		return r;
	}
	socket->path.dir_fd = place.dir_fd;
	note_file(socket, &st, options);
	snprintf(socket->text, SFRONT_ADDRESS_TEXT_SIZE, "%s", path);
	return 0;
}

/* What a path leads to can be another file in every mount namespace: it is the name that counts. */
static bool unix_fits(const struct sfront_socket *socket, const struct sfront_address *address,
		      const struct sfront_options *options)
{
	const char *path = address->u.local.name, *bound = socket->local.sa.un.sun_path;
	struct sfront_place place;
	bool is_there;

	if (!(KINDS_OF(socket->target) & KIND_PATH) || bound[0] != '/' ||
	    strcmp(sfront_place_leaf(bound), sfront_place_leaf(path)) != 0)
		return false;
	if (strcmp(bound, path) == 0)
		return true;
	if (sfront_place_open(&place, path, options, NULL) < 0)
		return false;
	is_there = sfront_place_is(&place, bound);
	sfront_place_close(&place);
	return is_there;
}

/* What an option that differs asks for; what was made, where it asks no more. */
static uint32_t wanted(const struct sfront_socket *socket, enum sfront_option_id option,
		       uint32_t asked, uint32_t made, const struct sfront_options *from,
		       const struct sfront_options *to)
{
	if (!sfront_option_differs(option, from, to))
		return AS_IT_IS;
	if (sfront_option_given(to, option))
		return asked;
	if (made == AS_IT_IS)
		sfront_warn(to,
			    "%s: what the path had without %s is not known; it comes back after a "
			    "restart",
			    socket->text, sfront_option_name(option));
	return made;
}

static struct sfront_access access_wanted(const struct sfront_socket *socket,
					  const struct sfront_options *from,
					  const struct sfront_options *to)
{
	const struct sfront_access asked = access_asked(to), *made = &socket->path.made;

	return (struct sfront_access){
		.mode = wanted(socket, OPTION_UNIX_MODE, asked.mode, made->mode, from, to),
		.uid = wanted(socket, OPTION_UNIX_UID, asked.uid, made->uid, from, to),
		.gid = wanted(socket, OPTION_UNIX_GID, asked.gid, made->gid, from, to),
	};
}

/* Sets what differs on the file that is open as @file_fd, if that is ours. */
static int update_file(int file_fd, const struct sfront_socket *socket,
		       const struct sfront_access *access, const struct sfront_options *to,
		       struct sfront_error *err)
{
	struct stat st;

	if (fstat(file_fd, &st) < 0 || !is_bound_file(socket, &st)) {
		sfront_warn(to, "%s: mode and owner stay: something else is at the path now",
			    socket->text);
		return 0;
	}
	return set_access(file_fd, socket->text, access, err);
}

static int unix_update(struct sfront_socket *socket, const struct sfront_options *from,
		       const struct sfront_options *to, struct sfront_error *err)
{
	const struct sfront_access access = access_wanted(socket, from, to);
	int fd, r;

	if (access.mode == AS_IT_IS && access.uid == AS_IT_IS && access.gid == AS_IT_IS)
		return 0;
	fd = openat(socket->path.dir_fd, leaf_of(socket), O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		sfront_warn(to, "%s: mode and owner stay: the path is gone", socket->text);
		return 0;
	}
	if (fd < 0)
		return sfront_fail(err, -errno, "%s: mode and owner cannot be set: %s",
				   socket->text, strerror(errno));
	r = update_file(fd, socket, &access, to, err);
	close(fd);
	return r;
}

const struct sfront_class sfront_unix_class = {
	.name = "unix",
	.open = unix_open,
	.accept = sfront_socket_accept,
	.close = unix_close,
	.release = unix_release,
	.adopt = unix_adopt,
	.fits = unix_fits,
	.update = unix_update,
	.check = unix_check,
	.verify = unix_verify,
	.remove_path = unix_remove_path,
};

static void fill_abstract(const struct sfront_address *address, struct sfront_sockaddr *ret)
{
	size_t len = strlen(address->u.local.name);

	*ret = (struct sfront_sockaddr){
		.sa.un.sun_family = AF_UNIX,
		.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len),
	};
	memcpy(ret->sa.un.sun_path + 1, address->u.local.name, len);
}

static int abstract_listen(struct sfront_socket *socket, const struct sfront_options *options,
			   struct sfront_error *err)
{
	int r;

	r = sfront_socket_apply(socket->fd, socket->target, socket->text, options, err);
	if (r < 0)
		return r;
	if (bind(socket->fd, &socket->local.sa.any, socket->local.len) == 0 &&
	    listen(socket->fd, sfront_socket_backlog(socket->text, options)) == 0)
		return 0;
	r = -errno;
	if (r == -EADDRINUSE)
		return sfront_fail(err, r, "%s: another socket has that name already",
				   socket->text);
	return sfront_fail(err, r, "%s: cannot listen: %s", socket->text, strerror(-r));
}

static int abstract_open(struct sfront_listener *listener, const struct sfront_address *address,
			 const struct sfront_options *options, struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_socket socket = {
		.class = &sfront_abstract_class,
		.text = text,
		.target = OWN(KIND_ABSTRACT),
		.stream = SFRONT_STREAM_UNIX,
		.send_buffer = options->send_buffer,
	};
	int r;

	fill_abstract(address, &socket.local);
	sfront_sockaddr_format(&socket.local, text, sizeof(text));
	socket.fd = stream_socket();
	if (socket.fd < 0)
		return sfront_fail(err, socket.fd, "%s: no socket can be made: %s", socket.text,
				   strerror(-socket.fd));

	r = abstract_listen(&socket, options, err);
	if (r == 0)
		r = sfront_listener_add(listener, &socket, err);
	if (r < 0)
		close(socket.fd);
	return r;
}

static bool abstract_fits(const struct sfront_socket *socket, const struct sfront_address *address,
			  const struct sfront_options *options)
{
	struct sfront_sockaddr wanted_name;

	(void)options;
	fill_abstract(address, &wanted_name);
	return sfront_sockaddr_equal(&wanted_name, &socket->local);
}

static int abstract_adopt(struct sfront_socket *socket, const struct sfront_address *address,
			  const struct sfront_options *options, struct sfront_error *err)
{
	(void)err;
	if (!abstract_fits(socket, address, options))
		return -EINVAL;
	sfront_sockaddr_format(&socket->local, socket->text, SFRONT_ADDRESS_TEXT_SIZE);
	return 0;
}

const struct sfront_class sfront_abstract_class = {
	.name = "abstract",
	.open = abstract_open,
	.accept = sfront_socket_accept,
	.close = sfront_socket_close,
	.release = sfront_socket_release,
	.adopt = abstract_adopt,
	.fits = abstract_fits,
};
