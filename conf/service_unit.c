/* SPDX-License-Identifier: MIT */
/*
 * The shipped service, line by line, for one configuration: see service_unit.h.  Its
 * comments are left out: they speak to whoever edits that file.
 */
#include "conf/service_unit.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "conf/socket_unit.h"

/* Of service_template.S. */
extern const char service_template[];

#define PRIVILEGED_BELOW 1024

/* Directories of the shipped sockfront.service, as the sample file names them. */
#define SHARED_RUN "/run/sockfront/"
#define SHARED_LOG "/var/log/sockfront/"

/* The user of the polkit rule in systemd/examples/units-on-demand. */
#define USER_OF_UNITS "sockfront-demand"

static bool begins(const char *text, const char *beginning)
{
	return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* ---- what the configuration makes necessary ---- */

static bool is_privileged(const struct sfront_address *address)
{
	uint16_t port = 0;

	if (address->kind == SFRONT_VSOCK)
		return address->u.vsock.port > 0 && address->u.vsock.port < PRIVILEGED_BELOW;
	return sfront_address_port(address, &port, NULL) == 0 && port > 0 &&
	       port < PRIVILEGED_BELOW;
}

static bool is_any(const struct sfront_address *address)
{
	(void)address;
	return true;
}

static bool is_in_shared_run(const struct sfront_address *address)
{
	return address->kind == SFRONT_UNIX && begins(address->u.local.name, SHARED_RUN);
}

/* Whether the service itself opens an address that is so: systemd does not. */
static bool opens(const struct socket_unit *unit, bool (*is_so)(const struct sfront_address *))
{
	const struct listen_section *section = &unit->section;

	for (size_t i = 0; i < section->n; i++)
		if (!socket_unit_has(unit, &section->lines[i]) && is_so(&section->lines[i].address))
			return true;
	return false;
}

static bool any_opens(const struct config *config, bool (*is_so)(const struct sfront_address *))
{
	struct socket_unit unit;

	for (size_t i = 0; socket_unit_at(config, i, &unit); i++)
		if (opens(&unit, is_so))
			return true;
	return false;
}

/* Who asks for the status can wait until a client has come. */
static bool opens_for_clients(const struct config *config)
{
	struct socket_unit unit;

	for (size_t i = 0; socket_unit_at(config, i, &unit); i++)
		if (!unit.section.is_status && opens(&unit, is_any))
			return true;
	return false;
}

static bool opens_as_net_admin(const struct socket_unit *unit)
{
	const struct sfront_options *options = unit->section.options;

	return opens(unit, is_any) && (sfront_options_is_set(options, "socket-mark") ||
				       options_are_yes(options, "ip-transparent"));
}

static bool any_needs_net_admin(const struct config *config)
{
	struct socket_unit unit;

	for (size_t i = 0; socket_unit_at(config, i, &unit); i++)
		if (socket_unit_lacks_mark(&unit) || opens_as_net_admin(&unit))
			return true;
	return false;
}

static bool is_from_client(const struct proxy_config *proxy)
{
	return proxy->backend_source.is_client;
}

static bool has_unit(const struct proxy_config *proxy)
{
	return proxy->unit;
}

static bool any_proxy(const struct config *config, bool (*is_so)(const struct proxy_config *))
{
	for (size_t i = 0; i < config->n_proxies; i++)
		if (is_so(&config->proxies[i]))
			return true;
	return false;
}

/* ---- the lines ---- */

struct writing {
	const struct config *config;
	const struct service_names *names;
	FILE *stream;
};

/* One word of a command line, whatever is in it. */
static void write_word(FILE *stream, const char *word)
{
	fputc('"', stream);
	for (const unsigned char *at = (const unsigned char *)word; *at; at++) {
		if (*at < ' ' || *at >= 0x7f)
			fprintf(stream, "\\x%02x", *at);
		else if (strchr("\"\\", *at))
			fprintf(stream, "\\%c", *at);
		else if (strchr("%$", *at))
			fprintf(stream, "%c%c", *at, *at);
		else
			fputc(*at, stream);
	}
	fputc('"', stream);
}

static bool is_plain(const char *word)
{
	return word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				 "/._-+@:,=")] == '\0';
}

static void write_command(const struct writing *writing, const char *key, const char *options)
{
	const char *const words[] = { writing->names->program, options, writing->names->file };

	fputs(key, writing->stream);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (i > 0)
			fputc(' ', writing->stream);
		if (i == 1 || is_plain(words[i]))
			fputs(words[i], writing->stream);
		else
			write_word(writing->stream, words[i]);
	}
	fputc('\n', writing->stream);
}

static void write_description(const struct writing *writing)
{
	const char *slash = strrchr(writing->names->file, '/');

	fputs("Description=sockfront: proxies of ", writing->stream);
	for (const char *at = slash + 1; *at; at++)
		fprintf(writing->stream, *at == '%' ? "%%%%" : "%c",
			*at < ' ' || *at > '~' ? '?' : *at);
	fputc('\n', writing->stream);
}

/* The .socket units come with Sockets=. */
static void write_order(const struct writing *writing)
{
	bool has_units = any_proxy(writing->config, has_unit);

	fprintf(writing->stream, "After=network.target nss-lookup.target%s\n",
		has_units ? " dbus.socket" : "");
	if (has_units)
		fputs("Wants=dbus.socket\n", writing->stream);
}

