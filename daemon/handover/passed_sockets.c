/* SPDX-License-Identifier: MIT */
/*
 * Writes and reads the list of passed sockets: see passed_sockets.h.
 */
#include "daemon/handover/passed_sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3, which may refuse a file without it */
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define KEPT "kept"

void passed_socket_write(FILE *list, const struct passed_socket *passed)
{
	fprintf(list, " %d:%s%s", passed->fd, passed->name, passed->is_kept ? ":" KEPT : "");
}

/* What follows the name: ":WORD:WORD".  Words that are not known are passed over. */
static void read_words(const char **text, struct passed_socket *ret)
{
	while (**text == ':') {
		size_t len = strcspn(++*text, ": ");

		ret->is_kept |= len == strlen(KEPT) && strncmp(*text, KEPT, len) == 0;
		*text += len;
	}
}

int passed_socket_read(const char **text, struct passed_socket *ret)
{
	char *end;
	size_t len;
	long fd;

	*text += strspn(*text, " ");
	if (**text == '\0')
		return -ENOENT;
	fd = strtol(*text, &end, 10);
	if (end == *text || *end != ':' || fd <= STDERR_FILENO || fd > INT_MAX ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return -EINVAL;
	*ret = (struct passed_socket){ .fd = (int)fd };
	*text = end + 1;
	len = strcspn(*text, ": ");
	snprintf(ret->name, sizeof(ret->name), "%.*s", (int)len, *text);
	*text += len;
	read_words(text, ret);
	return 0;
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

int passed_list_seal(const char *text, size_t size)
{
	const unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("sockfront-upgrade", flags | MFD_NOEXEC_SEAL);
	int r;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("sockfront-upgrade", flags);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, size);
	if (r == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

int passed_list_load(int fd, char **ret_text)
{
	struct stat st;
	size_t size, done = 0;
	char *text;

	if (fstat(fd, &st) < 0)
		return -errno;
	size = (size_t)st.st_size;
	text = malloc(size + 1);
	if (!text)
		return -ENOMEM;
	while (done < size) {
		ssize_t n = pread(fd, text + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int r = n < 0 ? -errno : -EINVAL;

			free(text);
			return r;
		}
		done += (size_t)n;
	}
	text[size] = '\0';
	*ret_text = text;
	return 0;
}
