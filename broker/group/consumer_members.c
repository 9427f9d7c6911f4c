/* broker/group/consumer_members.c: see consumer_members.h. */
#include "broker/group/consumer_members.h"

#include "base/log.h"

struct consumer_topic {
    UT_hash_handle hh;
    struct uuid id;
    int32_t size;                     /* of holders */
    int32_t count;                    /* how many are not NULL */
    struct consumer_member **holders; /* by partition */
};

static void count_bytes(struct consumer_group *c, int64_t bytes)
{
    group_count_bytes(&c->group, bytes);
}

/* -- profiles -- */

static bool topics_eq(const struct slice *a, int32_t a_count, const struct slice *b, int32_t b_count)
{
    if (a_count != b_count) return false;
    for (int32_t i = 0; i < a_count; i++)
        if (!slice_eq(a[i], b[i])) return false;
    return true;
}

bool consumer_topics_eq(const struct consumer_profile *a, const struct consumer_profile *b)
{
    return topics_eq(a->topics, a->topics_count, b->topics, b->topics_count);
}

bool consumer_profile_eq(const struct consumer_profile *a, const struct consumer_profile *b)
{
    if (!slice_eq(a->instance_id, b->instance_id) || !slice_eq(a->rack_id, b->rack_id) ||
        !slice_eq(a->client_id, b->client_id) || !slice_eq(a->client_host, b->client_host) ||
        !slice_eq(a->regex, b->regex) || !slice_eq(a->assignor, b->assignor) ||
        a->rebalance_timeout_ms != b->rebalance_timeout_ms || !consumer_topics_eq(a, b) ||
        a->is_classic != b->is_classic)
        return false;
    if (!a->is_classic) return true;
    if (a->session_timeout_ms != b->session_timeout_ms || a->protocols_count != b->protocols_count) return false;
    for (int32_t i = 0; i < a->protocols_count; i++)
        if (!slice_eq(a->protocols[i].name, b->protocols[i].name) ||
            !slice_eq(a->protocols[i].metadata, b->protocols[i].metadata))
            return false;
    return true;
}

size_t consumer_profile_bytes(const struct consumer_profile *p)
{
    size_t bytes = (size_t)p->topics_count * sizeof p->topics[0] +
                   (size_t)(p->is_classic ? p->protocols_count : 0) * sizeof p->protocols[0];
    bytes += (size_t)p->instance_id.len + p->rack_id.len + p->client_id.len + p->client_host.len + p->regex.len +
             p->assignor.len;
    for (int32_t i = 0; i < p->topics_count; i++) bytes += p->topics[i].len;
    for (int32_t i = 0; p->is_classic && i < p->protocols_count; i++)
        bytes += (size_t)p->protocols[i].name.len + p->protocols[i].metadata.len;
    return bytes;
}

static struct slice packed(uint8_t **at, struct slice s)
{
    if (!s.ptr) return s;
    if (s.len) memcpy(*at, s.ptr, s.len);
    struct slice copy = slice_make(*at, s.len);
    *at += s.len;
    return copy;
}

void *consumer_profile_copy(const struct consumer_profile *from, struct consumer_profile *to)
{
    void *memory = xmalloc(consumer_profile_bytes(from) + 1);
    struct slice *topics = memory;
    struct classic_protocol *protocols = (struct classic_protocol *)(topics + from->topics_count);
    int32_t protocols_count = from->is_classic ? from->protocols_count : 0;
    uint8_t *at = (uint8_t *)(protocols + protocols_count);
    struct consumer_profile p = *from;
    p.instance_id = packed(&at, from->instance_id);
    p.rack_id = packed(&at, from->rack_id);
    p.client_id = packed(&at, from->client_id);
    p.client_host = packed(&at, from->client_host);
    p.regex = packed(&at, from->regex);
    p.assignor = packed(&at, from->assignor);
    for (int32_t i = 0; i < from->topics_count; i++) topics[i] = packed(&at, from->topics[i]);
    for (int32_t i = 0; i < protocols_count; i++) {
        protocols[i].name = packed(&at, from->protocols[i].name);
        protocols[i].metadata = packed(&at, from->protocols[i].metadata);
    }
    p.topics = topics;
    p.protocols = protocols;
    p.protocols_count = protocols_count;
    *to = p;
    return memory;
}

