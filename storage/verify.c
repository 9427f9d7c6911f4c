/* Which file of a data directory is asked what; a partition's folder as a whole. Segments: verify_segment.c.
 *
 * On a directory that a broker is writing to, a folder in which something is found is read a second time, and only what
 * is found both times is told: a segment that compaction replaced, or an index that was written in between, is not
 * found again. */
#include "storage/verify.h"

#include "base/uuid.h"
#include "storage/log_internal.h"
#include "storage/meta_properties.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- findings -- */

static void finding_done(struct verify_finding *f)
{
    free(f->path);
}

static void findings_done(struct verify_findings *found)
{
    for (uint32_t i = 0; i < found->count; i++) finding_done(&found->items[i]);
    free(found->items);
    *found = (struct verify_findings){0};
}

void verify_found(struct verify *v, const char *path, int64_t position, const char *format, ...)
{
    struct verify_findings *found = &v->found;
    va_list ap;

    if (found->count == VERIFY_FINDINGS_MAX) return;
    if (found->count == found->allocated) {
        found->allocated = found->allocated ? found->allocated * 2 : 8;
        found->items = xrealloc(found->items, found->allocated * sizeof *found->items);
    }
    struct verify_finding *f = &found->items[found->count++];
    *f = (struct verify_finding){.path = xstrdup(path), .position = position};
    va_start(ap, format);
    vsnprintf(f->what, sizeof f->what, format, ap);
    va_end(ap);
}

void verify_noted(struct verify *v, const char *path, int64_t position, const char *format, ...)
{
    struct verify_finding f = {.path = xstrdup(path), .position = position};
    va_list ap;

    va_start(ap, format);
    vsnprintf(f.what, sizeof f.what, format, ap);
    va_end(ap);
    if (v->note) v->note(v->arg, &f);
    finding_done(&f);
}

static bool finding_among(const struct verify_findings *found, const struct verify_finding *f)
{
    for (uint32_t i = 0; i < found->count; i++)
        if (found->items[i].position == f->position && !strcmp(found->items[i].path, f->path)) return true;
    return false;
}

/* Tells what was found, and begins anew. also: NULL, or what must have been found as well. */
static void tell(struct verify *v, const struct verify_findings *also)
{
    for (uint32_t i = 0; i < v->found.count; i++) {
        if (also && !finding_among(also, &v->found.items[i])) continue;
        v->damages++;
        v->damage(v->arg, &v->found.items[i]);
    }
    findings_done(&v->found);
}

char *verify_read(struct verify *v, const char *path, size_t *ret_size, bool missing_ok)
{
    char *bytes;
    int r = io_read_file(&io_posix, AT_FDCWD, path, VERIFY_TEXT_FILE_MAX, &bytes, ret_size);
    if (!r) {
        v->files++;
        v->bytes += *ret_size;
        return bytes;
    }
    if (r != -ENOENT || !(missing_ok || v->running))
        verify_found(v, path, VERIFY_WHOLE_FILE, "cannot be read: %s", strerror(-r));
    return NULL;
}

/* -- small files -- */

static void check_checkpoint(struct verify *v, const char *path)
{
    struct checkpoint c = {0};
    size_t size;
    AUTO_FREE char *text = verify_read(v, path, &size, false);
    if (!text) return;
    if (strlen(text) != size || checkpoint_parse(&c, text))
        verify_found(v, path, VERIFY_WHOLE_FILE, "not the text of an offset checkpoint");
    checkpoint_done(&c);
}

static void check_epochs_text(struct verify *v, const char *path)
{
    struct leader_epochs epochs = {0};
    size_t size;
    AUTO_FREE char *text = verify_read(v, path, &size, false);
    if (!text) return;
    if (strlen(text) != size || leader_epochs_parse(&epochs, text))
        verify_found(v, path, VERIFY_WHOLE_FILE,
                     "not the text of a leader epoch checkpoint, or its numbers do not rise");
    leader_epochs_done(&epochs);
}

static void check_partition_metadata(struct verify *v, const char *path)
{
    size_t size;
    struct uuid id;
    AUTO_FREE char *text = verify_read(v, path, &size, false);
    if (text && (strncmp(text, "version: 0\n", 11) != 0 || !partition_metadata_parse(text, &id)))
        verify_found(v, path, VERIFY_WHOLE_FILE, "not `version: 0` and a topic id");
}

