/* storage/partition_folder.c: a partition's folder: its name, its making, whose it is (partition.metadata), and setting
 * it aside.
 *
 * <topic>-<partition>; a folder of another topic id, or of no topic, is renamed to <name>.<hex>-stray, a deleted one to
 * <name>.<hex>-delete, as Kafka does. Nothing is removed here. Threads: under the log's lock, or before the log is
 * known to others; strays are looked for before readers are let in. */
#include "storage/log_internal.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool partition_folder_is(const char *name)
{
    size_t len = strlen(name), digits = 0;
    while (digits < len && name[len - 1 - digits] >= '0' && name[len - 1 - digits] <= '9') digits++;
    return digits && digits + 1 < len && name[len - 1 - digits] == '-';
}

bool partition_folder_was_renamed(const char *name, const char *suffix)
{
    size_t len = strlen(name), end = strlen(suffix) + 1;
    if (len < end + 1 + 32 || !text_ends_with(name, suffix) || name[len - end] != '-') return false;
    const char *hex = name + len - end - 32;
    return hex[-1] == '.' && strspn(hex, "0123456789abcdef") == 32;
}

void partition_folder_rename(const char *name, const char *suffix, char ret_name[LOG_NAME_BYTES])
{
    char hex[33];
    struct uuid id = uuid_random();
    for (uint32_t i = 0; i < sizeof id.bytes; i++) snprintf(hex + 2 * i, 3, "%02x", id.bytes[i]);
    int room = LOG_NAME_BYTES - 1 - (int)(1 + 32 + 1 + strlen(suffix));
    snprintf(ret_name, LOG_NAME_BYTES, "%.*s.%s-%s", room, name, hex, suffix);
}

void partition_metadata_format(struct uuid topic_id, char ret_text[PARTITION_METADATA_BYTES])
{
    char id[UUID_TEXT_SIZE];
    uuid_format(topic_id, id);
    snprintf(ret_text, PARTITION_METADATA_BYTES, "version: 0\ntopic_id: %s", id);
}

bool partition_metadata_parse(const char *text, struct uuid *ret_topic_id)
{
    char id[UUID_TEXT_SIZE];
    const char *value = strstr(text, "topic_id: ");
    return value && sscanf(value, "topic_id: %22s", id) == 1 && uuid_parse(id, ret_topic_id);
}

static int write_partition_metadata(struct partition_log *log)
{
    char path[SEGMENT_PATH_BYTES], text[PARTITION_METADATA_BYTES];

    partition_metadata_format(log->topic_id, text);
    snprintf(path, sizeof path, "%s/" PARTITION_FILE, log->name);
    return io_replace_file(log->dir->io, log->dir->fd, log->name, path, text, strlen(text), false);
}

void log_begin(struct partition_log *log)
{
    log->producers = xmalloc(sizeof *log->producers);
    producer_state_init(log->producers);
    log->unmade = log->loaded = true;
}

int log_make_folder(struct partition_log *log)
{
    struct log_dir *dir = log->dir;
    int r = dir->io->mkdirat(dir->fd, log->name, 0755);
    if (!r || r == -EEXIST) r = write_partition_metadata(log); /* there: an earlier try came no further */
    if (r) return r;
    log->unmade = false;
    log->new_folder = log->dir_unsynced = true;
    return 0;
}

int partition_folder_check(struct partition_log *log, bool *ret_exists)
{
    struct log_dir *dir = log->dir;
    char path[SEGMENT_PATH_BYTES], aside[LOG_NAME_BYTES], *text;
    size_t size;
    struct uuid id;
    struct stat st;

    *ret_exists = false;
    int r = dir->io->fstatat(dir->fd, log->name, &st);
    if (r == -ENOENT) return 0;
    if (r) return r;
    *ret_exists = true;
    snprintf(path, sizeof path, "%s/" PARTITION_FILE, log->name);
    r = io_read_file(dir->io, dir->fd, path, DIR_TEXT_FILE_MAX, &text, &size);
    if (r && r != -ENOENT) return r;
    bool known = !r && partition_metadata_parse(text, &id);
    if (!r) free(text);
    if (!known) return write_partition_metadata(log); /* lost in a power cut just after its making */
    if (uuid_eq(id, log->topic_id)) return 0;

    partition_folder_rename(log->name, "stray", aside);
    r = dir->io->renameat(dir->fd, log->name, aside);
    if (!r) log_warn("storage", "a folder of another topic id is set aside folder=%s as=%s", log->name, aside);
    *ret_exists = false;
    return r;
}

