/* base/err.h: an error that a person must act on: a code of the caller's domain and a text made where the cause is known. */
#ifndef OTTLA_ERR_H
#define OTTLA_ERR_H

#include "base/base.h"

struct err {
    int code; /* 0: no error; else a Kafka error code, an HTTP status or -errno, as the function that sets it says */
    bool retriable;
    char text[500];
};

#define ERR_NONE ((struct err){0})

/* Sets code and text, cut to what fits; err may be NULL. Returns code, for `return err_set(...)`. */
int err_set(struct err *err, int code, const char *format, ...) PRINTF_LIKE(3, 4);
/* Puts "context: " before the text that is there. */
void err_prefix(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