static void check_meta_properties(struct verify *v, const char *path)
{
    struct meta_properties meta;
    size_t size;
    AUTO_FREE char *text = verify_read(v, path, &size, false);
    if (text && !meta_properties_parse(text, &meta))
        verify_found(v, path, VERIFY_WHOLE_FILE, "has no cluster.id, or neither node.id nor broker.id");
}

static void check_format_version(struct verify *v, const char *path)
{
    size_t size;
    int version;
    AUTO_FREE char *text = verify_read(v, path, &size, false);
    if (text && (sscanf(text, "version=%d", &version) != 1 || version < 1 || version > LOG_DIR_FORMAT_VERSION))
        verify_found(v, path, VERIFY_WHOLE_FILE, "no version that is known");
}

static void check_clean_state(struct verify *v, const char *path)
{
    struct clean_state state = {0};
    size_t size;
    uint64_t stop_id;
    char *text = verify_read(v, path, &size, false);
    if (!text) return;
    if (sscanf(text, "ottla-partitions %*d %" SCNu64, &stop_id) != 1) {
        free(text);
        verify_found(v, path, VERIFY_WHOLE_FILE, "not a list of partitions");
    } else if (clean_state_parse(&state, text, size, stop_id)) {
        verify_found(v, path, VERIFY_WHOLE_FILE, "its checksum is wrong, or a line is no partition's");
    }
    clean_state_done(&state);
}

static void check_snapshot(struct verify *v, const char *path)
{
    struct producer_state state;
    struct producer *p, *next;
    const char *slash = strrchr(path, '/');
    int64_t end = strtoll(slash ? slash + 1 : path, NULL, 10);
    size_t size;

    AUTO_FREE char *bytes = verify_read(v, path, &size, false);
    if (!bytes) return;
    producer_state_init(&state);
    if (producer_state_decode(&state, (const uint8_t *)bytes, size))
        verify_found(v, path, VERIFY_WHOLE_FILE, "not a snapshot of producers: checksum, version or size are wrong");
    HASH_ITER(hh, state.producers, p, next)
    if ((p->batches_count && p->batches[0].last_offset >= end) || p->txn_first_offset >= end)
        verify_found(v, path, VERIFY_WHOLE_FILE, "producer %" PRId64 " has written behind the snapshot's offset",
                     p->id);
    producer_state_done(&state);
}

static void check_json(struct verify *v, const char *path)
{
    size_t size;
    AUTO_FREE char *text = verify_read(v, path, &size, false);
    if (text && (size < 2 || text[0] != '{' || !strchr(text, '}') || strlen(text) != size))
        verify_found(v, path, VERIFY_WHOLE_FILE, "not a JSON object");
}

static bool is_segment(const char *name)
{
    return strspn(name, "0123456789") == SEGMENT_NAME_DIGITS && !strcmp(name + SEGMENT_NAME_DIGITS, ".log");
}

static void verify_log_done(struct verify_log *l)
{
    for (uint32_t i = 0; i < l->epochs_count; i++) free(l->epochs[i].path);
    free(l->epochs);
    producer_state_done(&l->producers);
    bytes_done(&l->content);
}

/* A segment without its neighbours; its indexes beside it are looked at. */
static void check_segment_alone(struct verify *v, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    AUTO_FREE char *folder = slash ? slice_strdup(slice_make(path, (uint32_t)(slash - path))) : xstrdup(".");
    struct verify_log l = {.v = v, .folder = folder, .compacted = true, .next_offset = -1};

    producer_state_init(&l.producers);
    if (is_segment(name)) verify_segment(&l, strtoll(name, NULL, 10), -1);
    else verify_batches(v, path);
    verify_log_done(&l);
}

/* An index is checked with its segment. */
static void check_index_alone(struct verify *v, const char *path)
{
    AUTO_FREE char *log = xstrdup(path);
    strcpy(strrchr(log, '.'), ".log"); /* shorter, and the name had a dot */
    check_segment_alone(v, log);
}

/* Files by the ends of their names. by_segment: in a partition's folder segments and their indexes are read together,
 * in order. */
