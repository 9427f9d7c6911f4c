/* The promises of ingest.h that need a broker and a journal, but no database: the changes are logical messages. */
#include "cdc/ingest.h"

#include "protocol/record.h"
#include "tests/unit/broker/scratch_broker.h"
#include "tests/unit/cdc/encode_fixture.h"

#include <errno.h>

struct fixture {
    int catalog_calls;
    struct scratch_broker broker;
    struct pg_connector_config *config;
    struct change_encoder *encoder;
    struct journal_store *store;
    struct stored_journal *stored;
    struct ingest *ingest;
};

/* The database is away whenever the catalog is asked. */
static int no_catalog(void *arg, struct pg_conn **ret_conn, struct pg_error *err)
{
    struct fixture *f = arg;

    f->catalog_calls++;
    *err = (struct pg_error){.retriable = true};
    snprintf(err->text, sizeof err->text, "no database");
    return -ECONNRESET;
}

static void fixture_open(struct fixture *f)
{
    struct err err = ERR_NONE;

    f->encoder = change_encoder_new(f->config, "run");
    f->store = journal_store_open(f->broker.broker);
    cr_assert_eq(journal_store_take(f->store, "unit", "unit", &f->stored, &err), 0, "%s", err.text);
    f->ingest = ingest_new(
        &(struct ingest_env){
            .broker = f->broker.broker, .config = f->config, .encoder = f->encoder, .catalog = no_catalog, .arg = f},
        f->stored);
}

static void fixture_close(struct fixture *f)
{
    ingest_free(f->ingest);
    journal_store_close(f->store);
    change_encoder_free(f->encoder);
}

static void fixture_new_with(struct fixture *f, const char *property)
{
    *f = (struct fixture){.config = test_config((const char *const[]){property, NULL})};
    scratch_broker_new(&f->broker);
    fixture_open(f);
    cr_assert_eq(journal_snapshot_end(f->stored->journal, 100), 0);
    ingest_begin(f->ingest, 1000);
}

