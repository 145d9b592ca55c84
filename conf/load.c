/* SPDX-License-Identifier: MIT */
/*
 * Reads the INI file: bytes come in through line_next(), inih splits what is a
 * key from its value, and keys.c knows what it means.  inih has no line
 * numbers, takes an indented key for more of the value above, cuts what is long
 * and stops talking after the first error; so it is shown one clean line after
 * the other, and everything that is not "key = value" is dealt with here.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/foreign.h"
#include "conf/suggest.h"

#define FILE_BYTES_MAX (UINT64_C(16) << 20) /* an endless device ends here */
#define LINE_BYTES_MAX 4096                 /* with its comment */
#define HEADER_MAX     49                   /* what inih keeps of a section's name */
#define LETTERS        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define NAME_BYTES     LETTERS "0123456789._-"

enum section {
	SECTION_NONE,
	SECTION_PROCESS,
	SECTION_PROXY, /* the last one in the configuration */
	SECTION_STATUS,
	SECTION_UNKNOWN /* its keys are passed over: what they should be cannot be said */
};

struct line {
	char text[LINE_BYTES_MAX + 1];
	bool is_cut;
	bool has_nul;
};

struct loader {
	struct config *config;
	struct problems *problems;
	struct place place;
	FILE *stream;
	uint64_t n_bytes;
	bool is_broken; /* the file could not be read to its end */
	enum section section;
	unsigned int process_line; /* of [sockfront]; 0: not met yet */
	unsigned int status_line;  /* the same, of [status] */
	void *named;               /* tree of struct named_section; owned */
	unsigned int *key_lines;   /* by number of the key: where this section has it; 0: nowhere */
	struct line line;
};

/* A [proxy NAME] that was met. */
struct named_section {
	const char *name; /* the proxy's */
	unsigned int line;
};

/* What a section header says, or seems to want to say. */
struct header {
	enum section section;
	const char *name; /* of the proxy */
	bool is_exact;
};

/* ---- bytes to lines ---- */

static int byte_next(struct loader *l)
{
	int c;

	if (l->n_bytes == FILE_BYTES_MAX) {
		problem(l->problems, &l->place,
			"the file is larger than 16M, and so is no configuration");
		l->is_broken = true;
		return EOF;
	}

	c = getc_unlocked(l->stream);
	if (c == EOF && ferror(l->stream)) {
		problem(l->problems, &l->place, "the configuration cannot be read: %s",
			strerror(errno));
		l->is_broken = true;
	}
	l->n_bytes++;
	return c;
}

/* Whether there is one more line.  All of it is consumed, however long. */
static bool line_next(struct loader *l)
{
	struct line *line = &l->line;
	size_t n = 0;
	int c;

	line->is_cut = false;
	line->has_nul = false;

	c = byte_next(l);
	if (c == EOF)
		return false;
	l->place.line++;

	for (; c != EOF && c != '\n'; c = byte_next(l)) {
		if (c == '\0')
			line->has_nul = true;
		if (n < LINE_BYTES_MAX)
			line->text[n++] = (char)c;
		else
			line->is_cut = true;
	}
	line->text[n] = '\0';
	return !l->is_broken;
}

