/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A packet's bytes, each read behind a check of its bounds. Byte 1,024 is counted from the IP
 * header's first byte, so that framing changes no verdict: a header that has to be read and
 * does not end by then cannot be judged.
 */
#ifndef PEERGATE_CURSOR_H
#define PEERGATE_CURSOR_H

#include <linux/types.h>
#include <linux/stddef.h>

#define PG_HEADERS_END 1024

/* How far is read. Offsets count from `start`: the frame's first byte, then the IP header's. */
struct pg_cursor {
	const __u8 *start;
	const __u8 *frame_end;
	__u64 at;   /* the next byte */
	__u64 end;  /* where the packet ends by its own account; may lie beyond the frame */
	__u64 zero; /* what the verifier does not know to be zero */
};

static __always_inline void pg_cursor_start(struct pg_cursor *cursor, const void *start,
					    const void *frame_end, __u64 zero)
{
	cursor->zero = zero;
	cursor->start = start;
	cursor->frame_end = frame_end;
	cursor->at = 0;
	cursor->end = ~0ULL;
}

/*
 * The same number, of which the compiler has no other copy: bounds are checked on what
 * is then used, as the verifier wants to see it (Linux 6.1 forgets them on copies).
 */
static __always_inline __u64 pg_seen(__u64 number)
{
	asm volatile("" : "+r"(number));
	return number;
}

/* The next `size` bytes, a constant; NULL where frame, packet or byte 1,024 end before them. */
static __always_inline const void *pg_peek(const struct pg_cursor *cursor, __u64 size)
{
	__u64 at = pg_seen(cursor->at);
	const __u8 *bytes;

	if (at > PG_HEADERS_END - size || at + size > cursor->end)
		return NULL;
	bytes = cursor->start + at;
	if (bytes + size > cursor->frame_end)
		return NULL;
	return bytes;
}

static __always_inline const void *pg_take(struct pg_cursor *cursor, __u64 size)
{
	const void *bytes = pg_peek(cursor, size);

	cursor->at += size;
	return bytes;
}

/* Steps over `size` bytes, which must all be there. */
static __always_inline _Bool pg_skip(struct pg_cursor *cursor, __u64 size)
{
	cursor->at = (cursor->at + size) ^ cursor->zero;
	if (cursor->at > PG_HEADERS_END || cursor->at > cursor->end)
		return 0;
	return cursor->start + cursor->at <= cursor->frame_end;
}

#endif
