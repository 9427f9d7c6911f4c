/* The promises of journal_store.h that need a broker. */
#include "cdc/journal_store.h"

#include "storage/io.h"
#include "storage/log_internal.h"
#include "tests/unit/broker/scratch_broker.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

/* What a log knows of other producers expires after a day, and with it what a connector's recovery counts on. */
Test(journal_store, every_journal_writes_with_an_id_of_its_own_that_never_expires)
{
    struct scratch_broker s;
    struct journal_store *store;
    struct stored_journal *a, *b;
    struct err err = ERR_NONE;

    scratch_broker_new(&s);
    store = journal_store_open(s.broker);
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

    store = journal_store_open(s.broker);
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
    p->store = journal_store_open(p->s.broker);
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

/* The list of partitions is looked at from the newest on: the private one comes before the one that is refused. */
Test(journal_store, a_refused_snapshot_leaves_the_journal_as_it_was)
{
    struct pair p;
    struct err err = ERR_NONE;
    struct journal_topic *t;

    pair_new(&p);
    cr_assert_eq(broker_topic_create(p.s.broker, "private", 1, NULL, 0, &err), KAFKA_NONE, "%s", err.text);
    shared_topic(&p, p.b);
    const struct metadata *m = broker_metadata(p.s.broker);
    cr_assert_eq(journal_topic_add(p.b->journal, metadata_topic(m, SLICE("private"))->id, SLICE("private"), 1, &t), 0);
    metadata_unref(m);
    shared_topic(&p, p.a);
    cr_assert_eq(journal_snapshot_begin(p.a->journal), 0);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(journal_snapshot_begin(p.b->journal), -EAGAIN, "two snapshots into one partition");
        cr_expect_eq(journal_snapshot_abort(p.b->journal), 0);
        cr_expect_eq(journal_failed(p.b->journal), 0);
    }
    cr_assert_eq(journal_snapshot_abort(p.a->journal), 0);
    cr_expect_eq(journal_snapshot_begin(p.b->journal), 0);
    pair_done(&p);
}

/* -- a data log that cannot be read -- */

static atomic_int shared_reads;
static atomic_bool shared_fails;

static ssize_t read_shared(int fd, void *bytes, size_t size, uint64_t position)
{
    char link[40], path[300];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[MAX(n, 0)] = '\0';
    if (!strstr(path, "/shared-0/")) return io_posix.pread(fd, bytes, size, position);
    atomic_fetch_add(&shared_reads, 1);
    return atomic_load(&shared_fails) ? -EIO : io_posix.pread(fd, bytes, size, position);
}

static void watch_shared(struct pair *p)
{
    static struct io_ops io;

    io = io_posix;
    io.pread = read_shared;
    p->log->dir->io = &io;
}

Test(journal_store, a_half_transaction_stays_hidden_when_its_log_cannot_be_read)
{
    struct pair p;
    struct err err = ERR_NONE;

    pair_new(&p);
    watch_shared(&p);
    cr_assert_eq(journal_snapshot_end(p.a->journal, 100), 0);
    half_transaction(p.a, shared_topic(&p, p.a), 3);

    atomic_store(&shared_fails, true);
    cr_expect_eq(journal_store_reload(p.store, p.a, &err), -EIO);
    cr_expect_gt(atomic_load(&shared_reads), 0);
    cr_expect(strstr(err.text, "shared-0"), "%s", err.text);
    cr_expect_eq(partition_log_marks(p.log).high_watermark, 0, "half a transaction is shown");

    atomic_store(&shared_fails, false);
    cr_assert_eq(journal_store_reload(p.store, p.a, &err), 0, "%s", err.text);
    cr_expect_eq(partition_log_marks(p.log).high_watermark, 0);
    cr_assert_eq(journal_unit_end(p.a->journal, (struct journal_position){.whole_lsn = 300}), 0);
    cr_expect_eq(partition_log_marks(p.log).high_watermark, 3);
    pair_done(&p);
}

