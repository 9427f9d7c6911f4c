/* tools/ottla/export.c: `ottla export`: a data directory for Kafka, made of a copy of ours.
 *
 * The copy is opened as a start after a crash would open it, change capture included: what a connector had appended and not finished
 * is cut off, as no reader has seen it. Then the topics that are ottla's own go, and its own two files. docs/interchange.md.
 * Threads: one, and those of the broker while the copy is open. */
#include "tools/ottla/export.h"

#include "base/log.h"
#include "broker/broker.h"
#include "cdc/connector.h"
#include "storage/dir_builder.h"
#include "tools/ottla/settle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char usage[] = "usage: ottla export [options] DIR TARGET\n"
                            "Makes TARGET, a data directory for Kafka (KRaft, one node), of ottla's data directory "
                            "DIR: topics with their ids and\n"
                            "configurations, records, transactions, offsets of groups, ACLs, quotas, SCRAM users. "
                            "ottla must not run on DIR, which is\n"
                            "not changed. What is ottla's own (topics whose names begin with __ottla_) stays behind.\n"
                            "\n"
                            "  -q, --quiet         no line for each topic\n"
                            "  -h, --help\n"
                            "\n"
                            "Exit status: 0; 1: nothing was made; 2 for wrong usage.\n";

/* -- the copy -- */

static int copy_all(struct dir_builder *b, const struct stopped_dir *from, uint64_t *bytes, struct err *err)
{
    for (uint32_t i = 0; i < from->folders_count; i++) {
        int r = dir_builder_copy(b, from, &from->folders[i], bytes, err);
        if (r < 0) return r;
    }
    return dir_builder_seal(b, err);
}

/* The first topic of ours; NULL: there is none. malloc'd. */
static char *reserved_topic(struct broker *b)
{
    const struct metadata *m = broker_metadata(b);
    char *name = NULL;
    for (int32_t i = 0; i < m->topics_count && !name; i++)
        if (topic_name_is_reserved(slice_of(m->topics[i]->name))) name = xstrdup(m->topics[i]->name);
    metadata_unref(m);
    return name;
}

static int drop_reserved_topics(struct broker *b, struct err *err)
{
    for (;;) {
        AUTO_FREE char *name = reserved_topic(b);
        if (!name) return 0;
        enum kafka_error error = broker_topic_delete(b, name, err);
        if (error != KAFKA_NONE) {
            err_prefix(err, "the copy of %s cannot be removed", name);
            return -EIO;
        }
    }
}

static int ensure_folders(struct dir_builder *builder, struct broker *b, struct err *err)
{
    const struct metadata *m = broker_metadata(b);
    int r = 0;
    for (int32_t i = 0; i < m->topics_count && !r; i++)
        for (int32_t k = 0; k < m->topics[i]->partitions_count && !r; k++)
            r = dir_builder_ensure(builder, m->topics[i]->name, k, m->topics[i]->id, err);
    metadata_unref(m);
    return r;
}

static int settle(struct dir_builder *builder, const struct stopped_dir *from, uint64_t bytes, bool quiet,
                  struct err *err)
{
    struct broker *b;
    int r = settle_begin(dir_builder_path(builder), from->meta.node_id, &b, err);

    if (r < 0) return r;
    cdc_close(cdc_open(b));
    r = drop_reserved_topics(b, err);
    if (r == 0) r = ensure_folders(builder, b, err);
    if (r == 0) settle_report(b, "exported", bytes, quiet);
    settle_end(b);
    return r;
}

static int export_directory(const char *source, const char *target, bool quiet, struct err *err)
{
    struct stopped_dir *from = NULL;
    struct dir_builder *b = NULL;
    uint64_t bytes = 0;

    int r = stopped_dir_open(source, &from, err);
    if (!r && !from->is_ottla) r = err_set(err, -EINVAL, "%s is not ottla's: Kafka can have it as it is", source);
    if (!r) r = dir_builder_begin(target, from->meta.cluster_id, from->meta.node_id, from->meta.directory_id, &b, err);
    if (!r) r = copy_all(b, from, &bytes, err);
    if (!r) r = settle(b, from, bytes, quiet, err);
    if (!r) r = dir_builder_strip(b, err);
    if (!r) {
        r = dir_builder_finish(b, err);
        b = NULL;
    }
    if (!r)
        printf("For Kafka's server.properties:\n"
               "  process.roles=broker,controller\n"
               "  node.id=%d\n"
               "  log.dirs=%s\n"
               "  controller.listener.names=CONTROLLER\n"
               "  controller.quorum.voters=%d@localhost:9093\n"
               "  listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n",
               from->meta.node_id, target, from->meta.node_id);
    dir_builder_abandon(b);
    stopped_dir_close(from);
    return r;
}

int export_main(int argc, char **argv)
{
    struct err err = ERR_NONE;
    bool quiet = false;
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "-q") == 0 || strcmp(argv[i], "--quiet") == 0) quiet = true;
        else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) return fputs(usage, stdout), 0;
        else return fprintf(stderr, "ottla export: %s is not understood. Try: ottla export --help\n", argv[i]), 2;
    }
    if (argc - i != 2) return fputs(usage, stderr), 2;
    log_level_max = LOG_WARN;
    if (export_directory(argv[i], argv[i + 1], quiet, &err) == 0) return 0;
    fprintf(stderr, "ottla export: %s\n", err.text);
    return 1;
}
