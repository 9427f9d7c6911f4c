/* broker/coordinator/coordinator_log.c: see coordinator_log.h. */
#include "broker/coordinator/coordinator_log.h"

#include "base/log.h"
#include "broker/limits.h"
#include "broker/state.h"

/* -- where ids live -- */

int32_t coordinator_log_partition(const struct coordinator_log *l, struct slice id)
{
    return l->parts_count ? coordinator_partition(id, l->parts_count) : -1;
}

enum kafka_error coordinator_log_check(const struct coordinator_log *l, struct slice id)
{
    if (!l->parts_count) return KAFKA_NOT_COORDINATOR;
    switch (l->parts[coordinator_partition(id, l->parts_count)].state) {
    case COORDINATOR_LOADING: return KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    case COORDINATOR_READY: return KAFKA_NONE;
    case COORDINATOR_FAILED: break;
    }
    return KAFKA_COORDINATOR_NOT_AVAILABLE;
}

bool coordinator_log_is_ready(const struct coordinator_log *l, int32_t partition)
{
    return partition >= 0 && partition < l->parts_count && l->parts[partition].state == COORDINATOR_READY;
}

struct partition_log *coordinator_log_of(const struct coordinator_log *l, struct slice id)
{
    return l->parts_count ? l->parts[coordinator_partition(id, l->parts_count)].log : NULL;
}

/* -- writing -- */

struct coordinator_writer *coordinator_log_begin(struct coordinator_log *l, const struct batch_fields *fields)
{
    coordinator_writer_begin(&l->writer, fields, clock_wall_ms(l->broker->clock));
    return &l->writer;
}

enum kafka_error coordinator_log_append(struct coordinator_log *l, struct slice id, int64_t *ret_offset)
{
    struct coordinator_writer *w = &l->writer;
    struct partition_log *log = coordinator_log_of(l, id);
    if (!log) return KAFKA_COORDINATOR_NOT_AVAILABLE;
    enum kafka_error error = KAFKA_MESSAGE_TOO_LARGE;
    if (coordinator_writer_finish(w)) {
        if (!w->batches.len) return KAFKA_NONE;
        struct log_append a = {.origin = APPEND_INTERNAL, .batches = w->batches.ptr, .size = w->batches.len};
        error = partition_log_append(log, &a);
        if (error == KAFKA_NONE && ret_offset) *ret_offset = a.base_offset;
    }
    if (error != KAFKA_NONE)
        log_warn(l->type->name, "append failed partition=%s id=" SLICE_FMT " error=%s", partition_log_name(log),
                 SLICE_ARG(id), kafka_error_name(error));
    return error;
}

void coordinator_log_when_durable(struct coordinator_log *l, struct slice id, struct durable_waits *waits,
                                  void (*done)(void *arg, enum kafka_error error), void *arg)
{
    struct durable_wait *w = durable_wait_new(l->broker, waits, done, arg);
    const struct metadata *m = broker_metadata(l->broker);
    durable_wait_add(w, metadata_topic(m, slice_of(l->type->topic)), coordinator_log_of(l, id));
    metadata_unref(m);
    durable_wait_end(w);
}

/* -- reading -- */

static bool apply_batch(struct coordinator_log *l, const struct record_batch *batch)
{
    struct record_reader r;
    struct record record;
    bool control = record_batch_is_control(batch);
    if (control && !l->type->marker) return true;
    int64_t producer_id = record_batch_is_transactional(batch) ? batch->producer_id : -1;
    int result = record_reader_open(&r, batch, COORDINATOR_CONTENT_BYTES_MAX, &l->scratch);
    while (result >= 0 && (result = record_reader_next(&r, &record)) > 0) {
        l->load_records++;
        if (control) {
            if (record.key.len < 4) return false;
            bool commit = be16_load(record.key.ptr + 2) == 1; /* int16 version, int16 type: 0 abort, 1 commit */
            l->type->marker(l, l->loading, batch->producer_id, commit);
        } else if (record.key.ptr &&
                   !coordinator_records_apply(&l->records, record.key, record.value, record.offset, producer_id)) {
            log_warn(l->type->name, "record not understood, skipped partition=%s-%d offset=%lld", l->type->topic,
                     l->loading, (long long)record.offset);
        }
    }
    return result == 0;
}

/* False: the partition cannot be read. *ret_more: not at its end yet. */
static bool load_piece(struct coordinator_log *l, bool *ret_more)
{
    struct partition_log *log = l->parts[l->loading].log;
    *ret_more = false;
    if (!log) return false;
    if (!l->reader) {
        struct log_marks marks = partition_log_marks(log);
        if (marks.log_start == marks.log_end) return true;
        l->reader = broker_reader_new(l->broker, log, marks.log_start, READ_LOG_END);
    }
    struct slice rest;
    if (broker_reader_next(l->reader, COORDINATOR_LOAD_BYTES, 0, &rest) != KAFKA_NONE) return false;
    *ret_more = rest.len > 0;
    struct record_batch batch;
    enum record_batch_result result;
    while ((result = record_batch_next(&rest, &batch)) == RECORD_BATCH_OK)
        if (!apply_batch(l, &batch)) return false;
    return result == RECORD_BATCH_END;
}

static void partition_loaded(struct coordinator_log *l, bool ok)
{
    l->parts[l->loading].state = ok ? COORDINATOR_READY : COORDINATOR_FAILED;
    if (!ok)
        log_error(l->type->name, "state cannot be read, what lives there is not served partition=%s-%d", l->type->topic,
                  l->loading);
    broker_reader_free(l->reader);
    l->reader = NULL;
    l->type->loaded(l, l->loading++, ok);
}

