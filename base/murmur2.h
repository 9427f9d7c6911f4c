/* base/murmur2.h: the 32-bit MurmurHash2 that Kafka's default partitioner uses (seed 0x9747b28c). */
#ifndef OTTLA_MURMUR2_H
#define OTTLA_MURMUR2_H

#include "base/slice.h"

int32_t murmur2(struct slice key);

/* The partition of a keyed record: positive part of the hash modulo the partition count. */
static inline int32_t murmur2_partition(struct slice key, int32_t partitions_count)
{
    return (murmur2(key) & 0x7fffffff) % partitions_count;
}

#endif
