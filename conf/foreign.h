/* SPDX-License-Identifier: MIT */
/*
 * Options by the names that other programs have for them, and what each is
 * here: for whoever comes from one of those.
 */
#ifndef CONF_FOREIGN_H
#define CONF_FOREIGN_H

#include <stddef.h>

struct foreign_option {
	const char *name;   /* as the other program has it; several words for HAProxy */
	const char *key;    /* ours; NULL: none */
	const char *value;  /* what ours is to be; NULL: what is wanted, or no key of ours */
	const char *remark; /* what else is to be said, without a full stop; NULL: nothing */
};

/*
 * The option whose name @text is, or begins with as whole words; the longest
 * one, if there are several.  Letter case, and '_' for '-', count nothing.
 * Returns NULL if there is none.
 */
const struct foreign_option *foreign_option_find(const char *text);

#define FOREIGN_REMARK_SIZE 128

/* Writes what is to be said after a key of ours: the remark in brackets, or nothing. */
void foreign_option_remark(const struct foreign_option *option, char *buf, size_t size);

/* Number @index, or NULL past the last. */
const struct foreign_option *foreign_option_at(size_t index);

#endif
