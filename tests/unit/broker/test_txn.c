/* Transactions without network and disk: a clock that the test moves, a log and markers that are lists. */
#include "base/log.h"
#include "broker/txn/txn.h"

#include <criterion/criterion.h>

#define LIST_MAX 256

struct fake {
    struct txn_host host;
    struct clock clock;
    int64_t now_ms;
    struct txn_data log[LIST_MAX]; /* what was appended; epoch -1: forgotten */
    int log_count;
    int partitions_count; /* of the last record */
    struct {
        struct txn_marker marker;
        char topic[16];
        int32_t partition;
    } marks[LIST_MAX];
    int marks_count;
    enum kafka_error append_error, mark_error, id_error;
    bool slow; /* steps wait for release() */
    struct {
        struct txn *txn;
        void (*done)(void *t, enum kafka_error error);
        void (*id_done)(struct txn *t, enum kafka_error error, int64_t producer_id);
    } waiting[LIST_MAX];
    int waiting_count;
    int64_t next_id;
};

static struct fake fake;
static struct txns txns;

static int64_t fake_wall_us(const struct clock *c)
{
    return fake.now_ms * 1000;
}

static enum kafka_error fake_append(struct txn_host *h, const struct txn *t, const struct txn_data *data)
{
    if (fake.append_error != KAFKA_NONE) return fake.append_error;
    cr_assert(fake.log_count < LIST_MAX);
    fake.log[fake.log_count++] = data ? *data : (struct txn_data){.epoch = -1};
    fake.partitions_count = 0;
    for (const struct txn_topic *o = t->topics; o; o = o->next) fake.partitions_count += o->count;
    return KAFKA_NONE;
}

static void fake_when_durable(struct txn_host *h, struct txn *t, void (*done)(void *t, enum kafka_error error))
{
    if (!fake.slow) {
        done(t, KAFKA_NONE);
        return;
    }
    fake.waiting[fake.waiting_count].txn = t;
    fake.waiting[fake.waiting_count++].done = done;
}

static void fake_take_producer_id(struct txn_host *h, struct txn *t,
                                  void (*done)(struct txn *t, enum kafka_error error, int64_t producer_id))
{
    if (!fake.slow) {
        done(t, fake.id_error, fake.id_error == KAFKA_NONE ? fake.next_id++ : -1);
        return;
    }
    fake.waiting[fake.waiting_count].txn = t;
    fake.waiting[fake.waiting_count++].id_done = done;
}

static enum kafka_error fake_mark(struct txn_host *h, const struct txn *t, const struct txn_marker *marker,
                                  struct slice topic, int32_t partition)
{
    if (fake.mark_error != KAFKA_NONE) return fake.mark_error;
    cr_assert(fake.marks_count < LIST_MAX && topic.len < sizeof fake.marks[0].topic);
    fake.marks[fake.marks_count].marker = *marker;
    memcpy(fake.marks[fake.marks_count].topic, topic.ptr, topic.len);
    fake.marks[fake.marks_count++].partition = partition;
    return KAFKA_NONE;
}

/* One step of each that waits. */
static void release(enum kafka_error error)
{
    int count = fake.waiting_count;
    fake.waiting_count = 0;
    for (int i = 0; i < count; i++) {
        struct txn *t = fake.waiting[i].txn;
        void (*done)(void *, enum kafka_error) = fake.waiting[i].done;
        void (*id_done)(struct txn *, enum kafka_error, int64_t) = fake.waiting[i].id_done;
        memset(&fake.waiting[i], 0, sizeof fake.waiting[i]);
        if (done) done(t, error);
        else id_done(t, error, error == KAFKA_NONE ? fake.next_id++ : -1);
    }
}

