/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a configuration file (conf/): loaded and checked.  Whatever is
 * wrong is reported with a line that the file has; a file without a report is a
 * configuration that could be served.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "conf/conf.h"

/* The file: an anonymous one, written anew for each input. */
static struct {
	int fd;
	char path[32];
} file = { .fd = -1 };

static unsigned int lines;

static void reported(void *data, const struct place *place, const char *message)
{
	unsigned int *reports = data;

	PROMISE(place && (!place->file || strcmp(place->file, file.path) == 0));
	PROMISE(place->line <= lines);
	PROMISE(message && message[0] != '\0');
	++*reports;
}

__attribute__((constructor)) static void prepare(void)
{
	file.fd = memfd_create("fuzz_ini", MFD_CLOEXEC);
	PROMISE(file.fd >= 0);
	snprintf(file.path, sizeof(file.path), "/proc/self/fd/%d", file.fd);
}

/* Its text is read as the same server. */
static void is_server(const struct server_config *server)
{
	char text[SERVER_TEXT_SIZE];
	struct server_config again;

	PROMISE(server->address.kind == SFRONT_TCP || server->address.kind == SFRONT_UNIX ||
		server->address.kind == SFRONT_ABSTRACT || server->address.kind == SFRONT_VSOCK);
	PROMISE(server->weight >= 1 && server->weight <= SERVER_WEIGHT_MAX);
	PROMISE(server_format(server, text, sizeof(text)) < sizeof(text));
	PROMISE(server_parse(text, &again, NULL) == 0);
	PROMISE(again.mux_port == server->mux_port &&
		sfront_address_equal(&again.address, &server->address));
}

static void is_complete(const struct config *config)
{
	PROMISE(config->n_proxies > 0 && config->process.workers > 0);
	for (size_t i = 0; i < config->n_proxies; i++) {
		const struct proxy_config *proxy = &config->proxies[i];

		PROMISE(proxy->name && proxy->n_listen > 0 && proxy->n_servers > 0);
		PROMISE(proxy->options);
		for (size_t j = 0; j < proxy->n_servers; j++)
			is_server(&proxy->servers[j]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int reports = 0;
	struct problems problems = { .report = reported, .data = &reports };
	struct config config;

	PROMISE(ftruncate(file.fd, 0) == 0);
	PROMISE(pwrite(file.fd, data, size, 0) == (ssize_t)size);
	lines = 1;
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';

	config_init(&config);
	config_load(file.path, &config, &problems);
	config_check(&config, &problems);
	PROMISE(reports == problems.count);
	if (reports == 0)
		is_complete(&config);
	config_clear(&config);
	return 0;
}
