/* The kernel's own names for UAPI's types, which bcc's helpers use. */
#ifndef PEERGATE_KERNEL_TYPES_H
#define PEERGATE_KERNEL_TYPES_H

#include_next <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;
typedef __u8 uint8_t;
typedef __u16 uint16_t;
typedef __u32 uint32_t;
typedef __u64 uint64_t;
typedef unsigned long size_t;
typedef unsigned long uintptr_t;
typedef _Bool bool;

enum {
	false,
	true
};

#ifndef NULL
#define NULL ((void *)0)
#endif

#endif
