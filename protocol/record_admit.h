/* protocol/record_admit.h: judges a batch that a producer sent, and makes it what the log stores.
 *
 * The rules are those of Kafka's broker for Produce (KIP-467 for the errors of single records, KIP-937 for
 * the range of timestamps), in its order. Records are walked when they are not compressed, which costs little, so that
 * no client can put bytes into a log that stop its readers; compressed ones only when a rule has to see them or the
 * caller asks. Sequences are the log's matter. Threads: any; nothing is kept. */
#ifndef OTTLA_RECORD_ADMIT_H
#define OTTLA_RECORD_ADMIT_H

#include "protocol/batch_builder.h"
#include "protocol/kafka_error.h"

/* What the topic demands; names and units are those of its options. */
struct record_rules {
    int64_t now_ms;
    int64_t timestamp_before_max_ms; /* message.timestamp.before.max.ms */
    int64_t timestamp_after_max_ms;
    uint32_t batch_size_max; /* max.message.bytes */
    uint32_t content_max;    /* decompressed bytes of one batch */
    bool log_append_time;    /* message.timestamp.type */
    bool compacted;          /* cleanup.policy has compact: every record needs a key */
    bool walk_compressed;    /* decompress even when no rule asks for it */
    bool recompress;         /* compression.type is not "producer": */
    enum compression_codec codec;
    int32_t level;
};

struct record_fault {
    int32_t index; /* of the record in its batch */
    const char *message;
};

#define RECORD_FAULTS_MAX 4

struct record_verdict {
    const char *message;                           /* static text about the batch; NULL: it is admitted */
    struct record_fault faults[RECORD_FAULTS_MAX]; /* the first ones */
    int32_t faults_count;
    bool rebuilt; /* ret_batch is in the builder */
};

/* bytes is one whole batch of magic 2 (b, parsed from them); it may be changed in place: maxTimestamp, timestamp type
 * and with them the CRC. When the codec has to change, or the offsets inside are not 0, 1, 2 …, the batch is written
 * anew into builder instead. ret_batch is what to store, but for base offset and leader epoch (record_batch_rebase());
 * it is set on KAFKA_NONE and lives as long as bytes and the builder's content. Returns KAFKA_NONE, or what Produce
 * answers: CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP, MESSAGE_TOO_LARGE, UNSUPPORTED_COMPRESSION_TYPE,
 * UNKNOWN_SERVER_ERROR (no memory); *ret_verdict says more. */
enum kafka_error record_batch_admit(uint8_t *bytes, const struct record_batch *b, const struct record_rules *rules,
                                    struct batch_builder *builder, struct slice *ret_batch,
                                    struct record_verdict *ret_verdict) WARN_UNUSED;

#endif
