/* broker/telemetry/client_metrics.c: see client_metrics.h.
 *
 * client ── by_key: its series (family's name and labels) ── family ── list of its series, as they are written.
 * Clients stand in the order of their last push: the longest silent one is swept first.
 * Who has too much is told so by its values that are left out; when all have, the longest silent ones go.
 * Invariants: a series belongs to one client and one family; a family without series is gone; `bytes` is all of
 * them. */
#include "broker/telemetry/client_metrics.h"

#include "broker/limits.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <uthash.h>

/* What a hash table and the allocator take beside an entry. */
#define ENTRY_OVERHEAD_BYTES 32

struct family {
    char *name;  /* of Prometheus */
    char *about; /* the client's name for it */
    bool is_counter;
    LIST_HEAD(, series) series;
    UT_hash_handle hh;
};

struct series {
    struct family *family;
    struct client *client;
    double value;
    int64_t used_ms;
    LIST_ENTRY(series) link; /* in the family */
    UT_hash_handle hh;       /* in the client, by key */
    uint32_t labels_at;
    uint32_t key_len;
    char key[]; /* the family's name, NUL, labels of the point */
};

struct client {
    struct uuid id;
    char *labels; /* of all its series */
    char *info;   /* labels of ottla_client_info */
    int64_t used_ms, keep_ms;
    size_t bytes; /* of its series, each with its family: a client may be the only one that has it */
    struct series *by_key;
    TAILQ_ENTRY(client) link; /* longest silent first */
    UT_hash_handle hh;
};

struct client_metrics {
    struct family *by_name;
    struct client *by_id;
    TAILQ_HEAD(, client) clients;
    size_t bytes;
    int64_t swept_ms;
    uint64_t pushes, points, left_out;
    uint32_t push_points; /* of the push at hand */
    /* Scratch of a push. */
    struct client *client;
    int64_t now_ms;
    struct bytes key;
};

struct client_metrics *client_metrics_new(void)
{
    struct client_metrics *m = xcalloc(1, sizeof *m);
    TAILQ_INIT(&m->clients);
    return m;
}

/* -- life of what is kept -- */

static size_t family_bytes(const struct family *f)
{
    return sizeof *f + strlen(f->name) + strlen(f->about) + ENTRY_OVERHEAD_BYTES;
}

/* With the client's labels, which stand in the text of each of its series. */
static size_t series_bytes(const struct series *s)
{
    return sizeof *s + s->key_len + strlen(s->client->labels) + ENTRY_OVERHEAD_BYTES;
}

static size_t client_bytes(const struct client *c)
{
    return sizeof *c + strlen(c->labels) + strlen(c->info) + ENTRY_OVERHEAD_BYTES;
}

static void series_free(struct client_metrics *m, struct series *s)
{
    struct family *f = s->family;

    m->bytes -= series_bytes(s);
    s->client->bytes -= series_bytes(s) + family_bytes(f);
    HASH_DEL(s->client->by_key, s);
    LIST_REMOVE(s, link);
    free(s);
    if (!LIST_EMPTY(&f->series)) return;
    m->bytes -= family_bytes(f);
    HASH_DEL(m->by_name, f);
    free(f->name);
    free(f->about);
    free(f);
}

static void client_free(struct client_metrics *m, struct client *c)
{
    while (c->by_key) series_free(m, c->by_key);
    m->bytes -= client_bytes(c);
    HASH_DEL(m->by_id, c);
    TAILQ_REMOVE(&m->clients, c, link);
    free(c->labels);
    free(c->info);
    free(c);
}

void client_metrics_free(struct client_metrics *m)
{
    struct client *c;

    if (!m) return;
    while ((c = TAILQ_FIRST(&m->clients))) client_free(m, c);
    bytes_done(&m->key);
    free(m);
}

size_t client_metrics_bytes(const struct client_metrics *m)
{
    return m->bytes;
}

/* Clients go, the longest silent first, until there is room for more. False: there is none without the client at hand,
 * which is the last one. */
static bool make_room(struct client_metrics *m, size_t more)
{
    struct client *c;

    while (m->bytes + more > CLIENT_METRICS_BYTES_MAX) {
        if (!(c = TAILQ_FIRST(&m->clients)) || c == m->client) return false;
        client_free(m, c);
    }
    return true;
}

