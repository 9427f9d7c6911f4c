/* storage/checkpoint.h: one number per partition in a text file: Kafka's offset checkpoints.
 *
 * Format (Kafka's): lines: version 0, count, then `topic partition offset`; or nothing at all. See
 * docs/format-log-dir.md.
 * Threads: one at a time. */
#ifndef OTTLA_CHECKPOINT_H
#define OTTLA_CHECKPOINT_H

#include "base/slice.h"

#define CHECKPOINT_FILE_MAX (256 * 1024 * 1024) /* a million partitions [bytes] */

struct checkpoint_entry {
    const char *topic; /* lies in the text that was parsed, NUL-terminated */
    int32_t partition;
    int64_t offset;
};

struct checkpoint {
    struct checkpoint_entry *entries;
    uint32_t count;
    uint32_t allocated;
};

void checkpoint_done(struct checkpoint *c);
/* topic is borrowed. */
void checkpoint_add(struct checkpoint *c, const char *topic, int32_t partition, int64_t offset);
/* The file's text, malloc'd. */
char *checkpoint_format(const struct checkpoint *c, size_t *ret_size);
/* Cuts text up in place. Returns 0 or -EBADMSG; c is empty then. */
int checkpoint_parse(struct checkpoint *c, char *text) WARN_UNUSED;
/* Into the order that checkpoint_find() needs. */
void checkpoint_sort(struct checkpoint *c);
/* The entry of a partition, or NULL. */
struct checkpoint_entry *checkpoint_find(const struct checkpoint *c, const char *topic, int32_t partition);

#endif
