/* broker/group/consumer_changes.c: see consumer_changes.h. */
#include "broker/group/consumer_changes.h"

#include "broker/group/consumer_members.h"

void consumer_changes_done(struct consumer_changes *l)
{
    free(l->items);
}

void consumer_changes_add(struct consumer_changes *l, const struct consumer_change *change)
{
    if (l->count == l->size) {
        l->size = l->size ? l->size * 2 : 8;
        l->items = xrealloc(l->items, l->size * sizeof l->items[0]);
    }
    l->items[l->count++] = *change;
}

void consumer_changes_epoch(struct consumer_changes *l, int32_t epoch, uint64_t metadata_hash)
{
    consumer_changes_add(
        l, &(struct consumer_change){.type = CONSUMER_CHANGE_EPOCH, .epoch = epoch, .metadata_hash = metadata_hash});
}

void consumer_changes_target_epoch(struct consumer_changes *l, int32_t epoch)
{
    consumer_changes_add(l, &(struct consumer_change){.type = CONSUMER_CHANGE_TARGET_EPOCH, .epoch = epoch});
}

void consumer_changes_profile(struct consumer_changes *l, struct slice id, const struct consumer_profile *profile)
{
    consumer_changes_add(l, &(struct consumer_change){.type = CONSUMER_CHANGE_PROFILE, .key = id, .profile = profile});
}

void consumer_changes_target(struct consumer_changes *l, struct slice id, const struct partition_set *target)
{
    consumer_changes_add(l, &(struct consumer_change){.type = CONSUMER_CHANGE_TARGET, .key = id, .target = target});
}

void consumer_changes_position(struct consumer_changes *l, struct slice id, const struct consumer_position *position)
{
    consumer_changes_add(l,
                         &(struct consumer_change){.type = CONSUMER_CHANGE_POSITION, .key = id, .position = position});
}

void consumer_changes_remove(struct consumer_changes *l, enum consumer_change_type type, struct slice key)
{
    consumer_changes_add(l, &(struct consumer_change){.type = type, .removed = true, .key = key});
}

void consumer_changes_remove_member(struct consumer_changes *l, struct slice id)
{
    consumer_changes_remove(l, CONSUMER_CHANGE_POSITION, id);
    consumer_changes_remove(l, CONSUMER_CHANGE_TARGET, id);
    consumer_changes_remove(l, CONSUMER_CHANGE_PROFILE, id);
}

void consumer_changes_remove_group(struct consumer_changes *l, const struct consumer_group *c)
{
    for (const struct consumer_member *m = c->members; m; m = m->hh.next)
        consumer_changes_remove(l, CONSUMER_CHANGE_POSITION, slice_of(m->id));
    for (const struct consumer_member *m = c->members; m; m = m->hh.next)
        consumer_changes_remove(l, CONSUMER_CHANGE_TARGET, slice_of(m->id));
    consumer_changes_remove(l, CONSUMER_CHANGE_TARGET_EPOCH, SLICE_NULL);
    for (const struct consumer_member *m = c->members; m; m = m->hh.next)
        consumer_changes_remove(l, CONSUMER_CHANGE_PROFILE, slice_of(m->id));
    for (const struct consumer_regex *r = c->regexes; r; r = r->hh.next)
        consumer_changes_remove(l, CONSUMER_CHANGE_REGEX, consumer_regex_text(r));
    consumer_changes_remove(l, CONSUMER_CHANGE_OLD_METADATA, SLICE_NULL);
    consumer_changes_remove(l, CONSUMER_CHANGE_EPOCH, SLICE_NULL);
}

enum kafka_error consumer_changes_append(struct group *g, const struct consumer_changes *l,
                                         const struct group_change *before, const struct group_change *after)
{
    struct group_host *h = g->groups->host;
    AUTO_FREE struct group_change *changes = xcalloc((size_t)l->count + 2, sizeof *changes);
    uint32_t count = 0;
    if (before) changes[count++] = *before;
    for (uint32_t i = 0; i < l->count; i++)
        changes[count++] = (struct group_change){.type = GROUP_CHANGE_CONSUMER, .consumer = &l->items[i]};
    if (after) changes[count++] = *after;
    return count ? h->append(h, g, changes, count) : KAFKA_NONE;
}

void consumer_changes_apply(struct consumer_group *c, const struct consumer_changes *l)
{
    for (uint32_t i = 0; i < l->count; i++) consumer_apply(c, &l->items[i]);
}

enum kafka_error consumer_changes_commit(struct consumer_group *c, const struct consumer_changes *l)
{
    enum kafka_error error = consumer_changes_append(&c->group, l, NULL, NULL);
    if (error == KAFKA_NONE) consumer_changes_apply(c, l);
    return error;
}
