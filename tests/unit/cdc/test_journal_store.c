/* The promises of journal_store.h that need a broker. */
#include "cdc/journal_store.h"

#include "storage/partition_log.h"
#include "tests/unit/broker/scratch_broker.h"

#include <errno.h>

/* What a log knows of other producers expires after a day, and with it what a connector's recovery counts on. */
Test(journal_store, every_journal_writes_with_an_id_of_its_own_that_never_expires)
{
    struct scratch_broker s;
    struct journal_store *store;
    struct stored_journal *a, *b;
    struct err err = ERR_NONE;

    scratch_broker_new(&s);
    cr_assert_eq(journal_store_open(s.broker, &store, &err), 0, "%s", err.text);
    cr_assert_eq(journal_store_take(store, "a", "p", &a, &err), 0, "%s", err.text);
    cr_assert_eq(journal_store_take(store, "b", "p", &b, &err), 0, "%s", err.text);
    cr_assert_eq(journal_snapshot_end(a->journal, 100), 0);
    cr_expect_geq(a->producer_id, LOG_PRODUCER_ID_RESERVED_MIN);
    cr_expect_gt(b->producer_id, a->producer_id);
    cr_expect_eq(journal_producer_id(a->journal), a->producer_id);
    int64_t before = a->producer_id, other = b->producer_id;

    journal_store_give(store, a);
    cr_assert_eq(journal_store_reset(store, "a", "p"), 0);
    cr_assert_eq(journal_store_take(store, "a", "p", &a, &err), 0, "%s", err.text);
    cr_expect_gt(a->producer_id, MAX(before, other), "sequences begin anew");
    cr_assert_eq(journal_snapshot_end(a->journal, 200), 0);
    before = a->producer_id;
    journal_store_close(store);

    cr_assert_eq(journal_store_open(s.broker, &store, &err), 0, "%s", err.text);
    cr_assert_eq(journal_store_take(store, "a", "p", &a, &err), 0, "%s", err.text);
    cr_expect_eq(a->producer_id, before);
    journal_store_close(store);
    scratch_broker_done(&s);
}

/* -- two connectors that write the same partition -- */

struct pair {
    struct scratch_broker s;
    struct journal_store *store;
    struct stored_journal *a, *b;
    struct partition_log *log; /* shared-0 */
};

static struct journal_partition *shared_topic(struct pair *p, struct stored_journal *stored)
{
    const struct metadata *m = broker_metadata(p->s.broker);
    const struct metadata_topic *topic = metadata_topic(m, SLICE("shared"));
    struct journal_topic *t;

    cr_assert_eq(journal_topic_add(stored->journal, topic->id, SLICE("shared"), 1, &t), 0);
    metadata_unref(m);
    return t->partitions[0];
}

static void record_count(struct stored_journal *stored, struct journal_partition *p)
{
    cr_assert(journal_next(stored->journal, p));
    batch_builder_append(&journal_part_of(p)->builder, 1, SLICE("k"), SLICE("v"), NULL, 0);
}

/* Rows of a transaction that is not at its end: in the log, hidden. */
static void half_transaction(struct stored_journal *stored, struct journal_partition *p, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) record_count(stored, p);
    cr_assert_eq(journal_unit_end(stored->journal,
                                  (struct journal_position){.whole_lsn = 100, .part_lsn = 200, .ordinal = rows}),
                 0);
}

static void pair_new(struct pair *p)
{
    struct err err = ERR_NONE;

    scratch_broker_new(&p->s);
    cr_assert_eq(broker_topic_create(p->s.broker, "shared", 1, NULL, 0, &err), KAFKA_NONE, "%s", err.text);
    p->log = broker_partition(p->s.broker, "shared", 0);
    cr_assert_eq(journal_store_open(p->s.broker, &p->store, &err), 0, "%s", err.text);
    cr_assert_eq(journal_store_take(p->store, "a", "p", &p->a, &err), 0, "%s", err.text);
    cr_assert_eq(journal_store_take(p->store, "b", "p", &p->b, &err), 0, "%s", err.text);
}

static void pair_done(struct pair *p)
{
    partition_log_unref(p->log);
    journal_store_close(p->store);
    scratch_broker_done(&p->s);
}

Test(journal_store, what_one_connector_hides_stays_hidden_when_another_is_recovered_or_reset)
{
    struct pair p;
    struct err err = ERR_NONE;

    pair_new(&p);
    cr_assert_eq(journal_snapshot_end(p.a->journal, 100), 0);
    cr_assert_eq(journal_snapshot_end(p.b->journal, 100), 0);
    shared_topic(&p, p.b);
    half_transaction(p.a, shared_topic(&p, p.a), 3);
    cr_expect_eq(partition_log_marks(p.log).log_end, 3);
    cr_expect_eq(partition_log_marks(p.log).high_watermark, 0);

    cr_assert_eq(journal_store_reload(p.store, p.b, &err), 0, "%s", err.text);
    cr_expect_eq(partition_log_marks(p.log).high_watermark, 0, "a reload shows a half transaction of the other");
    journal_store_give(p.store, p.b);
    cr_assert_eq(journal_store_reset(p.store, "b", "p"), 0);
    cr_expect_eq(partition_log_marks(p.log).high_watermark, 0, "a reset shows a half transaction of the other");

    cr_assert_eq(journal_unit_end(p.a->journal, (struct journal_position){.whole_lsn = 300}), 0);
    cr_expect_eq(partition_log_marks(p.log).high_watermark, 3);
    pair_done(&p);
}

Test(journal_store, a_snapshot_stays_alone_when_another_connector_is_recovered)
{
    struct pair p;
    struct err err = ERR_NONE;

    pair_new(&p);
    cr_assert_eq(journal_snapshot_end(p.b->journal, 100), 0);
    struct journal_partition *of_b = shared_topic(&p, p.b);
    cr_assert_eq(journal_snapshot_begin(p.a->journal), 0);
    struct journal_partition *of_a = shared_topic(&p, p.a);
    record_count(p.a, of_a);
    cr_assert_eq(journal_append(p.a->journal, of_a), 0);

    cr_assert_eq(journal_store_reload(p.store, p.b, &err), 0, "%s", err.text);
    of_b = journal_topic_by_name(p.b->journal, SLICE("shared"))->partitions[0];
    record_count(p.b, of_b);
    cr_expect_eq(journal_append(p.b->journal, of_b), -EAGAIN, "the snapshot could not be taken back any more");
    cr_expect_eq(partition_log_marks(p.log).log_end, 1);
    cr_assert_eq(journal_store_reload(p.store, p.b, &err), 0, "%s", err.text);
    cr_expect_eq(journal_snapshot_begin(p.b->journal), -EAGAIN, "two snapshots into one partition");
    cr_expect_eq(journal_failed(p.b->journal), 0);

    cr_assert_eq(journal_snapshot_abort(p.a->journal), 0);
    cr_expect_eq(partition_log_marks(p.log).log_end, 0);
    cr_expect_eq(journal_snapshot_begin(p.b->journal), 0);
    pair_done(&p);
}
