/* broker/metadata/metadata_adopt.c: see metadata_adopt.h. */
#include "broker/metadata/metadata_adopt.h"

#include "base/clock.h"
#include "broker/config/config.h"
#include "broker/metadata/metadata_log.h"

#include <errno.h>
#include <string.h>

#define NO_LEADER (-1)

/* A partition as the records have it so far. Lists are malloc'd copies. */
struct placed {
    int32_t leader;
    int32_t *isr, *eligible, *replicas;
    int32_t isr_count, eligible_count, replicas_count;
};

struct placed_topic {
    struct uuid id;
    char *name;
    struct placed *partitions;
    int32_t partitions_count;
};

struct reading {
    struct placed_topic *topics; /* by id, bytewise */
    int32_t topics_count, topics_allocated;
};

/* -- following the records; the replay has checked that topics exist and numbers are in range -- */

/* Where the topic stands, or would. */
static int32_t topic_index(const struct reading *r, struct uuid id)
{
    int32_t low = 0, high = r->topics_count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (memcmp(r->topics[middle].id.bytes, id.bytes, sizeof id.bytes) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

static struct placed_topic *find_topic(const struct reading *r, struct uuid id)
{
    int32_t i = topic_index(r, id);
    return i < r->topics_count && uuid_eq(r->topics[i].id, id) ? &r->topics[i] : NULL;
}

static void placed_done(struct placed *p)
{
    free(p->isr);
    free(p->eligible);
    free(p->replicas);
}

static void topic_done(struct placed_topic *t)
{
    for (int32_t i = 0; i < t->partitions_count; i++) placed_done(&t->partitions[i]);
    free(t->partitions);
    free(t->name);
}

static void set_list(int32_t **list, int32_t *count, const int32_t *from, int32_t from_count)
{
    if (from_count < 0) return; /* null: as it was */
    free(*list);
    *list = xmalloc((size_t)from_count * sizeof **list + 1);
    if (from_count) memcpy(*list, from, (size_t)from_count * sizeof **list);
    *count = from_count;
}

static void add_topic(struct reading *r, const struct topic_record *t)
{
    if (r->topics_count == r->topics_allocated) {
        r->topics_allocated = r->topics_allocated ? r->topics_allocated * 2 : 16;
        r->topics = xrealloc(r->topics, (size_t)r->topics_allocated * sizeof *r->topics);
    }
    int32_t i = topic_index(r, t->topic_id);
    memmove(&r->topics[i + 1], &r->topics[i], (size_t)(r->topics_count - i) * sizeof *r->topics);
    r->topics[i] = (struct placed_topic){.id = t->topic_id, .name = slice_strdup(t->name)};
    r->topics_count++;
}

static void remove_topic(struct reading *r, struct uuid id)
{
    struct placed_topic *t = find_topic(r, id);
    if (!t) return;
    topic_done(t);
    r->topics_count--;
    memmove(t, t + 1, (size_t)(&r->topics[r->topics_count] - t) * sizeof *t);
}

static void set_partition(struct reading *r, const struct partition_record *p)
{
    struct placed_topic *t = find_topic(r, p->topic_id);
    if (!t) return;
    if (p->partition_id >= t->partitions_count) {
        int32_t count = p->partition_id + 1;
        t->partitions = xrealloc(t->partitions, (size_t)count * sizeof *t->partitions);
        for (int32_t i = t->partitions_count; i < count; i++) t->partitions[i] = (struct placed){.leader = NO_LEADER};
        t->partitions_count = count;
    }
    struct placed *to = &t->partitions[p->partition_id];
    to->leader = p->leader;
    set_list(&to->isr, &to->isr_count, p->isr, p->isr_count);
    set_list(&to->replicas, &to->replicas_count, p->replicas, p->replicas_count);
    /* Null here: there is none. */
    set_list(&to->eligible, &to->eligible_count, p->eligible_leader_replicas,
             MAX(p->eligible_leader_replicas_count, 0));
}

static void change_partition(struct reading *r, const struct partition_change_record *p)
{
    struct placed_topic *t = find_topic(r, p->topic_id);
    if (!t) return;
    struct placed *to = &t->partitions[p->partition_id];
    if (p->leader != METADATA_SAME_LEADER) to->leader = p->leader;
    set_list(&to->isr, &to->isr_count, p->isr, p->isr_count);
    set_list(&to->replicas, &to->replicas_count, p->replicas, p->replicas_count);
    set_list(&to->eligible, &to->eligible_count, p->eligible_leader_replicas, p->eligible_leader_replicas_count);
}

static void follow(void *arg, enum metadata_record_type type, const void *message)
{
    switch (type) {
    case METADATA_TOPIC: add_topic(arg, message); break;
    case METADATA_REMOVE_TOPIC: remove_topic(arg, ((const struct remove_topic_record *)message)->topic_id); break;
    case METADATA_PARTITION: set_partition(arg, message); break;
    case METADATA_PARTITION_CHANGE: change_partition(arg, message); break;
    default: break;
    }
}

/* -- what came out -- */

static void add_broker(struct partition_place *p, int32_t broker)
{
    for (int32_t i = 0; i < p->brokers_count; i++)
        if (p->brokers[i] == broker) return;
    p->brokers[p->brokers_count++] = broker;
}

static struct partition_place place_of(const struct placed_topic *t, int32_t partition)
{
    const struct placed *from = &t->partitions[partition];
    struct partition_place p = {.topic_id = t->id, .partition = partition};

    p.topic = t->name;
    p.brokers =
        xmalloc((size_t)(1 + from->isr_count + from->eligible_count + from->replicas_count) * sizeof *p.brokers);
    if (from->leader != NO_LEADER) add_broker(&p, from->leader);
    for (int32_t i = 0; i < from->isr_count; i++) add_broker(&p, from->isr[i]);
    for (int32_t i = 0; i < from->eligible_count; i++) add_broker(&p, from->eligible[i]);
    p.safe_count = p.brokers_count;
    for (int32_t i = 0; i < from->replicas_count; i++) add_broker(&p, from->replicas[i]);
    return p;
}

static struct partition_places *places_of(const struct reading *r)
{
    struct partition_places *all = xcalloc(1, sizeof *all);
    size_t count = 0;

    for (int32_t i = 0; i < r->topics_count; i++) count += (size_t)r->topics[i].partitions_count;
    all->places = xmalloc(count * sizeof *all->places + 1);
    all->names = xmalloc((size_t)r->topics_count * sizeof *all->names + 1);
    for (int32_t i = 0; i < r->topics_count; i++) {
        for (int32_t k = 0; k < r->topics[i].partitions_count; k++)
            all->places[all->count++] = place_of(&r->topics[i], k);
        all->names[all->names_count++] = r->topics[i].name;
        r->topics[i].name = NULL;
    }
    return all;
}

void partition_places_free(struct partition_places *p)
{
    if (!p) return;
    for (int32_t i = 0; i < p->count; i++) free(p->places[i].brokers);
    for (int32_t i = 0; i < p->names_count; i++) free(p->names[i]);
    free(p->places);
    free(p->names);
    free(p);
}

int metadata_adopt(const char *path, int32_t node_id, struct partition_places **ret_places, struct err *err)
{
    struct broker_config *file = broker_config_new();
    struct broker_config_ref *config = broker_config_ref_new(broker_config_copy(file));
    struct reading reading = {0};
    struct log_dir_options o;
    struct log_dir *dir;
    bool tokens_left = false;

    file->node_id = node_id;
    log_dir_options_default(&o);
    o.path = path;
    o.node_id = node_id;
    int r = log_dir_open(&o, &dir, err);
    if (r == 0) {
        r = metadata_log_adopt(dir, file, &clock_system, config, follow, &reading, &tokens_left, err);
        log_dir_close(dir);
    }
    if (r == 0) {
        *ret_places = places_of(&reading);
        (*ret_places)->tokens_left = tokens_left;
    }
    for (int32_t i = 0; i < reading.topics_count; i++) topic_done(&reading.topics[i]);
    free(reading.topics);
    broker_config_ref_put(config);
    broker_config_free(file);
    return r;
}
