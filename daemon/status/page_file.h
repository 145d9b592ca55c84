/* SPDX-License-Identifier: MIT */
/*
 * The status page as it is built into the program: embed.sh makes these of page.html.
 */
#ifndef DAEMON_STATUS_PAGE_FILE_H
#define DAEMON_STATUS_PAGE_FILE_H

#include <stddef.h>

/* The table of the proxies goes between the two. */
extern const unsigned char page_before[], page_after[];
extern const size_t page_before_size, page_after_size;

/* The Content-Security-Policy: this one script and this one style, by their hashes. */
extern const char page_policy[];

#endif
