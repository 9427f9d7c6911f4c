/* cdc/transaction_records.c: what provide.transaction.metadata adds: a record at the begin and at the end of each transaction,
 * and the transaction block of its events (change_encoder.h).
 *
 * The form is Debezium's: the id is "XID:LSN" with the LSN of the message at hand, so that it differs between the two records
 * and the events of one transaction; collections stand in the order in which they were touched first. */
#include "cdc/change_encoder_internal.h"
#include "cdc/json_slice.h"
#include "cdc/transforms.h"

#include <errno.h>
#include <stdio.h>
#include <uthash.h>

struct transaction_parts {
    const char *topic;
    struct slice key_head, value_head; /* `{"schema":...,"payload":`, or empty */
};

/* A table of the transaction that is open, or the logical messages in it. */
struct transaction_collection {
    uint64_t events;
    UT_hash_handle hh; /* iterates in the order of insertion */
    char name[];
};

static struct connect_schema *key_schema(struct arena *a)
{
    struct connect_schema *key =
        connect_schema_struct(a, false, "io.debezium.connector.common.TransactionMetadataKey", 1, 1);

    return key && connect_schema_leaf(a, key, "id", CONNECT_STRING, false) ? key : NULL;
}

static struct connect_schema *value_schema(struct arena *a)
{
    struct connect_schema *value = connect_schema_struct(a, false,
                                                         "io.debezium.connector.common.TransactionMetadataValue", 1, 5),
                          *collection = connect_schema_struct(a, true, "event.collection", 1, 2),
                          *collections = connect_schema_new(a, CONNECT_ARRAY, true);

    if (!value || !collection || !collections ||
        !connect_schema_leaf(a, collection, "data_collection", CONNECT_STRING, false) ||
        !connect_schema_leaf(a, collection, "event_count", CONNECT_INT64, false) ||
        !connect_schema_leaf(a, value, "status", CONNECT_STRING, false) ||
        !connect_schema_leaf(a, value, "id", CONNECT_STRING, false) ||
        !connect_schema_leaf(a, value, "event_count", CONNECT_INT64, true))
        return NULL;
    collections->items = collection;
    connect_schema_field(value, "data_collections", collections);
    return connect_schema_leaf(a, value, "ts_ms", CONNECT_INT64, false) ? value : NULL;
}

static struct transaction_parts *parts_new(struct change_encoder *e)
{
    const struct pg_connector_config *config = e->config;
    struct arena *a = &e->constants;
    struct transaction_parts *p = arena_calloc(a, 1, sizeof(*p));
    struct connect_schema *key = key_schema(a), *value = value_schema(a);
    char *topic = arena_printf(a, "%s%s%s", config->topic_prefix, config->topic_delimiter, config->topic_transaction);

    if (!p || !key || !value || !topic) return NULL;
    p->topic = transform_chain_topic(config->transforms, a, topic);
    p->key_head = config->key_schemas ? json_slice_schema(a, key, DECIMAL_AS_BASE64) : SLICE_EMPTY;
    p->value_head = config->value_schemas ? json_slice_schema(a, value, DECIMAL_AS_BASE64) : SLICE_EMPTY;
    return p->topic && p->key_head.ptr && p->value_head.ptr ? p : NULL;
}

void transaction_forget(struct change_encoder *e)
{
    struct transaction_collection *c, *next;

    HASH_ITER(hh, e->collections, c, next)
    {
        HASH_DEL(e->collections, c);
        free(c);
    }
    e->transaction_events = 0;
    e->transaction_open = false;
    e->collection = NULL;
}

void transaction_count(struct change_encoder *e, const struct source_position *position, const char *schema,
                       const char *name)
{
    char shown[2 * 64 + 2]; /* names have at most 63 bytes, unless the server was built otherwise */
    AUTO_FREE char *longer = NULL;
    const char *full = shown;

    e->collection = NULL;
    if (!e->transaction_open || position->marker != SNAPSHOT_FALSE || position->xid < 0) return;
    size_t len = (size_t)snprintf(shown, sizeof(shown), "%s%s%s", schema, *schema ? "." : "", name);
    if (len >= sizeof(shown)) full = longer = xasprintf("%s%s%s", schema, *schema ? "." : "", name);
    HASH_FIND_STR(e->collections, full, e->collection);
    if (!e->collection) {
        e->collection = xcalloc(1, sizeof(*e->collection) + len + 1);
        memcpy(e->collection->name, full, len + 1);
        HASH_ADD_STR(e->collections, name, e->collection);
    }
    e->collection->events++;
    e->transaction_events++;
}

