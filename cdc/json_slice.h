/* cdc/json_slice.h: pieces of JSON prepared once, in an arena. A null slice: the arena is full. */
#ifndef OTTLA_CDC_JSON_SLICE_H
#define OTTLA_CDC_JSON_SLICE_H

#include "base/json_writer.h"
#include "cdc/connect_schema.h"
#include "cdc/connect_value.h"

/* Moves what was built into the arena and frees the bytes. */
static inline struct slice json_slice_keep(struct arena *a, struct bytes *text)
{
    struct slice kept = text->failed ? SLICE_NULL : arena_slice_dup(a, bytes_slice(text));

    bytes_done(text);
    return kept;
}

/* `"name":` */
static inline struct slice json_slice_name(struct arena *a, const char *name)
{
    struct bytes text = {0};

    json_write_string(&text, slice_of(name));
    bytes_append_byte(&text, ':');
    return json_slice_keep(a, &text);
}

/* `{"schema":...,"payload":` */
static inline struct slice json_slice_schema(struct arena *a, const struct connect_schema *s,
                                             enum decimal_format decimals)
{
    struct bytes text = {0};

    bytes_append_text(&text, "{\"schema\":");
    connect_schema_json(s, NULL, decimals, &text);
    bytes_append_text(&text, ",\"payload\":");
    return json_slice_keep(a, &text);
}

static inline struct slice json_slice_value(struct arena *a, const struct connect_value *v,
                                            const struct connect_schema *s, enum decimal_format decimals)
{
    struct bytes text = {0};

    connect_value_json(v, s, decimals, &text);
    return json_slice_keep(a, &text);
}

#endif
