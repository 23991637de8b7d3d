/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Default: pass. A packet is dropped only where it is addressed to a gateway that
 * enforces, and is for one of its services without a registration that holds, or
 * has headers that cannot be judged. A gateway number without a row monitors.
 *
 * Maps, lookups, verdict and the XDP entry points, a third one with PG_CAPTURE; bcc rewrites map
 * calls in this file only. PG_COARSE_CLOCK (5.11 and later) comes as a compiler flag, as do those
 * of frame.h. All maps but `explanation`, `head` and those of a capture are pinned by
 * control/dataplane.py.
 */
#include "peergate.h"
#include "decision.h"
#include "frame.h"
#include "parse.h"
#include "plain.h"
#include "sources.h"
#include "samples.h"
#ifdef PG_CAPTURE
#include "capture.h"
#endif

/* How many elements each has is the control plane's to say, when it makes them. */
BPF_F_TABLE("array", __u32, struct pg_root, root, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_line, addresses, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_target, targets, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_gateway, gateways, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_lengths, lengths4, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_lengths, lengths6, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_filter, filter, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_bucket, buckets, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_entry, entries, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("hash", struct pg_key, struct pg_entry, overflow, 1, BPF_F_NO_PREALLOC);
BPF_F_TABLE("percpu_array", __u32, struct pg_counters, counters, 1, 0);
BPF_F_TABLE("array", __u32, struct pg_sample, samples, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_explanation, explanation, 1, 0);
#ifdef PG_FRAGS
BPF_F_TABLE("percpu_array", __u32, struct pg_head, head, 1, 0);
#endif

#ifdef PG_CAPTURE
BPF_F_TABLE("array", __u32, struct pg_capturing, capturing, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_captured, captured, 1, BPF_F_MMAPABLE);
BPF_PROG_ARRAY(usual, 1);

static __always_inline struct pg_captured *pg_captured_at(__u32 at)
{
	return captured.lookup(&at);
}
#endif

/* In place of a descriptor, which bcc would not give us; control/program.py knows it. */
#define PG_ROOT_FD     (1 << 30)
#define PG_VALUE_BY_FD 2 /* BPF_PSEUDO_MAP_VALUE */

/* The address of its one element stands in the program: no lookup, and no check. */
static __always_inline const struct pg_root *pg_root(void)
{
	return (const void *)bpf_pseudo_fd(PG_VALUE_BY_FD, PG_ROOT_FD);
}

/* Read once: what is guarded may be replaced meanwhile. */
static __always_inline __u64 pg_guard(const struct pg_root *root)
{
	return *(volatile const __u64 *)&root->guard;
}

static __always_inline const struct pg_lengths *pg_lengths4_at(__u32 at)
{
	return lengths4.lookup(&at);
}

static __always_inline const struct pg_lengths *pg_lengths6_at(__u32 at)
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

static __always_inline struct pg_sample *pg_sample_at(__u32 at)
{
	return samples.lookup(&at);
}

#ifdef PG_FRAGS
static __always_inline struct pg_head *pg_head_at(__u32 at)
{
	return head.lookup(&at);
}
#endif

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

/* The target's number, counted from 1, by the line of this hash; 0 where there is none. */
static __always_inline __u64 pg_find_in_line(const struct pg_root *root, __u64 guard, __u64 hash)
{
	__u32 at = (hash >> PG_LINE_SHIFT & root->lines) | (guard & 1);
	__u32 last = guard >> 1 & 7;
	const struct pg_line *line = addresses.lookup(&at);
	__u64 slot;
	int i;

	if (!line)
		return 0;
	for (i = 0; i < 8; i++) {
		slot = line->word[i];
		if ((slot ^ hash) <= PG_PLACE_MASK)
			return slot & PG_PLACE_MASK;
		/* Of all lines the same: whether one is empty, the CPU would guess wrongly. */
		if (i == last)
			break;
	}
	return 0;
}

/* What an address offers; NULL where it is no gateway's. */
static __always_inline const struct pg_target *
pg_find_target(const struct pg_root *root, __u64 guard, const struct pg_address *address)
{
	__u64 hash = pg_hash_address(address, guard);
	__u64 direct = pg_seen(guard << PG_DIRECT_BITS | hash >> (64 - PG_DIRECT_BITS));
	const struct pg_target *target;
	__u64 number;
	__u32 at;

	/* Of `guard` the lowest bit is left; Linux 5.10 wants to see a bound in one step. */
	number = root->direct[direct & ((2 << PG_DIRECT_BITS) - 1)];
	if (!number)
		return NULL;
	if (number == PG_SEVERAL)
		number = pg_find_in_line(root, guard, hash);
	at = number - 1; /* of none: past the end */
	target = targets.lookup(&at);
	if (!target || target->address.version != address->version ||
	    (address->version != 4 && target->address.number[0] != address->number[0]) ||
	    target->address.number[1] != address->number[1])
		return NULL;
	return target;
}

static __always_inline __u8 pg_enforces(const struct pg_root *root, __u64 guard, __u32 number,
					struct pg_now *now)
{
	__u32 at = number * 2 + (guard & 1);
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

/* `gateway`: at whose number the source is looked up. The verdict. */
static __always_inline __u8 pg_judge_source(const struct pg_root *root, __u32 gateway,
					    const struct pg_address *source, struct pg_found *found,
					    struct pg_now *now)
{
	__u8 verdict;

	pg_find_source(root, gateway, source, found);
	if (found->at == PG_NOWHERE)
		return PG_UNREGISTERED;
	verdict = pg_judge_found(root, found, now);
	if (verdict == PG_REGISTERED && !now->explaining)
		pg_see(root, found);
	return verdict;
}

/* A plain packet, up to the first look that does not settle it. */
static __always_inline enum pg_way pg_go_plainly(const struct pg_root *root, __u64 guard,
						 const void *start, __u32 version,
						 struct pg_arrival *arrival)
{
	pg_plain_destination(start, version, &arrival->packet);
	arrival->target = pg_find_target(root, guard, &arrival->packet.destination);
	if (!arrival->target)
		return PG_PASSES_BY;
	if (!pg_plain_headers(&arrival->packet, version, arrival->target, &arrival->upper))
		return PG_CAREFULLY;
	if (arrival->upper.gateway == PG_NO_GATEWAY)
		return PG_PASSES;
	pg_plain_source(version, &arrival->packet);
	if (pg_is_stranger(root, arrival->upper.gateway, &arrival->packet.source))
		return PG_REFUSED;
	/* The compiler would do it for strangers, too. */
	arrival->packet.source.version = pg_seen(version);
	return PG_BY_SOURCE;
}

/* Any other packet, and each that is explained. */
static __always_inline enum pg_way pg_go_carefully(const struct pg_root *root, __u64 guard,
						   struct xdp_md *ctx, struct pg_arrival *arrival,
						   struct pg_decision *decision)
{
	struct pg_upper *upper = &arrival->upper;
	struct pg_cursor cursor;
	struct pg_frame frame;

	pg_frame_of(ctx, &frame);
	pg_cursor_start(&cursor, frame.start, frame.end, root->zero);
	if (!pg_parse_addresses(&cursor, &arrival->packet))
		return PG_PASSES;
	arrival->target = pg_find_target(root, guard, &arrival->packet.destination);
	if (!arrival->target) {
		decision->verdict = PG_BYSTANDER;
		return PG_PASSES;
	}
	decision->ip = arrival->packet.ip - frame.start;
	decision->gateway = arrival->target->gateways[0];
	upper->gateway = PG_NO_GATEWAY;
	upper->drops = 0;
	if (!pg_parse_headers(&cursor, &arrival->packet, arrival->target, upper)) {
		decision->verdict = PG_MALFORMED;
		return PG_REFUSED;
	}
	decision->service = upper->service;
	if (upper->gateway != PG_NO_GATEWAY || upper->shared) {
		if (!upper->shared)
			decision->gateway = upper->gateway;
		return PG_BY_SOURCE;
	}
	decision->verdict = PG_UNPROTECTED;
	return PG_PASSES;
}

static __always_inline void pg_decide(const struct pg_root *root, __u64 guard, enum pg_way way,
				      const struct pg_arrival *arrival, struct pg_now *now,
				      struct pg_found *found, struct pg_decision *decision)
{
	if (way == PG_PASSES)
		return;
	if (way == PG_BY_SOURCE) {
		decision->verdict = pg_judge_source(
		    root, arrival->upper.shared ? arrival->target->later : arrival->upper.gateway,
		    &arrival->packet.source, found, now);
		if (decision->verdict == PG_REGISTERED)
			return;
	}
	if (arrival->upper.drops)
		decision->drop = 1;
	else if (arrival->upper.gateway != PG_NO_GATEWAY)
		decision->drop = pg_enforces(root, guard, arrival->upper.gateway, now);
	else
		decision->drop = pg_any_enforces(root, guard, arrival->target, now);
}

/* Few packets come here: what is written down is read again rather than kept for it. */
static __always_inline void pg_sample(struct xdp_md *ctx, const struct pg_decision *decision)
{
	struct pg_packet packet;
	struct pg_frame frame;
	__u32 version;

	pg_frame_of(ctx, &frame);
	packet.ip = frame.start + (decision->ip & (2 * PG_FRAMING_MAX - 1));
	if (packet.ip + sizeof(struct iphdr) > frame.end)
		return;
	version = *(const __u8 *)packet.ip >> 4;
	if (version != 4 && packet.ip + sizeof(struct ipv6hdr) > frame.end)
		return;
	pg_plain_source(version, &packet);
	pg_write_sample(bpf_get_smp_processor_id(), decision->gateway, decision->drop,
			&packet.source, decision->service);
}

static __always_inline void pg_sample_plain(struct xdp_md *ctx, __u32 gateway, __u8 drop)
{
	const void *start = (void *)(long)ctx->data;
	__u32 version = pg_plain_version(start, (void *)(long)ctx->data_end);
	struct pg_packet packet;
	__u32 service;

	packet.ip = start + ETH_HLEN;
	/* The version is asked once: Linux 6.1 would not know the second time what it had said. */
	if (version == 4) {
		pg_plain_source(4, &packet);
		service = pg_plain_service(&packet, 4);
	} else if (version == 6) {
		pg_plain_source(6, &packet);
		service = pg_plain_service(&packet, 6);
	} else {
		return; /* never: it was one */
	}
	pg_write_sample(bpf_get_smp_processor_id(), gateway, drop, &packet.source, service);
}

/* Counts the packet; NULL where its gateway has no counters, which never is. */
static __always_inline struct pg_counters *pg_count(struct xdp_md *ctx, __u32 gateway, __u32 at)
{
	struct pg_counters *counted = counters.lookup(&gateway);
	struct pg_counter *counter;
	__u64 length;

	if (!counted)
		return NULL;
	length = pg_length(ctx);
	counter = (struct pg_counter *)counted + at;
	counter->packets += 1;
	counter->bytes += length;
	return counted;
}

/* Most of a flood, by itself. */
static __always_inline int pg_refuse_stranger(struct xdp_md *ctx, const struct pg_root *root,
					      __u32 gateway)
{
	struct pg_counters *counted = pg_count(ctx, gateway, PG_UNREGISTERED + PG_DROPPING);

	if (counted && pg_is_sampled(root, counted, 1))
		pg_sample_plain(ctx, gateway, 1);
	return XDP_DROP;
}

/* The live decision: counts, acts, and writes some strangers down. */
static __always_inline int pg_live(struct xdp_md *ctx)
{
	const struct pg_root *root = pg_root();
	__u64 guard = pg_guard(root);
	const void *start = (void *)(long)ctx->data;
	__u32 version = pg_plain_version(start, (void *)(long)ctx->data_end);
	struct pg_decision decision;
	enum pg_way way = PG_CAREFULLY;
	struct pg_counters *counted;
	struct pg_arrival arrival;
	struct pg_found found;
	struct pg_now now = {};

	/* Twice, so that each family has a way of its own. */
	if (version == 4)
		way = pg_go_plainly(root, guard, start, 4, &arrival);
	else if (version == 6)
		way = pg_go_plainly(root, guard, start, 6, &arrival);
	if (way == PG_PASSES_BY) {
		pg_count(ctx, PG_NO_GATEWAY, PG_BYSTANDER);
		return XDP_PASS;
	}
	if (way == PG_REFUSED && arrival.upper.drops)
		return pg_refuse_stranger(ctx, root, arrival.upper.gateway);
	/* In memory from here on: registers would have to be set on every way before. */
	asm volatile("" : : "r"(&decision) : "memory");
	__builtin_memset(&decision, 0, sizeof(decision));
	if (way == PG_CAREFULLY) {
		way = pg_go_carefully(root, guard, ctx, &arrival, &decision);
	} else if (way == PG_PASSES) {
		decision.gateway = arrival.target->gateways[0];
		decision.verdict = PG_UNPROTECTED;
	} else {
		decision.gateway = arrival.upper.gateway;
		decision.verdict = PG_UNREGISTERED;
	}
	pg_decide(root, guard, way, &arrival, &now, &found, &decision);
	counted = pg_count(ctx, decision.gateway, pg_counter_number(&decision));
	if (!counted)
		return pg_action(&decision);
	if (pg_likely(decision.verdict < PG_EXPIRED))
		return XDP_PASS;
	if (decision.verdict != PG_MALFORMED && pg_is_sampled(root, counted, decision.drop)) {
		if (decision.ip)
			pg_sample(ctx, &decision);
		else
			pg_sample_plain(ctx, decision.gateway, decision.drop);
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
	const struct pg_root *root = pg_root();
	__u64 guard = pg_guard(root);
	struct pg_decision decision = {};
	const struct pg_entry *entry;
	struct pg_arrival arrival;
	struct pg_explanation *out;
	struct pg_found found;
	struct pg_now now = {};
	enum pg_way way;
	__u32 zero = 0;

	out = explanation.lookup(&zero);
	if (!out)
		return XDP_ABORTED;
	now.utc = out->now;
	now.known = 1;
	now.explaining = 1;
	found.at = PG_NOWHERE;
	way = pg_go_carefully(root, guard, ctx, &arrival, &decision);
	pg_decide(root, guard, way, &arrival, &now, &found, &decision);
	out->gateway = decision.gateway;
	out->verdict = decision.verdict;
	out->drop = decision.drop;
	entry = found.at == PG_NOWHERE ? NULL : pg_entry_of(&found);
	out->has_entry = entry != NULL;
	if (entry)
		out->entry = *entry;
	return pg_action(&decision);
}

#ifdef PG_CAPTURE
/*
 * In place of the usual one while somebody captures: what is wanted is written down, and the usual
 * program goes on. Where that is gone, packets are judged all the same, and not counted.
 */
int peergate_capture(struct xdp_md *ctx)
{
	const struct pg_root *root = pg_root();
	__u64 guard = pg_guard(root);
	const struct pg_capturing *wanted;
	struct pg_decision decision = {};
	struct pg_arrival arrival;
	struct pg_found found;
	struct pg_now now = {};
	enum pg_way way;
	__u32 zero = 0;

	now.explaining = 1; /* who was seen is for the usual one to note */
	found.at = PG_NOWHERE;
	way = pg_go_carefully(root, guard, ctx, &arrival, &decision);
	pg_decide(root, guard, way, &arrival, &now, &found, &decision);
	wanted = capturing.lookup(&zero);
	if (wanted)
		pg_capture(ctx, wanted, &decision, pg_length(ctx));
	usual.call(ctx, 0);
	return pg_action(&decision);
}
#endif