/* What was not pushed for long is gone: a client, or one of its partitions. */
static void sweep(struct client_metrics *m, int64_t now_ms)
{
    struct client *c, *next_client;
    struct series *s, *next;

    if (now_ms - m->swept_ms < CLIENT_METRICS_SWEEP_MS) return;
    m->swept_ms = now_ms;
    HASH_ITER(hh, m->by_id, c, next_client)
    {
        HASH_ITER(hh, c->by_key, s, next)
        if (now_ms - s->used_ms > c->keep_ms) series_free(m, s);
        if (now_ms - c->used_ms > c->keep_ms) client_free(m, c);
    }
}

/* -- text -- */

/* The length of the UTF-8 character at p; 0: there is none. */
static uint32_t character(const uint8_t *p, const uint8_t *end)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t len = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 0;
    uint32_t code = len > 1 ? *p & (0x7fu >> len) : *p;

    if (len == 0 || len > (size_t)(end - p)) return 0;
    for (uint32_t i = 1; i < len; i++) {
        if (p[i] >> 6 != 2) return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    return code < smallest[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : len;
}

static void write_escaped(struct bytes *out, struct slice text, bool quotes)
{
    const uint8_t *p = text.ptr, *end = p + text.len;

    while (text.len && p < end) {
        uint32_t len = character(p, end);
        if (len == 0) bytes_append_byte(out, '?');
        else if (*p == '\n') bytes_append_text(out, "\\n");
        else if (*p == '\\' || (*p == '"' && quotes)) bytes_append_byte(out, '\\'), bytes_append_byte(out, *p);
        else bytes_append(out, p, len);
        p += len ? len : 1;
    }
}

void metric_write_label(struct bytes *out, const char *name, struct slice value)
{
    bytes_append_text(out, name);
    bytes_append_text(out, "=\"");
    write_escaped(out, value, true);
    bytes_append_byte(out, '"');
}

static void write_value(struct bytes *out, double value)
{
    char text[40];

    if (isnan(value)) snprintf(text, sizeof text, " NaN\n");
    else if (isinf(value)) snprintf(text, sizeof text, " %cInf\n", value > 0 ? '+' : '-');
    else if (value == floor(value) && fabs(value) < 9e15) snprintf(text, sizeof text, " %" PRId64 "\n", (int64_t)value);
    else snprintf(text, sizeof text, " %.17g\n", value);
    bytes_append_text(out, text);
}

/* A name of Prometheus, NUL-terminated. colon: names of metrics may have one. false: too long, or empty. */
static bool sanitize(struct slice name, bool colon, char ret[CLIENT_METRICS_NAME_BYTES_MAX])
{
    if (name.len == 0 || name.len + 1 > CLIENT_METRICS_NAME_BYTES_MAX) return false;
    for (uint32_t i = 0; i < name.len; i++) {
        char c = (char)name.ptr[i];
        bool taken =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9' && i > 0) || (c == ':' && colon);
        ret[i] = taken ? c : '_';
    }
    ret[name.len] = '\0';
    return true;
}

/* -- clients -- */

static char *text_of(struct bytes *b)
{
    bytes_append_byte(b, '\0');
    if (b->failed) abort(); /* as xmalloc() */
    return (char *)b->ptr;
}

/* Texts of a client are bounded: its id may have 32 KiB. */
static struct slice shorten(struct slice s)
{
    return slice_make(s.ptr, MIN(s.len, (uint32_t)CLIENT_METRICS_NAME_BYTES_MAX));
}

static struct client *client_new(struct client_metrics *m, const struct client_identity *who)
{
    struct client *c = xcalloc(1, sizeof *c);
    struct bytes labels = {0}, info = {0};
    char id[UUID_TEXT_SIZE];

    while (HASH_COUNT(m->by_id) >= TELEMETRY_CLIENTS_MAX) client_free(m, TAILQ_FIRST(&m->clients));
    uuid_format(who->instance_id, id);
    metric_write_label(&labels, "client_instance_id", slice_of(id));
    bytes_append_byte(&labels, ',');
    metric_write_label(&labels, "client_id", shorten(who->client_id));
    bytes_append_slice(&info, bytes_slice(&labels));
    bytes_append_byte(&info, ',');
    metric_write_label(&info, "client_software_name", shorten(who->software_name));
    bytes_append_byte(&info, ',');
    metric_write_label(&info, "client_software_version", shorten(who->software_version));
    bytes_append_byte(&info, ',');
    metric_write_label(&info, "client_source_address", shorten(who->address));
    c->id = who->instance_id;
    c->labels = text_of(&labels);
    c->info = text_of(&info);
    (void)make_room(m, client_bytes(c)); /* its texts are bounded: there is room when all others have gone */
    HASH_ADD(hh, m->by_id, id, sizeof c->id, c);
    TAILQ_INSERT_TAIL(&m->clients, c, link);
    m->bytes += client_bytes(c);
    return c;
}

/* -- points -- */

struct label {
    char name[CLIENT_METRICS_NAME_BYTES_MAX];
    struct slice value;
};

static int compare_labels(const void *a, const void *b)
{
    return strcmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

static bool is_reserved(const char *name)
{
    return strcmp(name, "client_instance_id") == 0 || strcmp(name, "client_id") == 0 || strncmp(name, "__", 2) == 0;
}

/* In the order of their names, so that the order in which a client writes them makes no other series. */
static bool write_labels(struct bytes *out, const struct otlp_point *p)
{
    struct label labels[OTLP_ATTRIBUTES_MAX];
    size_t count = 0, bytes = 0;

    for (int i = 0; i < p->attributes_count; i++) {
        /* Before any is looked at: a push may name the same megabytes for every point. */
        bytes += p->attributes[i].text.len;
        if (bytes > CLIENT_METRICS_SERIES_BYTES_MAX) return false;
        if (!sanitize(p->attributes[i].key, false, labels[count].name)) return false;
        if (is_reserved(labels[count].name)) continue;
        labels[count++].value = p->attributes[i].text;
    }
    qsort(labels, count, sizeof labels[0], compare_labels);
    for (size_t i = 0; i < count; i++) {
        if (i && strcmp(labels[i].name, labels[i - 1].name) == 0) continue;
        bytes_append_byte(out, ',');
        metric_write_label(out, labels[i].name, labels[i].value);
    }
    return true;
}

/* The broker's own metrics and those that dashboards know are not a client's to write. */
static bool is_taken(const char *name)
{
    static const char *const ours[] = {"ottla_", "kafka_", "debezium_", "process_"};

    for (size_t i = 0; i < countof(ours); i++)
        if (strncmp(name, ours[i], strlen(ours[i])) == 0) return true;
    return strcmp(name, "up") == 0;
}

/* The key of a series: name, NUL, labels. false: it cannot be one. */
static bool write_key(struct bytes *key, const struct otlp_point *p, bool is_counter, uint32_t *ret_labels_at)
{
    static const char total[] = "_total";
    char name[CLIENT_METRICS_NAME_BYTES_MAX];

    bytes_reset(key);
    if (p->crowded || !sanitize(p->name, true, name) || is_taken(name)) return false;
    bytes_append_text(key, name);
    size_t len = strlen(name), suffix = sizeof total - 1;
    if (is_counter && (len < suffix || strcmp(name + len - suffix, total) != 0)) bytes_append_text(key, total);
    bytes_append_byte(key, '\0');
    *ret_labels_at = key->len;
    return write_labels(key, p) && !key->failed && key->len <= CLIENT_METRICS_SERIES_BYTES_MAX;
}

static struct family *family_of(struct client_metrics *m, const char *name, struct slice about, bool is_counter)
{
    struct family *f;

    HASH_FIND_STR(m->by_name, name, f);
    if (f) return f->is_counter == is_counter ? f : NULL;
    f = xcalloc(1, sizeof *f);
    f->name = xstrdup(name);
    f->about = slice_strdup(about);
    f->is_counter = is_counter;
    LIST_INIT(&f->series);
    HASH_ADD_KEYPTR(hh, m->by_name, f->name, strlen(f->name), f);
    m->bytes += family_bytes(f);
    return f;
}

static struct series *series_of(struct client_metrics *m, const struct otlp_point *p, bool is_counter)
{
    struct series *s;
    uint32_t labels_at;

    if (!write_key(&m->key, p, is_counter, &labels_at)) return NULL;
    HASH_FIND(hh, m->client->by_key, m->key.ptr, m->key.len, s);
    if (s) return s->family->is_counter == is_counter ? s : NULL;
    size_t more = sizeof *s + sizeof *s->family + (size_t)m->key.len * 2 + p->name.len + strlen(m->client->labels) +
                  2 * ENTRY_OVERHEAD_BYTES;
    if (m->client->bytes + more > CLIENT_METRICS_CLIENT_BYTES_MAX || !make_room(m, more)) return NULL;
    struct family *f = family_of(m, (const char *)m->key.ptr, p->name, is_counter);
    if (!f) return NULL;
    s = xcalloc(1, sizeof *s + m->key.len + 1);
    s->family = f;
    s->client = m->client;
    s->labels_at = labels_at;
    s->key_len = m->key.len;
    memcpy(s->key, m->key.ptr, m->key.len);
    HASH_ADD(hh, m->client->by_key, key, s->key_len, s);
    LIST_INSERT_HEAD(&f->series, s, link);
    m->bytes += series_bytes(s);
    m->client->bytes += series_bytes(s) + family_bytes(f);
    return s;
}

static void take_point(void *arg, const struct otlp_point *p)
{
    struct client_metrics *m = arg;

    m->points++;
    struct series *s =
        ++m->push_points <= CLIENT_METRICS_PUSH_POINTS_MAX ? series_of(m, p, p->is_sum && p->is_monotonic) : NULL;
    if (!s) {
        m->left_out++;
        return;
    }
    s->value = p->is_delta ? s->value + p->value : p->value;
    s->used_ms = m->now_ms;
}

bool client_metrics_push(struct client_metrics *m, const struct client_identity *who, struct slice metrics,
                         int64_t now_ms, int64_t interval_ms)
{
    struct otlp_reader r = {.point = take_point, .arg = m};
    struct client *c;

    sweep(m, now_ms);
    HASH_FIND(hh, m->by_id, &who->instance_id, sizeof who->instance_id, c);
    m->client = NULL;
    if (!c) c = client_new(m, who);
    c->used_ms = now_ms;
    c->keep_ms = MAX(CLIENT_METRICS_KEEP_MS, 3 * interval_ms);
    TAILQ_REMOVE(&m->clients, c, link);
    TAILQ_INSERT_TAIL(&m->clients, c, link);
    m->client = c;
    m->now_ms = now_ms;
    m->push_points = 0;
    bool whole = otlp_read(&r, metrics);
    m->pushes++;
    m->left_out += r.left_out;
    return whole;
}

/* -- all of it -- */

static void write_head(struct bytes *out, const char *name, const char *type, const char *help, const char *about)
{
    bytes_append_text(out, "# HELP ");
    bytes_append_text(out, name);
    bytes_append_byte(out, ' ');
    bytes_append_text(out, help);
    write_escaped(out, slice_of(about), false);
    bytes_append_text(out, "\n# TYPE ");
    bytes_append_text(out, name);
    bytes_append_byte(out, ' ');
    bytes_append_text(out, type);
    bytes_append_byte(out, '\n');
}

static void write_own(struct bytes *out, const char *name, const char *type, const char *help, uint64_t value)
{
    write_head(out, name, type, help, "");
    bytes_append_text(out, name);
    write_value(out, (double)value);
}

static int compare_families(const struct family *a, const struct family *b)
{
    return strcmp(a->name, b->name);
}

static void write_family(struct bytes *out, const struct family *f)
{
    const struct series *s;

    write_head(out, f->name, f->is_counter ? "counter" : "gauge", "Pushed by Kafka clients as ", f->about);
    LIST_FOREACH(s, &f->series, link) {
        bytes_append_text(out, f->name);
        bytes_append_byte(out, '{');
        bytes_append_text(out, s->client->labels);
        bytes_append(out, s->key + s->labels_at, s->key_len - s->labels_at);
        bytes_append_byte(out, '}');
        write_value(out, s->value);
    }
}

void client_metrics_write(struct client_metrics *m, int64_t now_ms, struct bytes *out)
{
    static const char info[] = "ottla_client_info";
    struct client *c;

    sweep(m, now_ms);
    write_own(out, "ottla_client_telemetry_clients", "gauge", "Kafka clients whose metrics are kept.",
              HASH_COUNT(m->by_id));
    write_own(out, "ottla_client_telemetry_pushes_total", "counter", "Pushes of metrics that Kafka clients sent.",
              m->pushes);
    write_own(out, "ottla_client_telemetry_points_total", "counter", "Values in them.", m->points);
    write_own(out, "ottla_client_telemetry_left_out_total", "counter",
              "Values that were not kept: no room, no gauge nor sum, or a name that is the broker's own.", m->left_out);
    write_own(out, "ottla_client_telemetry_bytes", "gauge", "Memory that they take.", m->bytes);
    if (m->by_id) write_head(out, info, "gauge", "Kafka clients that pushed metrics.", "");
    TAILQ_FOREACH(c, &m->clients, link) {
        bytes_append_text(out, info);
        bytes_append_byte(out, '{');
        bytes_append_text(out, c->info);
        bytes_append_byte(out, '}');
        write_value(out, 1);
    }
    HASH_SORT(m->by_name, compare_families);
    for (const struct family *f = m->by_name; f; f = f->hh.next) write_family(out, f);
}
