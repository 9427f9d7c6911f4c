/* One data directory: opening and closing it, its small files, and the logs in it. Formats: docs/format-log-dir.md. */
#include "storage/log_internal.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOCK_FILE          ".lock"
#define META_FILE          "meta.properties"
#define FORMAT_FILE        "ottla.format"
#define CLEAN_FILE         ".kafka_cleanshutdown"
#define PARTITION_FILE     "partition.metadata"
#define SMALL_FILE_MAX     65536 /* [bytes] */
#define OPEN_FILES_DEFAULT 512

void log_dir_options_default(struct log_dir_options *o)
{
    *o = (struct log_dir_options){
        .path = "./ottla-data",
        .node_id = 1,
        .flush_interval_ms = 1000,
        .retention_check_interval_ms = 300 * 1000,
        .recovery_point_interval_ms = 5000,
        .producer_id_expiration_ms = 24 * 3600 * 1000,
        .cleaner = {.enable = true,
                    .backoff_ms = 15 * 1000,
                    .dedupe_buffer_bytes = 128 * 1024 * 1024,
                    .load_factor = 0.9,
                    .bytes_per_second_max = 1e18},
        .open_files_max = OPEN_FILES_DEFAULT,
    };
}

/* -- configurations, shared by the partitions of a topic -- */

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

/* -- offsets known from the last run -- */

static int compare_offsets(const void *a, const void *b)
{
    const struct checkpoint_entry *x = a, *y = b;
    int r = strcmp(x->topic, y->topic);
    return r ? r : (x->partition > y->partition) - (x->partition < y->partition);
}

static int known_offsets_load(struct log_dir *dir, const char *name, struct known_offsets *known, struct err *err)
{
    size_t size;
    int r = io_read_file(dir->io, dir->fd, name, CHECKPOINT_FILE_MAX, &known->text, &size);
    if (r == -ENOENT) return 0;
    if (r) return err_set(err, r, "cannot read %s/%s: %s", dir->path, name, strerror(-r));
    if (checkpoint_parse(&known->checkpoint, known->text)) {
        log_warn("storage", "a damaged checkpoint is ignored file=%s/%s", dir->path, name);
        return 0;
    }
    if (known->checkpoint.count)
        qsort(known->checkpoint.entries, known->checkpoint.count, sizeof *known->checkpoint.entries, compare_offsets);
    return 0;
}

static void known_offsets_done(struct known_offsets *known)
{
    checkpoint_done(&known->checkpoint);
    free(known->text);
    known->text = NULL;
}

static struct checkpoint_entry *known_offsets_find(struct known_offsets *known, const char *topic, int32_t partition)
{
    struct checkpoint_entry key = {.topic = topic, .partition = partition};
    struct checkpoint *c = &known->checkpoint;
    struct checkpoint_entry *e =
        c->count ? bsearch(&key, c->entries, c->count, sizeof *c->entries, compare_offsets) : NULL;
    return e && e->offset >= 0 ? e : NULL;
}

static int64_t known_offsets_get(struct log_dir *dir, struct known_offsets *known, const char *topic, int32_t partition)
{
    pthread_mutex_lock(&dir->lock);
    struct checkpoint_entry *e = known_offsets_find(known, topic, partition);
    int64_t offset = e ? e->offset : -1;
    pthread_mutex_unlock(&dir->lock);
    return offset;
}

/* The log is open, or begins anew: what the last run knew of it goes into no checkpoint any more. Under dir->lock. */
static void forget_known(struct log_dir *dir, const char *topic, int32_t partition)
{
    struct checkpoint_entry *point = known_offsets_find(&dir->recovery_points, topic, partition);
    struct checkpoint_entry *start = known_offsets_find(&dir->log_starts, topic, partition);
    struct checkpoint_entry *clean = known_offsets_find(&dir->clean_ends, topic, partition);
    if (point) point->offset = -1;
    if (start) start->offset = -1;
    if (clean) clean->offset = -1;
}

