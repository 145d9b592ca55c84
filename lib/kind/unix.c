/* SPDX-License-Identifier: MIT */
/*
 * Listening UNIX sockets: /path and @name.
 *
 * A path is shared with whoever else wants it.  Everybody who follows the rules
 * here holds flock() on the parent directory from bind() to listen(), and while
 * a path is removed, so that a socket which refuses connections under the lock
 * is dead, and not one that is about to listen.  There is no lock file to be
 * left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/internal.h"

#define LOCK_WAIT_MS 5000
#define LOCK_POLL_MS 20

/* In a struct sfront_access, of a file that is to be changed. */
#define AS_IT_IS UINT32_MAX
_Static_assert(sizeof(mode_t) == 4 && sizeof(uid_t) == 4 && sizeof(gid_t) == 4,
	       "mode, user and group have room for -1");

/* A path while it is being opened. */
struct place {
	struct sfront_sockaddr addr;
	const char *path; /* in .addr */
	const char *leaf; /* the same without its directory */
	int dir_fd;       /* owned */
	bool locked;
	const struct sfront_options *options;
};

static void fill(const struct sfront_address *address, struct sfront_sockaddr *ret)
{
	bool abstract = address->kind == SFRONT_ABSTRACT;
	size_t len = strlen(address->u.local.name);

	*ret = (struct sfront_sockaddr){
		.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1),
	};
	ret->sa.un.sun_family = AF_UNIX;
	memcpy(ret->sa.un.sun_path + abstract, address->u.local.name, len);
}

static int stream_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	return fd;
}

/* The directory that @path stands in, as text; "." is one too. */
static void directory_of(const char *path, const char *leaf, char *buf, size_t size)
{
	int len = (int)(leaf - path);

	if (len > 1)
		len--;
	snprintf(buf, size, "%.*s", len ? len : 1, len ? path : ".");
}

static int open_directory(struct place *place, struct sfront_error *err)
{
	char dir[SFRONT_PATH_MAX + 1];

	directory_of(place->path, place->leaf, dir, sizeof(dir));
	place->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place->dir_fd < 0 && (errno == EACCES || errno == EPERM))
		/* Who may not read it cannot lock it, but may bind in it. */
		place->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place->dir_fd >= 0)
		return 0;

	switch (errno) {
	case ENOENT:
		return sfront_fail(err, -ENOENT, "%s: directory %s does not exist", place->path,
				   dir);
	case ENOTDIR:
		return sfront_fail(err, -ENOTDIR, "%s: %s is not a directory", place->path, dir);
	default:
		return sfront_fail(err, -errno, "%s: directory %s cannot be opened: %s",
				   place->path, dir, strerror(errno));
	}
}

/*
 * Waits for the lock, not for ever.  Returns 1 if it is held, 0 where this
 * directory cannot be locked, -EBUSY if somebody else kept it all the time.
 */
