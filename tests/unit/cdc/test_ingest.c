/* The promises of ingest.h that need a broker and a journal, but no database: the changes are logical messages. */
#include "cdc/ingest.h"

#include "protocol/record.h"
#include "tests/unit/broker/scratch_broker.h"
#include "tests/unit/cdc/encode_fixture.h"

struct fixture {
    struct scratch_broker broker;
    struct pg_connector_config *config;
    struct change_encoder *encoder;
    struct journal_store *store;
    struct stored_journal *stored;
    struct ingest *ingest;
};

static void fixture_open(struct fixture *f)
{
    struct err err = ERR_NONE;

    f->encoder = change_encoder_new(f->config, "run");
    cr_assert_eq(journal_store_open(f->broker.broker, &f->store, &err), 0, "%s", err.text);
    cr_assert_eq(journal_store_take(f->store, "unit", "unit", &f->stored, &err), 0, "%s", err.text);
    f->ingest = ingest_new(&(struct ingest_env){.broker = f->broker.broker, .config = f->config, .encoder = f->encoder},
                           f->stored);
}

static void fixture_close(struct fixture *f)
{
    ingest_free(f->ingest);
    journal_store_close(f->store);
    change_encoder_free(f->encoder);
}

static void fixture_new(struct fixture *f, bool metadata)
{
    *f = (struct fixture){
        .config = test_config((const char *const[]){metadata ? "provide.transaction.metadata=true" : "a=b", NULL})};
    scratch_broker_new(&f->broker);
    fixture_open(f);
    cr_assert_eq(journal_snapshot_end(f->stored->journal, 100), 0);
    ingest_begin(f->ingest, 1000);
}

static void fixture_done(struct fixture *f)
{
    fixture_close(f);
    connector_config_free(f->config);
    scratch_broker_done(&f->broker);
}

/* The journal as after kill -9: what is on disk, and the stream from its position. */
static void restart(struct fixture *f)
{
    fixture_close(f);
    fixture_open(f);
    ingest_begin(f->ingest, 1000);
}

static void put(struct bytes *b, uint64_t v, int size)
{
    while (size--) bytes_append_byte(b, (uint8_t)(v >> (8 * size)));
}

static void feed(struct fixture *f, struct bytes *b, uint64_t lsn)
{
    struct pg_error err;
    cr_assert_eq(ingest_message(f->ingest, bytes_slice(b), lsn, &err), 0, "%s", err.text);
    bytes_done(b);
}

/* The transaction 7, committed at 300 to 310, from its change `from` to `to`; 0: Begin. Every change is a message. */
static void send(struct fixture *f, int from, int to)
{
    for (int i = from; i <= to; i++) {
        struct bytes b = {0};
        bytes_append_byte(&b, i == 0 ? 'B' : 'M');
        if (i == 0) {
            put(&b, 300, 8), put(&b, 5000000, 8), put(&b, 7, 4);
        } else {
            put(&b, 1, 1), put(&b, 200 + (uint64_t)i, 8);
            bytes_append(&b, "p", 2);
            put(&b, 1, 4), put(&b, '0' + (uint64_t)i, 1);
        }
        feed(f, &b, 200 + (uint64_t)i);
    }
}

static void commit(struct fixture *f)
{
    struct bytes b = {0};
    put(&b, 'C', 1), put(&b, 0, 1), put(&b, 300, 8), put(&b, 310, 8), put(&b, 5000000, 8);
    feed(f, &b, 310);
    cr_assert_eq(ingest_idle(f->ingest), 0);
}

/* What readers see of a topic: from each value what stands behind `word`, up to the next of `,}`; blanks between. */
static const char *seen(struct fixture *f, const char *topic, const char *word)
{
    static char text[1000];
    struct partition_log *log = broker_partition(f->broker.broker, topic, 0);
    struct bytes scratch = {0};
    struct slice batches;
    struct record_batch b;
    struct record record;

    text[0] = '\0';
    if (!log) return text;
    struct broker_reader *reader = broker_reader_new(f->broker.broker, log, 0, READ_UNCOMMITTED);
    while (broker_reader_next(reader, 1 << 20, 0, &batches) == KAFKA_NONE && batches.len > 0) {
        while (batches.len > 0) {
            struct record_reader records;
            cr_assert_eq(record_batch_next(&batches, &b), RECORD_BATCH_OK);
            cr_assert_eq(record_reader_open(&records, &b, 1 << 20, &scratch), 0);
            while (record_reader_next(&records, &record) > 0) {
                AUTO_FREE char *value = slice_strdup(record.value);
                const char *at = strstr(value, word);
                if (at) strncat(text, at + strlen(word), strcspn(at + strlen(word), ",}"));
                strcat(text, " ");
            }
        }
    }
    bytes_done(&scratch);
    broker_reader_free(reader);
    partition_log_unref(log);
    return text;
}

