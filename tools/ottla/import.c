/* tools/ottla/import.c: `ottla import`: a data directory of ours, made of those of a Kafka cluster.
 *
 * Order: the sources are locked and read; the newest metadata is copied and becomes that of one node; of each partition the copy of the
 * broker that led it is taken, or of one that was in sync; the whole is opened once and checked, and only then gets its name.
 * docs/interchange.md. Threads: one, and those of the broker while the copy is open. */
#include "tools/ottla/import.h"

#include "base/log.h"
#include "broker/metadata/metadata_adopt.h"
#include "broker/metadata/metadata_log.h"
#include "storage/dir_builder.h"
#include "tools/ottla/settle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: ottla import [options] TARGET SOURCE...\n"
    "Makes TARGET, a data directory for ottla, of what a Kafka cluster (KRaft, 3.3 to 4.1) keeps in SOURCE...: the "
    "directories of\n"
    "log.dirs and metadata.log.dir of its brokers and controllers, all of them stopped. Of a partition that several "
    "brokers have,\n"
    "the leader's copy is taken. Topics keep their ids and configurations, records their offsets and times; "
    "transactions,\n"
    "offsets of groups, ACLs, quotas and SCRAM users come along. The sources are not changed.\n"
    "\n"
    "  -n, --node-id N     of the new node (default: that of the first SOURCE)\n"
    "  -u, --unclean       take a copy that was not in sync when there is no other: what it lacks is lost\n"
    "  -m, --missing-ok    partitions that no SOURCE has become empty\n"
    "  -q, --quiet         no line for each topic\n"
    "  -h, --help\n"
    "\n"
    "Exit status: 0; 1: nothing was made; 2 for wrong usage.\n";

struct import {
    const char *target;
    int32_t node_id; /* -1: the first source's */
    bool unclean, missing_ok, quiet, tokens_left;
    struct stopped_dir **sources;
    int sources_count;
    uint64_t bytes;
    int32_t unclean_count, missing_count;
};

/* -- the sources -- */

static int open_sources(struct import *im, char **paths, int count, struct err *err)
{
    im->sources = xcalloc((size_t)count, sizeof *im->sources);
    for (; im->sources_count < count; im->sources_count++) {
        struct stopped_dir **dir = &im->sources[im->sources_count];
        int r = stopped_dir_open(paths[im->sources_count], dir, err);
        if (r < 0) return r;
    }
    for (int i = 0; i < count; i++) {
        const struct stopped_dir *dir = im->sources[i], *first = im->sources[0];
        if (dir->is_ottla) return err_set(err, -EINVAL, "%s is ottla's already: start ottla on it", dir->path);
        if (strcmp(dir->meta.cluster_id, first->meta.cluster_id) != 0)
            return err_set(err, -EINVAL, "%s is of the cluster %s, and %s of the cluster %s: import one cluster",
                           first->path, first->meta.cluster_id, dir->path, dir->meta.cluster_id);
    }
    if (im->node_id < 0) im->node_id = im->sources[0]->meta.node_id;
    return 0;
}

/* Among equals the first. NULL: no source has the folder. */
static const struct stopped_dir *newest_metadata(const struct import *im, const struct stopped_folder **ret_folder,
                                                 int *ret_error, struct err *err)
{
    const struct stopped_dir *newest = NULL;
    struct stopped_log_end best = {0};

    *ret_error = 0;
    for (int i = 0; i < im->sources_count; i++) {
        const struct stopped_folder *folder = stopped_dir_find(im->sources[i], METADATA_LOG_TOPIC, 0);
        struct stopped_log_end end;
        if (!folder) continue;
        *ret_error = stopped_dir_log_end(im->sources[i], folder, &end, err);
        if (*ret_error) return NULL;
        if (newest && (end.epoch < best.epoch || (end.epoch == best.epoch && end.offset <= best.offset))) continue;
        newest = im->sources[i];
        *ret_folder = folder;
        best = end;
    }
    return newest;
}

