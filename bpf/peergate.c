/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Default: pass. A packet is dropped only where it is addressed to a gateway that
 * enforces, and is for one of its services without a registration that holds, or
 * has headers that cannot be judged. A gateway number without a row monitors.
 *
 * Maps, lookups, verdict and the two XDP entry points; bcc rewrites map calls in
 * this file only. PG_COARSE_CLOCK (5.11 and later) and PG_FRAGS (5.18 and later: frames
 * of several buffers) come as compiler flags. All maps but `explanation` and `head` are
 * pinned by control/dataplane.py.
 */
#include "peergate.h"
#include "parse.h"
#include "sources.h"

/* How many elements each has is the control plane's to say, when it makes them. */
BPF_F_TABLE("array", __u32, struct pg_root, root, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_line, addresses, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_target, targets, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_gateway, gateways, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_lengths4, lengths4, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_lengths6, lengths6, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_filter, filter, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_bucket, buckets, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_entry, entries, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("hash", struct pg_key, struct pg_entry, overflow, 1, BPF_F_NO_PREALLOC);
BPF_F_TABLE("percpu_array", __u32, struct pg_counters, counters, 1, 0);
BPF_F_TABLE("array", __u32, struct pg_explanation, explanation, 1, 0);
#ifdef PG_FRAGS
BPF_F_TABLE("percpu_array", __u32, struct pg_head, head, 1, 0);
#endif

static __always_inline const struct pg_lengths4 *pg_lengths4_at(__u32 at)
{
	return lengths4.lookup(&at);
}

static __always_inline const struct pg_lengths6 *pg_lengths6_at(__u32 at)
{
	return lengths6.lookup(&at);
}

static __always_inline const struct pg_filter *pg_filter_at(__u32 at)
{
	return filter.lookup(&at);
}

static __always_inline struct pg_bucket *pg_bucket_at(__u32 at)
{
	return buckets.lookup(&at);
}

static __always_inline struct pg_entry *pg_entry_at(__u32 at)
{
	return entries.lookup(&at);
}

static __always_inline struct pg_entry *pg_overflow_of(const struct pg_key *key)
{
	return overflow.lookup(key);
}

/* As much of a frame as decides on it, and the length of it all. */
struct pg_frame {
	const void *start;
	const void *end;
#ifdef PG_FRAGS
	__u64 length;
#endif
};

/* UTC in nanoseconds: given to the explaining entry point, else read when first asked for. */
struct pg_now {
	__u64 utc;
	__u8 known;
	__u8 explaining; /* touches nothing, and takes no short cut */
};

struct pg_decision {
	struct pg_found found; /* the longest match of the source */
	__u32 gateway;	       /* PG_NO_GATEWAY where none is known */
	__u8 verdict;	       /* enum pg_verdict */
	__u8 drop;
};

static __always_inline __u64 pg_utc(const struct pg_root *root, struct pg_now *now)
{
	if (now->known)
		return now->utc;
	now->known = 1;
#ifdef PG_COARSE_CLOCK
	now->utc = root->clock + bpf_ktime_get_coarse_ns();
#else
	now->utc = root->clock + bpf_ktime_get_ns();
#endif
	return now->utc;
}

/* What an address offers; NULL where it is no gateway's. */
static __always_inline const struct pg_target *
pg_find_target(const struct pg_root *root, __u64 guard, const struct pg_address *address)
{
	__u64 hash = pg_hash_address(address, guard);
	__u32 bits = root->addresses_bits + PG_LINES_BITS;
	__u32 at = ((guard & 1) << bits) + (hash >> 40 & ((1U << bits) - 1));
	__u32 last = guard >> 1 & 7;
	const struct pg_line *line = addresses.lookup(&at);
	const struct pg_target *target;
	__u64 slot;
	int i;

	if (!line)
		return NULL;
	for (i = 0; i < 8; i++) {
		slot = line->word[i];
		if ((slot ^ hash) <= PG_PLACE_MASK)
			break;
		/* Of all lines the same: whether one is empty, the CPU would guess wrongly. */
		if (i == last)
			return NULL;
	}
	if (!(slot & PG_PLACE_MASK))
		return NULL;
	at = ((guard & 1) << root->addresses_bits) + (slot & PG_PLACE_MASK) - 1;
	target = targets.lookup(&at);
	if (!target || target->address.version != address->version ||
	    target->address.number[0] != address->number[0] ||
	    target->address.number[1] != address->number[1])
		return NULL;
	return target;
}

static __always_inline __u8 pg_enforces(const struct pg_root *root, __u64 guard, __u32 number,
					struct pg_now *now)
{
	__u32 at = (guard & 1) * root->gateways + number;
	const struct pg_gateway *gateway = gateways.lookup(&at);
	__u64 utc;

	if (!gateway || gateway->enforce_from >= gateway->enforce_until)
		return 0;
	if (!gateway->enforce_from && gateway->enforce_until == PG_FOREVER)
		return 1;
	utc = pg_utc(root, now);
	return gateway->enforce_from <= utc && utc < gateway->enforce_until;
}

static __always_inline __u8 pg_any_enforces(const struct pg_root *root, __u64 guard,
					    const struct pg_target *target, struct pg_now *now)
{
	int i;

	for (i = 0; i < PG_SERVICES_MAX; i++) {
		if (i >= target->gateway_count)
			break;
		if (pg_enforces(root, guard, target->gateways[i], now))
			return 1;
	}
	return 0;
}

static __always_inline struct pg_entry *pg_entry_of(struct pg_found *found)
{
	if (found->at == PG_OVERFLOWN)
		return pg_overflow_of(&found->key);
	return pg_entry_at(found->at - 1);
}

/* Written only when it changes: the line stays clean in every other CPU's cache. */
static __always_inline void pg_see(const struct pg_root *root, struct pg_found *found)
{
	struct pg_bucket *bucket;
	struct pg_entry *entry;

	if (found->at == PG_OVERFLOWN) {
		entry = pg_overflow_of(&found->key);
		if (entry && entry->seen != root->tick)
			entry->seen = root->tick;
		return;
	}
	bucket = pg_bucket_at(found->bucket);
	if (bucket && bucket->seen[found->slot & 7] != root->tick)
		bucket->seen[found->slot & 7] = root->tick;
}

/* What was found makes of a packet to its gateway. */
static __always_inline __u8 pg_judge_found(const struct pg_root *root, struct pg_found *found,
					   struct pg_now *now)
{
	const struct pg_entry *entry;
	__u64 utc;

	if (!now->explaining) {
		if (found->surely == PG_SURELY_FOREVER)
			return PG_REGISTERED;
		if (found->surely && found->surely > pg_utc(root, now) >> PG_SURELY_UNIT)
			return PG_REGISTERED;
	}
	entry = pg_entry_of(found);
	if (!entry)
		return PG_UNREGISTERED;
	if (!entry->valid_from && entry->valid_until == PG_FOREVER)
		return PG_REGISTERED;
	utc = pg_utc(root, now);
	if (utc >= entry->valid_until)
		return PG_EXPIRED;
	if (utc >= entry->valid_from)
		return PG_REGISTERED;
	return entry->ended ? PG_EXPIRED : PG_UNREGISTERED;
}

/* `gateway`: at whose number the source is looked up. */
static __always_inline void pg_judge_source(const struct pg_root *root, __u32 gateway,
					    const struct pg_address *source,
					    struct pg_decision *decision, struct pg_now *now)
{
	struct pg_found *found = &decision->found;

	decision->verdict = PG_UNREGISTERED;
	pg_find_source(root, gateway, source, found);
	if (found->at == PG_NOWHERE)
		return;
	decision->verdict = pg_judge_found(root, found, now);
	if (decision->verdict == PG_REGISTERED && !now->explaining)
		pg_see(root, found);
}

static __always_inline __u64 pg_length(const struct xdp_md *ctx, const struct pg_frame *frame)
{
#ifdef PG_FRAGS
	return frame->length;
#else
	return ctx->data_end - ctx->data;
#endif
}

/*
 * A frame may come in several buffers, with as little in the first one as the driver
 * likes. What a header may lie in is then copied: no frame gets past the lookup by the
 * way in which it was received.
 */
static __always_inline void pg_frame_of(struct xdp_md *ctx, struct pg_frame *frame)
{
	frame->start = (void *)(long)ctx->data;
	frame->end = (void *)(long)ctx->data_end;
#ifdef PG_FRAGS
	__u64 size = bpf_xdp_get_buff_len(ctx);
	struct pg_head *copy;
	__u32 zero = 0;

	frame->length = size;
	if (size > PG_HEAD_SIZE)
		size = PG_HEAD_SIZE;
	if (frame->start + size <= frame->end)
		return;
	copy = head.lookup(&zero);
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

static __always_inline void pg_decide(const struct pg_root *root, const struct pg_frame *frame,
				      struct pg_now *now, struct pg_decision *decision)
{
	/* Read once: what is guarded may be replaced meanwhile. */
	__u64 guard = *(volatile const __u64 *)&root->guard;
	const struct pg_target *target;
	struct pg_cursor cursor;
	struct pg_packet packet;
	struct pg_upper upper;

	decision->found.at = PG_NOWHERE;
	decision->gateway = PG_NO_GATEWAY;
	decision->verdict = PG_OTHER;
	decision->drop = 0;

	pg_cursor_start(&cursor, frame->start, frame->end, root->zero);
	if (!pg_parse_addresses(&cursor, &packet))
		return;
	target = pg_find_target(root, guard, &packet.destination);
	if (!target) {
		decision->verdict = PG_BYSTANDER;
		return;
	}
	decision->gateway = target->gateways[0];
	upper.gateway = PG_NO_GATEWAY;
	upper.drops = 0;
	if (!pg_parse_headers(&cursor, &packet, target, &upper)) {
		decision->verdict = PG_MALFORMED;
	} else if (upper.gateway != PG_NO_GATEWAY || upper.shared) {
		if (!upper.shared)
			decision->gateway = upper.gateway;
		pg_judge_source(root, upper.shared ? target->later : upper.gateway, &packet.source,
				decision, now);
	} else {
		decision->verdict = PG_UNPROTECTED;
		return;
	}
	if (decision->verdict == PG_REGISTERED)
		return;
	if (upper.drops)
		decision->drop = 1;
	else if (upper.gateway != PG_NO_GATEWAY)
		decision->drop = pg_enforces(root, guard, upper.gateway, now);
	else
		decision->drop = pg_any_enforces(root, guard, target, now);
}

/* struct pg_counters has those that were dropped behind the others. */
static __always_inline struct pg_counter *pg_counter_of(struct pg_counters *counters,
							const struct pg_decision *decision)
{
	__u32 at = decision->verdict + (decision->drop ? PG_DROPPING : 0);
	struct pg_counter *first = (void *)counters;

	if (at >= sizeof(*counters) / sizeof(*first))
		at = PG_OTHER; /* never: the verifier wants a bound */
	return first + at;
}

static __always_inline int pg_action(const struct pg_decision *decision)
{
	return decision->drop ? XDP_DROP : XDP_PASS;
}

/* The live decision: counts, and acts. */
static __always_inline int pg_live(struct xdp_md *ctx)
{
	struct pg_now now = {};
	struct pg_decision decision;
	const struct pg_root *base;
	struct pg_counters *value;
	struct pg_counter *counter;
	struct pg_frame frame;
	__u32 zero = 0;

	base = root.lookup(&zero);
	if (!base)
		return XDP_ABORTED;
	pg_frame_of(ctx, &frame);
	pg_decide(base, &frame, &now, &decision);
	value = counters.lookup(&decision.gateway);
	if (value) {
		counter = pg_counter_of(value, &decision);
		counter->packets += 1;
		counter->bytes += pg_length(ctx, &frame);
	}
	return pg_action(&decision);
}

int peergate(struct xdp_md *ctx)
{
	return pg_live(ctx);
}

/* The explaining one: `now` is an input, the decision is written out, nothing is counted. */
int peergate_explain(struct xdp_md *ctx)
{
	struct pg_now now = {};
	struct pg_decision decision;
	const struct pg_entry *entry;
	struct pg_explanation *out;
	const struct pg_root *base;
	struct pg_frame frame;
	__u32 zero = 0;

	out = explanation.lookup(&zero);
	base = root.lookup(&zero);
	if (!out || !base)
		return XDP_ABORTED;
	now.utc = out->now;
	now.known = 1;
	now.explaining = 1;
	pg_frame_of(ctx, &frame);
	pg_decide(base, &frame, &now, &decision);
	out->gateway = decision.gateway;
	out->verdict = decision.verdict;
	out->drop = decision.drop;
	entry = decision.found.at == PG_NOWHERE ? NULL : pg_entry_of(&decision.found);
	out->has_entry = entry != NULL;
	if (entry)
		out->entry = *entry;
	return pg_action(&decision);
}
