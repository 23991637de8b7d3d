/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Keys and values of the maps: the one source of truth. bcc builds the Python
 * types from these structs. Times are nanoseconds since 1970-01-01 UTC, windows
 * half-open. Padding is named, so that every byte of a key is defined.
 */
#ifndef PEERGATE_H
#define PEERGATE_H

#include <linux/types.h>

#define PG_SERVICES_MAX 16	/* per address */
#define PG_NAME_SIZE	64	/* a gateway's name, with its NUL */
#define PG_FOREVER	(~0ULL) /* an end that never comes */
#define PG_NO_GATEWAY	0	/* gateway numbers start at 1 */

/* The version is part of the key: ::ffff:192.0.2.1 is not 192.0.2.1. */
struct pg_address {
	__u64 number[2]; /* IPv4 in the second */
	__u32 version;	 /* 4 or 6 */
	__u32 pad;
};

struct pg_service {
	__u8 protocol; /* IPPROTO_* */
	__u8 has_port;
	__be16 port;
	__u32 gateway; /* its number, and PG_DROPS */
};

/* Of a service: its gateway enforces, whatever the time is; `gateways` need not be asked. */
#define PG_DROPS (1U << 31)

/*
 * What decides on a packet stands in arrays that the agent writes through mmap(2). Lines
 * are 64 bytes, as the CPU's are. How they are written while packets read them, and when
 * what is read no more may be used again: docs/architecture.md.
 */
struct pg_line {
	__u64 word[8];
};

/* The buckets of one class of sources: 2^bits from the first on, and four times as many entries. */
struct pg_room {
	__u32 first;
	__u32 shift; /* of a key's hash, to its bucket: PG_HASH_BITS less bits */
};

#define PG_CLASSES     4
#define PG_DIRECT_BITS 10 /* 2 KiB a half stay in the CPU's first cache */

/*
 * Value of `root`, one element: what every packet needs. How large the other arrays are stands
 * here, so that the program is the same for all sizes.
 */
struct pg_root {
	__u64 guard;	   /* of what is guarded: half, slots and seed, see below */
	__u64 clock;	   /* UTC less the monotonic clock, ns */
	__u64 secret[4];   /* of the sources' hashes, while the maps live; 1 and 2 are odd */
	__u64 zero;	   /* what the verifier does not know to be zero */
	__u8 tick;	   /* the time, coarsely, for last seen; 0 is never */
	__u8 cells4_shift; /* of a head's hash, to the number of its cell in `lengths4` */
	__u8 cells6_shift;
	__u8 pad;
	__u32 lines; /* twice the highest line of one half of `addresses` */
	struct pg_room rooms[PG_CLASSES];
	struct pg_room strides; /* words of `filter`, and of a 64-bit hash */
	struct pg_room parts4;	/* the same of `lengths4` */
	__u8 shorts[2]; /* whether there are prefixes shorter than a head: of IPv4, of IPv6 */
	__u8 pad2[2];
	__u32 epoch; /* of samples; 0: none are taken */
	__u8 pad3[8];
	__u16 direct[2 << PG_DIRECT_BITS]; /* of both halves, one behind the other */
};

/*
 * A later fragment may belong to any gateway on the address, so it is looked up at a number
 * where the sources of all of them are: a gateway's own if there is one, else one above these.
 */
#define PG_GATEWAY_BITS 13
#define PG_NUMBERS_MAX	((1U << PG_GATEWAY_BITS) - 1)

/*
 * What is guarded stands twice, in two halves of `addresses`, `targets` and `gateways`: one has the
 * even numbers, one the odd. Bit 0 of `guard` says which half is in force. By the first bits of an
 * address's hash, `direct` has its target's number, counted from 1; 0 where there is none, which
 * is where most packets end; and PG_SEVERAL where `addresses` have to tell. These are lines of
 * slots, used ones first: of the hash the upper bits, and the target's number, counted from 1. The
 * next three bits of `guard` are the last slot that any line uses, and all of it is the hash's
 * seed.
 */
#define PG_LINES_BITS 2 /* there are four times as many lines as targets: most are empty */
#define PG_SEVERAL    0xffff
#define PG_LINE_SHIFT 39 /* of an address's hash, to twice its line's number */
#define PG_PLACE_BITS 16
#define PG_PLACE_MASK ((1ULL << PG_PLACE_BITS) - 1)

