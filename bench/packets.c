/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stands around the program that is measured. `walk` gives each packet the next of
 * many sources (a packet repeated finds everything in the CPU's first cache, and measures
 * nothing), then calls what is in `measured`. `generate` sends packets out of an interface
 * in the same way. Compiled by bcc as peergate.c is; PG_LINES comes as a compiler flag.
 */
#include "plain.h"

#define PG_LINE_WORDS 16
#define PG_WORDS6     4

/* Addresses in network order: sixteen of IPv4 in a line, or four of IPv6. */
struct pg_walk_line {
	__be32 word[PG_LINE_WORDS];
};

struct pg_walk_state {
	__u32 next;	/* address */
	__u32 checksum; /* of the IPv4 header without its source, not yet folded */
	__u32 interface;
	__u32 pad;
};

BPF_F_TABLE("array", __u32, struct pg_walk_line, lines, PG_LINES, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct pg_walk_state, state, 1, BPF_F_MMAPABLE);
BPF_TABLE("prog", __u32, __u32, measured, 1);

static __always_inline struct pg_walk_state *pg_state(void)
{
	__u32 zero = 0;

	return state.lookup(&zero);
}

/* The next IPv4 address. */
static __always_inline const __be32 *pg_next4(struct pg_walk_state *walk)
{
	__u32 number = walk->next++;
	__u32 at = number / PG_LINE_WORDS & (PG_LINES - 1);
	struct pg_walk_line *line = lines.lookup(&at);

	return line ? &line->word[number % PG_LINE_WORDS] : NULL;
}

/* The next IPv6 address, its four words. */
static __always_inline const __be32 *pg_next6(struct pg_walk_state *walk)
{
	__u32 number = walk->next++;
	__u32 at = number / (PG_LINE_WORDS / PG_WORDS6) & (PG_LINES - 1);
	struct pg_walk_line *line = lines.lookup(&at);

	return line ? &line->word[number % (PG_LINE_WORDS / PG_WORDS6) * PG_WORDS6] : NULL;
}

static __always_inline struct iphdr *pg_ipv4_of(struct xdp_md *ctx)
{
	struct iphdr *ipv4 = (void *)(long)ctx->data + sizeof(struct ethhdr);

	return (void *)(ipv4 + 1) > (void *)(long)ctx->data_end ? NULL : ipv4;
}

static __always_inline struct ipv6hdr *pg_ipv6_of(struct xdp_md *ctx)
{
	struct ipv6hdr *ipv6 = (void *)(long)ctx->data + sizeof(struct ethhdr);

	return (void *)(ipv6 + 1) > (void *)(long)ctx->data_end ? NULL : ipv6;
}

static __always_inline struct iphdr *pg_write_source4(struct xdp_md *ctx,
						      struct pg_walk_state *walk)
{
	struct iphdr *ipv4 = pg_ipv4_of(ctx);
	const __be32 *address = pg_next4(walk);

	if (!ipv4 || !address)
		return NULL;
	ipv4->saddr = *address;
	return ipv4;
}

/* In two stores, as it is read: else the CPU would wait until both are in its cache. */
static __always_inline void pg_copy6(struct in6_addr *to, const __be32 *address)
{
	const __be64 *from = (const void *)address;
	__be64 *part = (void *)to;

	part[0] = from[0];
	part[1] = from[1];
}

static __always_inline struct ipv6hdr *pg_write_source6(struct xdp_md *ctx,
							struct pg_walk_state *walk)
{
	struct ipv6hdr *ipv6 = pg_ipv6_of(ctx);
	const __be32 *address = pg_next6(walk);

	if (!ipv6 || !address)
		return NULL;
	pg_copy6(&ipv6->saddr, address);
	return ipv6;
}

int walk_sources4(struct xdp_md *ctx)
{
	struct pg_walk_state *walk = pg_state();

	if (!walk || !pg_write_source4(ctx, walk))
		return XDP_ABORTED;
	measured.call(ctx, 0);
	return XDP_ABORTED;
}

