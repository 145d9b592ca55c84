/* SPDX-License-Identifier: MIT */
/*
 * Why a call failed, in words for the person who typed the address or the
 * option.  The library never prints: it returns a negative errno and, where the
 * caller wants it, fills one of these.
 */
#ifndef SOCKFRONT_ERROR_H
#define SOCKFRONT_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#define SFRONT_MESSAGE_SIZE 640

/*
 * Lives in the caller's memory; needs no initialisation and holds nothing that
 * has to be freed.  The message is one line without a full stop: what was
 * wrong, with which address or value, and what would be right.  Bytes of the
 * user's text are in it as they came (a program that logs it escapes them).
 * Untouched when the call succeeds.  Every function takes NULL for it.
 */
struct sfront_error {
	char message[SFRONT_MESSAGE_SIZE];
};

#ifdef __cplusplus
}
#endif
#endif
