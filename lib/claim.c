/* SPDX-License-Identifier: MIT */
/*
 * Which descriptors listeners have that they did not open: whoever takes one
 * claims its number first, so that two listeners never share it, except while
 * listener.c lends it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "internal.h"

/* The numbers that are claimed, in no order. */
static struct {
	pthread_mutex_t lock;
	int *fds;
	size_t n;
	size_t room; /* of the array: at least n + lent */
	size_t lent; /* claims that may come back */
} claims = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The place of @fd in the claims, or claims.n.  With the lock held. */
static size_t claim_of(int fd)
{
	size_t i = 0;

	while (i < claims.n && claims.fds[i] != fd)
		i++;
	return i;
}

/* Room for one more claim, and for those that may come back.  With the lock held. */
static int make_room(void)
{
	size_t wanted = claims.n + claims.lent + 1;
	int *fds;

	if (wanted <= claims.room)
		return 0;
	fds = realloc(claims.fds, wanted * sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	claims.fds = fds;
	claims.room = wanted;
	return 0;
}

int sfront_claim(int fd)
{
	int r;

	pthread_mutex_lock(&claims.lock);
	r = claim_of(fd) < claims.n ? -EBUSY : make_room();
	if (r == 0)
		claims.fds[claims.n++] = fd;
	pthread_mutex_unlock(&claims.lock);
	return r;
}

/* With the lock held. */
static void unclaim(int fd)
{
	size_t i = claim_of(fd);

	if (i < claims.n)
		claims.fds[i] = claims.fds[--claims.n];
}

void sfront_unclaim(int fd)
{
	pthread_mutex_lock(&claims.lock);
	unclaim(fd);
	pthread_mutex_unlock(&claims.lock);
}

void sfront_claim_lend(int fd)
{
	pthread_mutex_lock(&claims.lock);
	unclaim(fd);
	claims.lent++;
	pthread_mutex_unlock(&claims.lock);
}

int sfront_claim_take_back(int fd)
{
	int r = 0;

	pthread_mutex_lock(&claims.lock);
	if (claim_of(fd) < claims.n) {
		r = -EBUSY;
	} else {
		claims.lent--;
		claims.fds[claims.n++] = fd;
	}
	pthread_mutex_unlock(&claims.lock);
	return r;
}

void sfront_claim_drop(void)
{
	pthread_mutex_lock(&claims.lock);
	claims.lent--;
	pthread_mutex_unlock(&claims.lock);
}

bool sfront_is_claimed(int fd)
{
	bool claimed;

	pthread_mutex_lock(&claims.lock);
	claimed = claim_of(fd) < claims.n;
	pthread_mutex_unlock(&claims.lock);
	return claimed;
}