/* What one guarded address offers: value of `targets`. Its first line has four services. */
struct pg_target {
	struct pg_address address;
	__u32 service_count;
	__u32 gateway_count;
	struct pg_service services[PG_SERVICES_MAX];
	__u32 gateways[PG_SERVICES_MAX]; /* distinct, ascending: [0] is the lowest */
	__u32 later;			 /* the number that later fragments are looked up at */
	__u32 pad[7];
};

/* Value of `gateways`, at its number in the half. Monitor is the empty window 0, 0. */
struct pg_gateway {
	__u64 enforce_from;
	__u64 enforce_until;
	char name[PG_NAME_SIZE];
};

/*
 * Sources stand by class, each in tables of its own: hosts are /32 and /128. A source is
 * named by its address as two numbers, IPv4 in the second. A prefix's name has the first bit
 * behind the prefix set and none after that, so that it tells its length.
 */
enum pg_class {
	PG_HOSTS4,
	PG_PREFIXES4,
	PG_HOSTS6,
	PG_PREFIXES6,
};

/* Key of `overflow`, for sources that found no slot in their bucket. */
struct pg_key {
	__u64 name[2];
	__u32 gateway;
	__u32 class;
};

/*
 * A source at a gateway, with the windows of all peers that cover it, resolved by the
 * control plane (DESIGN.md, Overlaps). Value of `entries` and `overflow`.
 */
struct pg_entry {
	struct pg_key key;
	__u64 valid_from;
	__u64 valid_until;
	__u32 peer;	    /* its id */
	__u8 prefix_length; /* of the prefix as registered */
	__u8 ended;	    /* an earlier window has ended */
	__u8 seen;	    /* the tick of its last packet; in `overflow` alone */
	__u8 pad;
};

/*
 * Value of `buckets`. A slot, from the lowest bit: the place of its entry in the class, what
 * the bucket's number leaves of the key's hash (together PG_HASH_BITS + 2 bits), used, and
 * the time until which the source is surely valid, in units. An IPv4 key's hash is a
 * permutation: the slot is the key.
 */
#define PG_SLOTS	  7
#define PG_HASH_BITS	  (PG_GATEWAY_BITS + 32)
#define PG_USED		  (1ULL << (PG_HASH_BITS + 2))
#define PG_SURELY_SHIFT	  48
#define PG_SURELY_FOREVER 0xffff
#define PG_SURELY_UNIT	  46 /* 2^46 ns are 19.5 hours */

struct pg_bucket {
	__u64 slot[PG_SLOTS];
	__u8 seen[PG_SLOTS]; /* the tick of its last packet */
	__u8 overflowed;     /* look in `overflow` too */
};

/*
 * A line of `filter`. Four buckets have a block of two words there, and an entry two bits of each.
 *
 * Behind the blocks of all classes are words for the strides of IPv6. A stride is four lengths, of
 * which the longest is a multiple of four. A prefix is there as all those of this length that it
 * covers, eight at most, by two bits of a word each. So one look tells that none of four
 * lengths covers a source (controlled prefix expansion; Srinivasan and Varghese, 1998).
 */
#define PG_STRIDE 4

struct pg_filter {
	__u64 word[8];
};

/*
 * `lengths4`, `lengths6`: which lengths of prefixes a gateway has, by the head of the source, its
 * first 16 or 32 bits: a cell. Shorter prefixes stand where the head is taken as zero. A length's
 * bit is the one that its name has behind the prefix.
 *
 * In IPv6 a cell has the lengths; bits that a head leaves free say where in it there are prefixes,
 * one for each value of the source's next 4 bits, and whether it has hosts or prefixes at all, one
 * for each value of 4 bits of its hash.
 *
 * In IPv4 a cell says where there are prefixes, by one bit for each value of the source's next 4
 * bits, and one of the 4 bits further. The rest is a filter of its own, of which a host at the
 * gateway has three bits in its head's cell: one of the upper half of the first number, two of the
 * second. Behind the cells are words for the parts of heads, the first 20 bits of a source: with
 * the lengths there, and in the upper half where there are prefixes, by the next 5 bits.
 */
#define PG_HEAD_BITS4	  16
#define PG_HEAD_BITS6	  32
#define PG_GROUP4	  8 /* so many heads of IPv4 are side by side, in two lines */
#define PG_NEAR_BITS	  4
#define PG_NEAR_VALUES	  (1 << PG_NEAR_BITS)
#define PG_FURTHER4	  16 /* the first of these bits */
#define PG_OWN4		  32
#define PG_PART_BITS4	  20
#define PG_PART_NEAR_BITS 5
#define PG_PART_NEAR	  32
#define PG_NEAR6	  32 /* of the first number */
#define PG_OWN6		  48

