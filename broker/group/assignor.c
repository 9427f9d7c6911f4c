/* broker/group/assignor.c: see assignor.h. */
#include "broker/group/assignor.h"

static const struct assignor *const assignors[] = {&assignor_uniform, &assignor_range};

const struct assignor *assignor_find(struct slice name)
{
    for (size_t i = 0; i < countof(assignors); i++)
        if (slice_eq_text(name, assignors[i]->name)) return assignors[i];
    return NULL;
}

const char *assignor_names(void)
{
    return "uniform, range";
}

void ownership_init(struct ownership *o, const struct assignor_input *in)
{
    *o = (struct ownership){.in = in};
    o->first = xcalloc((size_t)in->topics_count + 1, sizeof o->first[0]);
    for (uint32_t t = 0; t < in->topics_count; t++)
        o->first[t + 1] = o->first[t] + (uint32_t)in->topics[t].partitions_count;
    uint32_t count = o->first[in->topics_count];
    o->owner = xmalloc((size_t)(count + 1) * sizeof o->owner[0]);
    for (uint32_t i = 0; i < count; i++) o->owner[i] = PARTITION_FREE;
    o->counts = xcalloc((size_t)in->members_count + 1, sizeof o->counts[0]);
}

void ownership_done(struct ownership *o)
{
    free(o->first);
    free(o->owner);
    free(o->counts);
}

void ownership_set(struct ownership *o, uint32_t at, int32_t member)
{
    if (o->owner[at] >= 0) o->counts[o->owner[at]]--;
    o->owner[at] = member;
    if (member >= 0) o->counts[member]++;
}

void ownership_each_current(struct ownership *o, uint32_t member,
                            void (*keep)(struct ownership *o, uint32_t member, uint32_t at, void *arg), void *arg)
{
    const struct assignor_input *in = o->in;
    const struct assignor_member *m = &in->members[member];
    uint32_t k = 0; /* both lists are sorted by topic id */
    for (uint32_t i = 0; i < m->current->count; i++) {
        const struct topic_partition *p = &m->current->items[i];
        while (k < m->topics_count && memcmp(in->topics[m->topics[k]].id.bytes, p->topic_id.bytes, 16) < 0) k++;
        if (k == m->topics_count) return;
        uint32_t t = m->topics[k];
        if (!uuid_eq(in->topics[t].id, p->topic_id) || p->partition >= in->topics[t].partitions_count) continue;
        keep(o, member, o->first[t] + (uint32_t)p->partition, arg);
    }
}

void ownership_to_sets(const struct ownership *o, struct partition_set *ret)
{
    for (uint32_t m = 0; m < o->in->members_count; m++) {
        if (!o->counts[m]) continue;
        ret[m].size = o->counts[m];
        ret[m].items = xmalloc(ret[m].size * sizeof ret[m].items[0]);
    }
    for (uint32_t t = 0; t < o->in->topics_count; t++)
        for (uint32_t i = o->first[t]; i < o->first[t + 1]; i++)
            if (o->owner[i] >= 0)
                partition_set_append(&ret[o->owner[i]], o->in->topics[t].id, (int32_t)(i - o->first[t]));
}
