#include "base/option.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

/* How Kafka says it, so that people and tools find what they know. */
#define INVALID "Invalid value %s for configuration %s: "

const struct option *option_find(const struct option *rows, size_t rows_count, const char *name)
{
    for (size_t i = 0; i < rows_count; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

bool option_list_next(const char **position, struct slice *ret_element)
{
    const char *p = *position;
    if (!p || !*p) return false;

    const char *end = strchrnul(p, ',');
    *position = *end ? end + 1 : end;
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t')) end--;
    *ret_element = slice_make(p, (uint32_t)(end - p));
    return true;
}

bool option_list_has(const char *list, const char *word)
{
    struct slice element;
    for (const char *p = list; option_list_next(&p, &element);)
        if (slice_eq_text(element, word)) return true;
    return false;
}

static bool is_integer(enum option_type type)
{
    return type == OPTION_INT || type == OPTION_SHORT || type == OPTION_LONG;
}

static bool is_text(enum option_type type)
{
    return type == OPTION_STRING || type == OPTION_LIST || type == OPTION_CLASS || type == OPTION_PASSWORD;
}

static bool parse_bool(const char *text, bool *ret_value)
{
    if (strcasecmp(text, "true") == 0) return *ret_value = true, true;
    if (strcasecmp(text, "false") == 0) return *ret_value = false, true;
    return false;
}

/* The whole text, no spaces, no overflow of the row's type. */
static bool parse_integer(enum option_type type, const char *text, int64_t *ret_value)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || text[0] == ' ') return false;
    if (type == OPTION_INT && (v < INT32_MIN || v > INT32_MAX)) return false;
    if (type == OPTION_SHORT && (v < INT16_MIN || v > INT16_MAX)) return false;
    *ret_value = v;
    return true;
}

static bool parse_double(const char *text, double *ret_value)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v)) return false;
    *ret_value = v;
    return true;
}

static bool check_bounds(const struct option *row, double value, const char *text, struct err *err)
{
    if (row->max < row->min) return true;
    if (value < row->min) {
        err_set(err, -EINVAL, INVALID "Value must be at least %.15g", text, row->name, row->min);
        return false;
    }
    if (value > row->max) {
        err_set(err, -EINVAL, INVALID "Value must be no more than %.15g", text, row->name, row->max);
        return false;
    }
    return true;
}

static void refuse_choice(const struct option *row, const char *text, struct err *err)
{
    char words[256] = "";
    size_t used = 0;
    struct slice element;

    for (const char *p = row->choices; used < sizeof words && option_list_next(&p, &element);)
        used +=
            (size_t)snprintf(words + used, sizeof words - used, "%s" SLICE_FMT, used ? ", " : "", SLICE_ARG(element));
    err_set(err, -EINVAL, INVALID "String must be one of: %s", text, row->name, words);
}

static bool check_choices(const struct option *row, const char *text, struct err *err)
{
    struct slice element;

    if (!row->choices) return true;
    if (row->type != OPTION_LIST) {
        if (option_list_has(row->choices, text)) return true;
        refuse_choice(row, text, err);
        return false;
    }
    for (const char *p = text; option_list_next(&p, &element);) {
        AUTO_FREE char *word = slice_strdup(element);
        if (option_list_has(row->choices, word)) continue;
        refuse_choice(row, word, err);
        return false;
    }
    return true;
}

bool option_check(const struct option *row, const char *text, struct err *err)
{
    bool flag;
    int64_t integer;
    double number;

    switch (row->type) {
    case OPTION_BOOL:
        if (parse_bool(text, &flag)) return true;
        err_set(err, -EINVAL, INVALID "Expected value to be either true or false", text, row->name);
        return false;
    case OPTION_INT:
    case OPTION_SHORT:
    case OPTION_LONG:
        if (parse_integer(row->type, text, &integer)) return check_bounds(row, (double)integer, text, err);
        err_set(err, -EINVAL, INVALID "Not a number of type %s", text, row->name,
                row->type == OPTION_LONG  ? "LONG"
                : row->type == OPTION_INT ? "INT"
                                          : "SHORT");
        return false;
    case OPTION_DOUBLE:
        if (parse_double(text, &number)) return check_bounds(row, number, text, err);
        err_set(err, -EINVAL, INVALID "Not a number of type DOUBLE", text, row->name);
        return false;
    case OPTION_STRING:
    case OPTION_LIST:
    case OPTION_CLASS:
    case OPTION_PASSWORD: return check_choices(row, text, err);
    }
    return false;
}

bool option_set(const struct option *row, void *target, const char *text, struct err *err)
{
    void *field = (char *)target + row->offset;

    if (!option_check(row, text, err)) return false;
    if (row->flags & OPTION_UNUSED) return true;
    if (row->type == OPTION_BOOL) {
        parse_bool(text, field);
    } else if (is_integer(row->type)) {
        parse_integer(row->type, text, field);
    } else if (row->type == OPTION_DOUBLE) {
        parse_double(text, field);
    } else {
        free(*(char **)field);
        *(char **)field = xstrdup(text);
    }
    return true;
}

void option_defaults(const struct option *rows, size_t rows_count, void *target)
{
    for (size_t i = 0; i < rows_count; i++) {
        if (rows[i].flags & OPTION_UNUSED) continue;
        if (!rows[i].default_text) {
            if (is_integer(rows[i].type)) *(int64_t *)(void *)((char *)target + rows[i].offset) = OPTION_UNSET;
            continue;
        }
        bool ok = option_set(&rows[i], target, rows[i].default_text, NULL);
        assert(ok);
    }
}

void option_copy(const struct option *rows, size_t rows_count, void *dst, const void *src)
{
    for (size_t i = 0; i < rows_count; i++) {
        if (rows[i].flags & OPTION_UNUSED) continue;
        void *to = (char *)dst + rows[i].offset;
        const void *from = (const char *)src + rows[i].offset;

        if (rows[i].type == OPTION_BOOL) *(bool *)to = *(const bool *)from;
        else if (is_integer(rows[i].type)) *(int64_t *)to = *(const int64_t *)from;
        else if (rows[i].type == OPTION_DOUBLE) *(double *)to = *(const double *)from;
        else {
            const char *text = *(char *const *)from;
            *(char **)to = text ? xstrdup(text) : NULL;
        }
    }
}

void options_done(const struct option *rows, size_t rows_count, void *target)
{
    for (size_t i = 0; i < rows_count; i++) {
        if (rows[i].flags & OPTION_UNUSED || !is_text(rows[i].type)) continue;
        char **field = (char **)(void *)((char *)target + rows[i].offset);
        free(*field);
        *field = NULL;
    }
}

char *option_text(const struct option *row, const void *target)
{
    const void *field = (const char *)target + row->offset;

    if (row->flags & OPTION_UNUSED) return NULL;
    if (row->type == OPTION_BOOL) return xstrdup(*(const bool *)field ? "true" : "false");
    if (is_integer(row->type)) {
        int64_t value = *(const int64_t *)field;
        return value == OPTION_UNSET ? NULL : xasprintf("%lld", (long long)value);
    }
    if (row->type == OPTION_DOUBLE) return xasprintf("%.15g", *(const double *)field);
    const char *text = *(char *const *)field;
    return text ? xstrdup(text) : NULL;
}
