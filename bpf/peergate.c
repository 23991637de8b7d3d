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
#include "sources.h"

BPF_F_TABLE("array", __u32, struct pg_root, root, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_line, addresses, 2 << PG_ADDRESSES_BITS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_target, targets, 2 << PG_ADDRESSES_BITS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_gateway, gateways, 2 * (PG_GATEWAYS_MAX + 1), BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_lengths4, lengths4, PG_LINES_OF(1 << PG_CELLS4_BITS, 16),
	    BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_lengths6, lengths6, PG_LINES_OF(1 << PG_CELLS6_BITS, 4),
	    BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_filter, filter, PG_LINES_OF(PG_BUCKETS, 16), BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_bucket, buckets, PG_BUCKETS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_entry, entries, PG_ENTRIES_OF(PG_BUCKETS), BPF_F_MMAPABLE);
BPF_F_TABLE("hash", struct pg_key, struct pg_entry, overflow, PG_OVERFLOW_MAX, BPF_F_NO_PREALLOC);
BPF_F_TABLE("percpu_array", __u32, struct pg_counters, counters, PG_GATEWAYS_MAX + 1, 0);
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
	__u8 explaining; /* touches nothing, and takes no short cut */
};

/* What the tables say of a source: where its entry stands, in `entries` counted from 1. */
#define PG_NOWHERE   0
#define PG_OVERFLOWN (~0U)

struct pg_found {
	struct pg_key key;
	__u32 at;     /* PG_NOWHERE: not registered; PG_OVERFLOWN: in `overflow`, by its key */
	__u32 bucket; /* and the slot there, if it has one */
	__u32 slot;
	__u32 surely; /* until when it is valid, whatever the entry says; in units */
};

struct pg_decision {
	struct pg_found found; /* the longest match of the source */
	__u32 gateway;	       /* PG_NO_GATEWAY where none is known */
	__u8 verdict;	       /* enum pg_verdict */
	__u8 drop;
};

/*
 * The same number, of which the verifier knows nothing any more. Paths that differ only in
 * such numbers are one to it: else it would follow the rest of the program for each.
 */
static __always_inline __u64 pg_forgotten(const struct pg_root *root, __u64 number)
{
	return number ^ root->zero;
}

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
static __always_inline const struct pg_target *pg_find_target(__u64 guard,
							      const struct pg_address *address)
{
	__u64 hash = pg_hash_address(address, guard);
	__u32 half = (guard & 1) << PG_ADDRESSES_BITS;
	__u32 at = half + (hash >> 40 & ((1 << PG_ADDRESSES_BITS) - 1));
	const struct pg_line *line = addresses.lookup(&at);
	const struct pg_target *target;
	__u64 slot;
	int i;

	if (!line)
		return NULL;
	for (i = 0; i < 8; i++) {
		slot = line->word[i];
		if (!slot)
			return NULL;
		if ((slot ^ hash) <= PG_PLACE_MASK)
			break;
	}
	if (i == 8)
		return NULL;
	at = half + (slot & PG_PLACE_MASK) - 1;
	target = targets.lookup(&at);
	if (!target || target->address.family != address->family ||
	    target->address.word[0] != address->word[0] ||
	    target->address.word[1] != address->word[1] ||
	    target->address.word[2] != address->word[2] ||
	    target->address.word[3] != address->word[3])
		return NULL;
	return target;
}

static __always_inline __u8 pg_enforces(const struct pg_root *root, __u64 guard, __u32 number,
					struct pg_now *now)
{
	__u32 at = (guard & 1) * (PG_GATEWAYS_MAX + 1) + number;
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

static __always_inline _Bool pg_same(const struct pg_key *a, const struct pg_key *b)
{
	return !((a->name[0] ^ b->name[0]) | (a->name[1] ^ b->name[1]) | (a->gateway ^ b->gateway));
}

/* The key in `found`, whose class has `bits` of buckets from `first` on. Most end at the filter. */
static __always_inline void pg_probe(const struct pg_root *root, __u64 hash, __u32 first, int bits,
				     struct pg_found *found)
{
	const struct pg_bucket *bucket;
	const struct pg_filter *words;
	const struct pg_entry *entry;
	__u64 slot = 0, number = 0, other;
	struct pg_place place;
	__u32 at;
	int i;

