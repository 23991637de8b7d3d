/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hashes of addresses, of sources' names, and of their heads. control/hashing.py is the counterpart
 * of the control plane; what either finds in the tables, the other must.
 */
#ifndef PEERGATE_HASHING_H
#define PEERGATE_HASHING_H

#include <linux/types.h>

#include "peergate.h"

#define pg_likely(x)   __builtin_expect(!!(x), 1)
#define pg_unlikely(x) __builtin_expect(!!(x), 0)

#define PG_HASH_SHIFT (64 - PG_HASH_BITS)

static __always_inline __u64 pg_hash_address(const struct pg_address *address, __u64 seed)
{
	__u64 hash = seed;

	if (address->version != 4) {
		hash = (address->number[0] ^ seed) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return (hash ^ address->number[1]) * 0xd6e8feb86659fd93ULL;
}

/*
 * A permutation of PG_HASH_BITS bits, so that bucket and slot together are the key. They are the
 * uppermost ones meanwhile, where a product needs no mask; those below are the same for all keys.
 */
static __always_inline __u64 pg_hash4(const struct pg_root *root, __u64 gateway, __u64 name)
{
	__u64 hash = (gateway << 32 | name) << PG_HASH_SHIFT ^ root->secret[0];

	hash *= root->secret[1];
	hash ^= hash >> 23 & ~((1ULL << PG_HASH_SHIFT) - 1);
	return hash * root->secret[2] >> PG_HASH_SHIFT;
}

/* In two steps, of which the first is the same for all prefixes that end in the second number. */
static __always_inline __u64 pg_hash6_high(const struct pg_root *root, __u64 gateway, __u64 high)
{
	__u64 hash = (high ^ root->secret[0]) * root->secret[1];

	return hash ^ hash >> 32 ^ gateway * root->secret[3];
}

static __always_inline __u64 pg_hash6_low(const struct pg_root *root, __u64 hash, __u64 low)
{
	hash = (hash ^ low) * root->secret[2];
	hash ^= hash >> 29;
	return hash * root->secret[1] >> PG_HASH_SHIFT;
}

static __always_inline __u64 pg_hash6(const struct pg_root *root, __u64 gateway, __u64 high,
				      __u64 low)
{
	return pg_hash6_low(root, pg_hash6_high(root, gateway, high), low);
}

/* The second number, for a stride's hash: a product's bits know nothing of those above them, and
 * prefixes of up to /88 in one /64 differ in such alone. */
static __always_inline __u64 pg_folded(__u64 low)
{
	return low ^ low >> 32;
}

/*
 * Of a stride, from the first step on: 64 bits, of which the upper half is good. No two strides
 * have the same factor: each number has its own `odd`, each stride in it its own `end`.
 */
static __always_inline __u64 pg_hash_stride(__u64 hash, __u64 odd, __u64 end)
{
	return hash * (odd ^ end << 1);
}

/*
 * For the cell of a source's head, or of zero for the shorter prefixes. IPv4 heads in groups: of
 * one the first 13 bits are a permutation, and its heads are told apart within their lines. So at
 * one gateway no two heads have the same cell, where there are as many cells; and where whole /8s
 * are nobody's, their lines stay out of the cache, with those that the CPU fetches beside what it
 * is asked for.
 */
static __always_inline __u64 pg_hash_head4(const struct pg_root *root, __u64 gateway, __u64 source)
{
	source = source << 32 & -((__u64)PG_GROUP4 << (64 - PG_HEAD_BITS4));
	return ((source | gateway) ^ root->secret[3]) * root->secret[1];
}

/* Of a host, for its bits in the cell of its head, from that one's hash on. The upper bits count.
 */
static __always_inline __u64 pg_hash_own4(const struct pg_root *root, __u64 hash, __u64 source)
{
	return (hash ^ source) * root->secret[2];
}

static __always_inline __u64 pg_hash_part4(const struct pg_root *root, __u64 gateway, __u64 source)
{
	source = source << 32 & -(1ULL << (64 - PG_PART_BITS4));
	return ((source | gateway) ^ root->secret[3]) * root->secret[1];
}

static __always_inline __u64 pg_hash_head6(const struct pg_root *root, __u64 gateway, __u64 head)
{
	return ((gateway << 32 | head) ^ root->secret[3]) * root->secret[1];
}

#endif
