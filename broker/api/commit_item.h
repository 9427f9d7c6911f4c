/* broker/api/commit_item.h: one partition of OffsetCommit or TxnOffsetCommit. Threads: the control thread. */
#ifndef OTTLA_API_COMMIT_ITEM_H
#define OTTLA_API_COMMIT_ITEM_H

#include "broker/api.h"
#include "broker/group/group.h"

/* What the request says, and in `error` why the partition cannot have one. Borrows topic and metadata (null:
 * as if empty). expire_time_ms: -1: as the group's offsets do. */
struct offset_commit commit_item(struct request *rq, struct slice topic, int32_t partition, int64_t offset,
                                 int32_t leader_epoch, struct slice metadata, int64_t expire_time_ms);

#endif
