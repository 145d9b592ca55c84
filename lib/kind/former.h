/* SPDX-License-Identifier: MIT */
/*
 * What inherited listening sockets had before any listener of this program set
 * anything on them, so that they can be given back as they were found.
 * inherited.c notes it, and restores it when a listener ends for good.
 */
#ifndef SOCKFRONT_KIND_FORMER_H
#define SOCKFRONT_KIND_FORMER_H

#include "lib/internal.h"

/*
 * Notes what @fd has, unless that was noted before: by a listener that had lent
 * it, or an earlier process.
 *
 * @kinds:     what the socket is, KIND_
 * @ret_first: whether it was noted just now
 *
 * Returns 0 or -ENOMEM.
 */
int sfront_former_note(int fd, unsigned int kinds, bool *ret_first);

/*
 * Sets everything back and forgets it; nothing where nothing was noted.  Returns
 * 0, or the first -errno of what the kernel refused; the rest was set back then.
 */
int sfront_former_restore(int fd);

/* Forgets what was noted: the descriptor is no listener's any more. */
void sfront_former_drop(int fd);

#endif