/* -- partitions -- */

/* A source of that broker with the partition; NULL: none. */
static const struct stopped_dir *copy_of(const struct import *im, const struct partition_place *p, int32_t broker,
                                         const struct stopped_folder **ret_folder)
{
    for (int i = 0; i < im->sources_count; i++) {
        const struct stopped_folder *folder =
            im->sources[i]->meta.node_id == broker ? stopped_dir_find(im->sources[i], p->topic, p->partition) : NULL;
        if (!folder || !uuid_eq(folder->topic_id, p->topic_id)) continue;
        *ret_folder = folder;
        return im->sources[i];
    }
    return NULL;
}

static const struct stopped_dir *best_copy(const struct import *im, const struct partition_place *p,
                                           const struct stopped_folder **ret_folder, bool *ret_unclean)
{
    int32_t count = im->unclean ? p->brokers_count : p->safe_count;
    for (int32_t i = 0; i < count; i++) {
        const struct stopped_dir *dir = copy_of(im, p, p->brokers[i], ret_folder);
        *ret_unclean = i >= p->safe_count;
        if (dir) return dir;
    }
    return NULL;
}

/* Says which directories would help. */
static int no_copy(const struct import *im, const struct partition_place *p, struct err *err)
{
    const struct stopped_folder *folder;
    char brokers[128] = "";
    size_t used = 0;

    for (int32_t i = 0; i < p->safe_count && used + 16 < sizeof brokers; i++)
        used += (size_t)snprintf(brokers + used, sizeof brokers - used, "%s%d", i ? ", " : "", p->brokers[i]);
    for (int32_t i = p->safe_count; i < p->brokers_count; i++)
        if (copy_of(im, p, p->brokers[i], &folder))
            return err_set(
                err, -ENOENT,
                "of %s-%d only broker %d has a copy here, which was not in sync (%s%s): give the directories of the "
                "others, or --unclean, and what that copy lacks is lost",
                p->topic, p->partition, p->brokers[i], used ? "in sync: " : "no broker was", brokers);
    return err_set(
        err, -ENOENT,
        "%s-%d is in none of the directories: give those of broker %s, all of log.dirs, or --missing-ok, and it is "
        "empty",
        p->topic, p->partition, used ? brokers : "1");
}

static int copy_partitions(struct import *im, struct dir_builder *b, const struct partition_places *places,
                           struct err *err)
{
    for (int32_t i = 0; i < places->count; i++) {
        const struct partition_place *p = &places->places[i];
        const struct stopped_folder *folder;
        bool unclean;
        const struct stopped_dir *from = best_copy(im, p, &folder, &unclean);
        if (!from && !im->missing_ok) return no_copy(im, p, err);
        if (!from) {
            im->missing_count++;
            continue;
        }
        im->unclean_count += unclean;
        int r = dir_builder_copy(b, from, folder, &im->bytes, err);
        if (r < 0) return r;
    }
    return dir_builder_seal(b, err);
}

/* -- all of it -- */

static int settle(struct import *im, const char *path, struct err *err)
{
    struct broker *b;
    int r = settle_begin(path, im->node_id, &b, err);

    if (r < 0) return r;
    settle_report(b, "imported", im->bytes, im->quiet);
    settle_end(b);
    if (im->unclean_count) printf("%d partitions from copies that were not in sync\n", im->unclean_count);
    if (im->tokens_left) printf("delegation tokens are not taken over\n");
    if (im->missing_count) printf("%d partitions that no source has are empty\n", im->missing_count);
    return 0;
}

static int build(struct import *im, struct dir_builder *b, const struct stopped_dir *controller,
                 const struct stopped_folder *metadata, struct err *err)
{
    struct partition_places *places = NULL;

    int r = dir_builder_copy(b, controller, metadata, &im->bytes, err);
    if (!r) r = dir_builder_seal(b, err);
    if (!r) r = metadata_adopt(dir_builder_path(b), im->node_id, &places, err);
    if (!r) im->tokens_left = places->tokens_left;
    if (!r) r = copy_partitions(im, b, places, err);
    if (!r) r = settle(im, dir_builder_path(b), err);
    partition_places_free(places);
    return r;
}

