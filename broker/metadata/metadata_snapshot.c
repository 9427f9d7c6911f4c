/* broker/metadata/metadata_snapshot.c: see metadata_snapshot.h. */
#include "broker/metadata/metadata_snapshot.h"

#include "broker/metadata/metadata_log.h"
#include "broker/metadata/metadata_records.h"
#include "broker/access/quota_store.h"
#include "broker/access/security.h"

#include <inttypes.h>
#include <stdio.h>

#define BATCH_BYTES (1u << 20) /* a batch ends when it has become so large */

void metadata_snapshot_name(struct metadata_snapshot_id id, char ret_name[METADATA_SNAPSHOT_NAME_BYTES])
{
    snprintf(ret_name, METADATA_SNAPSHOT_NAME_BYTES, "%020" PRId64 "-%010d" METADATA_SNAPSHOT_SUFFIX, id.end_offset,
             id.epoch);
}

bool metadata_snapshot_parse(const char *name, struct metadata_snapshot_id *ret_id)
{
    char again[METADATA_SNAPSHOT_NAME_BYTES];
    struct metadata_snapshot_id id;
    if (sscanf(name, "%20" SCNd64 "-%10d", &id.end_offset, &id.epoch) != 2 || id.end_offset < 0 || id.epoch < 0)
        return false;
    metadata_snapshot_name(id, again); /* the only way to write it */
    if (strcmp(name, again) != 0) return false;
    *ret_id = id;
    return true;
}

struct writer {
    struct bytes *to;
    struct batch_builder builder;
    int64_t next_offset;
    int64_t now_ms;
    int32_t epoch;
    bool failed;
};

static void end_batch(struct writer *w, uint16_t attributes)
{
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    struct slice batch;
    if (!w->builder.records_count) return;
    fields.base_offset = w->next_offset;
    fields.partition_leader_epoch = w->epoch;
    fields.attributes = attributes;
    w->next_offset += w->builder.records_count;
    if (batch_builder_finish(&w->builder, &fields, &batch) == 0) bytes_append_slice(w->to, batch);
    else w->failed = true;
    batch_builder_reset(&w->builder);
}

static void put(struct writer *w, enum metadata_record_type type, const void *message)
{
    metadata_log_record(&w->builder, w->now_ms, type, message);
    if (batch_builder_size(&w->builder) >= BATCH_BYTES) end_batch(w, 0);
}

static void put_feature(struct writer *w, const char *name, int16_t level)
{
    struct feature_level_record f;
    feature_level_record_fill(&f, name, level);
    put(w, METADATA_FEATURE_LEVEL, &f);
}

/* metadata.version first: without it Kafka does not know how to read what follows. */
static void put_features(struct writer *w, const struct metadata *m)
{
    put_feature(w, "metadata.version", metadata_feature_level(m, "metadata.version"));
    for (int32_t i = 0; i < m->features_count; i++)
        if (strcmp(m->features[i].name, "metadata.version") != 0)
            put_feature(w, m->features[i].name, m->features[i].level);
}

static void put_configs(struct writer *w, int8_t type, const char *resource, const struct config_list *list)
{
    struct config_record c;
    for (uint32_t i = 0; i < list->count; i++) {
        config_record_fill(&c, type, slice_of(resource), list->entries[i].name, list->entries[i].value);
        put(w, METADATA_CONFIG, &c);
    }
}

static void put_topic(struct writer *w, const struct metadata_topic *t, int32_t node_id, struct uuid directory_id)
{
    struct topic_record topic;
    topic_record_fill(&topic, t);
    put(w, METADATA_TOPIC, &topic);
    for (int32_t i = 0; i < t->partitions_count; i++) {
        struct partition_record p;
        partition_record_fill(&p, t->id, i, &node_id, &directory_id);
        /* What Kafka would append next must not be older than what is there. */
        p.leader_epoch = t->partitions[i].leader_epoch;
        if (t->partitions[i].log)
            p.leader_epoch = MAX(p.leader_epoch, partition_log_marks(t->partitions[i].log).leader_epoch);
        put(w, METADATA_PARTITION, &p);
    }
    put_configs(w, CONFIG_RESOURCE_TOPIC, t->name, &t->config);
}

static void put_quota(void *arg, const struct client_quota_record *r)
{
    put(arg, METADATA_CLIENT_QUOTA, r);
}

static void put_security(struct writer *w, const struct security *s)
{
    for (int32_t i = 0; s && i < s->acls_count; i++) {
        struct access_control_entry_record a;
        acl_record_fill(&a, s->acls[i]->id, &s->acls[i]->fields);
        put(w, METADATA_ACL, &a);
    }
    for (int32_t i = 0; s && i < s->scram_count; i++) {
        struct user_scram_credential_record u;
        scram_record_fill(&u, &s->scram[i]->fields);
        put(w, METADATA_SCRAM, &u);
    }
}

bool metadata_snapshot_write(const struct metadata *m, int32_t node_id, struct uuid directory_id, int32_t epoch,
                             int64_t now_ms, struct bytes *to)
{
    struct writer w = {.to = to, .epoch = epoch, .now_ms = now_ms};
    batch_builder_init(&w.builder);
    metadata_log_snapshot_header(&w.builder, now_ms, node_id, directory_id);
    end_batch(&w, RECORD_BATCH_CONTROL);

    put_features(&w, m);
    for (int32_t i = 0; i < m->topics_count; i++) put_topic(&w, m->topics[i], node_id, directory_id);
    for (int32_t i = 0; i < m->resources_count; i++)
        put_configs(&w, m->resources[i]->type, m->resources[i]->name, &m->resources[i]->config);
    quota_records(m->quotas, put_quota, &w);
    if (m->producer_id_next > 0) {
        struct producer_ids_record p;
        producer_ids_record_fill(&p, node_id, m->producer_id_next);
        put(&w, METADATA_PRODUCER_IDS, &p);
    }
    put_security(&w, m->security);
    end_batch(&w, 0);

    metadata_log_snapshot_footer(&w.builder, now_ms);
    end_batch(&w, RECORD_BATCH_CONTROL);
    batch_builder_done(&w.builder);
    return !w.failed && !to->failed;
}