Test(journal_store, a_snapshot_whose_log_cannot_be_read_is_not_called_taken_back)
{
    struct pair p;
    struct err err = ERR_NONE;

    pair_new(&p);
    watch_shared(&p);
    cr_assert_eq(journal_snapshot_begin(p.a->journal), 0);
    struct journal_partition *part = shared_topic(&p, p.a);
    record_count(p.a, part);
    cr_assert_eq(journal_append(p.a->journal, part), 0);

    atomic_store(&shared_fails, true);
    cr_expect_eq(journal_snapshot_abort(p.a->journal), -EIO);
    cr_expect_eq(journal_failed(p.a->journal), -EIO);
    cr_expect_eq(partition_log_marks(p.log).high_watermark, 0);

    atomic_store(&shared_fails, false);
    cr_assert_eq(journal_store_reload(p.store, p.a, &err), 0, "%s", err.text);
    cr_expect_eq(partition_log_marks(p.log).log_end, 0);
    pair_done(&p);
}

/* It would hold up everybody else who appends or reads there. */
Test(journal_store, nothing_is_read_from_a_log_to_show_what_stands_in_it)
{
    struct pair p;

    pair_new(&p);
    watch_shared(&p);
    cr_assert_eq(journal_snapshot_end(p.a->journal, 100), 0);
    struct journal_partition *part = shared_topic(&p, p.a);
    journal_set_strict(p.a->journal, true);
    half_transaction(p.a, part, 3);
    cr_assert_eq(journal_unit_end(p.a->journal, (struct journal_position){.whole_lsn = 300}), 0);
    cr_expect_eq(partition_log_marks(p.log).high_watermark, 0, "strict");
    cr_assert_eq(journal_round(p.a->journal), 0);
    half_transaction(p.a, part, 2); /* while the round runs */
    cr_assert_eq(journal_drain(p.a->journal), 0);
    cr_expect_eq(partition_log_marks(p.log).high_watermark, 3);
    cr_expect_eq(atomic_load(&shared_reads), 0);
    pair_done(&p);
}

/* -- damage -- */

struct damaged {
    struct scratch_broker s;
    struct journal_store *store;
    char path[128]; /* of the journal's file */
};

static struct stored_journal *take(struct damaged *d, const char *name, struct err *err)
{
    struct stored_journal *stored;

    *err = ERR_NONE;
    return journal_store_take(d->store, name, "p", &stored, err) < 0 ? NULL : stored;
}

static void stop(struct damaged *d)
{
    journal_store_close(d->store);
    scratch_broker_close(&d->s);
}

