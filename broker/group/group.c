/* broker/group/group.c: see group.h. */
#include "broker/group/group.h"

#include "base/log.h"
#include "broker/group/assignor.h"
#include "broker/coordinator/coordinator_records.h"
#include "broker/group/group_classic.h"

#define OFFSETS_PER_APPEND_MAX 1000 /* of expiry: bounds the memory for one append */

void groups_init(struct groups *gs, struct group_host *host)
{
    *gs = (struct groups){
        .host = host,
        .config = {.session_timeout_min_ms = 6000,
                   .session_timeout_max_ms = 1800000,
                   .initial_rebalance_delay_ms = 3000,
                   .size_max = INT32_MAX,
                   .offsets_retention_ms = 7 * 86400000LL,
                   .offset_metadata_max = 4096,
                   .options = {.consumer_session_timeout_ms = 45000,
                               .consumer_heartbeat_interval_ms = 5000,
                               .share_session_timeout_ms = 45000,
                               .share_heartbeat_interval_ms = 5000},
                   .consumer_size_max = INT32_MAX,
                   .consumer_regex_refresh_ms = 600000,
                   .consumer_assignors = {&assignor_uniform, &assignor_range},
                   .consumer_assignors_count = 2,
                   .consumer_upgrade = true,
                   .consumer_downgrade = true,
                   .share_size_max = 200},
    };
}

void groups_done(struct groups *gs)
{
    struct group *g, *next;
    HASH_ITER(hh, gs->by_id, g, next) groups_remove(g);
}

struct group *groups_find(struct groups *gs, struct slice id)
{
    struct group *g;
    HASH_FIND(hh, gs->by_id, id.ptr, id.len, g);
    return g;
}

void group_init(struct groups *gs, struct group *g, const struct group_type *type, struct slice id)
{
    g->groups = gs;
    g->type = type;
    g->refs = 1;
    g->id = xmalloc(id.len + 1);
    memcpy(g->id, id.ptr ? id.ptr : (const uint8_t *)"", id.len);
    g->id[id.len] = 0;
    g->id_len = id.len;
    offsets_init(&g->offsets);
    group_count_bytes(g, (int64_t)(sizeof *g + id.len));
}

void groups_add(struct group *g)
{
    assert(!groups_find(g->groups, group_id(g)));
    HASH_ADD_KEYPTR(hh, g->groups->by_id, g->id, g->id_len, g);
    g->in_table = true;
}

void groups_remove(struct group *g)
{
    assert(!g->removed);
    if (g->in_table) HASH_DEL(g->groups->by_id, g);
    g->in_table = false;
    g->removed = true;
    g->type->free(g);
    group_count_bytes(g, -(int64_t)g->bytes);
    g->groups->bytes -= g->offsets.bytes;
    offsets_done(&g->offsets);
    group_unref(g);
}

void groups_replace(struct group *old, struct group *g)
{
    g->offsets = old->offsets; /* their bytes are counted for all groups together */
    offsets_init(&old->offsets);
    groups_remove(old);
    groups_add(g);
}

struct group *group_ref(struct group *g)
{
    g->refs++;
    return g;
}

void group_unref(struct group *g)
{
    assert(g->refs > 0);
    if (--g->refs) return;
    assert(g->removed);
    free(g->id);
    free(g);
}

void group_count_bytes(struct group *g, int64_t bytes)
{
    g->bytes += (size_t)bytes;
    g->groups->bytes += (size_t)bytes;
}

/* The offsets count themselves; the difference of a change goes to the sum of all groups. */
static void count_offsets(struct group *g, size_t bytes_before)
{
    g->groups->bytes += g->offsets.bytes - bytes_before;
}

enum kafka_error groups_check_commit(struct groups *gs, struct slice id, const struct group_caller *caller,
                                     enum kafka_error missing, struct group **ret_group)
{
    struct group *g = groups_find(gs, id);
    if (!g) {
        if (caller->generation_id >= 0) return missing;
        if (groups_is_full(gs)) return KAFKA_INVALID_COMMIT_OFFSET_SIZE;
        g = classic_group_make(gs, id);
    } else {
        enum kafka_error error = g->type->check_commit(g, caller);
        if (error != KAFKA_NONE) return error;
    }
    *ret_group = g;
    return KAFKA_NONE;
}

/* The commits without an error, as changes. *ret_count 0: there are none. For the caller to free. */
static struct group_change *commit_changes(struct group *g, struct offset_commit *commits, uint32_t count,
                                           uint32_t *ret_count)
{
    struct group_change *changes = xcalloc(count ? count : 1, sizeof *changes);
    *ret_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct offset_commit *c = &commits[i];
        if (c->error != KAFKA_NONE) continue;
        if (c->value.metadata.len > g->groups->config.offset_metadata_max) {
            c->error = KAFKA_OFFSET_METADATA_TOO_LARGE;
            continue;
        }
        if (groups_is_full(g->groups) && !offsets_get(&g->offsets, c->topic, c->partition)) {
            c->error = KAFKA_INVALID_COMMIT_OFFSET_SIZE;
            continue;
        }
        changes[(*ret_count)++] = (struct group_change){
            .type = GROUP_CHANGE_OFFSET, .topic = c->topic, .partition = c->partition, .offset = &c->value};
    }
    return changes;
}

