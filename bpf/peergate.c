/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Default: pass. A packet is dropped only where it is addressed to a gateway that
 * enforces, and is for one of its services without a registration that holds, or
 * has headers that cannot be judged. A gateway number without a row monitors.
 *
 * Maps, lookups, verdict and the two XDP entry points; bcc rewrites map calls in
 * this file only. The sizes of the maps, PG_COARSE_CLOCK (5.11 and later) and PG_FRAGS
 * (5.18 and later: frames of several buffers) come as compiler flags. All maps but
 * `explanation` and `head` are pinned by control/dataplane.py.
 */
#include "peergate.h"
#include "parse.h"

#define PG_ADDRESSES_MAX 4096

/*
 * Hashes are not preallocated: the kernel then frees a replaced value only when no
 * packet reads it any more, so that a packet sees the old value or the new one.
 */
BPF_F_TABLE("hash", struct pg_address, struct pg_target, addresses, PG_ADDRESSES_MAX,
	    BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", __u32, struct pg_gateway, gateways, PG_GATEWAYS_MAX, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct pg_source, struct pg_entry, hosts, PG_HOSTS_MAX, BPF_F_NO_PREALLOC);
BPF_F_TABLE("lpm_trie", struct pg_prefix, struct pg_entry, prefixes, PG_PREFIXES_MAX,
	    BPF_F_NO_PREALLOC);
BPF_F_TABLE("percpu_array", __u32, struct pg_counters, counters, PG_GATEWAYS_MAX + 1, 0);
BPF_F_TABLE("array", __u32, __u64, clock, 1, 0);
BPF_F_TABLE("array", __u32, struct pg_explanation, explanation, 1, 0);
#ifdef PG_FRAGS
BPF_F_TABLE("percpu_array", __u32, struct pg_head, head, 1, 0);
#endif

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
};

struct pg_decision {
	const struct pg_entry *entry; /* the longest match of the source, or NULL */
	__u32 gateway;		      /* PG_NO_GATEWAY where none is known */
	__u8 verdict;		      /* enum pg_verdict */
	__u8 drop;
};

static __always_inline __u64 pg_utc(struct pg_now *now)
{
	__u32 zero = 0;
	__u64 *offset;

	if (now->known)
		return now->utc;
	now->known = 1;
	offset = clock.lookup(&zero);
	if (offset)
		now->utc = *offset;
#ifdef PG_COARSE_CLOCK
	now->utc += bpf_ktime_get_coarse_ns();
#else
	now->utc += bpf_ktime_get_ns();
#endif
	return now->utc;
}

static __always_inline __u8 pg_enforces(__u32 number, struct pg_now *now)
{
	const struct pg_gateway *gateway = gateways.lookup(&number);
	__u64 utc;

	if (!gateway || gateway->enforce_from >= gateway->enforce_until)
		return 0;
	if (!gateway->enforce_from && gateway->enforce_until == PG_FOREVER)
		return 1;
	utc = pg_utc(now);
	return gateway->enforce_from <= utc && utc < gateway->enforce_until;
}

static __always_inline __u8 pg_any_enforces(const struct pg_target *target, struct pg_now *now)
{
	int i;

	for (i = 0; i < PG_SERVICES_MAX; i++) {
		if (i >= target->gateway_count)
			break;
		if (pg_enforces(target->gateways[i], now))
			return 1;
	}
	return 0;
}

/*
 * The longest prefix at this gateway that covers the source. The one place that
 * knows how sources are stored; control/sources.py is its counterpart.
 */
static __always_inline const struct pg_entry *pg_find_source(__u32 gateway,
							     const struct pg_address *address)
{
	struct pg_prefix key = {
	    .length = 8 * sizeof(struct pg_source),
	    .source = {.gateway = __cpu_to_be32(gateway), .address = *address},
	};
	const struct pg_entry *host = hosts.lookup(&key.source);

	if (host)
		return host;
	return prefixes.lookup(&key);
}

/* What the entry that was found, or NULL, makes of a packet to its gateway. */
static __always_inline __u8 pg_judge_entry(const struct pg_entry *entry, struct pg_now *now)
{
	__u64 utc;

	if (!entry)
		return PG_UNREGISTERED;
	if (!entry->valid_from && entry->valid_until == PG_FOREVER)
		return PG_REGISTERED;
	utc = pg_utc(now);
	if (utc >= entry->valid_until)
		return PG_EXPIRED;
	if (utc >= entry->valid_from)
		return PG_REGISTERED;
	return entry->ended ? PG_EXPIRED : PG_UNREGISTERED;
}

static __always_inline void pg_judge_service(const struct pg_packet *packet,
					     struct pg_decision *decision, struct pg_now *now)
{
	decision->entry = pg_find_source(decision->gateway, &packet->source);
	decision->verdict = pg_judge_entry(decision->entry, now);
	if (decision->verdict != PG_REGISTERED)
		decision->drop = pg_enforces(decision->gateway, now);
}

