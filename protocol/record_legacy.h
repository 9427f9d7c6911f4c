/* protocol/record_legacy.h: message sets of magic 0 and 1, which old clients send: read only.
 *
 * Format (Kafka documentation, "Old Message Format"): offset int64 | messageSize int32 | crc int32 | magic int8 |
 * attributes int8 | timestamp int64 (magic 1) | key bytes | value bytes. crc is CRC-32 of what follows it. With a codec
 * in the attributes the value is a compressed message set and its wrapper's offset is that of the last message inside;
 * the offsets inside are absolute in magic 0 and count from 0 in magic 1 (KIP-31). Wrappers are not nested. Threads:
 * one at a time per reader. */
#ifndef OTTLA_RECORD_LEGACY_H
#define OTTLA_RECORD_LEGACY_H

#include "protocol/record.h"

#define MESSAGE_NO_TIMESTAMP (-1)

struct message {
    struct slice bytes; /* whole, offset and size included */
    int64_t offset;
    uint32_t crc;
    int8_t magic;
    uint8_t attributes;   /* codec in the low three bits; bit 3 as in record batches (magic 1) */
    int64_t timestamp_ms; /* -1 in magic 0 */
    struct slice key;
    struct slice value;
};

static inline enum compression_codec message_codec(const struct message *m)
{
    return (enum compression_codec)(m->attributes & RECORD_BATCH_CODEC_MASK);
}
static inline bool message_is_log_append_time(const struct message *m)
{
    return m->magic > 0 && m->attributes & RECORD_BATCH_LOG_APPEND_TIME;
}

/* Takes the next message, plain or wrapper, off rest. RECORD_BATCH_BAD_MAGIC: also for magic 2. */
enum record_batch_result message_next(struct slice *rest, struct message *ret_message) WARN_UNUSED;
bool message_crc_ok(const struct message *m);

/* Reads the records of one message: itself, or those wrapped in it. */
struct message_reader {
    struct message outer;
    struct slice rest;
    int64_t base_offset; /* added to the offsets inside */
    bool wrapped;
};
/* As record_reader_open(). */
int message_reader_open(struct message_reader *r, const struct message *m, uint32_t content_max,
                        struct bytes *scratch) WARN_UNUSED;
/* As record_reader_next(); records have no headers. */
int message_reader_next(struct message_reader *r, struct record *ret_record) WARN_UNUSED;

#endif
