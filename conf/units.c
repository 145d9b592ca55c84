/* SPDX-License-Identifier: MIT */
/*
 * Which units there are for a configuration, and what they are called: see units.h.  What
 * is in them, socket_unit.c and service_unit.c know.
 */
#include "conf/units.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/listen_stream.h"
#include "conf/service_unit.h"
#include "conf/socket_unit.h"

#define SUFFIX ".conf"

#define UNIT_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.-"

/* ---- names ---- */

/* "web" of "/etc/web.conf", with what is not allowed in a unit's name as \xNN. */
static void write_base(FILE *stream, const char *file)
{
	const char *leaf = strrchr(file, '/') + 1;
	size_t length = strlen(leaf), suffix = strlen(SUFFIX);

	if (length > suffix && strcmp(leaf + length - suffix, SUFFIX) == 0)
		length -= suffix;
	for (size_t i = 0; i < length; i++)
		if (strchr(UNIT_BYTES, leaf[i]) && (i > 0 || leaf[i] != '.'))
			fputc(leaf[i], stream);
		else
			fprintf(stream, "\\x%02x", (unsigned char)leaf[i]);
}

struct building {
	const struct config *config;
	const char *program, *file;
	struct units *units;
};

static size_t count_sockets(const struct config *config)
{
	struct socket_unit unit;
	size_t n = 0;

	for (size_t i = 0; socket_unit_at(config, i, &unit); i++)
		n += socket_unit_is_wanted(&unit);
	return n;
}

/* A proxy may be called "status": what is not one's has another separator. */
static void write_socket_name(FILE *stream, const struct building *building,
			      const struct socket_unit *unit)
{
	write_base(stream, building->file);
	if (unit->section.is_status)
		fputs(".status", stream);
	else if (building->config->n_proxies > 1)
		fprintf(stream, "-%s", unit->name);
	fputs(".socket", stream);
}

static void write_service_name(FILE *stream, const struct building *building)
{
	write_base(stream, building->file);
	fputs(".service", stream);
}

/* ---- texts ---- */

/* A string that is written as a file is. */
struct text {
	char *bytes;
	size_t size;
	FILE *stream; /* NULL: out of memory */
};

static bool text_begin(struct text *text)
{
	*text = (struct text){ 0 };
	text->stream = open_memstream(&text->bytes, &text->size);
	return text->stream;
}

/* The string, for the caller to free; NULL: out of memory. */
static char *text_end(struct text *text)
{
	bool failed = ferror(text->stream);

	if (fclose(text->stream) == 0 && !failed)
		return text->bytes;
	free(text->bytes);
	return NULL;
}

static void write_header(FILE *stream, const char *file)
{
	fputs(UNITS_HEADER " of ", stream);
	for (; *file; file++)
		fputc(*file < ' ' || *file > '~' ? '?' : *file, stream);
	fputs(".\n"
	      "# The next run overwrites this file: changes of your own belong in a drop-in\n"
	      "# (systemctl edit).\n"
	      "\n",
	      stream);
}

static char *socket_name(const struct building *building, const struct socket_unit *unit)
{
	struct text text;

	if (!text_begin(&text))
		return NULL;
	write_socket_name(text.stream, building, unit);
	return text_end(&text);
}

static char *service_name(const struct building *building)
{
	struct text text;

	if (!text_begin(&text))
		return NULL;
	write_service_name(text.stream, building);
	return text_end(&text);
}

static char *socket_names(const struct building *building)
{
	struct socket_unit unit;
	struct text text;
	size_t n = 0;

	if (!text_begin(&text))
		return NULL;
	for (size_t i = 0; socket_unit_at(building->config, i, &unit); i++) {
		if (!socket_unit_is_wanted(&unit))
			continue;
		fputs(n++ > 0 ? " " : "", text.stream);
		write_socket_name(text.stream, building, &unit);
	}
	return text_end(&text);
}

static char *socket_text(const struct building *building, const struct socket_unit *unit,
			 const char *service)
{
	struct text text;

	if (!text_begin(&text))
		return NULL;
	write_header(text.stream, building->file);
	socket_unit_write(unit, service, text.stream);
	return text_end(&text);
}

