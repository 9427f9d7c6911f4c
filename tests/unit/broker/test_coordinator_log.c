/* A coordinator of its own in a broker: share groups' records, whose fold is the last epoch of each key. */
#include "broker/coordinator/coordinator_log.h"
#include "protocol/messages.h"
#include "tests/unit/broker/scratch_broker.h"

#include <pthread.h>

enum { SNAPSHOT = 0, EPOCHS_MAX = 64 };

struct share {
    struct coordinator_log log;
    int32_t epochs[EPOCHS_MAX]; /* by partition of the key; 0: none */
    int loaded, failed, dropped;
    int32_t markers;
    int64_t offset; /* of the last record */
};
static struct scratch_broker scratch;
static struct share *share;

/* -- the coordinator -- */

static bool apply(void *state, const struct coordinator_record *r)
{
    struct share *s = state;
    const struct share_snapshot_key *key = r->key;
    const struct share_snapshot_value *value = r->value;
    s->offset = r->offset;
    if (key->partition < 0 || key->partition >= EPOCHS_MAX) return false;
    s->epochs[key->partition] = value ? value->snapshot_epoch : 0;
    return true;
}
static void marker(struct coordinator_log *l, int32_t partition, int64_t producer_id, bool commit)
{
    if (commit && producer_id == 7) container_of(l, struct share, log)->markers++;
}
static void loaded(struct coordinator_log *l, int32_t partition, bool ok)
{
    if (ok) container_of(l, struct share, log)->loaded++;
    else container_of(l, struct share, log)->failed++;
}
static void dropped(struct coordinator_log *l)
{
    container_of(l, struct share, log)->dropped++;
}

static const struct coordinator_row rows[] = {{SNAPSHOT, apply}, {0}};
static const struct config_entry config[] = {{"cleanup.policy", "compact"}};
static const struct coordinator_type type = {
    .topic = TOPIC_SHARE_STATE,
    .name = "share",
    .rows = rows,
    .config = config,
    .config_count = countof(config),
    .partitions_count_at = offsetof(struct broker_config, transaction_state_log_num_partitions),
    .segment_bytes_at = offsetof(struct broker_config, transaction_state_log_segment_bytes),
    .marker = marker,
    .loaded = loaded,
    .dropped = dropped};

/* -- on the control thread -- */

struct step {
    void (*run)(void *arg);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over;
};
static void step_end(struct step *s)
{
    pthread_mutex_lock(&s->lock);
    s->is_over = true;
    pthread_cond_signal(&s->over);
    pthread_mutex_unlock(&s->lock);
}
static void step_run(void *arg)
{
    struct step *s = arg;
    s->run(s->arg);
    step_end(s);
}
static void step_wait(struct step *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->is_over) pthread_cond_wait(&s->over, &s->lock);
    pthread_mutex_unlock(&s->lock);
}
static void on_control(void (*run)(void *arg), void *arg)
{
    struct step s = {.run = run, .arg = arg, .lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER};
    cr_assert(broker_control_post(scratch.broker, step_run, &s));
    step_wait(&s);
}

static void do_open(void *arg)
{
    coordinator_log_open(&share->log, scratch.broker, &type, share);
}
static void do_close(void *arg)
{
    coordinator_log_close(&share->log);
}

struct ensuring {
    struct step step;
    enum kafka_error error;
};
static void ensured(void *arg, enum kafka_error error)
{
    struct ensuring *e = arg;
    e->error = error;
    step_end(&e->step);
}
static void do_ensure(void *arg)
{
    coordinator_log_ensure(&share->log, ensured, arg);
}
static enum kafka_error ensure(void)
{
    struct ensuring e = {.step = {.lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER}};
    cr_assert(broker_control_post(scratch.broker, do_ensure, &e));
    step_wait(&e.step);
    return e.error;
}

