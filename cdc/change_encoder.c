/* cdc/change_encoder.c: see change_encoder.h. */
#include "base/json_writer.h"
#include "cdc/change_encoder_internal.h"
#include "cdc/source_block.h"
#include "cdc/transforms.h"
#include "cdc/unwrap_plan.h"

#include <errno.h>
#include <stdio.h>

/* The key's header and those of the context come before what unwrap adds. */
_Static_assert(UNWRAP_HEADERS_MAX + 8 <= CHANGE_HEADERS_MAX, "every header of a record has a place");

struct change_encoder *change_encoder_new(const struct pg_connector_config *config, const char *run_id)
{
    struct change_encoder *e = xcalloc(1, sizeof(*e));

    e->config = config;
    arena_init(&e->arena, EVENT_ARENA_MAX);
    arena_init(&e->constants, CONSTANTS_MAX);
    source_json_head(config, &e->source_head);
    snprintf(e->run_id, sizeof(e->run_id), "%s", run_id);
    if (config->extended_headers) {
        const struct change_header context[CONTEXT_HEADERS] = {
            {SLICE("__debezium.context.connectorLogicalName"), slice_of(config->topic_prefix)},
            {SLICE("__debezium.context.taskId"), SLICE("0")},
            {SLICE("__debezium.context.connectorName"), SLICE("postgresql")},
            {SLICE("__debezium.context.runId"), slice_of(e->run_id)},
        };
        memcpy(e->context, context, sizeof(context));
        e->context_count = CONTEXT_HEADERS;
    }
    return e;
}

void change_encoder_free(struct change_encoder *e)
{
    if (!e) return;
    arena_done(&e->arena);
    bytes_done(&e->key);
    bytes_done(&e->old_key);
    bytes_done(&e->value);
    bytes_done(&e->header_text);
    bytes_done(&e->source_head);
    arena_done(&e->constants);
    transaction_forget(e);
    free(e);
}

void change_encoder_trim(struct change_encoder *e)
{
    struct bytes *const buffers[] = {&e->key, &e->old_key, &e->value};

    arena_reset(&e->arena);
    for (size_t i = 0; i < countof(buffers); i++) {
        bytes_reset(buffers[i]);
        bytes_trim(buffers[i], BUFFER_KEEP_MAX);
    }
}

uint64_t change_encoder_failures(const struct change_encoder *e)
{
    return e->failures;
}

const char *change_encoder_failure_text(const struct change_encoder *e)
{
    return e->failure_text;
}

/* ---- rows ---- */

/* What is needed to write one event. */
struct event {
    struct change_encoder *e;
    const struct relation *r;
    const struct tuple *old_tuple, *new_tuple;
    const struct source_position *position;
    change_emit_fn *emit;
    void *arg;
    struct err *err;
};

/* old: where an unchanged TOAST value stands, when the old row was sent whole. */
static int write_column(struct event *ev, const struct relation_column *c, const struct tuple_value *v,
                        const struct tuple_value *old, bool in_key, struct bytes *out)
{
    struct change_encoder *e = ev->e;
    const struct column_json *json = in_key ? &c->in_key : &c->in_value;
    struct connect_value value;

    if (v->kind == TUPLE_UNCHANGED && old && old->kind == TUPLE_TEXT) v = old;
    if (v->kind == TUPLE_NULL) {
        bytes_append_slice(out, json->null);
        return 0;
    }
    if (v->kind == TUPLE_UNCHANGED) {
        bytes_append_slice(out, json->unavailable);
        return 0;
    }
    if (c->converter->convert(c->converter, v->text, &e->arena, &value)) {
        if (value.kind == VALUE_NULL) bytes_append_slice(out, json->null);
        else
            connect_value_json(&value, c->converter->schema,
                               in_key ? e->config->key_decimals : e->config->value_decimals, out);
        return 0;
    }
    e->failures++;
    snprintf(e->failure_text, sizeof(e->failure_text),
             "table \"%s.%s\", column \"%s\": value \"%.*s\" cannot be represented", ev->r->schema, ev->r->table,
             c->name, (int)MIN(v->text.len, 100u), (const char *)v->text.ptr);
    if (e->config->convert_failure_mode == CONVERT_FAIL) return err_set(ev->err, -EBADMSG, "%s", e->failure_text);
    bytes_append_slice(out, json->null);
    return 0;
}

