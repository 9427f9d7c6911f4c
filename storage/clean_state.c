#include "storage/clean_state.h"

#include "base/crc32c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TITLE          "ottla-partitions 1"
#define CRC_LINE_BYTES 16  /* "crc32c 01234567\n" */
#define NUMBERS_BYTES  220 /* of a line, but for the topic */

void clean_state_done(struct clean_state *s)
{
    free(s->text);
    free(s->entries);
    *s = (struct clean_state){0};
}

void clean_state_add(struct clean_state *s, const struct clean_entry *e)
{
    if (s->count == s->allocated) {
        s->allocated = s->allocated ? s->allocated * 2 : 16;
        s->entries = xrealloc(s->entries, s->allocated * sizeof *s->entries);
    }
    s->entries[s->count++] = *e;
}

char *clean_state_format(const struct clean_state *s, uint64_t stop_id, size_t *ret_size)
{
    size_t size = NUMBERS_BYTES, used;
    for (uint32_t i = 0; i < s->count; i++) size += strlen(s->entries[i].topic) + NUMBERS_BYTES;
    char *text = xmalloc(size);
    used = (size_t)snprintf(text, size, TITLE " %" PRIu64 "\n%u\n", stop_id, s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct clean_entry *e = &s->entries[i];
        char id[UUID_TEXT_SIZE];
        uuid_format(e->topic_id, id);
        used += (size_t)snprintf(text + used, size - used,
                                 "%s %" PRId32 " %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId32 " %" PRIu64
                                 " %" PRId64 "\n",
                                 e->topic, e->partition, id, e->log_start, e->log_end, e->last_stable, e->leader_epoch,
                                 e->size, e->oldest_timestamp_ms);
    }
    uint32_t crc = crc32c(0, text, used);
    used += (size_t)snprintf(text + used, size - used, "crc32c %08" PRIx32 "\n", crc);
    *ret_size = used;
    return text;
}

static int compare(const void *a, const void *b)
{
    const struct clean_entry *x = a, *y = b;
    int r = strcmp(x->topic, y->topic);
    return r ? r : (x->partition > y->partition) - (x->partition < y->partition);
}

static bool parse_line(char *line, struct clean_entry *e)
{
    char id[UUID_TEXT_SIZE], *space = strchr(line, ' ');
    if (!space || space == line) return false;
    *space = '\0';
    e->topic = line;
    e->used = false;
    return sscanf(space + 1, "%" SCNd32 " %22s %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd32 " %" SCNu64 " %" SCNd64,
                  &e->partition, id, &e->log_start, &e->log_end, &e->last_stable, &e->leader_epoch, &e->size,
                  &e->oldest_timestamp_ms) == 8 &&
           uuid_parse(id, &e->topic_id) && e->partition >= 0 && e->log_start >= 0 && e->log_end >= e->log_start &&
           e->last_stable <= e->log_end;
}

int clean_state_parse(struct clean_state *s, char *text, size_t size, uint64_t stop_id)
{
    char title[64], *line, *rest = text;
    uint32_t crc, count;

    clean_state_done(s);
    s->text = text;
    if (size < CRC_LINE_BYTES || sscanf(text + size - CRC_LINE_BYTES, "crc32c %" SCNx32, &crc) != 1 ||
        crc != crc32c(0, text, size - CRC_LINE_BYTES))
        goto bad;
    snprintf(title, sizeof title, TITLE " %" PRIu64, stop_id);
    line = strsep(&rest, "\n");
    if (strcmp(line, title)) goto bad;
    line = strsep(&rest, "\n");
    if (!line || sscanf(line, "%" SCNu32, &count) != 1) goto bad;
    for (uint32_t i = 0; i < count; i++) {
        struct clean_entry e;
        line = strsep(&rest, "\n");
        if (!line || !parse_line(line, &e)) goto bad;
        clean_state_add(s, &e);
    }
    if (s->count) qsort(s->entries, s->count, sizeof *s->entries, compare);
    return 0;
bad:
    clean_state_done(s);
    return -EBADMSG;
}

struct clean_entry *clean_state_find(struct clean_state *s, const char *topic, int32_t partition)
{
    struct clean_entry key = {.topic = topic, .partition = partition};
    struct clean_entry *e = s->count ? bsearch(&key, s->entries, s->count, sizeof *s->entries, compare) : NULL;
    return e && !e->used ? e : NULL;
}
