/* cdc/catalog.c: see catalog.h. */
#include "cdc/catalog.h"

#include <errno.h>
#include <stdio.h>

#define FIELDS_MAX MAX(RELATION_COLUMN_FIELDS, RELATION_TYPE_FIELDS)

static int not_built(struct pg_error *err, const struct err *why)
{
    *err = (struct pg_error){0};
    snprintf(err->text, sizeof err->text, "%s", why->text);
    return -EINVAL;
}

/* Hands each row of a query to add. */
static int add_rows(struct pg_conn *c, struct relation_builder *b, const char *sql, const char *const *params,
                    int params_count, int fields,
                    int (*add)(struct relation_builder *, const struct slice *, struct err *), struct pg_error *err)
{
    struct pg_result *result;
    struct slice values[FIELDS_MAX];
    struct err why = ERR_NONE;

    int r = pg_exec(c, sql, params, params_count, 0, &result, err);
    if (r < 0) return r;
    for (int row = 0; row < pg_result_rows(result) && r == 0; row++) {
        for (int i = 0; i < fields; i++)
            values[i] = i < pg_result_columns(result) ? pg_result_value(result, row, i) : SLICE_NULL;
        if (add(b, values, &why) < 0) r = not_built(err, &why);
    }
    pg_result_free(result);
    return r;
}

int catalog_resolve(struct pg_conn *c, struct relation_builder *b, const struct pg_connector_config *config,
                    struct relation **ret_relation, struct pg_error *err)
{
    char oid[12];
    struct err why = ERR_NONE;
    AUTO_FREE char *type_oids = relation_builder_type_oids(b);
    const char *params[] = {oid, type_oids};

    snprintf(oid, sizeof oid, "%u", relation_builder_oid(b));
    int r = add_rows(c, b, relation_columns_sql, params, 1, RELATION_COLUMN_FIELDS, relation_builder_add_column, err);
    if (r == 0) r = add_rows(c, b, relation_types_sql, params, 2, RELATION_TYPE_FIELDS, relation_builder_add_type, err);
    if (r == 0 && relation_build(b, config, ret_relation, &why) < 0) r = not_built(err, &why);
    return r;
}
