/* SPDX-License-Identifier: MIT */
/*
 * What may be asked of any socket address: its port, and a key by which it is found among
 * thousands.
 */
#ifndef DAEMON_BACKEND_ADDRESS_H
#define DAEMON_BACKEND_ADDRESS_H

#include <sockfront/address.h>
#include <stdint.h>
#include <sys/stat.h>

/* Of TCP; 0: it has none. */
unsigned int address_port(const struct sfront_sockaddr *addr);

/* The same address; IPv4 may come inside IPv6. */
struct sfront_sockaddr address_unwrapped(const struct sfront_sockaddr *addr);

/*
 * Addresses that are the same have the same key, and so have "every address" of IPv6 and of
 * IPv4; of vsock it is the port that counts.  Others may have it by chance.
 */
uint64_t address_key(const struct sfront_sockaddr *addr);

/* That of "every address" with the same port, of TCP. */
uint64_t address_key_of_every(const struct sfront_sockaddr *addr);

/* Of a name in a directory, or, with "", of a file, whichever way a path leads there. */
uint64_t address_key_of_file(const struct stat *st, const char *name);

#endif
