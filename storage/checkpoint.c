#include "storage/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINE_NUMBERS_BYTES 40 /* partition, offset, spaces, newline */

void checkpoint_done(struct checkpoint *c)
{
    free(c->entries);
    *c = (struct checkpoint){0};
}

void checkpoint_add(struct checkpoint *c, const char *topic, int32_t partition, int64_t offset)
{
    if (c->count == c->allocated) {
        c->allocated = c->allocated ? c->allocated * 2 : 16;
        c->entries = xrealloc(c->entries, c->allocated * sizeof *c->entries);
    }
    c->entries[c->count++] = (struct checkpoint_entry){.topic = topic, .partition = partition, .offset = offset};
}

char *checkpoint_format(const struct checkpoint *c, size_t *ret_size)
{
    size_t size = LINE_NUMBERS_BYTES, used;
    for (uint32_t i = 0; i < c->count; i++) size += strlen(c->entries[i].topic) + LINE_NUMBERS_BYTES;
    char *text = xmalloc(size);
    used = (size_t)snprintf(text, size, "0\n%u\n", c->count);
    for (uint32_t i = 0; i < c->count; i++)
        used += (size_t)snprintf(text + used, size - used, "%s %" PRId32 " %" PRId64 "\n", c->entries[i].topic,
                                 c->entries[i].partition, c->entries[i].offset);
    *ret_size = used;
    return text;
}

/* Takes a decimal number that ends at `end`, which becomes NUL. */
static bool take_number(char **at, char end, int64_t max, int64_t *ret_value)
{
    char *stop;
    if (**at < '0' || **at > '9') return false;
    errno = 0;
    int64_t value = strtoll(*at, &stop, 10);
    if (errno || *stop != end || value > max) return false;
    *ret_value = value;
    *at = stop + 1;
    return true;
}

int checkpoint_parse(struct checkpoint *c, char *text)
{
    int64_t version, count;

    checkpoint_done(c);
    if (!*text) return 0; /* Kafka makes it so, and writes it when there is something to tell */
    if (!take_number(&text, '\n', 0, &version) || !take_number(&text, '\n', INT32_MAX, &count)) return -EBADMSG;
    for (int64_t i = 0; i < count; i++) {
        int64_t partition, offset;
        char *topic = text, *space = strchr(text, ' ');
        if (!space || space == text) goto bad;
        text = space + 1;
        if (!take_number(&text, ' ', INT32_MAX, &partition) || !take_number(&text, '\n', INT64_MAX, &offset)) goto bad;
        *space = '\0';
        checkpoint_add(c, topic, (int32_t)partition, offset);
    }
    return 0;
bad:
    checkpoint_done(c);
    return -EBADMSG;
}

static int compare(const void *a, const void *b)
{
    const struct checkpoint_entry *x = a, *y = b;
    int r = strcmp(x->topic, y->topic);
    return r ? r : (x->partition > y->partition) - (x->partition < y->partition);
}

void checkpoint_sort(struct checkpoint *c)
{
    if (c->count) qsort(c->entries, c->count, sizeof *c->entries, compare);
}

struct checkpoint_entry *checkpoint_find(const struct checkpoint *c, const char *topic, int32_t partition)
{
    struct checkpoint_entry key = {.topic = topic, .partition = partition};
    return c->count ? bsearch(&key, c->entries, c->count, sizeof *c->entries, compare) : NULL;
}
