/* cdc/former_config.c: see former_config.h. */
#include "cdc/former_config.h"

#include <errno.h>

#define FORMER_CONFIG_OID UINT32_MAX /* no table has it */
#define HASH_BYTES        8

/* The newest that is kept. */
static bool newest(struct journal *j, uint64_t hash, struct slice *ret_properties)
{
    struct journal_position until, anywhere = {.whole_lsn = UINT64_MAX};
    struct journal_relation_record r;
    uint8_t shape[HASH_BYTES];

    be64_store(shape, hash);
    if (!journal_relation_find(j, FORMER_CONFIG_OID, anywhere, slice_make(shape, sizeof shape), &r, &until))
        return false;
    *ret_properties = r.resolved;
    return true;
}

/* name NUL 'v' value NUL, or name NUL 'n' NUL for null, for each property. */
static void properties_write(const struct pg_connector_config *config, struct bytes *out)
{
    for (uint32_t i = 0; i < config->pairs_count; i++) {
        const struct cdc_pair *p = &config->pairs[i];
        if (!connector_property_is_output(p->name)) continue;
        bytes_append(out, p->name, strlen(p->name) + 1);
        bytes_append_byte(out, p->value ? 'v' : 'n');
        bytes_append(out, p->value ? p->value : "", (p->value ? strlen(p->value) : 0) + 1);
    }
}

/* Text up to a NUL, which must be there. */
static bool text_read(struct slice *s, const char **ret_text)
{
    const uint8_t *end = s->len ? memchr(s->ptr, 0, s->len) : NULL;

    if (!end) return false;
    *ret_text = (const char *)s->ptr;
    s->len -= (uint32_t)(end + 1 - s->ptr);
    s->ptr = end + 1;
    return true;
}

int former_config_remember(struct journal *j, const struct pg_connector_config *config)
{
    uint64_t hash = connector_config_output_hash(config);
    struct bytes properties = {0};
    struct slice ignored;
    uint8_t shape[HASH_BYTES];

    if (newest(j, hash, &ignored)) return 0;
    be64_store(shape, hash);
    properties_write(config, &properties);
    int r = properties.failed
                ? -ENOMEM
                : journal_relation_add(j, &(struct journal_relation_record){.oid = FORMER_CONFIG_OID,
                                                                            .from = journal_position(j),
                                                                            .shape = slice_make(shape, sizeof shape),
                                                                            .resolved = bytes_slice(&properties)});
    bytes_done(&properties);
    return r;
}

int former_config_find(struct journal *j, const struct pg_connector_config *posted,
                       struct pg_connector_config **ret_config)
{
    struct slice rest;
    struct err ignored;
    uint32_t count = 0, size = posted->pairs_count;

    if (!newest(j, journal_config_hash(j), &rest)) return -ENOENT;
    for (uint32_t i = 0; i < rest.len; i++) size += rest.ptr[i] == 0; /* two for each */
    struct cdc_pair *pairs = xcalloc(size + 1, sizeof *pairs);
    for (uint32_t i = 0; i < posted->pairs_count; i++)
        if (!connector_property_is_output(posted->pairs[i].name)) pairs[count++] = posted->pairs[i];
    bool ok = true;
    while (ok && rest.len > 0) {
        const char *name, *value;
        ok = text_read(&rest, &name) && text_read(&rest, &value);
        if (ok) pairs[count++] = (struct cdc_pair){name, *value == 'v' ? value + 1 : NULL};
    }
    int r = ok ? connector_config_parse(pairs, count, posted->version, ret_config, &ignored) : -EBADMSG;
    free(pairs);
    if (r < 0) return -ENOENT;
    if (!(*ret_config)->name) (*ret_config)->name = xstrdup(posted->name);
    return 0;
}
