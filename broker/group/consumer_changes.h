/* broker/group/consumer_changes.h: lists of changes of a consumer group, which are appended together and then applied.
 *
 * What a change points to is borrowed until the list is committed, also when the change that removes its owner stands
 * before it: see consumer_changes_remove_member().
 * Threads: the control thread only. */
#ifndef OTTLA_CONSUMER_CHANGES_H
#define OTTLA_CONSUMER_CHANGES_H

#include "broker/group/group_consumer.h"

struct consumer_changes {
    struct consumer_change *items;
    uint32_t count, size;
};

void consumer_changes_done(struct consumer_changes *l);
void consumer_changes_add(struct consumer_changes *l, const struct consumer_change *change);
void consumer_changes_epoch(struct consumer_changes *l, int32_t epoch, uint64_t metadata_hash);
void consumer_changes_target_epoch(struct consumer_changes *l, int32_t epoch);
void consumer_changes_profile(struct consumer_changes *l, struct slice id, const struct consumer_profile *profile);
void consumer_changes_target(struct consumer_changes *l, struct slice id, const struct partition_set *target);
void consumer_changes_position(struct consumer_changes *l, struct slice id, const struct consumer_position *position);
void consumer_changes_remove(struct consumer_changes *l, enum consumer_change_type type, struct slice key);
/* All of a member; the member is gone when its profile's removal, the last one, is applied. */
void consumer_changes_remove_member(struct consumer_changes *l, struct slice id);
/* Everything of the group. */
void consumer_changes_remove_group(struct consumer_changes *l, const struct consumer_group *c);

/* Appends, all or nothing; before and after (NULL: none) are other changes of the group. Nothing is applied. */
enum kafka_error consumer_changes_append(struct group *g, const struct consumer_changes *l,
                                         const struct group_change *before, const struct group_change *after);
void consumer_changes_apply(struct consumer_group *c, const struct consumer_changes *l);
/* Appends; if that succeeds, applies. */
enum kafka_error consumer_changes_commit(struct consumer_group *c, const struct consumer_changes *l);

#endif
