/* tests/encode/cdc_encode.c: change encoder without database and broker, driven by lines on standard input.
 *
 *   config NAME VALUE      a connector property; NAME and VALUE are hex, as all FIELDs below; "-" is null
 *   start                  parses the configuration
 *   tables FIELD...        a row of relation_tables_sql: answers "captured" or "skipped"
 *   relation OID SCHEMA TABLE IDENTITY    begins a relation version for a snapshot
 *   stream MESSAGE         begins one from a Relation message; answers the oids for relation_types_sql
 *   column FIELD...        a row of relation_columns_sql
 *   type FIELD...          a row of relation_types_sql
 *   build                  resolves it; answers the statement that reads the table
 *   row PLACE LSN FIELD...  a snapshot's row of the relation built last; PLACE: sum of 1 first table, 2 last table with
 * rows, 4 first row, 8 last row message LSN MESSAGE    a replication message other than Relation sql prints the three
 * catalog queries, one a line Each record is printed as a line of the golden format. Exit status 1 and a text on the
 * first error. */
#include "base/murmur2.h"
#include "cdc/change_encoder.h"
#include "cdc/pg_lsn.h"

#include <stdio.h>
#include <time.h>

#define FIELDS_MAX    (PG_COLUMNS_MAX + 8)
#define RELATIONS_MAX 1000
#define PAIRS_MAX     200

static struct cdc_pair pairs[PAIRS_MAX];
static uint32_t pairs_count;
static struct pg_connector_config *config;
static struct change_encoder *encoder;
static struct pgoutput_decoder *decoder;
static struct relation_builder *builder;
static struct relation *relations[RELATIONS_MAX];
static uint32_t relations_count;
static struct source_position position = {.xid = -1};

static void fail(const char *what, const char *text) NORETURN;

static void fail(const char *what, const char *text)
{
    printf("error %s: %s\n", what, text);
    exit(1);
}

/* Decodes hex in place; "-" gives null. */
static struct slice unhex(char *text)
{
    if (strcmp(text, "-") == 0) return SLICE_NULL;
    if (strcmp(text, ".") == 0) return SLICE_EMPTY;
    size_t len = strlen(text) / 2;
    for (size_t i = 0; i < len; i++) {
        unsigned v;
        if (sscanf(text + 2 * i, "%2x", &v) != 1) fail("input", "no hex");
        text[i] = (char)v;
    }
    text[len] = '\0';
    return slice_make(text, (uint32_t)len);
}

static void print_value(const char *name, struct slice s)
{
    if (!s.ptr) printf("\"%s\":null", name);
    else printf("\"%s\":" SLICE_FMT, name, SLICE_ARG(s));
}

static int print_record(void *arg, const struct change_record *r)
{
    int partitions = config->topic_partitions > 1 ? config->topic_partitions : 1;
    int partition = r->key.ptr ? murmur2_partition(r->key, partitions) : 0;

    printf("{\"topic\":\"" SLICE_FMT "\",\"partition\":%d,\"offset\":%d,", SLICE_ARG(r->topic), partition,
           (*(int *)arg)++);
    print_value("key", r->key);
    printf(",");
    print_value("value", r->value);
    printf(",\"headers\":[");
    for (uint32_t i = 0; i < r->headers_count; i++) {
        printf("%s[\"" SLICE_FMT "\",", i ? "," : "", SLICE_ARG(r->headers[i].name));
        struct bytes text = {0};
        /* Header values are texts in the golden format. */
        bytes_append_byte(&text, '"');
        for (uint32_t k = 0; k < r->headers[i].value.len; k++) {
            uint8_t c = r->headers[i].value.ptr[k];
            if (c == '"' || c == '\\') bytes_append_byte(&text, '\\');
            bytes_append_byte(&text, c);
        }
        bytes_append_byte(&text, '"');
        printf(SLICE_FMT "]", SLICE_ARG(bytes_slice(&text)));
        bytes_done(&text);
    }
    printf("]}\n");
    return 0;
}

