/* cdc/names.c: see names.h. */
#include "cdc/names.h"

#include <ctype.h>
#include <stdio.h>

/* Calls back for each UTF-16 unit of UTF-8 text; bytes that are no UTF-8 count as one unit each. */
static void each_unit(const char *text, void (*found)(void *arg, uint16_t unit, bool first), void *arg)
{
    const uint8_t *p = (const uint8_t *)text;

    for (bool first = true; *p; first = false) {
        int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
        uint32_t c = more ? *p & (0x3fu >> more) : *p;
        p++;
        for (; more && (*p & 0xc0) == 0x80; more--) c = c << 6 | (*p++ & 0x3f);
        if (c >= 0x10000) {
            found(arg, (uint16_t)(0xd800 + ((c - 0x10000) >> 10)), first);
            found(arg, (uint16_t)(0xdc00 + ((c - 0x10000) & 0x3ff)), false);
        } else {
            found(arg, (uint16_t)c, first);
        }
    }
}

struct output {
    enum adjust_mode mode;
    bool dots;
    char *to;
};

static void topic_unit(void *arg, uint16_t unit, bool first)
{
    struct output *o = arg;
    *o->to++ = unit < 128 && (isalnum(unit) || unit == '.' || unit == '_' || unit == '-') ? (char)unit : '_';
}

static void adjust_unit(void *arg, uint16_t unit, bool first)
{
    struct output *o = arg;
    bool letter = unit < 128 && isalpha(unit), digit = unit < 128 && isdigit(unit);

    if (o->mode == ADJUST_AVRO_UNICODE) {
        if (letter || (digit && !first) || (unit == '.' && o->dots && !first)) *o->to++ = (char)unit;
        else o->to += sprintf(o->to, "_u%04x", unit);
        return;
    }
    if (digit && first) *o->to++ = '_';
    *o->to++ = letter || digit || (unit == '.' && o->dots && !first) ? (char)unit : '_';
}

static const char *rewrite(struct arena *a, const char *text, enum adjust_mode mode, bool dots,
                           void (*unit)(void *arg, uint16_t unit, bool first))
{
    /* At most six bytes for one, "_u0020"; a character of four bytes gives twelve. */
    char *start = arena_alloc(a, strlen(text) * 6 + 1);
    struct output o = {.mode = mode, .dots = dots, .to = start};

    if (!start) return NULL;
    each_unit(text, unit, &o);
    *o.to = '\0';
    return start;
}

const char *name_topic(struct arena *a, const struct pg_connector_config *config, const char *schema, const char *table)
{
    char *plain = arena_printf(a, "%s%s%s%s%s", config->topic_prefix, config->topic_delimiter, schema,
                               config->topic_delimiter, table);

    return plain ? rewrite(a, plain, ADJUST_NONE, true, topic_unit) : NULL;
}

const char *name_schema(struct arena *a, enum adjust_mode mode, const char *name)
{
    return mode == ADJUST_NONE ? arena_strdup(a, name) : rewrite(a, name, mode, true, adjust_unit);
}

const char *name_field(struct arena *a, enum adjust_mode mode, const char *name)
{
    return mode == ADJUST_NONE ? arena_strdup(a, name) : rewrite(a, name, mode, false, adjust_unit);
}
