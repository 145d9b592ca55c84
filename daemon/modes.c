/* SPDX-License-Identifier: MIT */
/*
 * --check and --units: see modes.h.  What the units say, conf/units.c knows.
 */
#include "daemon/modes.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/args.h"
#include "conf/conf.h"
#include "conf/listen_stream.h"
#include "conf/port_range.h"
#include "conf/units.h"
#include "daemon/base/log.h"
#include "daemon/proxy/generation.h"

/* ---- --check ---- */

/* @last: with the last port of its range; or the same */
static void print_listen(const struct listen_config *listen, const struct listen_config *last)
{
	char text[PORT_RANGE_TEXT_SIZE], stream[LISTEN_STREAM_SIZE], end[LISTEN_STREAM_SIZE];
	struct sfront_error why;

	if (!address_is_own(&listen->address))
		return;
	port_range_format(&listen->address, listen->further, text, sizeof(text));
	if (listen->place.file)
		printf("%s:%u: ", listen->place.file, listen->place.line);
	if (listen_stream_format(&listen->address, stream, &why) < 0)
		printf("\"%s\" is for no .socket unit: %s\n", text, why.message);
	else if (listen == last || listen_stream_format(&last->address, end, &why) < 0)
		printf("\"%s\" is taken from a .socket unit that has ListenStream=%s\n", text,
		       stream);
	else
		printf("\"%s\" is taken from a .socket unit that has ListenStream=%s, and so on to "
		       "ListenStream=%s\n",
		       text, stream, end);
}

static void print_section(const struct listen_section *section)
{
	for (size_t i = 0; i < section->n; i += 1 + section->lines[i].further)
		print_listen(&section->lines[i], &section->lines[i + section->lines[i].further]);
}

void mode_check(const struct config *config, const struct args *args)
{
	struct listen_section section;

	generation_warn(config);
	for (size_t i = 0; config_listen_section(config, i, &section); i++)
		print_section(&section);
	printf("%s: valid, %zu prox%s\n", args->file ? args->file : "the command line",
	       config->n_proxies, config->n_proxies == 1 ? "y" : "ies");
}

/* ---- --units ---- */

static void problem_reported(void *data, const struct place *place, const char *message)
{
	(void)data;
	log_problem(place->file, place->line, message);
}

/* Whether the service, which has no home and a /tmp of its own, would not find it. */
static bool is_out_of_reach(const char *file)
{
	static const char *const hidden[] = { "/home/", "/root/", "/run/user/", "/tmp/",
					      "/var/tmp/" };
	struct stat st;

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (strncmp(file, hidden[i], strlen(hidden[i])) == 0)
			return true;
	return stat(file, &st) == 0 && !(st.st_mode & S_IROTH);
}

/* The directory as it really is, and the name in it, which may be a link: it is read again. */
static char *absolute_path(const char *file)
{
	const char *slash = strrchr(file, '/'), *leaf = slash ? slash + 1 : file;
	char *directory = slash ? strndup(file, (size_t)(slash - file) + 1) : strdup(".");
	char *resolved = directory ? realpath(directory, NULL) : NULL, *path = NULL;

	if (resolved &&
	    asprintf(&path, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, leaf) < 0)
		path = NULL;
	free(directory);
	free(resolved);
	return path;
}

static void print_units(const struct units *units)
{
	for (size_t i = 0; i < units->n; i++)
		printf("%s# %s\n%s", i > 0 ? "\n" : "", units->all[i].name, units->all[i].text);
}

/* Whether there is no file of that name, or one that was made here. */
static bool is_ours_to_write(const char *path)
{
	FILE *file = fopen(path, "re");
	char line[sizeof(UNITS_HEADER)] = "";
	bool is_ours;

	if (!file)
		return errno == ENOENT;
	is_ours = fgets(line, sizeof(line), file) && strcmp(line, UNITS_HEADER) == 0;
	fclose(file);
	return is_ours;
}

static int refuse_write(const char *path, int error)
{
	log_line(LOG_ERR, "%s: cannot be written: %s", path, strerror(-error));
	return error;
}

static int check_target(const char *path, const char *text)
{
	struct stat st;

	(void)text;
	/* What a link leads to is no file of ours, whatever it says. */
	if (is_ours_to_write(path) && (lstat(path, &st) < 0 || S_ISREG(st.st_mode)))
		return 0;
	log_line(LOG_ERR,
		 "%s: a file is there that --units has not made, and nothing was written; remove "
		 "it, or write to another directory",
		 path);
	return -EEXIST;
}

static int write_text(int fd, const char *text)
{
	FILE *file = fdopen(fd, "w");
	bool failed;

	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	failed = fputs(text, file) < 0 || fflush(file) != 0 || fchmod(fd, 0644) < 0;
	if (fclose(file) != 0 || failed)
		return errno ? -errno : -EIO;
	return 0;
}

/* systemd finds the old file or the new one. */
static int write_file(const char *path, const char *text)
{
	char *half = NULL;
	int fd, r;

	if (asprintf(&half, "%s.XXXXXX", path) < 0)
		return refuse_write(path, -ENOMEM);
	fd = mkstemp(half);
	r = fd < 0 ? -errno : write_text(fd, text);
	if (r == 0 && rename(half, path) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		unlink(half);
	free(half);
	if (r < 0)
		return refuse_write(path, r);
	printf("%s\n", path);
	return 0;
}

/* Does one thing for each file, by its path and its text, until that fails. */
static int each_file(const struct units *units, const char *directory,
		     int (*act)(const char *path, const char *text))
{
	char path[PATH_MAX];
	int r = 0;

	for (size_t i = 0; i < units->n && r == 0; i++) {
		const struct unit_file *unit = &units->all[i];

		if (snprintf(path, sizeof(path), "%s/%s", directory, unit->name) >=
		    (int)sizeof(path))
			return refuse_write(directory, -ENAMETOOLONG);
		r = act(path, unit->text);
	}
	return r;
}

/* All files are looked at before the first one is written. */
static int write_units(const struct units *units, const char *directory)
{
	int r = each_file(units, directory, check_target);

	return r < 0 ? r : each_file(units, directory, write_file);
}

int mode_units(const struct config *config, const struct args *args, const char *program)
{
	struct problems problems = { .report = problem_reported };
	char *file = absolute_path(args->file);
	struct units units;
	int r = -ENOMEM;

	if (file && is_out_of_reach(file))
		log_line(LOG_WARNING,
			 "%s: the service cannot read it there: it belongs in a directory such as "
			 "/etc/sockfront, and everybody has to be allowed to read it",
			 file);
	if (file && program)
		r = units_make(&units, config, program, file, &problems);
	free(file);
	if (r == -ENOMEM)
		log_line(LOG_ERR, "out of memory");
	if (r < 0)
		return r;
	if (args->output)
		r = write_units(&units, args->output);
	else
		print_units(&units);
	units_clear(&units);
	return r;
}
