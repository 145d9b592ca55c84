/* SPDX-License-Identifier: MIT */
/*
 * From text to bytes, without a resolver: see target.h.
 */
#include "daemon/backend/target.h"

#include <linux/vm_sockets.h>
#include <string.h>

/* @at: where in the address the name begins; one byte in front of it makes it abstract */
static struct sfront_sockaddr unix_address(const char *name, size_t at, size_t length)
{
	struct sfront_sockaddr addr = { .sa.un.sun_family = AF_UNIX };

	memcpy(addr.sa.un.sun_path + at, name, length);
	addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + at + length);
	return addr;
}

static struct sfront_sockaddr vsock_address(const struct sfront_address *address)
{
	const struct sockaddr_vm vm = {
		.svm_family = AF_VSOCK,
		.svm_cid = address->u.vsock.cid,
		.svm_port = address->u.vsock.port,
	};
	struct sfront_sockaddr addr = { .len = sizeof(vm) };

	memcpy(&addr.sa, &vm, sizeof(vm));
	return addr;
}

bool target_fill(const struct sfront_address *address, struct sfront_sockaddr *ret)
{
	const char *name = address->u.local.name;

	switch (address->kind) {
	case SFRONT_UNIX:
		*ret = unix_address(name, 0, strlen(name) + 1);
		return true;
	case SFRONT_ABSTRACT:
		*ret = unix_address(name, 1, strlen(name));
		return true;
	case SFRONT_VSOCK:
		*ret = vsock_address(address);
		return true;
	default:
		return false;
	}
}