/* `{"a":1,"b":null`: without the closing brace. */
static int write_row(struct event *ev, const struct tuple *row, const struct tuple *old, struct bytes *out)
{
    const struct relation *r = ev->r;
    char separator = '{';

    for (uint32_t i = 0; i < r->columns_count; i++) {
        const struct relation_column *c = &r->columns[i];
        if (!c->captured) continue;
        bytes_append_byte(out, (uint8_t)separator);
        separator = ',';
        bytes_append_slice(out, c->json_name);
        int result = write_column(ev, c, &row->values[i], old ? &old->values[i] : NULL, false, out);
        if (result < 0) return result;
    }
    if (separator == '{') bytes_append_byte(out, '{');
    return 0;
}

static int write_image(struct event *ev, const struct tuple *row, const struct tuple *old, struct bytes *out)
{
    if (!row) {
        json_write_null(out);
        return 0;
    }
    int result = write_row(ev, row, old, out);
    bytes_append_byte(out, '}');
    return result;
}

/* ---- keys ---- */

static int write_key(struct event *ev, const struct tuple *row, const struct tuple *old, struct bytes *out)
{
    static const struct tuple_value absent = {.kind = TUPLE_NULL};
    const struct relation *r = ev->r;

    bytes_reset(out);
    if (r->key_count == 0) return 0;
    bytes_append_slice(out, r->json_key_head);
    for (uint32_t i = 0; i < r->key_count; i++) {
        const struct relation_column *c = &r->columns[r->key[i]];
        bytes_append_byte(out, i ? ',' : '{');
        bytes_append_slice(out, c->json_name);
        const struct tuple_value *value = &row->values[r->key[i]];
        if (!c->captured && r->snapshot && r->config->debezium_defects) value = &absent;
        int result = write_column(ev, c, value, old ? &old->values[r->key[i]] : NULL, true, out);
        if (result < 0) return result;
    }
    bytes_append_byte(out, '}');
    if (r->json_key_head.len) bytes_append_byte(out, '}');
    return 0;
}

static struct slice key_slice(const struct relation *r, const struct bytes *key)
{
    return r->key_count ? bytes_slice(key) : SLICE_NULL;
}

/* The key as headers show it: without schema. */
static struct slice key_payload(const struct relation *r, const struct bytes *key)
{
    uint32_t head = r->json_key_head.len;

    return slice_make(key->ptr + head, key->len - head - (head ? 1 : 0));
}

/* ---- values ---- */

static void write_times(struct bytes *out, const struct source_position *position, bool all)
{
    bytes_append_text(out, ",\"ts_ms\":");
    json_write_int64(out, position->now_ns / 1000000);
    if (!all) return;
    bytes_append_text(out, ",\"ts_us\":");
    json_write_int64(out, position->now_ns / 1000);
    bytes_append_text(out, ",\"ts_ns\":");
    json_write_int64(out, position->now_ns);
}

static int write_envelope(struct event *ev, enum change_op op, const struct tuple *before, const struct tuple *after)
{
    const struct relation *r = ev->r;
    struct bytes *out = &ev->e->value;
    bool v3 = r->config->profile == FORMAT_3;
    int result;

    bytes_reset(out);
    bytes_append_slice(out, r->json_value_head);
    bytes_append_text(out, "{\"before\":");
    if ((result = write_image(ev, before, NULL, out)) < 0) return result;
    bytes_append_text(out, ",\"after\":");
    if ((result = write_image(ev, after, before, out)) < 0) return result;
    bytes_append_text(out, ",\"source\":");
    source_json(out, r->config, bytes_slice(&ev->e->source_head), r->json_source_table, ev->position);
    if (v3) {
        bytes_append_text(out, ",\"transaction\":");
        transaction_json(ev->e, ev->position, out);
    }
    bytes_append_text(out, ",\"op\":\"");
    bytes_append_byte(out, (uint8_t)op);
    bytes_append_byte(out, '"');
    write_times(out, ev->position, v3);
    if (!v3) {
        bytes_append_text(out, ",\"transaction\":");
        transaction_json(ev->e, ev->position, out);
    }
    bytes_append_byte(out, '}');
    if (r->json_value_head.len) bytes_append_byte(out, '}');
    return 0;
}

