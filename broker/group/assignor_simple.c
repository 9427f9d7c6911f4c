/* broker/group/assignor_simple.c: the assignor of share groups: several members may have one partition (KIP-932;
 * Kafka 4.1 SimpleAssignor).
 *
 *   1. each member gets the partition at the hash of its id, so that all get something without knowing each other;
 *   2. members keep what they had and nobody got in 1 (same topics for all: up to an equal share);
 *   3. what nobody has goes round the members.
 * Invariant: each assignable partition that somebody subscribes has a member. */
#include "broker/group/assignor.h"

#include "broker/coordinator/java_hash.h"

/* Who has a partition: only what the steps ask. */
enum { NOBODY = 0, BY_HASH = 1, KEPT = 2 };

struct simple {
    const struct assignor_input *in;
    struct partition_set targets; /* assignable partitions that may be subscribed, by topic */
    uint32_t *first;              /* of topics_count + 1: where a topic's targets begin */
    uint8_t *had;
    struct partition_set *ret;
};

static void simple_init(struct simple *s, const struct assignor_input *in, struct partition_set *ret)
{
    *s = (struct simple){.in = in, .ret = ret};
    s->first = xcalloc((size_t)in->topics_count + 1, sizeof s->first[0]);
    for (uint32_t t = 0; t < in->topics_count; t++) {
        for (int32_t p = 0; p < in->topics[t].partitions_count; p++)
            if (!in->assignable || partition_set_has(in->assignable, in->topics[t].id, p))
                partition_set_append(&s->targets, in->topics[t].id, p);
        s->first[t + 1] = s->targets.count;
    }
    s->had = xcalloc((size_t)s->targets.count + 1, 1);
}

static void simple_done(struct simple *s)
{
    partition_set_done(&s->targets);
    free(s->first);
    free(s->had);
}

static uint32_t topic_size(const struct simple *s, uint32_t topic)
{
    return s->first[topic + 1] - s->first[topic];
}

static void give(struct simple *s, uint32_t member, uint32_t at)
{
    partition_set_append(&s->ret[member], s->targets.items[at].topic_id, s->targets.items[at].partition);
}

/* The place of the n-th partition of those that the member subscribes. */
static uint32_t subscribed_at(const struct simple *s, const struct assignor_member *m, uint32_t n)
{
    for (uint32_t k = 0; k < m->topics_count; k++) {
        uint32_t size = topic_size(s, m->topics[k]);
        if (n < size) return s->first[m->topics[k]] + n;
        n -= size;
    }
    assert(false);
    return 0;
}

static void assign_by_hash(struct simple *s)
{
    for (uint32_t i = 0; i < s->in->members_count; i++) {
        const struct assignor_member *m = &s->in->members[i];
        uint32_t count = 0;
        for (uint32_t k = 0; k < m->topics_count; k++) count += topic_size(s, m->topics[k]);
        if (!count) continue;
        int32_t rest = java_hash(m->id) % (int32_t)count;
        uint32_t at = subscribed_at(s, m, (uint32_t)(rest < 0 ? -rest : rest));
        s->had[at] = BY_HASH;
        give(s, i, at);
    }
}

/* share_max: how many partitions a member keeps at most. */
static void keep_current(struct simple *s, uint32_t share_max)
{
    for (uint32_t i = 0; i < s->in->members_count; i++) {
        const struct assignor_member *m = &s->in->members[i];
        for (uint32_t k = 0; k < m->topics_count; k++)
            for (uint32_t at = s->first[m->topics[k]]; at < s->first[m->topics[k] + 1]; at++) {
                const struct topic_partition *p = &s->targets.items[at];
                if (s->had[at] == BY_HASH || s->ret[i].count >= share_max) continue;
                if (!partition_set_has(m->current, p->topic_id, p->partition)) continue;
                s->had[at] = KEPT;
                give(s, i, at);
            }
    }
}

/* All members subscribe the same: round all of them, leaving out those that have more than an equal share. */
static void go_round_all(struct simple *s, uint32_t share_max)
{
    uint32_t i = 0;
    for (uint32_t at = 0; at < s->targets.count; at++) {
        if (s->had[at]) continue;
        /* Not all have more than their share while something is left. */
        for (uint32_t n = 0; s->ret[i].count > share_max && n < s->in->members_count; n++)
            i = (i + 1) % s->in->members_count;
        give(s, i, at);
        i = (i + 1) % s->in->members_count;
    }
}

static bool subscribes(const struct assignor_member *m, uint32_t topic)
{
    for (uint32_t k = 0; k < m->topics_count; k++)
        if (m->topics[k] == topic) return true;
    return false;
}

/* Topic by topic, round those that subscribe it. */
static void go_round_subscribers(struct simple *s)
{
    const struct assignor_input *in = s->in;
    uint32_t *members = xcalloc((size_t)in->members_count + 1, sizeof members[0]);
    for (uint32_t t = 0; t < in->topics_count; t++) {
        uint32_t count = 0, next = 0;
        for (uint32_t i = 0; i < in->members_count; i++)
            if (subscribes(&in->members[i], t)) members[count++] = i;
        for (uint32_t at = s->first[t]; count && at < s->first[t + 1]; at++)
            if (!s->had[at]) give(s, members[next++ % count], at);
    }
    free(members);
}

static void assign(const struct assignor_input *in, struct partition_set *ret)
{
    struct simple s;
    if (!in->members_count) return;
    simple_init(&s, in, ret);
    uint32_t share_max = in->same_topics ? (s.targets.count + in->members_count - 1) / in->members_count : UINT32_MAX;
    assign_by_hash(&s);
    keep_current(&s, share_max);
    if (in->same_topics && in->members[0].topics_count) go_round_all(&s, share_max);
    else if (!in->same_topics) go_round_subscribers(&s);
    for (uint32_t i = 0; i < in->members_count; i++) partition_set_sort(&ret[i]);
    simple_done(&s);
}

const struct assignor assignor_simple = {"simple", assign};
