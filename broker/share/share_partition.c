/* broker/share/share_partition.c: see share_partition.h. */
#include "broker/share/share_partition.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>

/* -- runs -- */

static bool same_but_offsets(const struct share_run *a, const struct share_run *b)
{
    return a->batch.delivery_state == b->batch.delivery_state && a->batch.delivery_count == b->batch.delivery_count &&
           a->lock_end_ms == b->lock_end_ms && uuid_eq(a->member, b->member);
}

static void runs_push(struct share_runs *r, const struct share_run *run)
{
    struct share_run *last = r->count ? &r->items[r->count - 1] : NULL;
    if (last && last->batch.last_offset + 1 == run->batch.first_offset && same_but_offsets(last, run)) {
        last->batch.last_offset = run->batch.last_offset;
        return;
    }
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 4;
        r->items = xrealloc(r->items, r->capacity * sizeof *r->items);
    }
    r->items[r->count++] = *run;
}

/* The part of run from first to last, which lie within it. */
static void runs_push_part(struct share_runs *r, const struct share_run *run, int64_t first, int64_t last)
{
    struct share_run part = *run;
    part.batch.first_offset = first;
    part.batch.last_offset = last;
    if (first <= last) runs_push(r, &part);
}

static void push_state(struct share_runs *r, int64_t first, int64_t last, enum share_delivery_state state,
                       int16_t delivery_count)
{
    runs_push_part(r, &(struct share_run){.batch = {0, 0, (int8_t)state, delivery_count}}, first, last);
}

static bool is_final(const struct share_run *r)
{
    return r->batch.delivery_state == SHARE_ACKNOWLEDGED || r->batch.delivery_state == SHARE_ARCHIVED;
}

/* What was built takes effect, but for what is final at its front. */
static void take_next(struct share_partition *p)
{
    struct share_runs old = p->runs;
    uint32_t front = 0;

    while (front < p->next.count && is_final(&p->next.items[front])) front++;
    p->runs = p->next;
    p->runs.count -= front;
    if (front && p->runs.count) memmove(p->runs.items, p->runs.items + front, p->runs.count * sizeof *p->runs.items);
    p->start = p->runs.count ? p->runs.items[0].batch.first_offset : p->end;
    old.count = 0;
    p->next = old;
}

void share_partition_init(struct share_partition *p, int64_t start, int16_t delivery_limit, int32_t in_flight_max)
{
    *p = (struct share_partition){
        .start = start, .end = start, .delivery_limit = delivery_limit, .in_flight_max = in_flight_max};
}

void share_partition_done(struct share_partition *p)
{
    free(p->runs.items);
    free(p->next.items);
    p->runs = p->next = (struct share_runs){0};
}

bool share_partition_restore(struct share_partition *p, const struct share_batch *batches, uint32_t count)
{
    int64_t at = p->start;

    assert(p->start == p->end);
    for (uint32_t i = 0; i < count; i++) {
        const struct share_batch *b = &batches[i];
        bool known = b->delivery_state == SHARE_AVAILABLE || b->delivery_state == SHARE_ACKNOWLEDGED ||
                     b->delivery_state == SHARE_ARCHIVED;
        if (!known || b->first_offset < at || b->last_offset < b->first_offset || b->last_offset == INT64_MAX ||
            b->delivery_count < 0) {
            p->next.count = 0;
            return false;
        }
        push_state(&p->next, at, b->first_offset - 1, SHARE_AVAILABLE, 0);
        push_state(&p->next, b->first_offset, b->last_offset, (enum share_delivery_state)b->delivery_state,
                   b->delivery_count);
        at = b->last_offset + 1;
    }
    p->end = at;
    take_next(p);
    return true;
}

/* -- acquiring -- */

int64_t share_partition_fetch_offset(const struct share_partition *p)
{
    for (uint32_t i = 0; i < p->runs.count; i++)
        if (p->runs.items[i].batch.delivery_state == SHARE_AVAILABLE) return p->runs.items[i].batch.first_offset;
    return p->end;
}

