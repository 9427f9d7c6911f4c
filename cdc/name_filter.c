/* cdc/name_filter.c: see name_filter.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "cdc/name_filter.h"

#include <errno.h>
#include <pcre2.h>

/* A list longer than this is a mistake, not a choice of tables. */
#define EXPRESSIONS_MAX 10000

struct name_filter {
    uint32_t count;
    pcre2_code *codes[];
};

static struct slice trim(struct slice s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t' || s.ptr[0] == '\n' || s.ptr[0] == '\r')) s.ptr++, s.len--;
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t' || s.ptr[s.len - 1] == '\n' ||
                     s.ptr[s.len - 1] == '\r'))
        s.len--;
    return s;
}

/* Next element up to a separator that no backslash precedes; trimmed. */
static bool next_element(const char **position, char separator, struct slice *ret)
{
    const char *p = *position;
    if (!*p) return false;
    const char *start = p;
    while (*p && *p != separator) p += p[0] == '\\' && p[1] ? 2 : 1;
    *ret = trim(slice_make(start, (uint32_t)(p - start)));
    *position = *p ? p + 1 : p;
    return true;
}

static pcre2_code *compile(struct slice expression, struct err *err)
{
    int code;
    PCRE2_SIZE at;
    /* `\,` is our list's escape; PCRE2 reads it as a comma too, so nothing is to be unescaped. */
    pcre2_code *c = pcre2_compile(expression.ptr, expression.len,
                                  PCRE2_CASELESS | PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED, &code, &at, NULL);
    if (c) return c;
    char reason[120];
    pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof(reason));
    err_set(err, -EINVAL, "\"" SLICE_FMT "\" is no regular expression: %s at position %zu", SLICE_ARG(expression),
            reason, at);
    return NULL;
}

int name_filter_new(const char *list, struct name_filter **ret_filter, struct err *err)
{
    struct slice element;
    uint32_t count = 0;

    for (const char *p = list; p && next_element(&p, ',', &element);) count += element.len > 0;
    if (count == 0) {
        *ret_filter = NULL;
        return 0;
    }
    if (count > EXPRESSIONS_MAX) return err_set(err, -EINVAL, "a list of more than %d expressions", EXPRESSIONS_MAX);
    struct name_filter *f = xcalloc(1, sizeof(*f) + count * sizeof(f->codes[0]));
    for (const char *p = list; next_element(&p, ',', &element);) {
        if (!element.len) continue;
        pcre2_code *code = compile(element, err);
        if (!code) {
            name_filter_free(f);
            return -EINVAL;
        }
        f->codes[f->count++] = code;
    }
    *ret_filter = f;
    return 0;
}

void name_filter_free(struct name_filter *f)
{
    if (!f) return;
    for (uint32_t i = 0; i < f->count; i++) pcre2_code_free(f->codes[i]);
    free(f);
}

int name_filter_index(const struct name_filter *f, const char *name)
{
    for (uint32_t i = 0; i < f->count; i++) {
        pcre2_match_data *data = pcre2_match_data_create_from_pattern(f->codes[i], NULL);
        if (!data) return -1;
        int r = pcre2_match(f->codes[i], (PCRE2_SPTR)name, strlen(name), 0, 0, data, NULL);
        pcre2_match_data_free(data);
        if (r >= 0) return (int)i;
    }
    return -1;
}

bool name_filter_matches(const struct name_filter *f, const char *name)
{
    return name_filter_index(f, name) >= 0;
}

int key_columns_rules_parse(const char *text, struct key_columns_rule **ret_rules, uint32_t *ret_count, struct err *err)
{
    struct key_columns_rule *rules = NULL;
    uint32_t count = 0;
    struct slice part;

    for (const char *p = text; p && next_element(&p, ';', &part);) {
        if (!part.len) continue;
        uint32_t colon = part.len;
        while (colon > 0 && part.ptr[colon - 1] != ':') colon--;
        AUTO_FREE char *table = colon ? slice_strdup(trim(slice_make(part.ptr, colon - 1))) : NULL;
        AUTO_FREE char *columns = slice_strdup(slice_make(part.ptr + colon, part.len - colon));
        rules = xrealloc(rules, (count + 1) * sizeof(*rules));
        struct key_columns_rule *rule = &rules[count++];
        *rule = (struct key_columns_rule){0};

        struct slice column;
        for (const char *q = columns; colon && next_element(&q, ',', &column);) {
            if (!column.len) continue;
            rule->columns = xrealloc(rule->columns, (rule->columns_count + 1) * sizeof(*rule->columns));
            rule->columns[rule->columns_count++] = slice_strdup(column);
        }
        int r = !table || !*table || !rule->columns_count
                    ? err_set(err, -EINVAL, "\"" SLICE_FMT "\" is not of the form table:column,column", SLICE_ARG(part))
                    : name_filter_new(table, &rule->table, err);
        if (r < 0) {
            key_columns_rules_free(rules, count);
            return r;
        }
    }
    *ret_rules = rules;
    *ret_count = count;
    return 0;
}

void key_columns_rules_free(struct key_columns_rule *rules, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        name_filter_free(rules[i].table);
        for (uint32_t k = 0; k < rules[i].columns_count; k++) free(rules[i].columns[k]);
        free(rules[i].columns);
    }
    free(rules);
}
