/* broker/metadata/metadata_operations.c: what a change of the metadata can do: topics, partitions, configs, access
 * rules, credentials, features, blocks of producer ids (metadata.h). Each checks against the snapshot that is built,
 * changes it and adds the records that say so; nothing is written here.
 *
 * Threads: the control thread. Sources: Kafka's ReplicationControlManager, ConfigurationControlManager for what is
 * refused and in which words. */
#include "broker/metadata/metadata_change.h"

#include "base/log.h"
#include "broker/limits.h"
#include "broker/metadata/metadata_edit.h"
#include "broker/metadata/metadata_records.h"
#include "broker/config/resource_options.h"
#include "broker/access/security.h"
#include "storage/log_dir.h"

#include <stdio.h>

/* -- partitions -- */

static void add_partition_record(struct metadata_change *c, struct uuid topic_id, int32_t index)
{
    int32_t node_id = (int32_t)c->broker->config->node_id;
    struct uuid directory_id = log_dir_directory_id(c->broker->dir);
    struct partition_record p;

    partition_record_fill(&p, topic_id, index, &node_id, &directory_id);
    metadata_change_record(c, METADATA_PARTITION, &p);
}

/* Before anything is made, and also when nothing shall be: what is validated takes memory as well. */
static enum kafka_error count_partitions(struct metadata_change *c, int32_t count, struct err *err)
{
    if (count > PARTITIONS_PER_CHANGE_MAX - c->partitions_added)
        return err_set(err, KAFKA_POLICY_VIOLATION, "Excessively large number of partitions per request.");
    c->partitions_added += count;
    return KAFKA_NONE;
}

/* Opens the logs of t from partition `first` on: before the record is written, so that a folder that cannot be read, or
 * be set aside, refuses the topic. */
static enum kafka_error open_logs(struct metadata_change *c, struct metadata_topic *t, int32_t first, struct err *err)
{
    uint32_t opened_before = c->opened_count;

    c->opened = xrealloc(c->opened, (opened_before + (size_t)(t->partitions_count - first)) * sizeof *c->opened);
    for (int32_t i = first; i < t->partitions_count; i++) {
        struct partition_log *log;
        int r = log_dir_open_log(c->broker->dir, t->name, i, t->id, &t->log_config, &log, err);
        if (r < 0) {
            metadata_change_delete_opened(c, opened_before);
            if (err) err->code = KAFKA_STORAGE_ERROR;
            return KAFKA_STORAGE_ERROR;
        }
        t->partitions[i].log = log;
        c->opened[c->opened_count++] = partition_log_ref(log);
    }
    return KAFKA_NONE;
}

/* -- configs of topics -- */

static enum kafka_error check_topic_config(const char *name, const char *value, struct err *err)
{
    const struct topic_option *o = topic_option_find(name);

    if (!o) return err_set(err, KAFKA_INVALID_CONFIG, "Unknown topic config name: %s", name);
    if (!topic_option_check(&o->option, value, err)) {
        if (err) err->code = KAFKA_INVALID_CONFIG;
        return KAFKA_INVALID_CONFIG;
    }
    return KAFKA_NONE;
}

static void add_config_record(struct metadata_change *c, int8_t type, struct slice resource, const char *name,
                              const char *value)
{
    struct config_record r;
    config_record_fill(&r, type, resource, name, value);
    metadata_change_record(c, METADATA_CONFIG, &r);
}

/* -- topics -- */

/* A topic whose name differs only in '.' for '_': their metrics would collide. */
static const struct metadata_topic *colliding_topic(const struct metadata *m, struct slice name)
{
    bool has = memchr(name.ptr, '.', name.len) || memchr(name.ptr, '_', name.len);

    for (int32_t i = 0; has && i < m->topics_count; i++) {
        const char *other = m->topics[i]->name;
        uint32_t at = 0;
        while (at < name.len && other[at]) {
            char a = other[at] == '.' ? '_' : other[at], b = name.ptr[at] == '.' ? '_' : (char)name.ptr[at];
            if (a != b) break;
            at++;
        }
        if (at == name.len && !other[at]) return m->topics[i];
    }
    return NULL;
}

