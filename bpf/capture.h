/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets that are written down while somebody captures, a ring for each CPU; control/captured.py
 * reads them. Compiled with PG_CAPTURE alone: the usual program has none of it.
 *
 * Each ring is a first element, of which only `sequence`, `epoch`, `left` and `missed` count, and
 * PG_CAPTURED ones that are used in turn. The reader begins an epoch when it has read. In one no
 * more are written than half a ring holds, so none is written over that was not read.
 */
#ifndef PEERGATE_CAPTURE_H
#define PEERGATE_CAPTURE_H

#include <linux/types.h>
#include <linux/bpf.h>

#include "decision.h"

#define PG_CAPTURED	  64
#define PG_IN_EPOCH	  (PG_CAPTURED / 2)
#define PG_CAPTURED_BYTES 2048

/* What is wanted. Nothing is after `until`, by the monotonic clock in ns. */
struct pg_capturing {
	__u64 until;
	__u64 epoch;
	__u32 gateway;	/* 0: any */
	__u32 verdicts; /* a bit for each */
	__u32 bytes;	/* of each packet at most */
	__u32 pad;
};

struct pg_captured {
	__u64 sequence;
	__u64 epoch;
	__u64 time; /* by the monotonic clock, in ns */
	__u32 left;
	__u32 gateway;
	__u32 interface;
	__u32 length; /* of the frame */
	__u32 bytes;  /* of it that are here */
	__u8 verdict;
	__u8 drop;
	__u8 pad[2];
	__u32 missed; /* more than there may be */
	__u32 more_pad;
	__u8 data[PG_CAPTURED_BYTES];
};

static __always_inline struct pg_captured *pg_captured_at(__u32 at);

/* As many bytes as are wanted and stand in the first buffer. */
static __always_inline __u32 pg_copy_frame(struct xdp_md *ctx, struct pg_captured *to, __u32 most)
{
	const __u8 *from = (const void *)(long)ctx->data;
	const __u8 *end = (const void *)(long)ctx->data_end;
	__u32 i, rest;

	/* Linux 5.10 wants the pointer that is read from to be the one that was compared. */
#pragma clang loop unroll(disable)
	for (i = 0; i + 8 <= PG_CAPTURED_BYTES; i += 8) {
		asm volatile("" : "+r"(from));
		if (i + 8 > most || from + 8 > end)
			break;
		__builtin_memcpy(to->data + i, from, 8);
		from += 8;
	}
#pragma clang loop unroll(disable)
	for (rest = 0; rest < 7; rest++, i++) {
		asm volatile("" : "+r"(from));
		if (i >= most || i >= PG_CAPTURED_BYTES || from + 1 > end)
			break;
		to->data[i] = *from;
		from += 1;
	}
	return i;
}

static __always_inline void pg_capture(struct xdp_md *ctx, const struct pg_capturing *wanted,
				       const struct pg_decision *decision, __u64 length)
{
	__u32 first = bpf_get_smp_processor_id() * (PG_CAPTURED + 1);
	struct pg_captured *head = pg_captured_at(first), *to;
	__u64 now = bpf_ktime_get_ns(), sequence;

	/* A packet to nobody's gateway is nobody's business. */
	if (!head || now >= wanted->until || decision->gateway == PG_NO_GATEWAY)
		return;
	if (wanted->gateway != PG_NO_GATEWAY && wanted->gateway != decision->gateway)
		return;
	if (!(wanted->verdicts >> (decision->verdict & 31) & 1))
		return;
	if (head->epoch != wanted->epoch) {
		head->epoch = wanted->epoch;
		head->left = PG_IN_EPOCH;
	}
	if (!head->left) {
		head->missed += 1;
		return;
	}
	head->left -= 1;
	sequence = head->sequence + 1;
	to = pg_captured_at(first + 1 + sequence % PG_CAPTURED);
	if (!to)
		return;
	to->sequence = sequence;
	to->time = now;
	to->gateway = decision->gateway;
	to->verdict = decision->verdict;
	to->drop = decision->drop;
	to->interface = ctx->ingress_ifindex;
	to->length = length;
	to->bytes = pg_copy_frame(ctx, to, wanted->bytes);
	asm volatile("" ::: "memory");
	head->sequence = sequence;
}

#endif
