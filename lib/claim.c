/* SPDX-License-Identifier: MIT */
/*
 * Which descriptors listeners have that they did not open: whoever takes one
 * claims its number first, so that two listeners never share it, except while
 * listener.c lends it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define WORD_BITS 64

/* Whether each number is claimed. */
static struct {
	pthread_mutex_t lock;
	uint64_t *words; /* a bit for each number; it never shrinks */
	size_t n;
} claims = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint64_t bit_of(int fd)
{
	return UINT64_C(1) << fd % WORD_BITS;
}

/* With the lock held. */
static bool is_claimed(int fd)
{
	size_t word = (size_t)fd / WORD_BITS;

	return fd >= 0 && word < claims.n && (claims.words[word] & bit_of(fd));
}

/* With the lock held.  A number that nobody has costs address space, and no memory. */
static int make_room(int fd)
{
	size_t wanted = (size_t)fd / WORD_BITS + 1;
	uint64_t *words;

	if (wanted <= claims.n)
		return 0;
	wanted += claims.n;
	words = calloc(wanted, sizeof(*words));
	if (!words)
		return -ENOMEM;
	if (claims.n > 0)
		memcpy(words, claims.words, claims.n * sizeof(*words));
	free(claims.words);
	claims.words = words;
	claims.n = wanted;
	return 0;
}

int sfront_claim(int fd)
{
	int r;

	if (fd < 0) /* it is no descriptor, as whoever takes it will find */
		return 0;
	pthread_mutex_lock(&claims.lock);
	r = is_claimed(fd) ? -EBUSY : make_room(fd);
	if (r == 0)
		claims.words[fd / WORD_BITS] |= bit_of(fd);
	pthread_mutex_unlock(&claims.lock);
	return r;
}

void sfront_unclaim(int fd)
{
	pthread_mutex_lock(&claims.lock);
	if (is_claimed(fd))
		claims.words[fd / WORD_BITS] &= ~bit_of(fd);
	pthread_mutex_unlock(&claims.lock);
}

bool sfront_is_claimed(int fd)
{
	bool claimed;

	pthread_mutex_lock(&claims.lock);
	claimed = is_claimed(fd);
	pthread_mutex_unlock(&claims.lock);
	return claimed;
}