static void end(struct damaged *d)
{
    stop(d);
    nftw(d->s.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void start(struct damaged *d)
{
    scratch_broker_open(&d->s);
    d->store = journal_store_open(d->s.broker);
}

/* Journals of a and b, each with a position; then one of c. Stopped. Returns where the file ended before c. */
static uint64_t damaged_new(struct damaged *d)
{
    struct err err;

    scratch_broker_new(&d->s);
    d->store = journal_store_open(d->s.broker);
    for (const char *name = "ab"; *name; name++) {
        struct stored_journal *stored = take(d, (char[]){*name, '\0'}, &err);
        cr_assert_eq(journal_snapshot_end(stored->journal, 100), 0);
    }
    snprintf(d->path, sizeof d->path, "%s/__ottla_cdc-0/00000000000000000000.log", d->s.path);
    uint64_t end = partition_log_size(journal_store_log(d->store)); /* the file is longer: blocks are reserved */
    cr_assert_eq(journal_snapshot_end(take(d, "c", &err)->journal, 100), 0);
    stop(d);
    return end;
}

static void flip(long at, const struct damaged *d)
{
    FILE *f = fopen(d->path, "r+");
    cr_assert_eq(fseek(f, at, SEEK_SET), 0);
    int c = fgetc(f);
    cr_assert_eq(fseek(f, at, SEEK_SET), 0);
    cr_assert_neq(fputc(c ^ 0x10, f), EOF);
    fclose(f);
}

Test(journal_store, damage_fails_the_connectors_that_it_may_concern_until_they_are_reset)
{
    struct damaged d;
    struct err err;

    flip((long)damaged_new(&d) - 3, &d); /* inside b's last record */
    start(&d);
    cr_expect_null(take(&d, "a", &err), "the record may have been a's");
    cr_expect(strstr(err.text, d.path) && strstr(err.text, " at byte "), "%s", err.text);
    cr_expect(strstr(err.text, "connector a") && strstr(err.text, "delete its offsets"), "%s", err.text);
    cr_expect_null(take(&d, "b", &err));
    cr_expect_not_null(take(&d, "c", &err), "it began behind: %s", err.text);
    cr_expect_not_null(take(&d, "new", &err), "%s", err.text);
    cr_expect_eq(journal_store_reset(d.store, "a", "p"), 0);
    struct stored_journal *a = take(&d, "a", &err);
    cr_assert_not_null(a, "%s", err.text);
    cr_expect_not(journal_has_position(a->journal));
    cr_assert_eq(journal_snapshot_end(a->journal, 200), 0);
    stop(&d);

    start(&d);
    cr_assert_not_null(a = take(&d, "a", &err), "%s", err.text);
    cr_expect_eq(journal_position(a->journal).whole_lsn, 200);
    cr_expect_null(take(&d, "b", &err));
    cr_expect_not_null(take(&d, "c", &err), "%s", err.text);
    end(&d);
}

Test(journal_store, when_the_rest_cannot_be_found_no_connector_starts_and_the_broker_serves)
{
    struct damaged d;
    struct err err;

    damaged_new(&d);
    flip(9, &d); /* the length of the first batch */
    start(&d);
    cr_expect_null(take(&d, "a", &err));
    cr_expect(strstr(err.text, "__ottla_cdc-0/00000000000000000000.log") && strstr(err.text, "move the folder"), "%s",
              err.text);
    cr_expect_null(take(&d, "new", &err), "it may stand behind");
    cr_expect_eq(broker_topic_create(d.s.broker, "t", 1, NULL, 0, &err), KAFKA_NONE, "%s", err.text);
    end(&d);
}

Test(journal_store, a_journal_that_is_offline_fails_the_connectors_and_says_where)
{
    struct damaged d;
    struct err err;

    damaged_new(&d);
    cr_assert_eq(truncate(d.path, 100), 0);
    start(&d);
    cr_expect_null(take(&d, "a", &err));
    cr_expect(strstr(err.text, "00000000000000000000.log") && strstr(err.text, "byte"), "%s", err.text);
    cr_expect_null(take(&d, "new", &err));
    cr_expect_eq(broker_topic_create(d.s.broker, "t", 1, NULL, 0, &err), KAFKA_NONE, "%s", err.text);
    end(&d);
}

/* -- copied forward by another connector's thread -- */

#define RECORDS_WANTED 17000 /* more than the log keeps before it copies journals that rest */
#define COPIES         4

struct taking {
    struct journal_store *store;
    atomic_bool ended;
    int failed;
    uint32_t taken;
};

static void *take_and_give(void *arg)
{
    struct taking *t = arg;

    while (!atomic_load(&t->ended)) {
        struct stored_journal *stored;
        struct err err;
        int r = journal_store_take(t->store, "rests", "p", &stored, &err);
        if (r < 0 && !t->failed) t->failed = r;
        if (r < 0) continue;
        journal_store_give(t->store, stored);
        t->taken++;
    }
    return NULL;
}

Test(journal_store, a_journal_that_is_copied_forward_is_waited_for)
{
    struct scratch_broker s;
    struct stored_journal *runs, *rests;
    struct err err;
    pthread_t thread;
    int64_t offset = 0;
    uint8_t key[JOURNAL_KEY_BYTES];

    scratch_broker_new(&s);
    struct taking t = {.store = journal_store_open(s.broker)};
    cr_assert_eq(journal_store_take(t.store, "runs", "p", &runs, &err), 0);
    cr_assert_eq(journal_store_take(t.store, "rests", "p", &rests, &err), 0);
    cr_assert_eq(journal_snapshot_end(rests->journal, 100), 0);
    journal_store_give(t.store, rests);
    journal_key_write(key, JOURNAL_UNIT, 99); /* of nobody */
    for (int i = 0; i < COPIES; i++) {
        for (int k = 0; k < RECORDS_WANTED; k++)
            cr_assert_eq(journal_store_write(t.store, slice_make(key, sizeof key), SLICE("v"), &offset), 0);
        int64_t before = rests->needs_offset;
        atomic_store(&t.ended, false);
        cr_assert_eq(pthread_create(&thread, NULL, take_and_give, &t), 0);
        while (rests->needs_offset == before) journal_store_drop(t.store, runs, offset);
        atomic_store(&t.ended, true);
        pthread_join(thread, NULL);
        cr_expect_eq(t.failed, 0, "%s", strerror(-t.failed));
    }
    journal_store_close(t.store);
    scratch_broker_done(&s);
}

static void write_of_nobody(struct journal_store *store, int records, int64_t *ret_offset)
{
    uint8_t key[JOURNAL_KEY_BYTES];

    journal_key_write(key, JOURNAL_UNIT, 99);
    for (int i = 0; i < records; i++)
        cr_assert_eq(journal_store_write(store, slice_make(key, sizeof key), SLICE("v"), ret_offset), 0);
}

Test(journal_store, one_that_cannot_be_copied_forward_does_not_keep_others_from_it)
{
    struct pair p;
    struct stored_journal *runs;
    struct err err = ERR_NONE;
    int64_t offset = 0;

    pair_new(&p);
    cr_assert_eq(journal_snapshot_end(p.a->journal, 100), 0);
    cr_assert_eq(journal_snapshot_end(p.b->journal, 100), 0);
    half_transaction(p.b, shared_topic(&p, p.b), 3);
    journal_store_give(p.store, p.a);
    journal_store_give(p.store, p.b);
    cr_assert_eq(journal_store_take(p.store, "runs", "p", &runs, &err), 0);
    write_of_nobody(p.store, RECORDS_WANTED, &offset);
    int64_t a_before = p.a->needs_offset, b_before = p.b->needs_offset;

    journal_store_drop(p.store, runs, offset);
    cr_expect_gt(p.a->needs_offset, a_before);
    cr_expect_eq(p.b->needs_offset, b_before, "half a transaction stands in no full record");
    cr_expect_eq(p.a->failed, 0);
    cr_expect_eq(p.b->failed, 0);
    pair_done(&p);
}

/* -- what nobody needs any more -- */

/* Connectors come and go: what is kept of them must not grow with every name that was ever used. */
Test(journal_store, a_connector_whose_offsets_were_deleted_leaves_nothing_behind)
{
    struct pair p;
    struct stored_journal *runs;
    struct err err = ERR_NONE;
    uint64_t lsn;
    struct source_offset mark;
    int64_t offset = 0;

    pair_new(&p);
    cr_assert_eq(journal_snapshot_end(p.a->journal, 100), 0);
    half_transaction(p.a, shared_topic(&p, p.a), 3);
    int64_t producer_id = p.a->producer_id;
    journal_store_give(p.store, p.a);
    journal_store_give(p.store, p.b); /* it never had a position: a try that failed */
    cr_assert_eq(journal_store_reset(p.store, "a", "p"), 0);
    cr_expect_eq(partition_log_marks(p.log).high_watermark, 3, "what was held is shown");
    cr_expect_eq(journal_store_reset(p.store, "a", "p"), -ENOENT);
    cr_expect_not(journal_store_position(p.store, "a", "p", &lsn, &mark));

    cr_assert_eq(journal_store_take(p.store, "runs", "p", &runs, &err), 0);
    cr_assert_eq(journal_snapshot_end(runs->journal, 100), 0);
    write_of_nobody(p.store, RECORDS_WANTED, &offset);
    cr_assert_eq(journal_checkpoint(runs->journal), 0);
    cr_assert_eq(journal_drain(runs->journal), 0);
    cr_expect_eq(partition_log_marks(journal_store_log(p.store)).log_start, runs->needs_offset,
                 "one that has nothing to tell keeps the journal long");
    journal_store_close(p.store);

    p.store = journal_store_open(p.s.broker);
    cr_expect_eq(journal_store_reset(p.store, "a", "p"), -ENOENT);
    cr_assert_eq(journal_store_take(p.store, "a", "p", &p.a, &err), 0, "%s", err.text);
    cr_expect_not(journal_has_position(p.a->journal));
    cr_expect_gt(p.a->producer_id, producer_id, "sequences begin anew");
    struct journal_partition *part = shared_topic(&p, p.a);
    cr_expect_eq(part->skip, 0u);
    cr_assert_eq(journal_store_take(p.store, "b", "p", &p.b, &err), 0, "%s", err.text);
    pair_done(&p);
}

/* The records of what was forgotten may stand in the log for long: after a restart, and behind a torn record. */
Test(journal_store, what_was_forgotten_stays_forgotten_when_the_log_is_read_again)
{
    struct pair p;
    struct err err = ERR_NONE;

    pair_new(&p);
    cr_assert_eq(journal_snapshot_end(p.a->journal, 100), 0);
    cr_assert_eq(journal_snapshot_end(p.b->journal, 100), 0);
    half_transaction(p.a, shared_topic(&p, p.a), 3);
    int32_t number = p.a->number;
    journal_store_give(p.store, p.a);
    cr_assert_eq(journal_store_reset(p.store, "a", "p"), 0);
    cr_assert_eq(journal_store_take(p.store, "a", "p", &p.a, &err), 0, "%s", err.text);
    cr_expect_neq(p.a->number, number);
    cr_assert_eq(journal_snapshot_end(p.a->journal, 200), 0);
    number = p.a->number;
    journal_store_close(p.store);

    p.store = journal_store_open(p.s.broker);
    cr_expect_eq(partition_log_marks(p.log).high_watermark, 3, "the half transaction is held again");
    cr_assert_eq(journal_store_take(p.store, "a", "p", &p.a, &err), 0, "%s", err.text);
    cr_expect_eq(p.a->number, number);
    cr_expect_eq(journal_position(p.a->journal).whole_lsn, 200u);
    cr_assert_eq(journal_store_reload(p.store, p.a, &err), 0, "%s", err.text);
    cr_expect_eq(journal_position(p.a->journal).whole_lsn, 200u);
    cr_assert_eq(journal_store_take(p.store, "b", "p", &p.b, &err), 0, "%s", err.text);
    cr_expect_eq(journal_position(p.b->journal).whole_lsn, 100u);
    pair_done(&p);
}

/* Its position counts from its new beginning on, though nothing was copied forward since. */
Test(journal_store, a_connector_that_begins_anew_needs_nothing_of_before)
{
    struct pair p;
    struct err err = ERR_NONE;

    pair_new(&p);
    cr_assert_eq(journal_snapshot_end(p.a->journal, 100), 0);
    int64_t before = partition_log_marks(journal_store_log(p.store)).log_end;
    cr_assert_eq(journal_store_begin_anew(p.store, p.a, &err), 0, "%s", err.text);
    cr_expect_geq(p.a->needs_offset, before);
    pair_done(&p);
}
