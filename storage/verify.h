/* storage/verify.h: reads a data directory, a partition's folder or one file of them, and tells everything that is
 * damaged.
 *
 * Only reads. A broker, ours or Kafka, may be running on the directory, or may have been killed on it: what is still
 * being written, or what the next start cuts off, is no damage (a torn tail behind the recovery point).
 * What each kind of file is asked: the table in verify.c, and docs/verify.md. Threads: one. */
#ifndef OTTLA_VERIFY_H
#define OTTLA_VERIFY_H

#include "base/bytes.h"
#include "storage/checkpoint.h"
#include "storage/clean_state.h"
#include "storage/leader_epoch.h"
#include "storage/producer_state.h"

#define VERIFY_WHOLE_FILE    (-1)
#define VERIFY_FINDINGS_MAX  1000                /* of one folder; more are not told one by one */
#define VERIFY_CONTENT_MAX   (128 * 1024 * 1024) /* decompressed content of one batch [bytes] */
#define VERIFY_TEXT_FILE_MAX (256 * 1024 * 1024) /* of what is no segment [bytes] */

struct verify_finding {
    char *path;
    int64_t position; /* [bytes]; VERIFY_WHOLE_FILE */
    char what[160];
};

struct verify_findings {
    struct verify_finding *items;
    uint32_t count, allocated;
};

/* An offset checkpoint of the directory around. */
struct verify_marks {
    char *text;
    struct checkpoint checkpoint; /* sorted */
    bool damaged;
};

struct verify {
    /* in */
    void (*damage)(void *arg, const struct verify_finding *f);
    void (*note)(void *arg, const struct verify_finding *f); /* worth a line, and no damage */
    /* NULL, or called before so many bytes of a segment are read; may wait. false: the folder is left, and not judged. */
    bool (*pace)(void *arg, uint64_t bytes);
    void *arg;
    /* out */
    uint64_t files, bytes, batches, records, damages;
    /* what is known of the directory around */
    const char *directory;
    bool running; /* a broker has its lock */
    bool clean;   /* the last stop was */
    bool stopped; /* by pace */
    bool alone;   /* one file was named: nothing is known around it */
    struct verify_marks recovery_points, log_starts, clean_ends;
    struct verify_findings found;
};

/* Checks the file or folder, with all that is in it. Returns 0, or -errno when path cannot be read at all; damage is
 * counted. */
int verify_path(struct verify *v, const char *path) WARN_UNUSED;

/* The same in steps, for many folders of one directory: what is around them is read once (directory is borrowed until
 * the end), and again for a folder in which something is found. */
void verify_begin(struct verify *v, const char *directory);
void verify_folder(struct verify *v, const char *folder);
void verify_end(struct verify *v);

/* -- shared by verify.c and verify_segment.c -- */

void verify_found(struct verify *v, const char *path, int64_t position, const char *format, ...) PRINTF_LIKE(4, 5);
void verify_noted(struct verify *v, const char *path, int64_t position, const char *format, ...) PRINTF_LIKE(4, 5);
/* A whole file, malloc'd, with a NUL behind it. NULL: told, unless missing_ok. */
char *verify_read(struct verify *v, const char *path, size_t *ret_size, bool missing_ok);

/* The begin of an epoch as the batches have it. */
struct verify_epoch {
    int64_t first_offset;
    int64_t position;
    int32_t epoch;
    char *path;
};

/* One partition's folder while its segments are read in turn. */
struct verify_log {
    struct verify *v;
    const char *folder;
    int64_t recovery_point; /* everything below was durable; 0 when it is not known */
    bool compacted;         /* offsets may be missing */
    int64_t next_offset;    /* behind the last batch; -1: none yet */
    struct producer_state producers;
    bool producers_known; /* all their batches were seen */
    struct verify_epoch *epochs;
    uint32_t epochs_count, epochs_allocated;
    struct bytes content;
};

/* A segment and its indexes. next_base: of the segment behind it; -1: the last. */
void verify_segment(struct verify_log *l, int64_t base_offset, int64_t next_base);
/* Batches back to back without anything around them: a metadata snapshot. */
void verify_batches(struct verify *v, const char *path);

#endif