static char *skip_blanks(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

static void cut_blanks(char *text)
{
	size_t n = strlen(text);

	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	text[n] = '\0';
}

/* As inih has it: a semicolon behind a blank.  Returns whether there was one. */
static bool cut_comment(char *text)
{
	for (char *c = text; *c; c++) {
		if (*c == ';' && (c == text || isspace((unsigned char)c[-1]))) {
			*c = '\0';
			return true;
		}
	}
	return false;
}

/* Bares the line of byte order mark, indentation and comment. */
static char *line_bare(struct loader *l)
{
	char *text = l->line.text;

	if (l->place.line == 1 && strncmp(text, "\xEF\xBB\xBF", 3) == 0)
		text += 3;
	text = skip_blanks(text);

	if (*text == '#')
		*text = '\0';
	if (!*text || cut_comment(text))
		l->line.is_cut = false; /* what is missing was comment */
	cut_blanks(text);
	return text;
}

/* ---- section headers ---- */

/* Tells the section by its first word, mistyped or not.  @text: up to HEADER_MAX bytes. */
static struct header header_recognise(char *text)
{
	size_t n = strspn(text, LETTERS);
	char *rest = text + n;
	char separator = *rest;
	unsigned int to_process, to_proxy, to_status;
	char word[HEADER_MAX + 1];

	memcpy(word, text, n);
	word[n] = '\0';
	rest += isspace((unsigned char)separator) ? strspn(rest, " \t") : strspn(rest, ":./-");

	to_process = suggest_rank(word, "sockfront");
	to_proxy = suggest_rank(word, "proxy");
	to_status = suggest_rank(word, "status");

	if (to_process == NOT_NEAR && to_proxy == NOT_NEAR && to_status == NOT_NEAR)
		return (struct header){ .section = SECTION_UNKNOWN };
	if (to_status < to_process && to_status < to_proxy)
		return (struct header){
			.section = SECTION_STATUS,
			.is_exact = strcmp(text, "status") == 0,
		};
	if (to_process < to_proxy)
		return (struct header){
			.section = SECTION_PROCESS,
			.is_exact = strcmp(text, "sockfront") == 0,
		};
	return (struct header){
		.section = SECTION_PROXY,
		.name = rest,
		.is_exact = strcmp(word, "proxy") == 0 &&
			    (!separator || isspace((unsigned char)separator)),
	};
}

static void report_unknown_section(struct loader *l, const char *text, const struct header *header)
{
	if (header->section == SECTION_PROCESS)
		problem(l->problems, &l->place, "unknown section [%s] (did you mean [sockfront]?)",
			text);
	else if (header->section == SECTION_STATUS)
		problem(l->problems, &l->place, "unknown section [%s] (did you mean [status]?)",
			text);
	else if (header->section == SECTION_PROXY)
		problem(l->problems, &l->place, "unknown section [%s] (did you mean [proxy %s]?)",
			text, *header->name ? header->name : "NAME");
	else
		problem(l->problems, &l->place,
			"unknown section [%s] (there are [sockfront], [proxy NAME] and [status])",
			text);
}

static int compare_names(const void *a, const void *b)
{
	const struct named_section *one = a, *other = b;

	return strcmp(one->name, other->name);
}

static void check_proxy_name(struct loader *l, const char *name)
{
	const struct named_section wanted = { .name = name };
	struct named_section **earlier = tfind(&wanted, &l->named, compare_names);

	if (name[strspn(name, NAME_BYTES)])
		problem(l->problems, &l->place,
			"[proxy %s]: a name consists of letters, digits, \".\", \"_\" and \"-\"",
			name);
	if (*name && earlier)
		problem(l->problems, &l->place, "section [proxy %s] is there already, in line %u",
			name, (*earlier)->line);
}

/* The first of a name stays.  False: out of memory. */
static bool note_proxy_name(struct loader *l, const struct proxy_config *proxy)
{
	struct named_section *section = malloc(sizeof(*section)), **found;

	if (!section)
		return false;
	*section = (struct named_section){ .name = proxy->name, .line = l->place.line };
	found = tsearch(section, &l->named, compare_names);
	if (!found || *found != section)
		free(section);
	return found;
}

static void forget_key_lines(struct loader *l, enum key_scope scope)
{
	const struct key *key;

	for (size_t i = 0; (key = key_at(i)); i++)
		if (key->scope == scope)
			l->key_lines[i] = 0;
}

static void enter_process(struct loader *l)
{
	l->section = SECTION_PROCESS;
	if (l->process_line)
		problem(l->problems, &l->place, "section [sockfront] is there already, in line %u",
			l->process_line);
	else
		l->process_line = l->place.line;
}

static void enter_status(struct loader *l)
{
	l->section = SECTION_STATUS;
	if (l->status_line)
		problem(l->problems, &l->place, "section [status] is there already, in line %u",
			l->status_line);
	else
		l->status_line = l->place.line;
	if (!config_add_status(l->config, &l->place)) {
		problem(l->problems, &l->place, "out of memory");
		l->section = SECTION_UNKNOWN;
	}
}

/* Wrong names get their proxy too: what else is wrong with it is to be told in the same run. */
static void enter_proxy(struct loader *l, const char *name)
{
	struct proxy_config *proxy;

	check_proxy_name(l, name);
	forget_key_lines(l, KEY_PROXY);
	l->section = SECTION_PROXY;

	proxy = config_add_proxy(l->config, name, &l->place);
	if (!proxy || !note_proxy_name(l, proxy)) {
		problem(l->problems, &l->place, "out of memory");
		l->section = SECTION_UNKNOWN;
	}
}

/* Takes the brackets off.  Returns whether the header was as it should be. */
static bool unwrap_header(struct loader *l, char **text)
{
	char *end = strchr(*text, ']');
	bool well_formed = end && !end[1];

	if (!well_formed)
		problem(l->problems, &l->place,
			"\"%.*s\" is not a section header (such as [sockfront] or [proxy web])",
			HEADER_MAX, *text);
	if (end)
		*end = '\0';
	*text = skip_blanks(*text + 1);
	cut_blanks(*text);

	if (strlen(*text) <= HEADER_MAX)
		return well_formed;

	(*text)[HEADER_MAX] = '\0';
	if (well_formed)
		problem(l->problems, &l->place,
			"the section's name is longer than %d bytes (it begins \"%s\")", HEADER_MAX,
			*text);
	return false;
}

/* @text: the line, from its '[' */
static void read_header(struct loader *l, char *text)
{
	bool is_address = strstr(text, "]:"); /* a lost piece of a list */
	bool well_formed = unwrap_header(l, &text);
	struct header header = header_recognise(text);

	if (well_formed && !header.is_exact)
		report_unknown_section(l, text, &header);
	else if (well_formed && header.section == SECTION_PROXY && !*header.name)
		problem(l->problems, &l->place, "[proxy] has no name (such as [proxy web])");

	if (header.section == SECTION_PROCESS)
		enter_process(l);
	else if (header.section == SECTION_STATUS)
		enter_status(l);
	else if (header.section == SECTION_PROXY)
		enter_proxy(l, header.name);
	else if (well_formed || !is_address)
		l->section = SECTION_UNKNOWN;
}

/* ---- lines to inih ---- */

/* The key that @text begins with as a word of its own, or NULL. */
static const struct key *key_in_front(const char *text)
{
	size_t n = strcspn(text, " \t=");
	char word[HEADER_MAX + 1];

	if (n > HEADER_MAX)
		return NULL;
	memcpy(word, text, n);
	word[n] = '\0';
	return key_find_anywhere(word);
}

/* Of the section that is being read; in an unknown one it has no meaning. */
static enum key_scope scope_of(const struct loader *l)
{
	if (l->section == SECTION_PROXY)
		return KEY_PROXY;
	return l->section == SECTION_STATUS ? KEY_STATUS : KEY_PROCESS;
}

/* NULL: the section is no proxy's. */
static struct proxy_config *current_proxy(const struct loader *l)
{
	return l->section == SECTION_PROXY ? &l->config->proxies[l->config->n_proxies - 1] : NULL;
}

/* The line is there, whatever it says: what it was to give is not missing as well. */
static void note_unread(struct loader *l, const struct key *key)
{
	key = key ? key_find(key->name, scope_of(l)) : NULL;
	if (key)
		key_note_line(key, l->config, current_proxy(l));
}

static const char *section_of(enum key_scope scope)
{
	switch (scope) {
	case KEY_PROCESS:
		return "[sockfront]";
	case KEY_PROXY:
		return "a [proxy NAME] section";
	case KEY_STATUS:
		break;
	}
	return "[status]";
}

/* Whether @text begins with another program's name for something, which is then explained. */
static bool explain_foreign(struct loader *l, const char *text, enum key_scope scope)
{
	const struct foreign_option *foreign = foreign_option_find(text);
	char remark[FOREIGN_REMARK_SIZE];
	const struct key *key;

	if (!foreign)
		return false;
	if (!foreign->key) {
		problem(l->problems, &l->place, "unknown key \"%s\": %s", text, foreign->remark);
		return true;
	}
	key = key_find(foreign->key, scope);
	if (!key)
		key = key_find_anywhere(foreign->key);
	foreign_option_remark(foreign, remark, sizeof(remark));
	problem(l->problems, &l->place, "unknown key \"%s\"; here it is \"%s = %s\"%s%s%s", text,
		key->name, foreign->value ? foreign->value : key->argument,
		key->scope == scope ? "" : " in ",
		key->scope == scope ? "" : section_of(key->scope), remark);
	note_unread(l, key);
	return true;
}

/* Whether the colon at @at belongs to the value, behind a key that ends at @end. */
static bool is_of_value(const char *text, size_t end, size_t at)
{
	return text[at] == ':' && end < at && text[at + 1] && !strchr(" \t", text[at + 1]);
}

/* Whether inih will find one key and one value in @text. */
static bool is_key_line(struct loader *l, const char *text)
{
	size_t n_name = strcspn(text, "=:");
	size_t n_word = strcspn(text, " \t=:");
	bool is_one_word = n_word + strspn(text + n_word, " \t") == n_name;
	const struct key *key;

	if (n_name == 0) {
		problem(l->problems, &l->place, "a key is missing in front of \"%c\"", *text);
		return false;
	}
	key = key_in_front(text);
	/* "listen :8080": that colon is the address's. */
	if (text[n_name] && is_one_word && !(key && is_of_value(text, n_word, n_name)))
		return true;

	if (key)
		problem(l->problems, &l->place, "\"=\" is missing after \"%s\"", key->name);
	else if (!text[n_name] && !explain_foreign(l, text, scope_of(l)))
		problem(l->problems, &l->place,
			"\"%s\" is neither KEY = VALUE nor [SECTION] nor a comment (# or ;)", text);
	return !key && text[n_name];
}

/* What inih shall see of the line: a key with its value, or "". */
static const char *line_for_inih(struct loader *l, size_t size)
{
	char *text = line_bare(l);

	if (l->line.has_nul)
		problem(l->problems, &l->place, "a NUL byte: the file must be plain text");
	else if (l->line.is_cut || (*text != '[' && strlen(text) >= size))
		problem(l->problems, &l->place,
			"the line is longer than %zu bytes (without its comment)", size - 1);
	else if (*text == '[')
		read_header(l, text);
	else if (*text && is_key_line(l, text))
		return text;

	/* Whose the keys below a header are that cannot be read, nobody knows. */
	if (*text == '[' && (l->line.has_nul || l->line.is_cut))
		l->section = SECTION_UNKNOWN;
	else
		note_unread(l, key_in_front(text));
	return "";
}

static char *inih_reads(char *buf, int size, void *stream)
{
	struct loader *l = stream;

	if (!line_next(l))
		return NULL;
	return strcpy(buf, line_for_inih(l, (size_t)size));
}

/* ---- keys ---- */

/* The name nearest to @name of what other sections have, and of which; NULL: none is near. */
static const char *nearest_elsewhere(const char *name, enum key_scope scope,
				     enum key_scope *ret_scope)
{
	static const enum key_scope scopes[] = { KEY_PROCESS, KEY_PROXY, KEY_STATUS };
	const char *nearest = NULL;

	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]) && !nearest; i++) {
		*ret_scope = scopes[i];
		nearest = scopes[i] == scope ? NULL : key_nearest(name, scopes[i]);
	}
	return nearest;
}

