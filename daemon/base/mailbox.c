/* SPDX-License-Identifier: MIT */
/*
 * Messages between threads, over an eventfd that wakes the receiver's event
 * base.
 */
#include "daemon/base/mailbox.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct message *take_first(struct mailbox *mailbox)
{
	struct message *message;

	pthread_mutex_lock(&mailbox->lock);
	message = mailbox->first;
	if (message) {
		mailbox->first = message->next;
		if (!mailbox->first)
			mailbox->last = &mailbox->first;
		message->posted = false;
	}
	pthread_mutex_unlock(&mailbox->lock);
	return message;
}

static void mailbox_readable(evutil_socket_t fd, short what, void *arg)
{
	struct mailbox *mailbox = arg;
	struct message *message;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0)
		return; /* EAGAIN: the posts were delivered with an earlier wake-up */
	/* As many as were posted by then: what has come since wakes us again, after the others. */
	while (count-- > 0 && (message = take_first(mailbox)))
		message->deliver(message);
}

int mailbox_open(struct mailbox *mailbox, struct event_base *base)
{
	mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mailbox->fd < 0)
		return -errno;
	pthread_mutex_init(&mailbox->lock, NULL);
	mailbox->first = NULL;
	mailbox->last = &mailbox->first;
	if (event_assign(&mailbox->event, base, mailbox->fd, EV_READ | EV_PERSIST, mailbox_readable,
			 mailbox) < 0 ||
	    event_add(&mailbox->event, NULL) < 0) {
		close(mailbox->fd);
		return -ENOMEM;
	}
	return 0;
}

void mailbox_close(struct mailbox *mailbox)
{
	event_del(&mailbox->event);
	close(mailbox->fd);
	pthread_mutex_destroy(&mailbox->lock);
}

void mailbox_post(struct mailbox *mailbox, struct message *message)
{
	uint64_t one = 1;
	bool fresh;

	pthread_mutex_lock(&mailbox->lock);
	fresh = !message->posted;
	if (fresh) {
		message->posted = true;
		message->next = NULL;
		*mailbox->last = message;
		mailbox->last = &message->next;
	}
	pthread_mutex_unlock(&mailbox->lock);

	/* Fails only if the counter is about to overflow: then the thread has been woken. */
	if (fresh && write(mailbox->fd, &one, sizeof(one)) < 0)
		return;
}