void group_commit(struct group *g, struct offset_commit *commits, uint32_t count)
{
    uint32_t changes_count;
    AUTO_FREE struct group_change *changes = commit_changes(g, commits, count, &changes_count);
    if (!changes_count) return;

    enum kafka_error error = g->groups->host->append(g->groups->host, g, changes, changes_count);
    size_t bytes = g->offsets.bytes;
    for (uint32_t i = 0; i < count; i++) {
        if (commits[i].error != KAFKA_NONE) continue;
        if (error == KAFKA_NONE) offsets_set(&g->offsets, commits[i].topic, commits[i].partition, &commits[i].value);
        else commits[i].error = error;
    }
    count_offsets(g, bytes);
}

void group_commit_in_txn(struct group *g, int64_t producer_id, int16_t epoch, struct offset_commit *commits,
                         uint32_t count)
{
    uint32_t changes_count;
    AUTO_FREE struct group_change *changes = commit_changes(g, commits, count, &changes_count);
    if (!changes_count) return;

    struct group_host *h = g->groups->host;
    enum kafka_error error = h->append_in_txn(h, g, producer_id, epoch, changes, changes_count);
    size_t bytes = g->offsets.bytes;
    for (uint32_t i = 0; i < count; i++) {
        if (commits[i].error != KAFKA_NONE) continue;
        if (error == KAFKA_NONE)
            offsets_pend(&g->offsets, producer_id, commits[i].topic, commits[i].partition, &commits[i].value);
        else commits[i].error = error;
    }
    count_offsets(g, bytes);
}

void group_delete_offsets(struct group *g, struct offset_delete *deletes, uint32_t count)
{
    uint32_t changes_count = 0;
    AUTO_FREE struct group_change *changes = xcalloc(count ? count : 1, sizeof *changes);
    for (uint32_t i = 0; i < count; i++) {
        struct offset_delete *d = &deletes[i];
        if (d->error != KAFKA_NONE) continue;
        if (g->type->is_subscribed(g, d->topic)) d->error = KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
        else if (offsets_get(&g->offsets, d->topic, d->partition) ||
                 offsets_is_pending(&g->offsets, d->topic, d->partition))
            changes[changes_count++] = (struct group_change){
                .type = GROUP_CHANGE_OFFSET_REMOVED, .topic = d->topic, .partition = d->partition};
    }
    if (!changes_count) return;

    enum kafka_error error = g->groups->host->append(g->groups->host, g, changes, changes_count);
    size_t bytes = g->offsets.bytes;
    for (uint32_t i = 0; i < count; i++) {
        if (deletes[i].error != KAFKA_NONE) continue;
        if (error == KAFKA_NONE) offsets_remove(&g->offsets, deletes[i].topic, deletes[i].partition);
        else deletes[i].error = error;
    }
    count_offsets(g, bytes);
}

/* Which offsets a sweep removes. */
struct sweep {
    bool (*wants)(const struct sweep *s, const struct group *g, struct slice topic, const struct offset_entry *e);
    int64_t now_ms;
    int64_t since_ms; /* of the group: see group_type.expires */
    struct slice topic;
    bool pending_too; /* those of open transactions; wants gets no entry then */
};

/* Offsets that only open transactions have: adds each partition once. Returns the count. */
static uint32_t sweep_pending(struct group *g, const struct sweep *s, struct group_change *changes, uint32_t count)
{
    for (const struct pending_topic *t = g->offsets.pending; t; t = t->hh.next) {
        struct slice topic = pending_topic_name(t);
        if (!s->wants(s, g, topic, NULL)) continue;
        for (const struct pending_slot *slot = t->slots; slot && count < OFFSETS_PER_APPEND_MAX; slot = slot->hh.next)
            if (!offsets_get(&g->offsets, topic, slot->partition))
                changes[count++] = (struct group_change){
                    .type = GROUP_CHANGE_OFFSET_REMOVED, .topic = topic, .partition = slot->partition};
    }
    return count;
}