enum kafka_error metadata_change_check_topic(const struct metadata_change *c, const struct topic_spec *spec,
                                             struct err *err)
{
    enum kafka_error error = topic_name_check(spec->name, err);
    if (error != KAFKA_NONE) return error;
    if (metadata_topic(c->next, spec->name))
        return err_set(err, KAFKA_TOPIC_ALREADY_EXISTS, "Topic '" SLICE_FMT "' already exists.", SLICE_ARG(spec->name));
    const struct metadata_topic *other = colliding_topic(c->next, spec->name);
    if (other)
        return err_set(err, KAFKA_INVALID_TOPIC_EXCEPTION, "Topic '" SLICE_FMT "' collides with existing topic: %s",
                       SLICE_ARG(spec->name), other->name);
    for (uint32_t i = 0; i < spec->config_count; i++) {
        if (!spec->config[i].value)
            return err_set(err, KAFKA_INVALID_CONFIG, "Null value not supported for topic configs: %s",
                           spec->config[i].name);
        error = check_topic_config(spec->config[i].name, spec->config[i].value, err);
        if (error != KAFKA_NONE) return error;
    }
    return KAFKA_NONE;
}

static enum kafka_error check_counts(const struct topic_spec *spec, struct err *err)
{
    if (spec->replication_factor == 0 || spec->replication_factor < -1)
        return err_set(err, KAFKA_INVALID_REPLICATION_FACTOR,
                       "Replication factor must be larger than 0, or -1 to use the default value.");
    if (spec->partitions_count == 0 || spec->partitions_count < -1)
        return err_set(err, KAFKA_INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value.");
    if (spec->partitions_count > TOPIC_PARTITIONS_MAX)
        return err_set(err, KAFKA_INVALID_PARTITIONS, "Number of partitions must not exceed %d.", TOPIC_PARTITIONS_MAX);
    if (spec->replication_factor > 1)
        return err_set(err, KAFKA_INVALID_REPLICATION_FACTOR,
                       "Unable to replicate the partition %d time(s): The target replication factor of %d cannot be "
                       "reached because only "
                       "1 broker(s) are registered.",
                       spec->replication_factor, spec->replication_factor);
    return KAFKA_NONE;
}

enum kafka_error metadata_change_create_topic(struct metadata_change *c, const struct topic_spec *spec,
                                              bool validate_only, const struct metadata_topic **ret_topic,
                                              struct err *err)
{
    enum kafka_error error = metadata_change_check_topic(c, spec, err);
    if (error == KAFKA_NONE) error = check_counts(spec, err);
    if (error != KAFKA_NONE) return error;

    int32_t count = spec->partitions_count > 0 ? spec->partitions_count : (int32_t)c->next->config->num_partitions;
    if (spec->admit && !spec->admit(spec->admit_arg, count))
        return err_set(err, KAFKA_THROTTLING_QUOTA_EXCEEDED, "%s", kafka_error_text(KAFKA_THROTTLING_QUOTA_EXCEEDED));
    error = count_partitions(c, count, err);
    if (error != KAFKA_NONE) return error;
    struct metadata_topic *t = metadata_topic_new(spec->name, uuid_random());
    for (uint32_t i = 0; i < spec->config_count; i++)
        config_list_set(&t->config, spec->config[i].name, spec->config[i].value);
    metadata_topic_resolve(t, c->next->config);
    metadata_topic_grow(t, count);

    if (!validate_only) {
        error = open_logs(c, t, 0, err);
        if (error != KAFKA_NONE) {
            metadata_topic_unref(t);
            return error;
        }
        struct topic_record record;
        topic_record_fill(&record, t);
        metadata_change_record(c, METADATA_TOPIC, &record);
        for (uint32_t i = 0; i < t->config.count; i++)
            add_config_record(c, CONFIG_RESOURCE_TOPIC, slice_of(t->name), t->config.entries[i].name,
                              t->config.entries[i].value);
        for (int32_t i = 0; i < count; i++) add_partition_record(c, t->id, i);
        metadata_change_note(c, TOPIC_CREATED, t);
    }
    metadata_put_topic(c->next, t);
    if (ret_topic) *ret_topic = t;
    return KAFKA_NONE;
}

enum kafka_error metadata_change_grow_topic(struct metadata_change *c, struct slice name, int32_t count,
                                            bool validate_only, struct err *err)
{
    const struct metadata_topic *now = metadata_topic(c->next, name);

    if (!now)
        return err_set(err, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "The topic '" SLICE_FMT "' does not exist.",
                       SLICE_ARG(name));
    if (count == now->partitions_count)
        return err_set(err, KAFKA_INVALID_PARTITIONS, "Topic already has %d partition(s).", now->partitions_count);
    if (count < now->partitions_count)
        return err_set(err, KAFKA_INVALID_PARTITIONS,
                       "The topic " SLICE_FMT " currently has %d partition(s); %d would not be an increase.",
                       SLICE_ARG(name), now->partitions_count, count);
    if (count > TOPIC_PARTITIONS_MAX)
        return err_set(err, KAFKA_INVALID_PARTITIONS, "Number of partitions must not exceed %d.", TOPIC_PARTITIONS_MAX);
    if (slice_eq_text(name, TOPIC_OFFSETS) || slice_eq_text(name, TOPIC_TRANSACTIONS) ||
        slice_eq_text(name, TOPIC_SHARE_STATE))
        return err_set(err, KAFKA_INVALID_PARTITIONS,
                       "The partitions of " SLICE_FMT
                       " cannot become more: what is stored would not be found any more.",
                       SLICE_ARG(name));

    enum kafka_error error = count_partitions(c, count - now->partitions_count, err);
    if (error != KAFKA_NONE) return error;
    struct metadata_topic *t = metadata_topic_copy(now);
    int32_t first = t->partitions_count;
    metadata_topic_grow(t, count);
    if (!validate_only) {
        error = open_logs(c, t, first, err);
        if (error != KAFKA_NONE) {
            metadata_topic_unref(t);
            return error;
        }
        for (int32_t i = first; i < count; i++) add_partition_record(c, t->id, i);
        metadata_change_note(c, TOPIC_GROWN, t);
    }
    metadata_put_topic(c->next, t);
    return KAFKA_NONE;
}

enum kafka_error metadata_change_delete_topic(struct metadata_change *c, struct uuid id, struct err *err)
{
    const struct metadata_topic *t = metadata_topic_by_id(c->next, id);
    struct remove_topic_record record;

