/* ListOffsets, key 2: offsets by timestamp, and the first and last ones. Network thread. Special timestamps: KIP-79,
 * KIP-734 (-3), KIP-405 (-4), KIP-1005 (-5).
 * Marks of all partitions are taken under the visibility lock; the disk is searched after it. */
#include "broker/api.h"
#include "broker/partition.h"
#include "broker/state.h"
#include "protocol/api_handlers.h"
#include "storage/log_dir.h"

#include <sys/queue.h>

enum special_timestamp {
    TIMESTAMP_LATEST = -1,
    TIMESTAMP_EARLIEST = -2,
    TIMESTAMP_MAX = -3,
    TIMESTAMP_EARLIEST_LOCAL = -4,
    TIMESTAMP_LATEST_TIERED = -5,
};

static int16_t version_of(int64_t timestamp)
{
    switch (timestamp) {
    case TIMESTAMP_MAX: return 7;
    case TIMESTAMP_EARLIEST_LOCAL: return 8;
    case TIMESTAMP_LATEST_TIERED: return 9;
    default: return timestamp < TIMESTAMP_LATEST_TIERED ? INT16_MAX : 0;
    }
}

/* A timestamp to be looked for on the disk, below a mark that was taken with those of the other partitions. */
struct search {
    STAILQ_ENTRY(search) link;
    struct partition_log *log; /* the request's metadata keeps it */
    int64_t asked, end;
    struct list_offsets_response_partition_response *out;
};
STAILQ_HEAD(search_list, search);

struct listing {
    struct request *rq;
    const struct list_offsets_request *in;
    struct search_list searches;
};

static void search_later(struct listing *l, const struct search *wanted)
{
    struct search *s = arena_calloc(&l->rq->arena, 1, sizeof *s);

    if (!s) {
        wanted->out->error_code = KAFKA_UNKNOWN_SERVER_ERROR; /* no memory */
        return;
    }
    *s = *wanted;
    STAILQ_INSERT_TAIL(&l->searches, s, link);
}

static void search_by_time(struct partition_log *log, int64_t asked, int64_t end,
                           struct list_offsets_response_partition_response *out)
{
    int64_t offset = -1, timestamp = -1;
    int32_t epoch = -1;
    enum kafka_error error = asked == TIMESTAMP_MAX
                                 ? partition_log_max_timestamp(log, &offset, &timestamp, &epoch)
                                 : partition_log_offset_for_time(log, asked, &offset, &timestamp, &epoch);
    out->error_code = (int16_t)error;
    /* What readers cannot see yet does not exist for them. */
    if (error != KAFKA_NONE || offset < 0 || offset >= end) return;
    out->offset = offset;
    out->timestamp = timestamp;
    out->leader_epoch = epoch;
}

static void list_partition(struct listing *l, const struct metadata_topic *t,
                           const struct list_offsets_request_partition *p,
                           struct list_offsets_response_partition_response *out)
{
    if (l->rq->version < version_of(p->timestamp)) {
        out->error_code = KAFKA_UNSUPPORTED_VERSION;
        return;
    }
    struct partition_log *log = partition_of(t, p->partition_index, &out->error_code);
    if (!log) return;

    struct log_marks marks = partition_log_marks(log);
    int64_t end = l->rq->version >= 2 && l->in->isolation_level == 1 ? marks.last_stable : marks.high_watermark;
    enum kafka_error error = leader_epoch_check(marks.leader_epoch, p->current_leader_epoch);
    if (error != KAFKA_NONE) {
        out->error_code = (int16_t)error;
        return;
    }
    out->leader_epoch = marks.leader_epoch;
    switch (p->timestamp) {
    case TIMESTAMP_LATEST: out->offset = end; break;
    case TIMESTAMP_EARLIEST:
    case TIMESTAMP_EARLIEST_LOCAL: out->offset = marks.log_start; break;
    case TIMESTAMP_LATEST_TIERED: out->leader_epoch = -1; break; /* nothing is tiered */
    default:
        out->leader_epoch = -1;
        search_later(l, &(struct search){.log = log, .asked = p->timestamp, .end = end, .out = out});
    }
}

/* Kafka refuses a partition that stands twice. Requests are short; a long one is compared within its topic only. */
static bool is_duplicate(const struct list_offsets_request_topic *t, int32_t at)
{
    for (int32_t i = 0; i < t->partitions_count; i++)
        if (i != at && t->partitions[i].partition_index == t->partitions[at].partition_index) return true;
    return false;
}

#define DUPLICATE_CHECK_MAX 256 /* partitions of one topic, beyond which the comparison would cost too much */

enum api_result api_handle_list_offsets(struct request *rq, const struct list_offsets_request *in,
                                        struct list_offsets_response *out)
{
    const struct metadata *m = request_metadata(rq);
    struct listing l = {.rq = rq, .in = in, .searches = STAILQ_HEAD_INITIALIZER(l.searches)};
    struct search *s;

    out->topics = arena_calloc(&rq->arena, (size_t)MAX(in->topics_count, 1), sizeof *out->topics);
    if (!out->topics) return API_CLOSE;
    log_dir_visibility_lock(rq->broker->dir);
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct list_offsets_request_topic *asked = &in->topics[i];
        struct list_offsets_response_topic_response *topic = &out->topics[out->topics_count];
        const struct metadata_topic *t = metadata_topic(m, asked->name);

        list_offsets_response_topic_response_init(topic);
        topic->name = asked->name;
        topic->partitions =
            arena_calloc(&rq->arena, (size_t)MAX(asked->partitions_count, 1), sizeof *topic->partitions);
        if (!topic->partitions) break;
        topic->partitions_count = asked->partitions_count;
        out->topics_count++;
        bool allowed = request_authorize(rq, ACL_DESCRIBE, RESOURCE_TOPIC, asked->name);
        for (int32_t k = 0; k < asked->partitions_count; k++) {
            struct list_offsets_response_partition_response *p = &topic->partitions[k];
            list_offsets_response_partition_response_init(p);
            p->partition_index = asked->partitions[k].partition_index;
            if (!allowed) p->error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
            else if (asked->partitions_count <= DUPLICATE_CHECK_MAX && is_duplicate(asked, k))
                p->error_code = KAFKA_INVALID_REQUEST;
            else list_partition(&l, t, &asked->partitions[k], p);
        }
    }
    log_dir_visibility_unlock(rq->broker->dir);
    STAILQ_FOREACH(s, &l.searches, link) search_by_time(s->log, s->asked, s->end, s->out);
    return out->topics_count < in->topics_count ? API_CLOSE : API_REPLY;
}
