/* SPDX-License-Identifier: MIT */
/*
 * From a client to a number: see affinity.h.  The text is what both the kernel and a PROXY
 * protocol header come down to.
 */
#include "daemon/session/affinity.h"

#include <string.h>

#include <sockfront/address.h>

#include "daemon/backend/backend.h"
#include "daemon/session/access_log.h"
#include "daemon/session/state.h"

/* "10.0.0.1:1234", "[::1]:1234", "vsock:3:1234", "unix(pid=1,uid=2,gid=3)" */
uint64_t affinity_of(const char *client)
{
	const char *uid = strstr(client, "uid="), *colon = strrchr(client, ':');

	if (strncmp(client, "unix(", 5) == 0 && uid)
		return server_hash(uid, strcspn(uid, ","));
	return server_hash(client, colon ? (size_t)(colon - client) : strlen(client));
}

uint64_t affinity(const struct session *session, const struct backend *backend)
{
	char client[SFRONT_ADDRESS_TEXT_SIZE];

	if (!backend_wants_source(backend))
		return 0;
	access_log_format_client(session->note, &session->client, client, sizeof(client));
	return affinity_of(client);
}