/* Puts epoch first.. of partitions 0..count under the id; 0: tombstones. */
struct writing {
    struct slice id;
    struct slice group;
    int32_t count, epoch, batches;
    int32_t state_batches; /* makes records large */
    enum kafka_error error;
    int64_t offset; /* of the first record */
};
static void do_write(void *arg)
{
    struct writing *in = arg;
    static struct share_snapshot_value_state_batch states[4096];
    struct coordinator_writer *w = coordinator_log_begin(&share->log, &BATCH_FIELDS_PLAIN);
    for (int32_t i = 0; i < in->count; i++) {
        struct share_snapshot_key key = {.group_id = in->group, .partition = i};
        struct share_snapshot_value value;
        share_snapshot_value_init(&value);
        value.snapshot_epoch = in->epoch;
        value.state_batches = states;
        value.state_batches_count = in->state_batches;
        coordinator_put(w, SNAPSHOT, &key, 0, in->epoch ? &value : NULL);
    }
    in->error = coordinator_log_append(&share->log, in->id, &in->offset);
    struct record_batch batch;
    for (struct slice rest = bytes_slice(&w->batches); record_batch_next(&rest, &batch) == RECORD_BATCH_OK;)
        in->batches++;
}
static struct writing write_epochs(int32_t count, int32_t epoch, int32_t state_batches)
{
    struct writing w = {
        .id = SLICE("g"), .group = SLICE("g"), .count = count, .epoch = epoch, .state_batches = state_batches};
    on_control(do_write, &w);
    return w;
}

static void do_check(void *arg)
{
    *(enum kafka_error *)arg = coordinator_log_check(&share->log, SLICE("g"));
}
static enum kafka_error check(void)
{
    enum kafka_error error;
    on_control(do_check, &error);
    return error;
}

static void start(void)
{
    scratch_broker_new(&scratch);
    share = xcalloc(1, sizeof *share);
    on_control(do_open, NULL);
}
static void stop(void)
{
    on_control(do_close, NULL);
    free(share);
    scratch_broker_done(&scratch);
}
TestSuite(coordinator_log, .init = start, .fini = stop);

/* Forgets everything and reads the log again. */
static void reopen(void)
{
    on_control(do_close, NULL);
    memset(share, 0, sizeof *share);
    on_control(do_open, NULL);
    while (check() == KAFKA_COORDINATOR_LOAD_IN_PROGRESS) {}
}

