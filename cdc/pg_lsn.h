/* cdc/pg_lsn.h: positions in PostgreSQL's write-ahead log, as text and number (PostgreSQL documentation, "pg_lsn
 * Type"). */
#ifndef OTTLA_CDC_PG_LSN_H
#define OTTLA_CDC_PG_LSN_H

#include "base/slice.h"

#include <inttypes.h>

/* For printf: printf("slot at " PG_LSN_FMT, PG_LSN_ARG(lsn)). */
#define PG_LSN_FMT      "%" PRIX32 "/%08" PRIX32
#define PG_LSN_ARG(lsn) (uint32_t)((lsn) >> 32), (uint32_t)(lsn)

#define PG_LSN_TEXT_SIZE 18 /* "FFFFFFFF/FFFFFFFF" and its NUL */

/* Reads "16/B374D848". false: it is no position; *ret_lsn is untouched. */
static inline bool pg_lsn_parse(struct slice text, uint64_t *ret_lsn)
{
    uint64_t halves[2] = {0, 0};
    int half = 0, digits = 0;

    for (uint32_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '/' && half == 0 && digits > 0) {
            half = 1, digits = 0;
            continue;
        }
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                           : -1;
        if (digit < 0 || ++digits > 8) return false;
        halves[half] = halves[half] << 4 | (uint64_t)digit;
    }
    if (half != 1 || digits == 0) return false;
    *ret_lsn = halves[0] << 32 | halves[1];
    return true;
}

#endif
