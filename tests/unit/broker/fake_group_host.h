/* A host of groups for tests: a clock that the test moves, a log of real records that can be read back, a disk that
 * waits when it is told to, topics that the test makes. */
#ifndef OTTLA_TEST_FAKE_GROUP_HOST_H
#define OTTLA_TEST_FAKE_GROUP_HOST_H

#include "base/log.h"
#include "broker/group/group_consumer.h"
#include "broker/group/group_records.h"
#include "broker/metadata/metadata.h"
#include "protocol/record.h"

#ifndef cr_assert /* a fuzz target has no runner */
#include <criterion/criterion.h>
#endif
#include <stdio.h>

#define FAKE_TIMERS_MAX 4096
#define FAKE_TOPICS_MAX 64
#define FAKE_WAITS_MAX  64

struct fake_record {
    struct slice key, value; /* owned; null value: a tombstone */
};

struct fake_host {
    struct group_host host;
    struct clock clock;
    int64_t now_ms;
    struct {
        struct group_timer *timer;
        int64_t due_ms;
    } timers[FAKE_TIMERS_MAX];
    int timers_count;
    struct coordinator_records records;
    struct coordinator_writer writer;
    struct fake_record *log;
    uint32_t log_count, log_size;
    uint32_t appends;
    enum group_change_type last_change;
    uint32_t changes_count;
    enum kafka_error append_error;
    bool strict; /* fake_durable() answers; else what is appended is durable */
    struct {
        void (*done)(void *arg, enum kafka_error error);
        void *arg;
    } waits[FAKE_WAITS_MAX];
    int waits_count;
    struct {
        char name[32];
        struct uuid id;
        int32_t partitions_count; /* 0: deleted */
    } topics[FAKE_TOPICS_MAX];
    int topics_count;
    struct group_options options; /* of every group; 0: not set */
};

static struct fake_host fake;

static int64_t fake_wall_us(const struct clock *c)
{
    return fake.now_ms * 1000;
}

static void fake_timer_stop(struct group_host *h, struct group_timer *t)
{
    for (int i = 0; i < fake.timers_count; i++)
        if (fake.timers[i].timer == t) fake.timers[i] = fake.timers[--fake.timers_count];
    t->running = false;
}

static void fake_timer_start(struct group_host *h, struct group_timer *t, int64_t delay_ms)
{
    fake_timer_stop(h, t);
    cr_assert(fake.timers_count < FAKE_TIMERS_MAX);
    fake.timers[fake.timers_count].timer = t;
    fake.timers[fake.timers_count++].due_ms = fake.now_ms + delay_ms;
    t->running = true;
}

static void fake_log_add(struct slice key, struct slice value)
{
    if (fake.log_count == fake.log_size) {
        fake.log_size = fake.log_size ? fake.log_size * 2 : 64;
        fake.log = xrealloc(fake.log, fake.log_size * sizeof fake.log[0]);
    }
    fake.log[fake.log_count++] = (struct fake_record){
        .key = slice_make(slice_strdup(key), key.len),
        .value = value.ptr ? slice_make(slice_strdup(value), value.len) : SLICE_NULL,
    };
}

static enum kafka_error fake_append(struct group_host *h, struct group *g, const struct group_change *changes,
                                    uint32_t count)
{
    if (fake.append_error != KAFKA_NONE) return fake.append_error;
    fake.appends++;
    fake.changes_count += count;
    if (count) fake.last_change = changes[count - 1].type;
    coordinator_writer_begin(&fake.writer, &BATCH_FIELDS_PLAIN, fake.now_ms);
    for (uint32_t i = 0; i < count; i++) group_record_put(&fake.writer, g, &changes[i]);
    cr_assert(coordinator_writer_finish(&fake.writer));
    struct slice rest = bytes_slice(&fake.writer.batches);
    struct record_batch batch;
    while (record_batch_next(&rest, &batch) == RECORD_BATCH_OK) {
        struct record_reader r;
        struct record record;
        struct bytes scratch = {0};
        cr_assert_geq(record_reader_open(&r, &batch, 1 << 30, &scratch), 0);
        while (record_reader_next(&r, &record) > 0) fake_log_add(record.key, record.value);
        bytes_done(&scratch);
    }
    return KAFKA_NONE;
}

static void fake_when_durable(struct group_host *h, struct group *g, void (*done)(void *arg, enum kafka_error error),
                              void *arg)
{
    if (!fake.strict) {
        done(arg, KAFKA_NONE);
        return;
    }
    cr_assert(fake.waits_count < FAKE_WAITS_MAX);
    fake.waits[fake.waits_count].done = done;
    fake.waits[fake.waits_count++].arg = arg;
}

/* The disk has what was appended so far, or has failed. */
static inline void fake_durable(enum kafka_error error)
{
    int count = fake.waits_count;
    fake.waits_count = 0;
    for (int i = 0; i < count; i++) fake.waits[i].done(fake.waits[i].arg, error);
}

static int fake_topic_find(struct slice name)
{
    for (int i = 0; i < fake.topics_count; i++)
        if (fake.topics[i].partitions_count && slice_eq_text(name, fake.topics[i].name)) return i;
    return -1;
}

static struct group_topic fake_topic_shown(int i)
{
    return (struct group_topic){.name = slice_of(fake.topics[i].name),
                                .id = fake.topics[i].id,
                                .partitions_count = fake.topics[i].partitions_count};
}

