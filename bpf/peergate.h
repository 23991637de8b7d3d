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

/* The family is part of the key: ::ffff:192.0.2.1 is not 192.0.2.1. */
struct pg_address {
	__be32 family;	/* 4 or 6 */
	__be32 word[4]; /* IPv4 in the first, the others zero */
};

struct pg_service {
	__u8 protocol; /* IPPROTO_* */
	__u8 has_port;
	__be16 port;
	__u32 gateway; /* its number */
};

/* What one guarded address offers: value of `addresses`, key struct pg_address. */
struct pg_target {
	__u32 service_count;
	__u32 gateway_count;
	struct pg_service services[PG_SERVICES_MAX];
	__u32 gateways[PG_SERVICES_MAX]; /* distinct, ascending: [0] is the lowest */
};

/* Value of `gateways`, key __u32 number. Monitor is the empty window 0, 0. */
struct pg_gateway {
	__u64 enforce_from;
	__u64 enforce_until;
	char name[PG_NAME_SIZE];
};

/* A source at a gateway: key of `hosts`. */
struct pg_source {
	__be32 gateway;
	struct pg_address address;
};

/* Key of `prefixes`; the kernel's LPM wants the length first, in bits of source. */
struct pg_prefix {
	__u32 length; /* 64 (gateway, family) + the prefix's own */
	struct pg_source source;
};

/*
 * Value of `hosts` and `prefixes`: the windows of all peers that cover the
 * source, resolved by the control plane (DESIGN.md, Overlaps).
 */
struct pg_entry {
	__u64 valid_from;
	__u64 valid_until;
	__u32 peer;	    /* its id */
	__u8 prefix_length; /* of the prefix as registered */
	__u8 ended;	    /* an earlier window has ended */
	__u8 pad[2];
};

enum pg_verdict {
	PG_OTHER,
	PG_BYSTANDER,
	PG_UNPROTECTED,
	PG_REGISTERED,
	PG_EXPIRED,
	PG_UNREGISTERED,
	PG_MALFORMED,
};

struct pg_counter {
	__u64 packets;
	__u64 bytes;
};

/*
 * Value of the per-CPU array `counters`, index gateway number; 0 counts where
 * no gateway is known. Fields are verdict_action, verdicts in the order of enum
 * pg_verdict: Python takes the words from here.
 */
struct pg_counters {
	struct pg_counter other_pass;
	struct pg_counter bystander_pass;
	struct pg_counter unprotected_pass;
	struct pg_counter registered_pass;
	struct pg_counter expired_pass;
	struct pg_counter expired_drop;
	struct pg_counter unregistered_pass;
	struct pg_counter unregistered_drop;
	struct pg_counter malformed_pass;
	struct pg_counter malformed_drop;
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

_Static_assert(sizeof(struct pg_address) == 20, "pg_address");
_Static_assert(sizeof(struct pg_service) == 8, "pg_service");
_Static_assert(sizeof(struct pg_target) == 200, "pg_target");
_Static_assert(sizeof(struct pg_gateway) == 80, "pg_gateway");
_Static_assert(sizeof(struct pg_source) == 24, "pg_source");
_Static_assert(sizeof(struct pg_prefix) == 28, "pg_prefix");
_Static_assert(sizeof(struct pg_entry) == 24, "pg_entry");
_Static_assert(sizeof(struct pg_counters) == 160, "pg_counters");
_Static_assert(sizeof(struct pg_explanation) == 40, "pg_explanation");

#endif
