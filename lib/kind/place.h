/* SPDX-License-Identifier: MIT */
/*
 * The place of a UNIX path: the directory, as a descriptor, and the name in it.
 * Whatever happens to the path meanwhile, what is asked and what is done there
 * concern the same directory.  unix.c makes sockets in it.
 */
#ifndef SOCKFRONT_KIND_PLACE_H
#define SOCKFRONT_KIND_PLACE_H

#include <sys/stat.h>

#include "lib/internal.h"

struct sfront_place {
	const char *path; /* as typed; borrowed */
	const char *leaf; /* the same without its directory */
	int dir_fd;       /* owned */
	bool locked;
	bool contended;                       /* somebody else keeps it locked */
	const struct sfront_options *options; /* borrowed */
	struct sfront_sockaddr addr;          /* to bind: absolute where that fits */
};

/* The last component of a path; "" if that ends in a slash. */
const char *sfront_place_leaf(const char *path);

/* Opens the directory of @path.  Returns 0, or a negative errno with @err. */
int sfront_place_open(struct sfront_place *place, const char *path,
		      const struct sfront_options *options, struct sfront_error *err);

/* Closes the directory, and with that gives up the lock. */
void sfront_place_close(struct sfront_place *place);

/* Whether @path leads to the same name in the same directory. */
bool sfront_place_is(const struct sfront_place *place, const char *path);

/*
 * Locks the directory, so that nobody who does the same removes anything from it,
 * if that can be had at once: anybody who may open it can keep it locked.
 */
void sfront_place_lock(struct sfront_place *place);
void sfront_place_unlock(struct sfront_place *place);

/*
 * Removes what is at the path if it is a dead socket and the user wants that.
 * Waits for the lock then, a moment and no longer.
 *
 * Returns 0 if the path is free now, or a negative errno with @err.
 */
int sfront_place_clear(struct sfront_place *place, struct sfront_error *err);

/* Removes the socket file @leaf if it is still the one with that device and inode number. */
int sfront_place_remove(int dir_fd, const char *leaf, dev_t dev, ino_t ino);

/* "a regular file", "a symbolic link" ... */
const char *sfront_place_type(mode_t mode);

#endif
