/* cdc/service_records.c: records that belong to no table: logical messages and heartbeats (change_encoder.h). */
#include "cdc/change_encoder_internal.h"
#include "cdc/json_slice.h"
#include "cdc/source_block.h"
#include "cdc/transforms.h"

#include <errno.h>

/* ---- pg_logical_emit_message() ---- */

struct message_parts {
    const char *topic;
    struct slice key_head, value_head; /* `{"schema":...,"payload":`, or empty */
    struct slice source_table;
};

static struct connect_schema *message_key_schema(struct arena *a)
{
    struct connect_schema *key = connect_schema_struct(a, false, "io.debezium.connector.postgresql.MessageKey", 1, 1);

    return key && connect_schema_leaf(a, key, "prefix", CONNECT_STRING, true) ? key : NULL;
}

static struct connect_schema *message_value_schema(struct arena *a, const struct pg_connector_config *config)
{
    struct connect_schema *value =
                              connect_schema_struct(a, false, "io.debezium.connector.postgresql.MessageValue", 1, 5),
                          *message = connect_schema_struct(a, false, "io.debezium.connector.postgresql.Message", 1, 2),
                          *source = source_schema(a, config), *transaction = transaction_schema(a);

    if (!value || !message || !source || !transaction ||
        !connect_schema_leaf(a, message, "prefix", CONNECT_STRING, true) ||
        !connect_schema_leaf(a, message, "content",
                             config->binary_mode == BINARY_BYTES ? CONNECT_BYTES : CONNECT_STRING, true) ||
        !connect_schema_leaf(a, value, "op", CONNECT_STRING, false) ||
        !connect_schema_leaf(a, value, "ts_ms", CONNECT_INT64, true))
        return NULL;
    connect_schema_field(value, "source", source);
    connect_schema_field(value, "transaction", transaction);
    connect_schema_field(value, "message", message);
    return value;
}

static struct message_parts *message_parts_new(struct change_encoder *e)
{
    const struct pg_connector_config *config = e->config;
    struct arena *a = &e->constants;
    struct message_parts *p = arena_calloc(a, 1, sizeof(*p));
    struct connect_schema *key = message_key_schema(a), *value = message_value_schema(a, config);
    char *topic = arena_printf(a, "%s%smessage", config->topic_prefix, config->topic_delimiter);
    struct bytes table = {0};

    if (!p || !key || !value || !topic) return NULL;
    p->topic = transform_chain_topic(config->transforms, a, topic);
    p->key_head = config->key_schemas ? json_slice_schema(a, key, DECIMAL_AS_BASE64) : SLICE_EMPTY;
    p->value_head = config->value_schemas ? json_slice_schema(a, value, DECIMAL_AS_BASE64) : SLICE_EMPTY;
    source_json_table("", "", &table);
    p->source_table = json_slice_keep(a, &table);
    return p->topic && p->key_head.ptr && p->value_head.ptr && p->source_table.ptr ? p : NULL;
}

static bool message_captured(const struct pg_connector_config *config, struct slice prefix)
{
    AUTO_FREE char *name = slice_strdup(prefix);

    if (config->message_prefix_include) return name_filter_matches(config->message_prefix_include, name);
    return !config->message_prefix_exclude || !name_filter_matches(config->message_prefix_exclude, name);
}