    if (!t) return err_set(err, KAFKA_UNKNOWN_TOPIC_ID, "This server does not host this topic ID.");
    if (!c->next->config->delete_topic_enable)
        return err_set(err, KAFKA_TOPIC_DELETION_DISABLED, "Topic deletion is disabled.");

    remove_topic_record_init(&record);
    record.topic_id = id;
    metadata_change_record(c, METADATA_REMOVE_TOPIC, &record);
    metadata_change_note(c, TOPIC_DELETED, t);
    metadata_remove_topic(c->next, id);
    return KAFKA_NONE;
}

/* -- configs -- */

static enum kafka_error set_topic_config(struct metadata_change *c, struct slice resource, const char *name,
                                         const char *value, bool validate_only, struct err *err)
{
    const struct metadata_topic *now = metadata_topic(c->next, resource);

    if (value) {
        if (!topic_option_find(name)) return err_set(err, KAFKA_INVALID_CONFIG, "Unknown topic config name: %s", name);
        enum kafka_error error = check_topic_config(name, value, err);
        if (error != KAFKA_NONE) return error;
    }
    if (!now)
        return err_set(err, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "The topic '" SLICE_FMT "' does not exist.",
                       SLICE_ARG(resource));
    const char *before = config_list_get(&now->config, name);
    if (before == value || (before && value && strcmp(before, value) == 0)) return KAFKA_NONE;

    struct metadata_topic *t = metadata_topic_copy(now);
    config_list_set(&t->config, name, value);
    metadata_topic_resolve(t, c->next->config);
    if (!validate_only) {
        add_config_record(c, CONFIG_RESOURCE_TOPIC, resource, name, value);
        metadata_change_note(c, TOPIC_CONFIGURED, t);
    }
    metadata_put_topic(c->next, t);
    return KAFKA_NONE;
}

/* Options whose loss somebody would count on: to take them without obeying would promise security. */
static bool promises_protection(const char *name)
{
    static const char *const prefixes[] = {"ssl.", "sasl."};

    for (size_t i = 0; i < countof(prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return false;
}

static enum kafka_error check_broker_config(struct metadata_change *c, struct slice resource, const char *name,
                                            const char *value, struct err *err)
{
    const struct option *row = option_find(broker_options, broker_options_count, name);

    if (resource.len > 0) {
        char id[24];
        snprintf(id, sizeof id, "%lld", (long long)c->broker->config->node_id);
        for (uint32_t i = 0; i < resource.len; i++)
            if (resource.ptr[i] < '0' || resource.ptr[i] > '9')
                return err_set(err, KAFKA_INVALID_REQUEST, "Node id must be an integer, but it is: " SLICE_FMT,
                               SLICE_ARG(resource));
        if (!slice_eq_text(resource, id))
            return err_set(err, KAFKA_INVALID_REQUEST, "Unexpected broker id, expected %s, but received " SLICE_FMT, id,
                           SLICE_ARG(resource));
    }
    if (!row) return KAFKA_NONE; /* kept, as Kafka keeps custom configs of its plug-ins */
    if (!value && (row->flags & OPTION_UNUSED)) return KAFKA_NONE; /* to take away what had no effect is always right */
    if (!(row->flags & OPTION_LIVE))
        return err_set(err, KAFKA_INVALID_REQUEST, "Cannot update these configs dynamically: Set(%s)", name);
    if ((row->flags & OPTION_UNUSED) && promises_protection(name))
        return err_set(err, KAFKA_INVALID_CONFIG, "%s has no effect here", name);
    if (value && !broker_option_check(row, value, err)) {
        if (err) err->code = KAFKA_INVALID_REQUEST; /* so does Kafka: unlike with topics */
        return KAFKA_INVALID_REQUEST;
    }
    return KAFKA_NONE;
}

static void warn_without_effect(const char *name)
{
    const struct option *row = option_find(broker_options, broker_options_count, name);
    if (row && (row->flags & OPTION_UNUSED)) log_warn("config", "option has no effect here name=%s", name);
}

enum kafka_error metadata_change_set_config(struct metadata_change *c, int8_t type, struct slice resource,
                                            const char *name, const char *value, bool validate_only, struct err *err)
{
    if (type == CONFIG_RESOURCE_TOPIC) return set_topic_config(c, resource, name, value, validate_only, err);
    if (type == CONFIG_RESOURCE_BROKER) {
        enum kafka_error error = check_broker_config(c, resource, name, value, err);
        if (error != KAFKA_NONE) return error;
    }
    if (type == CONFIG_RESOURCE_GROUP || type == CONFIG_RESOURCE_CLIENT_METRICS) {
        enum kafka_error error =
            resource_option_check(c->broker->config, (enum config_resource_type)type, resource, name, value, err);
        if (error != KAFKA_NONE) return error;
    }
    const char *before = config_list_get(metadata_resource_config(c->next, type, resource), name);
    if (validate_only || before == value || (before && value && strcmp(before, value) == 0)) return KAFKA_NONE;

    if (type == CONFIG_RESOURCE_BROKER && value) warn_without_effect(name);
    metadata_set_resource_config(c->next, type, resource, name, value);
    add_config_record(c, type, resource, name, value);
    c->broker_config_changed |= type == CONFIG_RESOURCE_BROKER;
    return KAFKA_NONE;
}

/* -- access rules, credentials -- */

void metadata_change_set_feature(struct metadata_change *c, const char *name, int16_t level)
{
    struct feature_level_record record;

    if (metadata_feature_level(c->next, name) == level) return;
    if (!metadata_set_feature(c->next, slice_of(name), level))
        abort(); /* a known name: there is room for all of them */
    feature_level_record_fill(&record, name, level);
    metadata_change_record(c, METADATA_FEATURE_LEVEL, &record);
}

void metadata_change_add_acl(struct metadata_change *c, const struct acl_fields *fields)
{
    const struct security *now = c->next->security;
    struct access_control_entry_record record;

    for (int32_t i = 0; now && i < now->acls_count; i++)
        if (acl_fields_eq(&now->acls[i]->fields, fields)) return;
    acl_record_fill(&record, uuid_random(), fields);
    metadata_change_record(c, METADATA_ACL, &record);
    security_add_to(&c->next->security, record.id, fields);
}

void metadata_change_remove_acl(struct metadata_change *c, struct uuid id)
{
    struct remove_access_control_entry_record record = {.id = id};

    metadata_change_record(c, METADATA_REMOVE_ACL, &record);
    security_remove_from(&c->next->security, id);
}

void metadata_change_set_scram(struct metadata_change *c, const struct scram_fields *fields)
{
    struct user_scram_credential_record record;

    scram_record_fill(&record, fields);
    metadata_change_record(c, METADATA_SCRAM, &record);
    metadata_set_security(c->next, security_set_scram(c->next->security, fields));
}

void metadata_change_remove_scram(struct metadata_change *c, struct slice user, int8_t mechanism)
{
    struct remove_user_scram_credential_record record = {.name = user, .mechanism = mechanism};

    metadata_change_record(c, METADATA_REMOVE_SCRAM, &record);
    metadata_set_security(c->next, security_remove_scram(c->next->security, user, mechanism));
}

enum kafka_error metadata_change_producer_ids(struct metadata_change *c, int32_t count, int64_t *ret_first)
{
    struct producer_ids_record record;

    /* What follows is the broker's own writers'. */
    if (c->next->producer_id_next > LOG_PRODUCER_ID_RESERVED_MIN - count) return KAFKA_UNKNOWN_SERVER_ERROR;
    *ret_first = c->next->producer_id_next;
    c->next->producer_id_next += count;
    producer_ids_record_fill(&record, (int32_t)c->broker->config->node_id, c->next->producer_id_next);
    metadata_change_record(c, METADATA_PRODUCER_IDS, &record);
    return KAFKA_NONE;
}
