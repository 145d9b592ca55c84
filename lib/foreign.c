/* SPDX-License-Identifier: MIT */
/*
 * Addresses as other programs write them, as URLs or with their kind in front,
 * and how each is written here.  For the messages of address.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "internal.h"

#define SCHEME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-"
#define SCHEME_MAX   32 /* longer than any, and short enough for a message */

struct notation {
	const char *prefix; /* in any letter case */
	/* What follows the prefix, as an address of ours.  NULL: there is none, for this reason. */
	bool (*rewrite)(const struct notation *notation, const char *rest, char *buf, size_t size);
	const char *detail; /* for rewrite; or the reason */
	bool has_options;   /* socat's, after a comma */
	bool is_no_host;    /* taken for a notation even where it might be a host and its port */
};

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

static bool fits(int length, size_t size)
{
	return length >= 0 && (size_t)length < size;
}

static const char *skip_slashes(const char *rest)
{
	return strncmp(rest, "//", 2) == 0 ? rest + 2 : rest;
}

/* "unix://run/x" is meant to be absolute, "unix:x" is not. */
static bool rewrite_path(const struct notation *notation, const char *rest, char *buf, size_t size)
{
	const char *path = skip_slashes(rest);
	const char *lead = path == rest ? "./" : "/";

	(void)notation;
	if (strchr("/.@", *path))
		lead = "";
	return fits(snprintf(buf, size, "%s%s", lead, path), size);
}

static bool rewrite_abstract(const struct notation *notation, const char *rest, char *buf,
			     size_t size)
{
	const char *name = skip_slashes(rest);

	(void)notation;
	return fits(snprintf(buf, size, "@%s", *name == '@' ? name + 1 : name), size);
}

/* Without user, path and query of a URL. */
static void cut_url(char *text)
{
	char *user;

	text[strcspn(text, "/?#")] = '\0';
	user = strrchr(text, '@');
	if (user)
		memmove(text, user + 1, strlen(user + 1) + 1);
}

static bool has_port(const char *text)
{
	const char *colon = strrchr(text, ':');

	return colon && !strchr(colon, ']');
}

/* @notation: its detail is the host that stands for every address */
static bool rewrite_tcp(const struct notation *notation, const char *rest, char *buf, size_t size)
{
	const char *every = notation->detail;
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	if (!fits(snprintf(text, sizeof(text), "%s", skip_slashes(rest)), sizeof(text)))
		return false;
	cut_url(text);
	if (is_number(text))
		return fits(snprintf(buf, size, "%s:%s", every, text), size);
	return fits(snprintf(buf, size, "%s%s", text[0] == ':' ? every : "", text), size);
}

/* @notation: its detail is the port where the URL has none */
static bool rewrite_url(const struct notation *notation, const char *rest, char *buf, size_t size)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	if (!fits(snprintf(text, sizeof(text), "%s", rest), sizeof(text)))
		return false;
	cut_url(text);
	return fits(snprintf(buf, size, "%s%s", text, has_port(text) ? "" : notation->detail),
		    size);
}

static bool rewrite_vsock(const struct notation *notation, const char *rest, char *buf, size_t size)
{
	const char *numbers = skip_slashes(rest);

	(void)notation;
	return fits(snprintf(buf, size, "vsock:%s%s", is_number(numbers) ? "any:" : "", numbers),
		    size);
}

static bool rewrite_fd(const struct notation *notation, const char *rest, char *buf, size_t size)
{
	const char *name = skip_slashes(rest);

	(void)notation;
	if (is_number(name))
		return fits(snprintf(buf, size, "accept-from-fd:%s", name), size);
	return fits(snprintf(buf, size, "sd-listen%s%s", *name ? ":" : "", name), size);
}

#define NO_TLS   "there is no TLS here; bytes are passed on as they are"
#define NO_UDP   "only streams are served, and UDP has none"
#define NO_CHILD "no program is run for a connection"

