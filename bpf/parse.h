/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a frame to what decides on it: first the addresses, then the headers up to
 * the one that names a service. Pure C without map calls, so that it compiles on
 * the host too, where it is fuzzed.
 *
 * A parser returns success or failure and fills typed fields. Failure before the
 * destination address is known is the verdict `other`, after it `malformed`.
 */
#ifndef PEERGATE_PARSE_H
#define PEERGATE_PARSE_H

#include <linux/types.h>
#include <linux/stddef.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <asm/byteorder.h>

#include "peergate.h"
#include "cursor.h"

#define PG_EXTENSIONS_MAX 8
#define PG_TAGS_MAX	  2
#define PG_FRAMING_MAX	  64
#define PG_PORTS_SIZE	  4
#define PG_EXTENSION_SIZE 8 /* the least that any extension header has */

#define PG_PPP_IPV4 0x0021
#define PG_PPP_IPV6 0x0057

#define PG_IPV4_OFFSET_MASK 0x1fff
#define PG_IPV6_OFFSET_MASK 0xfff8

#define PG_IPPROTO_HIP	 139
#define PG_IPPROTO_SHIM6 140

struct pg_vlan_tag {
	__be16 tci;
	__be16 ethertype;
};

struct pg_pppoe {
	__u8 version_type;
	__u8 code;
	__be16 session;
	__be16 length;
};

/* Every IPv6 extension header, and AH, begins like this; `length` counts in its own units. */
struct pg_extension {
	__u8 next;
	__u8 length;
	__be16 offset; /* of a fragment header: offset, and flags in the lowest three bits */
};

struct pg_ports {
	__be16 source;
	__be16 destination;
};

/*
 * What a packet says of itself at fixed places, readable whatever else is broken. The version
 * of the addresses is the EtherType's.
 */
struct pg_packet {
	struct pg_address source;
	struct pg_address destination;
	const void *ip; /* the header, without options or extensions */
};

/* Where the walk over the headers ended, and what that is at the address. */
struct pg_upper {
	__u8 protocol;
	__u8 later;    /* a fragment that is not the first: nothing but its protocol is known */
	__u8 shared;   /* a later fragment of TCP or UDP, which the address offers */
	__u8 drops;    /* PG_DROPS was set at the service */
	__u32 gateway; /* whose service it is, or PG_NO_GATEWAY */
	__u32 service; /* the first word of a struct pg_service; a later fragment's has no port */
};

static __always_inline _Bool pg_is_ip(__be16 ethertype)
{
	return ethertype == __cpu_to_be16(ETH_P_IP) || ethertype == __cpu_to_be16(ETH_P_IPV6);
}

/* PPP's protocol may be compressed to its second byte, which is odd; the first is even. */
static __always_inline _Bool pg_parse_pppoe(struct pg_cursor *cursor, __be16 *ethertype)
{
	const __u8 *ppp;
	__u32 protocol;

	if (!pg_take(cursor, sizeof(struct pg_pppoe)))
		return 0;
	ppp = pg_peek(cursor, 2);
	if (!ppp)
		return 0;
	if (ppp[0] & 1) {
		protocol = ppp[0];
		cursor->at += 1;
	} else {
		protocol = ppp[0] << 8 | ppp[1];
		cursor->at += 2;
	}
	if (protocol == PG_PPP_IPV4)
		*ethertype = __cpu_to_be16(ETH_P_IP);
	else if (protocol == PG_PPP_IPV6)
		*ethertype = __cpu_to_be16(ETH_P_IPV6);
	return 1;
}

/* Framing between Ethernet and IP; leaves the cursor after it. */
static __always_inline _Bool pg_parse_tags(struct pg_cursor *cursor, __be16 *ethertype)
{
	const struct pg_vlan_tag *tag;
	int i;

	for (i = 0; i < PG_TAGS_MAX; i++) {
		if (*ethertype != __cpu_to_be16(ETH_P_8021Q) &&
		    *ethertype != __cpu_to_be16(ETH_P_8021AD))
			break;
		tag = pg_take(cursor, sizeof(*tag));
		if (!tag)
			return 0;
		*ethertype = tag->ethertype;
	}
	if (*ethertype == __cpu_to_be16(ETH_P_PPP_SES))
		return pg_parse_pppoe(cursor, ethertype);
	return 1;
}

