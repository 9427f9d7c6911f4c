/* base/crc32c.h: CRC-32C (Castagnoli), as in record batches of magic 2 and in producer snapshots. */
#ifndef OTTLA_CRC32C_H
#define OTTLA_CRC32C_H

#include "base/base.h"

/* Continues crc (0 to begin) over size bytes: crc32c(crc32c(0, a), b) is the checksum of a followed by b. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

/* The portable form, for machines without the instruction and as the other one's judge in tests. */
uint32_t crc32c_table(uint32_t crc, const void *bytes, size_t size);

#endif
