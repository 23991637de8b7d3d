/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What `filter` says of a source: whether its bucket may have it, and, of IPv6, which lengths of
 * prefixes may cover it. control/blocks.py and control/lengths.py are the counterpart that writes.
 *
 * Who includes this gives access to the table: the line with this number, or NULL.
 */
#ifndef PEERGATE_FILTER_H
#define PEERGATE_FILTER_H

#include <linux/types.h>

#include "hashing.h"
#include "peergate.h"

static __always_inline const struct pg_filter *pg_filter_at(__u32 at);

/* Four groups of six bits of a key's hash that its block in `filter` is asked by: not the lowest
 * one of a product, and below those that say which bucket, of up to 2^20 of them. */
#define PG_BIT1_SHIFT 1
#define PG_BIT2_SHIFT 7
#define PG_BIT3_SHIFT 13
#define PG_BIT4_SHIFT 19

/* Of the hash of a stride, which has 64 bits: two groups of six below those that say which word. */
#define PG_STRIDE_BIT1_SHIFT 28
#define PG_STRIDE_BIT2_SHIFT 34

/* The longest length of each stride, as the last bit of such a prefix, in one number. */
#define PG_STRIDE_ENDS 0x1111111111111111ULL
#define PG_STRIDES_MAX (64 / PG_STRIDE)

/*
 * The same number, of which the verifier knows nothing any more. Paths that differ only in
 * such numbers are one to it: else it would follow the rest of the program for each.
 */
static __always_inline __u64 pg_forgotten(const struct pg_root *root, __u64 number)
{
	return number ^ root->zero;
}

/* BPF shifts by the lowest six bits of a register (RFC 9669, 4.1); C would mask them before. */
static __always_inline __u64 pg_shifted(__u64 word, __u64 by)
{
	asm("%0 >>= %1" : "+r"(word) : "r"(by));
	return word;
}

/*
 * Whether the bucket may have this hash: all of its bits are set. Of those who ask at a table as
 * full as it gets, half of its slots, 2.0 in 100 find them so, and wait for a bucket that is in no
 * cache; three bits of a word of 64 for two buckets let 2.8 through, in as much memory.
 */
static __always_inline _Bool pg_in_filter(__u64 hash, __u64 bucket)
{
	const struct pg_filter *line = pg_filter_at(bucket / 16);
	const __u64 *word;

	if (!line)
		return 0;
	word = &line->word[bucket / 2 & 6];
	return pg_shifted(word[0], hash >> PG_BIT1_SHIFT) &
	       pg_shifted(word[0], hash >> PG_BIT2_SHIFT) &
	       pg_shifted(word[1], hash >> PG_BIT3_SHIFT) &
	       pg_shifted(word[1], hash >> PG_BIT4_SHIFT) & 1;
}

/* The strides of these lengths; a length is the last bit of its prefixes. */
static __always_inline __u64 pg_strides_of(__u64 lengths)
{
	lengths |= lengths >> 1;
	lengths |= lengths >> 2;
	return lengths & PG_STRIDE_ENDS;
}

/* Whether prefixes of this stride may cover the source: its last bit, or zero. */
static __always_inline __u64 pg_in_stride(const struct pg_root *root, __u64 hash, __u64 end)
{
	__u64 at = root->strides.first + (hash >> root->strides.shift);
	const struct pg_filter *line = pg_filter_at(at / 8);
	__u64 word;

	if (!line)
		return 0;
	word = line->word[at % 8];
	return end & -(pg_shifted(word, hash >> PG_STRIDE_BIT1_SHIFT) &
		       pg_shifted(word, hash >> PG_STRIDE_BIT2_SHIFT) & 1);
}

/* Of lengths that end in one number of the source those of strides that may cover it. */
static __always_inline __u64 pg_covering(const struct pg_root *root, __u64 gateway, __u64 high,
					 __u64 low, __u64 lengths, _Bool in_low)
{
	__u64 begun = pg_hash6_high(root, gateway, high);
	__u64 left = pg_strides_of(lengths);
	__u64 kept = pg_forgotten(root, 0);
	__u64 end, hash, i;

#pragma clang loop unroll(disable)
	for (i = 0; i < PG_STRIDES_MAX; i++) {
		left = pg_forgotten(root, left);
		if (!left)
			break;
		end = left & -left;
		left ^= end;
		if (!in_low)
			begun = pg_hash6_high(root, gateway, high & -end);
		hash = in_low ? pg_hash_stride(begun ^ pg_folded(low & -end), root->secret[2], end)
			      : pg_hash_stride(begun, root->secret[1], end);
		kept |= pg_in_stride(root, hash, end);
	}
	return lengths & kept * ((1 << PG_STRIDE) - 1);
}

/*
 * Of lengths of IPv6 prefixes those of strides that may cover the source. They are 29 looks at
 * most, where somebody registered each of 112 lengths, and none of them waits for another.
 */
static __always_inline void pg_thin_out6(const struct pg_root *root, __u64 gateway, __u64 high,
					 __u64 low, __u64 *lengths)
{
	/* A length's last bit, where `lengths` has the one behind it. */
	__u64 in_high = lengths[0] << 1 | lengths[1] >> 63;
	__u64 in_low = lengths[1] << 1;

	in_low = pg_covering(root, gateway, high, low, in_low, 1);
	in_high = pg_covering(root, gateway, high, low, in_high, 0);
	lengths[0] = pg_forgotten(root, in_high >> 1);
	lengths[1] = pg_forgotten(root, in_low >> 1 | in_high << 63);
}

#endif