static void write_item(const struct event *ev, enum change_op op, const struct unwrap_item *item, struct bytes *out)
{
    if (item->kind == ITEM_TRANSACTION) transaction_json_field(ev->e, ev->position, item->field, out);
    else unwrap_item_json(item, ev->r, (char)op, ev->position, out);
}

static int write_flat(struct event *ev, enum change_op op, const struct tuple *row, const struct tuple *old)
{
    const struct unwrap_plan *p = ev->r->unwrap;
    struct bytes *out = &ev->e->value;

    bytes_reset(out);
    bytes_append_slice(out, p->json_head);
    int result = write_row(ev, row, old, out);
    if (result < 0) return result;
    /* A comma only behind a column. */
    bool first = ev->r->value_schema->fields_count == 0;
    if (p->unwrap->deletes.rewrite) {
        bytes_append_text(out, first ? "\"__deleted\":\"" : ",\"__deleted\":\"");
        bytes_append_text(out, op == CHANGE_DELETE ? "true\"" : "false\"");
        first = false;
    }
    for (uint32_t i = 0; i < p->fields_count; i++, first = false) {
        if (!first) bytes_append_byte(out, ',');
        bytes_append_slice(out, p->fields[i].json_name);
        write_item(ev, op, &p->fields[i], out);
    }
    bytes_append_byte(out, '}');
    if (p->json_head.len) bytes_append_byte(out, '}');
    return 0;
}

/* ---- records ---- */

/* The record behind a delete stands for no operation. */
#define TOMBSTONE ((enum change_op)0)

/* add.headers of unwrap, of a tombstone the operation alone ("d", as in Debezium): text of the values, strings without quotes. Appends to headers; returns the new count. */
static uint32_t add_unwrap_headers(struct event *ev, enum change_op op, struct change_header *headers, uint32_t count)
{
    const struct unwrap_plan *p = ev->r->unwrap;
    struct bytes *text = &ev->e->header_text;
    uint32_t starts[CHANGE_HEADERS_MAX + 1];
    uint32_t items = p ? MIN(p->headers_count, CHANGE_HEADERS_MAX - count) : 0;
    bool tombstone = op == TOMBSTONE;

    bytes_reset(text);
    for (uint32_t i = 0; i < items; i++) {
        starts[i] = text->len;
        if (!tombstone) write_item(ev, op, &p->headers[i], text);
        else if (p->headers[i].kind == ITEM_OP) write_item(ev, CHANGE_DELETE, &p->headers[i], text);
    }
    starts[items] = text->len;
    if (text->failed) return count;
    for (uint32_t i = 0; i < items; i++) {
        struct slice value = slice_make(text->ptr + starts[i], starts[i + 1] - starts[i]);
        if (value.len == 0) continue;
        if (slice_eq_text(value, "null")) value = SLICE_NULL;
        else if (value.len >= 2 && value.ptr[0] == '"') value = slice_make(value.ptr + 1, value.len - 2);
        headers[count++] = (struct change_header){slice_of(p->headers[i].name), value};
    }
    return count;
}

static bool is_blank(struct slice text)
{
    for (uint32_t i = 0; i < text.len; i++)
        if (text.ptr[i] > ' ') return false;
    return true;
}

/* The topic of a row's record: the relation's, or what route.by.field finds in the row. */
static int route(struct event *ev, const struct tuple *row, const struct tuple *old, struct slice *ret_topic)
{
    struct change_encoder *e = ev->e;
    const struct unwrap_plan *p = ev->r->unwrap;

    *ret_topic = slice_of(ev->r->topic);
    if (!p || (p->route_column < 0 && !p->route_error)) return 0;
    if (p->route_error)
        return err_set(ev->err, -EBADMSG, "route.by.field, table \"%s.%s\": %s", ev->r->schema, ev->r->table,
                       p->route_error);
    const struct pg_converter *converter = ev->r->columns[p->route_column].converter;
    const struct tuple_value *v = &row->values[p->route_column];
    struct connect_value value = {.kind = VALUE_NULL};
    if (v->kind == TUPLE_UNCHANGED && old && old->values[p->route_column].kind == TUPLE_TEXT)
        v = &old->values[p->route_column];
    if (v->kind == TUPLE_UNCHANGED) value = converter->unavailable;
    else if (v->kind == TUPLE_TEXT && !converter->convert(converter, v->text, &e->arena, &value))
        value.kind = VALUE_NULL;
    struct slice text = value.kind == VALUE_STRING ? value.text : p->route_null;
    if (is_blank(text)) return 0;
    const char *name = arena_slice_str(&e->arena, text);
    name = name ? transform_chain_routed_topic(e->config->transforms, &e->arena, name) : NULL;
    if (!name) return err_set(ev->err, -ENOMEM, "no memory for the name of a topic");
    *ret_topic = slice_of(name);
    return 0;
}