/* A part of a transaction is in the journal; whatever ends the stream before it came again must not call it whole. */
Test(ingest, a_cut_transaction_stays_cut_until_it_was_read_again)
{
    struct fixture f;

    for (int metadata = 0; metadata < 2; metadata++) {
        fixture_new(&f, metadata);
        send(&f, 0, 2);
        cr_assert_eq(ingest_cut(f.ingest), 0);
        cr_expect_eq(journal_position(f.stored->journal).part_lsn, 300);
        for (int i = 0; i < 2; i++) {
            restart(&f);
            cr_assert_eq(ingest_cut(f.ingest), 0);
            cr_expect_eq(journal_position(f.stored->journal).part_lsn, 300);
            cr_expect_str_eq(seen(&f, "unit.message", "\"content\":"), "", "half a transaction is shown");
        }
        send(&f, 0, 3);
        commit(&f);
        cr_expect_str_eq(seen(&f, "unit.message", "\"content\":"), "\"MQ==\" \"Mg==\" \"Mw==\" ");
        fixture_done(&f);
    }
}

/* .. also when no change of it is left to be counted. */
Test(ingest, a_transaction_whose_changes_were_all_counted_in_parts_is_shown_at_its_commit)
{
    struct fixture f;

    fixture_new(&f, false);
    send(&f, 0, 2);
    cr_assert_eq(ingest_cut(f.ingest), 0);
    cr_expect_str_eq(seen(&f, "unit.message", "\"content\":"), "");
    commit(&f);
    cr_expect_str_eq(seen(&f, "unit.message", "\"content\":"), "\"MQ==\" \"Mg==\" ");
    cr_expect_eq(journal_position(f.stored->journal).part_lsn, 0);
    cr_expect_eq(journal_position(f.stored->journal).whole_lsn, 310);
    fixture_done(&f);
}

/* Wherever a transaction is cut: its begin, its end and every event come once, with the numbers that they would have had. */
Test(ingest, transaction_metadata_counts_on_where_a_cut_transaction_is_read_again)
{
    struct fixture f;

    for (int cut = 0; cut <= 3; cut++) {
        fixture_new(&f, true);
        send(&f, 0, cut);
        cr_assert_eq(ingest_cut(f.ingest), 0);
        restart(&f);
        send(&f, 0, 3);
        commit(&f);
        cr_expect_str_eq(seen(&f, "unit.message", "\"total_order\":"), "1 2 3 ", "cut at %d", cut);
        cr_expect_str_eq(seen(&f, "unit.message", "\"transaction\":{\"id\":"), "\"7:201\" \"7:202\" \"7:203\" ");
        cr_expect_str_eq(seen(&f, "unit.transaction", "\"status\":"), "\"BEGIN\" \"END\" ");
        cr_expect_str_eq(seen(&f, "unit.transaction", "\"id\":"), "\"7:200\" \"7:310\" ");
        cr_expect_str_eq(seen(&f, "unit.transaction", ",\"event_count\":"), "null 3 ");
        cr_expect_str_eq(seen(&f, "unit.transaction", "\"data_collections\":"),
                         "null [{\"data_collection\":\"message\" ");
        /* Read once more, all of it is done. */
        restart(&f);
        send(&f, 0, 3);
        commit(&f);
        cr_expect_str_eq(seen(&f, "unit.transaction", "\"status\":"), "\"BEGIN\" \"END\" ");
        cr_expect_str_eq(seen(&f, "unit.message", "\"total_order\":"), "1 2 3 ");
        fixture_done(&f);
    }
}
