/* broker/offsets.c: see offsets.h. */
#include "broker/offsets.h"

void offsets_init(struct offsets *o)
{
    *o = (struct offsets){0};
}

static void value_copy(struct offset_value *to, const struct offset_value *from)
{
    *to = *from;
    to->metadata = SLICE_EMPTY;
    if (!from->metadata.len) return;
    uint8_t *copy = xmalloc(from->metadata.len);
    memcpy(copy, from->metadata.ptr, from->metadata.len);
    to->metadata = slice_make(copy, from->metadata.len);
}

static void value_done(struct offset_value *v)
{
    if (v->metadata.len) free((void *)(uintptr_t)v->metadata.ptr);
}

static void topic_free(struct offsets *o, struct offset_topic *t)
{
    HASH_DEL(o->topics, t);
    o->bytes -= sizeof *t + t->name_len + (size_t)t->size * sizeof t->entries[0];
    free(t->entries);
    free(t);
}

static void pending_free(struct offsets *o, struct offset_pending *p)
{
    o->bytes -= sizeof *p + p->topic_len + p->value.metadata.len;
    value_done(&p->value);
    free(p);
}

void offsets_done(struct offsets *o)
{
    struct offset_topic *t, *next;
    HASH_ITER(hh, o->topics, t, next)
    {
        for (int32_t i = 0; i < t->count; i++) value_done(&t->entries[i].value);
        topic_free(o, t);
    }
    while (o->pending) {
        struct offset_pending *p = o->pending;
        o->pending = p->next;
        pending_free(o, p);
    }
    *o = (struct offsets){0};
}

const struct offset_topic *offsets_topic(const struct offsets *o, struct slice topic)
{
    struct offset_topic *t;
    HASH_FIND(hh, o->topics, topic.ptr, topic.len, t);
    return t;
}

/* Where partition is, or would be inserted. */
static int32_t entry_index(const struct offset_topic *t, int32_t partition)
{
    int32_t low = 0, high = t->count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (t->entries[middle].partition < partition) low = middle + 1;
        else high = middle;
    }
    return low;
}

const struct offset_value *offsets_get(const struct offsets *o, struct slice topic, int32_t partition)
{
    const struct offset_topic *t = offsets_topic(o, topic);
    if (!t) return NULL;
    int32_t i = entry_index(t, partition);
    return i < t->count && t->entries[i].partition == partition ? &t->entries[i].value : NULL;
}

static struct offset_topic *topic_make(struct offsets *o, struct slice topic)
{
    struct offset_topic *t;
    HASH_FIND(hh, o->topics, topic.ptr, topic.len, t);
    if (t) return t;
    t = xcalloc(1, sizeof *t + topic.len);
    memcpy(t->name, topic.ptr, topic.len);
    t->name_len = topic.len;
    HASH_ADD_KEYPTR(hh, o->topics, t->name, t->name_len, t);
    o->bytes += sizeof *t + t->name_len;
    return t;
}

/* Room for partition's entry; an existing one is emptied. */
static struct offset_value *entry_make(struct offsets *o, struct slice topic, int32_t partition)
{
    struct offset_topic *t = topic_make(o, topic);
    int32_t i = entry_index(t, partition);
    if (i < t->count && t->entries[i].partition == partition) {
        o->bytes -= t->entries[i].value.metadata.len;
        value_done(&t->entries[i].value);
        return &t->entries[i].value;
    }
    if (t->count == t->size) {
        int32_t size = t->size ? t->size * 2 : 1;
        t->entries = xrealloc(t->entries, (size_t)size * sizeof t->entries[0]);
        o->bytes += (size_t)(size - t->size) * sizeof t->entries[0];
        t->size = size;
    }
    memmove(&t->entries[i + 1], &t->entries[i], (size_t)(t->count - i) * sizeof t->entries[0]);
    t->count++;
    t->entries[i].partition = partition;
    return &t->entries[i].value;
}

