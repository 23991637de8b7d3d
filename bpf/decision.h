/* SPDX-License-Identifier: GPL-2.0-only */
/* What is known of a packet on its way through peergate.c, and what becomes of it. */
#ifndef PEERGATE_DECISION_H
#define PEERGATE_DECISION_H

#include "peergate.h"
#include "parse.h"
#include "sources.h"

/* UTC in nanoseconds: given to the explaining entry point, else read when first asked for. */
struct pg_now {
	__u64 utc;
	__u8 known;
	__u8 explaining; /* touches nothing, and takes no short cut */
};

/* What is known of a packet before its source is looked up. */
struct pg_arrival {
	struct pg_packet packet;
	struct pg_upper upper;
	const struct pg_target *target;
};

enum pg_way {
	PG_PASSES_BY, /* to nobody who is guarded */
	PG_PASSES,    /* whoever sent it */
	PG_REFUSED,   /* whoever sent it, or surely nobody who is registered */
	PG_BY_SOURCE, /* its source has to be found */
	PG_CAREFULLY, /* no plain packet */
};

struct pg_decision {
	__u32 service; /* as in struct pg_upper, if parse.h was asked */
	__u32 gateway; /* PG_NO_GATEWAY where none is known */
	__u8 verdict;  /* enum pg_verdict */
	__u8 drop;
	__u8 ip; /* where parse.h found the IP header; 0: it was not asked */
	__u8 pad;
};

/* Which of struct pg_counters: those that were dropped stand behind the others. */
static __always_inline __u32 pg_counter_number(const struct pg_decision *decision)
{
	__u32 at = decision->verdict + decision->drop * PG_DROPPING;

	/* Never: the verifier wants a bound. */
	return at < PG_VERDICTS + PG_DROPPING ? at : PG_OTHER;
}

static __always_inline int pg_action(const struct pg_decision *decision)
{
	return XDP_PASS - decision->drop; /* XDP_DROP; a branch here would cost more */
}

#endif
