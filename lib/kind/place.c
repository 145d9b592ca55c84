/* SPDX-License-Identifier: MIT */
/*
 * Directories that UNIX paths are in, and what is in the way there.
 *
 * A path is shared with everybody else who wants it.  Whoever follows the rules
 * here holds flock() on the directory from bind() to listen(), and while a dead
 * socket is removed, so that one which refuses connections under the lock is
 * dead and not about to listen.  There is no lock file to be left behind.
 *
 * Others can hold that lock too, for as long as they like.  So nothing depends
 * on it: a free path is bound at once, with the lock or without; it is waited
 * for where a dead socket is in the way, and that is removed without it once it
 * is older than any socket that is about to listen.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "lib/kind/place.h"

#define LOCK_WAIT_MS 500
#define LOCK_POLL_MS 20

/* Between bind() and listen() of whoever does the same as this file, with much to spare. */
#define LISTENS_WITHIN_S 2

#define HOLDER_SIZE 64

const char *sfront_place_leaf(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The directory that @path is in, as text; "." is one too. */
static void directory_of(const char *path, char *buf, size_t size)
{
	int len = (int)(sfront_place_leaf(path) - path);

	if (len > 1)
		len--;
	snprintf(buf, size, "%.*s", len ? len : 1, len ? path : ".");
}

static int open_directory(struct sfront_place *place, struct sfront_error *err)
{
	char dir[SFRONT_PATH_MAX + 1];

	directory_of(place->path, dir, sizeof(dir));
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
 * What to bind: systemd-tmpfiles and others know a live socket by the absolute
 * path that the kernel shows, and remove what they take for an old file.
 */
static void fill_address(struct sfront_place *place)
{
	struct sfront_sockaddr *addr = &place->addr;
	char dir[SFRONT_PATH_MAX + 1], absolute[PATH_MAX];
	const char *path = place->path;
	size_t len;

	if (path[0] != '/') {
		directory_of(path, dir, sizeof(dir));
		len = realpath(dir, absolute) ? strlen(absolute) : sizeof(absolute);
		if (len + 1 + strlen(place->leaf) <= SFRONT_PATH_MAX) {
			snprintf(absolute + len, sizeof(absolute) - len, "%s%s", len > 1 ? "/" : "",
				 place->leaf);
			path = absolute;
		}
	}
	*addr = (struct sfront_sockaddr){ .sa.un.sun_family = AF_UNIX };
	addr->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
	memcpy(addr->sa.un.sun_path, path, strlen(path) + 1);
}

int sfront_place_open(struct sfront_place *place, const char *path,
		      const struct sfront_options *options, struct sfront_error *err)
{
	int r;

	*place = (struct sfront_place){
		.path = path,
		.leaf = sfront_place_leaf(path),
		.options = options,
	};
	if (place->leaf[0] == '\0')
		return sfront_fail(err, -EISDIR,
				   "%s: a directory is no place to listen; name a file", path);
	r = open_directory(place, err);
	if (r == 0)
		fill_address(place);
	return r;
}

void sfront_place_close(struct sfront_place *place)
{
	close(place->dir_fd);
}

bool sfront_place_is(const struct sfront_place *place, const char *path)
{
	char dir[SFRONT_PATH_MAX + 1];
	struct stat there, here;

	directory_of(path, dir, sizeof(dir));
	return strcmp(sfront_place_leaf(path), place->leaf) == 0 &&
	       fstatat(AT_FDCWD, dir, &there, 0) == 0 && fstat(place->dir_fd, &here) == 0 &&
	       there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

void sfront_place_lock(struct sfront_place *place)
{
	place->locked = flock(place->dir_fd, LOCK_EX | LOCK_NB) == 0;
	place->contended = !place->locked && (errno == EWOULDBLOCK || errno == EINTR);
}

void sfront_place_unlock(struct sfront_place *place)
{
	if (place->locked)
		flock(place->dir_fd, LOCK_UN);
	place->locked = false;
}

/* The process that holds flock() on the file, of those in /proc/locks; 0: nobody knows. */
static int find_holder(const struct stat *st)
{
	FILE *file = fopen("/proc/locks", "re");
	char line[256];
	int holder = 0;

	if (!file)
		return 0;
	while (holder <= 0 && fgets(line, sizeof(line), file)) {
		unsigned int major, minor;
		unsigned long long inode;
		int pid;

		if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%llu", &pid, &major, &minor,
			   &inode) == 4 &&
		    inode == st->st_ino && makedev(major, minor) == st->st_dev)
			holder = pid;
	}
	fclose(file);
	return holder > 0 ? holder : 0;
}

/* "process 123 (flock)", or what can be said at all. */
static void name_holder(int dir_fd, char *buf, size_t size)
{
	char path[64], name[32] = "";
	struct stat st;
	FILE *file;
	int pid = fstat(dir_fd, &st) == 0 ? find_holder(&st) : 0;

	if (pid == 0) {
		snprintf(buf, size, "another process");
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (file) {
		if (fgets(name, sizeof(name), file))
			name[strcspn(name, "\n")] = '\0';
		fclose(file);
	}
	snprintf(buf, size, "process %d%s%s%s", pid, name[0] ? " (" : "", name, name[0] ? ")" : "");
}

const char *sfront_place_type(mode_t mode)
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

/* Connects to the socket file that is open as @file_fd; without /proc, by its path. */
static int try_connect(int fd, int file_fd, const struct sfront_place *place)
{
	struct sockaddr_un self = { .sun_family = AF_UNIX };

	snprintf(self.sun_path, sizeof(self.sun_path), "/proc/self/fd/%d", file_fd);
	if (connect(fd, (struct sockaddr *)&self, sizeof(self)) == 0 ||
	    (errno == ENOENT && connect(fd, &place->addr.sa.any, place->addr.len) == 0))
		return 0;
	return -errno;
}

/*
 * Whether anything answers on the socket: -ECONNREFUSED says that nothing does,
 * 0 that something does, another error that nobody can tell.
 */
static int probe(const struct sfront_place *place, int file_fd)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = try_connect(fd, file_fd, place);
	close(fd);
	/* A full backlog, or a socket of another type, is somebody's all the same. */
	return r == -EAGAIN || r == -EINPROGRESS || r == -EPROTOTYPE ? 0 : r;
}

int sfront_place_remove(int dir_fd, const char *leaf, dev_t dev, ino_t ino)
{
	struct stat now;

	if (fstatat(dir_fd, leaf, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISSOCK(now.st_mode) || now.st_dev != dev || now.st_ino != ino)
		return -EBUSY;
	return unlinkat(dir_fd, leaf, 0) < 0 ? -errno : 0;
}

static int refuse_dead(const struct sfront_place *place, int error, struct sfront_error *err)
{
	if (error == -EBUSY)
		return sfront_fail(err, -EADDRINUSE, "%s: another process took the path just now",
				   place->path);
	return sfront_fail(err, error, "%s: the dead socket there cannot be removed: %s",
			   place->path, strerror(-error));
}

/* Whether it may be about to listen. */
static bool is_young(const struct stat *st)
{
	return time(NULL) - st->st_ctime <= LISTENS_WITHIN_S;
}

/* Others have the lock: a socket that nobody answers on is dead once it is old enough. */
static int judge_contended(const struct sfront_place *place, const struct stat *st,
			   struct sfront_error *err)
{
	char dir[SFRONT_PATH_MAX + 1], holder[HOLDER_SIZE];

	directory_of(place->path, dir, sizeof(dir));
	name_holder(place->dir_fd, holder, sizeof(holder));
	if (is_young(st))
		return sfront_fail(
			err, -EADDRINUSE,
			"%s: a socket is there that does not listen, or not yet; to tell "
			"which, directory %s must be locked (flock), and %s keeps it "
			"locked: try again in %d seconds",
			place->path, dir, holder, LISTENS_WITHIN_S + 1);
	sfront_warn(place->options,
		    "%s: the dead socket there is removed although %s keeps directory %s locked "
		    "(flock)",
		    place->path, holder, dir);
	return 0;
}

static int remove_dead(const struct sfront_place *place, const struct stat *st,
		       struct sfront_error *err)
{
	int r = place->contended ? judge_contended(place, st, err) : 0;

	if (r < 0)
		return r;
	r = sfront_place_remove(place->dir_fd, place->leaf, st->st_dev, st->st_ino);
	return r < 0 && r != -ENOENT ? refuse_dead(place, r, err) : 0;
}

/* What is in the way is open as @file_fd.  Returns 0 if it is a dead socket, to be removed. */
static int judge_file(const struct sfront_place *place, int file_fd, struct stat *ret,
		      struct sfront_error *err)
{
	bool wanted = place->options->unix_unlink;
	int r;

	if (fstat(file_fd, ret) < 0)
		return refuse_dead(place, -errno, err);
	if (!S_ISSOCK(ret->st_mode))
		return sfront_fail(
			err, -EADDRINUSE,
			"%s: %s is in the way, and unix-listen-unlink removes dead sockets "
			"only",
			place->path, sfront_place_type(ret->st_mode));

	r = probe(place, file_fd);
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
	return 0;
}

/* For the lock, no longer than it takes; once in any case. */
static void wait_a_moment(struct sfront_place *place)
{
	const struct timespec pause = { .tv_nsec = LOCK_POLL_MS * 1000000L };
	int waited = 0;

	do {
		nanosleep(&pause, NULL);
		if (place->contended)
			sfront_place_lock(place);
		waited += LOCK_POLL_MS;
	} while (place->contended && waited < LOCK_WAIT_MS);
}

/* A young one may have been bound without the lock: it is asked again whether it listens. */
static int clear_file(struct sfront_place *place, int file_fd, struct sfront_error *err)
{
	struct stat st;
	int r = judge_file(place, file_fd, &st, err);

	if (r == 0 && (place->contended || is_young(&st))) {
		wait_a_moment(place);
		r = judge_file(place, file_fd, &st, err);
	}
	return r < 0 ? r : remove_dead(place, &st, err);
}

int sfront_place_clear(struct sfront_place *place, struct sfront_error *err)
{
	int fd = openat(place->dir_fd, place->leaf, O_PATH | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return sfront_fail(err, -errno, "%s: what is there cannot be looked at: %s",
				   place->path, strerror(errno));
	r = clear_file(place, fd, err);
	close(fd);
	return r;
}
