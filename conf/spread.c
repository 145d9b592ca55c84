/* SPDX-License-Identifier: MIT */
/*
 * One section, many proxies: see spread.h.
 */
#include "conf/spread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All backends of a proxy are as many ports. */
static size_t count_ports(const struct proxy_config *proxy)
{
	return proxy->n_servers > 0 ? 1 + (size_t)proxy->servers[0].further : 1;
}

static size_t count_proxies(const struct config *config)
{
	size_t n = 0;

	for (size_t i = 0; i < config->n_proxies; i++)
		n += count_ports(&config->proxies[i]);
	return n;
}

static int copy_name(const struct proxy_config *proxy, struct proxy_config *ret)
{
	uint16_t port;
	int r = sfront_address_port(&ret->listen[0].address, &port, NULL);

	if (r == 0 && asprintf(&ret->name, "%s:%u", proxy->name, port) < 0) {
		ret->name = NULL;
		r = -ENOMEM;
	}
	return r;
}

/* Of each line, which are all ranges of the same length, the port at @step. */
static int copy_listen(const struct proxy_config *proxy, unsigned int step,
		       struct proxy_config *ret)
{
	size_t length = count_ports(proxy);

	ret->listen = calloc(proxy->n_listen / length, sizeof(*ret->listen));
	if (!ret->listen)
		return -ENOMEM;
	for (size_t i = step; i < proxy->n_listen; i += length)
		ret->listen[ret->n_listen++] = proxy->listen[i];
	return 0;
}

static int copy_servers(const struct proxy_config *proxy, unsigned int step,
			struct proxy_config *ret)
{
	ret->servers = calloc(proxy->n_servers, sizeof(*ret->servers));
	if (!ret->servers)
		return -ENOMEM;
	for (; ret->n_servers < proxy->n_servers; ret->n_servers++)
		ret->servers[ret->n_servers] = server_at(&proxy->servers[ret->n_servers], step);
	return 0;
}

static int copy_unit(const struct proxy_config *proxy, struct proxy_config *ret)
{
	if (!proxy->unit)
		return 0;
	ret->unit = strdup(proxy->unit);
	return ret->unit ? 0 : -ENOMEM;
}

static int copy_options(const struct proxy_config *proxy, struct proxy_config *ret)
{
	ret->options = sfront_options_copy(proxy->options);
	return ret->options ? 0 : -ENOMEM;
}

static int copy_lists(struct proxy_config *proxy, struct proxy_config *ret)
{
	int r = source_list_share(&proxy->access, &ret->access);

	if (r == 0)
		r = source_list_share(&proxy->accept_proxy_protocol, &ret->accept_proxy_protocol);
	if (r == 0)
		r = source_list_share(&proxy->trusted_tlvs, &ret->trusted_tlvs);
	return r;
}

/* What it owns becomes nobody's. */
static void forget_owned(struct proxy_config *proxy)
{
	proxy->name = NULL;
	proxy->listen = NULL;
	proxy->n_listen = 0;
	proxy->servers = NULL;
	proxy->n_servers = 0;
	proxy->unit = NULL;
	proxy->check.send = proxy->check.expect.bytes = (struct bytes){ 0 };
	proxy->options = NULL;
	proxy->access = (struct source_list){ 0 };
	proxy->accept_proxy_protocol = (struct source_list){ 0 };
	proxy->trusted_tlvs = (struct source_list){ 0 };
	proxy->backend_source.addresses = NULL;
	proxy->backend_source.n = 0;
}

/* @ret: for proxy_config_clear(), on failure too */
static int copy_at(struct proxy_config *proxy, unsigned int step, struct proxy_config *ret)
{
	int r;

	*ret = *proxy;
	forget_owned(ret);
	ret->is_further = step > 0;
	r = copy_listen(proxy, step, ret);
	if (r == 0)
		r = copy_name(proxy, ret);
	if (r == 0)
		r = copy_servers(proxy, step, ret);
	if (r == 0)
		r = copy_unit(proxy, ret);
	if (r == 0)
		r = copy_options(proxy, ret);
	if (r == 0)
		r = bytes_copy(&proxy->check.send, &ret->check.send);
	if (r == 0)
		r = bytes_copy(&proxy->check.expect.bytes, &ret->check.expect.bytes);
	if (r == 0)
		r = copy_lists(proxy, ret);
	if (r == 0)
		r = backend_source_copy(&proxy->backend_source, &ret->backend_source);
	return r;
}

/* Moves a proxy, or copies it for each port. */
static int spread_one(struct proxy_config *proxy, struct config *into)
{
	size_t n = count_ports(proxy);
	int r = 0;

	if (n == 1) {
		into->proxies[into->n_proxies++] = *proxy;
		*proxy = (struct proxy_config){ 0 };
	}
	for (unsigned int step = 0; n > 1 && step < n && r == 0; step++)
		r = copy_at(proxy, step, &into->proxies[into->n_proxies++]);
	return r;
}

int config_spread(struct config *config)
{
	size_t n = count_proxies(config);
	struct config spread = { 0 };
	int r = 0;

	if (n == config->n_proxies)
		return 0;
	spread.proxies = calloc(n, sizeof(*spread.proxies));
	if (!spread.proxies)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_proxies && r == 0; i++)
		r = spread_one(&config->proxies[i], &spread);
	config_drop_proxies(config);
	config->proxies = spread.proxies;
	config->n_proxies = spread.n_proxies;
	return r;
}
