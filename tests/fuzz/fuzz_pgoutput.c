/* Any sequence of replication messages: decoded, relations resolved, rows encoded to records.
 *
 * Input: each message behind its length, 16 bits big-endian. The first byte chooses the modes of conversion. */
#include "cdc/change_encoder.h"

#define RELATIONS_MAX 8

static struct pg_connector_config *configs[4];

static void configure(void)
{
    static const char *const modes[4][4] = {
        {"precise", "adaptive", "bytes", "numeric"},
        {"double", "connect", "hex", "string"},
        {"string", "isostring", "base64", "string"},
        {"precise", "nanoseconds", "base64-url-safe", "numeric"},
    };
    for (int i = 0; i < 4; i++) {
        const struct cdc_pair pairs[] = {
            {"name", "fuzz"},
            {"topic.prefix", "fuzz"},
            {"database.hostname", "none"},
            {"database.user", "none"},
            {"database.dbname", "none"},
            {"decimal.handling.mode", modes[i][0]},
            {"time.precision.mode", modes[i][1]},
            {"binary.handling.mode", modes[i][2]},
            {"interval.handling.mode", modes[i][3]},
            {"include.unknown.datatypes", i & 1 ? "true" : "false"},
            {"skipped.operations", "none"},
            {"key.converter.schemas.enable", i & 1 ? "true" : "false"},
            {"value.converter.schemas.enable", i & 2 ? "true" : "false"},
        };
        struct err err = ERR_NONE;
        if (connector_config_parse(pairs, countof(pairs), NULL, &configs[i], &err) < 0) abort();
    }
}

static int count(void *arg, const struct change_record *record)
{
    *(uint64_t *)arg += record->key.len + record->value.len;
    return 0;
}

static struct relation *build(const struct pgoutput_relation *m, const struct pg_connector_config *config)
{
    struct relation_builder *b = relation_builder_new_stream(m);
    struct relation *r = NULL;
    struct err err = ERR_NONE;

    if (relation_build(b, config, &r, &err) < 0) r = NULL;
    relation_builder_free(b);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct relation *relations[RELATIONS_MAX] = {0};
    uint64_t written = 0;

    if (!configs[0]) configure();
    if (size < 1) return 0;
    const struct pg_connector_config *config = configs[data[0] & 3];
    struct change_encoder *e = change_encoder_new(config, "run");
    struct pgoutput_decoder *d = pgoutput_decoder_new();
    const struct source_position position = {.lsn = 1, .xid = 1};
    const uint8_t *p = data + 1, *end = data + size;

    while (end - p > 2) {
        uint32_t len = MIN(be16_load(p), (uint32_t)(end - p - 2));
        struct pgoutput_message m;
        struct err err = ERR_NONE;
        int r = pgoutput_decode(d, slice_make(p + 2, len), &m, &err);
        p += 2 + len;
        if (r < 0) continue;
        if (m.kind == PGOUTPUT_RELATION) {
            struct relation **at = &relations[m.relation.oid % RELATIONS_MAX];
            relation_free(*at);
            *at = build(&m.relation, config);
        } else if (m.kind == PGOUTPUT_MESSAGE) {
            (void)!change_encoder_message(e, &m.logical, &position, count, &written, &err);
        } else if (m.kind == PGOUTPUT_INSERT || m.kind == PGOUTPUT_UPDATE || m.kind == PGOUTPUT_DELETE) {
            const struct relation *of = relations[m.row.relation_oid % RELATIONS_MAX];
            enum change_op op = m.kind == PGOUTPUT_INSERT   ? CHANGE_CREATE
                                : m.kind == PGOUTPUT_UPDATE ? CHANGE_UPDATE
                                                            : CHANGE_DELETE;
            if (of)
                (void)!change_encoder_row(e, of, op, m.row.old_kind ? &m.row.old_tuple : NULL,
                                          op == CHANGE_DELETE ? NULL : &m.row.new_tuple, &position, count, &written,
                                          &err);
        }
    }
    for (int i = 0; i < RELATIONS_MAX; i++) relation_free(relations[i]);
    pgoutput_decoder_free(d);
    change_encoder_free(e);
    return 0;
}
