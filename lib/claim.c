/* SPDX-License-Identifier: MIT */
/*
 * Who has taken which inherited descriptor: inherited.c and inetd.c ask before
 * they take one, so that no two listeners ever share a number.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "internal.h"

/* The numbers that were claimed, in no order. */
static struct {
	pthread_mutex_t lock;
	int *fds;
	size_t n;
} claims = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Where in the claims @fd stands, or claims.n.  With the lock held. */
static size_t claim_of(int fd)
{
	size_t i = 0;

	while (i < claims.n && claims.fds[i] != fd)
		i++;
	return i;
}

int sfront_claim(int fd)
{
	int r = 0, *fds;

	pthread_mutex_lock(&claims.lock);
	if (claim_of(fd) < claims.n) {
		r = -EBUSY;
	} else {
		fds = realloc(claims.fds, (claims.n + 1) * sizeof(*fds));
		if (fds) {
			claims.fds = fds;
			fds[claims.n++] = fd;
		} else {
			r = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&claims.lock);
	return r;
}

void sfront_claim_release(int fd)
{
	size_t i;

	pthread_mutex_lock(&claims.lock);
	i = claim_of(fd);
	if (i < claims.n)
		claims.fds[i] = claims.fds[--claims.n];
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