static const struct kind {
    const char *ending;
    void (*check)(struct verify *v, const char *path);
    bool by_segment;
} kinds[] = {
    {".log", check_segment_alone, true},
    {".timeindex", check_index_alone, true},
    {".txnindex", check_index_alone, true},
    {".index", check_index_alone, true},
    {".snapshot", check_snapshot, false},
    {LEADER_EPOCH_FILE, check_epochs_text, false},
    {"offset-checkpoint", check_checkpoint, false},
    {".checkpoint", verify_batches, false},
    {PARTITION_FILE, check_partition_metadata, false},
    {META_FILE, check_meta_properties, false},
    {FORMAT_FILE, check_format_version, false},
    {CLEAN_STATE_FILE, check_clean_state, false},
    {CLEAN_FILE, check_json, false},
    {"quorum-state", check_json, false},
};

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < countof(kinds); i++)
        if (text_ends_with(name, kinds[i].ending)) return &kinds[i];
    return NULL;
}

/* -- a partition's folder -- */

static void marks_load(struct verify_marks *m, const char *directory, const char *name)
{
    AUTO_FREE char *path = xasprintf("%s/%s", directory, name);
    size_t size;

    if (io_read_file(&io_posix, AT_FDCWD, path, VERIFY_TEXT_FILE_MAX, &m->text, &size)) return;
    m->damaged = checkpoint_parse(&m->checkpoint, m->text); /* told where that file is checked */
    checkpoint_sort(&m->checkpoint);
}

static void marks_done(struct verify_marks *m)
{
    checkpoint_done(&m->checkpoint);
    free(m->text);
    *m = (struct verify_marks){0};
}

/* What it says of the partition whose folder this is; -1: nothing. */
static int64_t marks_get(const struct verify_marks *m, const char *folder)
{
    AUTO_FREE char *whole = realpath(folder, NULL);
    char *name = whole ? strrchr(whole, '/') + 1 : NULL, *dash = name ? strrchr(name, '-') : NULL;
    if (!dash) return -1;
    *dash = '\0';
    const struct checkpoint_entry *e = checkpoint_find(&m->checkpoint, name, (int32_t)strtol(dash + 1, NULL, 10));
    return e ? e->offset : -1;
}

/* Every batch must be of the epoch that the checkpoint has at its offset. */
static void check_epochs(struct verify_log *l)
{
    struct leader_epochs epochs = {0};
    AUTO_FREE char *path = xasprintf("%s/" LEADER_EPOCH_FILE, l->folder);
    int64_t log_start = marks_get(&l->v->log_starts, l->folder);
    size_t size;
    if (l->v->log_starts.damaged) return; /* where the log begins is not known */
    AUTO_FREE char *text = verify_read(l->v, path, &size, true);

    if (!text || strlen(text) != size || leader_epochs_parse(&epochs, text))
        return; /* told where the file is checked */
    for (uint32_t i = 0; i < l->epochs_count && epochs.count; i++) {
        int64_t offset = MAX(l->epochs[i].first_offset, log_start);
        int32_t epoch = -1;
        if (i + 1 < l->epochs_count && l->epochs[i + 1].first_offset <= log_start) continue;
        for (uint32_t k = 0; k < epochs.count && epochs.entries[k].start_offset <= offset; k++)
            epoch = epochs.entries[k].epoch;
        /* The beginning of a log is cut off before that is written down. */
        if (epoch < 0 && !l->v->clean && epochs.entries[0].epoch == l->epochs[i].epoch) continue;
        if (epoch != l->epochs[i].epoch)
            verify_found(l->v, path, VERIFY_WHOLE_FILE,
                         "it has epoch %d at offset %" PRId64 ", where the log has %d (position %" PRId64 " of %s)",
                         epoch, offset, l->epochs[i].epoch, l->epochs[i].position, strrchr(l->epochs[i].path, '/') + 1);
    }
    leader_epochs_done(&epochs);
}