/* Removes what the sweep wants, in appends of bounded size. False: the log failed, the rest stays. */
static bool sweep_group(struct group *g, const struct sweep *s)
{
    AUTO_FREE struct group_change *changes = xcalloc(OFFSETS_PER_APPEND_MAX, sizeof *changes);
    uint32_t count;
    do {
        count = 0;
        for (struct offset_topic *t = g->offsets.topics; t && count < OFFSETS_PER_APPEND_MAX; t = t->hh.next)
            for (int32_t i = 0; i < t->count && count < OFFSETS_PER_APPEND_MAX; i++)
                if (s->wants(s, g, offset_topic_name(t), &t->entries[i]))
                    changes[count++] = (struct group_change){.type = GROUP_CHANGE_OFFSET_REMOVED,
                                                             .topic = offset_topic_name(t),
                                                             .partition = t->entries[i].partition};
        if (s->pending_too) count = sweep_pending(g, s, changes, count);
        if (!count) return true;
        enum kafka_error error = g->groups->host->append(g->groups->host, g, changes, count);
        if (error != KAFKA_NONE) {
            log_warn("group", "offsets cannot be removed group=%s error=%s", g->id, kafka_error_text(error));
            return false;
        }
        size_t bytes = g->offsets.bytes;
        for (uint32_t i = 0; i < count; i++) {
            /* The topic's name goes with its last offset; the names behind it in changes stay. */
            offsets_remove(&g->offsets, changes[i].topic, changes[i].partition);
        }
        count_offsets(g, bytes);
        log_info("group", "offsets removed group=%s count=%u", g->id, count);
    } while (count == OFFSETS_PER_APPEND_MAX);
    return true;
}

static bool wants_all(const struct sweep *s, const struct group *g, struct slice topic, const struct offset_entry *e)
{
    return true;
}

static bool wants_topic(const struct sweep *s, const struct group *g, struct slice topic, const struct offset_entry *e)
{
    return slice_eq(topic, s->topic);
}

static bool wants_expired(const struct sweep *s, const struct group *g, struct slice topic,
                          const struct offset_entry *e)
{
    if (offsets_is_pending(&g->offsets, topic, e->partition) || g->type->is_subscribed(g, topic)) return false;
    if (e->value.expire_time_ms >= 0) return s->now_ms >= e->value.expire_time_ms;
    int64_t since_ms = MAX(s->since_ms, e->value.commit_time_ms);
    return s->now_ms - since_ms >= g->groups->config.offsets_retention_ms;
}

enum kafka_error groups_delete(struct groups *gs, struct slice id)
{
    struct group *g = groups_find(gs, id);
    if (!g) return KAFKA_GROUP_ID_NOT_FOUND;
    if (!g->type->is_empty(g)) return KAFKA_NON_EMPTY_GROUP;
    if (!sweep_group(g, &(struct sweep){.wants = wants_all, .pending_too = true}))
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    enum kafka_error error = g->type->append_removed(g);
    if (error == KAFKA_NONE) groups_remove(g);
    return error;
}

void groups_expire(struct groups *gs)
{
    int64_t now_ms = clock_wall_ms(gs->host->clock);
    struct group *g, *next;
    HASH_ITER(hh, gs->by_id, g, next)
    {
        struct sweep s = {.wants = wants_expired, .now_ms = now_ms};
        if (g->type->expires(g, &s.since_ms) && !sweep_group(g, &s)) continue;
        if (!g->type->is_empty(g) || !offsets_is_empty(&g->offsets) || g->type->stays_empty) continue;
        if (g->type->append_removed(g) != KAFKA_NONE) continue;
        log_info("group", "group without members and offsets removed group=%s", g->id);
        groups_remove(g);
    }
}

void groups_topic_deleted(struct groups *gs, struct slice topic)
{
    struct group *g, *next;
    HASH_ITER(hh, gs->by_id, g, next)
    {
        if (offsets_topic(&g->offsets, topic) || g->offsets.pending)
            (void)sweep_group(g, &(struct sweep){.wants = wants_topic, .topic = topic, .pending_too = true});
    }
}

void groups_restore_offset(struct groups *gs, struct slice id, struct slice topic, int32_t partition,
                           const struct offset_value *value, int64_t producer_id)
{
    struct group *g = groups_find(gs, id);
    if (!g && !value) return;
    if (!g) g = classic_group_make(gs, id);
    size_t bytes = g->offsets.bytes;
    if (!value) (void)offsets_remove(&g->offsets, topic, partition);
    else if (producer_id >= 0) offsets_pend(&g->offsets, producer_id, topic, partition, value);
    else offsets_set(&g->offsets, topic, partition, value);
    count_offsets(g, bytes);
}

void groups_apply_marker(struct groups *gs, int32_t partition, int32_t partitions_count, int64_t producer_id,
                         bool commit)
{
    for (struct group *g = gs->by_id; g; g = g->hh.next) {
        if (!g->offsets.pending || coordinator_partition(group_id(g), partitions_count) != partition) continue;
        size_t bytes = g->offsets.bytes;
        offsets_transaction_end(&g->offsets, producer_id, commit);
        count_offsets(g, bytes);
    }
}

void groups_restore_removed(struct groups *gs, struct slice id)
{
    struct group *g = groups_find(gs, id);
    if (!classic_group_of(g)) return; /* it became one of another type */
    if (offsets_is_empty(&g->offsets)) groups_remove(g);
    else classic_group_restore(gs, id, &(struct classic_stored){.state_time_ms = -1});
}

void groups_restored(struct groups *gs, int32_t partition, int32_t partitions_count, bool ok)
{
    struct group *g, *next;
    HASH_ITER(hh, gs->by_id, g, next)
    {
        if (coordinator_partition(group_id(g), partitions_count) != partition) continue;
        if (ok) g->type->loaded(g);
        else groups_remove(g);
    }
}