/* -- opening -- */

static int take_lock(struct log_dir *dir, struct err *err)
{
    dir->lock_fd = dir->io->openat(dir->fd, LOCK_FILE, O_RDWR | O_CREAT, 0644);
    if (dir->lock_fd < 0)
        return err_set(err, dir->lock_fd, "%s is not writable: %s (this process runs as user %u)", dir->path,
                       strerror(-dir->lock_fd), (unsigned)geteuid());
    /* Conflicts with the record lock that Kafka takes, and does not vanish when another descriptor of the file closes. */
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(dir->lock_fd, F_OFD_SETLK, &lock) < 0) {
        int r = -errno;
        if (r == -EAGAIN || r == -EACCES)
            return err_set(
                err, -EBUSY,
                "%s is in use by another process (its file %s is locked; `fuser %s/%s` shows by which): stop it, "
                "or choose another directory with log.dirs",
                dir->path, LOCK_FILE, dir->path, LOCK_FILE);
        return err_set(err, r, "%s cannot be locked: %s", dir->path, strerror(-r));
    }
    return 0;
}

static int check_format(struct log_dir *dir, bool *ret_missing, struct err *err)
{
    char *text;
    size_t size;
    int version;

    int r = io_read_file(dir->io, dir->fd, FORMAT_FILE, SMALL_FILE_MAX, &text, &size);
    *ret_missing = r == -ENOENT;
    if (*ret_missing) return 0;
    if (r) return err_set(err, r, "cannot read %s/%s: %s", dir->path, FORMAT_FILE, strerror(-r));
    bool parsed = sscanf(text, "version=%d", &version) == 1;
    free(text);
    if (!parsed) return err_set(err, -EBADMSG, "%s/%s is damaged", dir->path, FORMAT_FILE);
    if (version > LOG_DIR_FORMAT_VERSION)
        return err_set(err, -EPROTO,
                       "%s was written by a newer version (format %d, this one knows up to %d): start that version, or "
                       "choose another directory with log.dirs",
                       dir->path, version, LOG_DIR_FORMAT_VERSION);
    return 0;
}

/* The value of key in Java properties of the simple kind that these files hold. */
static bool property(const char *text, const char *key, char *ret_value, size_t value_size)
{
    size_t key_len = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, key, key_len) || line[key_len] != '=') continue;
        size_t len = strcspn(line + key_len + 1, "\r\n");
        if (len >= value_size) return false;
        memcpy(ret_value, line + key_len + 1, len);
        ret_value[len] = '\0';
        return true;
    }
    return false;
}

static int check_meta(struct log_dir *dir, bool *ret_missing, struct err *err)
{
    char *text, node[16] = "", directory[UUID_TEXT_SIZE] = "";
    size_t size;

    int r = io_read_file(dir->io, dir->fd, META_FILE, SMALL_FILE_MAX, &text, &size);
    *ret_missing = r == -ENOENT;
    if (*ret_missing) {
        dir->directory_id = uuid_random();
        uuid_format(uuid_random(), dir->cluster_id);
        return 0;
    }
    if (r) return err_set(err, r, "cannot read %s/%s: %s", dir->path, META_FILE, strerror(-r));
    bool cluster = property(text, "cluster.id", dir->cluster_id, sizeof dir->cluster_id);
    bool has_node = property(text, "node.id", node, sizeof node) || property(text, "broker.id", node, sizeof node);
    bool has_directory = property(text, "directory.id", directory, sizeof directory);
    free(text);
    if (!cluster || !has_node)
        return err_set(err, -EBADMSG, "%s/%s has no cluster.id or node.id", dir->path, META_FILE);
    if (strtol(node, NULL, 10) != dir->options.node_id)
        return err_set(err, -EPERM, "%s belongs to node.id=%s, not to node.id=%d", dir->path, node,
                       dir->options.node_id);
    if (!has_directory || !uuid_parse(directory, &dir->directory_id)) {
        dir->directory_id = uuid_random();
        *ret_missing = true; /* written again, with one */
    }
    return 0;
}

