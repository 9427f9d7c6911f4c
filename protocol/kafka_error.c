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

enum kafka_error kafka_error_from_errno(int error)
{
    switch (error < 0 ? -error : error) {
    case 0: return KAFKA_NONE;
    case EFBIG: return KAFKA_RECORD_LIST_TOO_LARGE;
    case EMSGSIZE: return KAFKA_MESSAGE_TOO_LARGE;
    case EBADMSG: return KAFKA_CORRUPT_MESSAGE;
    case ERANGE: return KAFKA_OFFSET_OUT_OF_RANGE;
    case ENOENT: return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    case EEXIST: return KAFKA_TOPIC_ALREADY_EXISTS;
    case ETIMEDOUT: return KAFKA_REQUEST_TIMED_OUT;
    case EINVAL: return KAFKA_INVALID_REQUEST;
    case EIO:
    case ENOSPC:
    case EDQUOT:
    case EROFS:
    case EACCES:
    case EPERM:
    case EMFILE:
    case ENFILE:
    case ENODEV: return KAFKA_STORAGE_ERROR; /* retriable: another replica, or we after repair, may take it */
    default: return KAFKA_UNKNOWN_SERVER_ERROR;
    }
}