static void entry_set(struct offsets *o, struct slice topic, int32_t partition, const struct offset_value *value)
{
    struct offset_value copy;
    value_copy(&copy, value); /* before the old one goes: value may be it */
    *entry_make(o, topic, partition) = copy;
    o->bytes += copy.metadata.len;
}

static bool pending_is(const struct offset_pending *p, struct slice topic, int32_t partition)
{
    return p->partition == partition && slice_eq(slice_make(p->topic, p->topic_len), topic);
}

/* Those that came before p (NULL: all) and are for the same partition. */
static void supersede(struct offsets *o, struct slice topic, int32_t partition, const struct offset_pending *p)
{
    for (struct offset_pending *q = o->pending; q != p; q = q->next) q->superseded |= pending_is(q, topic, partition);
}

void offsets_set(struct offsets *o, struct slice topic, int32_t partition, const struct offset_value *value)
{
    supersede(o, topic, partition, NULL);
    entry_set(o, topic, partition, value);
}

static bool entry_remove(struct offsets *o, struct slice topic, int32_t partition)
{
    struct offset_topic *t = (struct offset_topic *)(uintptr_t)offsets_topic(o, topic);
    if (!t) return false;
    int32_t i = entry_index(t, partition);
    if (i == t->count || t->entries[i].partition != partition) return false;
    o->bytes -= t->entries[i].value.metadata.len;
    value_done(&t->entries[i].value);
    memmove(&t->entries[i], &t->entries[i + 1], (size_t)(t->count - i - 1) * sizeof t->entries[0]);
    if (--t->count == 0) topic_free(o, t);
    return true;
}

bool offsets_remove(struct offsets *o, struct slice topic, int32_t partition)
{
    struct offset_pending *gone = NULL;
    for (struct offset_pending **link = &o->pending; *link;) {
        struct offset_pending *p = *link;
        if (!pending_is(p, topic, partition)) {
            link = &p->next;
            continue;
        }
        *link = p->next;
        p->next = gone;
        gone = p;
    }
    bool removed = entry_remove(o, topic, partition) || gone;
    while (gone) { /* last: topic may be the name in one of them */
        struct offset_pending *p = gone;
        gone = p->next;
        pending_free(o, p);
    }
    return removed;
}

void offsets_pend(struct offsets *o, int64_t producer_id, struct slice topic, int32_t partition,
                  const struct offset_value *value)
{
    struct offset_pending **link = &o->pending;
    while (*link && !((*link)->producer_id == producer_id && pending_is(*link, topic, partition)))
        link = &(*link)->next;
    struct offset_pending *old = *link;
    if (old) {
        *link = old->next;
        pending_free(o, old);
    }
    while (*link) link = &(*link)->next;
    struct offset_pending *p = xcalloc(1, sizeof *p + topic.len);
    p->producer_id = producer_id;
    p->partition = partition;
    value_copy(&p->value, value);
    memcpy(p->topic, topic.ptr, topic.len);
    p->topic_len = topic.len;
    *link = p;
    o->bytes += sizeof *p + p->topic_len + p->value.metadata.len;
}

bool offsets_is_pending(const struct offsets *o, struct slice topic, int32_t partition)
{
    for (const struct offset_pending *p = o->pending; p; p = p->next)
        if (pending_is(p, topic, partition)) return true;
    return false;
}

void offsets_transaction_end(struct offsets *o, int64_t producer_id, bool commit)
{
    for (struct offset_pending **link = &o->pending; *link;) {
        struct offset_pending *p = *link;
        if (p->producer_id != producer_id) {
            link = &p->next;
            continue;
        }
        if (commit && !p->superseded) {
            struct slice topic = slice_make(p->topic, p->topic_len);
            supersede(o, topic, p->partition, p);
            entry_set(o, topic, p->partition, &p->value);
        }
        *link = p->next;
        pending_free(o, p);
    }
}
