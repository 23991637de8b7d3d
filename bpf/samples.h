/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which packets of strangers (unregistered, or registered up to a time that is over) are written
 * down, for the agent to say who is behind them. Each CPU decides for each gateway by itself, so
 * that a flood of one blinds nobody to the strangers of another: of few packets all, of many about
 * PG_SAMPLES in an epoch, and never more than twice as many. An epoch ends when the agent has
 * read, and does not while there is none: a flood then costs a counter. Pure C without map calls.
 *
 * Who includes this gives access to the array: the element with this number, or NULL.
 */
#ifndef PEERGATE_SAMPLES_H
#define PEERGATE_SAMPLES_H

#include <linux/types.h>
#include <linux/stddef.h>

#include "peergate.h"

static __always_inline struct pg_sample *pg_sample_at(__u32 at);

/* From 1 to twice the mean less 1, each as likely: no rhythm of a sender's falls in with it. */
static __always_inline __u64 pg_gap(struct pg_sampling *sampling)
{
	sampling->random = sampling->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return 1 + ((sampling->random >> 32) * (2 * sampling->mean - 1) >> 32);
}

/* As many are left out as the last epoch's packets ask for; what is longer ago says nothing. */
static __always_inline void pg_begin_epoch(struct pg_sampling *sampling, __u32 epoch, __u64 before)
{
	__u64 packets = 0;

	if (sampling->epoch && epoch - sampling->epoch == 1)
		packets = before - sampling->begun;
	if (packets > ~0U)
		packets = ~0U;
	sampling->mean = packets / PG_SAMPLES + 1;
	sampling->begun = before;
	sampling->epoch = epoch;
	sampling->left = epoch ? 2 * PG_SAMPLES : 0;
	sampling->next = before + pg_gap(sampling);
}

/* `packets`: those so far, with this one. */
static __always_inline _Bool pg_is_due(const struct pg_root *root, struct pg_sampling *sampling,
				       __u64 packets)
{
	if (pg_unlikely(sampling->epoch != root->epoch))
		pg_begin_epoch(sampling, root->epoch, packets - 1);
	if (pg_likely(packets != sampling->next))
		return 0;
	if (!sampling->left)
		return 0;
	sampling->left -= 1;
	sampling->next = packets + pg_gap(sampling);
	return 1;
}

/* Whether a stranger's packet is one, which has been counted. */
static __always_inline _Bool pg_is_sampled(const struct pg_root *root, struct pg_counters *counted,
					   __u8 dropped)
{
	if (dropped)
		return pg_is_due(root, &counted->sampling_drop,
				 counted->unregistered_drop.packets +
				     counted->expired_drop.packets);
	return pg_is_due(root, &counted->sampling_pass,
			 counted->unregistered_pass.packets + counted->expired_pass.packets);
}

/*
 * `service`: the first word of a struct pg_service. The record is whole before the ring's first
 * element says that it is there.
 */
static __always_inline void pg_write_sample(__u32 cpu, __u32 gateway, __u8 dropped,
					    const struct pg_address *source, __u32 service)
{
	__u32 first = cpu * (PG_RING + 1);
	struct pg_sample *head = pg_sample_at(first), *sample;
	__u64 sequence;

	if (!head)
		return;
	sequence = head->sequence + 1;
	sample = pg_sample_at(first + 1 + sequence % PG_RING);
	if (!sample)
		return;
	sample->number[0] = source->number[0];
	sample->number[1] = source->number[1];
	sample->sequence = sequence;
	sample->gateway = gateway;
	__builtin_memcpy(&sample->protocol, &service, sizeof(service));
	sample->version = source->version;
	sample->dropped = dropped;
	asm volatile("" ::: "memory");
	head->sequence = sequence;
}

#endif
