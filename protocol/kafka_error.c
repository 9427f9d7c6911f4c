/* protocol/kafka_error.c: see kafka_error.h: the rows as a table, found by number. */
#include "protocol/kafka_error.h"

#include <errno.h>

/* The numbers are dense from -1, which the table of rows relies on; it is checked when it is read. */
static const struct error_row {
    int number;
    bool retriable;
    const char *name, *text;
} rows[] = {
#define X(name, number, retriable, text) {number, retriable, #name, text},
    KAFKA_ERROR_TABLE(X)
#undef X
};

static const struct error_row *row_find(int code)
{
    if (code < -1 || code >= (int)countof(rows) - 1) return NULL;
    assert(rows[code + 1].number == code);
    return &rows[code + 1];
}

const char *kafka_error_name(int code)
{
    const struct error_row *row = row_find(code);
    return row ? row->name : "UNKNOWN";
}

const char *kafka_error_text(int code)
{
    const struct error_row *row = row_find(code);
    return row ? row->text : "the error code is not known";
}

bool kafka_error_retriable(int code)
{
    const struct error_row *row = row_find(code);
    return row && row->retriable;
}
