/* Race test of storage: appenders, a CDC writer, readers, waiters, syncs, rolls, retention, compaction and configuration at once,
 * on few partitions with tiny segments and almost no open files. Readers check what they see: dense offsets, whole batches with
 * right checksums, marks in order that never go back, units visible whole. */
#include "base/log.h"
#include "protocol/batch_builder.h"
#include "storage/log_dir.h"
#include "storage/log_internal.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>

#define BATCHES_COUNT 3000 /* per appender */
#define UNITS_COUNT   3000

enum { BOUNDED, STRICT, CDC_A, CDC_B, COMPACTED, LOGS_COUNT };

static struct log_dir *dir;
static struct partition_log *logs[LOGS_COUNT];
static struct log_config configs[LOGS_COUNT];
static atomic_int writers_left;
static atomic_long records_read, wakes, gaps;

static uint8_t *batch_of(int64_t producer_id, int32_t sequence, uint32_t *ret_size)
{
    struct batch_builder builder;
    struct slice bytes;
    struct batch_fields fields = BATCH_FIELDS_PLAIN;
    static const char value[200] = "value";

    batch_builder_init(&builder);
    batch_builder_append(&builder, 1000 + sequence, SLICE("key"), slice_make(value, 20 + (uint32_t)sequence % 150),
                         NULL, 0);
    fields.producer_id = producer_id;
    fields.producer_epoch = 0;
    fields.base_sequence = sequence;
    int r = batch_builder_finish(&builder, &fields, &bytes);
    assert(!r);
    uint8_t *copy = xmalloc(bytes.len);
    memcpy(copy, bytes.ptr, bytes.len);
    *ret_size = bytes.len;
    batch_builder_done(&builder);
    return copy;
}

static void append(struct partition_log *log, enum append_origin origin, int64_t producer_id, int32_t sequence)
{
    uint32_t size;
    uint8_t *bytes = batch_of(producer_id, sequence, &size);
    struct log_append a = {.origin = origin, .batches = bytes, .size = size};
    enum kafka_error error = partition_log_append(log, &a);
    assert(error == KAFKA_NONE && !a.duplicate);
    free(bytes);
}

static void *appender(void *arg)
{
    int64_t id = (int64_t)(uintptr_t)arg;
    for (int32_t i = 0; i < BATCHES_COUNT; i++) append(logs[id % 2 ? BOUNDED : STRICT], APPEND_CLIENT, id, i);
    atomic_fetch_sub(&writers_left, 1);
    return NULL;
}

static void *compacted_appender(void *arg)
{
    for (int32_t i = 0; i < BATCHES_COUNT; i++) append(logs[COMPACTED], APPEND_CLIENT, 99, i);
    atomic_fetch_sub(&writers_left, 1);
    return NULL;
}

static void *cdc_writer(void *arg)
{
    for (int32_t i = 0; i < UNITS_COUNT; i++) {
        append(logs[CDC_A], APPEND_CDC, 77, i);
        append(logs[CDC_B], APPEND_CDC, 77, i);
        struct log_release both[] = {{.log = logs[CDC_A], .hold = LOG_NO_HOLD},
                                     {.log = logs[CDC_B], .hold = LOG_NO_HOLD}};
        partition_log_release(both, 2);
    }
    atomic_fetch_sub(&writers_left, 1);
    return NULL;
}

static void check_marks(struct partition_log *log, struct log_marks *before)
{
    struct log_marks m = partition_log_marks(log);
    assert(m.last_stable <= m.high_watermark && m.high_watermark <= m.log_end);
    assert(m.high_watermark >= before->high_watermark && m.log_start >= before->log_start &&
           m.log_end >= before->log_end);
    *before = m;
}

/* Reads from offset on; returns where to go on. */
static int64_t read_some(struct partition_log *log, int64_t offset)
{
    struct log_read r;
    struct record_batch b;

    enum kafka_error error = partition_log_read(log, offset, 5000, true, READ_COMMITTED, &r);
    if (error == KAFKA_OFFSET_OUT_OF_RANGE) return partition_log_marks(log).log_start;
    assert(error == KAFKA_NONE);
    if (!r.file) return offset;
    uint8_t *bytes = xmalloc(r.length);
    ssize_t n = pread(r.file->fd, bytes, r.length, (off_t)r.position);
    assert(n == (ssize_t)r.length);
    struct slice rest = slice_make(bytes, r.length);
    while (rest.len) {
        enum record_batch_result result = record_batch_next(&rest, &b);
        assert(result == RECORD_BATCH_OK && record_batch_crc_ok(&b) && b.base_offset >= offset);
        assert(b.base_offset == offset || log == logs[COMPACTED]);
        atomic_fetch_add(&gaps, b.base_offset > offset);
        offset = record_batch_next_offset(&b);
        atomic_fetch_add(&records_read, 1);
    }
    assert(offset <= r.marks.last_stable);
    free(bytes);
    log_read_done(&r);
    return offset;
}

static void *reader(void *arg)
{
    int64_t offsets[LOGS_COUNT] = {0};
    struct log_marks before[LOGS_COUNT] = {{0}};
    while (atomic_load(&writers_left)) {
        for (int i = 0; i < LOGS_COUNT; i++) {
            check_marks(logs[i], &before[i]);
            offsets[i] = read_some(logs[i], offsets[i]);
        }
        log_dir_visibility_lock(dir);
        assert(partition_log_marks(logs[CDC_A]).high_watermark == partition_log_marks(logs[CDC_B]).high_watermark);
        log_dir_visibility_unlock(dir);
        int64_t offset, timestamp;
        int32_t epoch;
        enum kafka_error error = partition_log_offset_for_time(logs[BOUNDED], 2000, &offset, &timestamp, &epoch);
        assert(error == KAFKA_NONE);
    }
    return NULL;
}

