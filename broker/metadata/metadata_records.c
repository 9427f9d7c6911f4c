/* broker/metadata/metadata_records.c: see metadata_records.h. */
#include "broker/metadata/metadata_records.h"

void topic_record_fill(struct topic_record *r, const struct metadata_topic *t)
{
    topic_record_init(r);
    r->name = slice_of(t->name);
    r->topic_id = t->id;
}

void partition_record_fill(struct partition_record *r, struct uuid topic_id, int32_t index, int32_t *node_id,
                           struct uuid *directory_id)
{
    partition_record_init(r);
    r->partition_id = index;
    r->topic_id = topic_id;
    r->replicas = r->isr = node_id;
    r->replicas_count = r->isr_count = 1;
    r->leader = *node_id;
    r->leader_epoch = 0;
    r->partition_epoch = 0;
    r->directories = directory_id;
    r->directories_count = 1;
}

void config_record_fill(struct config_record *r, int8_t type, struct slice resource, const char *name,
                        const char *value)
{
    config_record_init(r);
    r->resource_type = type;
    r->resource_name = resource;
    r->name = slice_of(name);
    r->value = slice_of(value);
}

void feature_level_record_fill(struct feature_level_record *r, const char *name, int16_t level)
{
    feature_level_record_init(r);
    r->name = slice_of(name);
    r->feature_level = level;
}

void producer_ids_record_fill(struct producer_ids_record *r, int32_t node_id, int64_t next_producer_id)
{
    producer_ids_record_init(r);
    r->broker_id = node_id;
    r->next_producer_id = next_producer_id;
}

void acl_record_fill(struct access_control_entry_record *r, struct uuid id, const struct acl_fields *fields)
{
    access_control_entry_record_init(r);
    r->id = id;
    r->resource_type = fields->resource_type;
    r->resource_name = fields->resource_name;
    r->pattern_type = fields->pattern;
    r->principal = fields->principal;
    r->host = fields->host;
    r->operation = fields->operation;
    r->permission_type = fields->permission;
}

struct acl_fields acl_record_fields(const struct access_control_entry_record *r)
{
    return (struct acl_fields){.resource_name = r->resource_name,
                               .principal = r->principal,
                               .host = r->host,
                               .resource_type = r->resource_type,
                               .pattern = r->pattern_type,
                               .operation = r->operation,
                               .permission = r->permission_type};
}

void scram_record_fill(struct user_scram_credential_record *r, const struct scram_fields *fields)
{
    user_scram_credential_record_init(r);
    r->name = fields->user;
    r->mechanism = fields->mechanism;
    r->salt = fields->salt;
    r->stored_key = fields->stored_key;
    r->server_key = fields->server_key;
    r->iterations = fields->iterations;
}

struct scram_fields scram_record_fields(const struct user_scram_credential_record *r)
{
    return (struct scram_fields){.user = r->name,
                                 .salt = r->salt,
                                 .stored_key = r->stored_key,
                                 .server_key = r->server_key,
                                 .iterations = r->iterations,
                                 .mechanism = r->mechanism};
}