static void start(void)
{
    log_level_max = LOG_ERROR;
    fake = (struct fake){.host = {.append = fake_append,
                                  .when_durable = fake_when_durable,
                                  .mark = fake_mark,
                                  .when_marked = fake_when_durable,
                                  .take_producer_id = fake_take_producer_id,
                                  .clock = &fake.clock},
                         .clock = {.wall_us = fake_wall_us, .mono_us = fake_wall_us},
                         .now_ms = 1700000000000,
                         .next_id = 1000};
    txns_init(&txns, &fake.host);
}

static void stop(void)
{
    txns_done(&txns);
    cr_expect_eq(txns.bytes, 0, "what was counted is given back: %zu", txns.bytes);
}

TestSuite(txn, .init = start, .fini = stop);

/* -- a producer -- */

struct producer {
    struct txn_call call;
    int answers;
    struct txn_result got;
    struct txn_producer who;
    int16_t version; /* of the protocol */
};

static void answered(struct txn_call *call, const struct txn_result *result)
{
    struct producer *p = container_of(call, struct producer, call);
    p->answers++;
    p->got = *result;
}

static struct producer producer_new(const char *id, int16_t version)
{
    return (struct producer){
        .call.answer = answered, .who = {.id = slice_of(id), .producer_id = -1, .epoch = -1}, .version = version};
}

static enum kafka_error init_from(struct producer *p, int64_t expected_id, int16_t expected_epoch)
{
    int answers = p->answers;
    txn_init(&txns,
             &(struct txn_init){.id = p->who.id,
                                .timeout_ms = 60000,
                                .expected_producer_id = expected_id,
                                .expected_epoch = expected_epoch},
             &p->call);
    cr_assert_eq(p->answers, answers + 1);
    if (p->got.error == KAFKA_NONE) p->who.producer_id = p->got.producer_id, p->who.epoch = p->got.epoch;
    return p->got.error;
}

static enum kafka_error init(struct producer *p)
{
    return init_from(p, -1, -1);
}

static enum kafka_error add(struct producer *p, const char *topic, int32_t partition)
{
    struct txn_add_partition add = {.topic = slice_of(topic), .partition = partition};
    int answers = p->answers;
    txn_add(&txns, &p->who, p->version, &add, 1, &p->call);
    cr_assert_eq(p->answers, answers + 1);
    return p->got.error;
}

static enum kafka_error end(struct producer *p, bool commit)
{
    int answers = p->answers;
    txn_end(&txns, &p->who, p->version, commit, &p->call);
    cr_assert_eq(p->answers, answers + 1);
    if (p->got.error == KAFKA_NONE) p->who.producer_id = p->got.producer_id, p->who.epoch = p->got.epoch;
    return p->got.error;
}

static const struct txn_data *state(const char *id)
{
    const struct txn *t = txns_find(&txns, slice_of(id));
    cr_assert(t, "%s is known", id);
    return &t->data;
}

static void expect_log(const enum txn_state *states, int count)
{
    cr_expect_eq(fake.log_count, count);
    for (int i = 0; i < count && i < fake.log_count; i++)
        cr_expect_eq(fake.log[i].state, states[i], "record %d is %s", i, txn_state_name((int)fake.log[i].state));
}

/* -- tests -- */

Test(txn, a_commit_is_decided_before_its_markers_and_complete_behind_them)
{
    struct producer p = producer_new("a", 0);
    cr_assert_eq(init(&p), KAFKA_NONE);
    cr_expect_eq(p.who.producer_id, 1000);
    cr_expect_eq(p.who.epoch, 0);
    cr_expect_eq(add(&p, "t", 0), KAFKA_NONE);
    cr_expect_eq(add(&p, "t", 2), KAFKA_NONE);
    cr_expect_eq(add(&p, "u", 0), KAFKA_NONE);
    cr_expect_eq(fake.partitions_count, 3);
    cr_expect_eq(add(&p, "t", 2), KAFKA_NONE);
    cr_expect_eq(fake.log_count, 4, "what is there is not written again");
    cr_expect_eq(end(&p, true), KAFKA_NONE);
    expect_log(
        (enum txn_state[]){TXN_EMPTY, TXN_ONGOING, TXN_ONGOING, TXN_ONGOING, TXN_PREPARE_COMMIT, TXN_COMPLETE_COMMIT},
        6);
    cr_expect_eq(fake.partitions_count, 0, "a complete transaction has no partitions");
    cr_expect_eq(fake.marks_count, 3);
    for (int i = 0; i < 3; i++)
        cr_expect(fake.marks[i].marker.commit && fake.marks[i].marker.producer_id == 1000 &&
                  fake.marks[i].marker.epoch == 0);
    cr_expect_eq(p.who.epoch, 0, "version 0 keeps the epoch");
    cr_expect_eq(end(&p, true), KAFKA_NONE, "a repeat of the same decision");
    cr_expect_eq(end(&p, false), KAFKA_INVALID_TXN_STATE);
    cr_expect_eq(fake.log_count, 6);
}