/*
 * A later fragment may belong to any service at the address: one registration at any
 * of its gateways is enough, else one that has ended. The entry is that of the lowest
 * gateway number with this verdict and an entry.
 */
static __always_inline void pg_judge_shared(const struct pg_packet *packet,
					    const struct pg_target *target,
					    struct pg_decision *decision, struct pg_now *now)
{
	__u32 decided_by = PG_NO_GATEWAY;
	const struct pg_entry *entry;
	__u8 verdict;
	int i;

	decision->verdict = PG_UNREGISTERED;
	for (i = 0; i < PG_SERVICES_MAX; i++) {
		if (i >= target->gateway_count)
			break;
		entry = pg_find_source(target->gateways[i], &packet->source);
		if (!entry)
			continue;
		verdict = pg_judge_entry(entry, now);
		if (decided_by == PG_NO_GATEWAY || verdict < decision->verdict) {
			decided_by = target->gateways[i];
			decision->verdict = verdict;
		}
		if (verdict == PG_REGISTERED)
			break;
	}
	if (decided_by != PG_NO_GATEWAY)
		decision->entry = pg_find_source(decided_by, &packet->source);
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

static __always_inline void pg_decide(const struct pg_frame *frame, struct pg_now *now,
				      struct pg_decision *decision)
{
	struct pg_cursor cursor;
	struct pg_packet packet;
	struct pg_target *target;
	struct pg_upper upper;

	decision->entry = NULL;
	decision->gateway = PG_NO_GATEWAY;
	decision->verdict = PG_OTHER;
	decision->drop = 0;

	pg_cursor_start(&cursor, frame->start, frame->end);
	if (!pg_parse_addresses(&cursor, &packet))
		return;
	target = addresses.lookup(&packet.destination);
	if (!target) {
		decision->verdict = PG_BYSTANDER;
		return;
	}
	decision->gateway = target->gateways[0];
	if (!pg_parse_headers(&cursor, &packet, target, &upper)) {
		decision->verdict = PG_MALFORMED;
	} else if (upper.gateway != PG_NO_GATEWAY) {
		decision->gateway = upper.gateway;
		pg_judge_service(&packet, decision, now);
		return;
	} else if (upper.shared) {
		pg_judge_shared(&packet, target, decision, now);
	} else {
		decision->verdict = PG_UNPROTECTED;
		return;
	}
	if (decision->verdict != PG_REGISTERED)
		decision->drop = pg_any_enforces(target, now);
}

static __always_inline struct pg_counter *pg_counter_of(struct pg_counters *counters,
							const struct pg_decision *decision)
{
	switch (decision->verdict) {
	case PG_OTHER:
		return &counters->other_pass;
	case PG_BYSTANDER:
		return &counters->bystander_pass;
	case PG_UNPROTECTED:
		return &counters->unprotected_pass;
	case PG_REGISTERED:
		return &counters->registered_pass;
	case PG_EXPIRED:
		return decision->drop ? &counters->expired_drop : &counters->expired_pass;
	case PG_UNREGISTERED:
		return decision->drop ? &counters->unregistered_drop : &counters->unregistered_pass;
	}
	return decision->drop ? &counters->malformed_drop : &counters->malformed_pass;
}

static __always_inline int pg_action(const struct pg_decision *decision)
{
	return decision->drop ? XDP_DROP : XDP_PASS;
}

/* The live entry point: counts, and acts. */
int peergate(struct xdp_md *ctx)
{
	struct pg_now now = {};
	struct pg_decision decision;
	struct pg_counters *value;
	struct pg_counter *counter;
	struct pg_frame frame;

	pg_frame_of(ctx, &frame);
	pg_decide(&frame, &now, &decision);
	value = counters.lookup(&decision.gateway);
	if (value) {
		counter = pg_counter_of(value, &decision);
		counter->packets += 1;
		counter->bytes += pg_length(ctx, &frame);
	}
	return pg_action(&decision);
}

/* The explaining one: `now` is an input, the decision is written out, nothing is counted. */
int peergate_explain(struct xdp_md *ctx)
{
	struct pg_now now = {};
	struct pg_decision decision;
	struct pg_explanation *out;
	struct pg_frame frame;
	__u32 zero = 0;

	out = explanation.lookup(&zero);
	if (!out)
		return XDP_ABORTED;
	now.utc = out->now;
	now.known = 1;
	pg_frame_of(ctx, &frame);
	pg_decide(&frame, &now, &decision);
	out->gateway = decision.gateway;
	out->verdict = decision.verdict;
	out->drop = decision.drop;
	out->has_entry = decision.entry != NULL;
	if (decision.entry)
		out->entry = *decision.entry;
	return pg_action(&decision);
}
