/* broker/group/partition_set.c: see partition_set.h. */
#include "broker/group/partition_set.h"

void partition_set_done(struct partition_set *s)
{
    free(s->items);
    *s = (struct partition_set){0};
}

void partition_set_append(struct partition_set *s, struct uuid topic_id, int32_t partition)
{
    if (s->count == s->size) {
        s->size = s->size ? s->size * 2 : 4;
        s->items = xrealloc(s->items, s->size * sizeof s->items[0]);
    }
    s->items[s->count++] = (struct topic_partition){.topic_id = topic_id, .partition = partition};
}

int topic_partition_compare(const struct topic_partition *a, const struct topic_partition *b)
{
    int r = memcmp(a->topic_id.bytes, b->topic_id.bytes, sizeof a->topic_id.bytes);
    return r ? r : (a->partition > b->partition) - (a->partition < b->partition);
}

static int order(const void *a, const void *b)
{
    return topic_partition_compare(a, b);
}

void partition_set_sort(struct partition_set *s)
{
    uint32_t kept = 0;
    if (s->count) qsort(s->items, s->count, sizeof s->items[0], order);
    for (uint32_t i = 0; i < s->count; i++)
        if (!kept || topic_partition_compare(&s->items[kept - 1], &s->items[i]) != 0) s->items[kept++] = s->items[i];
    s->count = kept;
}

bool partition_set_has(const struct partition_set *s, struct uuid topic_id, int32_t partition)
{
    struct topic_partition key = {.topic_id = topic_id, .partition = partition};
    return s->count && bsearch(&key, s->items, s->count, sizeof s->items[0], order);
}

bool partition_set_eq(const struct partition_set *a, const struct partition_set *b)
{
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (topic_partition_compare(&a->items[i], &b->items[i]) != 0) return false;
    return true;
}

/* Which items a merge of two sets keeps. */
enum keep { KEEP_A_ONLY = 1, KEEP_BOTH = 2, KEEP_B_ONLY = 4 };

/* ret NULL: counts only. */
static uint32_t merge(const struct partition_set *a, const struct partition_set *b, unsigned keep,
                      struct partition_set *ret)
{
    uint32_t i = 0, k = 0, count = 0;
    while (i < a->count || k < b->count) {
        int r = i == a->count ? 1 : k == b->count ? -1 : topic_partition_compare(&a->items[i], &b->items[k]);
        const struct topic_partition *item = r <= 0 ? &a->items[i] : &b->items[k];
        if (keep & (r < 0 ? KEEP_A_ONLY : r == 0 ? KEEP_BOTH : KEEP_B_ONLY)) {
            if (ret) ret->items[count] = *item;
            count++;
        }
        i += r <= 0;
        k += r >= 0;
    }
    return count;
}

static struct partition_set merged(const struct partition_set *a, const struct partition_set *b, unsigned keep)
{
    struct partition_set s = {.count = merge(a, b, keep, NULL)};
    if (!s.count) return s;
    s.size = s.count;
    s.items = xmalloc(s.size * sizeof s.items[0]);
    (void)merge(a, b, keep, &s);
    return s;
}

bool partition_set_is_subset(const struct partition_set *a, const struct partition_set *b)
{
    return merge(a, b, KEEP_A_ONLY, NULL) == 0;
}

bool partition_set_overlaps(const struct partition_set *a, const struct partition_set *b)
{
    return merge(a, b, KEEP_BOTH, NULL) > 0;
}

struct partition_set partition_set_copy(const struct partition_set *s)
{
    return merged(s, &(struct partition_set){0}, KEEP_A_ONLY);
}

struct partition_set partition_set_union(const struct partition_set *a, const struct partition_set *b)
{
    return merged(a, b, KEEP_A_ONLY | KEEP_BOTH | KEEP_B_ONLY);
}

struct partition_set partition_set_minus(const struct partition_set *a, const struct partition_set *b)
{
    return merged(a, b, KEEP_A_ONLY);
}

struct partition_set partition_set_intersection(const struct partition_set *a, const struct partition_set *b)
{
    return merged(a, b, KEEP_BOTH);
}

uint32_t partition_set_topic_end(const struct partition_set *s, uint32_t from)
{
    uint32_t end = from + 1;
    while (end < s->count && uuid_eq(s->items[end].topic_id, s->items[from].topic_id)) end++;
    return end;
}
