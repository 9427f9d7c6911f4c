/* broker/group/offsets.c: see offsets.h. */
#include "broker/group/offsets.h"

#define HASH_TABLE_BYTES 640 /* of an empty table of uthash: its head and 32 buckets */

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

/* -- commits of open transactions: their slots and producers go with their last commit -- */

static struct pending_slot *slot_find(const struct offsets *o, struct slice topic, int32_t partition)
{
    struct pending_topic *t;
    struct pending_slot *slot = NULL;
    HASH_FIND(hh, o->pending, topic.ptr, topic.len, t);
    if (t) HASH_FIND_INT(t->slots, &partition, slot);
    return slot;
}

static struct pending_slot *slot_make(struct offsets *o, struct slice topic, int32_t partition)
{
    struct pending_slot *slot = slot_find(o, topic, partition);
    if (slot) return slot;
    struct pending_topic *t;
    HASH_FIND(hh, o->pending, topic.ptr, topic.len, t);
    if (!t) {
        t = xcalloc(1, sizeof *t + topic.len);
        memcpy(t->name, topic.ptr, topic.len);
        t->name_len = topic.len;
        HASH_ADD_KEYPTR(hh, o->pending, t->name, t->name_len, t);
        o->bytes += sizeof *t + t->name_len + HASH_TABLE_BYTES;
    }
    slot = xcalloc(1, sizeof *slot);
    slot->topic = t;
    slot->partition = partition;
    TAILQ_INIT(&slot->commits);
    HASH_ADD_INT(t->slots, partition, slot);
    o->bytes += sizeof *slot;
    return slot;
}

static struct pending_producer *producer_make(struct offsets *o, int64_t id)
{
    struct pending_producer *producer;
    HASH_FIND(hh, o->pending_by_id, &id, sizeof id, producer);
    if (producer) return producer;
    producer = xcalloc(1, sizeof *producer);
    producer->id = id;
    TAILQ_INIT(&producer->commits);
    HASH_ADD(hh, o->pending_by_id, id, sizeof producer->id, producer);
    o->bytes += sizeof *producer;
    return producer;
}

static void slot_free(struct offsets *o, struct pending_slot *slot)
{
    struct pending_topic *t = slot->topic;
    HASH_DEL(t->slots, slot);
    o->bytes -= sizeof *slot;
    free(slot);
    if (t->slots) return;
    HASH_DEL(o->pending, t);
    o->bytes -= sizeof *t + t->name_len + HASH_TABLE_BYTES;
    free(t);
}

static void pending_free(struct offsets *o, struct offset_pending *p)
{
    struct pending_slot *slot = p->slot;
    struct pending_producer *producer = p->producer;
    TAILQ_REMOVE(&slot->commits, p, in_slot);
    TAILQ_REMOVE(&producer->commits, p, in_producer);
    o->bytes -= sizeof *p + p->value.metadata.len;
    value_done(&p->value);
    free(p);
    if (TAILQ_EMPTY(&slot->commits)) slot_free(o, slot);
    if (!TAILQ_EMPTY(&producer->commits)) return;
    HASH_DEL(o->pending_by_id, producer);
    o->bytes -= sizeof *producer;
    free(producer);
}

/* -- what is committed -- */

void offsets_done(struct offsets *o)
{
    struct offset_topic *t, *next;
    HASH_ITER(hh, o->topics, t, next)
    {
        for (int32_t i = 0; i < t->count; i++) value_done(&t->entries[i].value);
        topic_free(o, t);
    }
    while (o->pending_by_id) pending_free(o, TAILQ_FIRST(&o->pending_by_id->commits));
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

/* Those of a slot (NULL: none) that came before p (NULL: all). */
static void supersede(struct pending_slot *slot, const struct offset_pending *p)
{
    for (struct offset_pending *q = slot ? TAILQ_FIRST(&slot->commits) : NULL; q != p; q = TAILQ_NEXT(q, in_slot))
        q->superseded = true;
}

void offsets_set(struct offsets *o, struct slice topic, int32_t partition, const struct offset_value *value)
{
    supersede(slot_find(o, topic, partition), NULL);
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
    struct pending_slot *slot = slot_find(o, topic, partition); /* first: topic may be the name of what goes */
    bool removed = entry_remove(o, topic, partition) || slot;
    for (struct offset_pending *p = slot ? TAILQ_FIRST(&slot->commits) : NULL, *next; p; p = next) {
        next = TAILQ_NEXT(p, in_slot);
        pending_free(o, p); /* and the slot, with the last one */
    }
    return removed;
}

void offsets_pend(struct offsets *o, int64_t producer_id, struct slice topic, int32_t partition,
                  const struct offset_value *value)
{
    struct offset_pending *p = xcalloc(1, sizeof *p), *old;
    p->slot = slot_make(o, topic, partition);
    p->producer = producer_make(o, producer_id);
    value_copy(&p->value, value);
    TAILQ_FOREACH(old, &p->slot->commits, in_slot) {
        if (old->producer == p->producer) break;
    }
    TAILQ_INSERT_TAIL(&p->slot->commits, p, in_slot);
    TAILQ_INSERT_TAIL(&p->producer->commits, p, in_producer);
    o->bytes += sizeof *p + p->value.metadata.len;
    if (old) pending_free(o, old);
}

bool offsets_is_pending(const struct offsets *o, struct slice topic, int32_t partition)
{
    return slot_find(o, topic, partition) != NULL;
}

void offsets_transaction_end(struct offsets *o, int64_t producer_id, bool commit)
{
    struct pending_producer *producer;
    HASH_FIND(hh, o->pending_by_id, &producer_id, sizeof producer_id, producer);
    for (struct offset_pending *p = producer ? TAILQ_FIRST(&producer->commits) : NULL, *next; p; p = next) {
        next = TAILQ_NEXT(p, in_producer);
        if (commit && !p->superseded) {
            supersede(p->slot, p);
            entry_set(o, pending_topic_name(p->slot->topic), p->slot->partition, &p->value);
        }
        pending_free(o, p); /* and the producer, with the last one */
    }
}