static void fixture_new(struct fixture *f, bool metadata)
{
    fixture_new_with(f, metadata ? "provide.transaction.metadata=true" : "a=b");
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

/* Two that are the same in their first 64 bytes are still two. */
Test(ingest, a_replication_origin_is_told_with_its_whole_name)
{
    struct fixture f;
    struct bytes b = {0};
    char name[601], expected[620];

    fixture_new(&f, false);
    send(&f, 0, 0);
    memset(name, 'o', 600);
    name[600] = '\0';
    put(&b, 'O', 1), put(&b, 250, 8);
    bytes_append(&b, name, sizeof name);
    feed(&f, &b, 201);
    send(&f, 1, 1);
    commit(&f);
    snprintf(expected, sizeof expected, "\"%s\" ", name);
    cr_expect_str_eq(seen(&f, "unit.message", "\"origin\":"), expected);
    fixture_done(&f);
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

/* -- tables -- */

/* create table public.NAME(id int primary key) as its Relation message. */
static void relation_bytes(struct bytes *b, uint32_t oid, const char *name)
{
    put(b, 'R', 1), put(b, oid, 4);
    bytes_append(b, "public", 7);
    bytes_append(b, name, (uint32_t)strlen(name) + 1);
    put(b, 'd', 1), put(b, 1, 2), put(b, 1, 1);
    bytes_append(b, "id", 3);
    put(b, 23, 4), put(b, UINT32_MAX, 4);
}

static void describe(struct fixture *f, uint32_t oid, const char *name)
{
    struct bytes b = {0};
    relation_bytes(&b, oid, name);
    feed(f, &b, 0);
}

/* The table's version, in the journal from the beginning. */
static void journal_table(struct fixture *f, uint32_t oid, const char *name)
{
    static const char *const column[RELATION_COLUMN_FIELDS] = {"id", "23", "-1", "t", NULL, "f", "1", "0"};
    struct pgoutput_decoder *decoder = pgoutput_decoder_new();
    struct slice fields[RELATION_COLUMN_FIELDS];
    struct bytes shape = {0}, encoded = {0};
    struct pgoutput_message m;
    struct relation *r;
    struct err err = ERR_NONE;

    relation_bytes(&shape, oid, name);
    cr_assert_eq(pgoutput_decode(decoder, bytes_slice(&shape), &m, &err), 0, "%s", err.text);
    struct relation_builder *b = relation_builder_new_stream(&m.relation);
    for (int i = 0; i < RELATION_COLUMN_FIELDS; i++) fields[i] = slice_of(column[i]);
    cr_assert_eq(relation_builder_add_column(b, fields, &err), 0, "%s", err.text);
    cr_assert_eq(relation_build(b, f->config, &r, &err), 0, "%s", err.text);
    relation_encode(r, &encoded);
    cr_assert_eq(
        journal_relation_add(f->stored->journal, &(struct journal_relation_record){.oid = oid,
                                                                                   .from = {.whole_lsn = 100},
                                                                                   .shape = bytes_slice(&shape),
                                                                                   .resolved = bytes_slice(&encoded)}),
        0);
    relation_free(r);
    relation_builder_free(b);
    pgoutput_decoder_free(decoder);
    bytes_done(&shape);
    bytes_done(&encoded);
}

static void begin_at(struct fixture *f, uint64_t commit_lsn)
{
    struct bytes b = {0};
    put(&b, 'B', 1), put(&b, commit_lsn, 8), put(&b, 5000000, 8), put(&b, 7, 4);
    feed(f, &b, commit_lsn - 50);
}

static void commit_at(struct fixture *f, uint64_t commit_lsn)
{
    struct bytes b = {0};
    put(&b, 'C', 1), put(&b, 0, 1), put(&b, commit_lsn, 8), put(&b, commit_lsn + 10, 8), put(&b, 5000000, 8);
    feed(f, &b, commit_lsn + 10);
    cr_assert_eq(ingest_idle(f->ingest), 0);
}

static int insert_id(struct fixture *f, uint32_t oid, char id, uint64_t lsn)
{
    struct bytes b = {0};
    struct pg_error err;

    put(&b, 'I', 1), put(&b, oid, 4), put(&b, 'N', 1), put(&b, 1, 2);
    put(&b, 't', 1), put(&b, 1, 4), put(&b, (uint8_t)id, 1);
    int r = ingest_message(f->ingest, bytes_slice(&b), lsn, &err);
    bytes_done(&b);
    return r;
}

static int truncate_both(struct fixture *f)
{
    struct bytes b = {0};
    struct pg_error err;

    put(&b, 'T', 1), put(&b, 2, 4), put(&b, 0, 1), put(&b, 1, 4), put(&b, 2, 4);
    int r = ingest_message(f->ingest, bytes_slice(&b), 260, &err);
    bytes_done(&b);
    return r;
}

/* The database may fail between the tables of one TRUNCATE. */
Test(ingest, a_truncate_of_several_tables_is_whole_or_not_there)
{
    struct fixture f;

    fixture_new_with(&f, "skipped.operations=none");
    journal_table(&f, 1, "a");
    for (int i = 0; i < 3; i++) {
        if (i == 2) journal_table(&f, 2, "b");
        begin_at(&f, 300);
        describe(&f, 1, "a");
        describe(&f, 2, "b");
        if (i == 2) break;
        cr_assert_eq(truncate_both(&f), -ECONNRESET);
        cr_assert_eq(journal_failed(f.stored->journal), 0, "nothing of it was counted");
        cr_assert_eq(ingest_cut(f.ingest), 0);
        ingest_begin(f.ingest, 1000);
    }
    cr_assert_eq(truncate_both(&f), 0);
    commit_at(&f, 300);
    cr_expect_str_eq(seen(&f, "unit.public.a", "\"op\":"), "\"t\" ");
    cr_expect_str_eq(seen(&f, "unit.public.b", "\"op\":"), "\"t\" ");
    fixture_done(&f);
}

/* A described table takes its journalled version while replay runs; once that is over the catalog must be asked: its key may have
 * been changed before the stream began, where no message tells of it any more. */
Test(ingest, a_table_described_during_replay_is_resolved_when_replay_is_over)
{
    struct fixture f;

    fixture_new(&f, false); /* rows up to 1000 waited */
    journal_table(&f, 1, "a");
    begin_at(&f, 300);
    describe(&f, 1, "a");
    cr_assert_eq(insert_id(&f, 1, '1', 250), 0);
    commit_at(&f, 300);
    begin_at(&f, 1100);
    cr_assert_eq(insert_id(&f, 1, '2', 1050), 0);
    commit_at(&f, 1100);
    cr_expect_eq(f.catalog_calls, 0);
    begin_at(&f, 1200);
    cr_expect_eq(insert_id(&f, 1, '3', 1150), -ECONNRESET, "the catalog is asked");
    cr_expect_eq(insert_id(&f, 1, '3', 1150), -ECONNRESET, "until it answers");
    cr_expect_eq(f.catalog_calls, 2);
    cr_expect_str_eq(seen(&f, "unit.public.a", "\"id\":"), "1 2 ");
    fixture_done(&f);
}

/* -- deleted topics -- */

static void delete_topic(struct fixture *f, const char *name)
{
    struct err err = ERR_NONE;
    cr_assert_eq(broker_topic_delete(f->broker.broker, name, &err), KAFKA_NONE, "%s", err.text);
}

/* As the session does when the journal has failed. */
static void read_again(struct fixture *f)
{
    struct err err = ERR_NONE;
    cr_assert_neq(journal_failed(f->stored->journal), 0);
    cr_assert_eq(journal_store_reload(f->store, f->stored, &err), 0, "%s", err.text);
    ingest_set_stored(f->ingest, f->stored);
    ingest_begin(f->ingest, 1000);
}

Test(ingest, rows_on_their_way_to_a_deleted_topic_come_into_its_successor)
{
    struct fixture f;

    fixture_new(&f, false);
    send(&f, 0, 2);
    cr_assert_gt(f.stored->io->pending_bytes, 0);
    delete_topic(&f, "unit.message");
    cr_assert_eq(ingest_refresh_topics(f.ingest), -EAGAIN, "%s", ingest_error(f.ingest));
    read_again(&f);
    cr_expect_eq(f.stored->io->pending_bytes, 0);
    send(&f, 0, 3);
    commit(&f);
    cr_expect_str_eq(seen(&f, "unit.message", "\"content\":"), "\"MQ==\" \"Mg==\" \"Mw==\" ");
    cr_expect_eq(f.stored->io->pending_bytes, 0);
    fixture_done(&f);
}

/* What stood in the topic went with it: counted again it would be skipped from its successor's rows. */
Test(ingest, rows_that_went_with_a_deleted_topic_are_not_counted_for_its_successor)
{
    struct fixture f;

    fixture_new(&f, false);
    send(&f, 0, 2);
    struct journal_topic *t = journal_topic_by_name(f.stored->journal, SLICE("unit.message"));
    cr_assert_not_null(t);
    cr_assert_eq(journal_append(f.stored->journal, t->partitions[0]), 0);
    delete_topic(&f, "unit.message");
    cr_assert_eq(ingest_refresh_topics(f.ingest), 0);
    send(&f, 3, 3);
    cr_assert_eq(journal_append(f.stored->journal,
                                journal_topic_by_name(f.stored->journal, SLICE("unit.message"))->partitions[0]),
                 0);
    restart(&f);
    send(&f, 0, 3);
    commit(&f);
    cr_expect_str_eq(seen(&f, "unit.message", "\"content\":"), "\"Mw==\" ");
    fixture_done(&f);
}

/* A sync may learn of it before the topics are looked at. */
Test(ingest, a_deleted_topic_takes_no_rows_with_it_when_a_sync_finds_out_first)
{
    struct fixture f;

    fixture_new(&f, false);
    send(&f, 0, 2);
    struct journal_topic *t = journal_topic_by_name(f.stored->journal, SLICE("unit.message"));
    cr_assert_eq(journal_append(f.stored->journal, t->partitions[0]), 0);
    delete_topic(&f, "unit.message");
    cr_assert_neq(journal_drain(f.stored->journal), 0);
    read_again(&f);
    send(&f, 0, 3);
    commit(&f);
    cr_expect_str_eq(seen(&f, "unit.message", "\"content\":"), "\"MQ==\" \"Mg==\" \"Mw==\" ");
    fixture_done(&f);
}

static uint32_t parts_count(const struct fixture *f)
{
    uint32_t count = 0;
    for (const struct journal_part *p = f->stored->io->parts; p; p = p->next) count++;
    return count;
}

Test(ingest, logs_of_deleted_topics_are_given_back)
{
    struct fixture f;

    fixture_new(&f, false);
    send(&f, 0, 2);
    commit(&f);
    cr_assert_eq(journal_drain(f.stored->journal), 0);
    cr_expect_eq(parts_count(&f), 1);
    delete_topic(&f, "unit.message");
    for (int i = 0; i < 2; i++) cr_assert_eq(ingest_refresh_topics(f.ingest), 0);
    cr_expect_eq(parts_count(&f), 0);
    cr_expect_eq(journal_drain(f.stored->journal), 0);
    fixture_done(&f);
}

/* -- memory -- */

#define SNAPSHOT_PARTITIONS 256
#define SNAPSHOT_ROWS       20000
#define ROW_BYTES           2000

/* A snapshot is one unit, over as many partitions as there are. */
Test(ingest, what_a_snapshot_builds_is_bounded_over_all_partitions)
{
    struct fixture f;
    struct err err = ERR_NONE;
    static char value[ROW_BYTES];
    uint64_t pending_max = 0, memory_max = 0;

    f = (struct fixture){.config = test_config(NULL)};
    scratch_broker_new(&f.broker);
    fixture_open(&f);
    cr_assert_eq(broker_topic_create(f.broker.broker, "many", SNAPSHOT_PARTITIONS, NULL, 0, &err), KAFKA_NONE, "%s",
                 err.text);
    memset(value, 'x', sizeof value);
    cr_assert_eq(journal_snapshot_begin(f.stored->journal), 0);
    for (int i = 0; i < SNAPSHOT_ROWS; i++) {
        struct change_record r = {
            .topic = SLICE("many"), .key = slice_make(&i, sizeof i), .value = slice_make(value, sizeof value)};
        cr_assert_eq(ingest_emit(f.ingest, &r), 0, "%s", ingest_error(f.ingest));
        uint64_t memory = 0;
        pending_max = MAX(pending_max, f.stored->io->pending_bytes);
        if (i % 50) continue;
        for (const struct journal_part *p = f.stored->io->parts; p; p = p->next) memory += p->builder.bytes.size;
        memory_max = MAX(memory_max, memory);
    }
    cr_expect_leq(pending_max, 4 * 1024 * 1024 + ROW_BYTES);
    cr_expect_leq(memory_max, 16 * 1024 * 1024);
    cr_assert_eq(journal_snapshot_end(f.stored->journal, 100), 0);
    fixture_done(&f);
}
