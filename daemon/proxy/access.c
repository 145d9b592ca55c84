/* SPDX-License-Identifier: MIT */
/*
 * Clients against rules: see access.h.
 */
#include "daemon/proxy/access.h"

#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "conf/source_index.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

struct access_client access_client_of(const struct sfront_connection *connection)
{
	struct access_client client = { .peer = connection->peer, .fd = connection->read_fd };
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (client.peer.len == 0 || client.peer.sa.any.sa_family != AF_UNIX ||
	    getsockopt(client.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return client;
	client.has_uid = true;
	client.uid = peer.uid;
	client.gid = peer.gid;
	return client;
}

/* The bytes of an IP address; IPv4 inside IPv6 is IPv4.  NULL: it is none. */
static const unsigned char *ip_bytes(const struct sfront_sockaddr *addr, bool *ret_is_ipv6)
{
	*ret_is_ipv6 = false;
	if (addr->len == 0)
		return NULL;
	if (addr->sa.any.sa_family == AF_INET)
		return (const unsigned char *)&addr->sa.in.sin_addr;
	if (addr->sa.any.sa_family != AF_INET6)
		return NULL;
	if (IN6_IS_ADDR_V4MAPPED(&addr->sa.in6.sin6_addr))
		return addr->sa.in6.sin6_addr.s6_addr + 12;
	*ret_is_ipv6 = true;
	return addr->sa.in6.sin6_addr.s6_addr;
}

/* The address that decides prefixes. */
static const struct sfront_sockaddr *address_of(const struct access_client *client)
{
	return client->claimed ? client->claimed : &client->peer;
}

static bool has_prefix(const struct source *source, const struct sfront_sockaddr *addr)
{
	unsigned int whole = source->prefix.bits / 8, rest = source->prefix.bits % 8;
	bool is_ipv6;
	const unsigned char *bytes = ip_bytes(addr, &is_ipv6);

	if (!bytes || is_ipv6 != source->prefix.is_ipv6 ||
	    memcmp(bytes, source->prefix.bytes, whole) != 0)
		return false;
	return rest == 0 || ((bytes[whole] ^ source->prefix.bytes[whole]) >> (8 - rest)) == 0;
}

static bool is_loopback(const struct sfront_sockaddr *addr)
{
	bool is_ipv6;
	const unsigned char *bytes = ip_bytes(addr, &is_ipv6);

	if (!bytes)
		return false;
	return is_ipv6 ? IN6_IS_ADDR_LOOPBACK(&addr->sa.in6.sin6_addr) : bytes[0] == 127;
}

static bool is_family(const struct sfront_sockaddr *addr, int family)
{
	return addr->len > 0 && addr->sa.any.sa_family == family;
}

/*
 * The supplementary groups of a UNIX peer, as many as it has.  @on_doubt: the answer where
 * there is no memory to ask.
 */
static bool has_group(int fd, gid_t gid, bool on_doubt)
{
	socklen_t size = 0;
	gid_t *groups, none;
	bool found = false;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, &none, &size) == 0 || size == 0)
		return false;
	groups = malloc(size);
	if (!groups)
		return on_doubt;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0)
		for (size_t i = 0; i < size / sizeof(*groups) && !found; i++)
			found = groups[i] == gid;
	free(groups);
	return found;
}

static bool is_in_group(const struct access_client *client, gid_t gid, bool on_doubt)
{
	if (!client->has_uid || gid == SOURCE_OVERFLOW_ID)
		return false;
	return client->gid == gid || (client->fd >= 0 && has_group(client->fd, gid, on_doubt));
}

static bool is_context(const struct sfront_sockaddr *addr, uint32_t cid)
{
	struct sockaddr_vm vm;

	if (!is_family(addr, AF_VSOCK))
		return false;
	memcpy(&vm, &addr->sa, sizeof(vm));
	return vm.svm_cid == cid;
}

static bool matches(const struct source *source, const struct access_client *client, bool on_doubt)
{
	switch (source->kind) {
	case SOURCE_ANY:
		return true;
	case SOURCE_PREFIX:
		return has_prefix(source, address_of(client));
	case SOURCE_LOOPBACK:
		return is_loopback(&client->peer);
	case SOURCE_UNIX:
		return is_family(&client->peer, AF_UNIX);
	case SOURCE_UID:
		return client->has_uid && client->uid != SOURCE_OVERFLOW_ID &&
		       client->uid == source->id;
	case SOURCE_GID:
		return is_in_group(client, source->id, on_doubt);
	case SOURCE_VSOCK:
		return is_family(&client->peer, AF_VSOCK);
	case SOURCE_CID:
		return is_context(&client->peer, source->id);
	}
	return false;
}

static bool rule_matches(const struct source_rule *rule, const struct access_client *client)
{
	return matches(&rule->source, client, !rule->allows);
}

static size_t find_prefix(const struct source_index *index, const struct sfront_sockaddr *addr)
{
	bool is_ipv6;
	const unsigned char *bytes = ip_bytes(addr, &is_ipv6);

	return bytes ? source_index_find(index, is_ipv6, bytes) : SIZE_MAX;
}

/* One without a prefix that comes first decides, else the first that has one. */
static const struct source_rule *find_by_index(const struct source_list *list,
					       const struct access_client *client)
{
	const struct source_index *index = list->index;
	size_t first = find_prefix(index, address_of(client));

	for (size_t i = 0; i < index->n_others && index->others[i] < first; i++)
		if (rule_matches(&list->rules[index->others[i]], client))
			return &list->rules[index->others[i]];
	return first < list->n ? &list->rules[first] : NULL;
}

const struct source_rule *source_list_find(const struct source_list *list,
					   const struct access_client *client)
{
	if (list->index)
		return find_by_index(list, client);
	for (size_t i = 0; i < list->n; i++)
		if (rule_matches(&list->rules[i], client))
			return &list->rules[i];
	return NULL;
}

bool access_is_granted(const struct source_list *rules, const struct access_client *client,
		       const struct source_rule **ret_rule)
{
	*ret_rule = source_list_find(rules, client);
	return *ret_rule ? (*ret_rule)->allows : !rules->allows_some;
}

void access_format_reason(const struct source_rule *rule, char *buf, size_t size)
{
	char source[64];

	if (!rule) {
		snprintf(buf, size, "refused: no allow matches");
		return;
	}
	source_format(&rule->source, source, sizeof(source));
	snprintf(buf, size, "refused: deny %s", source);
}
