/* tests/crash/journal_disk.c: see journal_world.h. What the real journal code stands on: its operations over the world's logs, and syncs
 * that reach the disk in any order. */
#include "tests/crash/journal_world.h"

#include <stdio.h>
#include <string.h>

static bool syncing[PARTS], syncing_journal;
static struct journal_partition *sync_partition[PARTS];
static bool answer_data[PARTS], answer_journal;

/* -- the sync actor -- */

static void sync_done(int q)
{
    struct log *l = &logs[q];

    tell("sync p%d (to %d)", q, l->end);
    l->durable = l->known_durable = l->end;
    l->resurrectable = false;
    syncing[q] = false;
    answer_data[q] = true;
}

void sync_step(void)
{
    int first = below(PARTS);

    for (int i = 0; i < PARTS; i++) {
        int q = (first + i) % PARTS;
        if (!syncing[q]) continue;
        sync_done(q);
        return;
    }
    if (!syncing_journal) return;
    tell("sync journal (to %d)", journal_end);
    journal_durable = journal_end;
    syncing_journal = false;
    answer_journal = true;
}

bool answers_deliver(void)
{
    bool any = false;

    for (int q = 0; q < PARTS; q++) {
        if (!answer_data[q]) continue;
        answer_data[q] = false;
        any = true;
        journal_data_synced(journal, sync_partition[q], 0);
    }
    if (answer_journal) {
        answer_journal = false;
        any = true;
        journal_journal_synced(journal, 0);
    }
    return any;
}

/* -- journal_ops -- */

static int part_of(const struct journal_partition *p)
{
    return (p->topic->id.bytes[0] - 1) * SLOTS + p->index;
}
static int last_own(const struct log *l, int end)
{
    for (int i = end - 1; i >= 0; i--)
        if (l->r[i].own) return i;
    return -1;
}

static bool log_find(int q, int end, int generation, struct journal_log *ret_log)
{
    const struct log *l = &logs[q];

    if (l->generation != generation) return false;
    if (end < l->start) end = l->start;
    *ret_log = (struct journal_log){.log_start = l->start, .log_end = end};
    int i = last_own(l, MIN(end, l->end));
    if (i >= l->start) {
        ret_log->known = true;
        ret_log->next_sequence = (int32_t)(((uint32_t)l->r[i].sequence + 1) & INT32_MAX);
        ret_log->own_end = i + 1;
    }
    return true;
}
static bool op_find(void *io, struct journal_partition *p, int64_t producer_id, struct journal_log *ret_log)
{
    int q = part_of(p);

    p->user = &logs[q];
    return p->index < broker_partitions[q / SLOTS] && log_find(q, logs[q].end, p->topic->id.bytes[1], ret_log);
}

int pending_rows[PARTS][ROWS], pending_count[PARTS];

static int op_append(void *io, struct journal_partition *p, int32_t first_sequence, uint32_t count,
                     int64_t *ret_base_offset, int64_t *ret_last_offset)
{
    int q = part_of(p), per_batch = percent(70) ? ROWS : 1;
    struct log *l = &logs[q];

    assert(count == (uint32_t)pending_count[q]);
    if (l->end + (int)count > RECORDS - 8) longjmp(death, DEATH_END);
    batch_next++;
    if (l->hold < 0) l->hold = l->end;
    *ret_base_offset = l->end;
    for (int i = 0; i < (int)count; i++) {
        l->r[l->end++] = (struct record){.own = true,
                                         .id = pending_rows[q][i],
                                         .batch = batch_next,
                                         .sequence = (int32_t)(((uint32_t)first_sequence + (uint32_t)i) & INT32_MAX)};
        partition_of_row[pending_rows[q][i]] = q;
        if ((i + 1) % per_batch == 0) batch_next++;
        if (per_batch == 1 && !l->exclusive && i + 1 < (int)count && percent(20)) poll_one();
        if (per_batch == 1) crash_point(2);
    }
    pending_count[q] = 0;
    *ret_last_offset = l->end - 1;
    tell("append %u to p%d (end %d)", count, q, l->end);
    meanwhile(2);
    return 0;
}