Test(txn, an_end_without_a_beginning_is_refused_before_version_2)
{
    struct producer p = producer_new("a", 0);
    cr_assert_eq(init(&p), KAFKA_NONE);
    cr_expect_eq(end(&p, true), KAFKA_INVALID_TXN_STATE);
    cr_expect_eq(end(&p, false), KAFKA_INVALID_TXN_STATE);
    cr_expect_eq(fake.marks_count, 0);
}

Test(txn, who_is_not_the_producer_is_refused)
{
    struct producer p = producer_new("a", 0), q = producer_new("unknown", 0), nobody = producer_new("", 0);
    cr_assert_eq(init(&p), KAFKA_NONE);
    cr_expect_eq(init(&nobody), KAFKA_INVALID_REQUEST);
    cr_expect_eq(add(&nobody, "t", 0), KAFKA_INVALID_REQUEST);
    cr_expect_eq(end(&nobody, true), KAFKA_INVALID_REQUEST);
    cr_expect_eq(add(&q, "t", 0), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    cr_expect_eq(end(&q, true), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    q = p;
    q.who.producer_id = 7;
    cr_expect_eq(add(&q, "t", 0), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    for (int16_t epoch = -1; epoch < 3; epoch++) {
        q = p;
        q.who.epoch = epoch;
        enum kafka_error expected = epoch == p.who.epoch ? KAFKA_NONE : KAFKA_PRODUCER_FENCED;
        cr_expect_eq(add(&q, "t", 0), expected);
    }
    q.who.epoch = 1;
    cr_expect_eq(end(&q, true), KAFKA_PRODUCER_FENCED);
}

Test(txn, a_new_instance_aborts_and_fences_the_old_one)
{
    struct producer p = producer_new("a", 0), q = producer_new("a", 0);
    cr_assert_eq(init(&p), KAFKA_NONE);
    cr_assert_eq(add(&p, "t", 0), KAFKA_NONE);
    cr_expect_eq(init(&q), KAFKA_CONCURRENT_TRANSACTIONS, "the abort comes first");
    cr_assert_eq(fake.marks_count, 1);
    cr_expect(!fake.marks[0].marker.commit);
    cr_expect_eq(fake.marks[0].marker.epoch, 1, "its epoch fences the old one in the partition");
    cr_expect_eq(end(&p, true), KAFKA_PRODUCER_FENCED);
    cr_expect_eq(add(&p, "t", 0), KAFKA_PRODUCER_FENCED);
    cr_assert_eq(init(&q), KAFKA_NONE);
    cr_expect_eq(q.who.producer_id, p.who.producer_id);
    cr_expect_eq(q.who.epoch, 2);
    cr_expect_eq(add(&q, "t", 0), KAFKA_NONE);
    cr_expect_eq(end(&q, true), KAFKA_NONE);
}

Test(txn, what_is_out_of_time_is_aborted)
{
    for (int16_t version = 0; version <= TXN_VERSION_2; version += TXN_VERSION_2) {
        struct producer p = producer_new(version ? "b" : "a", version);
        fake.marks_count = 0;
        cr_assert_eq(init(&p), KAFKA_NONE);
        cr_assert_eq(add(&p, "t", 0), KAFKA_NONE);
        fake.now_ms += 59999;
        txns_sweep(&txns);
        cr_expect_eq(state(version ? "b" : "a")->state, TXN_ONGOING);
        fake.now_ms++;
        txns_sweep(&txns);
        cr_expect_eq(state(version ? "b" : "a")->state, TXN_COMPLETE_ABORT);
        cr_expect_eq(fake.marks_count, 1);
        cr_expect_eq(fake.marks[0].marker.epoch, 1);
        cr_expect_eq(add(&p, "t", 0), KAFKA_PRODUCER_FENCED);
        /* The producer finds out when it ends its transaction, or asks for a higher epoch, and goes on. */
        struct producer q = p;
        cr_expect_eq(end(&q, true), version ? KAFKA_INVALID_TXN_STATE : KAFKA_PRODUCER_FENCED);
        cr_expect_eq(end(&q, false), version ? KAFKA_NONE : KAFKA_PRODUCER_FENCED);
        cr_expect_eq(q.who.epoch, version ? 1 : 0);
        q = p;
        q.version = TXN_VERSION_2;
        cr_expect_eq(end(&q, true), KAFKA_INVALID_TXN_STATE, "whatever version it began with");
        cr_expect_eq(init_from(&p, p.who.producer_id, 0), KAFKA_NONE);
        cr_expect_eq(p.who.epoch, 1);
        cr_expect_eq(add(&p, "t", 0), KAFKA_NONE);
        /* Another instance fences it all the same. */
        struct producer other = producer_new(version ? "b" : "a", version);
        cr_expect_eq(init(&other), KAFKA_CONCURRENT_TRANSACTIONS);
        cr_expect_eq(init(&other), KAFKA_NONE);
        cr_expect_eq(end(&p, false), KAFKA_PRODUCER_FENCED);
        cr_expect_eq(init_from(&p, p.who.producer_id, 1), KAFKA_PRODUCER_FENCED);
    }
}

Test(txn, a_late_request_for_an_epoch_aborts_and_fences_nobody)
{
    struct producer p = producer_new("a", 0);
    cr_assert_eq(init(&p), KAFKA_NONE);
    cr_assert_eq(init_from(&p, p.who.producer_id, 0), KAFKA_NONE);
    struct producer late = p;
    cr_assert_eq(add(&p, "t", 0), KAFKA_NONE);
    cr_expect_eq(init_from(&late, late.who.producer_id, 0), KAFKA_CONCURRENT_TRANSACTIONS);
    cr_expect_eq(state("a")->state, TXN_COMPLETE_ABORT);
    cr_expect_eq(init_from(&late, late.who.producer_id, 0), KAFKA_PRODUCER_FENCED);
    cr_expect_eq(init_from(&p, p.who.producer_id, 1), KAFKA_NONE, "whose transaction it was");
    cr_expect_eq(p.who.epoch, 2);
}

Test(txn, a_producer_goes_on_after_an_error_with_the_next_epoch_once)
{
    struct producer p = producer_new("a", 0);
    cr_assert_eq(init(&p), KAFKA_NONE);
    int64_t id = p.who.producer_id;
    cr_expect_eq(init_from(&p, id, 0), KAFKA_NONE);
    cr_expect_eq(p.who.epoch, 1);
    cr_expect_eq(init_from(&p, id, 0), KAFKA_NONE, "a repeat");
    cr_expect_eq(p.who.epoch, 1);
    cr_expect_eq(init_from(&p, id, 1), KAFKA_NONE);
    cr_expect_eq(p.who.epoch, 2);
    cr_expect_eq(init_from(&p, id, 0), KAFKA_PRODUCER_FENCED);
    cr_expect_eq(init_from(&p, id + 1, 2), KAFKA_PRODUCER_FENCED);
}

Test(txn, version_2_bumps_the_epoch_at_each_end)
{
    struct producer p = producer_new("a", TXN_VERSION_2), late;
    cr_assert_eq(init(&p), KAFKA_NONE);
    for (int i = 0; i < 6; i++) {
        bool commit = i % 2 == 0;
        cr_assert_eq(add(&p, "t", i), KAFKA_NONE);
        late = p;
        cr_assert_eq(end(&p, commit), KAFKA_NONE);
        cr_expect_eq(p.who.epoch, i + 1);
        cr_expect_eq(fake.marks[i].marker.epoch, i + 1, "late batches are older than the marker");
        cr_expect_eq(end(&late, !commit), KAFKA_INVALID_TXN_STATE, "the other decision");
        cr_expect_eq(end(&late, commit), KAFKA_NONE, "a repeat");
        cr_expect_eq(late.who.epoch, i + 1, "gets what it did not hear");
        late.who.epoch = (int16_t)i;
        cr_expect_eq(add(&late, "t", 0), KAFKA_PRODUCER_FENCED);
    }
    cr_expect_eq(fake.marks_count, 6);
    cr_expect_eq(end(&p, true), KAFKA_INVALID_TXN_STATE, "nothing to commit");
    cr_expect_eq(end(&p, false), KAFKA_NONE, "an abort of nothing is one");
    cr_expect_eq(p.who.epoch, 7);
    cr_expect_eq(fake.marks_count, 6);
}

Test(txn, a_used_up_epoch_brings_a_new_producer_id)
{
    struct producer p = producer_new("a", TXN_VERSION_2), late;
    cr_assert_eq(init(&p), KAFKA_NONE);
    for (int i = 0; i < TXN_EPOCH_LAST; i++) {
        fake.log_count = 0;
        cr_assert_eq(init(&p), KAFKA_NONE);
    }
    fake.log_count = 0;
    cr_assert_eq(p.who.epoch, TXN_EPOCH_LAST);
    cr_expect_eq(p.who.producer_id, 1000);
    cr_assert_eq(add(&p, "t", 0), KAFKA_NONE);
    late = p;
    cr_assert_eq(end(&p, true), KAFKA_NONE);
    cr_expect_eq(fake.marks[0].marker.epoch, INT16_MAX);
    cr_expect_eq(fake.marks[0].marker.producer_id, 1000);
    cr_expect_eq(p.who.producer_id, 1001);
    cr_expect_eq(p.who.epoch, 0);
    cr_expect_eq(end(&late, true), KAFKA_NONE, "a repeat");
    cr_expect_eq(late.who.producer_id, 1001);
    cr_expect_eq(add(&p, "t", 0), KAFKA_NONE);

    struct producer q = producer_new("b", 0);
    cr_assert_eq(init(&q), KAFKA_NONE);
    for (int i = 0; i < TXN_EPOCH_LAST + 1; i++) {
        fake.log_count = 0;
        cr_assert_eq(init(&q), KAFKA_NONE);
    }
    cr_expect_eq(q.who.producer_id, 1003, "an init behind the last epoch");
    cr_expect_eq(q.who.epoch, 0);
    cr_expect_eq(init_from(&q, 1002, TXN_EPOCH_LAST), KAFKA_PRODUCER_FENCED, "it did not say what it had");
}

Test(txn, while_a_step_waits_others_come_again)
{
    struct producer p = producer_new("a", 0), q = producer_new("a", 0);
    fake.slow = true;
    txn_init(&txns,
             &(struct txn_init){.id = p.who.id, .timeout_ms = 1000, .expected_producer_id = -1, .expected_epoch = -1},
             &p.call);
    cr_expect_eq(init(&q), KAFKA_CONCURRENT_TRANSACTIONS);
    release(KAFKA_NONE); /* the id */
    cr_expect_eq(p.answers, 0);
    release(KAFKA_NONE); /* the record */
    cr_assert_eq(p.answers, 1);
    cr_assert_eq(p.got.error, KAFKA_NONE);
    p.who.producer_id = p.got.producer_id;
    p.who.epoch = p.got.epoch;
    q.who = p.who;

    struct txn_add_partition partition = {.topic = SLICE("t")};
    txn_add(&txns, &p.who, 0, &partition, 1, &p.call);
    cr_expect_eq(end(&q, true), KAFKA_CONCURRENT_TRANSACTIONS);
    cr_expect_eq(txn_verify(&txns, &p.who, SLICE("t"), 0), KAFKA_NONE);
    struct producer more = p, same = p;
    struct txn_add_partition other = {.topic = SLICE("t"), .partition = 7};
    txn_add(&txns, &more.who, 0, &other, 1, &more.call);
    txn_add(&txns, &same.who, 0, &partition, 1, &same.call);
    cr_expect_eq(p.answers + more.answers + same.answers, 3, "adds overlap; none is answered before it is durable");
    release(KAFKA_NONE);
    cr_assert_eq(p.answers, 2);
    cr_expect_eq(more.answers, 2);
    cr_expect_eq(same.answers, 2);

    txn_end(&txns, &p.who, 0, true, &p.call);
    cr_expect_eq(fake.marks_count, 0, "no marker before the decision is durable");
    cr_expect_eq(add(&q, "t", 1), KAFKA_CONCURRENT_TRANSACTIONS);
    release(KAFKA_NONE);
    cr_expect_eq(fake.marks_count, 2);
    cr_expect_eq(state("a")->state, TXN_PREPARE_COMMIT, "not complete before the markers are durable");
    release(KAFKA_NONE);
    cr_expect_eq(state("a")->state, TXN_COMPLETE_COMMIT);
    cr_assert_eq(p.answers, 3);
    cr_expect_eq(p.got.error, KAFKA_NONE);
}

Test(txn, what_cannot_be_appended_did_not_happen)
{
    struct producer p = producer_new("a", 0), q = producer_new("q", 0);
    fake.id_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    cr_expect_eq(init(&q), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_not(txns_find(&txns, q.who.id), "an id that was never made");
    fake.id_error = KAFKA_NONE;
    cr_assert_eq(init(&p), KAFKA_NONE);
    cr_assert_eq(add(&p, "t", 0), KAFKA_NONE);
    fake.append_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
    cr_expect_eq(add(&p, "t", 1), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_eq(add(&p, "u", 1), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_eq(txn_verify(&txns, &p.who, SLICE("t"), 0), KAFKA_NONE);
    cr_expect_eq(txn_verify(&txns, &p.who, SLICE("t"), 1), KAFKA_TRANSACTION_ABORTABLE);
    cr_expect_eq(txn_verify(&txns, &p.who, SLICE("u"), 1), KAFKA_TRANSACTION_ABORTABLE);
    cr_expect_eq(end(&p, true), KAFKA_COORDINATOR_NOT_AVAILABLE);
    cr_expect_eq(fake.marks_count, 0);
    cr_expect_eq(state("a")->state, TXN_ONGOING);
    fake.append_error = KAFKA_NONE;
    cr_expect_eq(end(&p, true), KAFKA_NONE);
    cr_expect_eq(fake.marks_count, 1, "only what was added");
}

Test(txn, markers_that_fail_are_written_later)
{
    struct producer p = producer_new("a", 0);
    cr_assert_eq(init(&p), KAFKA_NONE);
    cr_assert_eq(add(&p, "t", 0), KAFKA_NONE);
    fake.mark_error = KAFKA_STORAGE_ERROR;
    log_level_max = LOG_ERROR - 1;
    cr_expect_eq(end(&p, true), KAFKA_NONE, "the decision stands");
    cr_expect_eq(state("a")->state, TXN_PREPARE_COMMIT);
    cr_expect_eq(end(&p, true), KAFKA_CONCURRENT_TRANSACTIONS);
    cr_expect_eq(end(&p, false), KAFKA_INVALID_TXN_STATE);
    cr_expect_eq(init(&p), KAFKA_CONCURRENT_TRANSACTIONS);
    txns_sweep(&txns);
    cr_expect_eq(state("a")->state, TXN_PREPARE_COMMIT);
    fake.mark_error = KAFKA_NONE;
    txns_sweep(&txns);
    cr_expect_eq(state("a")->state, TXN_COMPLETE_COMMIT);
    cr_expect_eq(fake.marks_count, 1);
}

Test(txn, a_decision_outlives_the_process)
{
    for (int commit = 0; commit < 2; commit++) {
        struct txn_data data = {.state = commit ? TXN_PREPARE_COMMIT : TXN_PREPARE_ABORT,
                                .producer_id = 5,
                                .previous_producer_id = -1,
                                .next_producer_id = -1,
                                .epoch = 3,
                                .last_epoch = -1,
                                .timeout_ms = 1000,
                                .start_ms = 1};
        struct txn *t = txns_restore(&txns, SLICE("a"), &data);
        txn_restore_partition(t, SLICE("t"), 4);
        txn_restore_partition(t, SLICE("t"), 5);
        fake.marks_count = 0;
        txn_resume(t);
        cr_expect_eq(fake.marks_count, 2);
        cr_expect_eq(fake.marks[1].partition, 5);
        cr_expect_eq(fake.marks[0].marker.commit, commit == 1);
        cr_expect_eq(state("a")->state, commit ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT);
    }
    struct txn_data open = {.state = TXN_ONGOING,
                            .producer_id = 6,
                            .previous_producer_id = -1,
                            .next_producer_id = -1,
                            .epoch = 0,
                            .last_epoch = -1,
                            .timeout_ms = 1000,
                            .start_ms = fake.now_ms};
    struct txn *t = txns_restore(&txns, SLICE("b"), &open);
    txn_restore_partition(t, SLICE("t"), 0);
    fake.marks_count = 0;
    txn_resume(t);
    cr_expect_eq(fake.marks_count, 0, "an open one goes on");
    struct producer p = producer_new("b", 0);
    p.who.producer_id = 6;
    p.who.epoch = 0;
    cr_expect_eq(add(&p, "t", 1), KAFKA_NONE);
    cr_expect_eq(end(&p, true), KAFKA_NONE);
    cr_expect_eq(fake.marks_count, 2);
    cr_expect_eq((size_t)txns_restore(&txns, SLICE("b"), NULL), 0, "forgotten");
    cr_expect_not(txns_find(&txns, SLICE("b")));
}

Test(txn, idle_ids_are_forgotten_and_busy_ones_are_not)
{
    struct producer p = producer_new("idle", 0), q = producer_new("open", 0);
    cr_assert_eq(init(&p), KAFKA_NONE);
    cr_assert_eq(init(&q), KAFKA_NONE);
    cr_assert_eq(add(&q, "t", 0), KAFKA_NONE);
    txns.id_expiration_ms = 5000;
    fake.now_ms += 4999;
    txns_expire(&txns);
    cr_expect(txns_find(&txns, p.who.id));
    fake.now_ms++;
    txns_expire(&txns);
    cr_expect_not(txns_find(&txns, p.who.id));
    cr_expect(txns_find(&txns, q.who.id));
    cr_expect_eq(fake.log[fake.log_count - 1].epoch, -1, "a tombstone");
    cr_expect_eq(add(&p, "t", 0), KAFKA_INVALID_PRODUCER_ID_MAPPING);
}

Test(txn, a_stop_answers_who_waits)
{
    struct producer p = producer_new("a", 0);
    fake.slow = true;
    txn_init(&txns,
             &(struct txn_init){.id = p.who.id, .timeout_ms = 1000, .expected_producer_id = -1, .expected_epoch = -1},
             &p.call);
    txns_done(&txns);
    cr_expect_eq(p.answers, 1);
    cr_expect_eq(p.got.error, KAFKA_COORDINATOR_NOT_AVAILABLE);
}
