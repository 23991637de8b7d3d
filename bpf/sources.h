/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a source is found in the tables of peergate.h: places, and the search. control/buckets.py is
 * the counterpart that writes; a test holds both against each other.
 *
 * Who includes this gives access to the tables: each function returns the element with this
 * number, or NULL; pg_overflow_of() the one under this key.
 */
#ifndef PEERGATE_SOURCES_H
#define PEERGATE_SOURCES_H

#include <linux/types.h>
#include <linux/stddef.h>
#include <asm/byteorder.h>

#include "around.h"
#include "filter.h"
#include "hashing.h"
#include "peergate.h"

static __always_inline struct pg_bucket *pg_bucket_at(__u32 at);
static __always_inline struct pg_entry *pg_entry_at(__u32 at);
static __always_inline struct pg_entry *pg_overflow_of(const struct pg_key *key);

/* How many lengths a prefix may have: IPv6, from 16 to 127. */
#define PG_LENGTHS_MAX 112

/* Where an entry of one class may stand. */
struct pg_place {
	__u32 bucket;
	__u64 slot; /* what a slot of it has in the bits of PG_USED and the hash */
	__u64 mask; /* which are these */
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

static __always_inline __u64 pg_bucket_of(__u64 hash, const struct pg_room *room)
{
	return room->first + (hash >> room->shift);
}

static __always_inline void pg_place_of(struct pg_place *place, __u64 hash,
					const struct pg_room *room)
{
	__u32 bits = PG_HASH_BITS + 2 - room->shift;

	place->bucket = pg_bucket_of(hash, room);
	place->mask = (PG_USED << 1) - (1ULL << bits);
	place->slot = PG_USED | (hash << bits & place->mask);
}

static __always_inline _Bool pg_same(const struct pg_key *a, const struct pg_key *b)
{
	return !((a->name[0] ^ b->name[0]) | (a->name[1] ^ b->name[1]) | (a->gateway ^ b->gateway));
}

/* The slot with this place's hash, or PG_SLOTS. */
static __always_inline __u32 pg_slot_of(const struct pg_root *root, const struct pg_bucket *bucket,
					const struct pg_place *place, __u64 *slot)
{
	int i;

#pragma unroll
	for (i = 0; i < PG_SLOTS; i++) {
		*slot = bucket->slot[i];
		if ((*slot & place->mask) == place->slot)
			break;
	}
	return pg_forgotten(root, i);
}

/* Whether the key in `found` is there, by its hash. Most end at the filter. */
static __always_inline _Bool pg_probe(const struct pg_root *root, __u64 hash,
				      struct pg_found *found)
{
	const struct pg_room *room = &root->rooms[found->key.class & (PG_CLASSES - 1)];
	const struct pg_bucket *bucket;
	const struct pg_entry *entry;
	struct pg_place place;
	__u64 slot = 0;
	__u32 at, i;

