#include "storage/leader_epoch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 40

void leader_epochs_done(struct leader_epochs *e)
{
    free(e->entries);
    *e = (struct leader_epochs){0};
}

bool leader_epochs_assign(struct leader_epochs *e, int32_t epoch, int64_t start_offset)
{
    if (e->count && epoch <= e->entries[e->count - 1].epoch) return false;
    leader_epochs_cut_end(e, start_offset);
    if (e->count == e->allocated) {
        e->allocated = e->allocated ? e->allocated * 2 : 1;
        e->entries = xrealloc(e->entries, e->allocated * sizeof *e->entries);
    }
    e->entries[e->count++] = (struct epoch_entry){.epoch = epoch, .start_offset = start_offset};
    return true;
}

int32_t leader_epochs_latest(const struct leader_epochs *e)
{
    return e->count ? e->entries[e->count - 1].epoch : -1;
}

void leader_epochs_end(const struct leader_epochs *e, int32_t epoch, int64_t log_end, int32_t *ret_epoch,
                       int64_t *ret_end_offset)
{
    *ret_epoch = -1;
    *ret_end_offset = -1;
    if (!e->count || epoch > e->entries[e->count - 1].epoch) return;
    for (uint32_t i = e->count; i > 0; i--) {
        if (e->entries[i - 1].epoch > epoch) continue;
        *ret_epoch = e->entries[i - 1].epoch;
        *ret_end_offset = i == e->count ? log_end : e->entries[i].start_offset;
        return;
    }
    /* Older than all we know: as Kafka, the asked epoch ends where our first begins. */
    *ret_epoch = epoch;
    *ret_end_offset = e->entries[0].start_offset;
}

bool leader_epochs_cut_end(struct leader_epochs *e, int64_t end_offset)
{
    uint32_t before = e->count;
    while (e->count && e->entries[e->count - 1].start_offset >= end_offset) e->count--;
    return e->count != before;
}

bool leader_epochs_cut_start(struct leader_epochs *e, int64_t start_offset)
{
    uint32_t gone = 0;
    while (gone + 1 < e->count && e->entries[gone + 1].start_offset <= start_offset) gone++;
    bool changed = gone > 0;
    memmove(e->entries, e->entries + gone, (e->count - gone) * sizeof *e->entries);
    e->count -= gone;
    if (e->count && e->entries[0].start_offset < start_offset) {
        e->entries[0].start_offset = start_offset;
        changed = true;
    }
    return changed;
}

char *leader_epochs_format(const struct leader_epochs *e)
{
    size_t size = (e->count + 2) * (size_t)LINE_BYTES, used;
    char *text = xmalloc(size);
    used = (size_t)snprintf(text, size, "0\n%u\n", e->count);
    for (uint32_t i = 0; i < e->count; i++)
        used += (size_t)snprintf(text + used, size - used, "%" PRId32 " %" PRId64 "\n", e->entries[i].epoch,
                                 e->entries[i].start_offset);
    return text;
}

int leader_epochs_parse(struct leader_epochs *e, const char *text)
{
    uint32_t version, count;
    int used = 0;

    leader_epochs_done(e);
    if (!*text) return 0; /* as Kafka makes it */
    if (sscanf(text, "%" SCNu32 " %" SCNu32 " %n", &version, &count, &used) < 2 || version != 0 || !used)
        return -EBADMSG;
    text += used;
    for (uint32_t i = 0; i < count; i++) {
        int32_t epoch;
        int64_t start_offset;
        used = 0;
        if (sscanf(text, "%" SCNd32 " %" SCNd64 " %n", &epoch, &start_offset, &used) < 2 || epoch < 0 ||
            start_offset < 0 ||
            (e->count &&
             (epoch <= e->entries[e->count - 1].epoch || start_offset <= e->entries[e->count - 1].start_offset))) {
            leader_epochs_done(e);
            return -EBADMSG;
        }
        leader_epochs_assign(e, epoch, start_offset);
        text += used;
    }
    return 0;
}
