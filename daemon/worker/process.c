/* SPDX-License-Identifier: MIT */
/*
 * The slots of the process and of its proxies: see process.h.
 */
#include "daemon/worker/process.h"

#include <limits.h>

#include "daemon/base/counters.h"
#include "daemon/proxy/generation.h"
#include "daemon/worker/process_counts.h"

void process_connections_changed(struct process *process)
{
	if (atomic_load(&process->observer.waits) &&
	    atomic_exchange(&process->observer.waits, false))
		mailbox_post(process->observer.mailbox, &process->observer.changed);
}

void process_give_slot(struct process *process, struct proxy *proxy)
{
	/* Both, whatever the first one says. */
	bool wanted = connection_limit_give(&proxy->limit->connections);

	wanted |= connection_limit_give(&process->limit);
	if (wanted)
		mailbox_post(process->waiter.mailbox, process->waiter.slot_free);
	process_connections_changed(process);
}

static bool accepts_headers(const struct proxy *proxy)
{
	return proxy->config.accept_proxy_protocol.n > 0;
}

bool process_await_header(struct process *process, struct proxy *proxy)
{
	if (!accepts_headers(proxy))
		return true;
	if (!connection_limit_take(&proxy->limit->awaited))
		return false;
	if (connection_limit_take(&process->awaited))
		return true;
	/* Others of the proxy that wait for one are asked once any place is free. */
	(void)connection_limit_give(&proxy->limit->awaited);
	return false;
}

void process_exceed_awaited(struct process *process, struct proxy *proxy)
{
	if (!accepts_headers(proxy))
		return;
	connection_limit_exceed(&proxy->limit->awaited);
	connection_limit_exceed(&process->awaited);
}

void process_settle_header(struct process *process, struct proxy *proxy)
{
	bool wanted;

	if (!accepts_headers(proxy))
		return;
	/* Both, whatever the first one says. */
	wanted = connection_limit_give(&proxy->limit->awaited);
	wanted |= connection_limit_give(&process->awaited);
	if (wanted)
		mailbox_post(process->waiter.mailbox, process->waiter.slot_free);
}

bool process_hold(struct proxy *proxy)
{
	return proxy->config.max_held == 0 || connection_limit_take(&proxy->limit->held);
}

void process_exceed_held(struct proxy *proxy)
{
	if (proxy->config.max_held > 0)
		connection_limit_exceed(&proxy->limit->held);
}

void process_unhold(struct process *process, struct proxy *proxy)
{
	if (proxy->config.max_held > 0 && connection_limit_give(&proxy->limit->held))
		mailbox_post(process->waiter.mailbox, process->waiter.slot_free);
}

/* An eighth, rounded up, is left to the others. */
static unsigned int share_of_one(unsigned int max, size_t n_proxies)
{
	if (n_proxies < 2 || max < 2)
		return UINT_MAX;
	return max - (max / 8 + (max % 8 != 0));
}

static unsigned int quarter_of(unsigned int max)
{
	return max < 4 ? 1 : max / 4;
}

void process_set_limit(struct process *process, unsigned int max)
{
	const struct generation *generation = process->generation;
	unsigned int share = share_of_one(max, generation->n_proxies);

	atomic_store(&process->limit.max, max);
	atomic_store(&process->awaited.max, quarter_of(max));
	for (size_t i = 0; i < generation->n_proxies; i++) {
		struct proxy *proxy = generation->proxies[i];
		uint64_t own = proxy->config.max_connections;
		unsigned int most = own > 0 && own < share ? (unsigned int)own : share;

		atomic_store(&proxy->limit->connections.max, most);
		atomic_store(&proxy->limit->awaited.max, quarter_of(most));
		atomic_store(&proxy->limit->held.max, proxy->config.max_held > 0
							      ? (unsigned int)proxy->config.max_held
							      : UINT_MAX);
	}
}

void process_count(struct process *process, unsigned int which)
{
	counters_add(atomic_load(&process->counts), which, 1);
}

void process_start_counting(struct process *process)
{
	if (!atomic_load(&process->counts))
		atomic_store(&process->counts, counters_get("process", "", "", N_PROCESS_COUNTS));
}

void process_stop_counting(struct process *process)
{
	counters_put(atomic_exchange(&process->counts, NULL));
	counters_close();
}
