/* protocol/batch_builder.h: builds record batches of magic 2 in memory: for CDC, the broker's own records,
 * recompression.
 *
 * Invariants: the bytes are canonical (every varint in its shortest form), equal to what Kafka's Java client writes for
 * the same records. Threads: one at a time per builder. */
#ifndef OTTLA_BATCH_BUILDER_H
#define OTTLA_BATCH_BUILDER_H

#include "protocol/record.h"

/* Builds one batch in memory that it keeps between batches. Records go straight into their place behind the header;
 * nothing is copied again unless a codec is asked for.
 * Failure of memory is sticky: append as you like, batch_builder_finish() tells. */
struct batch_builder {
    struct bytes bytes;  /* header room and records */
    struct bytes packed; /* the finished batch when compressed */
    int32_t records_count;
    int32_t last_offset_delta; /* -1: empty; may be raised before finish, where compaction took the last records */
    int64_t base_timestamp_ms; /* of the first record, or as given */
    bool base_given;
    int64_t max_timestamp_ms;
};

/* What the header says beyond the records. */
struct batch_fields {
    int64_t base_offset; /* as a client sends it: 0 */
    int32_t partition_leader_epoch;
    int64_t producer_id; /* -1: none */
    int16_t producer_epoch;
    int32_t base_sequence;
    uint16_t attributes; /* RECORD_BATCH_TRANSACTIONAL, _CONTROL; the codec is added */
    enum compression_codec codec;
    int32_t level;
};
/* Neither producer, codec nor attributes. */
#define BATCH_FIELDS_PLAIN                                                                                             \
    ((struct batch_fields){.partition_leader_epoch = -1,                                                               \
                           .producer_id = -1,                                                                          \
                           .producer_epoch = -1,                                                                       \
                           .base_sequence = -1,                                                                        \
                           .level = COMPRESSION_LEVEL_DEFAULT})

/* Takes no memory yet. */
void batch_builder_init(struct batch_builder *b);
/* Empty again; keeps the memory. */
void batch_builder_reset(struct batch_builder *b);
void batch_builder_done(struct batch_builder *b);

/* Appends at the next offset. key, value: may be null; headers: may be NULL with count 0. All are copied. */
void batch_builder_append(struct batch_builder *b, int64_t timestamp_ms, struct slice key, struct slice value,
                          const struct record_header *headers, int32_t headers_count);
/* The same at a later offset than the next one, as compaction leaves them. offset_delta > last_offset_delta. */
void batch_builder_append_at(struct batch_builder *b, int32_t offset_delta, int64_t timestamp_ms, struct slice key,
                             struct slice value, const struct record_header *headers, int32_t headers_count);
/* Before the first record: what the header says as base timestamp, instead of the first record's: a delete horizon
 * (KIP-534). */
void batch_builder_set_base(struct batch_builder *b, int64_t base_timestamp_ms);
/* Copies a record that was read, headers and all. */
void batch_builder_copy(struct batch_builder *b, int32_t offset_delta, const struct record *record);

/* The batch so far, uncompressed [bytes]; header included. */
static inline uint32_t batch_builder_size(const struct batch_builder *b)
{
    return b->records_count ? b->bytes.len : RECORD_BATCH_HEADER_BYTES;
}
/* At most this much is added by a record with these lengths [bytes]; headers: their lengths summed, 10 for each. */
static inline size_t batch_builder_record_size_max(size_t key_len, size_t value_len, size_t headers_size)
{
    return key_len + value_len + headers_size + 5 + 1 + 10 + 5 + 5 + 5 + 5;
}

/* Compresses when asked, writes the header. ret_batch points into the builder and lives until its next use; the builder
 * must be reset before the next record. An empty builder gives a batch without records. Returns 0; -ENOMEM: some append
 * found no memory, or went beyond 2 GiB. */
int batch_builder_finish(struct batch_builder *b, const struct batch_fields *fields,
                         struct slice *ret_batch) WARN_UNUSED;

/* Writes b anew with another codec, offsets 0, 1, 2 … and the right maxTimestamp; all other fields stay. The builder is
 * reset first; ret_batch as in batch_builder_finish(). Returns 0 or what record_reader_open() and _next() return. */
int record_batch_rebuild(const struct record_batch *b, enum compression_codec codec, int32_t level,
                         uint32_t content_max, struct batch_builder *builder, struct slice *ret_batch) WARN_UNUSED;

#endif
