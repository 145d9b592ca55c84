/* SPDX-License-Identifier: MIT */
/*
 * Text that others have chosen may be any bytes; whoever reads what is made of it wants UTF-8.
 */
#ifndef DAEMON_BASE_UTF8_H
#define DAEMON_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The length of the character that @text begins with, 1 to 4; 0: these bytes are no UTF-8, or
 * it is at its end.
 */
size_t utf8_length(const char *text);

/*
 * Whether a terminal shows the character that @text begins with, and does nothing else: no
 * control character, and none that turns or hides what is beside it.
 */
bool utf8_is_harmless(const char *text);

#endif