static void write_id_text(struct bytes *out, const struct source_position *position)
{
    json_write_int64(out, position->xid);
    bytes_append_byte(out, ':');
    json_write_uint64(out, position->lsn);
}

static void write_id(struct bytes *out, const struct source_position *position)
{
    bytes_append_text(out, "\"id\":\"");
    write_id_text(out, position);
    bytes_append_byte(out, '"');
}

void transaction_json(const struct change_encoder *e, const struct source_position *position, struct bytes *out)
{
    if (!e->collection) {
        json_write_null(out);
        return;
    }
    bytes_append_byte(out, '{');
    write_id(out, position);
    bytes_append_text(out, ",\"total_order\":");
    json_write_uint64(out, e->transaction_events);
    bytes_append_text(out, ",\"data_collection_order\":");
    json_write_uint64(out, e->collection->events);
    bytes_append_byte(out, '}');
}

void transaction_json_field(const struct change_encoder *e, const struct source_position *position, const char *field,
                            struct bytes *out)
{
    if (!e->collection) {
        json_write_null(out);
    } else if (strcmp(field, "id") == 0) {
        bytes_append_byte(out, '"');
        write_id_text(out, position);
        bytes_append_byte(out, '"');
    } else {
        json_write_uint64(out, strcmp(field, "total_order") == 0 ? e->transaction_events : e->collection->events);
    }
}

static void write_collections(const struct change_encoder *e, struct bytes *out)
{
    struct transaction_collection *c, *next;
    char separator = '[';

    if (!e->collections) bytes_append_byte(out, '[');
    HASH_ITER(hh, e->collections, c, next)
    {
        bytes_append_byte(out, (uint8_t)separator);
        separator = ',';
        bytes_append_text(out, "{\"data_collection\":");
        json_write_string(out, slice_of(c->name));
        bytes_append_text(out, ",\"event_count\":");
        json_write_uint64(out, c->events);
        bytes_append_byte(out, '}');
    }
    bytes_append_byte(out, ']');
}

static int emit_boundary(struct change_encoder *e, bool end, const struct source_position *position,
                         change_emit_fn *emit, void *arg)
{
    struct bytes *key = &e->key, *out = &e->value;

    if (!e->transaction && !(e->transaction = parts_new(e))) return -ENOMEM;
    const struct transaction_parts *p = e->transaction;
    bytes_reset(key);
    bytes_append_slice(key, p->key_head);
    bytes_append_byte(key, '{');
    write_id(key, position);
    bytes_append_text(key, p->key_head.len ? "}}" : "}");

    bytes_reset(out);
    bytes_append_slice(out, p->value_head);
    bytes_append_text(out, end ? "{\"status\":\"END\"," : "{\"status\":\"BEGIN\",");
    write_id(out, position);
    bytes_append_text(out, ",\"event_count\":");
    if (end) {
        json_write_uint64(out, e->transaction_events);
        bytes_append_text(out, ",\"data_collections\":");
        write_collections(e, out);
    } else {
        bytes_append_text(out, "null,\"data_collections\":null");
    }
    bytes_append_text(out, ",\"ts_ms\":");
    json_write_int64(out, position->time_us / 1000);
    bytes_append_text(out, p->value_head.len ? "}}" : "}");

    const struct change_record record = {
        .topic = slice_of(p->topic),
        .key = bytes_slice(key),
        .value = bytes_slice(out),
        .timestamp_ms = position->now_ns / 1000000,
    };
    int result = key->failed || out->failed ? -ENOMEM : emit(arg, &record);
    change_encoder_trim(e);
    return result;
}

int change_encoder_begin(struct change_encoder *e, const struct source_position *position, change_emit_fn *emit,
                         void *arg)
{
    if (!e->config->provide_transaction_metadata) return 0;
    transaction_forget(e);
    e->transaction_open = true;
    return emit_boundary(e, false, position, emit, arg);
}

int change_encoder_commit(struct change_encoder *e, const struct source_position *position, change_emit_fn *emit,
                          void *arg)
{
    if (!e->transaction_open) return 0;
    int result = emit_boundary(e, true, position, emit, arg);
    transaction_forget(e);
    return result;
}