struct parked {
    struct log_waiter waiter;
    atomic_bool woken;
};

static void unpark(struct log_waiter *w)
{
    atomic_store(&container_of(w, struct parked, waiter)->woken, true);
}

static void *waiter(void *arg)
{
    unsigned seed = 1;
    while (atomic_load(&writers_left)) {
        struct partition_log *log = logs[rand_r(&seed) % LOGS_COUNT];
        struct parked p = {.waiter = {.beyond_offset = partition_log_marks(log).high_watermark,
                                      .isolation = READ_UNCOMMITTED,
                                      .wake = unpark}};
        partition_log_wait(log, &p.waiter);
        for (int i = 0; i < 100 && !atomic_load(&p.woken); i++) usleep(10);
        partition_log_wait_cancel(log, &p.waiter);
        if (atomic_load(&p.woken)) {
            assert(partition_log_marks(log).high_watermark > p.waiter.beyond_offset ||
                   partition_log_marks(log).log_start > 0);
            atomic_fetch_add(&wakes, 1);
        }
    }
    return NULL;
}

static void *syncer(void *arg)
{
    while (atomic_load(&writers_left)) {
        int64_t end = partition_log_marks(logs[STRICT]).log_end;
        int r = partition_log_sync(logs, LOGS_COUNT);
        assert(!r && partition_log_marks(logs[STRICT]).durable_end >= end);
        r = log_dir_write_checkpoints(dir);
        assert(!r);
    }
    return NULL;
}

static void *keeper(void *arg)
{
    unsigned seed = 2;
    int64_t start;
    while (atomic_load(&writers_left)) {
        struct log_marks m = partition_log_marks(logs[BOUNDED]);
        if (m.high_watermark - m.log_start > 500) {
            enum kafka_error error = partition_log_delete_records(logs[BOUNDED], m.log_start + 200, &start);
            assert(error == KAFKA_NONE);
        }
        struct log_config config = configs[BOUNDED];
        config.segment_bytes = 2000 + rand_r(&seed) % 4000;
        partition_log_configure(logs[BOUNDED], &config);
        log_dir_flush_dirty(dir);
        log_dir_check_retention(dir);
        log_dir_expire_producers(dir);
        partition_log_set_trim_limit(logs[STRICT], 1, rand_r(&seed) % 1000);
        usleep(500);
    }
    return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void open_all(const char *path)
{
    struct log_dir_options o;
    struct err err = ERR_NONE;

    log_dir_options_default(&o);
    o.path = path;
    o.open_files_max = 3;
    o.flush_interval_ms = 5;
    o.recovery_point_interval_ms = 20;
    o.cleaner.backoff_ms = 1;
    int r = log_dir_open(&o, &dir, &err);
    for (int i = 0; i < LOGS_COUNT && !r; i++) {
        char topic[] = {(char)('a' + i), '\0'};
        struct uuid id = {{(uint8_t)(i + 1)}};
        log_config_default(&configs[i]);
        configs[i].segment_bytes = 4000;
        configs[i].index_interval_bytes = 300;
        configs[i].file_delete_delay_ms = i;
        configs[i].retention_ms = -1;
        configs[i].message_timestamp_after_max_ms = INT64_MAX;
        configs[i].strict = i == STRICT;
        configs[i].cleanup_compact = i == COMPACTED;
        configs[i].min_cleanable_ratio = 0.1;
        r = log_dir_open_log(dir, topic, 0, id, &configs[i], &logs[i], &err);
    }
    if (r) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    log_dir_serve(dir); /* the cleaner waits for it */
}

static void close_all(void)
{
    for (int i = 0; i < LOGS_COUNT; i++) partition_log_unref(logs[i]);
    log_dir_close(dir);
}

int main(void)
{
    void *(*const roles[])(void *) = {appender, appender, appender, appender, cdc_writer, compacted_appender,
                                      reader,   reader,   waiter,   syncer,   keeper};
    char path[] = "/tmp/ottla-race-XXXXXX";
    pthread_t threads[countof(roles)];
    int64_t ends[LOGS_COUNT];

    log_level_max = LOG_WARN;
    if (!mkdtemp(path)) return 1;
    open_all(path);
    atomic_store(&writers_left, 6);
    for (uintptr_t i = 0; i < countof(roles); i++) pthread_create(&threads[i], NULL, roles[i], (void *)(i + 1));
    for (uint32_t i = 0; i < countof(roles); i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < LOGS_COUNT; i++) ends[i] = partition_log_marks(logs[i]).log_end;
    assert(ends[BOUNDED] == 2 * BATCHES_COUNT && ends[STRICT] == 2 * BATCHES_COUNT && ends[CDC_A] == UNITS_COUNT);
    assert(atomic_load(&logs[COMPACTED]->clean_end) > 0);
    close_all();
    open_all(path);
    for (int i = 0; i < LOGS_COUNT; i++) {
        struct log_marks m = partition_log_marks(logs[i]);
        int64_t offset = m.log_start;
        assert(m.log_end == ends[i] && m.high_watermark == m.log_end);
        while (offset < m.log_end) offset = read_some(logs[i], offset);
    }
    close_all();
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    printf("%ld records read, %ld wakes, %ld gaps\n", atomic_load(&records_read), atomic_load(&wakes),
           atomic_load(&gaps));
    return 0;
}
