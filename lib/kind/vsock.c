/* SPDX-License-Identifier: MIT */
/*
 * vsock:CID:PORT: listening sockets between a virtual machine and its host.
 */
#include <sys/socket.h> /* before <linux/vm_sockets.h>, which needs it in older versions */

#include <errno.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <unistd.h>

#include "lib/internal.h"

static int refuse(const char *text, int error, struct sfront_error *err)
{
	switch (error) {
	case -EAFNOSUPPORT:
	case -ENODEV:
		return sfront_fail(
			err, error,
			"%s: this kernel has no vsock: load vsock_loopback, vhost_vsock on "
			"a host, or the hypervisor's transport in a guest",
			text);
	case -EADDRINUSE:
		return sfront_fail(err, error, "%s: that port is taken already", text);
	case -EADDRNOTAVAIL:
		return sfront_fail(
			err, error,
			"%s: this machine does not have that CID; vsock:any:PORT listens on "
			"whatever it has",
			text);
	case -EACCES:
		return sfront_fail(err, error,
				   "%s: no permission: vsock ports below 1024 need root or "
				   "CAP_NET_BIND_SERVICE",
				   text);
	default:
		return sfront_fail(err, error, "%s: cannot listen: %s", text, strerror(-error));
	}
}

static void fill(const struct sfront_address *address, struct sfront_sockaddr *ret)
{
	const struct sockaddr_vm vm = {
		.svm_family = AF_VSOCK,
		.svm_cid = address->u.vsock.cid == SFRONT_CID_ANY ? VMADDR_CID_ANY
								  : address->u.vsock.cid,
		.svm_port = address->u.vsock.port ? address->u.vsock.port : VMADDR_PORT_ANY,
	};

	ret->len = sizeof(vm);
	memcpy(&ret->sa, &vm, sizeof(vm));
}

static int vsock_open(struct sfront_listener *listener, const struct sfront_address *address,
		      const struct sfront_options *options, struct sfront_error *err)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE], shown[SFRONT_ADDRESS_TEXT_SIZE];
	struct sfront_socket made = {
		.class = &sfront_vsock_class,
		.text = shown,
		.target = OWN(KIND_VSOCK),
		.stream = SFRONT_STREAM_VSOCK,
	};
	int r;

	sfront_address_format(address, text, sizeof(text));
	fill(address, &made.local);
	made.fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (made.fd < 0)
		return refuse(text, -errno, err);

	r = sfront_socket_apply(made.fd, made.target, text, options, err);
	if (r < 0)
		goto fail;
	if (bind(made.fd, &made.local.sa.any, made.local.len) < 0 ||
	    listen(made.fd, sfront_socket_backlog(text, options)) < 0) {
		r = refuse(text, -errno, err);
		goto fail;
	}
	r = sfront_socket_local(made.fd, &made.local);
	if (r < 0) {
		refuse(text, r, err);
		goto fail;
	}
	sfront_sockaddr_format(&made.local, shown, sizeof(shown));
	r = sfront_listener_add(listener, &made, err);
	if (r < 0)
		goto fail;
	return 0;

fail:
	close(made.fd);
	return r;
}

static bool vsock_fits(const struct sfront_socket *socket, const struct sfront_address *address,
		       const struct sfront_options *options)
{
	struct sfront_sockaddr wanted;

	(void)options;
	fill(address, &wanted);
	return address->u.vsock.port != 0 && sfront_sockaddr_equal(&wanted, &socket->local);
}

static int vsock_adopt(struct sfront_socket *socket, const struct sfront_address *address,
		       const struct sfront_options *options, struct sfront_error *err)
{
	struct sfront_address asked = *address;
	struct sfront_sockaddr wanted;
	struct sockaddr_vm vm;

	(void)options;
	(void)err;
	memcpy(&vm, &socket->local.sa, sizeof(vm));
	if (asked.u.vsock.port == 0)
		asked.u.vsock.port = vm.svm_port;
	fill(&asked, &wanted);
	if (!sfront_sockaddr_equal(&wanted, &socket->local))
		return -EINVAL;
	sfront_sockaddr_format(&socket->local, socket->text, SFRONT_ADDRESS_TEXT_SIZE);
	return 0;
}

const struct sfront_class sfront_vsock_class = {
	.name = "vsock",
	.open = vsock_open,
	.accept = sfront_socket_accept,
	.close = sfront_socket_close,
	.release = sfront_socket_release,
	.adopt = vsock_adopt,
	.fits = vsock_fits,
};
