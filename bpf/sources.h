/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a source is found in the tables of peergate.h: names, hashes, places. Pure C without
 * map calls; control/hashing.py is its counterpart, and a test holds both equal.
 *
 * Bits of a class's buckets (PG_HOSTS4_BITS and so on) come as compiler flags.
 */
#ifndef PEERGATE_SOURCES_H
#define PEERGATE_SOURCES_H

#include <linux/types.h>
#include <asm/byteorder.h>

#include "peergate.h"

#define PG_HASH_MASK ((1ULL << PG_HASH_BITS) - 1)

/* Where the next class's buckets begin; entries are four times as many. */
#define PG_PREFIXES4_FIRST     (1U << PG_HOSTS4_BITS)
#define PG_HOSTS6_FIRST	       (PG_PREFIXES4_FIRST + (1U << PG_PREFIXES4_BITS))
#define PG_PREFIXES6_FIRST     (PG_HOSTS6_FIRST + (1U << PG_HOSTS6_BITS))
#define PG_BUCKETS	       (PG_PREFIXES6_FIRST + (1U << PG_PREFIXES6_BITS))
#define PG_ENTRIES_OF(n)       ((n)*4)
#define PG_LINES_OF(n, in_one) (((n) + (in_one)-1) / (in_one))

#define PG_HAS_HOSTS4 (1U << 31)
#define PG_HAS_HOSTS6 (1ULL << 63)

/* Where an entry of one class may stand. */
struct pg_place {
	__u32 bucket;
	__u64 slot; /* what a slot of it has in the bits of PG_USED and the hash */
	__u64 mask; /* which are these */
	__u32 bits; /* what its word in `filter` has set */
};

static __always_inline __u64 pg_hash_address(const struct pg_address *address, __u64 seed)
{
	__u64 high = (__u64)address->word[0] << 32 | address->word[1];
	__u64 low = (__u64)address->word[2] << 32 | address->word[3];
	__u64 hash = (high ^ seed) * 0x9e3779b97f4a7c15ULL;

	hash ^= hash >> 32;
	hash = (hash ^ low ^ address->family) * 0xd6e8feb86659fd93ULL;
	return hash ^ hash >> 32;
}

/* A permutation of PG_HASH_BITS bits, so that bucket and slot together are the key. */
static __always_inline __u64 pg_hash4(const struct pg_root *root, __u32 gateway, __u32 name)
{
	__u64 hash = ((__u64)gateway << 32 | name) ^ root->secret[0];

	hash = (hash * root->secret[1]) & PG_HASH_MASK;
	hash ^= hash >> 23;
	hash = (hash * root->secret[2]) & PG_HASH_MASK;
	return hash ^ hash >> 22;
}

static __always_inline __u64 pg_hash6(const struct pg_root *root, __u32 gateway, __u64 high,
				      __u64 low)
{
	__u64 hash = (high ^ root->secret[0]) * root->secret[1];

	hash ^= hash >> 32;
	hash = (hash ^ low ^ gateway * root->secret[3]) * root->secret[2];
	hash ^= hash >> 29;
	return hash * root->secret[1] >> (64 - PG_HASH_BITS);
}

/* Of lengths, for the head of a source: its first bits, or zero for the shorter prefixes. */
static __always_inline __u32 pg_hash_head(const struct pg_root *root, __u32 gateway, __u32 head)
{
	__u64 hash = (((__u64)gateway << 32 | head) ^ root->secret[3]) * root->secret[1];

	return (hash ^ hash >> 32) * root->secret[2] >> 32;
}

static __always_inline void pg_place_of(struct pg_place *place, __u64 hash, __u32 first, int bits)
{
	int rest = PG_HASH_BITS - bits;
	__u64 remainder = hash & ((1ULL << rest) - 1);

	place->bucket = first + (hash >> rest);
	place->slot = PG_USED | remainder << (bits + 2);
	place->mask = (PG_USED << 1) - (1ULL << (bits + 2));
	place->bits = 1U << (remainder & 31) | 1U << (remainder >> 5 & 31);
}

#endif