static void write_type(const struct writing *writing)
{
	fputs("Type=notify\n", writing->stream);
	if (*writing->names->sockets)
		fprintf(writing->stream, "Sockets=%s\n", writing->names->sockets);
}

static void write_user(const struct writing *writing)
{
	const struct config *config = writing->config;

	if (!any_proxy(config, has_unit)) {
		fputs("DynamicUser=yes\n", writing->stream);
		return;
	}
	fputs("# backend-unit: a polkit rule lets this user start and stop\n", writing->stream);
	for (size_t i = 0; i < config->n_proxies; i++)
		if (config->proxies[i].unit)
			fprintf(writing->stream, "#\t%s\n", config->proxies[i].unit);
	fputs("# The example units-on-demand has such a rule, and makes the user.\n"
	      "User=" USER_OF_UNITS "\n",
	      writing->stream);
}

static void write_capabilities(const struct writing *writing)
{
	const struct config *config = writing->config;
	bool admin = any_proxy(config, is_from_client) || any_needs_net_admin(config);
	bool bind = any_opens(config, is_privileged);
	const char *capabilities = admin && bind ? "CAP_NET_ADMIN CAP_NET_BIND_SERVICE"
				   : admin       ? "CAP_NET_ADMIN"
				   : bind        ? "CAP_NET_BIND_SERVICE"
						 : "";

	fprintf(writing->stream, "CapabilityBoundingSet=%s\n", capabilities);
	if (*capabilities)
		fprintf(writing->stream, "AmbientCapabilities=%s\n", capabilities);
}

static void write_run(const struct writing *writing)
{
	fprintf(writing->stream, "RuntimeDirectory=sockfront@%%N%s\n",
		any_opens(writing->config, is_in_shared_run) ? " sockfront" : "");
}

static void write_logs(const struct writing *writing)
{
	bool is_shared = begins(writing->config->process.access_log_file, SHARED_LOG);

	fprintf(writing->stream, "LogsDirectory=sockfront@%%N%s\n", is_shared ? " sockfront" : "");
}

/* What takes the place of lines that begin so; NULL: nothing does. */
static const struct {
	const char *beginning;
	void (*write)(const struct writing *writing);
} replacements[] = {
	{ "#", NULL },
	{ "Description=", write_description },
	{ "Requires=", NULL },
	{ "After=", write_order },
	{ "Type=", write_type },
	{ "RuntimeDirectory=", write_run },
	{ "LogsDirectory=", write_logs },
	{ "DynamicUser=", write_user },
	{ "CapabilityBoundingSet=", write_capabilities },
};

/* Whether something else took the place of the line. */
static bool replace(const struct writing *writing, const char *line)
{
	for (size_t i = 0; i < sizeof(replacements) / sizeof(replacements[0]); i++) {
		if (!begins(line, replacements[i].beginning))
			continue;
		if (replacements[i].write)
			replacements[i].write(writing);
		return true;
	}
	return false;
}

/* In lines that stay, the instance's name is the unit's. */
static void write_line(const struct writing *writing, const char *line, size_t length)
{
	if (replace(writing, line))
		return;
	if (begins(line, "ExecStart=/")) {
		write_command(writing, "ExecStart=", "-c");
		return;
	}
	if (begins(line, "ExecReload=/")) {
		write_command(writing, "ExecReload=", "--check -c");
		return;
	}
	for (size_t i = 0; i < length; i++) {
		bool is_name = i > 0 && line[i - 1] == '%' && line[i] == 'i';

		fputc(is_name ? 'N' : line[i], writing->stream);
	}
	fputc('\n', writing->stream);
}

/* What systemd cannot bind, the service opens at boot. */
static void write_install(const struct writing *writing)
{
	fputs("[Install]\n", writing->stream);
	if (*writing->names->sockets)
		fprintf(writing->stream, "Also=%s\n", writing->names->sockets);
	if (opens_for_clients(writing->config))
		fputs("WantedBy=multi-user.target\n", writing->stream);
}

/* Whether @path is in /run/sockfront@web, which is of "web.service". */
static bool is_in_own_run(const char *path, const char *service)
{
	size_t length = strlen(service) - strlen(".service");
	const char *name = path + strlen(SERVICE_RUN);

	return begins(path, SERVICE_RUN) && strncmp(name, service, length) == 0 &&
	       name[length] == '/';
}

bool service_unit_removes(const struct config *config, const char *service,
			  const struct sfront_address *address)
{
	if (address->kind != SFRONT_UNIX)
		return false;
	return is_in_own_run(address->u.local.name, service) ||
	       (is_in_shared_run(address) && any_opens(config, is_in_shared_run));
}

void service_unit_write(const struct config *config, const struct service_names *names,
			FILE *stream)
{
	const struct writing writing = { config, names, stream };
	const char *line = strstr(service_template, "\n[Unit]\n") + 1;

	while (!begins(line, "[Install]")) {
		size_t length = strcspn(line, "\n");

		write_line(&writing, line, length);
		line += length + 1;
	}
	write_install(&writing);
}