/* Reads a piece, then lets other work of the control thread pass. Empty partitions cost nothing. */
static void load_step(struct coordinator_log *l)
{
    while (l->loading < l->parts_count) {
        bool more;
        bool ok = load_piece(l, &more);
        if (ok && more) {
            ev_timer_set(&l->load, 0., 0.);
            ev_timer_start(l->broker->control_loop, &l->load);
            return;
        }
        partition_loaded(l, ok);
    }
    bytes_done(&l->scratch);
    coordinator_records_done(&l->records);
    log_info(l->type->name, "state restored topic=%s records=%lld ms=%lld", l->type->topic, (long long)l->load_records,
             (long long)(clock_mono_ms(l->broker->clock) - l->load_start_ms));
}

static void load_fired(struct ev_loop *loop, ev_timer *w, int events)
{
    load_step(container_of(w, struct coordinator_log, load));
}

/* -- life -- */

/* The topic is there: takes its partitions. */
static void attach(struct coordinator_log *l, const struct metadata_topic *t)
{
    l->parts_count = t->partitions_count;
    l->parts = xcalloc((size_t)l->parts_count, sizeof l->parts[0]);
    for (int32_t i = 0; i < l->parts_count; i++)
        l->parts[i].log = t->partitions[i].log ? partition_log_ref(t->partitions[i].log) : NULL;
    l->loading = 0;
    l->load_records = 0;
    l->load_start_ms = clock_mono_ms(l->broker->clock);
}

static void detach(struct coordinator_log *l)
{
    ev_timer_stop(l->broker->control_loop, &l->load);
    l->type->dropped(l);
    broker_reader_free(l->reader);
    l->reader = NULL;
    for (int32_t i = 0; i < l->parts_count; i++) partition_log_unref(l->parts[i].log);
    free(l->parts);
    l->parts = NULL;
    l->parts_count = l->loading = 0;
}

static void topic_changed(struct topic_watch *watch, enum topic_event event, const struct metadata_topic *topic)
{
    struct coordinator_log *l = container_of(watch, struct coordinator_log, watch);
    if (strcmp(topic->name, l->type->topic) != 0) return;
    if (event == TOPIC_CREATED && !l->parts_count) {
        attach(l, topic);
        load_step(l);
    } else if (event == TOPIC_DELETED && l->parts_count) {
        log_warn(l->type->name, "%s was deleted: all that lived there is forgotten", topic->name);
        detach(l);
    }
}

void coordinator_log_open(struct coordinator_log *l, struct broker *b, const struct coordinator_type *type, void *state)
{
    *l = (struct coordinator_log){.type = type, .broker = b, .watch.changed = topic_changed};
    coordinator_records_init(&l->records, type->topic, type->rows, state);
    coordinator_writer_init(&l->writer, &l->records);
    ev_timer_init(&l->load, load_fired, 0., 0.);
    broker_watch_topics(b, &l->watch);
    const struct metadata *m = broker_metadata(b);
    const struct metadata_topic *t = metadata_topic(m, slice_of(type->topic));
    if (t) {
        attach(l, t);
        ev_timer_start(b->control_loop, &l->load);
    }
    metadata_unref(m);
}

void coordinator_log_stop(struct coordinator_log *l)
{
    detach(l);
}

void coordinator_log_close(struct coordinator_log *l)
{
    broker_unwatch_topics(&l->watch);
    detach(l);
    coordinator_writer_done(&l->writer);
    coordinator_records_done(&l->records);
    bytes_done(&l->scratch);
}

/* -- making the topic -- */

struct coordinator_ensure {
    struct coordinator_log *log;
    void (*done)(void *arg, enum kafka_error error);
    void *arg;
};

static void created(void *arg, enum kafka_error error)
{
    struct coordinator_ensure *e = arg;
    struct coordinator_log *l = e->log;
    l->creating = false;
    e->done(e->arg, l->parts_count ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE);
    free(e);
}

void coordinator_log_ensure(struct coordinator_log *l, void (*done)(void *arg, enum kafka_error error), void *arg)
{
    if (l->parts_count || l->creating) {
        done(arg, l->parts_count ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    struct coordinator_ensure *e = xcalloc(1, sizeof *e);
    *e = (struct coordinator_ensure){.log = l, .done = done, .arg = arg};
    l->creating = true;

    const struct metadata *m = broker_metadata(l->broker);
    int64_t segment_bytes = *(const int64_t *)((const char *)m->config + l->type->segment_bytes_at);
    int64_t partitions_count = *(const int64_t *)((const char *)m->config + l->type->partitions_count_at);
    metadata_unref(m);
    struct config_list config = {0};
    for (uint32_t i = 0; i < l->type->config_count; i++)
        config_list_set(&config, l->type->config[i].name, l->type->config[i].value);
    AUTO_FREE char *segment_text = xasprintf("%lld", (long long)segment_bytes);
    config_list_set(&config, "segment.bytes", segment_text);
    struct topic_spec spec = {.name = slice_of(l->type->topic),
                              .partitions_count = (int32_t)partitions_count,
                              .replication_factor = -1,
                              .config = config.entries,
                              .config_count = config.count};
    struct err err = ERR_NONE;
    struct metadata_change *c = metadata_change_begin(l->broker);
    enum kafka_error error = metadata_change_create_topic(c, &spec, false, NULL, &err);
    config_list_done(&config);
    if (error == KAFKA_NONE) {
        metadata_change_commit(c, created, e);
        return;
    }
    metadata_change_abort(c);
    log_error(l->type->name, "cannot create %s: %s", l->type->topic, err.text);
    created(e, error);
}