/* -- who holds what -- */

static struct consumer_topic *topic_find(const struct consumer_group *c, struct uuid id)
{
    struct consumer_topic *t;
    HASH_FIND(hh, c->held, id.bytes, sizeof id.bytes, t);
    return t;
}

struct consumer_member *consumer_holder(const struct consumer_group *c, struct uuid topic_id, int32_t partition)
{
    const struct consumer_topic *t = topic_find(c, topic_id);
    return t && partition >= 0 && partition < t->size ? t->holders[partition] : NULL;
}

static void hold(struct consumer_member *m, const struct partition_set *s)
{
    struct consumer_group *c = m->group;
    for (uint32_t i = 0; i < s->count; i++) {
        struct consumer_topic *t = topic_find(c, s->items[i].topic_id);
        int32_t p = s->items[i].partition;
        if (p < 0 || p >= CONSUMER_PARTITION_MAX) continue;
        if (!t) {
            t = xcalloc(1, sizeof *t);
            t->id = s->items[i].topic_id;
            HASH_ADD(hh, c->held, id, sizeof t->id, t);
            count_bytes(c, sizeof *t);
        }
        if (p >= t->size) {
            int32_t size = MAX(p + 1, MIN(t->size * 2, CONSUMER_PARTITION_MAX));
            t->holders = xrealloc(t->holders, (size_t)size * sizeof t->holders[0]);
            for (int32_t k = t->size; k < size; k++) t->holders[k] = NULL;
            count_bytes(c, (int64_t)(size - t->size) * (int64_t)sizeof t->holders[0]);
            t->size = size;
        }
        if (t->holders[p] && t->holders[p] != m)
            log_warn("group", "a partition had two holders group=%s partition=%d member=%s former=%s", c->group.id, p,
                     m->id, t->holders[p]->id);
        t->count += t->holders[p] == NULL;
        t->holders[p] = m;
    }
}

static void release(struct consumer_member *m, const struct partition_set *s)
{
    struct consumer_group *c = m->group;
    for (uint32_t i = 0; i < s->count; i++) {
        struct consumer_topic *t = topic_find(c, s->items[i].topic_id);
        int32_t p = s->items[i].partition;
        if (!t || p < 0 || p >= t->size || t->holders[p] != m) continue;
        t->holders[p] = NULL;
        if (--t->count) continue;
        count_bytes(c, -(int64_t)(sizeof *t + (size_t)t->size * sizeof t->holders[0]));
        HASH_DEL(c->held, t);
        free(t->holders);
        free(t);
    }
}

/* -- positions and targets -- */

bool consumer_position_eq(const struct consumer_position *a, const struct consumer_position *b)
{
    return a->epoch == b->epoch && a->previous_epoch == b->previous_epoch && a->state == b->state &&
           partition_set_eq(&a->assigned, &b->assigned) && partition_set_eq(&a->revoking, &b->revoking);
}

void consumer_position_done(struct consumer_position *p)
{
    partition_set_done(&p->assigned);
    partition_set_done(&p->revoking);
}

static int64_t set_bytes(const struct partition_set *s)
{
    return (int64_t)(s->size * sizeof s->items[0]);
}

static void set_replace(struct consumer_group *c, struct partition_set *to, const struct partition_set *from)
{
    struct partition_set copy = partition_set_copy(from);
    count_bytes(c, set_bytes(&copy) - set_bytes(to));
    partition_set_done(to);
    *to = copy;
}

static void position_set(struct consumer_member *m, const struct consumer_position *p)
{
    struct consumer_position *to = &m->position;
    release(m, &to->assigned);
    release(m, &to->revoking);
    set_replace(m->group, &to->assigned, &p->assigned);
    set_replace(m->group, &to->revoking, &p->revoking);
    to->epoch = p->epoch;
    to->previous_epoch = p->previous_epoch;
    to->state = p->state;
    hold(m, &to->assigned);
    hold(m, &to->revoking);
}

/* -- members -- */

struct consumer_member *consumer_member_find(const struct consumer_group *c, struct slice id)
{
    struct consumer_member *m;
    HASH_FIND(hh, c->members, id.ptr, id.len, m);
    return m;
}