static int write_identity(struct log_dir *dir, bool meta, bool format, struct err *err)
{
    char text[256], id[UUID_TEXT_SIZE];
    int r = 0;

    if (meta) {
        uuid_format(dir->directory_id, id);
        snprintf(text, sizeof text, "version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", dir->cluster_id,
                 dir->options.node_id, id);
        /* Whole when its name is there: an empty one would keep the directory shut. The format's rename syncs this one's. */
        r = io_replace_file(dir->io, dir->fd, format ? NULL : ".", META_FILE, text, strlen(text), true);
    }
    if (!r && format) {
        snprintf(text, sizeof text, "version=%d\n", LOG_DIR_FORMAT_VERSION);
        r = io_replace_file(dir->io, dir->fd, ".", FORMAT_FILE, text, strlen(text), true);
    }
    return r ? err_set(err, r, "%s is not writable: %s", dir->path, strerror(-r)) : 0;
}

/* Reads the last stop's mark and takes it away before anything is changed. */
static int take_clean_mark(struct log_dir *dir, struct err *err)
{
    char *text;
    size_t size;
    uint64_t stop_id = 0;

    int r = io_read_file(dir->io, dir->fd, CLEAN_FILE, SMALL_FILE_MAX, &text, &size);
    if (r == -ENOENT) return 0;
    if (r) return err_set(err, r, "cannot read %s/%s: %s", dir->path, CLEAN_FILE, strerror(-r));
    dir->was_clean = true;
    const char *epoch = strstr(text, "\"brokerEpoch\":");
    if (epoch) stop_id = strtoull(epoch + strlen("\"brokerEpoch\":"), NULL, 10);
    free(text);
    /* Without it, or with that of another stop, the folders are read. */
    if (!io_read_file(dir->io, dir->fd, CLEAN_STATE_FILE, CHECKPOINT_FILE_MAX, &text, &size) &&
        clean_state_parse(&dir->clean, text, size, stop_id))
        log_info("storage", "the folders have changed since the last stop and are read anew path=%s", dir->path);
    r = dir->io->unlinkat(dir->fd, CLEAN_FILE, 0);
    if (!r) r = dir->io->fsync(dir->fd);
    return r ? err_set(err, r, "%s is not writable: %s", dir->path, strerror(-r)) : 0;
}

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
    size_t len = strlen(name), digits = 0;
    struct stat st;

    while (digits < len && name[len - 1 - digits] >= '0' && name[len - 1 - digits] <= '9') digits++;
    if (!digits || digits + 1 >= len || name[len - 1 - digits] != '-') return 0;
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

/* Returns 0; 1: there is a partition's folder that is not open, and so was not recovered; -errno. No other thread uses the
 * directory. */
static int has_unopened(struct log_dir *dir)
{
    struct unopened u = {.dir = dir};
    return list_unopened(&u, false);
}

static int open_directory(struct log_dir *dir, struct err *err)
{
    bool new_meta, new_format;

    int r = dir->io->mkdirat(AT_FDCWD, dir->path, 0755);
    if (r == -ENOENT) return err_set(err, r, "cannot create %s: the directory above it does not exist", dir->path);
    if (r && r != -EEXIST)
        return err_set(err, r, "cannot create %s: %s (this process runs as user %u)", dir->path, strerror(-r),
                       (unsigned)geteuid());
    dir->fd = dir->io->openat(AT_FDCWD, dir->path, O_RDONLY | O_DIRECTORY, 0);
    if (dir->fd < 0) return err_set(err, dir->fd, "cannot open %s: %s", dir->path, strerror(-dir->fd));
    r = check_format(dir, &new_format, err); /* in a newer one nothing is touched, not even the lock's file */
    if (!r) r = take_lock(dir, err);
    if (!r) r = check_format(dir, &new_format, err);
    if (!r) r = check_meta(dir, &new_meta, err);
    /* A directory without logs has nothing to check. In one that we take over Kafka's own mark counts. */
    if (!r && new_format) dir->was_clean = has_unopened(dir) == 0;
    if (!r) r = take_clean_mark(dir, err);
    if (!r && (new_meta || new_format)) r = write_identity(dir, new_meta, new_format, err);
    if (!r) r = known_offsets_load(dir, RECOVERY_POINT_FILE, &dir->recovery_points, err);
    if (!r) r = known_offsets_load(dir, LOG_START_FILE, &dir->log_starts, err);
    if (!r) r = known_offsets_load(dir, CLEANER_FILE, &dir->clean_ends, err);
    return r;
}