static void op_discard(void *io, struct journal_partition *p)
{
    pending_count[part_of(p)] = 0;
}

static int op_offset_at(void *io, struct journal_partition *p, int32_t sequence, int64_t *ret_offset)
{
    const struct log *l = &logs[part_of(p)];
    int i = l->start;

    while (i < l->end && !(l->r[i].own && (((uint32_t)l->r[i].sequence - (uint32_t)sequence) & INT32_MAX) < 1u << 30))
        i++;
    *ret_offset = i < l->end ? i : INT64_MAX;
    return 0;
}
static void op_hold(void *io, struct journal_partition *p, int64_t offset)
{
    logs[part_of(p)].hold = (int)offset;
}
static void op_release(void *io, const struct journal_release *items, uint32_t count)
{
    bool visible[ROWS] = {false};

    tell("release in %u partitions", count);
    for (uint32_t i = 0; i < count; i++) {
        int q = part_of(items[i].partition);
        logs[q].hold = items[i].hold == INT64_MAX ? -1 : (int)items[i].hold;
        if (!non_atomic) continue;
        if (percent(30)) look(q, visible);
        if (rule_off(JOURNAL_RULE_ATOMPUB) && percent(20)) poll_all();
        if (rule_off(JOURNAL_RULE_ATOMPUB) && percent(30)) poll_one();
    }
}
static void op_trim_limit(void *io, struct journal_partition *p, int64_t offset)
{
    logs[part_of(p)].trim = offset;
}
static int op_exclusive(void *io, struct journal_partition *p, bool on)
{
    logs[part_of(p)].exclusive = on && !rule_off(JOURNAL_RULE_SNAPALONE);
    return 0;
}
static int op_truncate(void *io, struct journal_partition *p, int64_t offset)
{
    int q = part_of(p);
    struct log *l = &logs[q];

    tell("truncate p%d %d -> %d", q, l->end, (int)offset);
    if (!l->resurrectable) truncated[q] = *l;
    l->resurrectable = true;
    l->end = (int)offset;
    l->durable = MIN(l->durable, l->end);
    l->known_durable = MIN(l->known_durable, l->end);
    return 0;
}
static int op_write(void *io, struct slice key, struct slice value, int64_t *ret_offset)
{
    if (journal_end >= JOURNAL || value.len > JOURNAL_BYTES) longjmp(death, DEATH_END);
    struct stored *s = &journal_file[journal_end];
    memcpy(s->key, key.ptr, sizeof s->key);
    memcpy(s->value, value.ptr, value.len);
    s->len = (uint16_t)value.len;
    *ret_offset = journal_end++;
    if (trace) {
        printf("  journal #%d ", journal_end - 1);
        journal_record_print(stdout, key, value);
        printf("\n");
    }
    events++;
    meanwhile(3);
    return 0;
}
static void op_drop(void *io, int64_t before_offset)
{
    tell("journal starts at #%d", (int)before_offset);
    journal_start = (int)before_offset;
}
static void op_sync_data(void *io, struct journal_partition *p)
{
    syncing[part_of(p)] = true;
    sync_partition[part_of(p)] = p;
}
static void op_sync_journal(void *io)
{
    syncing_journal = true;
}
static int op_wait(void *io)
{
    while (!answers_deliver()) {
        meanwhile(3);
        sync_step();
    }
    return 0;
}

