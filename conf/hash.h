/* SPDX-License-Identifier: MIT */
/*
 * FNV-1a, for look-ups whose keys nobody chooses to collide: what is in the configuration.
 * Of conf/ and of every room of the daemon.  It is the same in every version: names that systemd
 * keeps are made with it.
 */
#ifndef CONF_HASH_H
#define CONF_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* Of what was hashed before, HASH_START at first, and these bytes. */
static inline uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
	return hash;
}

#endif
