/* Idempotence, transactions, the last stable offset, snapshots. */
#include "tests/unit/storage/scratch.h"

#include "base/crc32c.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>
#include <string.h>

static enum kafka_error produce(struct partition_log *log, int64_t id, int16_t epoch, int32_t sequence, int32_t count,
                                struct log_append *a)
{
    return scratch_append(log, APPEND_CLIENT,
                          &(struct batch_spec){.producer = true,
                                               .producer_id = id,
                                               .producer_epoch = epoch,
                                               .base_sequence = sequence,
                                               .count = count,
                                               .timestamp_ms = 5000},
                          a);
}

Test(producers, a_repeated_batch_is_answered_with_its_own_offset_and_not_appended)
{
    struct scratch s;
    struct log_append a;
    scratch_init(&s);
    scratch_open(&s);
    for (int32_t i = 0; i < 8; i++) cr_assert_eq(produce(s.log, 1, 0, i * 3, 3, &a), KAFKA_NONE);
    cr_assert_eq(partition_log_marks(s.log).log_end, 24);
    for (int32_t i = 3; i < 8; i++) {
        cr_assert_eq(produce(s.log, 1, 0, i * 3, 3, &a), KAFKA_NONE);
        cr_assert(a.duplicate);
        cr_assert_eq(a.base_offset, i * 3);
        cr_assert_eq(a.last_offset, i * 3 + 2);
        cr_assert_eq(a.log_append_time_ms, 5002);
    }
    cr_assert_eq(produce(s.log, 1, 0, 6, 3, &a), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER, "older than the five kept");
    cr_assert_eq(produce(s.log, 1, 0, 21, 2, &a), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER, "another range");
    cr_assert_eq(partition_log_marks(s.log).log_end, 24);
    scratch_done(&s);
}

Test(producers, the_first_batch_after_a_clean_stop_may_be_of_a_transaction)
{
    struct scratch s;
    struct log_append a;
    struct batch_spec spec = {.producer = true, .producer_id = 1, .transactional = true, .timestamp_ms = 5000};

    scratch_init(&s);
    scratch_open(&s);
    cr_assert_eq(produce(s.log, 2, 0, 0, 1, &a), KAFKA_NONE);
    scratch_close(&s);
    scratch_open(&s);
    uint32_t size;
    uint8_t *bytes = batch_make(&spec, &size);
    a = (struct log_append){.origin = APPEND_CLIENT, .batches = bytes, .size = size, .txn_must_be_open = true};
    cr_assert_eq(partition_log_append(s.log, &a), KAFKA_INVALID_TXN_STATE);
    cr_assert(a.txn_not_open);
    free(bytes);
    scratch_done(&s);
}