/* key_header: __debezium.newkey or .oldkey with its value; a null name: none. */
static int emit_record(struct event *ev, enum change_op op, struct slice topic, const struct bytes *key,
                       struct slice value, struct change_header key_header)
{
    struct change_encoder *e = ev->e;
    struct change_header headers[CHANGE_HEADERS_MAX];
    uint32_t count = 0;

    if (key_header.name.ptr) headers[count++] = key_header;
    memcpy(headers + count, e->context, e->context_count * sizeof(headers[0]));
    count += e->context_count;
    count = add_unwrap_headers(ev, op, headers, count);
    if (key->failed || e->value.failed)
        return err_set(ev->err, -ENOMEM, "no memory for an event of table \"%s.%s\"", ev->r->schema, ev->r->table);
    const struct change_record record = {
        .topic = topic,
        .key = key_slice(ev->r, key),
        .value = value,
        .headers = headers,
        .headers_count = count,
        .timestamp_ms = ev->position->now_ns / 1000000,
    };
    return ev->emit(ev->arg, &record);
}

/* A row that exists after the change. */
static int emit_row(struct event *ev, enum change_op op, const struct tuple *before, const struct tuple *old,
                    struct change_header key_header)
{
    struct slice topic;

    transaction_count(ev->e, ev->position, ev->r->schema, ev->r->table);
    int result = ev->r->unwrap ? write_flat(ev, op, ev->new_tuple, old) : write_envelope(ev, op, before, ev->new_tuple);

    if (result < 0 || (result = route(ev, ev->new_tuple, old, &topic)) < 0) return result;
    return emit_record(ev, op, topic, &ev->e->key, bytes_slice(&ev->e->value), key_header);
}

static int emit_delete(struct event *ev, const struct bytes *key, struct change_header key_header)
{
    const struct unwrap_plan *p = ev->r->unwrap;
    struct slice topic = slice_of(ev->r->topic);
    int result = 0;

    transaction_count(ev->e, ev->position, ev->r->schema, ev->r->table);
    if (p && (p->unwrap->deletes.rewrite || p->unwrap->deletes.null_value) &&
        (result = route(ev, ev->old_tuple, NULL, &topic)) < 0)
        return result;
    if (!p) {
        result = write_envelope(ev, CHANGE_DELETE, ev->old_tuple, NULL);
        if (result == 0) result = emit_record(ev, CHANGE_DELETE, topic, key, bytes_slice(&ev->e->value), key_header);
    } else if (p->unwrap->deletes.rewrite) {
        result = write_flat(ev, CHANGE_DELETE, ev->old_tuple, NULL);
        if (result == 0) result = emit_record(ev, CHANGE_DELETE, topic, key, bytes_slice(&ev->e->value), key_header);
    } else if (p->unwrap->deletes.null_value) {
        result = emit_record(ev, CHANGE_DELETE, topic, key, p->json_null_value, key_header);
    }
    if (result != 0 || !ev->e->config->tombstones_on_delete || (p && !p->unwrap->deletes.keep_tombstone)) return result;
    /* It has no row that could be routed by. */
    return emit_record(ev, TOMBSTONE, slice_of(ev->r->topic), key, SLICE_NULL, key_header);
}

static struct change_header header(const char *name, struct slice value)
{
    return (struct change_header){slice_of(name), value};
}

static const struct change_header no_header;