static void free_dir(struct log_dir *dir)
{
    if (dir->lock_fd >= 0) dir->io->close(dir->lock_fd);
    if (dir->fd >= 0) dir->io->close(dir->fd);
    clean_state_done(&dir->clean);
    known_offsets_done(&dir->recovery_points);
    known_offsets_done(&dir->log_starts);
    known_offsets_done(&dir->clean_ends);
    for (struct log_failure *f = LIST_FIRST(&dir->failures), *next; f; f = next) {
        next = LIST_NEXT(f, link);
        free(f);
    }
    pthread_rwlock_destroy(&dir->visibility);
    pthread_mutex_destroy(&dir->lock);
    pthread_mutex_destroy(&dir->checkpoint_lock);
    pthread_cond_destroy(&dir->housekeeper_wake);
    pthread_cond_destroy(&dir->cleaner_wake);
    open_files_done(&dir->files);
    free(dir->path);
    free(dir);
}

void log_dir_unref(struct log_dir *dir)
{
    if (atomic_fetch_sub(&dir->refs, 1) == 1) free_dir(dir);
}

static struct log_dir *new_dir(const struct log_dir_options *o)
{
    struct log_dir *dir = xcalloc(1, sizeof *dir);
    pthread_rwlockattr_t rwlock;
    pthread_condattr_t cond;

    dir->options = *o;
    dir->path = xstrdup(o->path);
    dir->options.path = dir->path;
    dir->io = o->io ? o->io : &io_posix;
    dir->clock = o->clock ? o->clock : &clock_system;
    dir->fd = dir->lock_fd = -1;
    atomic_init(&dir->refs, 1);
    /* A release must not wait for as long as fetches keep coming. */
    pthread_rwlockattr_init(&rwlock);
    pthread_rwlockattr_setkind_np(&rwlock, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&dir->visibility, &rwlock);
    pthread_rwlockattr_destroy(&rwlock);
    pthread_mutex_init(&dir->lock, NULL);
    pthread_mutex_init(&dir->checkpoint_lock, NULL);
    pthread_condattr_init(&cond);
    pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
    pthread_cond_init(&dir->housekeeper_wake, &cond);
    pthread_cond_init(&dir->cleaner_wake, &cond);
    pthread_condattr_destroy(&cond);
    LIST_INIT(&dir->logs);
    LIST_INIT(&dir->configs);
    LIST_INIT(&dir->failures);
    STAILQ_INIT(&dir->removals);
    STAILQ_INIT(&dir->checkpoint_waits);
    open_files_init(&dir->files, dir->io, o->open_files_max);
    return dir;
}

int log_dir_open(const struct log_dir_options *o, struct log_dir **ret_dir, struct err *err)
{
    struct log_dir *dir = new_dir(o);

    int r = open_directory(dir, err);
    if (!r) {
        r = sync_service_init(&dir->sync);
        if (!r) r = housekeeper_start(dir);
        if (!r && (r = cleaner_start(dir))) housekeeper_stop(dir);
        if (r) err_set(err, r, "cannot start a thread: %s", strerror(-r));
        if (r) sync_service_stop(&dir->sync);
    }
    if (r) {
        free_dir(dir);
        return r;
    }
    *ret_dir = dir;
    return 0;
}