struct consumer_member *consumer_instance_find(const struct consumer_group *c, struct slice instance_id)
{
    struct consumer_member *m;
    HASH_FIND(hh_instance, c->by_instance, instance_id.ptr, instance_id.len, m);
    return m;
}

static void instance_remove(struct consumer_member *m)
{
    struct consumer_group *c = m->group;
    if (m->profile.instance_id.ptr && consumer_instance_find(c, m->profile.instance_id) == m)
        HASH_DELETE(hh_instance, c->by_instance, m);
}

static void profile_set(struct consumer_member *m, const struct consumer_profile *p)
{
    struct consumer_group *c = m->group;
    struct consumer_profile copy;
    void *memory = consumer_profile_copy(p, &copy); /* before the old one goes: p may point into it */
    instance_remove(m);
    free(m->profile_memory);
    m->profile = copy;
    m->profile_memory = memory;
    count_bytes(c, (int64_t)consumer_profile_bytes(&copy) - (int64_t)m->profile_bytes);
    m->profile_bytes = consumer_profile_bytes(&copy);
    c->subscribed_known = false;
    if (!copy.instance_id.ptr) return;
    struct consumer_member *other = consumer_instance_find(c, copy.instance_id);
    if (other) HASH_DELETE(hh_instance, c->by_instance, other);
    HASH_ADD_KEYPTR(hh_instance, c->by_instance, m->profile.instance_id.ptr, m->profile.instance_id.len, m);
}

static struct consumer_member *member_make(struct consumer_group *c, struct slice id)
{
    struct consumer_member *m = consumer_member_find(c, id);
    if (m) return m;
    m = xcalloc(1, sizeof *m);
    m->group = c;
    m->id = slice_strdup(id);
    HASH_ADD_KEYPTR(hh, c->members, m->id, id.len, m);
    count_bytes(c, (int64_t)(sizeof *m + id.len));
    struct group_host *host = c->group.groups->host;
    group_timer_init(&m->session, host, c->timers->session_expired);
    group_timer_init(&m->rebalance, host, c->timers->rebalance_expired);
    group_timer_init(&m->sync, host, c->timers->sync_expired);
    profile_set(m, &(struct consumer_profile){.client_id = SLICE_EMPTY, .client_host = SLICE_EMPTY});
    return m;
}

static void member_free(struct consumer_member *m)
{
    struct consumer_group *c = m->group;
    position_set(m, &(struct consumer_position){0});
    set_replace(c, &m->target, &(struct partition_set){0});
    group_timer_stop(&m->session);
    group_timer_stop(&m->rebalance);
    group_timer_stop(&m->sync);
    instance_remove(m);
    HASH_DELETE(hh, c->members, m);
    count_bytes(c, -(int64_t)(sizeof *m + strlen(m->id) + m->profile_bytes));
    c->subscribed_known = false;
    free(m->profile_memory);
    free(m->id);
    free(m);
}

/* -- regular expressions -- */

const struct consumer_regex *consumer_regex_find(const struct consumer_group *c, struct slice regex)
{
    struct consumer_regex *r;
    HASH_FIND(hh, c->regexes, regex.ptr, regex.len, r);
    return r;
}

uint32_t consumer_regex_members(const struct consumer_group *c, struct slice regex)
{
    uint32_t count = 0;
    for (const struct consumer_member *m = c->members; m; m = m->hh.next) count += slice_eq(m->profile.regex, regex);
    return count;
}

static void regex_remove(struct consumer_group *c, struct slice text)
{
    struct consumer_regex *r = (struct consumer_regex *)(uintptr_t)consumer_regex_find(c, text);
    if (!r) return;
    HASH_DEL(c->regexes, r);
    count_bytes(c, -(int64_t)r->bytes);
    free(r->topics);
    free(r->text);
    free(r);
    c->subscribed_known = false;
}