static __always_inline void pg_ipv4_address(struct pg_address *address, __be32 word)
{
	address->version = 4;
	address->number[0] = 0;
	address->number[1] = __be32_to_cpu(word);
}

/* In two reads, wherever the header lies: all that peergate runs on can. */
static __always_inline void pg_ipv6_address(struct pg_address *address, const struct in6_addr *from)
{
	const __be64 *part = (const void *)from;

	address->version = 6;
	address->number[0] = __be64_to_cpu(part[0]);
	address->number[1] = __be64_to_cpu(part[1]);
}

/*
 * Failure: neither IPv4 nor IPv6, or the frame ends before the destination address
 * does. The addresses stand at fixed places, so neither the version nor any length
 * is looked at yet. Leaves the cursor at the IP header.
 */
static __always_inline _Bool pg_parse_addresses(struct pg_cursor *cursor, struct pg_packet *packet)
{
	const struct ethhdr *ethernet = pg_take(cursor, sizeof(*ethernet));
	const struct ipv6hdr *ipv6;
	const struct iphdr *ipv4;
	__be16 ethertype;

	if (!ethernet)
		return 0;
	ethertype = ethernet->h_proto;
	if (!pg_is_ip(ethertype) && !pg_parse_tags(cursor, &ethertype))
		return 0;
	/* All framings are one to the verifier from here on, and it wants to see a bound. */
	cursor->at ^= cursor->zero;
	if (cursor->at > PG_FRAMING_MAX)
		return 0;
	pg_cursor_start(cursor, cursor->start + cursor->at, cursor->frame_end, cursor->zero);
	if (ethertype == __cpu_to_be16(ETH_P_IP)) {
		ipv4 = pg_peek(cursor, sizeof(*ipv4));
		if (!ipv4)
			return 0;
		packet->ip = ipv4;
		pg_ipv4_address(&packet->source, ipv4->saddr);
		pg_ipv4_address(&packet->destination, ipv4->daddr);
		return 1;
	}
	if (ethertype == __cpu_to_be16(ETH_P_IPV6)) {
		ipv6 = pg_peek(cursor, sizeof(*ipv6));
		if (!ipv6)
			return 0;
		packet->ip = ipv6;
		pg_ipv6_address(&packet->source, &ipv6->saddr);
		pg_ipv6_address(&packet->destination, &ipv6->daddr);
		return 1;
	}
	return 0;
}

static __always_inline _Bool pg_has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* A service's first word holds all that it is. In 64 bits, or it would be cut at each use. */
static __always_inline __u64 pg_service_word(__u8 protocol, __u8 has_port, __be16 port)
{
	const struct pg_service service = {
	    .protocol = protocol, .has_port = has_port, .port = port};
	__u32 word;

	__builtin_memcpy(&word, &service, sizeof(word));
	return word;
}

/*
 * The gateway that offers this service at the address, with PG_DROPS, or PG_NO_GATEWAY. Unused
 * ones are zero and name no gateway.
 */
static __always_inline __u32 pg_find_service(const struct pg_target *target, __u64 service)
{
	__u64 wanted = pg_seen(service);
	__u32 offered;
	int i;

	for (i = 0; i < PG_SERVICES_MAX; i++) {
		__builtin_memcpy(&offered, &target->services[i], sizeof(offered));
		if (offered == wanted)
			return target->services[i].gateway;
	}
	return PG_NO_GATEWAY;
}

static __always_inline _Bool pg_offers_ports(const struct pg_target *target, __u8 protocol)
{
	int i;

	for (i = 0; i < PG_SERVICES_MAX; i++) {
		if (target->services[i].protocol == protocol)
			return 1;
	}
	return 0;
}

/* Headers that stand between IP and what it carries. */
static __always_inline _Bool pg_is_extension(__u8 version, __u8 protocol)
{
	switch (protocol) {
	case IPPROTO_AH:
		return 1;
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
	case PG_IPPROTO_HIP:
	case PG_IPPROTO_SHIM6:
		return version == 6;
	}
	return 0;
}

static __always_inline __u64 pg_extension_size(__u8 protocol, __u8 length)
{
	if (protocol == IPPROTO_FRAGMENT)
		return 8;
	if (protocol == IPPROTO_AH)
		return (length + 2) * 4;
	return (length + 1) * 8;
}

