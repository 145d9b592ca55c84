/* SPDX-License-Identifier: MIT */
/*
 * The file of the access log: see access_file.h.  Its bytes are log_sink.c's.
 */
#include "daemon/session/access_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sockfront/listener.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/log_sink.h"

#define FLAGS (O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define MODE  0640

/* How often it is looked whether the path is still that file. */
#define LOOK_MS 1000

static void say_lost(unsigned int lost)
{
	log_line(LOG_WARNING,
		 "%u line(s) of the access log were lost: the file did not take them; now it does",
		 lost);
}

struct opened {
	char path[PATH_MAX]; /* empty: there is none */
	int fd;
	dev_t device;
	ino_t inode;
};

static struct opened next = { .fd = -1 };
static struct log_sink sink = { LOG_SINK_INIT, .fd = -1, .say_lost = say_lost };

static struct {
	pthread_mutex_t lock; /* before that of the sink */
	atomic_bool is_open;
	struct opened now; /* its descriptor is the sink's */
	uint64_t look_ms;  /* when to look at the path */
	bool is_missing;   /* there was nothing at the path when that was looked at */
	bool is_losing;    /* the last line was lost, which was said */
} file = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- opened ---- */

/* Whoever rotates it gives the new one a mode of its own; ours does not depend on the umask. */
static int create(const char *path)
{
	int fd = open(path, FLAGS | O_CREAT | O_EXCL, MODE);

	if (fd >= 0)
		(void)fchmod(fd, MODE);
	return fd;
}

/* Somebody else may create or remove it in between. */
static int open_or_create(const char *path)
{
	int fd = -1;

	for (int tries = 0; fd < 0 && tries < 3; tries++) {
		fd = open(path, FLAGS);
		if (fd >= 0 || errno != ENOENT)
			break;
		fd = create(path);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	return fd < 0 ? -errno : fd;
}

static bool is_fit(const struct stat *st)
{
	return S_ISREG(st->st_mode) || (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3));
}

static int refuse(const char *path, int error, struct sfront_error *err)
{
	const char *why = strerror(-error);

	if (error == -ELOOP)
		why = "it is a symbolic link, and none is followed";
	else if (error == -ENXIO)
		why = "it is no regular file";
	snprintf(err->message, sizeof(err->message), "access-log-file %.300s: %s", path, why);
	return error;
}

/* @opened: its path is there */
static int open_file(struct opened *opened, struct sfront_error *err)
{
	int fd = open_or_create(opened->path);
	struct stat st;

	if (fd < 0)
		return refuse(opened->path, fd, err);
	if (fstat(fd, &st) < 0 || !is_fit(&st)) {
		close(fd);
		return refuse(opened->path, -ENXIO, err);
	}
	opened->fd = fd;
	opened->device = st.st_dev;
	opened->inode = st.st_ino;
	return 0;
}

int access_file_prepare(const char *path, struct sfront_error *err)
{
	strcpy(next.path, path);
	return *path ? open_file(&next, err) : 0;
}

/* ---- in use, under the lock ---- */

static void use(const struct opened *opened)
{
	file.now = *opened;
	file.is_missing = false;
	file.look_ms = clock_ms() + LOOK_MS;
	log_sink_set_file(&sink, opened->fd);
	atomic_store(&file.is_open, *opened->path != '\0');
}

void access_file_commit(void)
{
	pthread_mutex_lock(&file.lock);
	use(&next);
	pthread_mutex_unlock(&file.lock);
	next.fd = -1;
}

void access_file_discard(void)
{
	if (next.fd >= 0)
		close(next.fd);
	next.fd = -1;
}

/* What cannot be opened again is written to as before. */
static bool open_again(void)
{
	static struct log_limit limit;
	struct opened again = file.now;
	struct sfront_error err;
	unsigned int dropped;

	if (open_file(&again, &err) == 0) {
		use(&again);
		return true;
	}
	if (log_limit_passes(&limit, &dropped))
		log_line(LOG_ERR, "%s; its lines go on into the file that was there", err.message);
	return false;
}

/*
 * One that is missing may be about to be created by whoever moved it away: that is waited for
 * until the next look.
 */
static bool is_another(void)
{
	struct stat st;

	if (lstat(file.now.path, &st) == 0) {
		file.is_missing = false;
		return st.st_dev != file.now.device || st.st_ino != file.now.inode;
	}
	if (errno != ENOENT || file.is_missing)
		return errno == ENOENT;
	file.is_missing = true;
	return false;
}

static void look(void)
{
	uint64_t now = clock_ms();

	if (now < file.look_ms)
		return;
	file.look_ms = now + LOOK_MS;
	if (is_another())
		(void)open_again();
}

static void append(const char *line, size_t len)
{
	bool is_written = log_sink_write(&sink, line, len);

	if (!is_written && !file.is_losing)
		log_line(LOG_ERR, "access-log-file %s: lines are lost: %s", file.now.path,
			 strerror(sink.error));
	file.is_losing = !is_written;
}

/* ---- any thread ---- */

bool access_file_is_open(void)
{
	return atomic_load_explicit(&file.is_open, memory_order_relaxed);
}

bool access_file_write(const char *line, size_t len)
{
	bool is_open;

	pthread_mutex_lock(&file.lock);
	is_open = access_file_is_open();
	if (is_open) {
		look();
		append(line, len);
	}
	pthread_mutex_unlock(&file.lock);
	return is_open;
}

bool access_file_reopen(void)
{
	bool is_open;

	pthread_mutex_lock(&file.lock);
	is_open = access_file_is_open();
	if (is_open && open_again())
		log_line(LOG_NOTICE, "access-log-file %s: opened again", file.now.path);
	pthread_mutex_unlock(&file.lock);
	return is_open;
}
