/* broker/group/group_members.c: see group_members.h. */
#include "broker/group/group_members.h"

#include "base/uuid.h"
#include "broker/limits.h"

/* What is added to the client's name to make a member id: "-" and a UUID. */
#define MEMBER_ID_SUFFIX_BYTES 37

static char *text_of(struct slice s)
{
    char *text = xmalloc(s.len + 1);
    if (s.len) memcpy(text, s.ptr, s.len);
    text[s.len] = 0;
    return text;
}

static void text_set(char **to, struct slice s)
{
    char *text = s.ptr ? text_of(s) : NULL; /* s may point into *to */
    free(*to);
    *to = text;
}

void classic_group_text_set(struct classic_group *c, char **to, struct slice s)
{
    group_count_bytes(&c->group, (int64_t)s.len - (*to ? (int64_t)strlen(*to) : 0));
    text_set(to, s);
}

/* -- members -- */

static size_t member_bytes(const struct classic_member *m)
{
    return sizeof *m + 2 * strlen(m->id) + strlen(m->client_id) + strlen(m->client_host) + m->protocols_bytes +
           m->assignment.len;
}

static void count_bytes(struct classic_member *m, int sign)
{
    group_count_bytes(&m->group->group, sign * (int64_t)member_bytes(m));
}

void classic_assignment_clear(struct classic_member *m)
{
    group_count_bytes(&m->group->group, -(int64_t)m->assignment.len);
    if (m->assignment.len) free((void *)(uintptr_t)m->assignment.ptr);
    m->assignment = SLICE_EMPTY;
}

bool classic_assignment_set(struct classic_member *m, struct slice assignment)
{
    classic_assignment_clear(m);
    if (!assignment.len) return true;
    uint8_t *copy = groups_have_room(m->group->group.groups, assignment.len) ? malloc(assignment.len) : NULL;
    if (!copy) return false;
    memcpy(copy, assignment.ptr, assignment.len);
    m->assignment = slice_make(copy, assignment.len);
    group_count_bytes(&m->group->group, assignment.len);
    return true;
}

static size_t protocols_bytes(const struct classic_join *in)
{
    size_t bytes = (size_t)MAX(in->protocols_count, 0) * sizeof in->protocols[0];
    for (int32_t i = 0; i < in->protocols_count; i++)
        bytes += in->protocols[i].name.len + in->protocols[i].metadata.len;
    return bytes;
}

/* False: no memory, and nothing is changed. */
static bool protocols_set(struct classic_member *m, const struct classic_join *in)
{
    const struct classic_protocol *protocols = in->protocols;
    int32_t count = in->protocols_count;
    size_t bytes = protocols_bytes(in);
    struct classic_protocol *copy = malloc(bytes + 1);
    if (!copy) return false;
    uint8_t *p = (uint8_t *)(copy + count);
    for (int32_t i = 0; i < count; i++) {
        struct slice from[2] = {protocols[i].name, protocols[i].metadata}, to[2];
        for (int k = 0; k < 2; k++) {
            if (from[k].len) memcpy(p, from[k].ptr, from[k].len);
            to[k] = slice_make(p, from[k].len);
            p += from[k].len;
        }
        copy[i] = (struct classic_protocol){.name = to[0], .metadata = to[1]};
    }
    free(m->protocols);
    m->protocols = copy;
    m->protocols_count = count;
    m->protocols_bytes = bytes;
    return true;
}

static const struct classic_protocol *member_protocol(const struct classic_member *m, struct slice name)
{
    for (int32_t i = 0; i < m->protocols_count; i++)
        if (slice_eq(m->protocols[i].name, name)) return &m->protocols[i];
    return NULL;
}

struct slice classic_member_metadata(const struct classic_member *m)
{
    if (!m->group->protocol_name) return SLICE_EMPTY;
    const struct classic_protocol *p = member_protocol(m, slice_of(m->group->protocol_name));
    return p ? p->metadata : SLICE_EMPTY;
}

bool classic_member_matches(const struct classic_member *m, const struct classic_join *in)
{
    if (m->protocols_count != in->protocols_count) return false;
    for (int32_t i = 0; i < m->protocols_count; i++)
        if (!slice_eq(m->protocols[i].name, in->protocols[i].name) ||
            !slice_eq(m->protocols[i].metadata, in->protocols[i].metadata))
            return false;
    return true;
}

struct classic_member *classic_member_find(const struct classic_group *c, struct slice id)
{
    struct classic_member *m;
    HASH_FIND(hh, c->members, id.ptr, id.len, m);
    return m;
}

struct classic_member *classic_instance_find(const struct classic_group *c, struct slice instance_id)
{
    struct classic_member *m;
    HASH_FIND(hh_instance, c->by_instance, instance_id.ptr, instance_id.len, m);
    return m;
}

struct classic_pending *classic_pending_find(const struct classic_group *c, struct slice id)
{
    struct classic_pending *p;
    HASH_FIND(hh, c->pending, id.ptr, id.len, p);
    return p;
}