	pg_place_of(&place, hash, room);
	if (!pg_in_filter(hash, place.bucket))
		return 0;
	bucket = pg_bucket_at(place.bucket);
	if (!bucket)
		return 0;
	i = pg_slot_of(root, bucket, &place, &slot);
	at = room->first * 4 + (__u32)(slot & ~place.mask);
	/* Of IPv4 the slot says it all: its entry's line is not touched. */
	if (i < PG_SLOTS && found->key.class >= PG_HOSTS6) {
		entry = pg_entry_at(at);
		if (!entry || !pg_same(&entry->key, &found->key))
			i = PG_SLOTS;
	}
	if (i < PG_SLOTS) {
		found->at = at + 1;
		found->bucket = place.bucket;
		found->slot = i;
		found->surely = slot >> PG_SURELY_SHIFT;
		return 1;
	}
	if (!bucket->overflowed || !pg_overflow_of(&found->key))
		return 0;
	found->at = pg_forgotten(root, PG_OVERFLOWN);
	return 1;
}

static __always_inline _Bool pg_probe_key(const struct pg_root *root, struct pg_found *found)
{
	const struct pg_key *key = &found->key;

	if (key->class < PG_HOSTS6)
		return pg_probe(root, pg_hash4(root, key->gateway, key->name[1]), found);
	return pg_probe(root, pg_hash6(root, key->gateway, key->name[0], key->name[1]), found);
}

/* Whether there is one of these prefixes around the source, by `filter`. */
static __always_inline _Bool pg_may_be_within4(const struct pg_root *root, __u64 gateway,
					       __u64 source, __u64 lengths)
{
	__u64 behind, hash;
	int i;

#pragma clang loop unroll(disable)
	for (i = 0; i < PG_HEAD_BITS4; i++) {
		lengths = pg_forgotten(root, lengths);
		if (!lengths)
			return 0;
		behind = lengths & -lengths;
		lengths ^= behind;
		hash = pg_hash4(root, gateway, (source & -behind) | behind);
		if (pg_in_filter(hash, pg_bucket_of(hash, &root->rooms[PG_PREFIXES4])))
			return 1;
	}
	return 0;
}

/*
 * Whether few looks say that pg_find_source() would find nothing: so most strangers end. At a
 * million 8 in 100 have more than their cell looked at.
 */
static __always_inline _Bool pg_is_stranger4(const struct pg_root *root, __u64 gateway,
					     __u64 source)
{
	__u64 hash = pg_hash_head4(root, gateway, source);
	const struct pg_lengths *cell = pg_cell4(root, hash, source);
	__u64 near, own;

	if (root->shorts[0] || !cell)
		return 0;
	near = pg_near4(cell, source);
	own = pg_own4(cell, pg_hash_own4(root, hash, source));
	if (pg_likely(!((near | own) & 1)))
		return 1;
	hash = pg_hash4(root, gateway, source);
	if (own & 1 && pg_in_filter(hash, pg_bucket_of(hash, &root->rooms[PG_HOSTS4])))
		return 0;
	return !(near & 1) ||
	       !pg_may_be_within4(root, gateway, source, pg_in_part4(root, gateway, source));
}

static __always_inline _Bool pg_is_stranger6(const struct pg_root *root, __u64 gateway, __u64 high,
					     __u64 low)
{
	__u64 hash = pg_hash_head6(root, gateway, high >> (64 - PG_HEAD_BITS6));
	__u64 cell[2];

	if (root->shorts[1])
		return 0;
	pg_cell6(root, hash, cell);
	if (!pg_own6(cell[0], hash))
		return 1;
	if (pg_near6(cell[0], high))
		return 0;
	hash = pg_hash6(root, gateway, high, low);
	return !pg_in_filter(hash, pg_bucket_of(hash, &root->rooms[PG_HOSTS6]));
}

static __always_inline _Bool pg_is_stranger(const struct pg_root *root, __u64 gateway,
					    const struct pg_address *source)
{
	if (source->version == 4)
		return pg_is_stranger4(root, gateway, source->number[1]);
	return pg_is_stranger6(root, gateway, source->number[0], source->number[1]);
}

/* From the longest prefix to the shortest, in the lengths that there are. */
static __always_inline void pg_find_prefix(const struct pg_root *root, __u64 high, __u64 low,
					   __u64 *lengths, struct pg_found *found)
{
	__u64 behind;
	int i;

#pragma clang loop unroll(disable)
	for (i = 0; i < PG_LENGTHS_MAX; i++) {
		if (lengths[1]) {
			behind = lengths[1] & -lengths[1];
			lengths[1] ^= behind;
			low &= -behind;
			found->key.name[1] = low | behind;
		} else if (lengths[0]) {
			behind = lengths[0] & -lengths[0];
			lengths[0] ^= behind;
			high &= -behind;
			found->key.name[0] = high | behind;
			found->key.name[1] = 0;
		} else {
			return;
		}
		if (pg_probe_key(root, found))
			return;
	}
}

/*
 * The longest prefix at this gateway that covers the source. Most strangers do not come here, or
 * end when `lengths` has nothing near.
 */
static __always_inline void pg_find_source(const struct pg_root *root, __u32 gateway,
					   const struct pg_address *source, struct pg_found *found)
{
	__u64 lengths[2], high = source->number[0], low = source->number[1];
	_Bool hosts;

	found->at = PG_NOWHERE;
	found->bucket = pg_forgotten(root, 0);
	found->slot = pg_forgotten(root, 0);
	found->surely = pg_forgotten(root, 0);
	found->key.gateway = gateway;
	found->key.class = pg_forgotten(root, source->version == 4 ? PG_HOSTS4 : PG_HOSTS6);
	if (source->version == 4)
		hosts = pg_around4(root, gateway, low, lengths);
	else
		hosts = pg_around6(root, gateway, high, lengths);
	/* One path to the verifier from here on, for both families. */
	high = found->key.name[0] = pg_forgotten(root, high);
	low = found->key.name[1] = pg_forgotten(root, low);
	lengths[0] = pg_forgotten(root, lengths[0]);
	lengths[1] = pg_forgotten(root, lengths[1]);
	if (pg_forgotten(root, hosts) && pg_probe_key(root, found))
		return;
	if (!(lengths[0] | lengths[1]))
		return;
	found->key.class += 1;
	if (found->key.class == PG_PREFIXES6)
		pg_thin_out6(root, gateway, high, low, lengths);
	pg_find_prefix(root, high, low, lengths, found);
}

#endif
