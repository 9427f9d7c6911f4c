#include "base/buf.h"

#define TAIL_BYTES 1000 /* a typical response fits one */

struct block *block_new(uint32_t size)
{
    struct block *b = malloc(sizeof *b + size);
    if (!b) return NULL;
    atomic_init(&b->refs, 1);
    b->size = size;
    return b;
}

struct block *block_ref(struct block *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void block_unref(struct block *b)
{
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1) free(b);
}

struct file_ref *file_ref_get(struct file_ref *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void file_ref_put(struct file_ref *f)
{
    if (f && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1) f->free(f);
}

void buf_init(struct buf *b)
{
    *b = (struct buf){0};
}

static void part_done(struct buf_part *p)
{
    if (p->type == BUF_FILE) file_ref_put(p->file);
    else block_unref(p->block);
}

void buf_done(struct buf *b)
{
    for (uint32_t i = b->first; i < b->parts_count; i++) part_done(&b->parts[i]);
    block_unref(b->tail);
    free(b->parts);
    *b = (struct buf){0};
}

static struct buf_part *part_add(struct buf *b)
{
    if (b->failed) return NULL;
    if (b->parts_count == b->parts_size) {
        uint32_t size = b->parts_size ? b->parts_size * 2 : 4;
        struct buf_part *parts = realloc(b->parts, size * sizeof *parts);
        if (!parts) {
            b->failed = true;
            return NULL;
        }
        b->parts = parts;
        b->parts_size = size;
    }
    return &b->parts[b->parts_count++];
}

uint8_t *buf_reserve(struct buf *b, uint32_t size)
{
    if (b->failed) return NULL;
    if (!b->tail || size > b->tail->size - b->tail_used) {
        /* Blocks grow with the chain, so that a large response does not become a thousand parts. */
        uint64_t grown = b->size < (1u << 20) ? b->size : (1u << 20);
        struct block *fresh = block_new(MAX(size, (uint32_t)MAX(TAIL_BYTES, grown)));
        if (!fresh) {
            b->failed = true;
            return NULL;
        }
        block_unref(b->tail);
        b->tail = fresh;
        b->tail_used = 0;
    }
    uint8_t *room = b->tail->bytes + b->tail_used;
    struct buf_part *last = b->parts_count > b->first ? &b->parts[b->parts_count - 1] : NULL;
    if (last && last->type == BUF_BYTES && last->block == b->tail && last->ptr + last->length == room) {
        last->length += size;
    } else {
        struct buf_part *p = part_add(b);
        if (!p) return NULL;
        *p = (struct buf_part){.type = BUF_BYTES, .block = block_ref(b->tail), .ptr = room, .length = size};
    }
    b->tail_used += size;
    b->size += size;
    return room;
}

void buf_unreserve(struct buf *b, uint32_t size)
{
    if (!size || b->failed) return;
    struct buf_part *last = &b->parts[b->parts_count - 1];
    assert(b->parts_count > b->first && last->block == b->tail && last->length >= size);
    assert(last->ptr + last->length == b->tail->bytes + b->tail_used);
    last->length -= size;
    b->tail_used -= size;
    b->size -= size;
    if (!last->length) {
        part_done(last);
        b->parts_count--;
    }
}

void buf_append_slice(struct buf *b, struct slice s, struct block *block)
{
    if (!s.len) return;
    struct buf_part *p = part_add(b);
    if (!p) return;
    *p = (struct buf_part){.type = BUF_BYTES, .block = block ? block_ref(block) : NULL, .ptr = s.ptr, .length = s.len};
    b->size += s.len;
}

void buf_append_file(struct buf *b, struct file_ref *f, uint64_t position, uint64_t length)
{
    if (!length) return;
    struct buf_part *p = part_add(b);
    if (!p) return;
    *p = (struct buf_part){.type = BUF_FILE, .file = file_ref_get(f), .position = position, .length = length};
    b->size += length;
}

void buf_append_buf(struct buf *b, struct buf *src)
{
    for (uint32_t i = src->first; i < src->parts_count && !b->failed; i++) {
        struct buf_part *p = part_add(b);
        if (!p) break;
        *p = src->parts[i];
        b->size += p->length;
        src->parts[i].length = 0;
        src->first = i + 1;
    }
    if (src->failed) b->failed = true;
    buf_done(src);
}

int buf_iovec(const struct buf *b, struct iovec *iov, int iov_max)
{
    int count = 0;
    for (uint32_t i = b->first; i < b->parts_count && count < iov_max; i++) {
        const struct buf_part *p = &b->parts[i];
        if (p->type != BUF_BYTES) break;
        iov[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)p->ptr, .iov_len = p->length};
    }
    return count;
}

void buf_copy_to_bytes(const struct buf *b, struct bytes *to)
{
    for (uint32_t i = b->first; i < b->parts_count; i++) {
        assert(b->parts[i].type == BUF_BYTES);
        bytes_append(to, b->parts[i].ptr, b->parts[i].length);
    }
}

uint64_t buf_memory(const struct buf *b)
{
    uint64_t bytes = 0;
    for (uint32_t i = b->first; i < b->parts_count; i++)
        if (b->parts[i].type == BUF_BYTES) bytes += b->parts[i].length;
    return bytes;
}

struct buf_part *buf_first(struct buf *b)
{
    return b->first < b->parts_count ? &b->parts[b->first] : NULL;
}

void buf_consume(struct buf *b, uint64_t size)
{
    assert(size <= b->size);
    b->size -= size;
    while (size) {
        struct buf_part *p = &b->parts[b->first];
        if (size < p->length) {
            if (p->type == BUF_FILE) p->position += size;
            else p->ptr += size;
            p->length -= size;
            return;
        }
        size -= p->length;
        part_done(p);
        b->first++;
    }
    if (b->first == b->parts_count) b->first = b->parts_count = 0;
}