Test(producers, gaps_and_old_epochs_are_refused)
{
    struct scratch s;
    struct log_append a;
    scratch_init(&s);
    scratch_open(&s);
    cr_assert_eq(produce(s.log, 1, 3, 5, 1, &a), KAFKA_NONE, "an unknown producer may begin anywhere");
    cr_assert_eq(produce(s.log, 1, 3, 7, 1, &a), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    cr_assert_eq(produce(s.log, 1, 3, 6, 1, &a), KAFKA_NONE);
    cr_assert_eq(produce(s.log, 1, 2, 0, 1, &a), KAFKA_INVALID_PRODUCER_EPOCH);
    cr_assert_eq(produce(s.log, 1, 4, 7, 1, &a), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    cr_assert_eq(produce(s.log, 1, 4, 0, 1, &a), KAFKA_NONE);
    cr_assert_eq(produce(s.log, 2, 0, INT32_MAX - 1, 2, &a), KAFKA_NONE);
    cr_assert_eq(produce(s.log, 2, 0, 0, 1, &a), KAFKA_NONE, "sequences wrap");
    cr_assert_eq(produce(s.log, 3, 0, INT32_MAX, 3, &a), KAFKA_NONE, "also within a batch");
    cr_assert_eq(produce(s.log, 3, 0, 2, 1, &a), KAFKA_NONE);
    cr_assert_eq(produce(s.log, 3, 0, INT32_MAX, 3, &a), KAFKA_NONE);
    cr_assert(a.duplicate);
    scratch_done(&s);
}

Test(producers, state_survives_restarts_of_both_kinds)
{
    struct scratch s;
    struct log_append a;
    scratch_init(&s);
    s.config.segment_bytes = 1000;
    scratch_open(&s);
    for (int32_t i = 0; i < 60; i++) {
        cr_assert_eq(produce(s.log, 1 + i % 3, 0, i / 3, 1, &a), KAFKA_NONE);
        if (i % 20 == 9) {
            scratch_close(&s);
            scratch_open(&s);
        } else if (i % 20 == 19) {
            scratch_kill(&s);
            scratch_open(&s);
        }
        int64_t offset = partition_log_marks(s.log).log_end - 1;
        cr_assert_eq(produce(s.log, 1 + i % 3, 0, i / 3, 1, &a), KAFKA_NONE);
        cr_assert(a.duplicate);
        cr_assert_eq(a.base_offset, offset);
    }
    struct producer_last last;
    cr_assert(partition_log_producer_last(s.log, 2, &last));
    cr_assert_eq(last.last_sequence, 19);
    cr_assert_eq(last.last_offset, 58);
    scratch_done(&s);
}

static int64_t stable(struct scratch *s)
{
    return partition_log_marks(s->log).last_stable;
}

static enum kafka_error produce_txn(struct partition_log *log, int64_t id, int32_t sequence, struct log_append *a)
{
    return scratch_append(
        log, APPEND_CLIENT,
        &(struct batch_spec){.producer = true, .producer_id = id, .base_sequence = sequence, .transactional = true}, a);
}

/* As Produce does it: refused until the coordinator said yes, then taken without asking. */
static enum kafka_error try_txn(struct partition_log *log, int16_t epoch, int32_t sequence, bool verified,
                                bool version_2)
{
    uint32_t size;
    uint8_t *bytes = batch_make(&(struct batch_spec){.producer = true,
                                                     .producer_id = 1,
                                                     .producer_epoch = epoch,
                                                     .base_sequence = sequence,
                                                     .count = 1,
                                                     .transactional = true},
                                &size);
    struct log_append a = {.origin = APPEND_CLIENT,
                           .batches = bytes,
                           .size = size,
                           .txn_must_be_open = !verified,
                           .txn_bumps_epochs = version_2};
    enum kafka_error error = partition_log_append(log, &a);
    cr_assert_eq(a.txn_not_open, error == KAFKA_INVALID_TXN_STATE);
    free(bytes);
    return error;
}

Test(producers, a_transaction_does_not_begin_behind_a_batch_that_was_refused)
{
    struct scratch s;
    scratch_init(&s);
    scratch_open(&s);
    cr_assert_eq(try_txn(s.log, 0, 0, false, false), KAFKA_INVALID_TXN_STATE, "the coordinator is to be asked");
    cr_assert_eq(try_txn(s.log, 0, 1, false, false), KAFKA_INVALID_TXN_STATE);
    cr_assert_eq(try_txn(s.log, 0, 1, true, false), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER, "0 was tried");
    cr_assert_eq(try_txn(s.log, 0, 0, true, false), KAFKA_NONE);
    cr_assert_eq(try_txn(s.log, 0, 1, false, false), KAFKA_NONE, "open now");
    cr_assert_eq(scratch_end_txn(s.log, 1, 0, true), KAFKA_NONE);
    cr_assert_eq(try_txn(s.log, 0, 4, false, false), KAFKA_INVALID_TXN_STATE);
    cr_assert_eq(try_txn(s.log, 1, 2, false, false), KAFKA_INVALID_TXN_STATE);
    cr_assert_eq(try_txn(s.log, 1, 2, true, false), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER, "an epoch begins with 0");
    cr_assert_eq(try_txn(s.log, 1, 0, true, false), KAFKA_NONE);
    cr_assert_eq(try_txn(s.log, 0, 2, false, false), KAFKA_INVALID_PRODUCER_EPOCH, "nobody is asked");
    scratch_done(&s);
}

Test(producers, a_repeat_from_a_transaction_that_ended_is_asked_for_first)
{
    struct scratch s;
    scratch_init(&s);
    scratch_open(&s);
    cr_assert_eq(try_txn(s.log, 0, 0, true, false), KAFKA_NONE);
    cr_assert_eq(scratch_end_txn(s.log, 1, 0, true), KAFKA_NONE);
    cr_assert_eq(try_txn(s.log, 0, 0, false, false), KAFKA_INVALID_TXN_STATE);
    cr_assert_eq(try_txn(s.log, 0, 0, true, false), KAFKA_NONE);
    cr_assert_eq(partition_log_marks(s.log).log_end, 2, "it is there already");
    scratch_done(&s);
}

Test(producers, of_an_unknown_producer_in_version_2_the_first_batch_comes_first)
{
    struct scratch s;
    scratch_init(&s);
    scratch_open(&s);
    cr_assert_eq(try_txn(s.log, 0, 1, false, true), KAFKA_INVALID_TXN_STATE);
    cr_assert_eq(try_txn(s.log, 0, 1, true, true), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    cr_assert_eq(try_txn(s.log, 0, 0, false, true), KAFKA_INVALID_TXN_STATE);
    cr_assert_eq(try_txn(s.log, 0, 0, true, true), KAFKA_NONE);
    /* In version 1 its earlier batches may have been deleted. */
    scratch_done(&s);
    scratch_init(&s);
    scratch_open(&s);
    cr_assert_eq(try_txn(s.log, 0, 1, false, false), KAFKA_INVALID_TXN_STATE);
    cr_assert_eq(try_txn(s.log, 0, 1, true, false), KAFKA_NONE);
    scratch_done(&s);
}

Test(producers, who_tried_to_begin_is_forgotten_when_idle_or_when_there_are_many)
{
    struct producer_state state;
    struct producer_batch duplicate;
    struct record_batch b = {.base_sequence = 0, .attributes = RECORD_BATCH_TRANSACTIONAL, .records_count = 1};
    struct record_batch later = b;
    producer_state_init(&state);
    later.base_sequence = 1;
    producer_state_unverified(&state, &b, false, 1000);
    cr_assert_eq(producer_state_check(&state, &later, NULL, PRODUCER_CHECK_SEQUENCE, &duplicate),
                 KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    producer_state_expire(&state, 1999, 1000, INT64_MAX);
    cr_assert_eq(HASH_COUNT(state.unverified), 1);
    producer_state_expire(&state, 2000, 1000, INT64_MAX);
    cr_assert_eq(producer_state_check(&state, &later, NULL, PRODUCER_CHECK_SEQUENCE, &duplicate), KAFKA_NONE);
    for (b.producer_id = 0; b.producer_id <= PRODUCERS_UNVERIFIED_MAX; b.producer_id++)
        producer_state_unverified(&state, &b, false, 1000);
    cr_assert_eq(HASH_COUNT(state.unverified), PRODUCERS_UNVERIFIED_MAX);
    cr_assert_eq(producer_state_check(&state, &later, NULL, PRODUCER_CHECK_SEQUENCE, &duplicate), KAFKA_NONE);
    producer_state_done(&state);
}

static void check_aborted(struct scratch *s, int64_t offset, uint32_t count, const int64_t *ids)
{
    struct log_read r;
    cr_assert_eq(partition_log_read(s->log, offset, 1000000, true, READ_COMMITTED, &r), KAFKA_NONE);
    cr_assert_eq(r.aborted_count, count, "%u", r.aborted_count);
    for (uint32_t i = 0; i < count; i++) cr_assert_eq(r.aborted[i].producer_id, ids[i]);
    log_read_done(&r);
}

Test(producers, the_last_stable_offset_is_the_oldest_open_transaction)
{
    struct scratch s;
    struct log_append a;
    scratch_init(&s);
    scratch_open(&s);
    scratch_fill(s.log, 2, 10, 1);
    cr_assert_eq(produce_txn(s.log, 1, 0, &a), KAFKA_NONE); /* 2 */
    cr_assert_eq(stable(&s), 2);
    cr_assert_eq(produce_txn(s.log, 2, 0, &a), KAFKA_NONE); /* 3 */
    scratch_fill(s.log, 1, 10, 1);                          /* 4 */
    cr_assert_eq(produce(s.log, 1, 0, 1, 1, &a), KAFKA_INVALID_TXN_STATE, "not transactional inside a transaction");
    cr_assert_eq(scratch_end_txn(s.log, 2, 0, false), KAFKA_NONE); /* 5 */
    cr_assert_eq(stable(&s), 2);
    check_aborted(&s, 0, 1, (int64_t[]){2}); /* its records lie behind what is read: Kafka names it too */
    cr_assert_eq(scratch_read_all(s.log, 0, READ_COMMITTED), 2);
    for (int restart = 0; restart < 2; restart++) {
        if (restart) scratch_close(&s);
        else scratch_kill(&s);
        scratch_open(&s);
        cr_assert_eq(stable(&s), 2);
        cr_assert_eq(produce_txn(s.log, 1, 0, &a), KAFKA_NONE);
        cr_assert(a.duplicate);
    }
    cr_assert_eq(scratch_end_txn(s.log, 1, 0, true), KAFKA_NONE); /* 6 */
    cr_assert_eq(stable(&s), 7);
    check_aborted(&s, 0, 1, (int64_t[]){2});
    check_aborted(&s, 6, 0, NULL);
    cr_assert_eq(scratch_end_txn(s.log, 9, 0, false), KAFKA_NONE, "a marker without data");
    check_aborted(&s, 0, 1, (int64_t[]){2});
    scratch_done(&s);
}

Test(producers, a_transaction_ends_for_readers_when_they_can_see_its_marker)
{
    struct scratch s;
    struct log_append a;
    scratch_init(&s);
    s.config.strict = true;
    scratch_open(&s);
    cr_assert_eq(produce_txn(s.log, 1, 0, &a), KAFKA_NONE);
    scratch_fill(s.log, 1, 10, 1);
    cr_assert_eq(partition_log_sync(&s.log, 1), 0);
    cr_assert_eq(scratch_end_txn(s.log, 1, 0, true), KAFKA_NONE);
    cr_assert_eq(partition_log_marks(s.log).high_watermark, 2);
    cr_assert_eq(stable(&s), 0);
    cr_assert_eq(partition_log_sync(&s.log, 1), 0);
    cr_assert_eq(stable(&s), 3);
    scratch_done(&s);
}

Test(producers, aborted_transactions_are_found_across_segments_and_restarts)
{
    struct scratch s;
    struct log_append a;
    scratch_init(&s);
    s.config.segment_bytes = 600;
    scratch_open(&s);
    for (int32_t i = 0; i < 20; i++) {
        cr_assert_eq(produce_txn(s.log, 100 + i, 0, &a), KAFKA_NONE);
        scratch_fill(s.log, 1 + i % 4, 40, 1);
        cr_assert_eq(scratch_end_txn(s.log, 100 + i, 0, i % 2), KAFKA_NONE);
    }
    cr_assert_gt(s.log->segments_count, 5);
    for (int restart = 0; restart < 4; restart++) {
        int64_t end = partition_log_marks(s.log).log_end, previous = 0;
        cr_assert_eq(stable(&s), end);
        for (int64_t offset = 0; offset < end; offset++) {
            struct log_read r;
            cr_assert_eq(partition_log_read(s.log, offset, 1, true, READ_COMMITTED, &r), KAFKA_NONE);
            cr_assert_leq(r.aborted_count, 1, "transactions do not overlap here");
            if (r.aborted_count) {
                cr_assert_eq(r.aborted[0].producer_id % 2, 0);
                cr_assert_geq(r.aborted[0].producer_id, previous);
                previous = r.aborted[0].producer_id;
            }
            log_read_done(&r);
        }
        cr_assert_eq(previous, 118);
        if (restart % 2) scratch_close(&s);
        else scratch_kill(&s);
        scratch_open(&s);
    }
    scratch_done(&s);
}

Test(producers, markers_of_fenced_coordinators_are_refused)
{
    struct scratch s;
    struct log_append a;
    uint32_t size;
    scratch_init(&s);
    scratch_open(&s);
    cr_assert_eq(produce_txn(s.log, 1, 0, &a), KAFKA_NONE);
    cr_assert_eq(scratch_end_txn(s.log, 1, 0, true), KAFKA_NONE); /* coordinator epoch 3 */
    uint8_t *bytes = marker_make(1, 0, true, 2, &size);
    a = (struct log_append){.origin = APPEND_INTERNAL, .batches = bytes, .size = size};
    cr_assert_eq(partition_log_append(s.log, &a), KAFKA_TRANSACTION_COORDINATOR_FENCED);
    free(bytes);
    bytes = marker_make(1, 0, true, 3, &size);
    a = (struct log_append){.origin = APPEND_CLIENT, .batches = bytes, .size = size};
    cr_assert_eq(partition_log_append(s.log, &a), KAFKA_INVALID_RECORD, "clients write no markers");
    free(bytes);
    scratch_done(&s);
}

Test(producers, idle_ones_expire_but_for_open_transactions_and_our_own)
{
    struct scratch s;
    struct log_append a;
    struct producer_last last;
    int64_t own = LOG_PRODUCER_ID_RESERVED_MIN + 1;
    scratch_init(&s);
    scratch_open(&s);
    cr_assert_eq(produce(s.log, 1, 0, 0, 1, &a), KAFKA_NONE);
    cr_assert_eq(
        scratch_append(s.log, APPEND_CDC, &(struct batch_spec){.producer = true, .producer_id = own, .count = 1}, &a),
        KAFKA_NONE);
    cr_assert_eq(produce_txn(s.log, 2, 0, &a), KAFKA_NONE);
    s.clock.now_us += s.options.producer_id_expiration_ms * 1000;
    log_dir_expire_producers(s.dir);
    cr_assert_not(partition_log_producer_last(s.log, 1, &last));
    cr_assert(partition_log_producer_last(s.log, own, &last));
    cr_assert(partition_log_producer_last(s.log, 2, &last));
    scratch_done(&s);
}

Test(producers, clients_cannot_write_as_one_of_our_own)
{
    struct scratch s;
    struct log_append a;
    struct producer_last last;
    scratch_init(&s);
    scratch_open(&s);
    cr_assert_eq(produce(s.log, LOG_PRODUCER_ID_RESERVED_MIN - 1, 0, 0, 1, &a), KAFKA_NONE);
    cr_assert_eq(produce(s.log, LOG_PRODUCER_ID_RESERVED_MIN, 0, 0, 1, &a), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    cr_assert_eq(produce(s.log, INT64_MAX, 0, 0, 1, &a), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    cr_assert_not(partition_log_producer_last(s.log, LOG_PRODUCER_ID_RESERVED_MIN, &last));
    cr_assert_eq(partition_log_marks(s.log).log_end, 1);
    scratch_done(&s);
}

Test(producers, several_batches_of_one_producer_are_appended_together_or_not_at_all)
{
    struct scratch s;
    uint8_t both[2000];
    uint32_t first, second;
    scratch_init(&s);
    scratch_open(&s);
    for (int32_t gap = 0; gap < 2; gap++) {
        uint8_t *a = batch_make(&(struct batch_spec){.producer = true, .producer_id = 1 + gap, .count = 2}, &first);
        uint8_t *b = batch_make(
            &(struct batch_spec){.producer = true, .producer_id = 1 + gap, .base_sequence = 2 + gap, .count = 3},
            &second);
        memcpy(both, a, first);
        memcpy(both + first, b, second);
        struct log_append append = {.origin = APPEND_CDC, .batches = both, .size = first + second};
        enum kafka_error error = partition_log_append(s.log, &append);
        cr_assert_eq(error, gap ? KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER : KAFKA_NONE);
        cr_assert_eq(partition_log_marks(s.log).log_end, 5);
        free(a);
        free(b);
    }
    scratch_done(&s);
}

Test(producers, a_snapshot_comes_back_as_it_was_and_a_damaged_one_does_not)
{
    struct producer_state state, copy;
    size_t size;
    producer_state_init(&state);
    producer_state_init(&copy);
    for (int64_t id = 0; id < 50; id++) {
        struct record_batch b = {.base_offset = 10 * id,
                                 .last_offset_delta = 2,
                                 .producer_id = id,
                                 .producer_epoch = 4,
                                 .base_sequence = (int32_t)id,
                                 .max_timestamp = 99,
                                 .records_count = 3,
                                 .attributes = id % 5 ? 0 : RECORD_BATCH_TRANSACTIONAL};
        struct txn_entry aborted;
        producer_state_apply(&state, &b, NULL, &aborted);
    }
    uint8_t *bytes = producer_state_encode(&state, &size);
    cr_assert_eq(producer_state_decode(&copy, bytes, size), 0);
    for (int64_t id = 0; id < 50; id++) {
        const struct producer *p = producer_state_find(&copy, id);
        cr_assert(p);
        cr_assert_eq(p->epoch, 4);
        cr_assert_eq(p->batches[0].last_offset, 10 * id + 2);
        cr_assert_eq(p->batches[0].last_sequence, id + 2);
        cr_assert_eq(p->txn_first_offset, id % 5 ? -1 : 10 * id);
    }
    cr_assert_eq(producer_state_first_unstable(&copy, 1000), 0);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 1;
        cr_assert_eq(producer_state_decode(&copy, bytes, size), -EBADMSG);
        bytes[i] ^= 1;
        cr_assert_eq(producer_state_decode(&copy, bytes, i), -EBADMSG);
    }
    free(bytes);
    producer_state_done(&state);
    producer_state_done(&copy);
}

/* A transaction all of whose records lie below the log's start is known by a snapshot alone. When a start had none, and a clean stop
 * said so, an older one that is found again must not take back what readers were told. */
Test(producers, the_last_stable_offset_of_a_clean_stop_does_not_go_back)
{
    struct scratch s;
    struct log_append a;
    char kept[300], command[800];
    int64_t start;

    scratch_init(&s);
    s.config.segment_bytes = 4096;
    scratch_open(&s);
    const struct batch_spec open = {.producer = true, .producer_id = 1, .transactional = true, .timestamp_ms = 1000};
    cr_assert_eq(scratch_append(s.log, APPEND_CLIENT, &open, &a), KAFKA_NONE);
    scratch_fill(s.log, 10, 1000, 1000);
    cr_assert_eq(partition_log_delete_records(s.log, 6, &start), KAFKA_NONE);
    struct log_marks marks = partition_log_marks(s.log);
    cr_assert_eq(marks.last_stable, 6);
    snprintf(kept, sizeof kept, "%s/kept", s.path);
    snprintf(command, sizeof command, "mkdir %s && cp %s/t-0/*.snapshot %s", kept, s.options.path, kept);
    scratch_close(&s); /* the first segment goes when the start is in its checkpoint */
    cr_assert_eq(system(command), 0, "%s", command);
    scratch_open(&s);
    cr_assert_eq(partition_log_marks(s.log).last_stable, 6);
    scratch_kill(&s);
    snprintf(command, sizeof command, "rm %s/t-0/*.snapshot", s.options.path);
    cr_assert_eq(system(command), 0);
    scratch_open(&s);
    cr_assert_eq(partition_log_marks(s.log).last_stable, marks.log_end, "nobody knows of it");
    scratch_close(&s);

    snprintf(command, sizeof command, "rm %s/t-0/*.snapshot; cp %s/*.snapshot %s/t-0", s.options.path, kept,
             s.options.path);
    cr_assert_eq(system(command), 0);
    scratch_open(&s);
    cr_assert_eq(partition_log_marks(s.log).last_stable, marks.log_end);
    pthread_mutex_lock(&s.log->lock);
    cr_assert_eq(log_ready(s.log), KAFKA_NONE);
    cr_assert_neq(HASH_COUNT(s.log->producers->producers), 0, "the old snapshot was found");
    pthread_mutex_unlock(&s.log->lock);
    cr_expect_eq(partition_log_marks(s.log).last_stable, marks.log_end);
    scratch_done(&s);
}
