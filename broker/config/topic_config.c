/* broker/config/topic_config.c: what holds for a topic: its own values, else the broker's, else the defaults; what
 * may be set. Threads: any. */
#include "broker/config/config.h"

#include "protocol/compress.h"

#include <errno.h>
#include <stdio.h>

#define DURABILITY_STRICT "strict"

const struct topic_option *topic_option_find(const char *name)
{
    for (size_t i = 0; i < topic_options_count; i++)
        if (strcmp(topic_options[i].option.name, name) == 0) return &topic_options[i];
    return NULL;
}

/* "*" or "PARTITION:BROKER,..." */
static bool is_replica_list(const char *text)
{
    struct slice element;

    if (strcmp(text, "*") == 0) return true;
    for (const char *p = text; option_list_next(&p, &element);) {
        AUTO_FREE char *pair = slice_strdup(element);
        size_t partition = strspn(pair, "0123456789");
        const char *broker = pair + partition + 1;
        if (partition == 0 || pair[partition] != ':' || !*broker || broker[strspn(broker, "0123456789")]) return false;
    }
    return true;
}

bool topic_option_check(const struct option *row, const char *text, struct err *err)
{
    const char *name = row->name;

    if (!option_gzip_level_check(row, text, err) || !option_check(row, text, err)) return false;
    if (strcmp(name, "remote.storage.enable") == 0 && strcasecmp(text, "true") == 0) {
        err_set(err, -EINVAL,
                "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log "
                "storage.");
        return false;
    }
    if (strstr(name, ".replication.throttled.replicas") && !is_replica_list(text)) {
        err_set(err, -EINVAL,
                "Invalid value [%s] for configuration %s: %s must be the literal '*' or a list of replicas in the "
                "following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                text, name, name);
        return false;
    }
    return true;
}

/* The value that a topic inherits, to be freed; NULL: none of its synonyms is set. */
static char *inherited_text(const struct topic_option *t, const struct broker_config *config)
{
    for (size_t i = 0; i < countof(t->synonyms) && t->synonyms[i].name; i++) {
        const struct option *row = option_find(broker_options, broker_options_count, t->synonyms[i].name);
        if (!row) continue;
        AUTO_FREE char *text = option_text(row, config);
        if (!text) continue;
        if (t->synonyms[i].multiplier == 1) return xstrdup(text);
        long long value = strtoll(text, NULL, 10);
        return xasprintf("%lld", value < 0 ? -1 : value * (long long)t->synonyms[i].multiplier);
    }
    return NULL;
}

/* The value in force as text; *ret_text is to be freed when not NULL. */
static const char *topic_value(const char *name, const struct config_list *own, const struct broker_config *config,
                               char **ret_text)
{
    const struct topic_option *t = topic_option_find(name);
    const char *value = config_list_get(own, name);

    *ret_text = NULL;
    if (value) return value;
    *ret_text = inherited_text(t, config);
    return *ret_text ? *ret_text : t->option.default_text;
}

int64_t topic_config_integer(const char *name, const struct config_list *own, const struct broker_config *config)
{
    AUTO_FREE char *text;
    const char *value = topic_value(name, own, config, &text);
    return value ? strtoll(value, NULL, 10) : OPTION_UNSET;
}

static double topic_config_double(const char *name, const struct config_list *own, const struct broker_config *config)
{
    AUTO_FREE char *text;
    const char *value = topic_value(name, own, config, &text);
    return value ? strtod(value, NULL) : 0;
}

static bool topic_list_has(const char *name, const char *word, const struct config_list *own,
                           const struct broker_config *config)
{
    AUTO_FREE char *text;
    return option_list_has(topic_value(name, own, config, &text), word);
}

void topic_config_resolve(const struct config_list *own, const struct broker_config *config, struct log_config *ret)
{
    AUTO_FREE char *text;

    log_config_default(ret);
    ret->segment_bytes = topic_config_integer("segment.bytes", own, config);
    int64_t internal_segment_bytes = topic_config_integer("internal.segment.bytes", own, config);
    if (internal_segment_bytes > 0) ret->segment_bytes = internal_segment_bytes;
    ret->segment_ms = topic_config_integer("segment.ms", own, config);
    ret->segment_jitter_ms = topic_config_integer("segment.jitter.ms", own, config);
    ret->segment_index_bytes = topic_config_integer("segment.index.bytes", own, config);
    ret->index_interval_bytes = topic_config_integer("index.interval.bytes", own, config);
    ret->retention_ms = topic_config_integer("retention.ms", own, config);
    ret->retention_bytes = topic_config_integer("retention.bytes", own, config);
    ret->max_message_bytes = topic_config_integer("max.message.bytes", own, config);
    ret->flush_messages = topic_config_integer("flush.messages", own, config);
    ret->flush_ms = topic_config_integer("flush.ms", own, config);
    ret->file_delete_delay_ms = topic_config_integer("file.delete.delay.ms", own, config);
    ret->message_timestamp_before_max_ms = topic_config_integer("message.timestamp.before.max.ms", own, config);
    ret->message_timestamp_after_max_ms = topic_config_integer("message.timestamp.after.max.ms", own, config);
    ret->log_append_time = topic_list_has("message.timestamp.type", "LogAppendTime", own, config);
    ret->cleanup_delete = topic_list_has("cleanup.policy", "delete", own, config);
    ret->cleanup_compact = topic_list_has("cleanup.policy", "compact", own, config);
    ret->min_compaction_lag_ms = topic_config_integer("min.compaction.lag.ms", own, config);
    ret->max_compaction_lag_ms = topic_config_integer("max.compaction.lag.ms", own, config);
    ret->delete_retention_ms = topic_config_integer("delete.retention.ms", own, config);
    ret->min_cleanable_ratio = topic_config_double("min.cleanable.dirty.ratio", own, config);
    /* What is in the active segment is not compacted: it must not stay that for longer. */
    if (ret->cleanup_compact) ret->segment_ms = MIN(ret->segment_ms, ret->max_compaction_lag_ms);
    ret->strict = topic_list_has("ottla.durability", DURABILITY_STRICT, own, config);

    enum compression_codec codec;
    ret->compression_codec =
        compression_parse(topic_value("compression.type", own, config, &text), &codec) ? (int8_t)codec : -1;
}

struct log_cleaner_config broker_cleaner_config(const struct broker_config *c)
{
    return (struct log_cleaner_config){.enable = c->log_cleaner_enable,
                                       .backoff_ms = c->log_cleaner_backoff_ms,
                                       .dedupe_buffer_bytes = c->log_cleaner_dedupe_buffer_size,
                                       .load_factor = c->log_cleaner_io_buffer_load_factor,
                                       .bytes_per_second_max = c->log_cleaner_io_max_bytes_per_second};
}

void broker_configure_log_dir(const struct broker_config *c, struct log_dir *dir)
{
    struct log_cleaner_config cleaner = broker_cleaner_config(c);
    log_dir_set_cleaner(dir, &cleaner);
    log_dir_set_intervals(dir, c->log_flush_interval_ms, c->producer_id_expiration_ms);
}
