/* broker/group/assignor_uniform.c: the assignor "uniform", see assignor.h.
 *
 * Balance comes first, then stickiness; racks are not looked at. When all members subscribe the same topics a quota
 * says how many partitions each has, and one pass gives the result. Otherwise members keep what they have, free
 * partitions go to the least loaded subscriber, topics with the most partitions per subscriber first, and then
 * partitions move within each topic from the most to the least loaded subscriber until no topic can be improved. */
#include "broker/group/assignor.h"

/* -- all members subscribe the same topics -- */

struct quota_keep {
    uint32_t left; /* how many the member may still keep */
};

static void keep_within_quota(struct ownership *o, uint32_t member, uint32_t at, void *arg)
{
    struct quota_keep *q = arg;
    if (!q->left || o->owner[at] != PARTITION_FREE) return;
    q->left--;
    ownership_set(o, at, (int32_t)member);
}

static void assign_same(struct ownership *o)
{
    const struct assignor_input *in = o->in;
    uint32_t sum = 0;
    for (uint32_t k = 0; k < in->members[0].topics_count; k++) sum += ownership_topic_size(o, in->members[0].topics[k]);
    uint32_t quota = sum / in->members_count, extra = sum % in->members_count;
    AUTO_FREE uint32_t *open = xcalloc(in->members_count, sizeof *open);

    for (uint32_t m = 0; m < in->members_count; m++) {
        struct quota_keep keep = {.left = quota + (extra > 0)};
        bool has_extra = extra > 0;
        ownership_each_current(o, m, keep_within_quota, &keep);
        /* The one more that it does not fill now is left for those behind who may have it already. */
        if (keep.left && has_extra && in->members_count - m > extra) {
            keep.left--;
            has_extra = false;
        }
        extra -= has_extra;
        open[m] = keep.left;
    }
    uint32_t m = 0;
    for (uint32_t k = 0; k < in->members[0].topics_count; k++) {
        uint32_t t = in->members[0].topics[k];
        for (uint32_t at = o->first[t]; at < o->first[t + 1]; at++) {
            if (o->owner[at] != PARTITION_FREE) continue;
            while (!open[m]) m++;
            open[m]--;
            ownership_set(o, at, (int32_t)m);
        }
    }
}

/* -- subscriptions differ -- */

/* Passes over all topics: each makes loads more even; a limit, because an exotic net of subscriptions may need many. */
#define BALANCE_PASSES_MAX 16

struct topic_plan {
    uint32_t topic;
    uint32_t subscribers_first, subscribers_count; /* in plans.subscribers, ascending */
};

struct plans {
    struct ownership *o;
    struct topic_plan *topics; /* those with subscribers, in the order of handing out */
    uint32_t topics_count;
    uint32_t *subscribers;
    uint32_t *row; /* scratch: the subscribers of one topic, by load */
};

static void keep_all(struct ownership *o, uint32_t member, uint32_t at, void *arg)
{
    if (o->owner[at] == PARTITION_FREE) ownership_set(o, at, (int32_t)member);
}

/* Most partitions per subscriber first, then fewer subscribers, then by id: those with the least choice come first. */
static int plan_order(const void *a, const void *b, void *arg)
{
    const struct ownership *o = arg;
    const struct topic_plan *pa = a, *pb = b;
    uint64_t load_a = (uint64_t)ownership_topic_size(o, pa->topic) * pb->subscribers_count;
    uint64_t load_b = (uint64_t)ownership_topic_size(o, pb->topic) * pa->subscribers_count;
    if (load_a != load_b) return load_a > load_b ? -1 : 1;
    if (pa->subscribers_count != pb->subscribers_count) return pa->subscribers_count < pb->subscribers_count ? -1 : 1;
    return (pa->topic > pb->topic) - (pa->topic < pb->topic);
}

