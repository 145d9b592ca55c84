/* SPDX-License-Identifier: MIT */
/*
 * Users, groups and services for the fuzzers: the linker puts these in the
 * place of libc's look-ups (--wrap), which read files on every call, would make
 * a run a hundred times slower, and its result depend on the machine.
 */
#include <arpa/inet.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <string.h>

int __wrap_getpwnam_r(const char *name, struct passwd *pw, char *buf, size_t size,
		      struct passwd **ret);
int __wrap_getgrnam_r(const char *name, struct group *gr, char *buf, size_t size,
		      struct group **ret);
int __wrap_getservbyname_r(const char *name, const char *protocol, struct servent *entry, char *buf,
			   size_t size, struct servent **ret);

int __wrap_getpwnam_r(const char *name, struct passwd *pw, char *buf, size_t size,
		      struct passwd **ret)
{
	if (size > 0)
		buf[0] = '\0';
	pw->pw_uid = 65534;
	*ret = strcmp(name, "nobody") == 0 ? pw : NULL;
	return 0;
}

int __wrap_getgrnam_r(const char *name, struct group *gr, char *buf, size_t size,
		      struct group **ret)
{
	if (size > 0)
		buf[0] = '\0';
	gr->gr_gid = 65534;
	*ret = strcmp(name, "nogroup") == 0 ? gr : NULL;
	return 0;
}

int __wrap_getservbyname_r(const char *name, const char *protocol, struct servent *entry, char *buf,
			   size_t size, struct servent **ret)
{
	if (size > 0)
		buf[0] = '\0';
	entry->s_port = htons(80);
	*ret = strcmp(name, "http") == 0 && strcmp(protocol, "tcp") == 0 ? entry : NULL;
	return 0;
}
