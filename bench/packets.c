/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stands around the program that is measured. `walk` gives each packet the next of
 * many sources (a packet repeated finds everything in the CPU's first cache, and measures
 * nothing), then calls what is in `measured`. `generate` sends packets out of an interface
 * in the same way. Compiled by bcc as peergate.c is; PG_LINES comes as a compiler flag.
 */
#include "parse.h"

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

static __always_inline struct ipv6hdr *pg_write_source6(struct xdp_md *ctx,
							struct pg_walk_state *walk)
{
	struct ipv6hdr *ipv6 = pg_ipv6_of(ctx);
	const __be32 *address = pg_next6(walk);

	if (!ipv6 || !address)
		return NULL;
	ipv6->saddr.in6_u.u6_addr32[0] = address[0];
	ipv6->saddr.in6_u.u6_addr32[1] = address[1];
	ipv6->saddr.in6_u.u6_addr32[2] = address[2];
	ipv6->saddr.in6_u.u6_addr32[3] = address[3];
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
	ipv6->daddr.in6_u.u6_addr32[0] = address[0];
	ipv6->daddr.in6_u.u6_addr32[1] = address[1];
	ipv6->daddr.in6_u.u6_addr32[2] = address[2];
	ipv6->daddr.in6_u.u6_addr32[3] = address[3];
	measured.call(ctx, 0);
	return XDP_ABORTED;
}

/* All that the program reads of a packet, and nothing that it looks up. */
int parse_and_drop(struct xdp_md *ctx)
{
	const struct pg_target nothing = {};
	struct pg_upper upper = {};
	struct pg_packet packet;
	struct pg_cursor cursor;

	pg_cursor_start(&cursor, (void *)(long)ctx->data, (void *)(long)ctx->data_end, pg_seen(0));
	if (!pg_parse_addresses(&cursor, &packet))
		return XDP_ABORTED;
	/* Neither side of the lookup may be left out as unused. */
	pg_seen(packet.destination.number[0] ^ packet.destination.number[1]);
	if (!pg_parse_headers(&cursor, &packet, &nothing, &upper))
		return XDP_ABORTED;
	pg_seen(packet.source.number[0] ^ packet.source.number[1] ^ upper.protocol ^ upper.gateway);
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
