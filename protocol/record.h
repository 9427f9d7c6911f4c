/* protocol/record.h: the records inside a batch of magic 2, read without copying.
 *
 * Format (Kafka documentation, "Record"; KIP-82): length varint | attributes int8 | timestampDelta varlong |
 * offsetDelta varint | keyLength varint | key | valueLength varint | value | headersCount varint | headers; a header is
 * keyLength varint | key | valueLength varint | value. A length of -1 is null (not for header keys).
 * Threads: one at a time per reader. */
#ifndef OTTLA_RECORD_H
#define OTTLA_RECORD_H

#include "protocol/record_batch.h"

struct record {
    int64_t offset;
    int64_t timestamp_ms;
    int32_t offset_delta;
    struct slice key;     /* null: none */
    struct slice value;   /* null: a tombstone where there is a key */
    struct slice headers; /* checked; read with record_header_next() */
    int32_t headers_count;
};

struct record_header {
    struct slice key;   /* text, never null */
    struct slice value; /* may be null */
};

/* Takes the next header off rest, which begins as a record's `headers`. false: none is left. */
bool record_header_next(struct slice *rest, struct record_header *ret_header);

struct record_reader {
    const uint8_t *p;
    const uint8_t *end;
    int64_t base_offset;
    int64_t base_timestamp_ms;
    int64_t append_time_ms; /* used when log_append_time */
    bool log_append_time;
    int32_t left; /* records that the header promised and that did not come yet */
};

/* Reads the records of b, in place or, when they are compressed, from their content in scratch, which is emptied first
 * and must then live as long as what is read. content_max  most bytes of decompressed content; see decompress_append()
 * Returns 0; -EBADMSG: damaged, or a codec that does not exist; -EFBIG; -ENOMEM. */
int record_reader_open(struct record_reader *r, const struct record_batch *b, uint32_t content_max,
                       struct bytes *scratch) WARN_UNUSED;
/* Slices point into the batch or scratch. Returns 1: a record; 0: all were read and nothing follows them; -EBADMSG:
 * damaged, fewer than the header's count, or more bytes. */
int record_reader_next(struct record_reader *r, struct record *ret_record) WARN_UNUSED;

#endif
