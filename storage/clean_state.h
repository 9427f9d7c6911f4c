/* storage/clean_state.h: what a clean stop knows of each partition, in one file, so that the next start need not open
 * 10,000 folders: `ottla.partitions`.
 *
 * Format: text lines: `ottla-partitions 1 <stop id>`, count, then per partition `topic partition topic_id log_start
 * log_end last_stable leader_epoch size oldest_timestamp`, then `crc32c <8 hex digits>` of all bytes before it. The
 * stop id is also in the clean-shutdown mark: a file of another stop (Kafka ran in between) is not believed. See
 * docs/format-log-dir.md.
 * Threads: one at a time. */
#ifndef OTTLA_CLEAN_STATE_H
#define OTTLA_CLEAN_STATE_H

#include "base/uuid.h"

struct clean_entry {
    const char *topic; /* lies in the state's text, or borrowed */
    int32_t partition;
    int32_t leader_epoch;
    struct uuid topic_id;
    int64_t log_start;
    int64_t log_end;
    int64_t last_stable;
    int64_t oldest_timestamp_ms;
    uint64_t size;
    bool used;
};

struct clean_state {
    char *text;
    struct clean_entry *entries;
    uint32_t count;
    uint32_t allocated;
};

void clean_state_done(struct clean_state *s);
/* e->topic is borrowed. */
void clean_state_add(struct clean_state *s, const struct clean_entry *e);
/* The file's text, malloc'd. */
char *clean_state_format(const struct clean_state *s, uint64_t stop_id, size_t *ret_size);
/* Takes over text and cuts it up. Returns 0; -EBADMSG: damaged, or of another stop; s is empty then. */
int clean_state_parse(struct clean_state *s, char *text, size_t size, uint64_t stop_id) WARN_UNUSED;
/* An entry that is not used yet, or NULL. */
struct clean_entry *clean_state_find(struct clean_state *s, const char *topic, int32_t partition);

#endif
