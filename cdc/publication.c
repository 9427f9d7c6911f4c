/* cdc/publication.c: the publication as publication.autocreate.mode says, and replica identities. See slot.h.
 *
 *   all_tables   made FOR ALL TABLES when it is missing; one that exists is used as it is
 *   filtered     made FOR the captured tables, and set to them at each start
 *   no_tables    made empty; somebody else adds tables
 *   disabled     must exist */
#include "cdc/slot.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

static int refuse(struct pg_error *err, const char *text)
{
    *err = (struct pg_error){0};
    snprintf(err->text, sizeof err->text, "%s", text);
    return -EREMOTEIO;
}

static void add_table(struct bytes *b, const char *schema, const char *name)
{
    AUTO_FREE char *quoted_schema = pg_quote_identifier(schema);
    AUTO_FREE char *quoted_name = pg_quote_identifier(name);

    if (b->len) bytes_append_text(b, ", ");
    bytes_append_text(b, quoted_schema);
    bytes_append_text(b, ".");
    bytes_append_text(b, quoted_name);
}

/* WITH (...) of a publication that is made now; "" when there is nothing to say: malloc'd. An explicit skipped.operations
 * also keeps those operations from being sent, as Debezium 3 does. */
static char *publication_options(struct pg_conn *c, const struct pg_connector_config *config)
{
    static const struct {
        unsigned operation;
        const char *word;
    } words[] = {{OPERATION_CREATE, "insert"},
                 {OPERATION_UPDATE, "update"},
                 {OPERATION_DELETE, "delete"},
                 {OPERATION_TRUNCATE, "truncate"}};
    char publish[64] = "";
    bool root = config->publish_via_partition_root && pg_conn_server_version(c) >= 130000;

    if (config->profile == FORMAT_3 && connector_config_get(config, "skipped.operations") && config->skipped_operations)
        for (uint32_t i = 0; i < countof(words); i++)
            if (!(config->skipped_operations & words[i].operation))
                snprintf(publish + strlen(publish), sizeof publish - strlen(publish), "%s%s", publish[0] ? ", " : "",
                         words[i].word);
    if (!publish[0]) return xstrdup(root ? " WITH (publish_via_partition_root = true)" : "");
    return xasprintf(" WITH (publish = '%s'%s)", publish, root ? ", publish_via_partition_root = true" : "");
}

/* What the publication holds now, in the form of add_table(). */
static int published_tables(struct pg_conn *c, const char *publication, struct bytes *out, struct pg_error *err)
{
    struct pg_result *result;
    const char *params[] = {publication};

    int r = pg_exec(c,
                    "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = $1 ORDER BY schemaname "
                    "COLLATE \"C\", tablename COLLATE \"C\"",
                    params, 1, 0, &result, err);
    if (r < 0) return r;
    for (int i = 0; i < pg_result_rows(result); i++)
        add_table(out, pg_result_text(result, i, 0), pg_result_text(result, i, 1));
    pg_result_free(result);
    return 0;
}

static int table_order(const void *a, const void *b)
{
    const struct pg_table *x = a, *y = b;
    int r = strcmp(x->schema, y->schema);
    return r ? r : strcmp(x->name, y->name);
}

static int filtered_ensure(struct pg_conn *c, const struct pg_connector_config *config,
                           const struct pg_table_list *tables, bool exists, bool all_tables, struct pg_error *err)
{
    struct bytes wanted = {0}, present = {0};
    char *sql = NULL;
    int r = 0;

    if (exists && all_tables)
        return refuse(err, "publication.autocreate.mode=filtered, but the publication that exists is FOR ALL TABLES: "
                           "drop it, or use all_tables");
    struct pg_table *sorted = xcalloc(tables->count + 1, sizeof *sorted);
    memcpy(sorted, tables->tables, tables->count * sizeof *sorted);
    qsort(sorted, tables->count, sizeof *sorted, table_order);
    for (uint32_t i = 0; i < tables->count; i++)
        if (sorted[i].streams) add_table(&wanted, sorted[i].schema, sorted[i].name);
    free(sorted);
    if (wanted.len == 0)
        return refuse(err, "No table filters found for filtered publication: no table of the database passes them");
    bytes_append_byte(&wanted, '\0');

    AUTO_FREE char *name = pg_quote_identifier(config->publication_name);
    if (!exists) {
        AUTO_FREE char *options = publication_options(c, config);
        sql = xasprintf("CREATE PUBLICATION %s FOR TABLE %s%s", name, (char *)wanted.ptr, options);
    } else {
        r = published_tables(c, config->publication_name, &present, err);
        bytes_append_byte(&present, '\0');
        if (r == 0 && !slice_eq(bytes_slice(&wanted), bytes_slice(&present)))
            sql = xasprintf("ALTER PUBLICATION %s SET TABLE %s", name, (char *)wanted.ptr);
    }
    if (sql) r = pg_exec(c, sql, NULL, 0, 0, NULL, err);
    free(sql);
    bytes_done(&wanted);
    bytes_done(&present);
    return r;
}

