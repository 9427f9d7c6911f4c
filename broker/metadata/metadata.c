/* broker/metadata/metadata.c: see metadata.h. */
#include "broker/metadata/metadata.h"

#include "broker/metadata/metadata_edit.h"
#include "broker/access/security.h"
#include "broker/metadata/shared_set.h"
#include "broker/state.h"

#include <stdio.h>

/* -- references -- */

const struct metadata_topic *metadata_topic_ref(const struct metadata_topic *t)
{
    atomic_fetch_add_explicit(&((struct metadata_topic *)(uintptr_t)t)->refs, 1, memory_order_relaxed);
    return t;
}

void metadata_topic_unref(const struct metadata_topic *topic)
{
    struct metadata_topic *t = (struct metadata_topic *)(uintptr_t)topic;

    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1) return;
    for (int32_t i = 0; i < t->partitions_count; i++)
        if (t->partitions[i].log) partition_log_unref(t->partitions[i].log);
    free(t->partitions);
    config_list_done(&t->config);
    free(t);
}

static struct metadata_resource *resource_ref(struct metadata_resource *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

static void resource_unref(struct metadata_resource *r)
{
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) > 1) return;
    free(r->name);
    config_list_done(&r->config);
    free(r);
}

const struct metadata *metadata_ref(const struct metadata *m)
{
    atomic_fetch_add_explicit(&((struct metadata *)(uintptr_t)m)->refs, 1, memory_order_relaxed);
    return m;
}

void metadata_unref(const struct metadata *snapshot)
{
    struct metadata *m = (struct metadata *)(uintptr_t)snapshot;

    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) > 1) return;
    for (int32_t i = 0; i < m->topics_count; i++) metadata_topic_unref(m->topics[i]);
    for (int32_t i = 0; i < m->resources_count; i++) resource_unref(m->resources[i]);
    free(m->topics);
    free(m->topics_by_id);
    free(m->resources);
    broker_config_ref_put(m->config_ref);
    shared_set_unref(m->quotas);
    security_unref(m->security);
    free(m);
}

const struct metadata *broker_metadata(struct broker *b)
{
    pthread_mutex_lock(&b->metadata_lock);
    const struct metadata *m = metadata_ref(b->metadata);
    pthread_mutex_unlock(&b->metadata_lock);
    return m;
}

/* -- looking up: the index, or ~index where it belongs -- */

