/* SPDX-License-Identifier: MIT */
/*
 * Opens loops: see loop.h.
 */
#include "daemon/base/loop.h"

#include <errno.h>
#include <sys/epoll.h>

/*
 * The descriptor that the base waits with, which libevent tells nobody: the one that has the
 * mailbox already.  It was opened shortly before that.
 */
static int find_poll_fd(int mailbox)
{
	struct epoll_event event = { .events = EPOLLIN };

	for (int fd = mailbox; fd-- > 0;) {
		if (epoll_ctl(fd, EPOLL_CTL_ADD, mailbox, &event) == 0)
			(void)epoll_ctl(fd, EPOLL_CTL_DEL, mailbox, &event);
		else if (errno == EEXIST)
			return fd;
	}
	return -1;
}

int loop_open(struct loop *loop, int n_priorities)
{
	int r;

	loop->base = event_base_new();
	if (!loop->base)
		return -ENOMEM;
	event_base_priority_init(loop->base, n_priorities);
	r = mailbox_open(&loop->mailbox, loop->base);
	if (r < 0) {
		event_base_free(loop->base);
		loop->base = NULL;
		return r;
	}
	loop->poll_fd = find_poll_fd(loop->mailbox.fd);
	return 0;
}

void loop_close(struct loop *loop)
{
	if (!loop->base)
		return;
	mailbox_close(&loop->mailbox);
	event_base_free(loop->base);
	loop->base = NULL;
}
