/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A frame: how long it is, and where its first bytes stand. It may come in several buffers, where
 * PG_FRAGS says so (5.18 and later). PG_FRAME_FLAGS (6.2 and later) is where in struct xdp_buff the
 * kernel has a frame's flags; both come as compiler flags. Without map calls.
 *
 * Who includes this gives access to the array: the element with this number, or NULL.
 */
#ifndef PEERGATE_FRAME_H
#define PEERGATE_FRAME_H

#include <linux/types.h>
#include <linux/stddef.h>
#include <linux/if_ether.h>

#include "peergate.h"
#include "cursor.h"

#ifdef PG_FRAGS
static __always_inline struct pg_head *pg_head_at(__u32 at);
#endif

/* As much of a frame as decides on it. */
struct pg_frame {
	const void *start;
	const void *end;
};

#ifdef PG_FRAME_FLAGS
/* In place of the number of bpf_cast_to_kern_ctx(), which each kernel has its own;
 * control/program.py knows it. The verifier makes a move of the call. */
#define PG_CAST (1 << 30)

static const void *(*pg_cast)(struct xdp_md *ctx) = (void *)PG_CAST;
#endif

/* One of several buffers has flags. The kernel is asked how long it is, which costs as much as a
 * lookup, only where it may be one. */
static __always_inline __u64 pg_length(struct xdp_md *ctx)
{
#ifdef PG_FRAME_FLAGS
	const __u32 *flags = pg_cast(ctx) + PG_FRAME_FLAGS;

	if (*flags)
		return bpf_xdp_get_buff_len(ctx);
#elif defined(PG_FRAGS)
	return bpf_xdp_get_buff_len(ctx);
#endif
	return (void *)(long)ctx->data_end - (void *)(long)ctx->data;
}

/*
 * The driver leaves as little in the first buffer as it likes. What a header may lie in is then
 * copied: no frame gets past the lookup by the way in which it was received.
 */
static __always_inline void pg_frame_of(struct xdp_md *ctx, struct pg_frame *frame)
{
	frame->start = (void *)(long)ctx->data;
	frame->end = (void *)(long)ctx->data_end;
#ifdef PG_FRAGS
	__u64 size = pg_length(ctx);
	struct pg_head *copy;

	if (size > PG_HEAD_SIZE)
		size = PG_HEAD_SIZE;
	if (frame->start + size <= frame->end)
		return;
	copy = pg_head_at(0);
	size = pg_seen(size);
	if (!copy || size < ETH_HLEN)
		return;
	size = pg_seen(size);
	if (size > PG_HEAD_SIZE || bpf_xdp_load_bytes(ctx, 0, copy, size))
		return;
	/* One branch for both: were they chosen apart, Linux 6.1 would fear a mixed pair. */
	asm volatile("" : "+r"(copy));
	frame->start = copy->bytes;
	frame->end = copy->bytes + size;
#endif
}

#endif