enum kafka_error classic_member_check(const struct classic_group *c, struct slice id, struct slice instance_id,
                                      struct classic_member **ret_member)
{
    if (instance_id.ptr) {
        struct classic_member *m = classic_instance_find(c, instance_id);
        if (!m) return KAFKA_UNKNOWN_MEMBER_ID;
        if (!slice_eq_text(id, m->id)) return KAFKA_FENCED_INSTANCE_ID;
    }
    struct classic_member *m = classic_member_find(c, id);
    if (!m) return KAFKA_UNKNOWN_MEMBER_ID;
    *ret_member = m;
    return KAFKA_NONE;
}

bool classic_member_update(struct classic_member *m, const struct classic_join *in)
{
    count_bytes(m, -1);
    bool ok = protocols_set(m, in);
    count_bytes(m, 1);
    if (!ok) return false;
    m->session_timeout_ms = in->session_timeout_ms;
    m->rebalance_timeout_ms = in->rebalance_timeout_ms;
    return true;
}

void classic_pending_remove(struct classic_pending *p)
{
    struct classic_group *c = p->group;
    HASH_DEL(c->pending, p);
    group_timer_stop(&p->timer);
    group_count_bytes(&c->group, -(int64_t)(sizeof *p + p->id_len));
    free(p);
}

struct classic_member *classic_member_add(struct classic_group *c, const struct classic_join *in, struct slice id,
                                          void (*expired)(struct group_timer *t))
{
    struct classic_member *m = xcalloc(1, sizeof *m);
    if (!protocols_set(m, in)) {
        free(m);
        return NULL;
    }
    m->group = c;
    m->id = text_of(id);
    m->instance_id = in->instance_id.ptr ? text_of(in->instance_id) : NULL;
    m->client_id = text_of(in->client_id);
    m->client_host = text_of(in->client_host);
    m->session_timeout_ms = in->session_timeout_ms;
    m->rebalance_timeout_ms = in->rebalance_timeout_ms;
    m->assignment = SLICE_EMPTY;
    group_timer_init(&m->session, c->group.groups->host, expired);

    if (!c->members) classic_group_text_set(c, &c->protocol_type, in->protocol_type);
    if (!c->leader) c->leader = m;
    HASH_ADD_KEYPTR(hh, c->members, m->id, strlen(m->id), m);
    if (m->instance_id) HASH_ADD_KEYPTR(hh_instance, c->by_instance, m->instance_id, strlen(m->instance_id), m);
    struct classic_pending *p = classic_pending_find(c, id);
    if (p) classic_pending_remove(p);
    count_bytes(m, 1);
    return m;
}

void classic_member_free(struct classic_member *m)
{
    struct classic_group *c = m->group;
    group_timer_stop(&m->session);
    count_bytes(m, -1);
    HASH_DELETE(hh, c->members, m);
    if (m->instance_id) HASH_DELETE(hh_instance, c->by_instance, m);
    if (c->leader == m) c->leader = c->members; /* the longest-standing one, or NULL */
    if (m->assignment.len) free((void *)(uintptr_t)m->assignment.ptr);
    free(m->protocols);
    free(m->client_host);
    free(m->client_id);
    free(m->instance_id);
    free(m->id);
    free(m);
}

void classic_member_set_id(struct classic_member *m, struct slice id)
{
    struct classic_group *c = m->group;
    count_bytes(m, -1);
    HASH_DELETE(hh, c->members, m);
    text_set(&m->id, id);
    HASH_ADD_KEYPTR(hh, c->members, m->id, strlen(m->id), m);
    count_bytes(m, 1);
}

void classic_pending_add(struct classic_group *c, const struct classic_join *in, struct slice id,
                         void (*expired)(struct group_timer *t))
{
    struct classic_pending *p = xcalloc(1, sizeof *p + id.len);
    p->group = c;
    memcpy(p->id, id.ptr, id.len);
    p->id_len = id.len;
    group_timer_init(&p->timer, c->group.groups->host, expired);
    HASH_ADD_KEYPTR(hh, c->pending, p->id, p->id_len, p);
    group_count_bytes(&c->group, (int64_t)(sizeof *p + p->id_len));
    group_timer_start(&p->timer, in->session_timeout_ms);
}

/* -- what they may bring -- */

bool classic_memory_allows(const struct groups *gs, const struct classic_group *c, const struct classic_join *in)
{
    const struct classic_member *m = c ? classic_member_find(c, in->member_id) : NULL;
    if (!m && c && in->instance_id.ptr) m = classic_instance_find(c, in->instance_id);
    size_t bytes = protocols_bytes(in);
    if (m) return bytes <= m->protocols_bytes || groups_have_room(gs, bytes - m->protocols_bytes);
    bytes += sizeof *m + 2 * ((size_t)in->client_id.len + in->instance_id.len + MEMBER_ID_SUFFIX_BYTES) +
             in->client_host.len;
    if (!c) bytes += sizeof *c + in->group_id.len + in->protocol_type.len;
    return groups_have_room(gs, bytes);
}

