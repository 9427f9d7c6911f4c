/* broker/group/consumer_target.c: see consumer_target.h. */
#include "broker/group/consumer_target.h"

#include "broker/group/consumer_members.h"

#define NO_TOPIC UINT32_MAX

struct found_topic {
    struct assignor_topic topic;
    uint32_t name;
};

static int topic_order(const void *a, const void *b)
{
    return memcmp(((const struct found_topic *)a)->topic.id.bytes, ((const struct found_topic *)b)->topic.id.bytes,
                  sizeof(struct uuid));
}

/* FNV-1a. Kafka's function is another one: a group that moves between the two programs gets a new epoch once, and keeps
 * its assignment. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

void consumer_topics_resolve(struct consumer_group *c, struct consumer_topics *r)
{
    struct group_host *h = c->group.groups->host;
    consumer_subscribed(c);
    size_t names = (size_t)c->subscribed_count + 1;
    *r = (struct consumer_topics){.topics = xcalloc(names, sizeof r->topics[0]),
                                  .of_name = xcalloc(names, sizeof r->of_name[0])};
    AUTO_FREE struct found_topic *found = xcalloc(names, sizeof *found);
    uint64_t hash = 0xcbf29ce484222325u;
    for (int32_t i = 0; i < c->subscribed_count; i++) {
        struct group_topic t;
        r->of_name[i] = NO_TOPIC;
        if (!h->topic_by_name(h, c->subscribed[i], &t)) continue;
        found[r->count++] =
            (struct found_topic){.topic = {.id = t.id, .partitions_count = t.partitions_count}, .name = (uint32_t)i};
        hash = hash_bytes(hash, t.name.ptr, t.name.len);
        hash = hash_bytes(hash, t.id.bytes, sizeof t.id.bytes);
        hash = hash_bytes(hash, &t.partitions_count, sizeof t.partitions_count);
    }
    r->hash = r->count ? hash : 0;
    qsort(found, r->count, sizeof found[0], topic_order);
    for (uint32_t i = 0; i < r->count; i++) {
        r->topics[i] = found[i].topic;
        r->of_name[found[i].name] = i;
    }
}

void consumer_topics_done(struct consumer_topics *r)
{
    free(r->topics);
    free(r->of_name);
}

static int index_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t add_indexes(const struct consumer_group *c, const struct consumer_topics *r, const struct slice *topics,
                            int32_t count, uint32_t *to)
{
    uint32_t added = 0;
    for (int32_t i = 0; i < count; i++) {
        const struct slice *name =
            bsearch(&topics[i], c->subscribed, (size_t)c->subscribed_count, sizeof c->subscribed[0], slice_order);
        if (name && r->of_name[name - c->subscribed] != NO_TOPIC) to[added++] = r->of_name[name - c->subscribed];
    }
    return added;
}

/* The topics of one member as indexes, in an array of its own. */
static uint32_t *member_topics(const struct consumer_group *c, const struct consumer_topics *r,
                               const struct consumer_profile *p, uint32_t *ret_count)
{
    const struct consumer_regex *regex = consumer_has_regex(p) ? consumer_regex_find(c, p->regex) : NULL;
    uint32_t *indexes =
        xcalloc((size_t)p->topics_count + (size_t)(regex ? regex->topics_count : 0) + 1, sizeof *indexes);
    uint32_t count = add_indexes(c, r, p->topics, p->topics_count, indexes), kept = 0;
    if (regex) count += add_indexes(c, r, regex->topics, regex->topics_count, indexes + count);
    qsort(indexes, count, sizeof indexes[0], index_order);
    for (uint32_t i = 0; i < count; i++)
        if (!kept || indexes[kept - 1] != indexes[i]) indexes[kept++] = indexes[i];
    *ret_count = kept;
    return indexes;
}

static const struct assignor *preferred_assignor(const struct consumer_group *c)
{
    const struct group_config *config = &c->group.groups->config;
    int32_t votes[GROUP_ASSIGNORS_MAX] = {0}, best = 0;
    for (const struct consumer_member *m = c->members; m; m = m->hh.next)
        for (int32_t i = 0; m->profile.assignor.ptr && i < config->consumer_assignors_count; i++)
            votes[i] += slice_eq_text(m->profile.assignor, config->consumer_assignors[i]->name);
    for (int32_t i = 1; i < config->consumer_assignors_count; i++)
        if (votes[i] > votes[best]) best = i;
    return config->consumer_assignors[best];
}

const char *consumer_assignor_name(const struct consumer_group *c)
{
    return preferred_assignor(c)->name;
}

static int member_order(const void *a, const void *b)
{
    return strcmp((*(struct consumer_member *const *)a)->id, (*(struct consumer_member *const *)b)->id);
}

void consumer_targets_compute(const struct consumer_group *c, const struct consumer_topics *r,
                              struct consumer_targets *ret)
{
    uint32_t count = HASH_COUNT(c->members);
    *ret = (struct consumer_targets){.members = xcalloc((size_t)count + 1, sizeof ret->members[0]),
                                     .sets = xcalloc((size_t)count + 1, sizeof ret->sets[0]),
                                     .count = count};
    AUTO_FREE struct assignor_member *members = xcalloc((size_t)count + 1, sizeof *members);
    AUTO_FREE uint32_t **owned = xcalloc((size_t)count + 1, sizeof *owned);
    struct assignor_input in = {
        .topics = r->topics, .topics_count = r->count, .members = members, .members_count = count};
    uint32_t n = 0;
    for (struct consumer_member *m = c->members; m; m = m->hh.next) ret->members[n++] = m;
    qsort(ret->members, count, sizeof ret->members[0], member_order);
    in.same_topics = true;
    for (uint32_t i = 0; i < count; i++) {
        const struct consumer_member *m = ret->members[i], *before = i ? ret->members[i - 1] : NULL;
        members[i] = (struct assignor_member){
            .id = slice_of(m->id), .instance_id = m->profile.instance_id, .current = &m->target};
        if (before && consumer_topics_eq(&before->profile, &m->profile) &&
            slice_eq(before->profile.regex, m->profile.regex)) {
            members[i].topics = members[i - 1].topics; /* most members subscribe what the one before does */
            members[i].topics_count = members[i - 1].topics_count;
            continue;
        }
        owned[i] = member_topics(c, r, &m->profile, &members[i].topics_count);
        members[i].topics = owned[i];
        if (before)
            in.same_topics = in.same_topics && members[i].topics_count == members[i - 1].topics_count &&
                             memcmp(members[i].topics, members[i - 1].topics,
                                    members[i].topics_count * sizeof members[i].topics[0]) == 0;
    }
    if (count) preferred_assignor(c)->assign(&in, ret->sets);
    for (uint32_t i = 0; i < count; i++) free(owned[i]);
}

void consumer_targets_done(struct consumer_targets *t)
{
    for (uint32_t i = 0; i < t->count; i++) partition_set_done(&t->sets[i]);
    free(t->members);
    free(t->sets);
}
