/* DescribeTopicPartitions, key 75 (KIP-966). Network thread, reads the snapshot. Topics by name, in pages of at most
 * max.request.partition.size.limit partitions. The lists of eligible leader replicas are empty, never null: the Java
 * client walks them unchecked. */
#include "broker/api/authorized.h"
#include "broker/broker.h"
#include "protocol/api_handlers.h"

struct page {
    struct request *rq;
    int32_t *node; /* the one replica */
    int32_t left;  /* partitions that fit */
    struct describe_topic_partitions_response *out;
};

static void fill_partition(const struct page *page, const struct metadata_topic *t, int32_t index,
                           struct describe_topic_partitions_response_partition *o)
{
    struct partition_log *log = t->partitions[index].log;
    describe_topic_partitions_response_partition_init(o);
    o->partition_index = index;
    o->error_code = log ? KAFKA_NONE : KAFKA_LEADER_NOT_AVAILABLE;
    o->leader_id = log ? *page->node : -1;
    o->leader_epoch = log ? partition_log_marks(log).leader_epoch : -1;
    o->replica_nodes = page->node;
    o->replica_nodes_count = 1;
    o->isr_nodes = page->node;
    o->isr_nodes_count = log ? 1 : 0;
    o->offline_replicas = page->node;
    o->offline_replicas_count = log ? 0 : 1;
    o->eligible_leader_replicas_count = 0;
    o->last_known_elr_count = 0;
}

/* The next page begins here. Returns false. */
static bool end_page(struct page *page, struct slice name, int32_t partition, bool *ret_failed)
{
    struct describe_topic_partitions_response_cursor *cursor = arena_calloc(&page->rq->arena, 1, sizeof *cursor);
    *ret_failed = !cursor;
    if (cursor)
        *cursor = (struct describe_topic_partitions_response_cursor){.topic_name = name, .partition_index = partition};
    page->out->next_cursor = cursor;
    return false;
}

/* Adds a topic from a partition on. False: the page is full, or (failed) memory is. */
static bool add_topic(struct page *page, struct slice name, int32_t first, bool *ret_failed)
{
    struct request *rq = page->rq;
    const struct metadata_topic *t = metadata_topic(request_metadata(rq), name);
    struct describe_topic_partitions_response_topic *o = &page->out->topics[page->out->topics_count];
    describe_topic_partitions_response_topic_init(o);
    o->name = name;
    if (!request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, name)) {
        o->error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
        page->out->topics_count++;
        return true;
    }
    if (page->left == 0) return end_page(page, name, 0, ret_failed); /* whether the topic is there or not */
    if (!t) {
        enum kafka_error error = topic_name_check(name, NULL);
        o->error_code = (int16_t)(error == KAFKA_NONE ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : error);
        o->topic_authorized_operations = authorized_operations(rq, RESOURCE_TOPIC, name);
        page->out->topics_count++;
        return true;
    }
    first = MIN(MAX(first, 0), t->partitions_count);
    int32_t count = MIN(t->partitions_count - first, page->left);
    if (count > 0 || first == t->partitions_count) {
        o->topic_id = t->id;
        o->is_internal = t->internal;
        o->topic_authorized_operations = authorized_operations(rq, RESOURCE_TOPIC, name);
        o->partitions = arena_calloc(&rq->arena, (size_t)count + 1, sizeof o->partitions[0]);
        if (!o->partitions) {
            *ret_failed = true;
            return false;
        }
        for (; o->partitions_count < count; o->partitions_count++)
            fill_partition(page, t, first + o->partitions_count, &o->partitions[o->partitions_count]);
        page->out->topics_count++;
        page->left -= count;
    }
    return first + count == t->partitions_count || end_page(page, name, first + count, ret_failed);
}

/* The names to describe, sorted, each once; none given: all that may be seen. */
static bool read_names(struct request *rq, const struct describe_topic_partitions_request *in, struct slice **ret_names,
                       int32_t *ret_count)
{
    const struct metadata *m = request_metadata(rq);
    bool all = in->topics_count <= 0;
    int32_t size = all ? m->topics_count : in->topics_count, count = 0;
    struct slice *names = arena_calloc(&rq->arena, (size_t)size + 1, sizeof *names);
    if (!names) return false;
    for (int32_t i = 0; i < size; i++) {
        struct slice name = all ? slice_of(m->topics[i]->name) : in->topics[i].name;
        if (!all || request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, name)) names[count++] = name;
    }
    qsort(names, (size_t)count, sizeof *names, slice_order);
    int32_t kept = 0;
    for (int32_t i = 0; i < count; i++)
        if (!kept || !slice_eq(names[kept - 1], names[i])) names[kept++] = names[i];
    *ret_names = names;
    *ret_count = kept;
    return true;
}

/* A cursor is what an earlier answer gave: of a topic that is asked for, when topics are named. */
static bool cursor_is_valid(const struct describe_topic_partitions_request *in, const struct slice *names,
                            int32_t count)
{
    return in->cursor->partition_index >= 0 &&
           (in->topics_count <= 0 ||
            bsearch(&in->cursor->topic_name, names, (size_t)count, sizeof *names, slice_order) != NULL);
}

API_HANDLER(describe_topic_partitions)
{
    struct slice *names;
    int32_t count;
    int32_t limit = (int32_t)request_metadata(rq)->config->max_request_partition_size_limit;
    struct page page = {.rq = rq, .out = out, .node = arena_alloc(&rq->arena, sizeof *page.node)};
    if (!page.node || !read_names(rq, in, &names, &count)) return API_CLOSE;
    *page.node = (int32_t)broker_config(rq->broker)->node_id;
    page.left = MAX(MIN(in->response_partition_limit, limit), 1);
    out->topics = arena_calloc(&rq->arena, (size_t)count + 1, sizeof out->topics[0]);
    if (!out->topics) return API_CLOSE;

    if (in->cursor && !cursor_is_valid(in, names, count)) {
        for (; out->topics_count < count; out->topics_count++) {
            describe_topic_partitions_response_topic_init(&out->topics[out->topics_count]);
            out->topics[out->topics_count].name = names[out->topics_count];
            out->topics[out->topics_count].error_code = KAFKA_INVALID_REQUEST;
        }
        return API_REPLY;
    }
    bool failed = false;
    for (int32_t i = 0; i < count; i++) {
        int32_t first = 0;
        if (in->cursor) {
            int order = slice_compare(names[i], in->cursor->topic_name);
            if (order < 0) continue;
            if (order == 0) first = in->cursor->partition_index;
        }
        if (!add_topic(&page, names[i], first, &failed)) break;
    }
    return failed ? API_CLOSE : API_REPLY;
}
