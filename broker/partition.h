/* broker/partition.h: what handlers of partition APIs share. */
#ifndef OTTLA_PARTITION_H
#define OTTLA_PARTITION_H

#include "broker/metadata/metadata.h"

/* The log of a partition, borrowed from the snapshot. NULL: *ret_error says why: unknown topic (t NULL) or partition,
 * or KAFKA_STORAGE_ERROR for one that is offline. */
static inline struct partition_log *partition_of(const struct metadata_topic *t, int32_t index, int16_t *ret_error)
{
    if (!t || index < 0 || index >= t->partitions_count) {
        *ret_error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return NULL;
    }
    struct partition_log *log = t->partitions[index].log;
    if (!log) *ret_error = KAFKA_STORAGE_ERROR;
    return log;
}

/* What a client believes to be the leader's epoch against ours; -1: it does not say. */
static inline enum kafka_error leader_epoch_check(int32_t ours, int32_t theirs)
{
    if (theirs < 0 || theirs == ours) return KAFKA_NONE;
    return theirs < ours ? KAFKA_FENCED_LEADER_EPOCH : KAFKA_UNKNOWN_LEADER_EPOCH;
}

#endif