static void report_unknown_key(struct loader *l, const char *name, enum key_scope scope)
{
	const struct key *known = key_find_anywhere(name);
	const char *nearest = key_nearest(name, scope);
	enum key_scope other;

	if (known) {
		problem(l->problems, &l->place, "key \"%s\" belongs in %s", name,
			section_of(known->scope));
		return;
	}
	if (explain_foreign(l, name, scope))
		return;
	if (nearest) {
		problem(l->problems, &l->place, "unknown key \"%s\" (did you mean \"%s\"?)", name,
			nearest);
		note_unread(l, key_find(nearest, scope));
		return;
	}

	nearest = nearest_elsewhere(name, scope, &other);
	if (nearest)
		problem(l->problems, &l->place,
			"unknown key \"%s\" (did you mean \"%s\", which belongs in %s?)", name,
			nearest, section_of(other));
	else
		problem(l->problems, &l->place, "unknown key \"%s\" (see sockfront.conf(5))", name);
}

/* Whether this key may be here once more. */
static bool is_first_line(struct loader *l, const struct key *key)
{
	size_t i = 0;

	while (key_at(i) != key)
		i++;
	if (l->key_lines[i] && !key->is_list) {
		problem(l->problems, &l->place, "key \"%s\" is there already, in line %u",
			key->name, l->key_lines[i]);
		return false;
	}
	l->key_lines[i] = l->place.line;
	return true;
}

