/* cdc/name_filter.h: lists of regular expressions that choose schemas, tables, columns and message prefixes.
 *
 * As Debezium: comma separated (a comma inside an expression as `\,`), blanks around it trimmed, each must match the
 * whole name, without case. Expressions are PCRE2, whose syntax covers what Java's has in such lists. Threads: a
 * compiled list is read only; matching is safe from any thread. */
#ifndef OTTLA_CDC_NAME_FILTER_H
#define OTTLA_CDC_NAME_FILTER_H

#include "base/err.h"
#include "base/slice.h"

struct name_filter;

/* Compiles a list. NULL or blank gives *ret_filter = NULL (no filter). -EINVAL: an expression is wrong; err says where.
 */
int name_filter_new(const char *list, struct name_filter **ret_filter, struct err *err) WARN_UNUSED;
void name_filter_free(struct name_filter *f);

/* Whether any expression matches the whole name. f may not be NULL. */
bool name_filter_matches(const struct name_filter *f, const char *name);
/* Index of the first expression that matches, for order by list; -1: none. */
int name_filter_index(const struct name_filter *f, const char *name);

/* message.key.columns: `table-regex:col1,col2;...`, columns in the order they are listed. */
struct key_columns_rule {
    struct name_filter *table;
    char **columns;
    uint32_t columns_count;
};
/* -EINVAL: a rule without colon or columns, or a wrong expression. */
int key_columns_rules_parse(const char *text, struct key_columns_rule **ret_rules, uint32_t *ret_count,
                            struct err *err) WARN_UNUSED;
void key_columns_rules_free(struct key_columns_rule *rules, uint32_t count);

#endif
