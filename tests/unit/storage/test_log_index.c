/* Indexes against a model: whatever the batches, every offset and time is found, by the live log and after restarts. */
#include "tests/unit/storage/scratch.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define RECORDS_MAX 4000

struct model {
    int64_t base[RECORDS_MAX]; /* of the batch that holds the offset */
    int64_t timestamp[RECORDS_MAX];
    int64_t count;
};

static void append_random(struct scratch *s, struct model *m, uint64_t *seed, int batches)
{
    for (int i = 0; i < batches; i++) {
        struct log_append a;
        struct batch_spec spec = {.count = (int32_t)(1 + scratch_random(seed) % 12),
                                  .value_bytes = 1 + scratch_random(seed) % 900,
                                  .codec = (enum compression_codec)(scratch_random(seed) % 5),
                                  .timestamp_ms = 10000 + m->count + scratch_random(seed) % 400};
        cr_assert_eq(scratch_append(s->log, APPEND_CLIENT, &spec, &a), KAFKA_NONE);
        cr_assert_eq(a.base_offset, m->count);
        for (int32_t j = 0; j < spec.count; j++) {
            m->base[m->count] = a.base_offset;
            m->timestamp[m->count++] = spec.timestamp_ms + j;
        }
    }
}

static void check(struct scratch *s, const struct model *m)
{
    struct log_read r;
    int64_t offset, timestamp, max = 0;
    int32_t epoch;

    for (int64_t i = 0; i < m->count; i++) {
        cr_assert_eq(partition_log_read(s->log, i, 1, true, READ_UNCOMMITTED, &r), KAFKA_NONE);
        cr_assert_eq(r.base_offset, m->base[i]);
        log_read_done(&r);
        if (m->timestamp[i] > m->timestamp[max]) max = i;
    }
    for (int64_t t = 9990; t < 10000 + m->count + 420; t += 13) {
        int64_t want = 0;
        while (want < m->count && m->timestamp[want] < t) want++;
        cr_assert_eq(partition_log_offset_for_time(s->log, t, &offset, &timestamp, &epoch), KAFKA_NONE);
        cr_assert_eq(offset, want < m->count ? want : -1, "time %ld: %ld, not %ld", (long)t, (long)offset, (long)want);
        if (want < m->count) cr_assert_eq(timestamp, m->timestamp[want]);
    }
    cr_assert_eq(partition_log_max_timestamp(s->log, &offset, &timestamp, &epoch), KAFKA_NONE);
    cr_assert_eq(timestamp, m->timestamp[max]);
    cr_assert_eq(offset, max);
}

Test(log_index, every_offset_and_every_time_is_found)
{
    static struct model m;
    struct scratch s;
    uint64_t seed = 0x9e3779b97f4a7c15;
    scratch_init(&s);
    s.config.segment_bytes = 30000;
    s.config.index_interval_bytes = 700;
    s.options.open_files_max = 3;
    scratch_open(&s);
    for (int round = 0; round < 4; round++) {
        append_random(&s, &m, &seed, 100);
        check(&s, &m);
        if (round % 2) scratch_close(&s);
        else scratch_kill(&s);
        scratch_open(&s);
        check(&s, &m);
    }
    cr_assert_gt(s.log->segments_count, 5);
    cr_assert_leq(s.dir->files.count, 3);
    scratch_done(&s);
}

Test(log_index, an_entry_names_the_last_offset_of_the_batch_at_its_position)
{
    static struct model m;
    struct scratch s;
    uint64_t seed = 12345;
    uint32_t entries = 0;
    scratch_init(&s);
    s.config.segment_bytes = 30000;
    s.config.index_interval_bytes = 700;
    scratch_open(&s);
    append_random(&s, &m, &seed, 200);
    scratch_close(&s);
    for (int64_t base = 0; base < m.count; base++) {
        FILE *log = fopen(scratch_file(&s, base, ".log"), "r"), *index = fopen(scratch_file(&s, base, ".index"), "r");
        uint8_t entry[8], header[RECORD_BATCH_HEADER_BYTES];
        uint32_t before = 0, size;
        if (!log) continue;
        cr_assert(index);
        while (fread(entry, sizeof entry, 1, index) == 1) {
            struct record_batch b;
            uint32_t position = be32_load(entry + 4);
            cr_assert_eq(fseek(log, position, SEEK_SET), 0);
            cr_assert_eq(fread(header, sizeof header, 1, log), 1);
            cr_assert_eq(record_batch_parse_header(slice_make(header, sizeof header), &b, &size), RECORD_BATCH_OK);
            cr_assert_eq(record_batch_last_offset(&b), base + be32_load(entry));
            cr_assert_gt(position - before, 700);
            before = position;
            entries++;
        }
        fclose(log);
        fclose(index);
    }
    cr_assert_gt(entries, 50);
    scratch_done(&s);
}
