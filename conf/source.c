/* SPDX-License-Identifier: MIT */
/*
 * Words such as 10.0.0.0/8, loopback, uid:www-data and file:PATH: see source.h.
 */
#include "conf/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sockfront/value.h>

#include "conf/refuse.h"

#define TAKEN                                                                                    \
	"an address or prefix (10.0.0.0/8, 2001:db8::/32), loopback, unix, uid:NAME, gid:NAME, " \
	"vsock, vsock:CID, any or file:PATH"

#define LINE_MAX_BYTES 512

/* ---- addresses ---- */

static bool has_bits_past(const unsigned char *bytes, size_t size, unsigned int bits)
{
	for (unsigned int i = bits; i < size * 8; i++)
		if (bytes[i / 8] & (0x80 >> (i % 8)))
			return true;
	return false;
}

static void clear_bits_past(unsigned char *bytes, size_t size, unsigned int bits)
{
	for (unsigned int i = bits; i < size * 8; i++)
		bytes[i / 8] &= (unsigned char)~(0x80 >> (i % 8));
}

/* IPv4 inside IPv6 is IPv4: so are the clients that it is compared with. */
static void unwrap(struct source *source)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (!source->prefix.is_ipv6 || source->prefix.bits < 96 ||
	    memcmp(source->prefix.bytes, mapped, sizeof(mapped)) != 0)
		return;
	source->prefix.is_ipv6 = false;
	source->prefix.bits -= 96;
	memmove(source->prefix.bytes, source->prefix.bytes + 12, 4);
	memset(source->prefix.bytes + 4, 0, 12);
}

static int parse_bits(const char *word, const char *text, unsigned int most, unsigned int *ret,
		      struct sfront_error *err)
{
	uint64_t bits;

	if (sfront_parse_count(text, 0, most, &bits, NULL) < 0)
		return refuse(err, -EINVAL, "\"%.100s\": the prefix is a number from 0 to %u", word,
			      most);
	*ret = (unsigned int)bits;
	return 0;
}

static int parse_prefix(const char *word, struct source *source, struct sfront_error *err)
{
	const char *slash = strchr(word, '/');
	size_t length = slash ? (size_t)(slash - word) : strlen(word);
	unsigned int most;
	char host[INET6_ADDRSTRLEN];
	char right[64];
	int r;

	if (memchr(word, '%', length))
		return refuse(err, -EINVAL,
			      "\"%.100s\": an address is compared without its interface; leave "
			      "%%... out",
			      word);
	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, word, length);
	host[length] = '\0';
	source->kind = SOURCE_PREFIX;
	source->prefix.is_ipv6 = strchr(host, ':');
	if (inet_pton(source->prefix.is_ipv6 ? AF_INET6 : AF_INET, host, source->prefix.bytes) != 1)
		return -EINVAL;
	most = source->prefix.is_ipv6 ? 128 : 32;
	source->prefix.bits = most;
	r = slash ? parse_bits(word, slash + 1, most, &source->prefix.bits, err) : 0;
	if (r < 0)
		return r;
	if (has_bits_past(source->prefix.bytes, most / 8, source->prefix.bits)) {
		clear_bits_past(source->prefix.bytes, most / 8, source->prefix.bits);
		source_format(source, right, sizeof(right));
		return refuse(err, -EINVAL,
			      "\"%.100s\": the address goes on past the prefix; write %s, or the "
			      "address alone",
			      word, right);
	}
	unwrap(source);
	return 0;
}

static bool looks_like_address(const char *word)
{
	size_t length = strcspn(word, "/");

	return length > 0 && strspn(word, "0123456789abcdefABCDEF.:") == length &&
	       strpbrk(word, ".:");
}

/* ---- users, groups, contexts ---- */

#define NAME_BUFFER ((size_t)64 * 1024) /* of a group with thousands of members */

static int find_user(const char *name, uint32_t *ret)
{
	char *buffer = malloc(NAME_BUFFER);
	struct passwd entry, *found = NULL;
	int r = buffer ? getpwnam_r(name, &entry, buffer, NAME_BUFFER, &found) : ENOMEM;

	if (found)
		*ret = found->pw_uid;
	free(buffer);
	return found ? 0 : r != 0 ? -r : -ENOENT;
}

