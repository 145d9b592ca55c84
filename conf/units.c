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
	size_t n = 0;

	for (size_t i = 0; i < config->n_proxies; i++)
		n += socket_unit_is_wanted(&config->proxies[i]);
	return n;
}

static void write_socket_name(FILE *stream, const struct building *building,
			      const struct proxy_config *proxy)
{
	write_base(stream, building->file);
	if (building->config->n_proxies > 1)
		fprintf(stream, "-%s", proxy->name);
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

static char *socket_name(const struct building *building, const struct proxy_config *proxy)
{
	struct text text;

	if (!text_begin(&text))
		return NULL;
	write_socket_name(text.stream, building, proxy);
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
	const struct config *config = building->config;
	struct text text;
	size_t n = 0;

	if (!text_begin(&text))
		return NULL;
	for (size_t i = 0; i < config->n_proxies; i++) {
		if (!socket_unit_is_wanted(&config->proxies[i]))
			continue;
		fputs(n++ > 0 ? " " : "", text.stream);
		write_socket_name(text.stream, building, &config->proxies[i]);
	}
	return text_end(&text);
}

static char *socket_text(const struct building *building, const struct proxy_config *proxy,
			 const char *service)
{
	struct text text;

	if (!text_begin(&text))
		return NULL;
	write_header(text.stream, building->file);
	socket_unit_write(proxy, service, text.stream);
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

static void check_listen(const struct config *config, const char *service,
			 const struct listen_config *listen, struct problems *problems)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE], stream[LISTEN_STREAM_SIZE];
	struct sfront_error why;

	sfront_address_format(&listen->address, text, sizeof(text));
	if (!address_is_own(&listen->address))
		problem(problems, &listen->place,
			"listen: \"%s\" says nothing of an address for ListenStream=; write the "
			"address itself, and it is taken from the unit that passes it",
			text);
	else if (config->process.exit_idle_ms != SFRONT_INFINITY_MS &&
		 listen_stream_format(&listen->address, stream, &why) < 0)
		problem(problems, &listen->place,
			"listen: \"%s\" is for no .socket unit, and with exit-idle-time it has to "
			"be: %s",
			text, why.message);
	else if (service_unit_removes(config, service, &listen->address))
		problem(problems, &listen->place,
			"listen: \"%s\" would be lost when the service ends: it removes that "
			"directory, and the socket is systemd's; name another directory, here or "
			"in [status]",
			text);
}

/* The service opens it. */
static void check_status_listen(const struct listen_config *listen, struct problems *problems)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	sfront_address_format(&listen->address, text, sizeof(text));
	if (!address_is_own(&listen->address))
		problem(problems, &listen->place,
			"listen: \"%s\" of [status] is passed by no unit that is made here; write "
			"the address itself",
			text);
}

static int check(const struct building *building, struct problems *problems)
{
	char *service = service_name(building);
	unsigned int before = problems->count;
	struct listen_section section;

	if (!service)
		return -ENOMEM;
	for (size_t i = 0; config_listen_section(building->config, i, &section); i++)
		for (size_t j = 0; j < section.n; j++)
			if (section.is_status)
				check_status_listen(&section.lines[j], problems);
			else
				check_listen(building->config, service, &section.lines[j],
					     problems);
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
	const struct config *config = building->config;
	struct units *units = building->units;

	for (size_t i = 0; i < config->n_proxies; i++) {
		const struct proxy_config *proxy = &config->proxies[i];

		if (socket_unit_is_wanted(proxy) &&
		    !add(units, (struct unit_file){ socket_name(building, proxy),
						    socket_text(building, proxy, service) }))
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
