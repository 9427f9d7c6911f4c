/* tools/ottla/settle.c: see settle.h. */
#include "tools/ottla/settle.h"

#include "broker/broker.h"
#include "storage/log_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static int configure(struct broker_config *config, const char *path, int32_t node_id, struct err *err)
{
    char node[16];
    const char *const settings[][2] = {
        {"log.dirs", path},
        {"node.id", node},
        {"listeners", "PLAINTEXT://127.0.0.1:0"}, /* bound, and never served */
        {"log.cleaner.enable", "false"},
        {"log.retention.check.interval.ms", "86400000"},
    };

    if (strchr(path, ',')) return err_set(err, -EINVAL, "%s: a comma cannot be in the name of a data directory", path);
    snprintf(node, sizeof node, "%d", node_id);
    for (size_t i = 0; i < countof(settings); i++) {
        int r = broker_config_set(config, settings[i][0], settings[i][1], err);
        if (r < 0) return r;
    }
    return 0;
}

/* Every partition has a log, or err names the first that has none. */
static int check_logs(struct broker *b, struct err *err)
{
    const struct metadata *m = broker_metadata(b);
    int r = 0;

    for (int32_t i = 0; i < m->topics_count && !r; i++)
        for (int32_t k = 0; k < m->topics[i]->partitions_count && !r; k++) {
            struct err why;
            if (m->topics[i]->partitions[k].log) continue;
            log_dir_failure(broker_log_dir(b), m->topics[i]->name, k, &why);
            r = err_set(err, -EIO, "the copy of %s-%d cannot be opened: %s", m->topics[i]->name, k, why.text);
        }
    metadata_unref(m);
    return r;
}

int settle_begin(const char *path, int32_t node_id, struct broker **ret_broker, struct err *err)
{
    struct broker_config *config = broker_config_new();
    int r = configure(config, path, node_id, err);

    if (r < 0) {
        broker_config_free(config);
        return r;
    }
    r = broker_open(config, ret_broker, err);
    if (r < 0) return r;
    r = check_logs(*ret_broker, err);
    if (r < 0) settle_end(*ret_broker);
    return r;
}

void settle_report(struct broker *b, const char *what, uint64_t bytes, bool quiet)
{
    const struct metadata *m = broker_metadata(b);
    int64_t all_offsets = 0, partitions = 0;

    for (int32_t i = 0; i < m->topics_count; i++) {
        const struct metadata_topic *t = m->topics[i];
        int64_t offsets = 0;
        for (int32_t k = 0; k < t->partitions_count; k++) {
            struct log_marks marks = partition_log_marks(t->partitions[k].log);
            offsets += marks.log_end - marks.log_start;
        }
        if (!quiet) printf("%s: %d partitions, %" PRId64 " offsets\n", t->name, t->partitions_count, offsets);
        partitions += t->partitions_count;
        all_offsets += offsets;
    }
    printf("%s: %d topics, %" PRId64 " partitions, %" PRId64 " offsets, %" PRIu64 " bytes\n", what, m->topics_count,
           partitions, all_offsets, bytes);
    metadata_unref(m);
}

void settle_end(struct broker *b)
{
    broker_stop(b);
    broker_close(b);
}