const char *log_dir_path(const struct log_dir *dir)
{
    return dir->path;
}

const char *log_dir_cluster_id(const struct log_dir *dir)
{
    return dir->cluster_id;
}

struct uuid log_dir_directory_id(const struct log_dir *dir)
{
    return dir->directory_id;
}

void log_dir_serve(struct log_dir *dir)
{
    atomic_store(&dir->serving, true);
}

bool log_dir_was_clean(const struct log_dir *dir)
{
    return dir->was_clean;
}

int log_dir_space(struct log_dir *dir, int64_t *ret_total, int64_t *ret_usable)
{
    struct statvfs st;
    int r = dir->io->statvfs(dir->fd, &st);
    if (r) return r;
    *ret_total = (int64_t)(st.f_blocks * st.f_frsize);
    *ret_usable = (int64_t)(st.f_bavail * st.f_frsize);
    return 0;
}

/* -- logs -- */

/* <name>.<32 hex digits>-<suffix>, with the name cut so that a file name holds it. */
static void renamed(const char *name, const char *suffix, char ret_name[LOG_NAME_BYTES])
{
    char hex[33];
    struct uuid id = uuid_random();
    for (uint32_t i = 0; i < sizeof id.bytes; i++) snprintf(hex + 2 * i, 3, "%02x", id.bytes[i]);
    int room = LOG_NAME_BYTES - 1 - (int)(1 + 32 + 1 + strlen(suffix));
    snprintf(ret_name, LOG_NAME_BYTES, "%.*s.%s-%s", room, name, hex, suffix);
}

