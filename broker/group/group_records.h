/* broker/group/group_records.h: changes of groups as records of `__consumer_offsets`, in Kafka's formats
 * (docs/groups.md).
 *
 * Written: OffsetCommit key 1, value v4 (v1 where the commit has a retention time of its own); GroupMetadata key 2,
 * value v3; ConsumerGroup*, keys 3 to 8 and 16, value v0 (consumer_records.h). Read: every version of these and of the
 * legacy key 0. Threads: any; nothing is kept. */
#ifndef OTTLA_GROUP_RECORDS_H
#define OTTLA_GROUP_RECORDS_H

#include "broker/coordinator/coordinator_records.h"
#include "broker/group/group.h"

/* Their state is a struct groups. */
extern const struct coordinator_row group_rows[];

/* Puts the record of a change. */
void group_record_put(struct coordinator_writer *w, struct group *g, const struct group_change *change);

#endif
