/* SPDX-License-Identifier: MIT */
/*
 * For test_failures.c and control/test_config_failures.c: stands between what is
 * ours and libc.  The linker sends each call that test_failures.wrap names to the
 * __wrap_ function below, which fails once when it is told to, and else passes the
 * call on.
 *
 * AF_VSOCK never gets past here: a TCP socket on the loopback plays it, since
 * few machines that build have vsock.
 */
#ifndef TESTS_FAILING_H
#define TESTS_FAILING_H

#include "large_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Every call that may be told to fail, and how it may. */
#define FAILING_CALLS(X)                                  \
	X(accept4, EMFILE, ENOBUFS, ECONNABORTED)         \
	X(bind, EADDRINUSE, EACCES, ENOMEM)               \
	X(calloc, ENOMEM)                                 \
	X(chmod, EPERM, ENOENT)                           \
	X(close, EIO)                                     \
	X(connect, EACCES, EAGAIN)                        \
	X(dup2, EMFILE)                                   \
	X(dup3, EMFILE, EBUSY)                            \
	X(epoll_create1, EMFILE)                          \
	X(epoll_ctl, ENOMEM)                              \
	X(eventfd, EMFILE)                                \
	X(eventfd_read, EAGAIN)                           \
	X(eventfd_write, EAGAIN)                          \
	X(pthread_create, EAGAIN)                         \
	X(pthread_mutex_init, ENOMEM)                     \
	X(socketpair, EMFILE)                             \
	X(fchmod, EPERM)                                  \
	X(fchownat, EPERM)                                \
	X(fcntl, EMFILE)                                  \
	X(fdopen, ENOMEM)                                 \
	X(flock, ENOLCK, EWOULDBLOCK, EINTR)              \
	X(fopen, EMFILE)                                  \
	X(fstat, EOVERFLOW)                               \
	X(fstatat, EACCES)                                \
	X(getaddrinfo, EAI_AGAIN, EAI_MEMORY, EAI_NONAME) \
	X(getgrnam_r, EMFILE, ERANGE)                     \
	X(getpeername, ENOBUFS)                           \
	X(getpwnam_r, EMFILE, ERANGE)                     \
	X(getservbyname_r, ERANGE)                        \
	X(getsockname, ENOBUFS)                           \
	X(getsockopt, ENOBUFS)                            \
	X(if_nametoindex, ENODEV)                         \
	X(ioctl, EPERM, EMFILE)                           \
	X(listen, EADDRINUSE)                             \
	X(malloc, ENOMEM)                                 \
	X(nanosleep, EINTR)                               \
	X(open, EMFILE, EACCES)                           \
	X(openat, EMFILE)                                 \
	X(read, EIO, EINTR)                               \
	X(realloc, ENOMEM)                                \
	X(reallocarray, ENOMEM)                           \
	X(realpath, EACCES)                               \
	X(recv, ECONNRESET, EINTR, EOPNOTSUPP)            \
	X(sd_listen_fds, EINVAL)                          \
	X(setsockopt, ENOPROTOOPT, EPERM)                 \
	X(shutdown, ENOTCONN)                             \
	X(socket, EMFILE, EAFNOSUPPORT)                   \
	X(strdup, ENOMEM)                                 \
	X(syscall, ENOSYS)                                \
	X(tsearch, ENOMEM)                                \
	X(unlinkat, EACCES)

enum failing_call {
#define X(name, ...) CALL_##name,
	FAILING_CALLS(X)
#undef X
		CALLS
};

#define ERRORS_MAX 4

static const struct {
	const char *name;
	int errors[ERRORS_MAX]; /* up to the first 0 */
} calls[CALLS] = {
#define X(name, ...) [CALL_##name] = { #name, { __VA_ARGS__ } },
	FAILING_CALLS(X)
#undef X
};

/* The service that these tests know, whatever /etc/services says: port 0. */
#define TEST_SERVICE "sockfront-test"

static struct {
	bool on;                /* else calls are neither counted nor failed */
	enum failing_call call; /* the one to fail */
	unsigned int nth;       /* its how manieth call; 0: none */
	int error;
	unsigned int count[CALLS];
	bool done;
	int vsock;  /* the TCP socket that plays one, or -1 */
	bool plain; /* who asks now wants to know what it really is */
} failing = { .vsock = -1 };