bool share_partition_can_acquire(const struct share_partition *p)
{
    return share_partition_fetch_offset(p) < p->end || p->end - p->start < p->in_flight_max;
}

static void list_push(struct share_acquired_list *list, uint32_t from, const struct share_acquired *piece,
                      int32_t batch_size)
{
    struct share_acquired *last = list->count > from ? &list->items[list->count - 1] : NULL;

    list->records += piece->last_offset - piece->first_offset + 1;
    if (last && last->last_offset + 1 == piece->first_offset && last->delivery_count == piece->delivery_count &&
        piece->first_offset - last->first_offset < batch_size) {
        last->last_offset = piece->last_offset;
        return;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 8;
        list->items = xrealloc(list->items, list->capacity * sizeof *list->items);
    }
    list->items[list->count++] = *piece;
}

/* A pass of acquiring: `batch` is the batch of the log that holds the next offset. */
struct acquiring {
    struct share_partition *p;
    const struct share_acquire *a;
    struct share_acquired_list *list;
    uint32_t list_from;
    uint32_t batch;
    int64_t records;
};

/* Takes first..last, which were delivered delivery_count times, batch by batch; returns the first offset that was not
 * taken. What lies between two batches belongs to the later one: the client finds that there is no such record. */
static int64_t acquire_pieces(struct acquiring *q, int64_t first, int64_t last, int16_t delivery_count)
{
    const struct share_acquire *a = q->a;

    while (first <= last) {
        for (; q->batch < a->count && a->batches[q->batch].last_offset < first; q->batch++)
            if (q->records >= a->records_max) return first;
        if (q->batch == a->count) break;
        const struct share_log_batch *b = &a->batches[q->batch];
        int64_t piece_last = MIN(last, b->last_offset);
        if (b->aborted) {
            push_state(&q->p->next, first, piece_last, SHARE_ARCHIVED, delivery_count);
        } else {
            int16_t count = (int16_t)(delivery_count < INT16_MAX ? delivery_count + 1 : delivery_count);
            struct share_run run = {.batch = {first, piece_last, SHARE_ACQUIRED, count},
                                    .member = a->member,
                                    .lock_end_ms = a->lock_end_ms};
            runs_push(&q->p->next, &run);
            list_push(q->list, q->list_from, &(struct share_acquired){first, piece_last, count}, a->batch_size);
            q->records += piece_last - first + 1;
        }
        first = piece_last + 1;
    }
    return first;
}

/* An Available run: its part before the batches is not in the log, its part within them is taken. */
static void acquire_run(struct acquiring *q, const struct share_run *run)
{
    int64_t first = run->batch.first_offset, last = run->batch.last_offset;
    int64_t base = q->a->batches[0].base_offset;

    if (first < base) {
        int64_t gone = MIN(last, base - 1);
        push_state(&q->p->next, first, gone, SHARE_ARCHIVED, run->batch.delivery_count);
        first = gone + 1;
    }
    first = acquire_pieces(q, first, last, run->batch.delivery_count);
    runs_push_part(&q->p->next, run, first, last);
}

/* What the log has behind the window. */
static void acquire_new(struct acquiring *q)
{
    struct share_partition *p = q->p;
    const struct share_acquire *a = q->a;
    int64_t first = MAX(p->end, a->batches[0].base_offset);
    int64_t start = p->next.count ? p->next.items[0].batch.first_offset : first;
    int64_t last = MIN(a->batches[a->count - 1].last_offset, start + SHARE_WINDOW_MAX - 1);

    if (first > last) return;
    push_state(&p->next, p->end, first - 1, SHARE_ARCHIVED, 0); /* not in the log */
    p->end = acquire_pieces(q, first, last, 0);
}