int walk_sources6(struct xdp_md *ctx)
{
	struct pg_walk_state *walk = pg_state();

	if (!walk || !pg_write_source6(ctx, walk))
		return XDP_ABORTED;
	measured.call(ctx, 0);
	return XDP_ABORTED;
}

int walk_destinations4(struct xdp_md *ctx)
{
	struct pg_walk_state *walk = pg_state();
	struct iphdr *ipv4 = pg_ipv4_of(ctx);
	const __be32 *address;

	if (!walk || !ipv4)
		return XDP_ABORTED;
	address = pg_next4(walk);
	if (!address)
		return XDP_ABORTED;
	ipv4->daddr = *address;
	measured.call(ctx, 0);
	return XDP_ABORTED;
}

int walk_destinations6(struct xdp_md *ctx)
{
	struct pg_walk_state *walk = pg_state();
	struct ipv6hdr *ipv6 = pg_ipv6_of(ctx);
	const __be32 *address;

	if (!walk || !ipv6)
		return XDP_ABORTED;
	address = pg_next6(walk);
	if (!address)
		return XDP_ABORTED;
	pg_copy6(&ipv6->daddr, address);
	measured.call(ctx, 0);
	return XDP_ABORTED;
}

/* Neither side of a lookup may be left out as unused. */
static __always_inline void pg_use(const struct pg_address *address)
{
	pg_seen(address->number[0] ^ address->number[1]);
}

static __always_inline int pg_read_plain(const void *start, __u32 version)
{
	const struct pg_target nothing = {};
	struct pg_upper upper = {};
	struct pg_packet packet;

	pg_plain_destination(start, version, &packet);
	pg_use(&packet.destination);
	if (!pg_plain_headers(&packet, version, &nothing, &upper))
		return XDP_ABORTED;
	pg_plain_source(version, &packet);
	pg_use(&packet.source);
	pg_seen(upper.protocol ^ upper.gateway);
	return XDP_DROP;
}

/* All that the program reads of a packet, by the same code, and nothing that it looks up. */
int parse_and_drop(struct xdp_md *ctx)
{
	const void *start = (void *)(long)ctx->data;
	const void *end = (void *)(long)ctx->data_end;
	const struct pg_target nothing = {};
	struct pg_upper upper = {};
	struct pg_packet packet;
	struct pg_cursor cursor;
	__u32 version;

	version = pg_plain_version(start, end);
	if (version == 4)
		return pg_read_plain(start, 4);
	if (version == 6)
		return pg_read_plain(start, 6);
	pg_cursor_start(&cursor, start, end, pg_seen(0));
	if (!pg_parse_addresses(&cursor, &packet))
		return XDP_ABORTED;
	pg_use(&packet.destination);
	if (!pg_parse_headers(&cursor, &packet, &nothing, &upper))
		return XDP_ABORTED;
	pg_use(&packet.source);
	pg_seen(upper.protocol ^ upper.gateway);
	return XDP_DROP;
}

int drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

/* Live frames: out of state.interface, which is none for what making them costs. */
int generate4(struct xdp_md *ctx)
{
	struct pg_walk_state *walk = pg_state();
	struct iphdr *ipv4;
	__u32 sum;

	if (!walk)
		return XDP_ABORTED;
	ipv4 = pg_write_source4(ctx, walk);
	if (!ipv4)
		return XDP_ABORTED;
	sum = walk->checksum + (ipv4->saddr & 0xffff) + (ipv4->saddr >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ipv4->check = ~sum;
	return bpf_redirect(walk->interface, 0);
}

int generate6(struct xdp_md *ctx)
{
	struct pg_walk_state *walk = pg_state();

	if (!walk || !pg_write_source6(ctx, walk))
		return XDP_ABORTED;
	return bpf_redirect(walk->interface, 0);
}