Test(coordinator_log, there_is_no_coordinator_until_somebody_asks)
{
    cr_expect_eq(check(), KAFKA_NOT_COORDINATOR);
    cr_expect_eq(write_epochs(1, 1, 0).error, KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_eq(ensure(), KAFKA_NONE);
    cr_expect_eq(check(), KAFKA_NONE);
    cr_expect_eq(ensure(), KAFKA_NONE, "and again");
    cr_expect_eq(share->loaded, 50, "each partition was announced");
}

Test(coordinator_log, what_was_appended_is_there_after_a_restart)
{
    cr_assert_eq(ensure(), KAFKA_NONE);
    cr_expect_eq(write_epochs(3, 1, 0).error, KAFKA_NONE);
    cr_expect_eq(write_epochs(2, 5, 0).error, KAFKA_NONE);
    cr_expect_eq(write_epochs(1, 0, 0).offset, 5);
    reopen();
    cr_expect_eq(share->offset, 5, "rows are told the offset");
    cr_expect_eq(share->epochs[0], 0, "tombstone");
    cr_expect_eq(share->epochs[1], 5);
    cr_expect_eq(share->epochs[2], 1);
    cr_expect_eq(share->loaded, 50);
}

Test(coordinator_log, a_large_change_is_several_batches_and_one_append)
{
    cr_assert_eq(ensure(), KAFKA_NONE);
    struct writing w = write_epochs(EPOCHS_MAX, 2, 1000); /* 64 records of about 19 KiB */
    cr_expect_eq(w.error, KAFKA_NONE);
    cr_expect_eq(w.batches, 3);
    reopen();
    for (int i = 0; i < EPOCHS_MAX; i++) cr_expect_eq(share->epochs[i], 2);
}

Test(coordinator_log, what_cannot_be_encoded_leaves_nothing_behind)
{
    static uint8_t text[40000];
    memset(text, 'x', sizeof text);
    cr_assert_eq(ensure(), KAFKA_NONE);
    struct writing w = {.id = SLICE("g"), .group = slice_make(text, sizeof text), .count = 2, .epoch = 1};
    on_control(do_write, &w);
    cr_expect_eq(w.error, KAFKA_MESSAGE_TOO_LARGE);
    struct partition_log *log =
        broker_partition(scratch.broker, TOPIC_SHARE_STATE, coordinator_partition(SLICE("g"), 50));
    cr_expect_eq(partition_log_marks(log).log_end, 0);
    partition_log_unref(log);
    cr_expect_eq(write_epochs(1, 1, 0).error, KAFKA_NONE, "the next change is not spoiled");
}

Test(coordinator_log, a_change_without_records_is_no_append)
{
    cr_assert_eq(ensure(), KAFKA_NONE);
    cr_expect_eq(write_epochs(0, 1, 0).error, KAFKA_NONE);
}

Test(coordinator_log, markers_are_told_and_strange_records_skipped)
{
    cr_assert_eq(ensure(), KAFKA_NONE);
    cr_expect_eq(write_epochs(1, 3, 0).error, KAFKA_NONE);
    struct partition_log *log =
        broker_partition(scratch.broker, TOPIC_SHARE_STATE, coordinator_partition(SLICE("g"), 50));
    static const uint8_t unknown[] = {0, 30}, cut[] = {0, 0, 0};
    cr_expect_eq(broker_append_record(scratch.broker, log, slice_make(unknown, 2), SLICE_NULL, NULL), KAFKA_NONE);
    cr_expect_eq(broker_append_record(scratch.broker, log, slice_make(cut, 3), SLICE_NULL, NULL), KAFKA_NONE);
    cr_expect_eq(broker_append_record(scratch.broker, log, SLICE_NULL, SLICE("x"), NULL), KAFKA_NONE);

    struct batch_builder b;
    struct slice batch;
    static const uint8_t commit[] = {0, 0, 0, 1}, value[6] = {0};
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    fields.producer_id = 7;
    fields.producer_epoch = 0;
    fields.attributes = RECORD_BATCH_TRANSACTIONAL | RECORD_BATCH_CONTROL;
    batch_builder_init(&b);
    batch_builder_append(&b, 1, slice_make(commit, 4), slice_make(value, 6), NULL, 0);
    cr_assert_eq(batch_builder_finish(&b, &fields, &batch), 0);
    struct log_append a = {.origin = APPEND_INTERNAL, .batches = (uint8_t *)(uintptr_t)batch.ptr, .size = batch.len};
    cr_assert_eq(partition_log_append(log, &a), KAFKA_NONE);
    batch_builder_done(&b);
    partition_log_unref(log);

    reopen();
    cr_expect_eq(check(), KAFKA_NONE);
    cr_expect_eq(share->epochs[0], 3);
    cr_expect_eq(share->markers, 1);
}

Test(coordinator_log, a_deleted_topic_takes_the_state_along_and_a_new_one_serves)
{
    struct err err = ERR_NONE;
    cr_assert_eq(ensure(), KAFKA_NONE);
    cr_assert_eq(broker_topic_delete(scratch.broker, TOPIC_SHARE_STATE, &err), KAFKA_NONE, "%s", err.text);
    cr_expect_eq(check(), KAFKA_NOT_COORDINATOR);
    cr_expect_eq(share->dropped, 1);
    cr_expect_eq(ensure(), KAFKA_NONE);
    cr_expect_eq(write_epochs(1, 1, 0).error, KAFKA_NONE);
}

Test(coordinator_log, a_topic_that_somebody_else_makes_is_taken)
{
    struct err err = ERR_NONE;
    cr_assert_eq(broker_topic_create(scratch.broker, TOPIC_SHARE_STATE, 3, NULL, 0, &err), KAFKA_NONE, "%s", err.text);
    cr_expect_eq(check(), KAFKA_NONE);
    cr_expect_eq(share->loaded, 3);
    cr_expect_eq(write_epochs(1, 1, 0).error, KAFKA_NONE);
}