/* Blocks that are held at the moment, by any thread. */
static atomic_int live_blocks;

/* Whether this is the call to fail; errno says why if so. */
static bool is_due(enum failing_call call)
{
	if (!failing.on || ++failing.count[call] != failing.nth || failing.call != call)
		return false;
	failing.done = true;
	errno = failing.error;
	return true;
}

#define WRAP(type, name, parameters, arguments, failed) \
	type __real_##name parameters;                  \
	type __wrap_##name parameters;                  \
	type __wrap_##name parameters                   \
	{                                               \
		if (is_due(CALL_##name))                \
			return failed;                  \
		return __real_##name arguments;         \
	}

WRAP(int, accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags),
     (fd, addr, len, flags), -1)
WRAP(int, chmod, (const char *path, mode_t mode), (path, mode), -1)
WRAP(int, connect, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len), -1)
WRAP(int, dup2, (int from, int to), (from, to), -1)
WRAP(int, dup3, (int from, int to, int flags), (from, to, flags), -1)
WRAP(int, epoll_create1, (int flags), (flags), -1)
WRAP(int, epoll_ctl, (int epoll, int op, int fd, struct epoll_event *event), (epoll, op, fd, event),
     -1)
WRAP(int, eventfd, (unsigned int start, int flags), (start, flags), -1)
WRAP(int, eventfd_read, (int fd, eventfd_t *value), (fd, value), -1)
WRAP(int, eventfd_write, (int fd, eventfd_t value), (fd, value), -1)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
WRAP(int, fchownat, (int fd, const char *path, uid_t uid, gid_t gid, int flags),
     (fd, path, uid, gid, flags), -1)
WRAP(int, flock, (int fd, int operation), (fd, operation), -1)
WRAP(FILE *, fdopen, (int fd, const char *mode), (fd, mode), NULL)
WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), -1)
WRAP(int, fstatat, (int fd, const char *path, struct stat *st, int flags), (fd, path, st, flags),
     -1)
WRAP(int, getgrnam_r,
     (const char *name, struct group *gr, char *buf, size_t size, struct group **ret),
     (name, gr, buf, size, ret), failing.error)
WRAP(int, getpeername, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len), -1)
WRAP(int, getpwnam_r,
     (const char *name, struct passwd *pw, char *buf, size_t size, struct passwd **ret),
     (name, pw, buf, size, ret), failing.error)
WRAP(unsigned int, if_nametoindex, (const char *name), (name), 0)
WRAP(int, listen, (int fd, int backlog), (fd, backlog), -1)
WRAP(int, nanosleep, (const struct timespec *time, struct timespec *left), (time, left), -1)
WRAP(int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*start)(void *), void *arg),
     (thread, attributes, start, arg), failing.error)
WRAP(int, pthread_mutex_init, (pthread_mutex_t * mutex, const pthread_mutexattr_t *attributes),
     (mutex, attributes), failing.error)
WRAP(ssize_t, read, (int fd, void *buf, size_t size), (fd, buf, size), -1)
WRAP(ssize_t, recv, (int fd, void *buf, size_t size, int flags), (fd, buf, size, flags), -1)
WRAP(int, sd_listen_fds, (int unset), (unset), -failing.error)
WRAP(int, socketpair, (int family, int type, int protocol, int ret[2]),
     (family, type, protocol, ret), -1)
WRAP(char *, realpath, (const char *path, char *buf), (path, buf), NULL)
WRAP(int, shutdown, (int fd, int how), (fd, how), -1)
WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags), -1)

/* What is closed is closed, whatever close() says: so it is with Linux. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	int r = __real_close(fd);

	return is_due(CALL_close) ? -1 : r;
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
	va_list args;
	long argument;

	va_start(args, command);
	argument = va_arg(args, long);
	va_end(args);
	return is_due(CALL_fcntl) ? -1 : __real_fcntl(fd, command, argument);
}

/* The library asks a socket for its file alone. */
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	return is_due(CALL_ioctl) ? -1 : __real_ioctl(fd, request);
}

