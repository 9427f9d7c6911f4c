/* The promises of journal_store.h that need a broker. */
#include "cdc/journal_store.h"

#include "storage/partition_log.h"
#include "tests/unit/broker/scratch_broker.h"

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
