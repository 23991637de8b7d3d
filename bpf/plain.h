/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The headers of nearly all packets, at fixed places: Ethernet without tags, IPv4 without options
 * or IPv6 without extension headers, no later fragment. parse.h would say the same of them, but
 * takes 109 instructions where this takes 32 (IPv6: 102, 45). The fuzzer compares both, and so does
 * each test's frame: the explaining entry point asks parse.h alone. All else is left to it.
 */
#ifndef PEERGATE_PLAIN_H
#define PEERGATE_PLAIN_H

#include "parse.h"

/* The first bytes from the EtherType on: with IP's version and, of IPv4, the header's length. */
#define PG_KIND_AT    12
#define PG_KIND4      __constant_cpu_to_be32(0x08004500)
#define PG_KIND4_MASK __constant_cpu_to_be32(0xffffff00)
#define PG_KIND6      __constant_cpu_to_be32(0x86dd6000)
#define PG_KIND6_MASK __constant_cpu_to_be32(0xfffff000)

/* 4 or 6, where the frame has such a header, and ports behind it; else 0. */
static __always_inline __u32 pg_plain_version(const void *start, const void *end)
{
	const void *ip = start + ETH_HLEN;
	__u64 kind;

	if (ip + sizeof(struct iphdr) + PG_PORTS_SIZE > end)
		return 0;
	kind = *(const __be32 *)(start + PG_KIND_AT);
	if ((kind & PG_KIND4_MASK) == PG_KIND4)
		return 4;
	if ((kind & PG_KIND6_MASK) != PG_KIND6 || ip + sizeof(struct ipv6hdr) + PG_PORTS_SIZE > end)
		return 0;
	return 6;
}

/* The destination first: for most packets it is all that is asked for. */
static __always_inline void pg_plain_destination(const void *start, __u32 version,
						 struct pg_packet *packet)
{
	const void *ip = start + ETH_HLEN;

	packet->ip = ip;
	if (version == 4)
		pg_ipv4_address(&packet->destination, ((const struct iphdr *)ip)->daddr);
	else
		pg_ipv6_address(&packet->destination, &((const struct ipv6hdr *)ip)->daddr);
}

static __always_inline void pg_plain_source(__u32 version, struct pg_packet *packet)
{
	const struct ipv6hdr *ipv6 = packet->ip;
	const struct iphdr *ipv4 = packet->ip;

	if (version == 4)
		pg_ipv4_address(&packet->source, ipv4->saddr);
	else
		pg_ipv6_address(&packet->source, &ipv6->saddr);
}

/* What pg_plain_headers() leaves out of `upper`, for few packets are asked for it. */
static __always_inline __u32 pg_plain_service(const struct pg_packet *packet, __u32 version)
{
	const struct ipv6hdr *ipv6 = packet->ip;
	const struct iphdr *ipv4 = packet->ip;
	const struct pg_ports *ports = version == 4 ? (void *)(ipv4 + 1) : (void *)(ipv6 + 1);
	__u8 protocol = version == 4 ? ipv4->protocol : ipv6->nexthdr;

	if (pg_has_ports(protocol))
		return pg_service_word(protocol, 1, ports->destination);
	return pg_service_word(protocol, 0, 0);
}

/* Failure: not a plain packet. Nothing is known of it then. */
static __always_inline _Bool pg_plain_headers(const struct pg_packet *packet, __u32 version,
					      const struct pg_target *target,
					      struct pg_upper *upper)
{
	const struct ipv6hdr *ipv6 = packet->ip;
	const struct iphdr *ipv4 = packet->ip;
	const struct pg_ports *ports;
	__u32 gateway;

	upper->later = 0;
	upper->shared = 0;
	if (version == 4) {
		if (ipv4->frag_off & __constant_cpu_to_be16(PG_IPV4_OFFSET_MASK) ||
		    __be16_to_cpu(ipv4->tot_len) < sizeof(*ipv4) + PG_PORTS_SIZE)
			return 0;
		upper->protocol = ipv4->protocol;
		ports = packet->ip + sizeof(*ipv4);
	} else {
		if (__be16_to_cpu(ipv6->payload_len) < PG_PORTS_SIZE)
			return 0;
		upper->protocol = ipv6->nexthdr;
		ports = packet->ip + sizeof(*ipv6);
	}
	if (pg_has_ports(upper->protocol))
		gateway = pg_find_service(target,
					  pg_service_word(upper->protocol, 1, ports->destination));
	else if (!pg_is_extension(version, upper->protocol))
		gateway = pg_find_service(target, pg_service_word(upper->protocol, 0, 0));
	else
		return 0;
	upper->gateway = gateway & ~PG_DROPS;
	upper->drops = gateway >> 31;
	return 1;
}

#endif
