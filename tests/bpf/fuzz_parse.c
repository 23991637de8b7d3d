/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bpf/parse.h and bpf/plain.h on the host under libFuzzer. The first byte of the input chooses what
 * the address offers, the rest is the frame, in memory of exactly its size, so that a
 * byte read past its end is found.
 *
 * What must hold besides: the outcome is sound in itself, a VLAN tag changes nothing,
 * and nor does anything past byte 1,024 of the packet. What plain.h takes, it judges alike.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plain.h"

#define TAG_SIZE 4

struct outcome {
	_Bool addressed; /* the destination address could be read */
	_Bool judged;
	size_t ip; /* where the IP header begins */
	struct pg_packet packet;
	struct pg_upper upper;
};

static const struct pg_target TARGETS[] = {
    {
	.service_count = 3,
	.gateway_count = 2,
	.services = {{IPPROTO_UDP, 1, __constant_cpu_to_be16(51820), 1},
		     {IPPROTO_TCP, 1, __constant_cpu_to_be16(1194), 2},
		     {IPPROTO_ESP, 0, 0, 2}},
	.gateways = {1, 2},
    },
    {
	.service_count = 2,
	.gateway_count = 1,
	.services = {{IPPROTO_AH, 0, 0, 1}, {IPPROTO_GRE, 0, 0, 1}},
	.gateways = {1},
    },
    {0},
};

static void require(_Bool holds)
{
	if (!holds)
		abort();
}

static struct outcome parse(const uint8_t *frame, size_t size, const struct pg_target *target)
{
	struct outcome outcome = {0};
	struct pg_cursor cursor;
	uint8_t *exact = malloc(size ? size : 1);

	memcpy(exact, frame, size);
	pg_cursor_start(&cursor, exact, exact + size, 0);
	outcome.addressed = pg_parse_addresses(&cursor, &outcome.packet);
	if (outcome.addressed) {
		outcome.ip = (size_t)(cursor.start - exact);
		outcome.judged = pg_parse_headers(&cursor, &outcome.packet, target, &outcome.upper);
	}
	free(exact);
	return outcome;
}

static void check_sound(const struct outcome *outcome, size_t size, const struct pg_target *target)
{
	const struct pg_upper *upper = &outcome->upper;
	_Bool offered = 0;
	unsigned int i;

	if (!outcome->addressed)
		return;
	require(outcome->packet.destination.version == 4 ||
		outcome->packet.destination.version == 6);
	require(size >= outcome->ip + (outcome->packet.destination.version == 4 ? 20 : 40));
	if (!outcome->judged)
		return;
	for (i = 0; i < target->service_count; i++) {
		if (target->services[i].protocol == upper->protocol)
			offered = 1;
	}
	require(!upper->shared || (upper->later && pg_has_ports(upper->protocol) && offered));
	require(!upper->gateway || (!upper->shared && offered));
	require(!upper->later || !pg_has_ports(upper->protocol) || !upper->gateway);
}

static void require_same(const struct outcome *one, const struct outcome *other)
{
	require(one->addressed == other->addressed && one->judged == other->judged);
	if (one->addressed)
		require(!memcmp(&one->packet.source, &other->packet.source,
				sizeof(struct pg_address)) &&
			!memcmp(&one->packet.destination, &other->packet.destination,
				sizeof(struct pg_address)));
	if (one->judged)
		require(one->upper.gateway == other->upper.gateway &&
			one->upper.shared == other->upper.shared &&
			one->upper.service == other->upper.service);
}

/* The program asks plain.h first. */
static void check_plain(const struct outcome *outcome, const uint8_t *frame, size_t size,
			const struct pg_target *target)
{
	struct outcome plain = {.addressed = 1, .judged = 1, .ip = ETH_HLEN};
	uint8_t *exact = malloc(size ? size : 1);
	uint32_t version;

	memcpy(exact, frame, size);
	version = pg_plain_version(exact, exact + size);
	if (version) {
		pg_plain_destination(exact, version, &plain.packet);
		pg_plain_source(version, &plain.packet);
		require(plain.packet.destination.version == version);
		if (pg_plain_headers(&plain.packet, version, target, &plain.upper)) {
			plain.upper.service = pg_plain_service(&plain.packet, version);
		} else {
			plain.judged = outcome->judged;
			plain.upper = outcome->upper;
		}
		require_same(outcome, &plain);
	}
	free(exact);
}

static _Bool is_tagged(const uint8_t *frame)
{
	return (frame[12] == 0x81 && frame[13] == 0x00) || (frame[12] == 0x88 && frame[13] == 0xa8);
}

static void check_tag(const struct outcome *plain, const uint8_t *frame, size_t size,
		      const struct pg_target *target)
{
	static const uint8_t TAG[TAG_SIZE] = {0x81, 0x00, 0x00, 0x07};
	struct outcome tagged;
	uint8_t *longer;

	if (size < sizeof(struct ethhdr) || is_tagged(frame))
		return;
	longer = malloc(size + TAG_SIZE);
	memcpy(longer, frame, 12);
	memcpy(longer + 12, TAG, TAG_SIZE);
	memcpy(longer + 12 + TAG_SIZE, frame + 12, size - 12);
	tagged = parse(longer, size + TAG_SIZE, target);
	require_same(plain, &tagged);
	free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	const struct pg_target *target;
	struct outcome outcome, shorter;
	const uint8_t *frame = input + 1;

	if (size < 1)
		return 0;
	target = &TARGETS[input[0] % (sizeof(TARGETS) / sizeof(TARGETS[0]))];
	size -= 1;
	outcome = parse(frame, size, target);
	check_sound(&outcome, size, target);
	check_plain(&outcome, frame, size, target);
	check_tag(&outcome, frame, size, target);
	if (outcome.addressed && size > outcome.ip + PG_HEADERS_END) {
		shorter = parse(frame, outcome.ip + PG_HEADERS_END, target);
		require_same(&outcome, &shorter);
	}
	return 0;
}