static int32_t find_name(const struct metadata *m, struct slice name)
{
    int32_t low = 0, high = m->topics_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = slice_compare(slice_of(m->topics[middle]->name), name);
        if (order == 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return ~low;
}

static int32_t find_id(const struct metadata *m, struct uuid id)
{
    int32_t low = 0, high = m->topics_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = memcmp(m->topics_by_id[middle]->id.bytes, id.bytes, sizeof id.bytes);
        if (order == 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return ~low;
}

static int32_t find_resource(const struct metadata *m, int8_t type, struct slice name)
{
    int32_t low = 0, high = m->resources_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        const struct metadata_resource *r = m->resources[middle];
        int order = r->type != type ? (r->type < type ? -1 : 1) : slice_compare(slice_of(r->name), name);
        if (order == 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return ~low;
}

const struct metadata_topic *metadata_topic(const struct metadata *m, struct slice name)
{
    int32_t i = slice_is_null(name) ? -1 : find_name(m, name);
    return i < 0 ? NULL : m->topics[i];
}

const struct metadata_topic *metadata_topic_by_id(const struct metadata *m, struct uuid id)
{
    int32_t i = find_id(m, id);
    return i < 0 ? NULL : m->topics_by_id[i];
}

const struct config_list *metadata_resource_config(const struct metadata *m, int8_t type, struct slice name)
{
    int32_t i = find_resource(m, type, name);
    return i < 0 ? NULL : &m->resources[i]->config;
}

void metadata_set_security(struct metadata *m, const struct security *s)
{
    security_unref(m->security);
    m->security = s;
}

int16_t metadata_feature_level(const struct metadata *m, const char *name)
{
    for (int32_t i = 0; i < m->features_count; i++)
        if (strcmp(m->features[i].name, name) == 0) return m->features[i].level;
    return 0;
}

/* -- names -- */

#define TOPIC_NAME_SHOWN 300 /* of a name that is too long, in the text of its refusal */

enum kafka_error topic_name_check(struct slice name, struct err *err)
{
    if (name.len == 0)
        return err_set(err, KAFKA_INVALID_TOPIC_EXCEPTION, "Topic name is invalid: the empty string is not allowed");
    if (name.len > TOPIC_NAME_BYTES_MAX)
        return err_set(err, KAFKA_INVALID_TOPIC_EXCEPTION,
                       "Topic name is invalid: the length of '" SLICE_FMT "' is longer than the max allowed length %d",
                       (int)MIN(name.len, TOPIC_NAME_SHOWN), (const char *)name.ptr, TOPIC_NAME_BYTES_MAX);
    if (slice_eq_text(name, ".") || slice_eq_text(name, ".."))
        return err_set(err, KAFKA_INVALID_TOPIC_EXCEPTION, "Topic name is invalid: '" SLICE_FMT "' is not allowed",
                       SLICE_ARG(name));
    for (uint32_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                       c == '_' || c == '-';
        if (!allowed)
            return err_set(err, KAFKA_INVALID_TOPIC_EXCEPTION,
                           "Topic name is invalid: '" SLICE_FMT "' contains one or more characters other than ASCII "
                           "alphanumerics, '.', '_' and '-'",
                           SLICE_ARG(name));
    }
    return KAFKA_NONE;
}

bool topic_name_is_internal(struct slice name)
{
    return slice_eq_text(name, TOPIC_OFFSETS) || slice_eq_text(name, TOPIC_TRANSACTIONS) ||
           slice_eq_text(name, TOPIC_SHARE_STATE) || topic_name_is_reserved(name);
}

bool topic_name_is_reserved(struct slice name)
{
    static const char prefix[] = TOPICS_RESERVED;
    return name.len >= sizeof prefix - 1 && memcmp(name.ptr, prefix, sizeof prefix - 1) == 0;
}

enum kafka_error topic_name_refuse_reserved(struct slice name, struct err *err)
{
    if (!topic_name_is_reserved(name)) return KAFKA_NONE;
    return err_set(err, KAFKA_INVALID_TOPIC_EXCEPTION,
                   "The topic '" SLICE_FMT
                   "' is ottla's own: nobody else may make, change or delete it, or write to it.",
                   SLICE_ARG(name));
}

/* -- building -- */

struct metadata *metadata_new(struct broker_config_ref *config)
{
    struct metadata *m = xcalloc(1, sizeof *m);
    atomic_init(&m->refs, 1);
    m->config_ref = broker_config_ref_get(config);
    m->config = broker_config_ref_config(config);
    m->quotas = shared_set_new();
    return m;
}

struct metadata *metadata_copy(const struct metadata *m)
{
    struct metadata *copy = xcalloc(1, sizeof *copy);

    /* All but the count of references, which others change meanwhile. */
    memcpy((char *)copy + offsetof(struct metadata, version), (const char *)m + offsetof(struct metadata, version),
           sizeof *m - offsetof(struct metadata, version));
    atomic_init(&copy->refs, 1);
    broker_config_ref_get(copy->config_ref);
    security_ref(copy->security);
    copy->topics = xcalloc((size_t)m->topics_count + 1, sizeof *copy->topics);
    copy->topics_by_id = xcalloc((size_t)m->topics_count + 1, sizeof *copy->topics_by_id);
    copy->resources = xcalloc((size_t)m->resources_count + 1, sizeof *copy->resources);
    for (int32_t i = 0; i < m->topics_count; i++) {
        copy->topics[i] = (struct metadata_topic *)(uintptr_t)metadata_topic_ref(m->topics[i]);
        copy->topics_by_id[i] = m->topics_by_id[i];
    }
    for (int32_t i = 0; i < m->resources_count; i++) copy->resources[i] = resource_ref(m->resources[i]);
    shared_set_ref(copy->quotas);
    return copy;
}

struct metadata_topic *metadata_topic_new(struct slice name, struct uuid id)
{
    struct metadata_topic *t = xcalloc(1, sizeof *t + name.len + 1);
    atomic_init(&t->refs, 1);
    t->id = id;
    t->internal = topic_name_is_internal(name);
    t->reserved = topic_name_is_reserved(name);
    memcpy(t->name, name.ptr, name.len);
    return t;
}

struct metadata_topic *metadata_topic_copy(const struct metadata_topic *t)
{
    struct metadata_topic *copy = metadata_topic_new(slice_of(t->name), t->id);

    metadata_topic_grow(copy, t->partitions_count);
    for (int32_t i = 0; i < t->partitions_count; i++) {
        copy->partitions[i] = t->partitions[i];
        if (copy->partitions[i].log) partition_log_ref(copy->partitions[i].log);
    }
    copy->config = config_list_copy(&t->config);
    copy->log_config = t->log_config;
    copy->min_insync_replicas = t->min_insync_replicas;
    return copy;
}

void metadata_topic_grow(struct metadata_topic *t, int32_t count)
{
    assert(count >= t->partitions_count);
    t->partitions = xrealloc(t->partitions, (size_t)MAX(count, 1) * sizeof *t->partitions);
    for (int32_t i = t->partitions_count; i < count; i++) t->partitions[i] = (struct metadata_partition){0};
    t->partitions_count = count;
}

void metadata_topic_resolve(struct metadata_topic *t, const struct broker_config *config)
{
    topic_config_resolve(&t->config, config, &t->log_config);
    t->min_insync_replicas = topic_config_integer("min.insync.replicas", &t->config, config);
}

static void pointer_insert(void *array, int32_t count, int32_t at, void *p)
{
    void **slots = array;
    memmove(&slots[at + 1], &slots[at], (size_t)(count - at) * sizeof *slots);
    slots[at] = p;
}

static void pointer_remove(void *array, int32_t count, int32_t at)
{
    void **slots = array;
    memmove(&slots[at], &slots[at + 1], (size_t)(count - at - 1) * sizeof *slots);
}

void metadata_put_topic(struct metadata *m, struct metadata_topic *t)
{
    int32_t by_name = find_name(m, slice_of(t->name)), by_id = find_id(m, t->id);

    if (by_name >= 0) {
        assert(by_id >= 0 && m->topics_by_id[by_id] == m->topics[by_name]);
        m->partitions_count += t->partitions_count - m->topics[by_name]->partitions_count;
        metadata_topic_unref(m->topics[by_name]);
        m->topics[by_name] = m->topics_by_id[by_id] = t;
        return;
    }
    m->topics = xrealloc(m->topics, ((size_t)m->topics_count + 1) * sizeof *m->topics);
    m->topics_by_id = xrealloc(m->topics_by_id, ((size_t)m->topics_count + 1) * sizeof *m->topics_by_id);
    pointer_insert(m->topics, m->topics_count, ~by_name, t);
    pointer_insert(m->topics_by_id, m->topics_count, ~by_id, t);
    m->topics_count++;
    m->partitions_count += t->partitions_count;
}

struct metadata_topic *metadata_topic_own(struct metadata *m, struct uuid id)
{
    int32_t i = find_id(m, id);
    if (i < 0) return NULL;
    assert(atomic_load(&m->topics_by_id[i]->refs) == 1);
    return m->topics_by_id[i];
}

void metadata_remove_topic(struct metadata *m, struct uuid id)
{
    int32_t by_id = find_id(m, id);
    if (by_id < 0) return;

    struct metadata_topic *t = m->topics_by_id[by_id];
    pointer_remove(m->topics, m->topics_count, find_name(m, slice_of(t->name)));
    pointer_remove(m->topics_by_id, m->topics_count, by_id);
    m->topics_count--;
    m->partitions_count -= t->partitions_count;
    metadata_topic_unref(t);
}

void metadata_set_resource_config(struct metadata *m, int8_t type, struct slice name, const char *key,
                                  const char *value)
{
    int32_t i = find_resource(m, type, name);
    struct metadata_resource *r = xcalloc(1, sizeof *r);

    atomic_init(&r->refs, 1);
    r->type = type;
    r->name = slice_strdup(name);
    if (i >= 0) r->config = config_list_copy(&m->resources[i]->config);
    config_list_set(&r->config, key, value);

    if (i >= 0) {
        resource_unref(m->resources[i]);
        m->resources[i] = r;
    } else {
        m->resources = xrealloc(m->resources, ((size_t)m->resources_count + 1) * sizeof *m->resources);
        pointer_insert(m->resources, m->resources_count++, ~i, r);
        i = ~i;
    }
    if (r->config.count == 0) {
        pointer_remove(m->resources, m->resources_count--, i);
        resource_unref(r);
    }
}

bool metadata_set_feature(struct metadata *m, struct slice name, int16_t level)
{
    int32_t i = 0;

    while (i < m->features_count && !slice_eq_text(name, m->features[i].name)) i++;
    if (i == METADATA_FEATURES_MAX || name.len >= sizeof m->features[i].name) return false;
    if (i == m->features_count) m->features_count++;
    memcpy(m->features[i].name, name.ptr, name.len);
    m->features[i].name[name.len] = '\0';
    m->features[i].level = level;
    return true;
}

void metadata_apply_broker_config(struct metadata *m, const struct broker_config *file)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)file->node_id);
    struct broker_config *config =
        broker_config_with(file, metadata_resource_config(m, CONFIG_RESOURCE_BROKER, SLICE_EMPTY),
                           metadata_resource_config(m, CONFIG_RESOURCE_BROKER, slice_of(id)));
    broker_config_ref_put(m->config_ref);
    m->config_ref = broker_config_ref_new(config);
    m->config = config;
}