static int import_directories(struct import *im, char **paths, int count, struct err *err)
{
    const struct stopped_folder *metadata;
    struct dir_builder *b = NULL;

    int r = open_sources(im, paths, count, err);
    if (r < 0) return r;
    const struct stopped_dir *controller = newest_metadata(im, &metadata, &r, err);
    if (r < 0) return r;
    if (!controller)
        return err_set(err, -ENOENT,
                       "none of the directories has " METADATA_LOG_TOPIC
                       "-0: give the one of metadata.log.dir (a cluster that "
                       "still has its metadata in ZooKeeper is to be migrated to KRaft first)");
    r = dir_builder_begin(im->target, controller->meta.cluster_id, im->node_id, (struct uuid){{0}}, &b, err);
    if (!r) r = build(im, b, controller, metadata, err);
    if (r < 0) {
        dir_builder_abandon(b);
        return r;
    }
    r = dir_builder_finish(b, err);
    if (r == 0 && im->node_id == 1) printf("Start it with: ottla serve --override log.dirs=%s\n", im->target);
    else if (r == 0)
        printf("Start it with: ottla serve --override log.dirs=%s --override node.id=%d\n", im->target, im->node_id);
    return r;
}

static bool parse_node_id(const char *text, int32_t *ret_id)
{
    char *end;
    errno = 0;
    long id = strtol(text, &end, 10);
    *ret_id = (int32_t)id;
    return *text && !*end && !errno && id >= 0 && id <= INT32_MAX;
}

/* The row's flag, by its short or long name; NULL: not understood. */
static bool *flag_of(struct import *im, const char *a)
{
    const struct {
        const char *brief, *name;
        bool *flag;
    } flags[] = {
        {"-u", "--unclean", &im->unclean}, {"-m", "--missing-ok", &im->missing_ok}, {"-q", "--quiet", &im->quiet}};
    for (size_t i = 0; i < countof(flags); i++)
        if (strcmp(a, flags[i].brief) == 0 || strcmp(a, flags[i].name) == 0) return flags[i].flag;
    return NULL;
}

#define GO_ON (-1)

/* Returns GO_ON, or the exit status. *ret_first: the first argument behind the options. */
static int parse_arguments(struct import *im, int argc, char **argv, int *ret_first)
{
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        bool *flag = flag_of(im, argv[i]);
        if (flag) {
            *flag = true;
        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            return fputs(usage, stdout), 0;
        } else if (strcmp(argv[i], "-n") == 0 || strcmp(argv[i], "--node-id") == 0) {
            if (++i < argc && parse_node_id(argv[i], &im->node_id)) continue;
            return fprintf(stderr, "ottla import: --node-id must be a number from 0 on\n"), 2;
        } else {
            return fprintf(stderr, "ottla import: %s is not understood. Try: ottla import --help\n", argv[i]), 2;
        }
    }
    *ret_first = i;
    return argc - i < 2 ? fputs(usage, stderr), 2 : GO_ON;
}

int import_main(int argc, char **argv)
{
    struct import im = {.node_id = -1};
    struct err err = ERR_NONE;
    int first;
    int status = parse_arguments(&im, argc, argv, &first);

    if (status != GO_ON) return status;
    log_level_max = LOG_WARN;
    im.target = argv[first];
    int r = import_directories(&im, argv + first + 1, argc - first - 1, &err);
    for (int i = 0; i < im.sources_count; i++) stopped_dir_close(im.sources[i]);
    free(im.sources);
    if (r == 0) return 0;
    fprintf(stderr, "ottla import: %s\n", err.text);
    return 1;
}