/* What a power cut would leave now, judged by the real recovery: nothing below `confirmed` may be missing. */
static bool probe_find(void *io, struct journal_partition *p, int64_t producer_id, struct journal_log *ret_log)
{
    int q = part_of(p);
    return p->index < broker_partitions[q / SLOTS] && log_find(q, logs[q].durable, p->topic->id.bytes[1], ret_log);
}
static int probe_write(void *io, struct slice key, struct slice value, int64_t *ret_offset)
{
    *ret_offset = journal_end;
    return 0;
}
static int probe_offset_at(void *io, struct journal_partition *p, int32_t sequence, int64_t *ret_offset)
{
    *ret_offset = INT64_MAX;
    return 0;
}
static void probe_partition_offset(void *io, struct journal_partition *p, int64_t offset) {}
static void probe_sync_data(void *io, struct journal_partition *p)
{
    journal_data_synced(*(struct journal **)io, p, 0);
}
static void probe_sync_journal(void *io)
{
    journal_journal_synced(*(struct journal **)io, 0);
}
static void probe_release(void *io, const struct journal_release *items, uint32_t count) {}
static void probe_confirm(void *io, uint64_t lsn) {}
static const struct journal_ops probe_ops = {.find = probe_find,
                                             .offset_at = probe_offset_at,
                                             .hold = probe_partition_offset,
                                             .release = probe_release,
                                             .trim_limit = probe_partition_offset,
                                             .write = probe_write,
                                             .sync_data = probe_sync_data,
                                             .sync_journal = probe_sync_journal,
                                             .confirm = probe_confirm};

static int load(struct journal *j, int end)
{
    for (int i = journal_start; i < end; i++) {
        const struct stored *s = &journal_file[i];
        int r = journal_load(j, i, slice_make(s->key, sizeof s->key), slice_make(s->value, s->len));
        if (r < 0) return r;
    }
    return 0;
}
static struct journal *journal_make(const struct journal_ops *ops, void *io)
{
    return journal_new(ops, io,
                       &(struct journal_options){
                           .connector = 1,
                           .producer_id = PRODUCER,
                           .name = SLICE("c"),
                           .topic_prefix = SLICE("p"),
                           .strict = strict,
                           .strict_when_shared = strict_when_shared,
                           .checkpoint_records = features & F_CHECKPOINT ? 2 + (uint32_t)(seed_now % 5) : UINT32_MAX,
                           .sequence_first = sequence_first});
}

static void confirm_check(void)
{
    struct journal *probe = NULL;
    int tx = 0, message = 0;

    probe = journal_make(&probe_ops, &probe);
    if (load(probe, journal_durable) == 0 && journal_recover(probe) == 0 && journal_has_position(probe))
        position_read(journal_position(probe), &tx, &message);
    journal_free(probe);
    for (int i = row_at(tx, message); i < row_at(confirmed, 0); i++) {
        if (rows[i].gone) continue;
        violate(V_CONFIRM, "confirmed below transaction %d, a power cut now leaves (%d,%d)", confirmed, tx, message);
        return;
    }
}
static void op_confirm(void *io, uint64_t lsn)
{
    int tx = (int)((lsn - 10) / 100);

    if (tx <= confirmed) return;
    tell("confirm to PostgreSQL: below transaction %d", tx);
    confirmed = tx;
    if (percent(50)) persisted = tx;
    confirm_check();
}
static const struct journal_ops ops = {.find = op_find,
                                       .append = op_append,
                                       .discard = op_discard,
                                       .offset_at = op_offset_at,
                                       .hold = op_hold,
                                       .release = op_release,
                                       .trim_limit = op_trim_limit,
                                       .exclusive = op_exclusive,
                                       .truncate = op_truncate,
                                       .write = op_write,
                                       .drop = op_drop,
                                       .sync_data = op_sync_data,
                                       .sync_journal = op_sync_journal,
                                       .wait = op_wait,
                                       .confirm = op_confirm};

int disk_journal_open(void)
{
    memset(syncing, 0, sizeof syncing);
    memset(answer_data, 0, sizeof answer_data);
    memset(pending_count, 0, sizeof pending_count);
    syncing_journal = answer_journal = false;
    journal_free(journal);
    journal = journal_make(&ops, NULL);
    return load(journal, journal_end);
}