/* For fchmodat2(). */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
	va_list args;
	const char *path;
	int fd, flags;
	mode_t mode;

	va_start(args, number);
	fd = va_arg(args, int);
	path = va_arg(args, const char *);
	mode = va_arg(args, mode_t);
	flags = va_arg(args, int);
	va_end(args);
	return is_due(CALL_syscall) ? -1 : __real_syscall(number, fd, path, mode, flags);
}

/* The library creates no file, so that the mode never matters. */
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	return is_due(CALL_open) ? -1 : __real_open(path, flags);
}

int __real_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...)
{
	return is_due(CALL_openat) ? -1 : __real_openat(fd, path, flags);
}

/* One address for a name, whatever else the machine's file of hosts has for it. */
int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret)
{
	struct addrinfo of_ipv4 = *hints;

	of_ipv4.ai_family = AF_INET;
	return is_due(CALL_getaddrinfo) ? failing.error
					: __real_getaddrinfo(host, service, &of_ipv4, ret);
}

int __real_getservbyname_r(const char *name, const char *protocol, struct servent *entry, char *buf,
			   size_t size, struct servent **ret);
int __wrap_getservbyname_r(const char *name, const char *protocol, struct servent *entry, char *buf,
			   size_t size, struct servent **ret);
int __wrap_getservbyname_r(const char *name, const char *protocol, struct servent *entry, char *buf,
			   size_t size, struct servent **ret)
{
	if (is_due(CALL_getservbyname_r))
		return failing.error;
	if (strcmp(name, TEST_SERVICE) != 0)
		return __real_getservbyname_r(name, protocol, entry, buf, size, ret);
	entry->s_port = 0;
	*ret = entry;
	return 0;
}

/* The heap: failed, and counted. */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	void *block = is_due(CALL_malloc) ? NULL : __real_malloc(size);

	live_blocks += block != NULL;
	return block;
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
	void *block = is_due(CALL_calloc) ? NULL : __real_calloc(n, size);

	live_blocks += block != NULL;
	return block;
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
	void *block = is_due(CALL_realloc) ? NULL : __real_realloc(old, size);

	live_blocks += block && !old;
	return block;
}

void *__real_reallocarray(void *old, size_t n, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
	void *block = is_due(CALL_reallocarray) ? NULL : __real_reallocarray(old, n, size);

	live_blocks += block && !old;
	return block;
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
	char *copy = is_due(CALL_strdup) ? NULL : __real_strdup(text);

	live_blocks += copy != NULL;
	return copy;
}

void *__real_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
	return is_due(CALL_tsearch) ? NULL : __real_tsearch(key, root, compare);
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block)
{
	live_blocks -= block != NULL;
	__real_free(block);
}

/* Sockets, and the one that plays vsock. */

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol)
{
	if (is_due(CALL_socket))
		return -1;
	if (family != AF_VSOCK)
		return __real_socket(family, type, protocol);
	failing.vsock = __real_socket(AF_INET, type, 0);
	return failing.vsock;
}

int __real_bind(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	const struct sockaddr_in loopback = { .sin_family = AF_INET,
					      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	if (is_due(CALL_bind))
		return -1;
	if (addr->sa_family == AF_VSOCK)
		return __real_bind(fd, (const struct sockaddr *)&loopback, sizeof(loopback));
	return __real_bind(fd, addr, len);
}

int __real_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int __wrap_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int __wrap_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	const struct sockaddr_vm vm = { .svm_family = AF_VSOCK,
					.svm_cid = VMADDR_CID_ANY,
					.svm_port = 5000 };

	if (is_due(CALL_getsockname))
		return -1;
	if (failing.plain || fd != failing.vsock)
		return __real_getsockname(fd, addr, len);
	memcpy(addr, &vm, sizeof(vm));
	*len = sizeof(vm);
	return 0;
}

int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (is_due(CALL_setsockopt))
		return -1;
	return level == AF_VSOCK ? 0 : __real_setsockopt(fd, level, name, value, len);
}

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	if (is_due(CALL_getsockopt))
		return -1;
	if (level == SOL_SOCKET && name == SO_DOMAIN && fd == failing.vsock) {
		*(int *)value = AF_VSOCK;
		return 0;
	}
	return level == AF_VSOCK ? 0 : __real_getsockopt(fd, level, name, value, len);
}

#endif
