/* broker/group_records.h: changes of groups as records of `__consumer_offsets`, in Kafka's formats (docs/groups.md).
 *
 * Written: OffsetCommit key 1, value v4 (v1 where the commit has a retention time of its own); GroupMetadata key 2,
 * value v3. Read: every version of these and of the legacy key 0. Threads: any; nothing is kept. */
#ifndef OTTLA_GROUP_RECORDS_H
#define OTTLA_GROUP_RECORDS_H

#include "base/bytes.h"
#include "broker/group.h"

/* Appends to key and value, which are empty. *ret_tombstone: the record's value is null. False: memory is out, or an id
 * is too long to be stored. */
bool group_record_encode(struct group *g, const struct group_change *change, struct bytes *key, struct bytes *value,
                         bool *ret_tombstone) WARN_UNUSED;

/* Applies a record to the state. producer_id -1: not in a transaction. False: it cannot be decoded; nothing was done.
 * Records of types that we do not know are no error. */
bool group_record_apply(struct groups *gs, struct slice key, struct slice value, int64_t producer_id) WARN_UNUSED;

#endif
