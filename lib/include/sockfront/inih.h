/* SPDX-License-Identifier: MIT */
/*
 * Listening addresses and listener options from an INI file that the program
 * reads with inih:
 *
 *	[server]
 *	listen = 127.0.0.1:8080
 *	listen = /run/server.sock
 *	unix-listen-chmod = group
 *
 *	struct sfront_ini ini = { "server", addresses, 8, 0, options, NULL, NULL, { "" }, 0 };
 *
 *	line = ini_parse("server.ini", sfront_ini_handler, &ini);
 *	if (line > 0)
 *		errx(2, "server.ini:%d: %s", line, ini.error.message);
 *
 * This header needs nothing of inih, nor does the library.
 */
#ifndef SOCKFRONT_INIH_H
#define SOCKFRONT_INIH_H

#include <stddef.h>

#include <sockfront/address.h>
#include <sockfront/error.h>
#include <sockfront/options.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the handler works on; the caller's. */
struct sfront_ini {
	const char *section;              /* whose keys these are; NULL: any section */
	struct sfront_address *addresses; /* filled from keys "listen", one for each */
	size_t max_addresses;             /* room in it; one more is an error */
	size_t n_addresses;               /* how many there are; 0 before */
	struct sfront_options *options;   /* set from keys that are names of options */
	/*
	 * Every other key, and every other section: the program's, called as
	 * an ini_handler; it returns non-zero if all is well.  NULL: another
	 * section is passed over, another key is an error.
	 */
	int (*other)(void *data, const char *section, const char *name, const char *value);
	void *data;
	struct sfront_error error; /* of the first time that the handler returned 0 */
	unsigned int n_errors;     /* how many times it did; 0 before */
};

/*
 * An ini_handler; @ini is a struct sfront_ini.  Copies what it keeps.  Returns
 * 1, or 0 with ini->error filled (unless ini->other returned 0).
 *
 * inih goes on after an error, and returns the number of the first line that had
 * one, which is what ini->error is about.
 */
int sfront_ini_handler(void *ini, const char *section, const char *name, const char *value);

#ifdef __cplusplus
}
#endif
#endif