static int find_group(const char *name, uint32_t *ret)
{
	char *buffer = malloc(NAME_BUFFER);
	struct group entry, *found = NULL;
	int r = buffer ? getgrnam_r(name, &entry, buffer, NAME_BUFFER, &found) : ENOMEM;

	if (found)
		*ret = found->gr_gid;
	free(buffer);
	return found ? 0 : r != 0 ? -r : -ENOENT;
}

static int parse_id(const char *word, bool is_user, struct source *source, struct sfront_error *err)
{
	const char *text = word + 4, *what = is_user ? "user" : "group";
	uint64_t number;
	int r = 0;

	source->kind = is_user ? SOURCE_UID : SOURCE_GID;
	if (sfront_parse_count(text, 0, UINT32_MAX - 1, &number, NULL) == 0)
		source->id = (uint32_t)number;
	else
		r = is_user ? find_user(text, &source->id) : find_group(text, &source->id);
	if (r == -ENOENT)
		return refuse(err, r, "\"%.100s\": there is no such %s; write its name or number",
			      word, what);
	if (r < 0)
		return refuse(err, r, "\"%.100s\": the %s cannot be looked up: %s", word, what,
			      strerror(-r));
	if (source->id == SOURCE_OVERFLOW_ID)
		return refuse(err, -EINVAL,
			      "\"%.100s\": %d is every %s that has no number here, and "
			      "matches none",
			      word, SOURCE_OVERFLOW_ID, what);
	return 0;
}

static int parse_cid(const char *word, struct source *source, struct sfront_error *err)
{
	uint64_t number;

	source->kind = SOURCE_CID;
	if (sfront_parse_count(word + strlen("vsock:"), 0, UINT32_MAX - 1, &number, NULL) < 0)
		return refuse(err, -EINVAL,
			      "\"%.100s\": after vsock: comes the number of a context (CID)", word);
	source->id = (uint32_t)number;
	return 0;
}

/* ---- words ---- */

static const struct {
	const char *word;
	enum source_kind kind;
} words[] = {
	{ "any", SOURCE_ANY },
	{ "loopback", SOURCE_LOOPBACK },
	{ "unix", SOURCE_UNIX },
	{ "vsock", SOURCE_VSOCK },
};

int source_parse(const char *word, struct source *ret, struct sfront_error *err)
{
	struct source source = { 0 };
	int r = -EINVAL;

	if (err)
		err->message[0] = '\0';
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i].word) == 0) {
			*ret = (struct source){ .kind = words[i].kind };
			return 0;
		}
	}
	if (strchr(word, ','))
		return refuse(err, -EINVAL, "\"%.100s\": sources are separated by blanks", word);
	if (strncmp(word, "uid:", 4) == 0 || strncmp(word, "gid:", 4) == 0)
		r = parse_id(word, word[0] == 'u', &source, err);
	else if (strncmp(word, "vsock:", 6) == 0)
		r = parse_cid(word, &source, err);
	else if (looks_like_address(word) || strchr(word, '%'))
		r = parse_prefix(word, &source, err);
	if (r < 0 && (!err || !err->message[0]))
		return refuse(err, r, "\"%.100s\" is not a source: wanted is " TAKEN, word);
	if (r == 0)
		*ret = source;
	return r;
}

void source_format(const struct source *source, char *buf, size_t size)
{
	char host[INET6_ADDRSTRLEN];
	unsigned int most = source->prefix.is_ipv6 ? 128 : 32;

	switch (source->kind) {
	case SOURCE_PREFIX:
		(void)inet_ntop(source->prefix.is_ipv6 ? AF_INET6 : AF_INET, source->prefix.bytes,
				host, sizeof(host));
		if (source->prefix.bits == most)
			snprintf(buf, size, "%s", host);
		else
			snprintf(buf, size, "%s/%u", host, source->prefix.bits);
		return;
	case SOURCE_UID:
	case SOURCE_GID:
		snprintf(buf, size, "%cid:%u", source->kind == SOURCE_UID ? 'u' : 'g', source->id);
		return;
	case SOURCE_CID:
		snprintf(buf, size, "vsock:%u", source->id);
		return;
	default:
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (words[i].kind == source->kind)
				snprintf(buf, size, "%s", words[i].word);
	}
}