/*
 * Walks over extension headers, to the one that ends the chain: a service of this
 * address, or anything that is no extension header. Of these AH alone can be a
 * service: policy/services.py refuses the others.
 */
static __always_inline _Bool pg_walk(struct pg_cursor *cursor, __u8 version,
				     const struct pg_target *target, struct pg_upper *upper)
{
	const struct pg_extension *extension;
	__u8 protocol = upper->protocol;
	__u32 ah_gateway;
	int i;

	if (!pg_is_extension(version, protocol))
		return 1;
	ah_gateway = pg_find_service(target, pg_service_word(IPPROTO_AH, 0, 0));
	for (i = 0; i < PG_EXTENSIONS_MAX; i++) {
		if (protocol == IPPROTO_AH && ah_gateway != PG_NO_GATEWAY)
			return 1;
		extension = pg_peek(cursor, PG_EXTENSION_SIZE);
		if (!extension || !pg_skip(cursor, pg_extension_size(protocol, extension->length)))
			return 0;
		upper->protocol = extension->next;
		if (protocol == IPPROTO_FRAGMENT &&
		    extension->offset & __cpu_to_be16(PG_IPV6_OFFSET_MASK)) {
			upper->later = 1;
			return 1;
		}
		protocol = upper->protocol;
		if (!pg_is_extension(version, protocol))
			return 1;
	}
	return protocol == IPPROTO_AH && ah_gateway != PG_NO_GATEWAY;
}

static __always_inline _Bool pg_parse_ipv4(struct pg_cursor *cursor, const struct iphdr *ipv4,
					   struct pg_upper *upper)
{
	if (ipv4->version != 4 || ipv4->ihl < 5)
		return 0;
	upper->protocol = ipv4->protocol;
	upper->later = (ipv4->frag_off & __cpu_to_be16(PG_IPV4_OFFSET_MASK)) != 0;
	cursor->end = cursor->at + __be16_to_cpu(ipv4->tot_len);
	return pg_skip(cursor, ipv4->ihl * 4);
}

/* A payload length of 0 is taken at its word: jumbograms cannot be judged. */
static __always_inline _Bool pg_parse_ipv6(struct pg_cursor *cursor, const struct ipv6hdr *ipv6,
					   struct pg_upper *upper)
{
	if (ipv6->version != 6)
		return 0;
	upper->protocol = ipv6->nexthdr;
	upper->later = 0;
	cursor->end = cursor->at + sizeof(*ipv6) + __be16_to_cpu(ipv6->payload_len);
	return pg_skip(cursor, sizeof(*ipv6));
}

/* Whose service the packet is for; ports stand in the first fragment alone. */
static __always_inline _Bool pg_match(const struct pg_cursor *cursor,
				      const struct pg_target *target, struct pg_upper *upper)
{
	const struct pg_ports *ports;
	__be16 port = 0;
	__u64 service;
	__u32 gateway;

	upper->gateway = PG_NO_GATEWAY;
	upper->shared = 0;
	upper->drops = 0;
	if (pg_has_ports(upper->protocol)) {
		if (upper->later) {
			upper->shared = pg_offers_ports(target, upper->protocol);
			upper->service = pg_service_word(upper->protocol, 0, 0);
			return 1;
		}
		ports = pg_peek(cursor, PG_PORTS_SIZE);
		if (!ports)
			return 0;
		port = ports->destination;
	}
	service = pg_service_word(upper->protocol, pg_has_ports(upper->protocol), port);
	upper->service = service;
	gateway = pg_find_service(target, service);
	upper->gateway = gateway & ~PG_DROPS;
	upper->drops = gateway >> 31;
	return 1;
}

/*
 * From the IP header, where pg_parse_addresses() left the cursor, to what the
 * packet is for `target`. Failure: the headers cannot be judged.
 */
static __always_inline _Bool pg_parse_headers(struct pg_cursor *cursor,
					      const struct pg_packet *packet,
					      const struct pg_target *target,
					      struct pg_upper *upper)
{
	__u32 version = packet->destination.version;

	if (version == 4 ? !pg_parse_ipv4(cursor, packet->ip, upper)
			 : !pg_parse_ipv6(cursor, packet->ip, upper))
		return 0;
	if (!upper->later && !pg_has_ports(upper->protocol) &&
	    !pg_walk(cursor, version, target, upper))
		return 0;
	return pg_match(cursor, target, upper);
}

#endif