int publication_ensure(struct pg_conn *c, const struct pg_connector_config *config, const struct pg_table_list *tables,
                       struct pg_error *err)
{
    struct pg_result *result;
    const char *params[] = {config->publication_name};

    int r = pg_exec(c, "SELECT puballtables FROM pg_publication WHERE pubname = $1", params, 1, 0, &result, err);
    if (r < 0) return r;
    bool exists = pg_result_rows(result) == 1;
    bool all_tables = exists && pg_result_text(result, 0, 0)[0] == 't';
    pg_result_free(result);

    if (config->publication_mode == PUBLICATION_FILTERED)
        return filtered_ensure(c, config, tables, exists, all_tables, err);
    if (exists) return 0;
    if (config->publication_mode == PUBLICATION_DISABLED)
        return refuse(err, "Publication autocreation is disabled, please create one and restart the connector.");
    AUTO_FREE char *name = pg_quote_identifier(config->publication_name);
    AUTO_FREE char *options = publication_options(c, config);
    AUTO_FREE char *sql =
        xasprintf("CREATE PUBLICATION %s%s%s", name,
                  config->publication_mode == PUBLICATION_ALL_TABLES ? " FOR ALL TABLES" : "", options);
    return pg_exec(c, sql, NULL, 0, 0, NULL, err);
}

/* The identity asked for one table: FULL, DEFAULT, NOTHING or USING INDEX "i": malloc'd; NULL: none is. */
static char *identity_for(const char *rules, const struct pg_table *table)
{
    AUTO_FREE char *copy = xstrdup(rules);
    AUTO_FREE char *full_name = xasprintf("%s.%s", table->schema, table->name);

    for (char *save, *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        char *colon = strrchr(word, ':');
        struct name_filter *filter;
        struct err ignored;
        if (!colon) continue;
        *colon = '\0';
        if (name_filter_new(word, &filter, &ignored) < 0 || !filter) continue;
        bool matches = name_filter_matches(filter, full_name);
        name_filter_free(filter);
        if (!matches) continue;
        const char *identity = colon + 1;
        while (*identity == ' ') identity++;
        if (strncasecmp(identity, "INDEX ", 6) == 0) {
            AUTO_FREE char *index = pg_quote_identifier(identity + 6);
            return xasprintf("USING INDEX %s", index);
        }
        static const char *const words[] = {"FULL", "DEFAULT", "NOTHING"};
        for (uint32_t i = 0; i < countof(words); i++)
            if (strcasecmp(identity, words[i]) == 0) return xstrdup(words[i]);
    }
    return NULL;
}

int replica_identity_set(struct pg_conn *c, const struct pg_connector_config *config,
                         const struct pg_table_list *tables, struct pg_error *err)
{
    int r = 0;

    if (!config->replica_identity_autoset) return 0;
    for (uint32_t i = 0; i < tables->count && r == 0; i++) {
        if (!tables->tables[i].streams) continue;
        AUTO_FREE char *identity = identity_for(config->replica_identity_autoset, &tables->tables[i]);
        if (!identity) continue;
        AUTO_FREE char *schema = pg_quote_identifier(tables->tables[i].schema);
        AUTO_FREE char *name = pg_quote_identifier(tables->tables[i].name);
        AUTO_FREE char *sql = xasprintf("ALTER TABLE %s.%s REPLICA IDENTITY %s", schema, name, identity);
        r = pg_exec(c, sql, NULL, 0, 0, NULL, err);
    }
    return r;
}