/* clang-format off */
static const struct notation notations[] = {
	{ "unix:",             rewrite_path,     NULL,      false, true },
	{ "unix@",             rewrite_path,     NULL,      false, true },
	{ "http+unix:",        rewrite_path,     NULL,      false, true },
	{ "unix-listen:",      rewrite_path,     NULL,      true,  true },
	{ "unix-l:",           rewrite_path,     NULL,      true,  true },
	{ "unix-connect:",     rewrite_path,     NULL,      true,  true },
	{ "unix-client:",      rewrite_path,     NULL,      true,  true },
	{ "abstract:",         rewrite_abstract, NULL,      true,  true },
	{ "unix-abstract:",    rewrite_abstract, NULL,      false, true },
	{ "abns@",             rewrite_abstract, NULL,      false, true },
	{ "abnsz@",            rewrite_abstract, NULL,      false, true },
	{ "abstract-listen:",  rewrite_abstract, NULL,      true,  true },
	{ "abstract-connect:", rewrite_abstract, NULL,      true,  true },
	{ "abstract-client:",  rewrite_abstract, NULL,      true,  true },
	{ "tcp:",              rewrite_tcp,      "",        true,  true },
	{ "tcp4:",             rewrite_tcp,      "0.0.0.0", true,  true },
	{ "tcp6:",             rewrite_tcp,      "[::]",    true,  true },
	{ "ipv4@",             rewrite_tcp,      "0.0.0.0", false, true },
	{ "ipv6@",             rewrite_tcp,      "[::]",    false, true },
	{ "tcp-listen:",       rewrite_tcp,      "",        true,  true },
	{ "tcp4-listen:",      rewrite_tcp,      "0.0.0.0", true,  true },
	{ "tcp6-listen:",      rewrite_tcp,      "[::]",    true,  true },
	{ "tcp-l:",            rewrite_tcp,      "",        true,  true },
	{ "tcp4-l:",           rewrite_tcp,      "0.0.0.0", true,  true },
	{ "tcp6-l:",           rewrite_tcp,      "[::]",    true,  true },
	{ "tcp-connect:",      rewrite_tcp,      "",        true,  true },
	{ "tcp4-connect:",     rewrite_tcp,      "",        true,  true },
	{ "tcp6-connect:",     rewrite_tcp,      "",        true,  true },
	{ "vsock://",          rewrite_vsock,    NULL,      false, true },
	{ "vsock-listen:",     rewrite_vsock,    NULL,      true,  true },
	{ "vsock-l:",          rewrite_vsock,    NULL,      true,  true },
	{ "vsock-connect:",    rewrite_vsock,    NULL,      true,  true },
	{ "fd@",               rewrite_fd,       NULL,      false, true },
	{ "fd:",               rewrite_fd,       NULL,      false, true },
	{ "accept-fd:",        rewrite_fd,       NULL,      true,  true },
	{ "systemd:",          rewrite_fd,       NULL,      false, true },
	{ "http://",           rewrite_url,      ":80",     false, true },
	{ "https://",          rewrite_url,      ":443",    false, true },
	{ "udp:",              NULL,             NO_UDP,    false, false },
	{ "udp-listen:",       NULL,             NO_UDP,    false, true },
	{ "udp4-listen:",      NULL,             NO_UDP,    false, true },
	{ "udp6-listen:",      NULL,             NO_UDP,    false, true },
	{ "openssl:",          NULL,             NO_TLS,    false, false },
	{ "ssl:",              NULL,             NO_TLS,    false, false },
	{ "tls:",              NULL,             NO_TLS,    false, false },
	{ "openssl-listen:",   NULL,             NO_TLS,    false, true },
	{ "openssl-connect:",  NULL,             NO_TLS,    false, true },
	{ "exec:",             NULL,             NO_CHILD,  false, false },
	{ "system:",           NULL,             NO_CHILD,  false, false },
};
/* clang-format on */

/* Any other scheme: the host has to be followed by its port. */
static const struct notation any_url = { "", rewrite_url, "", false, true };

static const struct notation *notation_find(const char *text, const char **ret_rest)
{
	size_t scheme = strspn(text, SCHEME_BYTES);

	for (size_t i = 0; i < sizeof(notations) / sizeof(notations[0]); i++) {
		size_t length = strlen(notations[i].prefix);

		if (strncasecmp(text, notations[i].prefix, length) == 0) {
			*ret_rest = text + length;
			return &notations[i];
		}
	}
	if (scheme == 0 || scheme > SCHEME_MAX || strncmp(text + scheme, "://", 3) != 0)
		return NULL;
	*ret_rest = text + scheme + 3;
	return &any_url;
}

/* Without its notation, but not looked at. */
static bool rewrite(const struct notation *notation, const char *rest, char *buf, size_t size)
{
	char own[SFRONT_ADDRESS_TEXT_SIZE];

	if (!notation->rewrite || !fits(snprintf(own, sizeof(own), "%s", rest), sizeof(own)))
		return false;
	if (notation->has_options)
		own[strcspn(own, ",")] = '\0';
	return notation->rewrite(notation, own, buf, size);
}

size_t sfront_address_suggest(const char *text, char *buf, size_t size)
{
	char written[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_address address;
	const char *rest;
	const struct notation *notation = notation_find(text, &rest);

	if (!notation || !rewrite(notation, rest, written, sizeof(written)) ||
	    sfront_address_read(written, &address, NULL) < 0 || notation_find(written, &rest))
		return 0;
	return (size_t)snprintf(buf, size, "%s", written);
}

int sfront_foreign_explain(const char *text, bool is_refused, struct sfront_error *err)
{
	char written[SFRONT_ADDRESS_TEXT_SIZE];
	const char *rest;
	const struct notation *notation = notation_find(text, &rest);

	if (!notation || !(is_refused || notation->is_no_host))
		return 0;
	if (!notation->rewrite)
		return sfront_fail(err, -EINVAL, "\"%.160s\": %s", text, notation->detail);
	if (sfront_address_suggest(text, written, sizeof(written)) > 0)
		return sfront_fail(err, -EINVAL,
				   "\"%.160s\": an address has no \"%.*s\" in front of it: write "
				   "\"%.300s\"",
				   text, (int)(rest - text), text, written);
	return sfront_fail(err, -EINVAL,
			   "\"%.160s\": an address has no \"%.*s\" in front of it: it is "
			   "HOST:PORT, /path, ./path, @name or vsock:CID:PORT alone",
			   text, (int)(rest - text), text);
}
