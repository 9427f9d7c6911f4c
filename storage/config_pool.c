/* storage/config_pool.c: the topics' configurations, each kept once however many partitions have it: 10,000 partitions
 * of one topic share one struct log_config. Threads: any; the list and its counts are guarded by log_dir.lock. A
 * reference's config never changes. */
#include "storage/log_internal.h"

#include <string.h>

struct config_ref *log_dir_intern_config(struct log_dir *dir, const struct log_config *config)
{
    struct config_ref *ref;
    struct log_config copy;

    /* Field by field into zeroed memory, so that padding compares equal. */
    memset(&copy, 0, sizeof copy);
    copy.segment_bytes = config->segment_bytes;
    copy.segment_ms = config->segment_ms;
    copy.segment_jitter_ms = config->segment_jitter_ms;
    copy.segment_index_bytes = config->segment_index_bytes;
    copy.index_interval_bytes = config->index_interval_bytes;
    copy.retention_ms = config->retention_ms;
    copy.retention_bytes = config->retention_bytes;
    copy.max_message_bytes = config->max_message_bytes;
    copy.flush_messages = config->flush_messages;
    copy.flush_ms = config->flush_ms;
    copy.file_delete_delay_ms = config->file_delete_delay_ms;
    copy.message_timestamp_before_max_ms = config->message_timestamp_before_max_ms;
    copy.message_timestamp_after_max_ms = config->message_timestamp_after_max_ms;
    copy.min_compaction_lag_ms = config->min_compaction_lag_ms;
    copy.max_compaction_lag_ms = config->max_compaction_lag_ms;
    copy.delete_retention_ms = config->delete_retention_ms;
    copy.min_cleanable_ratio = config->min_cleanable_ratio;
    copy.log_append_time = config->log_append_time;
    copy.cleanup_delete = config->cleanup_delete;
    copy.cleanup_compact = config->cleanup_compact;
    copy.compression_codec = config->compression_codec;
    copy.compression_level = config->compression_level;
    copy.strict = config->strict;

    pthread_mutex_lock(&dir->lock);
    LIST_FOREACH(ref, &dir->configs, link)
        if (!memcmp(&ref->config, &copy, sizeof copy)) break;
    if (!ref) {
        ref = xcalloc(1, sizeof *ref);
        memcpy(&ref->config, &copy, sizeof copy);
        LIST_INSERT_HEAD(&dir->configs, ref, link);
    }
    ref->refs++;
    pthread_mutex_unlock(&dir->lock);
    return ref;
}

void log_dir_drop_config(struct log_dir *dir, struct config_ref *ref)
{
    pthread_mutex_lock(&dir->lock);
    if (--ref->refs == 0) {
        LIST_REMOVE(ref, link);
        free(ref);
    }
    pthread_mutex_unlock(&dir->lock);
}
