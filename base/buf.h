/* base/buf.h: an output chain of owned bytes, borrowed slices and file ranges.
 *
 * A response is built as such a chain: what was encoded is owned, records that live in a request block are slices with a
 * reference on it, records that live in a log segment are file ranges with a reference on the segment. A plain socket
 * sends file ranges with sendfile; TLS reads them in blocks.
 * Invariants: size is the sum of all parts. A chain whose allocation failed is `failed`: later appends do nothing and the
 * owner must check once before sending.
 * Threads: one at a time; blocks and files are shared by reference count. */
#ifndef OTTLA_BUF_H
#define OTTLA_BUF_H

#include "base/bytes.h"

#include <stdatomic.h>
#include <sys/uio.h>

/* Bytes that threads share by reference count. */
struct block {
    atomic_uint refs;
    uint32_t size; /* [bytes] */
    uint8_t bytes[];
};

/* One reference, not zeroed. NULL when memory is out. */
struct block *block_new(uint32_t size) WARN_UNUSED;
struct block *block_ref(struct block *b);
void block_unref(struct block *b);

/* An open file that chains point into; embedded in its owner, which free() tears down when the last reference goes. */
struct file_ref {
    atomic_uint refs;
    int fd;
    void (*free)(struct file_ref *f);
};

struct file_ref *file_ref_get(struct file_ref *f);
void file_ref_put(struct file_ref *f);

struct buf_part {
    enum buf_part_type { BUF_BYTES, BUF_FILE } type;
    struct block *block;   /* BUF_BYTES: reference that keeps ptr alive; may be NULL for static bytes */
    const uint8_t *ptr;    /* BUF_BYTES */
    struct file_ref *file; /* BUF_FILE */
    uint64_t position;     /* BUF_FILE: [bytes] */
    uint64_t length;       /* [bytes] */
};

struct buf {
    struct buf_part *parts;
    uint32_t parts_count;
    uint32_t parts_size; /* allocated */
    uint32_t first;      /* parts before it are sent */
    uint64_t size;       /* of all parts not sent yet [bytes] */
    struct block *tail;  /* block that buf_reserve() fills */
    uint32_t tail_used;
    bool failed;
};

void buf_init(struct buf *b);
/* Drops all parts and references. */
void buf_done(struct buf *b);

/* Room for exactly size owned bytes at the end, contiguous, to be written by the caller at once. NULL: failed. */
uint8_t *buf_reserve(struct buf *b, uint32_t size);
/* Gives the last size bytes of the latest buf_reserve() back; nothing may have been added since. */
void buf_unreserve(struct buf *b, uint32_t size);
/* Points into block, taking a reference of its own (block may be NULL when the bytes live longer than the chain). */
void buf_append_slice(struct buf *b, struct slice s, struct block *block);
/* A range of a file, taking a reference of its own. */
void buf_append_file(struct buf *b, struct file_ref *f, uint64_t position, uint64_t length);
/* Moves all parts of src behind b's; src is empty afterwards. */
void buf_append_buf(struct buf *b, struct buf *src);

/* Up to iov_max leading byte parts; stops at a file range. Returns how many. */
int buf_iovec(const struct buf *b, struct iovec *iov, int iov_max);
/* Appends copies of all parts, which must be bytes; tells through to->failed. */
void buf_copy_to_bytes(const struct buf *b, struct bytes *to);
/* The first unsent part; NULL when all is sent. */
struct buf_part *buf_first(struct buf *b);
/* Bytes that are not sent yet and in memory; file ranges are not. */
uint64_t buf_memory(const struct buf *b);
/* Marks the first size bytes as sent and drops the references that are no longer needed. */
void buf_consume(struct buf *b, uint64_t size);

#endif
