/* SPDX-License-Identifier: MIT */
/*
 * Which requests are refused: see http_guard.h.
 */
#include "daemon/status/http_guard.h"

#include <arpa/inet.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "conf/host_list.h"

static const struct http_refusal method = { HTTP_BADMETHOD, "Method Not Allowed",
					    "only GET and HEAD are answered here" };
static const struct http_refusal foreign_site = { 403, "Forbidden",
						  "pages of other sites get no answer here" };
static const struct http_refusal foreign_host = {
	421, "Misdirected Request",
	"the Host of a request is an IP address, localhost, or a name that status-host has"
};

/* ---- the Host ---- */

static bool is_literal(int family, const char *text, size_t n)
{
	char copy[INET6_ADDRSTRLEN], bytes[sizeof(struct in6_addr)];

	if (n >= sizeof(copy))
		return false;
	memcpy(copy, text, n);
	copy[n] = '\0';
	return inet_pton(family, copy, bytes) == 1;
}

static bool is_port_or_nothing(const char *text)
{
	return *text == '\0' || (*text == ':' && text[1 + strspn(text + 1, "0123456789")] == '\0');
}

/* [::1], [::1]:9090 */
static bool is_ipv6_host(const char *host)
{
	const char *end = strchr(host, ']');

	return end && is_literal(AF_INET6, host + 1, (size_t)(end - host - 1)) &&
	       is_port_or_nothing(end + 1);
}

static bool is_name(const char *host, size_t n, const struct host_list *hosts)
{
	static const char localhost[] = "localhost";

	return (n == strlen(localhost) && strncasecmp(host, localhost, n) == 0) ||
	       host_list_has(hosts, host, n);
}

static bool is_ours(const char *host, const struct host_list *hosts)
{
	size_t n = strcspn(host, ":");

	if (*host == '[')
		return is_ipv6_host(host);
	return is_port_or_nothing(host + n) &&
	       (is_literal(AF_INET, host, n) || is_name(host, n, hosts));
}

/* How often the header is there, and whether each of them is for us. */
static size_t count_hosts(const struct evkeyvalq *headers, const struct host_list *hosts,
			  bool *ret_ours)
{
	const struct evkeyval *header;
	size_t n = 0;

	*ret_ours = true;
	TAILQ_FOREACH (header, headers, next) {
		if (strcasecmp(header->key, "Host") != 0)
			continue;
		*ret_ours &= is_ours(header->value, hosts);
		n++;
	}
	return n;
}

/* HTTP/1.0 has no such header; and whoever names a host in the first line takes us for a proxy. */
static bool is_for_us(struct evhttp_request *request, const struct host_list *hosts)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	bool is_old = request->major == 1 && request->minor == 0, ours;
	size_t n = count_hosts(evhttp_request_get_input_headers(request), hosts, &ours);

	return !evhttp_uri_get_host(uri) && ours && (n == 1 || (n == 0 && is_old));
}

/* ---- the site ---- */

static bool is_of_another_site(const struct evkeyvalq *headers)
{
	const struct evkeyval *header;

	TAILQ_FOREACH (header, headers, next)
		if (strcasecmp(header->key, "Sec-Fetch-Site") == 0 &&
		    strcasecmp(header->value, "same-origin") != 0 &&
		    strcasecmp(header->value, "none") != 0)
			return true;
	return false;
}

const struct http_refusal *http_guard_check(struct evhttp_request *request,
					    const struct host_list *hosts)
{
	enum evhttp_cmd_type command = evhttp_request_get_command(request);

	if (!is_for_us(request, hosts))
		return &foreign_host;
	if (is_of_another_site(evhttp_request_get_input_headers(request)))
		return &foreign_site;
	return command == EVHTTP_REQ_GET || command == EVHTTP_REQ_HEAD ? NULL : &method;
}
