/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a gateway has around a source, by `lengths4` and `lengths6`: whether it may be one of the
 * hosts, and which lengths prefixes near it have. control/lengths.py is the counterpart that
 * writes.
 *
 * Who includes this gives access to the tables: the element with this number, or NULL.
 */
#ifndef PEERGATE_AROUND_H
#define PEERGATE_AROUND_H

#include <linux/types.h>

#include "filter.h"
#include "hashing.h"
#include "peergate.h"

static __always_inline const struct pg_lengths *pg_lengths4_at(__u32 at);
static __always_inline const struct pg_lengths *pg_lengths6_at(__u32 at);

/* Lengths of IPv4: /8 to /15, which are shorter than a head, and /16 to /31. */
#define PG_SHORTS4 0x00ff0000U
#define PG_LONGS4  0x0000ffffU

/* Three groups of bits of a host's hash, for its head's cell: five, and twice six. */
#define PG_OWN4_BIT1_SHIFT 47
#define PG_OWN4_BIT2_SHIFT 52
#define PG_OWN4_BIT3_SHIFT 58

/* Four bits of a head's hash, below those that say which cell. */
#define PG_OWN6_SHIFT 32

/* The cell of the source's head, which has this hash. */
static __always_inline const struct pg_lengths *pg_cell4(const struct pg_root *root, __u64 hash,
							 __u64 source)
{
	__u64 head = source >> (32 - PG_HEAD_BITS4);

	return pg_lengths4_at(hash >> root->cells4_shift ^ head % PG_GROUP4);
}

static __always_inline void pg_cell6(const struct pg_root *root, __u64 hash, __u64 *numbers)
{
	const struct pg_lengths *cell = pg_lengths6_at(hash >> root->cells6_shift);

	numbers[0] = cell ? cell->word[0] : 0;
	numbers[1] = cell ? cell->word[1] : 0;
}

/* In the lowest bit, whether there are prefixes near the source. */
static __always_inline __u64 pg_near4(const struct pg_lengths *cell, __u64 source)
{
	__u64 next = (source >> (32 - PG_PART_BITS4)) % PG_NEAR_VALUES;
	__u64 further = (source >> (32 - PG_PART_BITS4 - PG_NEAR_BITS)) % PG_NEAR_VALUES;

	return pg_shifted(cell->word[0], next) & pg_shifted(cell->word[0], PG_FURTHER4 | further);
}

static __always_inline _Bool pg_near6(__u64 cell, __u64 source)
{
	__u64 next = source >> (64 - PG_HEAD_BITS6 - PG_NEAR_BITS) & (PG_NEAR_VALUES - 1);

	return cell >> (PG_NEAR6 + next) & 1;
}

/*
 * In the lowest bit, whether there may be the host with this hash. Where 16 share a cell, as at a
 * million, 6 strangers in 100 go on to `filter`, which the CPU's second cache has no room for;
 * where 64 do, as in a provider's dense /16, 66. Where these stand in a row it is 7 and 73: a
 * product keeps some of their order, for five instructions less than two would take.
 */
static __always_inline __u64 pg_own4(const struct pg_lengths *cell, __u64 hash)
{
	return pg_shifted(cell->word[0], PG_OWN4 | hash >> PG_OWN4_BIT1_SHIFT) &
	       pg_shifted(cell->word[1], hash >> PG_OWN4_BIT2_SHIFT) &
	       pg_shifted(cell->word[1], hash >> PG_OWN4_BIT3_SHIFT);
}

/* Whether the head with this hash has hosts or prefixes at all. */
static __always_inline _Bool pg_own6(__u64 cell, __u64 hash)
{
	return cell >> (PG_OWN6 + (hash >> PG_OWN6_SHIFT & (PG_NEAR_VALUES - 1))) & 1;
}

/*
 * The lengths of prefixes near the source, where its cell says that there are. The cell has no room
 * for them: at a million 2 strangers in 100 come here, and a third of them finds any.
 */
static __always_inline __u64 pg_in_part4(const struct pg_root *root, __u64 gateway, __u64 source)
{
	__u64 at =
	    root->parts4.first + (pg_hash_part4(root, gateway, source) >> root->parts4.shift);
	const struct pg_lengths *pair = pg_lengths4_at(at / 2);
	__u64 next = source >> (32 - PG_PART_BITS4 - PG_PART_NEAR_BITS);
	__u64 word;

	if (!pair)
		return 0;
	word = pair->word[at % 2];
	return word & PG_LONGS4 & -(pg_shifted(word, PG_PART_NEAR | next) & 1);
}

/* Lengths of prefixes around the source, and whether it may be a host, which this returns. */
static __always_inline _Bool pg_around4(const struct pg_root *root, __u64 gateway, __u64 source,
					__u64 *lengths)
{
	__u64 hash = pg_hash_head4(root, gateway, source);
	const struct pg_lengths *cell = pg_cell4(root, hash, source);

	lengths[0] = lengths[1] = 0;
	if (!cell)
		return 0;
	if (pg_near4(cell, source) & 1)
		lengths[1] = pg_in_part4(root, gateway, source);
	if (root->shorts[0]) {
		const struct pg_lengths *shorts =
		    pg_cell4(root, pg_hash_head4(root, gateway, 0), 0);

		if (shorts)
			lengths[1] |= shorts->word[0] & PG_SHORTS4;
	}
	return pg_own4(cell, pg_hash_own4(root, hash, source)) & 1;
}

static __always_inline _Bool pg_around6(const struct pg_root *root, __u32 gateway, __u64 source,
					__u64 *lengths)
{
	__u64 hash = pg_hash_head6(root, gateway, source >> (64 - PG_HEAD_BITS6));
	__u64 shorts[2];
	_Bool own;

	pg_cell6(root, hash, lengths);
	own = pg_own6(lengths[0], hash);
	if (!own || !pg_near6(lengths[0], source))
		lengths[0] = lengths[1] = 0;
	lengths[0] &= (1ULL << PG_NEAR6) - 1;
	if (root->shorts[1]) {
		pg_cell6(root, pg_hash_head6(root, gateway, 0), shorts);
		lengths[0] |= shorts[0] & ((1ULL << PG_OWN6) - (1ULL << PG_NEAR6));
	}
	return own;
}

#endif