static int write_partition_metadata(struct partition_log *log)
{
    char path[SEGMENT_PATH_BYTES], text[64], id[UUID_TEXT_SIZE];

    uuid_format(log->topic_id, id);
    snprintf(path, sizeof path, "%s/" PARTITION_FILE, log->name);
    snprintf(text, sizeof text, "version: 0\ntopic_id: %s", id);
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

/* Is there a folder, and is it this topic's? Sets a foreign one aside. */
static int check_folder(struct partition_log *log, bool *ret_exists, struct err *err)
{
    struct log_dir *dir = log->dir;
    char path[SEGMENT_PATH_BYTES], aside[LOG_NAME_BYTES], id_text[UUID_TEXT_SIZE], *text;
    size_t size;
    struct uuid id;
    struct stat st;

    *ret_exists = false;
    int r = dir->io->fstatat(dir->fd, log->name, &st);
    if (r == -ENOENT) return 0;
    if (r) return r;
    *ret_exists = true;
    snprintf(path, sizeof path, "%s/" PARTITION_FILE, log->name);
    r = io_read_file(dir->io, dir->fd, path, SMALL_FILE_MAX, &text, &size);
    if (r && r != -ENOENT) return r;
    const char *value = r ? NULL : strstr(text, "topic_id: ");
    bool known = value && sscanf(value, "topic_id: %22s", id_text) == 1 && uuid_parse(id_text, &id);
    if (!r) free(text);
    if (!known) return write_partition_metadata(log); /* lost in a power cut just after its making */
    if (uuid_eq(id, log->topic_id)) return 0;

    renamed(log->name, "stray", aside);
    r = dir->io->renameat(dir->fd, log->name, aside);
    if (!r) log_warn("storage", "a folder of another topic id is set aside folder=%s as=%s", log->name, aside);
    *ret_exists = false;
    return r;
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
        renamed(name, "stray", aside);
        if (!r) r = dir->io->renameat(dir->fd, name, aside);
        if (!r) {
            count++;
            log_warn("storage",
                     "a folder of no topic is set aside, remove it when nobody misses what is in it folder=%s as=%s",
                     name, aside);
            *dash = '\0';
            forget_known(dir, name, (int32_t)strtol(dash + 1, NULL, 10));
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

static bool open_from_clean_state(struct partition_log *log, const char *topic)
{
    struct log_dir *dir = log->dir;

    pthread_mutex_lock(&dir->lock);
    struct clean_entry *e = clean_state_find(&dir->clean, topic, log->partition);
    bool found = e && uuid_eq(e->topic_id, log->topic_id);
    if (e) e->used = true;
    if (found) {
        atomic_store(&log->log_start, e->log_start);
        atomic_store(&log->log_end, e->log_end);
        atomic_store(&log->durable_end, e->log_end);
        atomic_store(&log->high_watermark, e->log_end);
        atomic_store(&log->last_stable, e->last_stable);
        atomic_store(&log->leader_epoch, e->leader_epoch);
        atomic_store(&log->size, e->size);
        log->oldest_timestamp_ms = e->oldest_timestamp_ms;
    }
    pthread_mutex_unlock(&dir->lock);
    return found;
}

static int open_log(struct partition_log *log, const char *topic, struct err *err)
{
    struct log_dir *dir = log->dir;
    int64_t recovery_point = known_offsets_get(dir, &dir->recovery_points, topic, log->partition);
    int64_t log_start = known_offsets_get(dir, &dir->log_starts, topic, log->partition);
    bool exists;

    log->clean_end = known_offsets_get(dir, &dir->clean_ends, topic, log->partition);
    if (open_from_clean_state(log, topic)) return 0;
    int r = check_folder(log, &exists, err);
    if (!r && !exists) {
        /* A recovery point that an earlier topic of this name left would make torn tails look like damage. One of 0 is
         * that of a partition without records: a write for each of many of them would take minutes. */
        pthread_mutex_lock(&dir->lock);
        bool stale = dir->forgotten || recovery_point > 0 || log->clean_end > 0;
        if (log->clean_end >= 0) atomic_store(&dir->cleaned, true);
        forget_known(dir, topic, log->partition);
        log->clean_end = -1;
        pthread_mutex_unlock(&dir->lock);
        if (stale) r = log_dir_write_checkpoints(dir);
        if (!r) log_begin(log);
    }
    if (r) return err_set(err, r, "cannot open %s/%s: %s", dir->path, log->name, strerror(-r));
    if (!exists) return 0;

    struct log_load load = {
        .clean = dir->was_clean, .recovery_point = MAX(recovery_point, 0), .log_start = MAX(log_start, 0)};
    return log_load(log, &load, err);
}

static struct log_failure *failure_find(struct log_dir *dir, const char *log_name)
{
    struct log_failure *f;
    LIST_FOREACH(f, &dir->failures, link)
        if (!strcmp(f->name, log_name)) return f;
    return NULL;
}

void log_dir_note_failure(struct log_dir *dir, const char *log_name, const struct err *why)
{
    pthread_mutex_lock(&dir->lock);
    struct log_failure *f = failure_find(dir, log_name);
    if (!f) {
        f = xmalloc(sizeof *f + strlen(log_name) + 1);
        strcpy(f->name, log_name);
        LIST_INSERT_HEAD(&dir->failures, f, link);
    }
    f->why = *why;
    pthread_mutex_unlock(&dir->lock);
}

void log_dir_failure(struct log_dir *dir, const char *topic, int32_t partition, struct err *ret_why)
{
    char name[LOG_NAME_BYTES];

    snprintf(name, sizeof name, "%s-%d", topic, partition);
    pthread_mutex_lock(&dir->lock);
    const struct log_failure *f = failure_find(dir, name);
    *ret_why = f ? f->why : ERR_NONE;
    pthread_mutex_unlock(&dir->lock);
}

int log_dir_open_log(struct log_dir *dir, const char *topic, int32_t partition, struct uuid topic_id,
                     const struct log_config *config, struct partition_log **ret_log, struct err *err)
{
    char name[LOG_NAME_BYTES];
    if (partition < 0 || strchr(topic, '/') || snprintf(name, sizeof name, "%s-%d", topic, partition) >= LOG_NAME_BYTES)
        return err_set(err, -EINVAL, "%s-%d is no name for a folder", topic, partition);

    struct partition_log *log = log_new(dir, topic, partition, topic_id, config);
    int r = open_log(log, topic, err);
    if (!r && atomic_load(&log->durable_end) < atomic_load(&log->log_end)) {
        /* What recovery found was acknowledged: it must not be lost by a second accident. */
        if (config->strict) r = partition_log_sync(&log, 1);
        else log_sync_soon(log);
        if (r) err_set(err, r, "cannot sync %s/%s: %s", dir->path, log->name, strerror(-r));
    }
    if (r) {
        if (err) log_dir_note_failure(dir, log->name, err);
        partition_log_unref(log);
        return r;
    }
    if (log->loaded) {
        pthread_mutex_lock(&log->lock);
        log_publish(log);
        pthread_mutex_unlock(&log->lock);
    }
    pthread_mutex_lock(&dir->lock);
    forget_known(dir, topic, partition);
    LIST_INSERT_HEAD(&dir->logs, log, link);
    dir->logs_count++;
    pthread_mutex_unlock(&dir->lock);
    log_dir_note_marks(dir);
    *ret_log = partition_log_ref(log);
    return 0;
}

int log_dir_delete_log(struct log_dir *dir, struct partition_log *log)
{
    char away[LOG_NAME_BYTES];

    pthread_mutex_lock(&log->lock);
    if (log->closed) {
        pthread_mutex_unlock(&log->lock);
        return -ESTALE;
    }
    renamed(log->name, "delete", away);
    int r = dir->io->renameat(dir->fd, log->name, away);
    if (r && r != -ENOENT) {
        pthread_mutex_unlock(&log->lock);
        return r;
    }
    /* Of a folder that was never synced a power cut may bring back the name without its partition.metadata: the next topic of that
     * name would take it for its own. */
    if (r) r = 0; /* there is none */
    else if (atomic_load(&log->durable_end) == 0) r = dir->io->fsync(dir->fd);
    log_close(log);
    log->folder = xstrdup(away);
    int64_t delay_ms = log->config->config.file_delete_delay_ms;
    pthread_mutex_unlock(&log->lock);

    pthread_mutex_lock(&dir->lock);
    LIST_REMOVE(log, link);
    dir->logs_count--;
    dir->forgotten = true;
    pthread_mutex_unlock(&dir->lock);
    log_dir_note_marks(dir);
    log_dir_remove_later(dir, away, true, delay_ms);
    partition_log_unref(log);
    return r;
}

/* -- closing -- */

static int sync_all(struct log_dir *dir)
{
    struct partition_log *log;
    uint32_t count = 0;

    pthread_mutex_lock(&dir->lock);
    struct partition_log **dirty = xmalloc((dir->logs_count + 1) * sizeof *dirty);
    LIST_FOREACH(log, &dir->logs, link)
        if (atomic_load(&log->durable_end) < atomic_load(&log->log_end)) dirty[count++] = partition_log_ref(log);
    pthread_mutex_unlock(&dir->lock);
    int r = partition_log_sync(dirty, count);
    for (uint32_t i = 0; i < count; i++) partition_log_unref(dirty[i]);
    free(dirty);
    return r;
}

/* After a clean stop an index of aborted transactions is believed, and cannot be told from one that a power cut has emptied. The
 * others can: they rise, or have a checksum. */
static int sync_aborted(struct partition_log *log, struct segment *s)
{
    if (!s->aborted.count) return 0;
    int r = segment_write_aborted(s, true);
    return r ? r : io_sync_dir(log->dir->io, log->dir->fd, log_folder(log));
}

/* Brings a log's small files up to date. Returns whether it is as a clean stop must leave it. */
static bool finish_log(struct partition_log *log)
{
    pthread_mutex_lock(&log->lock);
    bool good = !atomic_load(&log->failed) && atomic_load(&log->durable_end) == atomic_load(&log->log_end);
    struct segment *s = log_active(log);
    if (good && log->loaded) {
        if (s) {
            segment_trim(s);
            good = !segment_finish_times(s) && !segment_write_indexes(s, false) && !sync_aborted(log, s);
        }
        if (good && (s || log->producers->producers)) good = !log_write_snapshot(log);
        if (good && log->epochs_dirty && log->epochs.count) good = !log_write_epochs(log);
        if (good && s && !log_know_timestamps(log, log->segments[0]))
            log->oldest_timestamp_ms = log->segments[0]->max_timestamp_ms;
    }
    log_close(log);
    pthread_mutex_unlock(&log->lock);
    return good;
}

static int64_t stable_end(const struct partition_log *log)
{
    int64_t unstable =
        log->producers ? producer_state_first_unstable(log->producers, INT64_MAX) : atomic_load(&log->last_stable);
    return MIN(atomic_load(&log->log_end), MAX(unstable, atomic_load(&log->log_start)));
}

static int write_clean_mark(struct log_dir *dir)
{
    struct clean_state state = {0};
    struct partition_log *log;
    struct uuid random = uuid_random();
    uint64_t stop_id = be64_load(random.bytes) >> 2; /* fits JSON readers' signed numbers */
    char mark[64];
    size_t size, names_bytes = 0;

    LIST_FOREACH(log, &dir->logs, link) names_bytes += log->topic_len + 1;
    AUTO_FREE char *names = xmalloc(names_bytes + 1);
    char *name = names;
    LIST_FOREACH(log, &dir->logs, link) {
        memcpy(name, log->name, log->topic_len);
        name[log->topic_len] = '\0';
        struct clean_entry e = {.topic = name,
                                .partition = log->partition,
                                .topic_id = log->topic_id,
                                .log_start = atomic_load(&log->log_start),
                                .log_end = atomic_load(&log->log_end),
                                .last_stable = stable_end(log),
                                .leader_epoch = atomic_load(&log->leader_epoch),
                                .size = atomic_load(&log->size),
                                .oldest_timestamp_ms = log->oldest_timestamp_ms};
        clean_state_add(&state, &e);
        name += log->topic_len + 1;
    }
    for (uint32_t i = 0; i < dir->clean.count; i++)
        if (!dir->clean.entries[i].used) clean_state_add(&state, &dir->clean.entries[i]);

    AUTO_FREE char *text = clean_state_format(&state, stop_id, &size);
    clean_state_done(&state);
    int r = io_replace_file(dir->io, dir->fd, ".", CLEAN_STATE_FILE, text, size, true);
    if (r) return r;
    snprintf(mark, sizeof mark, "{\"version\":0,\"brokerEpoch\":%" PRIu64 "}", stop_id);
    return io_replace_file(dir->io, dir->fd, ".", CLEAN_FILE, mark, strlen(mark), true);
}

void log_dir_close(struct log_dir *dir)
{
    struct partition_log *log;
    bool good;

    if (!dir) return;
    cleaner_stop(dir);
    housekeeper_stop(dir);
    good = !sync_all(dir);
    sync_service_stop(&dir->sync);
    LIST_FOREACH(log, &dir->logs, link) good &= finish_log(log);
    log_dir_remove_due(dir, true);
    int r = log_dir_write_checkpoints(dir);
    /* A mark says that all is well; what was not recovered in this run must be recovered in the next. */
    if (good && !r && !dir->was_clean) good = has_unopened(dir) == 0;
    if (good && !r) r = write_clean_mark(dir);
    if (!good || r)
        log_error("storage", "the stop was not clean: the next start will check the logs path=%s", dir->path);
    while ((log = LIST_FIRST(&dir->logs))) {
        LIST_REMOVE(log, link);
        partition_log_unref(log);
    }
    /* The lock goes now, whoever still holds references. */
    dir->io->close(dir->lock_fd);
    dir->lock_fd = -1;
    log_dir_unref(dir);
}