static void plans_init(struct plans *p, struct ownership *o)
{
    const struct assignor_input *in = o->in;
    AUTO_FREE uint32_t *counts = xcalloc((size_t)in->topics_count + 1, sizeof *counts);
    AUTO_FREE struct topic_plan *by_topic = xcalloc((size_t)in->topics_count + 1, sizeof *by_topic);
    uint32_t sum = 0;

    *p = (struct plans){.o = o};
    for (uint32_t m = 0; m < in->members_count; m++)
        for (uint32_t k = 0; k < in->members[m].topics_count; k++) counts[in->members[m].topics[k]]++;
    for (uint32_t t = 0; t < in->topics_count; t++) {
        by_topic[t] = (struct topic_plan){.topic = t, .subscribers_first = sum};
        sum += counts[t];
    }
    p->subscribers = xcalloc((size_t)sum + 1, sizeof p->subscribers[0]);
    p->row = xcalloc(in->members_count, sizeof p->row[0]);
    for (uint32_t m = 0; m < in->members_count; m++)
        for (uint32_t k = 0; k < in->members[m].topics_count; k++) {
            struct topic_plan *plan = &by_topic[in->members[m].topics[k]];
            p->subscribers[plan->subscribers_first + plan->subscribers_count++] = m;
        }
    p->topics = xcalloc((size_t)in->topics_count + 1, sizeof p->topics[0]);
    for (uint32_t t = 0; t < in->topics_count; t++)
        if (by_topic[t].subscribers_count) p->topics[p->topics_count++] = by_topic[t];
    qsort_r(p->topics, p->topics_count, sizeof p->topics[0], plan_order, o);
}

static void plans_done(struct plans *p)
{
    free(p->topics);
    free(p->subscribers);
    free(p->row);
}

static int load_order(const void *a, const void *b, void *arg)
{
    const struct ownership *o = arg;
    uint32_t ma = *(const uint32_t *)a, mb = *(const uint32_t *)b;
    if (o->counts[ma] != o->counts[mb]) return o->counts[ma] < o->counts[mb] ? -1 : 1;
    return (ma > mb) - (ma < mb);
}

/* The subscribers of a topic as a row by load, filled from its low end and drained from its high end like water:
 * members of the low end that already stand at the level take turns, and so do those of the high end. */
struct level {
    const struct ownership *o;
    uint32_t *row;
    uint32_t count;
    uint32_t low_end, low_next; /* [0, low_end) stand at low_load, those before low_next one above */
    uint32_t high_first, high_end,
        high_next; /* [high_first, high_end) at high_load, those from high_next on one below */
    uint32_t low_load, high_load;
};

static void level_init(struct level *l, const struct plans *p, const struct topic_plan *plan)
{
    memcpy(p->row, p->subscribers + plan->subscribers_first, plan->subscribers_count * sizeof p->row[0]);
    qsort_r(p->row, plan->subscribers_count, sizeof p->row[0], load_order, p->o);
    *l = (struct level){.o = p->o, .row = p->row, .count = plan->subscribers_count};
    l->low_load = p->o->counts[l->row[0]];
    while (l->low_end < l->count && p->o->counts[l->row[l->low_end]] == l->low_load) l->low_end++;
    l->high_load = p->o->counts[l->row[l->count - 1]];
    l->high_first = l->high_end = l->high_next = l->count;
    while (l->high_first && p->o->counts[l->row[l->high_first - 1]] == l->high_load) l->high_first--;
}

/* The least loaded one, which takes a partition now. */
static uint32_t level_low(struct level *l)
{
    if (l->low_next == l->low_end) {
        l->low_load++;
        l->low_next = 0;
        while (l->low_end < l->count && l->o->counts[l->row[l->low_end]] == l->low_load) l->low_end++;
    }
    return l->row[l->low_next++];
}

/* The load of whom level_low() would return. */
static uint32_t level_low_load(const struct level *l)
{
    return l->low_next == l->low_end ? l->low_load + 1 : l->low_load;
}

