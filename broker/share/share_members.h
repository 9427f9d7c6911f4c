/* broker/share/share_members.h: share groups as a fold of the records of `__consumer_offsets`: what is applied, and how
 * records are made. The protocol stands in group_share.h.
 *
 * Invariant: share_group_apply() writes nothing, and the state is what the records say; timers are not part of it.
 * Threads: the control thread. */
#ifndef OTTLA_SHARE_MEMBERS_H
#define OTTLA_SHARE_MEMBERS_H

#include "base/arena.h"
#include "broker/share/group_share.h"

/* Of the records of one change, before they are appended. */
#define SHARE_CHANGES_BYTES_MAX ((size_t)64 << 20)

extern const struct group_type share_type;

/* An empty group in the table. */
struct share_group *share_group_make(struct groups *gs, struct slice id);
/* Frees what s holds, but not s. */
void share_group_clear(struct share_group *s);
struct share_member *share_member_find(const struct share_group *s, struct slice id);

/* Records that are being put together, with all that they point to. */
struct share_changes {
    struct arena arena;
    struct share_change *items;
    uint32_t count;
    uint32_t capacity;
    bool failed; /* too much */
};
void share_changes_init(struct share_changes *c);
void share_changes_done(struct share_changes *c);

/* Each adds a record. group_id and what else is given must live until the changes are applied. */
void share_put_member(struct share_changes *c, struct slice group_id, struct slice member_id,
                      const struct share_heartbeat *now, const struct slice *topics, int32_t topics_count);
void share_put_epoch(struct share_changes *c, struct slice group_id, int32_t epoch, int64_t metadata_hash);
void share_put_target_epoch(struct share_changes *c, struct slice group_id, int32_t epoch);
void share_put_target(struct share_changes *c, struct slice group_id, struct slice member_id,
                      const struct partition_set *target);
void share_put_position(struct share_changes *c, struct slice group_id, const struct share_member *m, int32_t epoch);
/* host: for the names of the topics. */
void share_put_partitions(struct share_changes *c, struct slice group_id, struct group_host *host,
                          const struct partition_set *initializing, const struct partition_set *initialized,
                          const struct partition_set *deleting);
/* A tombstone; member_id null: of a record of the group. */
void share_put_tombstone(struct share_changes *c, enum share_change_type type, struct slice group_id,
                         struct slice member_id);

/* Appends them all and applies them; the log's error, and then nothing happened. They are empty afterwards. */
enum kafka_error share_changes_commit(struct share_changes *c, struct group *g);

#endif