static bool fake_topic_by_name(struct group_host *h, struct slice name, struct group_topic *ret_topic)
{
    int i = fake_topic_find(name);
    if (i >= 0) *ret_topic = fake_topic_shown(i);
    return i >= 0;
}

static bool fake_topic_by_id(struct group_host *h, struct uuid id, struct group_topic *ret_topic)
{
    for (int i = 0; i < fake.topics_count; i++)
        if (fake.topics[i].partitions_count && uuid_eq(fake.topics[i].id, id)) {
            *ret_topic = fake_topic_shown(i);
            return true;
        }
    return false;
}

static int fake_topic_order(const void *a, const void *b)
{
    return strcmp(((const struct group_topic *)a)->name.ptr ? (const char *)((const struct group_topic *)a)->name.ptr
                                                            : "",
                  (const char *)((const struct group_topic *)b)->name.ptr);
}

static int64_t fake_topics_each(struct group_host *h, void (*fn)(void *arg, const struct group_topic *topic), void *arg)
{
    struct group_topic topics[FAKE_TOPICS_MAX];
    size_t count = 0;
    for (int i = 0; i < fake.topics_count; i++)
        if (fake.topics[i].partitions_count) topics[count++] = fake_topic_shown(i);
    qsort(topics, count, sizeof topics[0], fake_topic_order);
    for (size_t i = 0; i < count; i++) fn(arg, &topics[i]);
    return 7;
}

static void fake_options(struct group_host *h, struct slice group_id, struct group_options *ret_options)
{
    if (fake.options.consumer_session_timeout_ms)
        ret_options->consumer_session_timeout_ms = fake.options.consumer_session_timeout_ms;
    if (fake.options.consumer_heartbeat_interval_ms)
        ret_options->consumer_heartbeat_interval_ms = fake.options.consumer_heartbeat_interval_ms;
}

/* Makes, grows (more partitions) or deletes (0) a topic, and tells the groups. */
static inline void fake_topic(struct groups *gs, const char *name, int32_t partitions_count)
{
    int i = fake_topic_find(slice_of(name));
    bool created = i < 0;
    if (created) {
        i = fake.topics_count++;
        cr_assert(i < FAKE_TOPICS_MAX);
        snprintf(fake.topics[i].name, sizeof fake.topics[i].name, "%s", name);
        fake.topics[i].id = (struct uuid){{(uint8_t)(i * 37), (uint8_t)(i + 1)}};
    }
    fake.topics[i].partitions_count = partitions_count;
    if (gs) consumer_topic_changed(gs, slice_of(name), created);
}

static inline struct uuid fake_topic_id(const char *name)
{
    int i = fake_topic_find(slice_of(name));
    cr_assert(i >= 0);
    return fake.topics[i].id;
}

/* Moves the clock; timers fire in order of their time. */
static inline void pass_ms(int64_t ms)
{
    int64_t end_ms = fake.now_ms + ms;
    for (;;) {
        int first = -1;
        for (int i = 0; i < fake.timers_count; i++)
            if (fake.timers[i].due_ms <= end_ms && (first < 0 || fake.timers[i].due_ms < fake.timers[first].due_ms))
                first = i;
        if (first < 0) break;
        struct group_timer *t = fake.timers[first].timer;
        fake.now_ms = MAX(fake.now_ms, fake.timers[first].due_ms);
        fake_timer_stop(&fake.host, t);
        t->fire(t);
    }
    fake.now_ms = end_ms;
}

static inline void fake_start(struct groups *gs)
{
    log_level_max = LOG_ERROR;
    fake = (struct fake_host){
        .host = {.timer_start = fake_timer_start,
                 .timer_stop = fake_timer_stop,
                 .append = fake_append,
                 .when_durable = fake_when_durable,
                 .topic_by_name = fake_topic_by_name,
                 .topic_by_id = fake_topic_by_id,
                 .topics_each = fake_topics_each,
                 .options = fake_options,
                 .clock = &fake.clock},
        .clock = {.wall_us = fake_wall_us, .mono_us = fake_wall_us},
        .now_ms = 1700000000000,
    };
    groups_init(gs, &fake.host);
    coordinator_records_init(&fake.records, TOPIC_OFFSETS, group_rows, gs);
    coordinator_writer_init(&fake.writer, &fake.records);
}

static inline void fake_stop(struct groups *gs)
{
    groups_done(gs);
    fake_durable(KAFKA_NONE);
    cr_expect_eq(gs->bytes, 0, "what was counted is given back: %zu", gs->bytes);
    cr_expect_eq(fake.timers_count, 0, "no timer outlives its group");
    for (uint32_t i = 0; i < fake.log_count; i++) {
        free((void *)(uintptr_t)fake.log[i].key.ptr);
        free((void *)(uintptr_t)fake.log[i].value.ptr);
    }
    free(fake.log);
    coordinator_writer_done(&fake.writer);
    coordinator_records_done(&fake.records);
}

/* What a restart makes of the log. compacted: only the last record of each key. */
static inline void fake_replay(struct groups *to, bool compacted)
{
    struct coordinator_records records;
    groups_init(to, &fake.host);
    coordinator_records_init(&records, TOPIC_OFFSETS, group_rows, to);
    for (uint32_t i = 0; i < fake.log_count; i++) {
        bool last = true;
        for (uint32_t k = i + 1; compacted && last && k < fake.log_count; k++)
            last = !slice_eq(fake.log[i].key, fake.log[k].key);
        if (last) cr_assert(coordinator_records_apply(&records, fake.log[i].key, fake.log[i].value, i, -1));
    }
    coordinator_records_done(&records);
}

#endif