static void regex_set(struct consumer_group *c, const struct consumer_change *change)
{
    struct consumer_regex *r = xcalloc(1, sizeof *r);
    size_t names = 0;
    for (int32_t i = 0; i < change->topics_count; i++) names += change->topics[i].len;
    r->text = slice_strdup(change->key);
    r->topics_count = change->topics_count;
    r->topics = xmalloc((size_t)r->topics_count * sizeof r->topics[0] + names + 1);
    uint8_t *at = (uint8_t *)(r->topics + r->topics_count);
    for (int32_t i = 0; i < r->topics_count; i++) r->topics[i] = packed(&at, change->topics[i]);
    r->version = change->version;
    r->time_ms = change->time_ms;
    r->bytes = sizeof *r + change->key.len + (size_t)r->topics_count * sizeof r->topics[0] + names;
    regex_remove(c, change->key);
    HASH_ADD_KEYPTR(hh, c->regexes, r->text, change->key.len, r);
    count_bytes(c, (int64_t)r->bytes);
    c->subscribed_known = false;
}

/* -- what is subscribed -- */

struct names {
    struct slice *items;
    size_t count, size;
};

static void names_add(struct names *n, const struct slice *topics, int32_t count)
{
    if (n->count + (size_t)count > n->size) {
        n->size = MAX(n->size * 2, n->count + (size_t)count);
        n->items = xrealloc(n->items, n->size * sizeof n->items[0]);
    }
    if (count) memcpy(n->items + n->count, topics, (size_t)count * sizeof n->items[0]);
    n->count += (size_t)count;
}

void consumer_subscribed(struct consumer_group *c)
{
    if (c->subscribed_known) return;
    struct names n = {0};
    const struct consumer_profile *before = NULL;
    for (const struct consumer_member *m = c->members; m; m = m->hh.next) {
        /* Most members subscribe what the one before does. */
        if (!before || !consumer_topics_eq(before, &m->profile))
            names_add(&n, m->profile.topics, m->profile.topics_count);
        before = &m->profile;
    }
    for (const struct consumer_regex *r = c->regexes; r; r = r->hh.next) names_add(&n, r->topics, r->topics_count);
    if (n.count) qsort(n.items, n.count, sizeof n.items[0], slice_order);
    size_t kept = 0;
    for (size_t i = 0; i < n.count; i++)
        if (!kept || !slice_eq(n.items[kept - 1], n.items[i])) n.items[kept++] = n.items[i];
    free(c->subscribed);
    c->subscribed = n.items;
    c->subscribed_count = (int32_t)kept;
    c->subscribed_known = true;
}

bool consumer_is_subscribed(struct consumer_group *c, struct slice topic)
{
    consumer_subscribed(c);
    return c->subscribed_count &&
           bsearch(&topic, c->subscribed, (size_t)c->subscribed_count, sizeof c->subscribed[0], slice_order);
}

/* -- the fold -- */

static void member_apply(struct consumer_group *c, const struct consumer_change *change)
{
    struct consumer_member *m = change->removed ? consumer_member_find(c, change->key) : member_make(c, change->key);
    if (!m) return;
    switch (change->type) {
    case CONSUMER_CHANGE_PROFILE:
        if (change->removed) member_free(m);
        else profile_set(m, change->profile);
        break;
    case CONSUMER_CHANGE_TARGET:
        set_replace(c, &m->target, change->removed ? &(struct partition_set){0} : change->target);
        break;
    default: position_set(m, change->removed ? &(struct consumer_position){0} : change->position); break;
    }
}

void consumer_apply(struct consumer_group *c, const struct consumer_change *change)
{
    switch (change->type) {
    case CONSUMER_CHANGE_EPOCH:
        c->epoch = change->epoch;
        c->metadata_hash = change->metadata_hash;
        break;
    case CONSUMER_CHANGE_OLD_METADATA: c->has_old_metadata = !change->removed; break;
    case CONSUMER_CHANGE_TARGET_EPOCH: c->assignment_epoch = change->epoch; break;
    case CONSUMER_CHANGE_PROFILE:
    case CONSUMER_CHANGE_TARGET:
    case CONSUMER_CHANGE_POSITION: member_apply(c, change); break;
    case CONSUMER_CHANGE_REGEX:
        if (change->removed) regex_remove(c, change->key);
        else regex_set(c, change);
        break;
    }
}

void consumer_clear(struct consumer_group *c)
{
    while (c->members) member_free(c->members);
    while (c->regexes) regex_remove(c, consumer_regex_text(c->regexes));
    free(c->subscribed);
    c->subscribed = NULL;
    c->subscribed_count = 0;
    c->subscribed_known = false;
}