int change_encoder_message(struct change_encoder *e, const struct pgoutput_message_logical *m,
                           const struct source_position *position, change_emit_fn *emit, void *arg, struct err *err)
{
    struct bytes *key = &e->key, *out = &e->value;
    struct connect_value content;

    if (!message_captured(e->config, m->prefix)) return 0;
    if (!e->message && !(e->message = message_parts_new(e)))
        return err_set(err, -ENOMEM, "no memory for a logical message");
    if (!pg_present_bytes(e->config->binary_mode, m->content, &e->arena, &content))
        return err_set(err, -ENOMEM, "no memory for a logical message");
    const struct message_parts *p = e->message;
    transaction_count(e, position, "", "message");

    bytes_reset(key);
    bytes_append_slice(key, p->key_head);
    bytes_append_text(key, "{\"prefix\":");
    json_write_string(key, m->prefix);
    bytes_append_text(key, p->key_head.len ? "}}" : "}");

    bytes_reset(out);
    bytes_append_slice(out, p->value_head);
    bytes_append_text(out, "{\"op\":\"m\",\"ts_ms\":");
    json_write_int64(out, position->now_ns / 1000000);
    bytes_append_text(out, ",\"source\":");
    source_json(out, e->config, bytes_slice(&e->source_head), p->source_table, position);
    bytes_append_text(out, ",\"transaction\":");
    transaction_json(e, position, out);
    bytes_append_text(out, ",\"message\":{\"prefix\":");
    json_write_string(out, m->prefix);
    bytes_append_text(out, ",\"content\":");
    connect_value_json(&content, NULL, DECIMAL_AS_BASE64, out);
    bytes_append_text(out, p->value_head.len ? "}}}" : "}}");

    /* Without context headers, in all versions. */
    const struct change_record record = {
        .topic = slice_of(p->topic),
        .key = bytes_slice(key),
        .value = bytes_slice(out),
        .timestamp_ms = position->now_ns / 1000000,
    };
    int result =
        key->failed || out->failed ? err_set(err, -ENOMEM, "no memory for a logical message") : emit(arg, &record);
    change_encoder_trim(e);
    return result;
}

/* ---- heartbeat ---- */

struct heartbeat_parts {
    const char *topic;
    struct slice key; /* the whole key: it does not change */
    struct slice value_head;
};

static struct heartbeat_parts *heartbeat_parts_new(struct change_encoder *e)
{
    const struct pg_connector_config *config = e->config;
    struct arena *a = &e->constants;
    struct heartbeat_parts *p = arena_calloc(a, 1, sizeof(*p));
    struct connect_schema *key = connect_schema_struct(a, false, "io.debezium.connector.common.ServerNameKey", 1, 1),
                          *value = connect_schema_struct(a, false, "io.debezium.connector.common.Heartbeat", 1, 1);
    char *topic =
        arena_printf(a, "%s%s%s", config->topic_heartbeat_prefix, config->topic_delimiter, config->topic_prefix);
    struct bytes text = {0};

    if (!p || !key || !value || !topic || !connect_schema_leaf(a, key, "serverName", CONNECT_STRING, false) ||
        !connect_schema_leaf(a, value, "ts_ms", CONNECT_INT64, false))
        return NULL;
    p->topic = transform_chain_topic(config->transforms, a, topic);
    if (config->key_schemas) bytes_append_slice(&text, json_slice_schema(a, key, DECIMAL_AS_BASE64));
    bytes_append_text(&text, "{\"serverName\":");
    json_write_string(&text, slice_of(config->topic_prefix));
    bytes_append_text(&text, config->key_schemas ? "}}" : "}");
    p->key = json_slice_keep(a, &text);
    p->value_head = config->value_schemas ? json_slice_schema(a, value, DECIMAL_AS_BASE64) : SLICE_EMPTY;
    return p->topic && p->key.ptr && p->value_head.ptr ? p : NULL;
}

int change_encoder_heartbeat(struct change_encoder *e, int64_t now_ns, change_emit_fn *emit, void *arg)
{
    struct bytes *out = &e->value;

    if (!e->heartbeat && !(e->heartbeat = heartbeat_parts_new(e))) return -ENOMEM;
    const struct heartbeat_parts *p = e->heartbeat;
    bytes_reset(out);
    bytes_append_slice(out, p->value_head);
    bytes_append_text(out, "{\"ts_ms\":");
    json_write_int64(out, now_ns / 1000000);
    bytes_append_text(out, p->value_head.len ? "}}" : "}");
    const struct change_record record = {
        .topic = slice_of(p->topic),
        .key = p->key,
        .value = bytes_slice(out),
        .timestamp_ms = now_ns / 1000000,
    };
    int result = out->failed ? -ENOMEM : emit(arg, &record);
    change_encoder_trim(e);
    return result;
}
