/* UAPI's conversions, and the short names that bcc's helpers use. */
#ifndef PEERGATE_KERNEL_BYTEORDER_H
#define PEERGATE_KERNEL_BYTEORDER_H

#include_next <asm/byteorder.h>

#define htons(x) __cpu_to_be16(x)
#define ntohs(x) __be16_to_cpu(x)
#define htonl(x) __cpu_to_be32(x)
#define ntohl(x) __be32_to_cpu(x)

#endif
