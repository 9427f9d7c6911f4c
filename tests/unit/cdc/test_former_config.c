/* The promises of former_config.h. */
#include "cdc/former_config.h"

#include "cdc/journal_store.h"
#include "tests/unit/broker/scratch_broker.h"
#include "tests/unit/cdc/encode_fixture.h"

#include <errno.h>

static struct pg_connector_config *found(struct journal *j, const struct pg_connector_config *posted)
{
    struct pg_connector_config *c = NULL;
    int r = former_config_find(j, posted, &c);
    cr_assert(r == 0 || r == -ENOENT);
    return c;
}

/* The position's configuration for what decides the records, the posted one for the rest, over a restart. */
Test(former_config, a_replay_finds_the_configuration_that_it_was_begun_with)
{
    struct pg_connector_config *a = test_config((const char *const[]){
        "decimal.handling.mode=string", "max.queue.size=10", "database.password=old", "unknown.empty=", NULL});
    struct pg_connector_config *b = test_config(
        (const char *const[]){"decimal.handling.mode=double", "max.queue.size=20", "database.password=new", NULL});
    struct scratch_broker s;
    struct journal_store *store;
    struct stored_journal *stored;
    struct err err = ERR_NONE;

    scratch_broker_new(&s);
    store = journal_store_open(s.broker);
    cr_assert_eq(journal_store_take(store, "unit", "unit", &stored, &err), 0, "%s", err.text);
    cr_assert_eq(journal_config_change(stored->journal, connector_config_output_hash(a)), 0);
    cr_expect_null(found(stored->journal, b), "a journal from before it was kept");
    for (int i = 0; i < 2; i++) cr_assert_eq(former_config_remember(stored->journal, a), 0);
    cr_assert_eq(journal_snapshot_end(stored->journal, 100), 0);
    journal_store_close(store);

    store = journal_store_open(s.broker);
    cr_assert_eq(journal_store_take(store, "unit", "unit", &stored, &err), 0, "%s", err.text);
    struct pg_connector_config *former = found(stored->journal, b);
    cr_assert_not_null(former);
    cr_expect_eq(former->decimal_mode, DECIMAL_STRING);
    cr_expect_eq(connector_config_output_hash(former), connector_config_output_hash(a));
    cr_expect_str_eq(former->password, "new");
    cr_expect_str_eq(former->name, "unit");
    connector_config_free(former);

    /* There and back again: the newest is the one that applies. */
    for (int i = 0; i < 3; i++) {
        struct pg_connector_config *now = i % 2 ? a : b, *other = i % 2 ? b : a;
        cr_assert_eq(journal_snapshot_end(stored->journal, 200 + (uint64_t)i), 0);
        cr_assert_eq(journal_config_change(stored->journal, connector_config_output_hash(now)), 0);
        cr_assert_eq(former_config_remember(stored->journal, now), 0);
        former = found(stored->journal, other);
        cr_assert_not_null(former);
        cr_expect_eq(former->decimal_mode, now->decimal_mode);
        connector_config_free(former);
    }
    journal_store_close(store);
    scratch_broker_done(&s);
    connector_config_free(a);
    connector_config_free(b);
}
