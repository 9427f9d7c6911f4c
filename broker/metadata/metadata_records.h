/* broker/metadata/metadata_records.h: what the records of the metadata log say, one pair of functions per record.
 *
 * Changes, snapshots and replay write and read the same records: here, and only here, stands which field is which.
 * Everything is borrowed: a filled record points to what it was made of, and what is read points into the record. The
 * records of client quotas are quota_store's. Format: docs/format-metadata.md. Threads: any. */
#ifndef OTTLA_METADATA_RECORDS_H
#define OTTLA_METADATA_RECORDS_H

#include "broker/metadata/metadata.h"
#include "broker/access/security.h"
#include "protocol/messages.h"

void topic_record_fill(struct topic_record *r, const struct metadata_topic *t);
/* A partition whose only replica is this node. */
void partition_record_fill(struct partition_record *r, struct uuid topic_id, int32_t index, int32_t *node_id,
                           struct uuid *directory_id);
/* value NULL: removed. */
void config_record_fill(struct config_record *r, int8_t type, struct slice resource, const char *name,
                        const char *value);
void feature_level_record_fill(struct feature_level_record *r, const char *name, int16_t level);
void producer_ids_record_fill(struct producer_ids_record *r, int32_t node_id, int64_t next_producer_id);

void acl_record_fill(struct access_control_entry_record *r, struct uuid id, const struct acl_fields *fields);
struct acl_fields acl_record_fields(const struct access_control_entry_record *r);
void scram_record_fill(struct user_scram_credential_record *r, const struct scram_fields *fields);
struct scram_fields scram_record_fields(const struct user_scram_credential_record *r);

#endif
