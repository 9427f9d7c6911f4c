/* protocol/record_batch.h: the header of a record batch of magic 2: parsing, checksum, the few fields a broker
 * rewrites.
 *
 * Format (Kafka documentation, "Record Batch"; KIP-98; all integers big-endian):
 *   baseOffset int64 | batchLength int32 | partitionLeaderEpoch int32 | magic int8 | crc uint32 | attributes int16 |
 *   lastOffsetDelta int32 | baseTimestamp int64 | maxTimestamp int64 | producerId int64 | producerEpoch int16 |
 *   baseSequence int32 | recordsCount int32 | records
 * batchLength counts what follows it. crc is CRC-32C of everything from attributes on, so that base offset and leader
 * epoch are rewritten without touching it. The records are one compressed block when attributes name a codec.
 * Invariants: a parsed batch lies whole within the bytes it was parsed from; its other fields are as the bytes say,
 * unchecked. Threads: any; nothing is kept. */
#ifndef OTTLA_RECORD_BATCH_H
#define OTTLA_RECORD_BATCH_H

#include "base/slice.h"
#include "protocol/compress.h"

/* Positions in the header [bytes]. */
enum record_batch_position {
    RECORD_BATCH_AT_BASE_OFFSET = 0,
    RECORD_BATCH_AT_LENGTH = 8,
    RECORD_BATCH_AT_LEADER_EPOCH = 12,
    RECORD_BATCH_AT_MAGIC = 16,
    RECORD_BATCH_AT_CRC = 17,
    RECORD_BATCH_AT_ATTRIBUTES = 21,
    RECORD_BATCH_AT_LAST_OFFSET_DELTA = 23,
    RECORD_BATCH_AT_BASE_TIMESTAMP = 27,
    RECORD_BATCH_AT_MAX_TIMESTAMP = 35,
    RECORD_BATCH_AT_PRODUCER_ID = 43,
    RECORD_BATCH_AT_PRODUCER_EPOCH = 51,
    RECORD_BATCH_AT_BASE_SEQUENCE = 53,
    RECORD_BATCH_AT_RECORDS_COUNT = 57,
    RECORD_BATCH_AT_RECORDS = 61,
};

#define RECORD_BATCH_MAGIC          2
#define RECORD_BATCH_LENGTH_OFFSET  12 /* batchLength counts from here [bytes] */
#define RECORD_BATCH_HEADER_BYTES   RECORD_BATCH_AT_RECORDS
#define RECORD_BATCH_NO_PRODUCER_ID (-1)
#define RECORD_BATCH_NO_TIMESTAMP   (-1)

/* Attributes. */
enum record_batch_attribute {
    RECORD_BATCH_CODEC_MASK = 0x07,
    RECORD_BATCH_LOG_APPEND_TIME = 0x08, /* maxTimestamp is the timestamp of every record */
    RECORD_BATCH_TRANSACTIONAL = 0x10,
    RECORD_BATCH_CONTROL = 0x20,
    RECORD_BATCH_DELETE_HORIZON = 0x40, /* baseTimestamp is the time from which tombstones may go */
};

struct record_batch {
    struct slice bytes;   /* whole, header included */
    struct slice records; /* behind the header, as stored */
    int64_t base_offset;
    int32_t partition_leader_epoch;
    uint32_t crc;
    uint16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp;
    int64_t max_timestamp;
    int64_t producer_id; /* -1: none */
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t records_count;
};

enum record_batch_result {
    RECORD_BATCH_OK,
    RECORD_BATCH_END,       /* no byte is left */
    RECORD_BATCH_PARTIAL,   /* the bytes end inside the batch: a torn append, or the end of a Fetch answer */
    RECORD_BATCH_LEGACY,    /* magic 0 or 1: record_legacy.h reads it */
    RECORD_BATCH_BAD_MAGIC, /* none that is known */
    RECORD_BATCH_BAD_LENGTH /* shorter than a header, or negative */
};