static struct relation *relation_find(uint32_t oid)
{
    for (uint32_t i = relations_count; i-- > 0;)
        if (relations[i]->oid == oid) return relations[i];
    fail("relation", "not announced");
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void change(enum change_op op, const struct relation *r, const struct tuple *old_tuple,
                   const struct tuple *new_tuple)
{
    static int offset;
    struct err err = ERR_NONE;

    position.now_ns = now_ns();
    if (r->captured &&
        change_encoder_row(encoder, r, op, old_tuple, new_tuple, &position, print_record, &offset, &err) != 0)
        fail("row", err.text);
}

static void do_message(uint64_t lsn, struct slice payload)
{
    static uint64_t last_commit_lsn;
    struct pgoutput_message m;
    struct err err = ERR_NONE;

    if (pgoutput_decode(decoder, payload, &m, &err) < 0) fail("message", err.text);
    position.lsn = lsn;
    position.marker = SNAPSHOT_FALSE;
    switch (m.kind) {
    case PGOUTPUT_BEGIN:
        position.xid = m.begin.xid;
        position.time_us = m.begin.commit_time_us;
        position.last_commit_lsn = last_commit_lsn;
        break;
    case PGOUTPUT_COMMIT: last_commit_lsn = m.commit.end_lsn; break;
    case PGOUTPUT_INSERT: change(CHANGE_CREATE, relation_find(m.row.relation_oid), NULL, &m.row.new_tuple); break;
    case PGOUTPUT_UPDATE:
        change(CHANGE_UPDATE, relation_find(m.row.relation_oid), m.row.old_kind ? &m.row.old_tuple : NULL,
               &m.row.new_tuple);
        break;
    case PGOUTPUT_DELETE: change(CHANGE_DELETE, relation_find(m.row.relation_oid), &m.row.old_tuple, NULL); break;
    case PGOUTPUT_TRUNCATE:
        for (uint32_t i = 0; i < m.truncate.relations_count; i++)
            change(CHANGE_TRUNCATE, relation_find(m.truncate.relation_oids[i]), NULL, NULL);
        break;
    case PGOUTPUT_MESSAGE: {
        static int offset;
        position.now_ns = now_ns();
        if (!m.logical.transactional) position.xid = -1;
        if (change_encoder_message(encoder, &m.logical, &position, print_record, &offset, &err) != 0)
            fail("message", err.text);
        break;
    }
    case PGOUTPUT_ORIGIN:
    case PGOUTPUT_RELATION:
    case PGOUTPUT_TYPE: break;
    }
}

static void do_row(int place, const char *lsn, const struct slice *fields, uint32_t count)
{
    static struct tuple_value values[PG_COLUMNS_MAX];
    struct tuple t = {.count = count, .values = values};

    for (uint32_t i = 0; i < count; i++)
        values[i] = (struct tuple_value){.kind = fields[i].ptr ? TUPLE_TEXT : TUPLE_NULL, .text = fields[i]};
    position.marker = snapshot_marker_of(place & 1, place & 2, place & 4, place & 8);
    position.time_us = now_ns() / 1000;
    position.xid = 1;
    if (!pg_lsn_parse(slice_of(lsn), &position.lsn)) fail("row", "no LSN");
    change(CHANGE_READ, relations[relations_count - 1], NULL, &t);
}

static void do_line(char *line)
{
    static struct slice fields[FIELDS_MAX];
    char *words[FIELDS_MAX], *save = NULL;
    uint32_t count = 0;
    struct err err = ERR_NONE;

    for (char *w = strtok_r(line, " \n", &save); w && count < FIELDS_MAX; w = strtok_r(NULL, " \n", &save))
        words[count++] = w;
    if (!count) return;
    const char *verb = words[0];
    if (strcmp(verb, "sql") == 0) {
        printf("%s\n%s\n%s\n%s\n", relation_tables_sql, relation_columns_sql, relation_types_sql, PG_SESSION_OPTIONS);
    } else if (strcmp(verb, "config") == 0 && pairs_count < PAIRS_MAX) {
        pairs[pairs_count++] = (struct cdc_pair){slice_strdup(unhex(words[1])), slice_strdup(unhex(words[2]))};
    } else if (strcmp(verb, "start") == 0) {
        if (connector_config_parse(pairs, pairs_count, NULL, &config, &err) < 0) fail("config", err.text);
        encoder = change_encoder_new(config, "00000000-0000-7000-8000-000000000000");
        decoder = pgoutput_decoder_new();
    } else if (strcmp(verb, "tables") == 0) {
        AUTO_FREE char *schema = slice_strdup(unhex(words[2])), *table = slice_strdup(unhex(words[3]));
        printf("%s\n", connector_config_captures(config, schema, table) ? "captured" : "skipped");
    } else if (strcmp(verb, "relation") == 0) {
        AUTO_FREE char *schema = slice_strdup(unhex(words[2])), *table = slice_strdup(unhex(words[3]));
        relation_builder_free(builder);
        builder = relation_builder_new_snapshot((uint32_t)strtoul(words[1], NULL, 10), schema, table, words[4][0]);
    } else if (strcmp(verb, "stream") == 0) {
        struct pgoutput_message m;
        relation_builder_free(builder);
        if (pgoutput_decode(decoder, unhex(words[1]), &m, &err) < 0 || m.kind != PGOUTPUT_RELATION)
            fail("stream", err.text);
        builder = relation_builder_new_stream(&m.relation);
        AUTO_FREE char *oids = relation_builder_type_oids(builder);
        printf("%s\n", oids);
    } else if (strcmp(verb, "column") == 0 || strcmp(verb, "type") == 0) {
        for (uint32_t i = 1; i < count; i++) fields[i - 1] = unhex(words[i]);
        if ((*verb == 'c' ? relation_builder_add_column(builder, fields, &err)
                          : relation_builder_add_type(builder, fields, &err)) < 0)
            fail(verb, err.text);
    } else if (strcmp(verb, "build") == 0) {
        if (relations_count == RELATIONS_MAX ||
            relation_build(builder, config, &relations[relations_count++], &err) < 0)
            fail("build", err.text);
        AUTO_FREE char *sql = relation_select_sql(relations[relations_count - 1], true);
        printf("%s\n", sql);
    } else if (strcmp(verb, "row") == 0) {
        for (uint32_t i = 3; i < count; i++) fields[i - 3] = unhex(words[i]);
        do_row(atoi(words[1]), words[2], fields, count - 3);
    } else if (strcmp(verb, "message") == 0) {
        uint64_t lsn = 0;
        if (!pg_lsn_parse(slice_of(words[1]), &lsn)) fail("message", "no LSN");
        do_message(lsn, unhex(words[2]));
    } else {
        fail("input", "unknown verb");
    }
    fflush(stdout);
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;

    while (getline(&line, &size, stdin) > 0) do_line(line);
    free(line);
    for (uint32_t i = 0; i < relations_count; i++) relation_free(relations[i]);
    relation_builder_free(builder);
    pgoutput_decoder_free(decoder);
    change_encoder_free(encoder);
    connector_config_free(config);
    for (uint32_t i = 0; i < pairs_count; i++) {
        free((char *)(uintptr_t)pairs[i].name);
        free((char *)(uintptr_t)pairs[i].value);
    }
    return 0;
}