static char *service_text(const struct building *building, const char *sockets)
{
	const struct service_names names = { building->program, building->file, sockets };
	struct text text;

	if (!text_begin(&text))
		return NULL;
	write_header(text.stream, building->file);
	service_unit_write(building->config, &names, text.stream);
	return text_end(&text);
}

/* ---- what units cannot say ---- */

/* Where the process ends when it is idle, its proxies may open nothing themselves. */
static void check_left_out(const struct config *config, const struct socket_unit *unit,
			   const struct listen_config *listen, struct problems *problems)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE], stream[LISTEN_STREAM_SIZE];
	struct sfront_error why;

	if (unit->section.is_status || config->process.exit_idle_ms == SFRONT_INFINITY_MS ||
	    listen_stream_format(&listen->address, stream, &why) == 0)
		return;
	sfront_address_format(&listen->address, text, sizeof(text));
	problem(problems, &listen->place,
		"listen: \"%s\" cannot be in a .socket unit, and with exit-idle-time it has to be: "
		"%s",
		text, why.message);
}

static void check_listen(const struct config *config, const char *service,
			 const struct socket_unit *unit, const struct listen_config *listen,
			 struct problems *problems)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	sfront_address_format(&listen->address, text, sizeof(text));
	if (!address_is_own(&listen->address))
		problem(problems, &listen->place,
			"listen: \"%s\" names no address that a .socket unit could bind; write the "
			"address itself (such as /run/web.sock or 127.0.0.1:8080): one that a unit "
			"has bound is taken from it",
			text);
	else if (!socket_unit_has(unit, listen))
		check_left_out(config, unit, listen, problems);
	else if (service_unit_removes(config, service, &listen->address))
		problem(problems, &listen->place,
			"listen: \"%s\" would be lost when the service ends: systemd removes that "
			"directory of the service, and with it the socket; name another directory "
			"(such as /run)",
			text);
}

static int check(const struct building *building, struct problems *problems)
{
	const struct config *config = building->config;
	char *service = service_name(building);
	unsigned int before = problems->count;
	struct socket_unit unit;

	if (!service)
		return -ENOMEM;
	for (size_t i = 0; socket_unit_at(config, i, &unit); i++)
		for (size_t j = 0; j < unit.section.n; j++)
			check_listen(config, service, &unit, &unit.section.lines[j], problems);
	free(service);
	return problems->count == before ? 0 : -EINVAL;
}

/* ---- files ---- */

/* The next file.  Takes both strings.  False: out of memory. */
static bool add(struct units *units, struct unit_file file)
{
	units->all[units->n++] = file;
	return file.name && file.text;
}

static bool add_all(const struct building *building, const char *service, const char *sockets)
{
	struct units *units = building->units;
	struct socket_unit unit;

	for (size_t i = 0; socket_unit_at(building->config, i, &unit); i++) {
		if (socket_unit_is_wanted(&unit) &&
		    !add(units, (struct unit_file){ socket_name(building, &unit),
						    socket_text(building, &unit, service) }))
			return false;
	}
	return add(units,
		   (struct unit_file){ service_name(building), service_text(building, sockets) });
}

static bool make_all(const struct building *building)
{
	char *service = service_name(building), *sockets = socket_names(building);
	bool is_made = service && sockets && add_all(building, service, sockets);

	free(service);
	free(sockets);
	return is_made;
}

int units_make(struct units *units, const struct config *config, const char *program,
	       const char *file, struct problems *problems)
{
	const struct building building = { config, program, file, units };
	int r = check(&building, problems);

	if (r < 0)
		return r;
	*units = (struct units){ 0 };
	units->all = calloc(count_sockets(config) + 1, sizeof(*units->all));
	if (!units->all)
		return -ENOMEM;
	if (make_all(&building))
		return 0;
	units_clear(units);
	return -ENOMEM;
}

void units_clear(struct units *units)
{
	for (size_t i = 0; i < units->n; i++) {
		free(units->all[i].name);
		free(units->all[i].text);
	}
	free(units->all);
	*units = (struct units){ 0 };
}