/* -- folders of no log that is open -- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What find_unopened() looks for, and where. */
struct unopened {
    struct log_dir *dir;
    const char **known; /* sorted */
    uint32_t known_count;
    char **found; /* NULL: the first one ends the listing */
    uint32_t found_count, found_allocated;
};

/* Is this a partition's folder that this run does not know? */
static int find_unopened(void *arg, const char *name)
{
    struct unopened *u = arg;
    struct stat st;

    if (!partition_folder_is(name)) return 0;
    if (u->known_count && bsearch(&name, u->known, u->known_count, sizeof *u->known, compare_names)) return 0;
    int r = u->dir->io->fstatat(u->dir->fd, name, &st);
    if (r == -ENOENT || (!r && !S_ISDIR(st.st_mode))) return 0;
    if (!u->found) return 1; /* also when it cannot be looked at: the stop is not clean */
    if (r) return 0;         /* nothing is set aside unseen */
    if (u->found_count == u->found_allocated) {
        u->found_allocated *= 2;
        u->found = xrealloc(u->found, u->found_allocated * sizeof *u->found);
    }
    u->found[u->found_count++] = xstrdup(name);
    return 0;
}

/* with_failed: a log that could not be opened counts as known. Returns what the listing does. */
static int list_unopened(struct unopened *u, bool with_failed)
{
    struct partition_log *log;
    struct log_failure *f;
    uint32_t count = u->dir->logs_count;

    LIST_FOREACH(f, &u->dir->failures, link) count++;
    u->known = xmalloc((count + 1) * sizeof *u->known);
    LIST_FOREACH(log, &u->dir->logs, link) u->known[u->known_count++] = log->name;
    LIST_FOREACH(f, &u->dir->failures, link)
        if (with_failed) u->known[u->known_count++] = f->name;
    if (u->known_count) qsort(u->known, u->known_count, sizeof *u->known, compare_names);
    int r = u->dir->io->list(u->dir->fd, ".", find_unopened, u);
    free(u->known);
    return r;
}

int partition_folder_has_unopened(struct log_dir *dir)
{
    struct unopened u = {.dir = dir};
    return list_unopened(&u, false);
}

int log_dir_set_strays_aside(struct log_dir *dir)
{
    struct unopened u = {.dir = dir, .found_allocated = 4};
    uint32_t count = 0;

    u.found = xmalloc(u.found_allocated * sizeof *u.found);
    pthread_mutex_lock(&dir->lock);
    int r = list_unopened(&u, true);
    for (uint32_t i = 0; i < u.found_count; i++) {
        char aside[LOG_NAME_BYTES], *name = u.found[i], *dash = strrchr(name, '-');
        partition_folder_rename(name, "stray", aside);
        if (!r) r = dir->io->renameat(dir->fd, name, aside);
        if (!r) {
            count++;
            log_warn("storage",
                     "a folder of no topic is set aside, remove it when nobody misses what is in it folder=%s as=%s",
                     name, aside);
            *dash = '\0';
            dir_checkpoints_forget(dir, name, (int32_t)strtol(dash + 1, NULL, 10));
            dir->forgotten = true;
        }
        free(name);
    }
    pthread_mutex_unlock(&dir->lock);
    free(u.found);
    if (count) log_dir_note_marks(dir);
    int synced = count ? dir->io->fsync(dir->fd) : 0;
    if (!r) r = synced;
    return r;
}