struct pg_lengths {
	__u64 word[2]; /* a cell of both numbers, as names are; or two parts */
};

enum pg_verdict {
	PG_OTHER,
	PG_BYSTANDER,
	PG_UNPROTECTED,
	PG_REGISTERED,
	PG_EXPIRED,
	PG_UNREGISTERED,
	PG_MALFORMED,
	PG_VERDICTS,
};

#define PG_DROPPING (PG_VERDICTS - PG_EXPIRED) /* verdicts that drop; they come last */

struct pg_counter {
	__u64 packets;
	__u64 bytes;
};

/*
 * `samples`: of strangers' packets those that are written down, see samples.h. For each CPU
 * that there may be a ring; the element before it is no sample: its sequence is the last one's.
 * A sample with sequence N is element N % PG_RING of the ring.
 */
#define PG_SAMPLES 256 /* of one gateway on one CPU, in an epoch */
#define PG_RING	   1024

struct pg_sample {
	__u64 number[2]; /* the source's, as in struct pg_address */
	__u64 sequence;
	__u8 protocol; /* as in struct pg_service; without a port also a later fragment */
	__u8 has_port;
	__be16 port;
	__u16 gateway;
	__u8 version;
	__u8 dropped;
};

/* Which strangers' packets, of those that passed or those that were dropped, will be samples. */
struct pg_sampling {
	__u64 next;  /* the next one, by its number */
	__u64 begun; /* how many there were when the epoch began */
	__u64 random;
	__u64 mean;  /* of packets from one to the next */
	__u32 left;  /* samples that may still come in this epoch */
	__u32 epoch; /* what `root` said last */
	__u64 pad;
};

/*
 * Value of the per-CPU array `counters`, index gateway number; 0 counts where
 * no gateway is known. Fields are verdict_action, in the order of enum pg_verdict, those
 * that passed and then those that were dropped: Python takes the words from here. What is no
 * counter stands behind them.
 */
struct pg_counters {
	struct pg_counter other_pass;
	struct pg_counter bystander_pass;
	struct pg_counter unprotected_pass;
	struct pg_counter registered_pass;
	struct pg_counter expired_pass;
	struct pg_counter unregistered_pass;
	struct pg_counter malformed_pass;
	struct pg_counter expired_drop;
	struct pg_counter unregistered_drop;
	struct pg_counter malformed_drop;
	struct pg_sampling sampling_pass; /* of unregistered_pass and expired_pass */
	struct pg_sampling sampling_drop;
};

/*
 * Value of `explanation`, one element, never pinned: `now` goes in, the rest
 * comes out of the explaining entry point.
 */
struct pg_explanation {
	__u64 now;
	struct pg_entry entry; /* the longest match, if has_entry */
	__u32 gateway;	       /* PG_NO_GATEWAY where none is known */
	__u8 verdict;	       /* enum pg_verdict */
	__u8 drop;	       /* the action; a dropping verdict without it would drop */
	__u8 has_entry;
	__u8 pad;
};

/*
 * Value of the per-CPU array `head`, one element, never pinned: the framing and 1,024
 * bytes from the IP header on. The slack is never read; it spares the verifier a proof.
 */
#define PG_HEAD_SIZE 1056

struct pg_head {
	__u8 bytes[PG_HEAD_SIZE];
	__u8 slack[64];
};

_Static_assert(sizeof(struct pg_address) == 24, "pg_address");
_Static_assert(sizeof(struct pg_service) == 8, "pg_service");
_Static_assert(sizeof(struct pg_line) == 64, "pg_line");
_Static_assert(sizeof(struct pg_root) == 128 + 4096, "pg_root");
_Static_assert(sizeof(struct pg_target) == 256, "pg_target");
_Static_assert(sizeof(struct pg_gateway) == 80, "pg_gateway");
_Static_assert(sizeof(struct pg_key) == 24, "pg_key");
_Static_assert(sizeof(struct pg_entry) == 48, "pg_entry");
_Static_assert(sizeof(struct pg_bucket) == 64, "pg_bucket");
_Static_assert(sizeof(struct pg_filter) == 64, "pg_filter");
_Static_assert(sizeof(struct pg_lengths) == 16, "pg_lengths");
_Static_assert(sizeof(struct pg_sample) == 32, "pg_sample");
_Static_assert(sizeof(struct pg_sampling) == 48, "pg_sampling");
_Static_assert(sizeof(struct pg_counters) == 256, "pg_counters");
_Static_assert(sizeof(struct pg_explanation) == 64, "pg_explanation");

#endif