static int emit_update(struct event *ev)
{
    struct change_encoder *e = ev->e;
    const struct relation *r = ev->r;
    int result;

    if ((result = write_key(ev, ev->new_tuple, ev->old_tuple, &e->key)) < 0) return result;
    if (ev->old_tuple && r->key_count) {
        if ((result = write_key(ev, ev->old_tuple, NULL, &e->old_key)) < 0) return result;
        if (!slice_eq(bytes_slice(&e->key), bytes_slice(&e->old_key))) {
            if (e->key.failed || e->old_key.failed) return err_set(ev->err, -ENOMEM, "no memory for a key");
            result = emit_delete(ev, &e->old_key, header("__debezium.newkey", key_payload(r, &e->key)));
            if (result != 0) return result;
            return emit_row(ev, CHANGE_CREATE, NULL, ev->old_tuple,
                            header("__debezium.oldkey", key_payload(r, &e->old_key)));
        }
    }
    if (e->config->skip_messages_without_change && r->replica_identity == 'f' && ev->old_tuple) {
        bytes_reset(&e->value);
        if ((result = write_row(ev, ev->old_tuple, NULL, &e->value)) < 0) return result;
        uint32_t middle = e->value.len;
        if ((result = write_row(ev, ev->new_tuple, ev->old_tuple, &e->value)) < 0) return result;
        if (!e->value.failed && e->value.len == 2 * middle && memcmp(e->value.ptr, e->value.ptr + middle, middle) == 0)
            return 0;
    }
    return emit_row(ev, CHANGE_UPDATE, ev->old_tuple, ev->old_tuple, no_header);
}

static unsigned operation_bit(enum change_op op)
{
    switch (op) {
    case CHANGE_CREATE: return OPERATION_CREATE;
    case CHANGE_UPDATE: return OPERATION_UPDATE;
    case CHANGE_DELETE: return OPERATION_DELETE;
    case CHANGE_TRUNCATE: return OPERATION_TRUNCATE;
    case CHANGE_READ: break;
    }
    return 0;
}

static int check_tuple(struct event *ev, const struct tuple *t)
{
    if (!t || t->count == ev->r->columns_count) return 0;
    return err_set(ev->err, -EBADMSG, "table \"%s.%s\": a row of %u columns, %u were announced", ev->r->schema,
                   ev->r->table, t->count, ev->r->columns_count);
}

int change_encoder_row(struct change_encoder *e, const struct relation *r, enum change_op op,
                       const struct tuple *old_tuple, const struct tuple *new_tuple,
                       const struct source_position *position, change_emit_fn *emit, void *arg, struct err *err)
{
    if (e->config->skipped_operations & operation_bit(op)) return 0;
    if (old_tuple && old_tuple->count == 0) old_tuple = NULL;
    struct event ev = {.e = e,
                       .r = r,
                       .old_tuple = old_tuple,
                       .new_tuple = new_tuple,
                       .position = position,
                       .emit = emit,
                       .arg = arg,
                       .err = err};
    int result = check_tuple(&ev, old_tuple);
    if (result == 0) result = check_tuple(&ev, new_tuple);
    if (result < 0) return result;

    switch (op) {
    case CHANGE_READ:
    case CHANGE_CREATE:
        result = write_key(&ev, new_tuple, NULL, &e->key);
        if (result == 0) result = emit_row(&ev, op, NULL, NULL, no_header);
        break;
    case CHANGE_UPDATE: result = emit_update(&ev); break;
    case CHANGE_DELETE:
        if (!old_tuple) return err_set(err, -EBADMSG, "table \"%s.%s\": a delete without its row", r->schema, r->table);
        result = write_key(&ev, old_tuple, NULL, &e->key);
        if (result == 0) result = emit_delete(&ev, &e->key, no_header);
        break;
    case CHANGE_TRUNCATE:
        transaction_count(e, position, r->schema, r->table);
        if (r->unwrap) return 0;
        bytes_reset(&e->key);
        result = write_envelope(&ev, op, NULL, NULL);
        if (result == 0) {
            const struct change_record record = {
                .topic = slice_of(r->topic),
                .key = SLICE_NULL,
                .value = bytes_slice(&e->value),
                .headers = e->context,
                .headers_count = e->context_count,
                .timestamp_ms = position->now_ns / 1000000,
            };
            result = e->value.failed ? err_set(err, -ENOMEM, "no memory for an event") : emit(arg, &record);
        }
        break;
    }
    change_encoder_trim(e);
    return result;
}