	pg_place_of(&place, hash, first, bits);
	at = place.bucket / 16;
	words = filter.lookup(&at);
	if (!words || place.bits & ~words->word[place.bucket % 16])
		return;
	bucket = buckets.lookup(&place.bucket);
	if (!bucket)
		return;
		/* No branches: the verifier would follow each, at every length. */
#pragma unroll
	for (i = 0; i < PG_SLOTS; i++) {
		other = (bucket->slot[i] & place.mask) ^ place.slot;
		other = pg_forgotten(root, ((other | pg_seen(-other)) >> 63) - 1);
		slot |= bucket->slot[i] & other;
		number |= i & other;
	}
	at = PG_ENTRIES_OF(first) + (slot & ((1U << (bits + 2)) - 1));
	/* Of IPv4 the slot says it all: its entry's line is not touched. */
	if (slot && first >= PG_HOSTS6_FIRST) {
		entry = entries.lookup(&at);
		if (!entry || !pg_same(&entry->key, &found->key))
			slot = 0;
	}
	if (slot) {
		found->at = pg_forgotten(root, at + 1);
		found->bucket = pg_forgotten(root, place.bucket);
		found->slot = pg_forgotten(root, number);
		found->surely = pg_forgotten(root, slot >> PG_SURELY_SHIFT);
	} else if (bucket->overflowed && overflow.lookup(&found->key)) {
		found->at = pg_forgotten(root, PG_OVERFLOWN);
	}
}

static __always_inline struct pg_entry *pg_entry_of(struct pg_found *found)
{
	__u32 at = found->at - 1;

	if (found->at == PG_OVERFLOWN)
		return overflow.lookup(&found->key);
	return entries.lookup(&at);
}

static __always_inline __u32 pg_cell4(const struct pg_root *root, __u32 gateway, __u32 head)
{
	__u32 cell = pg_hash_head(root, gateway, head) & ((1 << PG_CELLS4_BITS) - 1);
	__u32 at = cell / 16;
	const struct pg_lengths4 *line = lengths4.lookup(&at);

	return line ? line->cell[cell % 16] : 0;
}

static __always_inline void pg_find4(const struct pg_root *root, __u32 source,
				     struct pg_found *found)
{
	__u32 gateway = found->key.gateway;
	__u32 lengths, behind;
	int i;

	lengths = pg_cell4(root, gateway, source >> (32 - PG_HEAD_BITS4));
	lengths |= pg_cell4(root, gateway, 0);
	if (lengths & PG_HAS_HOSTS4) {
		found->key.class = PG_HOSTS4;
		found->key.name[1] = source;
		pg_probe(root, pg_hash4(root, gateway, source), 0, PG_HOSTS4_BITS, found);
		if (found->at)
			return;
		lengths ^= PG_HAS_HOSTS4;
	}
	found->key.class = PG_PREFIXES4;
#pragma clang loop unroll(disable)
	for (i = 0; i < 24; i++) {
		behind = lengths & -lengths;
		if (!behind)
			return;
		lengths ^= behind;
		source &= ~(behind - 1);
		found->key.name[1] = source | behind;
		pg_probe(root, pg_hash4(root, gateway, source | behind), PG_PREFIXES4_FIRST,
			 PG_PREFIXES4_BITS, found);
		if (found->at)
			return;
	}
}

static __always_inline void pg_cell6(const struct pg_root *root, __u32 gateway, __u32 head,
				     __u64 *lengths)
{
	__u32 cell = pg_hash_head(root, gateway, head) & ((1 << PG_CELLS6_BITS) - 1);
	__u32 at = cell / 4;
	const struct pg_lengths6 *line = lengths6.lookup(&at);

	if (!line)
		return;
	lengths[0] |= line->cell[cell % 4 * 2];
	lengths[1] |= line->cell[cell % 4 * 2 + 1];
}

static __always_inline void pg_find6(const struct pg_root *root, __u64 high, __u64 low,
				     struct pg_found *found)
{
	__u32 gateway = found->key.gateway;
	__u64 lengths[2] = {0, 0}, behind;
	int i;