static int compare_offsets(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Names of a folder. Returns how many, -errno. */
static int names_of(const char *path, struct dirent ***ret_entries)
{
    int count = scandir(path, ret_entries, NULL, alphasort);
    return count < 0 ? -errno : count;
}

static void read_folder(struct verify *v, const char *folder)
{
    struct verify_log l = {.v = v, .folder = folder, .next_offset = -1};
    struct dirent **entries;
    int count = names_of(folder, &entries);
    uint32_t segments = 0;

    if (count < 0) {
        if (count != -ENOENT || !v->running)
            verify_found(v, folder, VERIFY_WHOLE_FILE, "cannot be read: %s", strerror(-count));
        return;
    }
    l.recovery_point = MAX(marks_get(&v->recovery_points, folder), 0);
    l.compacted = v->clean_ends.damaged || marks_get(&v->clean_ends, folder) >= 0;
    producer_state_init(&l.producers);
    AUTO_FREE int64_t *bases = xmalloc(((size_t)count + 1) * sizeof *bases);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        const struct kind *kind = kind_of(name);
        if (is_segment(name)) bases[segments++] = strtoll(name, NULL, 10);
        else if (kind && !kind->by_segment) {
            AUTO_FREE char *path = xasprintf("%s/%s", folder, name);
            kind->check(v, path);
        }
        free(entries[i]);
    }
    free(entries);
    if (segments) qsort(bases, segments, sizeof *bases, compare_offsets);
    l.producers_known = !l.compacted && segments && bases[0] == 0;
    for (uint32_t i = 0; i < segments && !v->stopped; i++)
        verify_segment(&l, bases[i], i + 1 < segments ? bases[i + 1] : -1);
    if (!v->stopped) check_epochs(&l);
    if (l.next_offset >= 0 && l.next_offset < l.recovery_point && !v->running)
        verify_found(v, folder, VERIFY_WHOLE_FILE, "the log ends at offset %" PRId64 ", and was durable up to %" PRId64,
                     l.next_offset, l.recovery_point);
    verify_log_done(&l);
}

/* Whether a broker has the directory's lock. */
static bool is_running(const char *directory)
{
    AUTO_FREE char *path = xasprintf("%s/" LOCK_FILE, directory);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fd >= 0 && !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}

void verify_end(struct verify *v)
{
    marks_done(&v->recovery_points);
    marks_done(&v->log_starts);
    marks_done(&v->clean_ends);
    v->directory = NULL;
}

void verify_begin(struct verify *v, const char *directory)
{
    AUTO_FREE char *mark = xasprintf("%s/" CLEAN_FILE, directory);
    verify_end(v);
    v->directory = directory;
    v->running = is_running(directory);
    v->clean = !v->running && !access(mark, F_OK);
    marks_load(&v->recovery_points, directory, RECOVERY_POINT_FILE);
    marks_load(&v->log_starts, directory, LOG_START_FILE);
    marks_load(&v->clean_ends, directory, CLEANER_FILE);
}

void verify_folder(struct verify *v, const char *folder)
{
    struct verify_findings first;

    read_folder(v, folder);
    if (v->stopped) {
        findings_done(&v->found);
        return;
    }
    if (!v->running || !v->found.count) {
        tell(v, NULL);
        return;
    }
    first = v->found;
    v->found = (struct verify_findings){0};
    verify_begin(v, v->directory); /* what was compacted or deleted since is no damage */
    read_folder(v, folder);
    if (!v->stopped) tell(v, &first);
    findings_done(&v->found);
    findings_done(&first);
}

/* -- the directory -- */

/* <topic>-<partition>, also as a stray. What is to be deleted is not looked at. */
static bool is_partition(const char *name)
{
    return partition_folder_is(name) || partition_folder_was_renamed(name, "stray");
}

static int check_directory(struct verify *v, const char *directory)
{
    struct dirent **entries;
    struct stat st;
    int count = names_of(directory, &entries);

    if (count < 0) return count;
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        AUTO_FREE char *path = xasprintf("%s/%s", directory, name);
        const struct kind *kind = kind_of(name);
        if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
            if (is_partition(name)) verify_folder(v, path);
        } else if (kind && !kind->by_segment) {
            kind->check(v, path);
            tell(v, NULL);
        }
        free(entries[i]);
    }
    free(entries);
    return 0;
}

static int verify_file(struct verify *v, const char *path, const char *name)
{
    const struct kind *kind = kind_of(name);
    if (!kind) return -EINVAL;
    v->alone = true;
    kind->check(v, path);
    tell(v, NULL);
    v->alone = false;
    return 0;
}

int verify_path(struct verify *v, const char *path)
{
    struct stat st;
    int r = 0;

    if (stat(path, &st) < 0) return -errno;
    AUTO_FREE char *whole = realpath(path, NULL);
    if (!whole) return -errno;
    const char *name = strrchr(whole, '/') + 1;
    if (!S_ISDIR(st.st_mode)) return verify_file(v, path, name);
    bool partition = is_partition(name);
    AUTO_FREE char *directory = partition ? xasprintf("%s/..", path) : xstrdup(path);
    verify_begin(v, directory);
    if (partition) verify_folder(v, path);
    else r = check_directory(v, path);
    verify_end(v);
    return r;
}
