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

#define KEPT      "kept"
#define FORMER    "former"
#define SEPARATOR " \n"

void passed_socket_write(FILE *list, const struct passed_socket *passed)
{
	if (*passed->name == '\0')
		fprintf(list, "%d:" FORMER ":%s\n", passed->fd, passed->former);
	else
		fprintf(list, "%d:%s%s\n", passed->fd, passed->name,
			passed->is_kept ? ":" KEPT : "");
}

/* Copies up to one of @ends.  Moves @text on. */
static void read_up_to(const char **text, const char *ends, char *buf, size_t size)
{
	size_t len = strcspn(*text, ends);

	snprintf(buf, size, "%.*s", (int)len, *text);
	*text += len;
}

/* What follows the name: ":WORD:WORD".  Words that are not known are passed over. */
static void read_words(const char **text, struct passed_socket *ret)
{
	char word[sizeof(KEPT)];

	while (**text == ':') {
		*text += 1;
		read_up_to(text, ":" SEPARATOR, word, sizeof(word));
		ret->is_kept |= strcmp(word, KEPT) == 0;
	}
}

int passed_socket_read(const char **text, struct passed_socket *ret)
{
	char *end;
	long fd;

	*text += strspn(*text, SEPARATOR);
	if (**text == '\0')
		return -ENOENT;
	fd = strtol(*text, &end, 10);
	if (end == *text || *end != ':' || fd < 0 || fd > INT_MAX)
		return -EINVAL;
	*ret = (struct passed_socket){ .fd = (int)fd };
	*text = end + 1;
	read_up_to(text, ":" SEPARATOR, ret->name, sizeof(ret->name));
	if (strcmp(ret->name, FORMER) == 0 && **text == ':') {
		ret->name[0] = '\0';
		*text += 1;
		read_up_to(text, "\n", ret->former, sizeof(ret->former));
		return fcntl(ret->fd, F_GETFD) < 0 ? -EINVAL : 0;
	}
	read_words(text, ret);
	return fd <= STDERR_FILENO || fcntl(ret->fd, F_SETFD, FD_CLOEXEC) < 0 ? -EINVAL : 0;
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

void passed_units_write(FILE *list, const char *units)
{
	if (*units != '\0')
		fprintf(list, "%c%s", '\0', units);
}

const char *passed_units_find(const char *list)
{
	return list + strlen(list) + 1;
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
	text = malloc(size + 2);
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
	/* Of the list, and of the text that may follow it. */
	text[size] = text[size + 1] = '\0';
	*ret_text = text;
	return 0;
}