	pg_cell6(root, gateway, high >> (64 - PG_HEAD_BITS6), lengths);
	pg_cell6(root, gateway, 0, lengths);
	found->key.name[0] = high;
	if (lengths[0] & PG_HAS_HOSTS6) {
		found->key.class = PG_HOSTS6;
		found->key.name[1] = low;
		pg_probe(root, pg_hash6(root, gateway, high, low), PG_HOSTS6_FIRST, PG_HOSTS6_BITS,
			 found);
		if (found->at)
			return;
		lengths[0] ^= PG_HAS_HOSTS6;
	}
	found->key.class = PG_PREFIXES6;
#pragma clang loop unroll(disable)
	for (i = 0; i < 64; i++) {
		behind = lengths[1] & -lengths[1];
		if (!behind)
			break;
		lengths[1] ^= behind;
		low &= ~(behind - 1);
		found->key.name[1] = low | behind;
		pg_probe(root, pg_hash6(root, gateway, high, low | behind), PG_PREFIXES6_FIRST,
			 PG_PREFIXES6_BITS, found);
		if (found->at)
			return;
	}
	found->key.name[1] = 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < 48; i++) {
		behind = lengths[0] & -lengths[0];
		if (!behind)
			return;
		lengths[0] ^= behind;
		high &= ~(behind - 1);
		found->key.name[0] = high | behind;
		pg_probe(root, pg_hash6(root, gateway, high | behind, 0), PG_PREFIXES6_FIRST,
			 PG_PREFIXES6_BITS, found);
		if (found->at)
			return;
	}
}

/* The longest prefix at this gateway that covers the source. */
static __always_inline void pg_find_source(const struct pg_root *root, __u32 gateway,
					   const struct pg_address *source, struct pg_found *found)
{
	found->at = PG_NOWHERE;
	found->bucket = pg_forgotten(root, 0);
	found->slot = pg_forgotten(root, 0);
	found->surely = pg_forgotten(root, 0);
	found->key.gateway = gateway;
	found->key.name[0] = 0;
	if (source->family == __cpu_to_be32(4))
		pg_find4(root, __be32_to_cpu(source->word[0]), found);
	else
		pg_find6(
		    root,
		    (__u64)__be32_to_cpu(source->word[0]) << 32 | __be32_to_cpu(source->word[1]),
		    (__u64)__be32_to_cpu(source->word[2]) << 32 | __be32_to_cpu(source->word[3]),
		    found);
}

/* Written only when it changes: the line stays clean in every other CPU's cache. */
static __always_inline void pg_see(const struct pg_root *root, struct pg_found *found)
{
	struct pg_bucket *bucket;
	struct pg_entry *entry;

	if (found->at == PG_OVERFLOWN) {
		entry = overflow.lookup(&found->key);
		if (entry && entry->seen != root->tick)
			entry->seen = root->tick;
		return;
	}
	bucket = buckets.lookup(&found->bucket);
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

	pg_cursor_start(&cursor, frame->start, frame->end);
	if (!pg_parse_addresses(&cursor, &packet))
		return;
	target = pg_find_target(guard, &packet.destination);
	if (!target) {
		decision->verdict = PG_BYSTANDER;
		return;
	}
	decision->gateway = target->gateways[0];
	upper.gateway = PG_NO_GATEWAY;
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
	if (upper.gateway != PG_NO_GATEWAY)
		decision->drop = pg_enforces(root, guard, upper.gateway, now);
	else
		decision->drop = pg_any_enforces(root, guard, target, now);
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
