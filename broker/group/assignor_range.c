/* broker/group/assignor_range.c: the assignor "range", see assignor.h.
 *
 * Each topic by itself: its subscribers stand in a row, static members by instance id before dynamic ones by member id,
 * and get neighbouring partitions, the first ones one more where it does not come out even. Nothing is sticky beyond
 * the order of the ids. */
#include "broker/group/assignor.h"

static int member_order(const void *a, const void *b, void *arg)
{
    const struct assignor_input *in = arg;
    const struct assignor_member *ma = &in->members[*(const uint32_t *)a], *mb = &in->members[*(const uint32_t *)b];
    if (ma->instance_id.ptr && mb->instance_id.ptr) return slice_compare(ma->instance_id, mb->instance_id);
    if (ma->instance_id.ptr || mb->instance_id.ptr) return ma->instance_id.ptr ? -1 : 1;
    return slice_compare(ma->id, mb->id);
}

/* How far a topic has been handed out. */
struct range {
    uint32_t subscribers, extra, next;
};

static void assign(const struct assignor_input *in, struct partition_set *ret)
{
    AUTO_FREE uint32_t *row = xcalloc((size_t)in->members_count + 1, sizeof *row);
    AUTO_FREE struct range *ranges = xcalloc((size_t)in->topics_count + 1, sizeof *ranges);
    struct ownership o;

    for (uint32_t m = 0; m < in->members_count; m++) {
        row[m] = m;
        for (uint32_t k = 0; k < in->members[m].topics_count; k++) ranges[in->members[m].topics[k]].subscribers++;
    }
    qsort_r(row, in->members_count, sizeof row[0], member_order, (void *)(uintptr_t)in);
    ownership_init(&o, in);
    for (uint32_t t = 0; t < in->topics_count; t++)
        if (ranges[t].subscribers) ranges[t].extra = ownership_topic_size(&o, t) % ranges[t].subscribers;
    for (uint32_t i = 0; i < in->members_count; i++) {
        const struct assignor_member *m = &in->members[row[i]];
        for (uint32_t k = 0; k < m->topics_count; k++) {
            struct range *r = &ranges[m->topics[k]];
            uint32_t quota = ownership_topic_size(&o, m->topics[k]) / r->subscribers;
            if (r->extra) {
                r->extra--;
                quota++;
            }
            for (; quota; quota--) ownership_set(&o, o.first[m->topics[k]] + r->next++, (int32_t)row[i]);
        }
    }
    ownership_to_sets(&o, ret);
    ownership_done(&o);
}

const struct assignor assignor_range = {.name = "range", .assign = assign};
