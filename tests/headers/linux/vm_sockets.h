/* SPDX-License-Identifier: MIT */
/*
 * For tests/switches: this header as it was before Linux 6.5, when it needed
 * struct sockaddr and left it to others to include what has it.
 */
#ifndef TESTS_HEADERS_LINUX_VM_SOCKETS_H
#define TESTS_HEADERS_LINUX_VM_SOCKETS_H

_Static_assert(sizeof(struct sockaddr) > 0, "it is complete");

#include_next <linux/vm_sockets.h>

#endif
