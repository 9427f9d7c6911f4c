/* tests/unit/cdc/encode_fixture.h: a configuration and a relation for tests of values and records. */
#ifndef OTTLA_TEST_ENCODE_FIXTURE_H
#define OTTLA_TEST_ENCODE_FIXTURE_H

#include "cdc/change_encoder.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* The required properties and the given ones, "name=value" each, NULL at the end. */
static inline struct pg_connector_config *test_config(const char *const *more)
{
    struct cdc_pair pairs[40] = {
        {"name", "unit"},
        {"topic.prefix", "unit"},
        {"database.hostname", "h"},
        {"database.user", "u"},
        {"database.dbname", "db"},
        {"key.converter.schemas.enable", "false"},
        {"value.converter.schemas.enable", "false"},
    };
    uint32_t count = 7;
    char *copies[33] = {0};
    struct pg_connector_config *config = NULL;
    struct err err = ERR_NONE;

    for (uint32_t i = 0; more && more[i]; i++) {
        copies[i] = xstrdup(more[i]);
        char *equals = strchr(copies[i], '=');
        *equals = '\0';
        pairs[count++] = (struct cdc_pair){copies[i], equals + 1};
    }
    cr_assert_eq(connector_config_parse(pairs, count, NULL, &config, &err), 0, "%s", err.text);
    for (uint32_t i = 0; copies[i]; i++) free(copies[i]);
    return config;
}

#endif
