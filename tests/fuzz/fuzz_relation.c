/* Any bytes as the journal's form of a relation version: refused, or read and written again to the same bytes. */
#include "cdc/relation.h"

static struct pg_connector_config *config;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct cdc_pair pairs[] = {
        {"name", "fuzz"},          {"topic.prefix", "fuzz"},    {"database.hostname", "none"},
        {"database.user", "none"}, {"database.dbname", "none"},
    };
    struct err err = ERR_NONE;
    struct relation *r;
    struct bytes again = {0};

    if (!config && connector_config_parse(pairs, countof(pairs), NULL, &config, &err) < 0) abort();
    if (size > UINT16_MAX || relation_decode(slice_make(data, (uint32_t)size), config, &r, &err) < 0) return 0;
    relation_encode(r, &again);
    struct relation *twin;
    assert(relation_decode(bytes_slice(&again), config, &twin, &err) == 0);
    assert(slice_eq(twin->json_value_head, r->json_value_head));
    relation_free(twin);
    relation_free(r);
    bytes_done(&again);
    return 0;
}