/* What may have been meant by a value that was refused. */
static const char *hint_for(const struct key *key, const char *value)
{
	if (*value == '"' || *value == '\'')
		return " (quotation marks are not taken off)";
	if (strstr(value, " #"))
		return " (a comment after a value begins with \";\")";
	return key->is_list && strchr(value, ',') ? " (each belongs on a line of its own)" : "";
}

static void read_key(struct loader *l, const char *name, const char *value)
{
	enum key_scope scope = scope_of(l);
	const struct key *key = key_find(name, scope);
	struct sfront_error err;

	if (!key) {
		report_unknown_key(l, name, scope);
		return;
	}
	if (!is_first_line(l, key))
		return;

	if (key_set(key, l->config, current_proxy(l), value, &l->place, &err) < 0)
		problem(l->problems, &l->place, "%s: %s%s", name, err.message,
			hint_for(key, value));
}

static int inih_found(void *user, const char *section, const char *name, const char *value)
{
	struct loader *l = user;

	(void)section; /* cut at 49 bytes; the reader has it whole */

	if (l->section == SECTION_NONE)
		problem(l->problems, &l->place,
			"key \"%s\" comes before any section ([sockfront], [proxy NAME] or [status])",
			name);
	else if (l->section != SECTION_UNKNOWN)
		read_key(l, name, value);
	return 1;
}