char *classic_member_id_make(const struct classic_join *in)
{
    struct uuid u = uuid_random();
    const uint8_t *b = u.bytes;
    struct slice prefix = in->instance_id.ptr ? in->instance_id : in->client_id;
    return xasprintf(SLICE_FMT "-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                     SLICE_ARG(prefix), b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
                     b[13], b[14], b[15]);
}

/* -- choosing the protocol -- */

static bool protocol_is_common(const struct classic_group *c, struct slice name)
{
    for (struct classic_member *m = c->members; m; m = m->hh.next)
        if (!member_protocol(m, name)) return false;
    return true;
}

bool classic_protocols_fit(const struct classic_group *c, const struct classic_join *in)
{
    if (c->state == CLASSIC_EMPTY) return in->protocol_type.len && in->protocols_count > 0;
    if (!slice_eq(in->protocol_type, slice_of(c->protocol_type))) return false;
    for (int32_t i = 0; i < in->protocols_count; i++)
        if (protocol_is_common(c, in->protocols[i].name)) return true;
    return false;
}

struct slice classic_protocol_choose(const struct classic_group *c)
{
    const struct classic_member *first = c->members;
    const struct classic_protocol *common[GROUP_PROTOCOLS_MAX];
    int votes[GROUP_PROTOCOLS_MAX] = {0};
    int32_t common_count = 0, best = 0;
    for (int32_t i = 0; i < first->protocols_count && common_count < GROUP_PROTOCOLS_MAX; i++)
        if (protocol_is_common(c, first->protocols[i].name)) common[common_count++] = &first->protocols[i];
    if (!common_count) return SLICE_NULL;
    for (const struct classic_member *m = c->members; m; m = m->hh.next) {
        int32_t voted = common_count;
        for (int32_t k = 0; k < m->protocols_count && voted == common_count; k++)
            for (voted = 0; voted < common_count; voted++)
                if (slice_eq(common[voted]->name, m->protocols[k].name)) break;
        votes[voted]++;
    }
    for (int32_t i = 1; i < common_count; i++)
        if (votes[i] > votes[best]) best = i;
    return common[best]->name;
}

/* Reads the topics of a ConsumerProtocolSubscription: int16 version, array of strings. Returns how many, -1:
 * undecodable. */
static int32_t subscription_topics(struct slice s, struct slice *topics, int32_t topics_max)
{
    if (s.len < 6) return -1;
    const uint8_t *p = s.ptr + 2, *end = s.ptr + s.len;
    int32_t count = (int32_t)be32_load(p);
    p += 4;
    if (count < 0 || count > (end - p) / 2) return -1;
    for (int32_t i = 0; i < count; i++) {
        if (end - p < 2) return -1;
        int16_t length = (int16_t)be16_load(p);
        p += 2;
        if (length < 0 || length > end - p) return -1;
        if (i < topics_max) topics[i] = slice_make(p, (uint32_t)length);
        p += length;
    }
    return count;
}

void classic_topics_update(struct classic_group *c)
{
    free(c->topics);
    group_count_bytes(&c->group, -(int64_t)c->topics_bytes);
    c->topics = NULL;
    c->topics_bytes = 0;
    c->topics_count = 0;
    c->topics_known = false;
    if (!c->protocol_type || strcmp(c->protocol_type, "consumer") != 0) return;
    if (c->members && !c->protocol_name) return;
    int64_t sum = 0;
    size_t bytes = 0;
    for (struct classic_member *m = c->members; m; m = m->hh.next) {
        int32_t count = subscription_topics(classic_member_metadata(m), NULL, 0);
        if (count < 0) return;
        sum += count;
        bytes += classic_member_metadata(m).len;
    }
    bytes += (size_t)sum * sizeof c->topics[0];
    if (sum > GROUP_TOPICS_MAX || !groups_have_room(c->group.groups, bytes)) return;
    c->topics = malloc(bytes + 1);
    if (!c->topics) return;
    c->topics_bytes = bytes;
    group_count_bytes(&c->group, (int64_t)bytes);
    uint8_t *p = (uint8_t *)(c->topics + sum);
    for (struct classic_member *m = c->members; m; m = m->hh.next) {
        struct slice *topics = c->topics + c->topics_count;
        int32_t count = subscription_topics(classic_member_metadata(m), topics, (int32_t)sum - c->topics_count);
        for (int32_t i = 0; i < count; i++) {
            memcpy(p, topics[i].ptr, topics[i].len);
            topics[i].ptr = p;
            p += topics[i].len;
        }
        c->topics_count += count;
    }
    qsort(c->topics, (size_t)c->topics_count, sizeof c->topics[0], slice_order);
    c->topics_known = true;
}

bool classic_topics_have(const struct classic_group *c, struct slice topic)
{
    return bsearch(&topic, c->topics, (size_t)c->topics_count, sizeof c->topics[0], slice_order) != NULL;
}
