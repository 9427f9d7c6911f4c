/* storage/dir_builder.h: a new data directory put together from copies of other directories' partitions.
 *
 * It is made beside its name, as PATH.partial, and gets the name when it is whole and durable: a directory of that name is never half
 * a copy. What the sources know of a copied partition (recovery point, log start, clean end) comes with it, so that damage below the
 * recovery point is told as such, and not cut off as a torn tail. There is no mark of a clean stop: the first start reads the folders.
 * Threads: one at a time. */
#ifndef OTTLA_DIR_BUILDER_H
#define OTTLA_DIR_BUILDER_H

#include "storage/stopped_dir.h"

struct dir_builder;

/* Makes PATH.partial with its meta.properties; directory_id zero: a random one. -EEXIST: PATH or PATH.partial is there already. */
int dir_builder_begin(const char *path, const char *cluster_id, int32_t node_id, struct uuid directory_id,
                      struct dir_builder **ret_builder, struct err *err) WARN_UNUSED;
/* Where it is made: PATH.partial. */
const char *dir_builder_path(const struct dir_builder *b);
/* Copies a folder: its files, with their times, synced; those that a stopped broker left to be removed stay behind. The
 * source's marks of it come along. Adds to *bytes. */
int dir_builder_copy(struct dir_builder *b, const struct stopped_dir *from, const struct stopped_folder *folder,
                     uint64_t *bytes, struct err *err) WARN_UNUSED;
/* A partition that has no folder gets one, with an empty segment: ours have none before their first record, Kafka's always. */
int dir_builder_ensure(struct dir_builder *b, const char *topic, int32_t partition, struct uuid topic_id,
                       struct err *err) WARN_UNUSED;
/* Writes what the sources know of the partitions that were copied since the last call (what the directory itself says of them counts
 * for more), and takes the mark of a clean stop away if a broker has set one: one may be opened on dir_builder_path() now. */
int dir_builder_seal(struct dir_builder *b, struct err *err) WARN_UNUSED;
/* Removes ottla's own files: for a directory that Kafka shall have. */
int dir_builder_strip(struct dir_builder *b, struct err *err) WARN_UNUSED;
/* Gives it its name. The builder is freed in any case; after a failure PATH.partial is left, and err says so. */
int dir_builder_finish(struct dir_builder *b, struct err *err) WARN_UNUSED;
/* Removes what was made; NULL: nothing. */
void dir_builder_abandon(struct dir_builder *b);

#endif
