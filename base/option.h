/* base/option.h: configuration rows: one row says everything about one option.
 *
 * Parsing, range checks, DescribeConfigs, AlterConfigs, `--list-options`, `--help` and the check of conf/ come from the
 * rows. Fields: every integer option (short, int, long) is an int64_t, double a double, bool a bool; string, list,
 * class and password are an owned `char *` that may be NULL. An integer without default begins as OPTION_UNSET.
 * Threads: a struct of options is written by one thread, before or unlike its readers (snapshots). */
#ifndef OTTLA_OPTION_H
#define OTTLA_OPTION_H

#include "base/err.h"
#include "base/slice.h"

enum option_type {
    OPTION_BOOL,
    OPTION_INT,
    OPTION_SHORT,
    OPTION_LONG,
    OPTION_DOUBLE,
    OPTION_STRING,
    OPTION_LIST,  /* comma separated */
    OPTION_CLASS, /* a name of a Java class: kept as text */
    OPTION_PASSWORD,
};

#define OPTION_LIVE     0x1u /* may be changed while running; else only at start */
#define OPTION_UNUSED   0x2u /* a Kafka option that means nothing here: accepted, reported, has no field */
#define OPTION_HIDDEN   0x4u /* not in --help */
#define OPTION_INTERNAL 0x8u /* not in DescribeConfigs either, unless it was set */

#define OPTION_UNSET INT64_MIN /* an integer that has no default and was not set */

struct option {
    const char *name;
    enum option_type type;
    const char *unit;         /* "ms", "bytes", ...; NULL: none */
    const char *default_text; /* NULL: no default */
    double min, max;          /* of numbers, both inclusive; max < min: no bounds */
    const char *choices;      /* comma separated words that are allowed (each element, of a list); NULL: any */
    unsigned flags;
    size_t offset;   /* of the field in the struct of options */
    const char *doc; /* one or two sentences */
};

/* NULL: no such row. */
const struct option *option_find(const struct option *rows, size_t rows_count, const char *name);

/* Whether text is a value of the row. false: err says what is wrong, naming the option; err->code is -EINVAL. */
bool option_check(const struct option *row, const char *text, struct err *err);
/* Checks and stores into the row's field of target; what a string field held before is freed. */
bool option_set(const struct option *row, void *target, const char *text, struct err *err) WARN_UNUSED;
/* Sets every row with a field to its default; target is zeroed memory. */
void option_defaults(const struct option *rows, size_t rows_count, void *target);
/* Copies every field of src into dst (zeroed memory), strings duplicated. */
void option_copy(const struct option *rows, size_t rows_count, void *dst, const void *src);
/* Frees the strings. */
void options_done(const struct option *rows, size_t rows_count, void *target);
/* The field's value as text, to be freed; NULL for a NULL string or a row without field. */
char *option_text(const struct option *row, const void *target) WARN_UNUSED;

/* Element of a comma separated list, trimmed; walks: `const char *p = list; while (option_list_next(&p, &s)) ...`. */
bool option_list_next(const char **position, struct slice *ret_element);
bool option_list_has(const char *list, const char *word);

#endif