void share_partition_acquire(struct share_partition *p, const struct share_acquire *a, struct share_acquired_list *list)
{
    struct acquiring q = {.p = p, .a = a, .list = list, .list_from = list->count};

    if (a->count == 0 || a->records_max <= 0) return;
    for (uint32_t i = 0; i < p->runs.count; i++) {
        const struct share_run *run = &p->runs.items[i];
        if (run->batch.delivery_state == SHARE_AVAILABLE) acquire_run(&q, run);
        else runs_push(&p->next, run);
    }
    acquire_new(&q);
    take_next(p);
}

/* -- giving back -- */

enum kafka_error share_acks_check(const struct share_ack *acks, uint32_t count)
{
    int64_t last = -1;

    for (uint32_t i = 0; i < count; i++) {
        const struct share_ack *a = &acks[i];
        if (a->first_offset > a->last_offset || a->first_offset < last || a->last_offset == INT64_MAX ||
            a->types_count < 1)
            return KAFKA_INVALID_REQUEST;
        if (a->types_count > 1 && a->last_offset - a->first_offset != a->types_count - 1) return KAFKA_INVALID_REQUEST;
        for (int32_t t = 0; t < a->types_count; t++)
            if (a->types[t] < SHARE_GAP || a->types[t] > SHARE_REJECT) return KAFKA_INVALID_REQUEST;
        last = a->last_offset;
    }
    return KAFKA_NONE;
}

/* Released records may be delivered again, unless they were often enough. */
static enum share_delivery_state released_state(const struct share_partition *p, int16_t delivery_count)
{
    return delivery_count < p->delivery_limit ? SHARE_AVAILABLE : SHARE_ARCHIVED;
}

static enum share_delivery_state acked_state(const struct share_partition *p, int8_t type, int16_t delivery_count)
{
    switch ((enum share_acknowledge_type)type) {
    case SHARE_ACCEPT: return SHARE_ACKNOWLEDGED;
    case SHARE_RELEASE: return released_state(p, delivery_count);
    case SHARE_GAP:
    case SHARE_REJECT: break;
    }
    return SHARE_ARCHIVED;
}

/* The changes of a pass: what to store. */
struct changes {
    struct share_batch *items;
    uint32_t count;
    uint32_t capacity;
};

static void changes_push(struct changes *c, int64_t first, int64_t last, enum share_delivery_state state,
                         int16_t delivery_count)
{
    struct share_batch *before = c->count ? &c->items[c->count - 1] : NULL;
    if (before && before->last_offset + 1 == first && before->delivery_state == (int8_t)state &&
        before->delivery_count == delivery_count) {
        before->last_offset = last;
        return;
    }
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? 2 * c->capacity : 8;
        c->items = xrealloc(c->items, c->capacity * sizeof *c->items);
    }
    c->items[c->count++] = (struct share_batch){first, last, (int8_t)state, delivery_count};
}

static void change(struct share_partition *p, struct changes *c, int64_t first, int64_t last,
                   enum share_delivery_state state, int16_t delivery_count)
{
    push_state(&p->next, first, last, state, delivery_count);
    changes_push(c, first, last, state, delivery_count);
}

/* What was built becomes true when it is stored. */
static enum kafka_error commit(struct share_partition *p, struct changes *c, bool in_any_case, share_store_fn *store,
                               void *arg)
{
    enum kafka_error error = c->count ? store(arg, p->start, c->items, c->count) : KAFKA_NONE;
    free(c->items);
    if (c->count && (error == KAFKA_NONE || in_any_case)) take_next(p);
    p->next.count = 0;
    return error;
}

/* The part first..last of an Acquired run, by one acknowledgement. */
static void acknowledge_part(struct share_partition *p, struct changes *c, const struct share_run *run,
                             const struct share_ack *ack, int64_t first, int64_t last)
{
    int16_t count = run->batch.delivery_count;

    if (ack->types_count == 1) {
        change(p, c, first, last, acked_state(p, ack->types[0], count), count);
        return;
    }
    for (int64_t o = first; o <= last; o++)
        change(p, c, o, o, acked_state(p, ack->types[o - ack->first_offset], count), count);
}

