/* broker/group/consumer_records.h: changes of consumer groups as records of `__consumer_offsets`: ConsumerGroup*,
 * keys 3 to 8 and 16, in Kafka's formats (docs/groups.md). For group_records.c. Threads: any; nothing is kept. */
#ifndef OTTLA_CONSUMER_RECORDS_H
#define OTTLA_CONSUMER_RECORDS_H

#include "broker/coordinator/coordinator_records.h"
#include "broker/group/group_consumer.h"

void consumer_record_put(struct coordinator_writer *w, const struct group *g, const struct consumer_change *change);

/* Rows; state is a struct groups. */
bool consumer_epoch_apply(void *state, const struct coordinator_record *r);
bool consumer_old_metadata_apply(void *state, const struct coordinator_record *r);
bool consumer_profile_apply(void *state, const struct coordinator_record *r);
bool consumer_target_epoch_apply(void *state, const struct coordinator_record *r);
bool consumer_target_apply(void *state, const struct coordinator_record *r);
bool consumer_position_apply(void *state, const struct coordinator_record *r);
bool consumer_regex_apply(void *state, const struct coordinator_record *r);

#endif