/* ---- the file ---- */

static size_t count_keys(void)
{
	size_t n = 0;

	while (key_at(n))
		n++;
	return n;
}

static void load_stream(struct loader *l)
{
	struct place file = { .file = l->place.file };
	struct place bad = file;
	int r;

	r = ini_parse_stream(inih_reads, l, inih_found, l);
	if (r != 0) {
		/* Not with the lines that it is shown; but none shall be lost in silence. */
		bad.line = r > 0 ? (unsigned int)r : 0;
		problem(l->problems, &bad, "inih cannot read it (%d)", r);
	}

	if (!l->is_broken && l->config->n_proxies == 0)
		problem(l->problems, &file,
			"there is no [proxy NAME] section, and so nothing to listen on");
}

/* A FIFO that nobody writes to is empty: whoever reads it again must not wait for ever. */
static FILE *open_stream(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;
	FILE *stream;

	if (fd < 0)
		return NULL;
	stream = fcntl(fd, F_SETFL, O_RDONLY) == 0 ? fdopen(fd, "r") : NULL;
	if (stream)
		return stream;
	error = errno;
	close(fd);
	errno = error;
	return NULL;
}

void config_load(const char *path, struct config *config, struct problems *problems)
{
	struct loader l = {
		.config = config,
		.problems = problems,
		.place = { .file = path },
	};

	l.stream = open_stream(path);
	if (!l.stream) {
		problem(problems, &l.place, "the configuration cannot be opened: %s",
			strerror(errno));
		return;
	}

	l.key_lines = calloc(count_keys(), sizeof(*l.key_lines));
	if (l.key_lines)
		load_stream(&l);
	else
		problem(problems, &l.place, "out of memory");

	tdestroy(l.named, free);
	free(l.key_lines);
	fclose(l.stream);
}