/* Parses the batch at the beginning of bytes. */
enum record_batch_result record_batch_parse(struct slice bytes, struct record_batch *ret_batch) WARN_UNUSED;
/* The same, and moves rest behind it: `while (record_batch_next(&rest, &b) == RECORD_BATCH_OK)`. */
enum record_batch_result record_batch_next(struct slice *rest, struct record_batch *ret_batch) WARN_UNUSED;
/* For scans of files: header has at least RECORD_BATCH_HEADER_BYTES bytes; the records need not be in memory. bytes and
 * records of ret_batch are null; *ret_size is the size of the whole batch, a LEGACY one's too [bytes]. Never PARTIAL,
 * END only for no bytes. */
enum record_batch_result record_batch_parse_header(struct slice header, struct record_batch *ret_batch,
                                                   uint32_t *ret_size) WARN_UNUSED;

static inline enum compression_codec record_batch_codec(const struct record_batch *b)
{
    return (enum compression_codec)(b->attributes & RECORD_BATCH_CODEC_MASK); /* 5 to 7 are no codecs */
}
static inline bool record_batch_is_log_append_time(const struct record_batch *b)
{
    return b->attributes & RECORD_BATCH_LOG_APPEND_TIME;
}
static inline bool record_batch_is_transactional(const struct record_batch *b)
{
    return b->attributes & RECORD_BATCH_TRANSACTIONAL;
}
static inline bool record_batch_is_control(const struct record_batch *b)
{
    return b->attributes & RECORD_BATCH_CONTROL;
}
static inline bool record_batch_has_delete_horizon(const struct record_batch *b)
{
    return b->attributes & RECORD_BATCH_DELETE_HORIZON;
}
static inline bool record_batch_has_producer(const struct record_batch *b)
{
    return b->producer_id > RECORD_BATCH_NO_PRODUCER_ID;
}
static inline int64_t record_batch_last_offset(const struct record_batch *b)
{
    return (int64_t)((uint64_t)b->base_offset + (uint64_t)(int64_t)b->last_offset_delta);
}
static inline int64_t record_batch_next_offset(const struct record_batch *b)
{
    return (int64_t)((uint64_t)record_batch_last_offset(b) + 1);
}
/* Sequences count records and go from INT32_MAX to 0. */
static inline int32_t record_sequence_add(int32_t sequence, int32_t count)
{
    return (int32_t)(((uint32_t)sequence + (uint32_t)count) & INT32_MAX);
}
static inline int32_t record_batch_last_sequence(const struct record_batch *b)
{
    return b->base_sequence < 0 ? b->base_sequence : record_sequence_add(b->base_sequence, b->last_offset_delta);
}

/* Of what follows the crc field; compare with b->crc. b has its bytes. */
uint32_t record_batch_compute_crc(const struct record_batch *b);
static inline bool record_batch_crc_ok(const struct record_batch *b)
{
    return record_batch_compute_crc(b) == b->crc;
}

/* -- rewriting in place; bytes: a parsed batch's -- */

/* The place of the batch in its log. Outside the CRC's range. */
static inline void record_batch_rebase(uint8_t *bytes, int64_t base_offset, int32_t partition_leader_epoch)
{
    be64_store(bytes + RECORD_BATCH_AT_BASE_OFFSET, (uint64_t)base_offset);
    be32_store(bytes + RECORD_BATCH_AT_LEADER_EPOCH, (uint32_t)partition_leader_epoch);
}
/* message.timestamp.type=LogAppendTime: now_ms becomes every record's timestamp. Computes the CRC. */
void record_batch_set_log_append_time(uint8_t *bytes, uint32_t size, int64_t now_ms);
/* Corrects the header of a batch with CreateTime. Computes the CRC. */
void record_batch_set_max_timestamp(uint8_t *bytes, uint32_t size, int64_t max_timestamp_ms);
/* Writes a whole header from b (magic 2) before `size` bytes in all, CRC included. */
void record_batch_write_header(uint8_t *bytes, uint32_t size, const struct record_batch *b);

#endif