enum kafka_error share_partition_acknowledge(struct share_partition *p, struct uuid member,
                                             const struct share_ack *acks, uint32_t count, share_store_fn *store,
                                             void *arg)
{
    struct changes changes = {0};
    enum kafka_error error = KAFKA_NONE;
    uint32_t i = 0;        /* the run that is looked at */
    int64_t at = p->start; /* everything before is in next */

    for (uint32_t k = 0; k < count && error == KAFKA_NONE; k++) {
        int64_t first = MAX(acks[k].first_offset, p->start);
        if (acks[k].last_offset < p->start) continue;
        if (p->start == p->end || first < at) error = KAFKA_INVALID_RECORD_STATE; /* two for the same record */
        else if (acks[k].last_offset >= p->end) error = KAFKA_INVALID_REQUEST;
        while (error == KAFKA_NONE && at <= acks[k].last_offset) {
            const struct share_run *run = &p->runs.items[i];
            int64_t last = run->batch.last_offset;
            if (at < first) {
                last = MIN(last, first - 1);
                runs_push_part(&p->next, run, at, last);
            } else if (run->batch.delivery_state != SHARE_ACQUIRED || !uuid_eq(run->member, member)) {
                error = KAFKA_INVALID_RECORD_STATE;
            } else {
                last = MIN(last, acks[k].last_offset);
                acknowledge_part(p, &changes, run, &acks[k], at, last);
            }
            at = last + 1;
            if (last == run->batch.last_offset) i++;
        }
    }
    if (error != KAFKA_NONE) {
        free(changes.items);
        p->next.count = 0;
        return error;
    }
    for (; i < p->runs.count; i++) {
        const struct share_run *run = &p->runs.items[i];
        runs_push_part(&p->next, run, MAX(at, run->batch.first_offset), run->batch.last_offset);
    }
    return commit(p, &changes, false, store, arg);
}

enum kafka_error share_partition_release(struct share_partition *p, struct uuid member, share_store_fn *store,
                                         void *arg)
{
    struct changes changes = {0};

    for (uint32_t i = 0; i < p->runs.count; i++) {
        const struct share_run *r = &p->runs.items[i];
        if (r->batch.delivery_state == SHARE_ACQUIRED && uuid_eq(r->member, member))
            change(p, &changes, r->batch.first_offset, r->batch.last_offset, SHARE_AVAILABLE,
                   (int16_t)(r->batch.delivery_count - 1));
        else runs_push(&p->next, r);
    }
    return commit(p, &changes, false, store, arg);
}

enum kafka_error share_partition_expire(struct share_partition *p, int64_t now_ms, share_store_fn *store, void *arg)
{
    struct changes changes = {0};

    for (uint32_t i = 0; i < p->runs.count; i++) {
        const struct share_run *r = &p->runs.items[i];
        if (r->batch.delivery_state == SHARE_ACQUIRED && r->lock_end_ms <= now_ms)
            change(p, &changes, r->batch.first_offset, r->batch.last_offset, released_state(p, r->batch.delivery_count),
                   r->batch.delivery_count);
        else runs_push(&p->next, r);
    }
    return commit(p, &changes, true, store, arg);
}

int64_t share_partition_next_expiry(const struct share_partition *p)
{
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < p->runs.count; i++)
        if (p->runs.items[i].batch.delivery_state == SHARE_ACQUIRED) next = MIN(next, p->runs.items[i].lock_end_ms);
    return next;
}

void share_partition_trim(struct share_partition *p, int64_t log_start)
{
    if (log_start <= p->start) return;
    for (uint32_t i = 0; i < p->runs.count; i++) {
        const struct share_run *r = &p->runs.items[i];
        runs_push_part(&p->next, r, MAX(r->batch.first_offset, log_start), r->batch.last_offset);
    }
    p->end = MAX(p->end, log_start);
    take_next(p);
}