static int lock_directory(int dir_fd)
{
	const struct timespec pause = { .tv_nsec = LOCK_POLL_MS * 1000000L };

	for (int waited = 0; waited <= LOCK_WAIT_MS; waited += LOCK_POLL_MS) {
		if (flock(dir_fd, LOCK_EX | LOCK_NB) == 0)
			return 1;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return 0;
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

static int lock_place(struct place *place, struct sfront_error *err)
{
	char dir[SFRONT_PATH_MAX + 1];
	int r = lock_directory(place->dir_fd);

	if (r < 0) {
		directory_of(place->path, place->leaf, dir, sizeof(dir));
		return sfront_fail(
			err, r,
			"%s: another process has kept directory %s locked (flock) for %d "
			"seconds",
			place->path, dir, LOCK_WAIT_MS / 1000);
	}
	place->locked = r;
	return 0;
}

static const char *file_type(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFIFO:
		return "a FIFO";
	default:
		return "a device";
	}
}

/*
 * Whether anything answers on the socket: -ECONNREFUSED says that nothing does,
 * 0 that something does, another error that nobody can tell.
 */
static int probe(const struct place *place)
{
	int fd = stream_socket(), r = 0;

	if (fd < 0)
		return fd;
	if (connect(fd, &place->addr.sa.any, place->addr.len) < 0)
		r = -errno;
	close(fd);
	/* A full backlog, or a socket of another type, is somebody's all the same. */
	return r == -EAGAIN || r == -EINPROGRESS || r == -EPROTOTYPE ? 0 : r;
}

/* Removes the socket file @leaf if it is still the one with that device and inode number. */
static int remove_if_same(int dir_fd, const char *leaf, dev_t dev, ino_t ino)
{
	struct stat now;

	if (fstatat(dir_fd, leaf, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISSOCK(now.st_mode) || now.st_dev != dev || now.st_ino != ino)
		return -EBUSY;
	return unlinkat(dir_fd, leaf, 0) < 0 ? -errno : 0;
}

static int refuse_dead(const struct place *place, int error, struct sfront_error *err)
{
	if (error == -EBUSY)
		return sfront_fail(err, -EADDRINUSE, "%s: another process took the path just now",
				   place->path);
	return sfront_fail(err, error, "%s: the dead socket there cannot be removed: %s",
			   place->path, strerror(-error));
}

/*
 * Something is at the path.  Removes it if it is a dead socket and the user
 * wants that.  Returns 0 if the path is free now.
 */
static int make_room(const struct place *place, struct sfront_error *err)
{
	bool wanted = place->options->unix_unlink;
	struct stat st;
	int r;

	if (fstatat(place->dir_fd, place->leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : refuse_dead(place, -errno, err);
	if (!S_ISSOCK(st.st_mode))
		return sfront_fail(
			err, -EADDRINUSE,
			"%s: %s is in the way, and unix-listen-unlink removes dead sockets "
			"only",
			place->path, file_type(st.st_mode));

	r = probe(place);
	if (r == 0)
		return sfront_fail(err, -EADDRINUSE, "%s: somebody listens there already%s",
				   place->path,
				   wanted ? ""
					  : " (unix-listen-unlink removes a socket only once "
					    "nothing answers on it)");
	if (r != -ECONNREFUSED)
		return sfront_fail(
			err, -EADDRINUSE,
			"%s: a socket is in the way; whether anything answers on it, and "
			"unix-listen-unlink may remove it, cannot be told: %s",
			place->path, strerror(-r));
	if (!wanted)
		return sfront_fail(err, -EADDRINUSE,
				   "%s: a dead socket is in the way, left by a process that ended; "
				   "unix-listen-unlink removes it",
				   place->path);

	r = remove_if_same(place->dir_fd, place->leaf, st.st_dev, st.st_ino);
	return r < 0 && r != -ENOENT ? refuse_dead(place, r, err) : 0;
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

static int bind_path(int fd, const struct place *place, struct sfront_error *err)
{
	int r;

	if (bind(fd, &place->addr.sa.any, place->addr.len) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return refuse_bind(place->path, -errno, err);

	r = make_room(place, err);
	if (r < 0)
		return r;
	if (bind(fd, &place->addr.sa.any, place->addr.len) < 0)
		return refuse_bind(place->path, -errno, err);
	return 0;
}

/* The socket file is open as @file_fd, whatever happens to its name. */
static int set_access(int file_fd, const char *path, const struct sfront_access *access,
		      struct sfront_error *err)
{
	char self[64];

	if ((access->uid != AS_IT_IS || access->gid != AS_IT_IS) &&
	    fchownat(file_fd, "", access->uid, access->gid, AT_EMPTY_PATH) < 0)
		return sfront_fail(err, -errno,
				   "%s: unix-listen-uid or unix-listen-gid cannot be set: %s (only "
				   "root may give a file away; its group may be any of yours)",
				   path, strerror(errno));

	if (access->mode == AS_IT_IS)
		return 0;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", file_fd);
	if (chmod(self, access->mode) < 0)
		return sfront_fail(err, -errno, "%s: unix-listen-chmod cannot be set: %s", path,
				   strerror(errno));
	return 0;
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

/* Remembers what was bound, and gives it its owner and mode, without following links. */
static int claim_file(const struct place *place, struct sfront_socket *socket,
		      struct sfront_error *err)
{
	struct sfront_access access = access_asked(place->options);
	struct stat st;
	int fd, r;

	if (fstatat(place->dir_fd, place->leaf, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		r = refuse_bind(place->path, -errno, err);
		/* Whose it is cannot be told, but nobody else makes one under the lock. */
		if (place->locked)
			unlinkat(place->dir_fd, place->leaf, 0);
		return r;
	}
	note_file(socket, &st, place->options);

	fd = openat(place->dir_fd, place->leaf, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		r = refuse_bind(place->path, -errno, err);
	else if (fstat(fd, &st) < 0 || !is_bound_file(socket, &st))
		r = sfront_fail(err, -EBUSY,
				"%s: another process replaced the socket that was just made",
				place->path);
	else
		r = set_access(fd, place->path, &access, err);
	if (fd >= 0)
		close(fd);
	if (r < 0)
		remove_if_same(place->dir_fd, place->leaf, socket->path.dev, socket->path.ino);
	return r;
}

/* bind, owner, mode, listen: nobody can connect before the last one. */
static int listen_on_path(struct place *place, struct sfront_socket *socket,
			  struct sfront_error *err)
{
	const struct sfront_options *options = place->options;
	int r;

	/* The umask can only take away from this, so that the file is never too open. */
	if (sfront_option_given(options, OPTION_UNIX_MODE) &&
	    fchmod(socket->fd, (mode_t)options->unix_mode) < 0)
		return sfront_fail(err, -errno, "%s: unix-listen-chmod cannot be set: %s",
				   place->path, strerror(errno));

	r = sfront_socket_apply(socket->fd, socket->target, place->path, options, err);
	if (r == 0)
		r = bind_path(socket->fd, place, err);
	if (r == 0)
		r = claim_file(place, socket, err);
	if (r < 0)
		return r;

	if (listen(socket->fd, sfront_socket_backlog(place->path, options)) < 0) {
		r = sfront_fail(err, -errno, "%s: cannot listen: %s", place->path, strerror(errno));
		remove_if_same(place->dir_fd, place->leaf, socket->path.dev, socket->path.ino);
	}
	return r;
}

/* The last component of a path; "" if that ends in a slash. */
static const char *leaf_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int unix_open(struct sfront_listener *listener, const struct sfront_address *address,
		     const struct sfront_options *options, struct sfront_error *err)
{
	struct place place = { .options = options, .dir_fd = -1 };
	struct sfront_socket socket = {
		.class = &sfront_unix_class,
		.target = OWN(KIND_PATH),
		.stream = SFRONT_STREAM_UNIX,
		.send_buffer = options->send_buffer,
		.fd = -1,
	};
	int r;

	fill(address, &place.addr);
	place.path = place.addr.sa.un.sun_path;
	place.leaf = leaf_of(place.path);
	if (place.leaf[0] == '\0')
		return sfront_fail(err, -EISDIR,
				   "%s: a directory is no place to listen; name a file",
				   place.path);
	r = open_directory(&place, err);
	if (r < 0)
		return r;

	r = lock_place(&place, err);
	if (r < 0)
		goto fail;
	socket.fd = stream_socket();
	if (socket.fd < 0) {
		r = refuse_bind(place.path, socket.fd, err);
		goto fail;
	}
	socket.local = place.addr;
	socket.path.dir_fd = place.dir_fd;
	snprintf(socket.text, sizeof(socket.text), "%s", place.path);
	r = listen_on_path(&place, &socket, err);
	if (r < 0)
		goto fail;
	r = sfront_listener_add(listener, &socket, err);
	if (r < 0) {
		remove_if_same(place.dir_fd, place.leaf, socket.path.dev, socket.path.ino);
		goto fail;
	}
	if (place.locked)
		flock(place.dir_fd, LOCK_UN);
	return 0;

fail:
	if (socket.fd >= 0)
		close(socket.fd);
	close(place.dir_fd);
	return r;
}

/*
 * While the socket is open its inode cannot be used again, so that the same
 * number is the same file; and it still answers, so that nobody else removes it.
 * So the lock is not waited for: anyone who may read the directory could keep
 * it, and whoever closes may have other things to do.
 */
static void unix_close(struct sfront_socket *socket)
{
	bool locked = flock(socket->path.dir_fd, LOCK_EX | LOCK_NB) == 0;

	remove_if_same(socket->path.dir_fd, leaf_of(socket->local.sa.un.sun_path), socket->path.dev,
		       socket->path.ino);
	if (locked)
		flock(socket->path.dir_fd, LOCK_UN);
	close(socket->fd);
	close(socket->path.dir_fd);
}

/* The path goes with the socket: whoever has that may remove it. */
static int unix_release(struct sfront_socket *socket)
{
	close(socket->path.dir_fd);
	return socket->fd;
}

/* Whether the path is still what was bound. */
static int unix_check(const struct sfront_socket *socket)
{
	struct stat st;

	if (fstatat(socket->path.dir_fd, leaf_of(socket->local.sa.un.sun_path), &st,
		    AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return is_bound_file(socket, &st) ? 0 : -ESTALE;
}

static int find_file(const struct place *place, struct stat *ret, struct sfront_error *err)
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
				   place->path, file_type(ret->st_mode));
	return 0;
}

static int unix_adopt(struct sfront_socket *socket, const struct sfront_address *address,
		      const struct sfront_options *options, struct sfront_error *err)
{
	struct place place = { .dir_fd = -1 };
	struct stat st;
	int r;

	fill(address, &place.addr);
	if (!sfront_sockaddr_equal(&place.addr, &socket->local))
		return -EINVAL;
	place.path = place.addr.sa.un.sun_path;
	place.leaf = leaf_of(place.path);
	r = open_directory(&place, err);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? -ESTALE : r;
	r = find_file(&place, &st, err);
	if (r < 0) {
		close(place.dir_fd);
		return r;
	}
	socket->local = place.addr;
	socket->path.dir_fd = place.dir_fd;
	note_file(socket, &st, options);
	snprintf(socket->text, sizeof(socket->text), "%s", place.path);
	return 0;
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
static int update_file(int file_fd, const struct sfront_socket *socket, struct sfront_access access,
		       const struct sfront_options *to, struct sfront_error *err)
{
	struct stat st;

	if (fstat(file_fd, &st) < 0 || !is_bound_file(socket, &st)) {
		sfront_warn(to, "%s: mode and owner stay: something else is at the path now",
			    socket->text);
		return 0;
	}
	/* Who may not change what is as it should be need not. */
	if (access.mode == (st.st_mode & 07777))
		access.mode = AS_IT_IS;
	if (access.uid == st.st_uid)
		access.uid = AS_IT_IS;
	if (access.gid == st.st_gid)
		access.gid = AS_IT_IS;
	return set_access(file_fd, socket->text, &access, err);
}

static int unix_update(struct sfront_socket *socket, const struct sfront_options *from,
		       const struct sfront_options *to, struct sfront_error *err)
{
	const struct sfront_access access = access_wanted(socket, from, to);
	int fd, r;

	if (access.mode == AS_IT_IS && access.uid == AS_IT_IS && access.gid == AS_IT_IS)
		return 0;
	fd = openat(socket->path.dir_fd, leaf_of(socket->local.sa.un.sun_path),
		    O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		sfront_warn(to, "%s: mode and owner stay: the path is gone", socket->text);
		return 0;
	}
	if (fd < 0)
		return sfront_fail(err, -errno, "%s: mode and owner cannot be set: %s",
				   socket->text, strerror(errno));
	r = update_file(fd, socket, access, to, err);
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
	.update = unix_update,
	.check = unix_check,
};

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
	struct sfront_socket socket = {
		.class = &sfront_abstract_class,
		.target = OWN(KIND_ABSTRACT),
		.stream = SFRONT_STREAM_UNIX,
		.send_buffer = options->send_buffer,
	};
	int r;

	fill(address, &socket.local);
	sfront_sockaddr_format(&socket.local, socket.text, sizeof(socket.text));
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

static int abstract_adopt(struct sfront_socket *socket, const struct sfront_address *address,
			  const struct sfront_options *options, struct sfront_error *err)
{
	struct sfront_sockaddr wanted_name;

	(void)options;
	(void)err;
	fill(address, &wanted_name);
	if (!sfront_sockaddr_equal(&wanted_name, &socket->local))
		return -EINVAL;
	sfront_sockaddr_format(&socket->local, socket->text, sizeof(socket->text));
	return 0;
}

const struct sfront_class sfront_abstract_class = {
	.name = "abstract",
	.open = abstract_open,
	.accept = sfront_socket_accept,
	.close = sfront_socket_close,
	.release = sfront_socket_release,
	.adopt = abstract_adopt,
};
