/* broker/config/config_list.c: names and values that were set on a resource, sorted by name. Threads: built by one,
 * then immutable. */
#include "broker/config/config.h"

#include <string.h>

/* Index of name, or ~index where it belongs. */
static int list_find(const struct config_list *l, const char *name)
{
    int low = 0, high = (int)l->count;
    while (low < high) {
        int middle = (low + high) / 2;
        int order = strcmp(l->entries[middle].name, name);
        if (order == 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return ~low;
}

const char *config_list_get(const struct config_list *l, const char *name)
{
    if (!l) return NULL;
    int i = list_find(l, name);
    return i < 0 ? NULL : l->entries[i].value;
}

static void entry_done(struct config_entry *e)
{
    free((char *)(uintptr_t)e->name);
    free((char *)(uintptr_t)e->value);
}

void config_list_set(struct config_list *l, const char *name, const char *value)
{
    int i = list_find(l, name);

    if (i >= 0 && value) {
        char *copy = xstrdup(value);
        free((char *)(uintptr_t)l->entries[i].value);
        l->entries[i].value = copy;
    } else if (i >= 0) {
        entry_done(&l->entries[i]);
        l->count--;
        memmove(&l->entries[i], &l->entries[i + 1], (l->count - (uint32_t)i) * sizeof *l->entries);
    } else if (value) {
        i = ~i;
        l->entries = xrealloc(l->entries, (l->count + 1) * sizeof *l->entries);
        memmove(&l->entries[i + 1], &l->entries[i], (l->count - (uint32_t)i) * sizeof *l->entries);
        l->entries[i] = (struct config_entry){.name = xstrdup(name), .value = xstrdup(value)};
        l->count++;
    }
}

struct config_list config_list_copy(const struct config_list *l)
{
    struct config_list copy = {0};
    if (!l || l->count == 0) return copy;
    copy.entries = xcalloc(l->count, sizeof *copy.entries);
    copy.count = l->count;
    for (uint32_t i = 0; i < l->count; i++)
        copy.entries[i] =
            (struct config_entry){.name = xstrdup(l->entries[i].name), .value = xstrdup(l->entries[i].value)};
    return copy;
}

void config_list_done(struct config_list *l)
{
    for (uint32_t i = 0; i < l->count; i++) entry_done(&l->entries[i]);
    free(l->entries);
    *l = (struct config_list){0};
}
