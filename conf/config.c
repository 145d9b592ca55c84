/* SPDX-License-Identifier: MIT */
/*
 * The life of a configuration: everything at its default, a proxy more, all of
 * it freed; and the way in which problems are told.  The defaults stand here
 * once; keys.c changes them, load.c and the command line call both.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "conf/conf.h"

void problem(struct problems *problems, const struct place *place, const char *format, ...)
{
	char message[2 * SFRONT_MESSAGE_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);

	problems->count++;
	problems->report(problems->data, place, message);
}

void config_init(struct config *config)
{
	*config = (struct config){
		.process = {
			.workers = 1,
			.log_level = LOG_INFO,
			.drain_timeout_ms = 30 * 1000,
			.exit_idle_ms = SFRONT_INFINITY_MS,
			.pipe_size = 1024 * 1024,
		},
	};
}

void proxy_config_clear(struct proxy_config *proxy)
{
	free(proxy->name);
	free(proxy->listen);
	free(proxy->servers);
	free(proxy->unit);
	bytes_clear(&proxy->check.send);
	bytes_clear(&proxy->check.expect.bytes);
	sfront_options_free(proxy->options);
	source_list_clear(&proxy->access);
	source_list_clear(&proxy->accept_proxy_protocol);
	source_list_clear(&proxy->trusted_tlvs);
	backend_source_clear(&proxy->backend_source);
}

void config_drop_proxies(struct config *config)
{
	for (size_t i = 0; i < config->n_proxies; i++)
		proxy_config_clear(&config->proxies[i]);
	free(config->proxies);
	config->proxies = NULL;
	config->n_proxies = 0;
}

void config_clear(struct config *config)
{
	config_drop_proxies(config);
	config_drop_status(config);
}

struct proxy_config *config_add_proxy(struct config *config, const char *name,
				      const struct place *place)
{
	struct proxy_config proxy = {
		.place = *place,
		.header_timeout_ms = 5 * 1000,
		.connect_timeout_ms = 10 * 1000,
		.resolve_interval_ms = 10 * 1000,
		.connect_retry = true,
		.unit_idle_ms = SFRONT_INFINITY_MS,
		.check = { .interval_ms = SFRONT_INFINITY_MS,
			   .timeout_ms = 2 * 1000,
			   .rise = 1,
			   .fall = 3 },
		.source_prefix = { .v4 = 32, .v6 = 64 },
		.idle_timeout_ms = SFRONT_INFINITY_MS,
		.half_close_timeout_ms = SFRONT_INFINITY_MS,
		.connection_timeout_ms = SFRONT_INFINITY_MS,
		/* At 1 Gbit/s, 64 KiB come every half millisecond: with 1 ms nothing is saved. */
		.coalesce_ms = 2,
		.backend_nodelay = true,
	};
	size_t n = config->n_proxies;
	struct proxy_config *grown;

	/* Doubled at each power of two. */
	grown = n & (n - 1) ? config->proxies
			    : reallocarray(config->proxies, n ? n * 2 : 1, sizeof(*grown));
	if (!grown)
		return NULL;
	config->proxies = grown;

	proxy.name = strdup(name);
	proxy.options = sfront_options_new();
	if (!proxy.name || !proxy.options) {
		proxy_config_clear(&proxy);
		return NULL;
	}

	config->proxies[config->n_proxies] = proxy;
	return &config->proxies[config->n_proxies++];
}

const char *check_key_name(enum check_key key)
{
	static const char *const names[CHECK_KEYS] = {
		[CHECK_TIMEOUT] = "check-timeout",
		[CHECK_RISE] = "check-rise",
		[CHECK_FALL] = "check-fall",
		[CHECK_SEND] = "check-send",
	};

	return names[key];
}

struct status_config *config_add_status(struct config *config, const struct place *place)
{
	struct status_config *status = config->status;

	if (status)
		return status;
	status = calloc(1, sizeof(*status));
	if (!status)
		return NULL;
	status->place = *place;
	status->options = sfront_options_new();
	if (!status->options) {
		free(status);
		return NULL;
	}
	config->status = status;
	return status;
}

void status_config_free(struct status_config *status)
{
	if (!status)
		return;
	free(status->listen);
	sfront_options_free(status->options);
	source_list_clear(&status->access);
	host_list_clear(&status->hosts);
	free(status);
}

void config_drop_status(struct config *config)
{
	status_config_free(config->status);
	config->status = NULL;
}

bool config_listen_section(const struct config *config, size_t index, struct listen_section *ret)
{
	if (index < config->n_proxies) {
		const struct proxy_config *proxy = &config->proxies[index];

		*ret = (struct listen_section){ .lines = proxy->listen,
						.n = proxy->n_listen,
						.options = proxy->options };
		return true;
	}
	if (index > config->n_proxies || !config->status)
		return false;
	*ret = (struct listen_section){ .lines = config->status->listen,
					.n = config->status->n_listen,
					.options = config->status->options,
					.is_status = true };
	return true;
}

bool address_is_own(const struct sfront_address *address)
{
	switch (address->kind) {
	case SFRONT_TCP:
	case SFRONT_UNIX:
	case SFRONT_ABSTRACT:
	case SFRONT_VSOCK:
		return true;
	default:
		return false;
	}
}

bool options_are_yes(const struct sfront_options *options, const char *name)
{
	char value[sizeof("yes")];
	bool is_yes;

	return sfront_options_get(options, name, value, sizeof(value)) > 0 &&
	       sfront_parse_switch(value, &is_yes, NULL) == 0 && is_yes;
}