/* Moves on to the most loaded one that has partitions of the topic to give; those without are passed over and stay as
 * they are. False: nobody is left. has[member]: how many of the topic's partitions it has. */
static bool level_high(struct level *l, const uint32_t *has)
{
    for (;;) {
        while (l->high_next > l->high_first && !has[l->row[l->high_next - 1]]) {
            /* To the end of the range, which closes before it: those who gave one this round come forward. */
            uint32_t out = l->row[l->high_next - 1];
            l->row[l->high_next - 1] = l->row[l->high_end - 1];
            l->row[l->high_end - 1] = out;
            l->high_end--;
            l->high_next--;
        }
        if (l->high_next > l->high_first) return true;
        if (l->high_first == l->high_end) { /* nobody of that load can give: the next lower load */
            if (!l->high_first) return false;
            l->high_end = l->high_first;
            l->high_load = l->o->counts[l->row[l->high_first - 1]];
        } else {
            l->high_load--;
        }
        while (l->high_first && l->o->counts[l->row[l->high_first - 1]] == l->high_load) l->high_first--;
        l->high_next = l->high_end;
    }
}

static void hand_out(struct plans *p, const struct topic_plan *plan)
{
    struct ownership *o = p->o;
    struct level l;
    level_init(&l, p, plan);
    for (uint32_t at = o->first[plan->topic]; at < o->first[plan->topic + 1]; at++)
        if (o->owner[at] == PARTITION_FREE) ownership_set(o, at, (int32_t)level_low(&l));
}

/* Evens the loads of one topic's subscribers out by moving its partitions. False: there was nothing to move. */
static bool balance_topic(struct plans *p, const struct topic_plan *plan)
{
    struct ownership *o = p->o;
    struct level l;
    bool moved = false;
    level_init(&l, p, plan);
    if (l.high_load - l.low_load <= 1) return false;

    /* The topic's partitions as a stack for each owner: the highest number goes first. */
    uint32_t first = o->first[plan->topic], count = ownership_topic_size(o, plan->topic);
    AUTO_FREE uint32_t *has = xcalloc(o->in->members_count, sizeof *has);
    AUTO_FREE uint32_t *top = xcalloc(o->in->members_count, sizeof *top);
    AUTO_FREE uint32_t *below = xcalloc((size_t)count + 1, sizeof *below);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t owner = (uint32_t)o->owner[first + i];
        below[i] = top[owner];
        top[owner] = i;
        has[owner]++;
    }
    while (level_high(&l, has) && l.high_load > level_low_load(&l) + 1) {
        uint32_t from = l.row[--l.high_next], i = top[from];
        top[from] = below[i];
        has[from]--;
        ownership_set(o, first + i, (int32_t)level_low(&l));
        moved = true;
    }
    return moved;
}

static void assign_different(struct ownership *o)
{
    struct plans p;
    plans_init(&p, o);
    for (uint32_t m = 0; m < o->in->members_count; m++) ownership_each_current(o, m, keep_all, NULL);
    for (uint32_t i = 0; i < p.topics_count; i++) hand_out(&p, &p.topics[i]);
    uint32_t idle = 0; /* topics in a row without a move: all of them, and it is done */
    for (uint32_t i = 0; i < BALANCE_PASSES_MAX * p.topics_count && idle < p.topics_count; i++)
        idle = balance_topic(&p, &p.topics[i % p.topics_count]) ? 0 : idle + 1;
    plans_done(&p);
}

static void assign(const struct assignor_input *in, struct partition_set *ret)
{
    struct ownership o;
    if (!in->members_count) return;
    ownership_init(&o, in);
    if (in->same_topics) assign_same(&o);
    else assign_different(&o);
    ownership_to_sets(&o, ret);
    ownership_done(&o);
}

const struct assignor assignor_uniform = {.name = "uniform", .assign = assign};