/* ---- lists ---- */

static int add(struct source_list *list, const struct source *source, bool allows,
	       struct sfront_error *err)
{
	struct source_rule *grown = list->rules;

	/* Doubling: a file may have a hundred thousand lines. */
	if ((list->n & (list->n - 1)) == 0)
		grown = reallocarray(list->rules, list->n > 0 ? 2 * list->n : 1, sizeof(*grown));
	if (!grown)
		return refuse(err, -ENOMEM, "out of memory");
	free(list->index);
	list->index = NULL;
	list->rules = grown;
	grown[list->n++] = (struct source_rule){ *source, allows };
	list->allows_some |= allows;
	return 0;
}

static int add_word(struct source_list *list, const char *word, bool allows,
		    struct sfront_error *err)
{
	struct source source;
	int r = source_parse(word, &source, err);

	return r < 0 ? r : add(list, &source, allows, err);
}

/* The word of a line without its comment; NULL: there is none. */
static char *word_of(char *line)
{
	line[strcspn(line, "#")] = '\0';
	line += strspn(line, " \t\r\n");
	for (size_t n = strlen(line); n > 0 && strchr(" \t\r\n", line[n - 1]); n--)
		line[n - 1] = '\0';
	return *line ? line : NULL;
}

static int add_line(struct source_list *list, char *line, bool allows, struct sfront_error *err)
{
	const char *word;

	if (strlen(line) >= LINE_MAX_BYTES - 1)
		return refuse(err, -EINVAL, "the line is longer than %d bytes", LINE_MAX_BYTES - 2);
	word = word_of(line);
	if (!word)
		return 0;
	if (strpbrk(word, " \t"))
		return refuse(err, -EINVAL, "\"%.100s\": one source a line", word);
	if (strncmp(word, "file:", 5) == 0)
		return refuse(err, -EINVAL, "\"%.100s\": a file cannot name another file", word);
	return add_word(list, word, allows, err);
}

static int add_file(struct source_list *list, const char *path, bool allows,
		    struct sfront_error *err)
{
	FILE *stream = *path ? fopen(path, "re") : NULL;
	struct sfront_error why;
	char line[LINE_MAX_BYTES];
	unsigned int number = 0;
	int r = 0;

	if (!stream)
		return refuse(err, *path ? -errno : -EINVAL, "file:%.200s: %s", path,
			      *path ? strerror(errno) : "the path is missing");
	while (r == 0 && fgets(line, sizeof(line), stream)) {
		number++;
		r = add_line(list, line, allows, &why);
	}
	if (r < 0)
		refuse(err, r, "%.200s:%u: %.500s", path, number, why.message);
	else if (ferror(stream))
		r = refuse(err, -EIO, "file:%.200s: %s", path, strerror(errno));
	fclose(stream);
	return r;
}

int source_list_add(struct source_list *list, const char *text, bool allows,
		    struct sfront_error *err)
{
	char *copy = strdup(text), *rest = copy, *word;
	size_t n = 0;
	int r = 0;

	if (!copy)
		return refuse(err, -ENOMEM, "out of memory");
	while (r == 0 && (word = strsep(&rest, " \t"))) {
		if (!*word)
			continue;
		n++;
		if (strncmp(word, "file:", 5) == 0)
			r = add_file(list, word + 5, allows, err);
		else
			r = add_word(list, word, allows, err);
	}
	free(copy);
	if (r == 0 && n == 0)
		return refuse(err, -EINVAL, "a source is missing: wanted is " TAKEN);
	return r;
}

int source_list_share(struct source_list *list, struct source_list *ret)
{
	if (!list->sharers) {
		list->sharers = malloc(sizeof(*list->sharers));
		if (!list->sharers)
			return -ENOMEM;
		atomic_init(list->sharers, 1);
	}
	atomic_fetch_add(list->sharers, 1);
	*ret = *list;
	return 0;
}

void source_list_clear(struct source_list *list)
{
	if (!list->sharers || atomic_fetch_sub(list->sharers, 1) == 1) {
		free(list->sharers);
		free(list->index);
		free(list->rules);
	}
	*list = (struct source_list){ 0 };
}
