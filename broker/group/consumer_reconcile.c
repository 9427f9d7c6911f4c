/* broker/group/consumer_reconcile.c: see consumer_reconcile.h. */
#include "broker/group/consumer_reconcile.h"

#include "broker/group/consumer_members.h"

/* Does the member say that it still has some of these? Who says nothing has. */
static bool owns(const struct partition_set *owned, const struct partition_set *revoking)
{
    return !owned || partition_set_overlaps(owned, revoking);
}

/* Brings the member as near to the target as others let it: epoch is its own if something is to be given up first. */
static void step(const struct consumer_member *m, int32_t epoch, int32_t target_epoch,
                 const struct partition_set *target, const struct partition_set *owned, struct consumer_position *ret)
{
    const struct consumer_position *now = &m->position;
    struct partition_set keep = partition_set_intersection(&now->assigned, target);
    struct partition_set revoke = partition_set_minus(&now->assigned, target);
    *ret = (struct consumer_position){.previous_epoch = now->epoch};
    if (revoke.count && owns(owned, &revoke)) {
        ret->state = CONSUMER_UNREVOKED;
        ret->epoch = epoch;
        ret->assigned = keep;
        ret->revoking = revoke;
        return;
    }
    struct partition_set wanted = partition_set_minus(target, &keep);
    uint32_t free_count = 0;
    for (uint32_t i = 0; i < wanted.count; i++) {
        const struct consumer_member *holder =
            consumer_holder(m->group, wanted.items[i].topic_id, wanted.items[i].partition);
        /* Held by itself: given up, and wanted back by a newer target. */
        if (!holder || holder == m) wanted.items[free_count++] = wanted.items[i];
    }
    ret->state = free_count < wanted.count ? CONSUMER_UNRELEASED : CONSUMER_STABLE;
    ret->epoch = target_epoch;
    wanted.count = free_count;
    ret->assigned = partition_set_union(&keep, &wanted);
    partition_set_done(&keep);
    partition_set_done(&revoke);
    partition_set_done(&wanted);
}

/* The member's next position. False: it stays where it is. */
bool consumer_reconcile(const struct consumer_member *m, int32_t target_epoch, const struct partition_set *target,
                        const struct partition_set *owned, struct consumer_position *ret)
{
    const struct consumer_position *now = &m->position;
    *ret = (struct consumer_position){0};
    switch (now->state) {
    case CONSUMER_STABLE:
        if (now->epoch == target_epoch) return false;
        step(m, now->epoch, target_epoch, target, owned, ret);
        break;
    case CONSUMER_UNREVOKED:
        if (owns(owned, &now->revoking)) return false;
        step(m, now->epoch + 1, target_epoch, target, owned, ret);
        break;
    case CONSUMER_UNRELEASED: step(m, now->epoch, target_epoch, target, owned, ret); break;
    }
    if (!consumer_position_eq(now, ret)) return true;
    consumer_position_done(ret);
    return false;
}

bool consumer_waits_for_others(const struct consumer_member *m)
{
    for (uint32_t i = 0; m->position.state == CONSUMER_UNRELEASED && i < m->target.count; i++)
        if (!partition_set_has(&m->position.assigned, m->target.items[i].topic_id, m->target.items[i].partition) &&
            consumer_holder(m->group, m->target.items[i].topic_id, m->target.items[i].partition))
            return true;
    return false;
}
