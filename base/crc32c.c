#include "base/crc32c.h"

#include <pthread.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int slice = 1; slice < 8; slice++)
            table[slice][i] = (table[slice - 1][i] >> 8) ^ table[0][table[slice - 1][i] & 0xff];
}

uint32_t crc32c_table(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;

    pthread_once(&table_once, table_fill);
    crc = ~crc;
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        __builtin_memcpy(&word, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        word ^= crc;
        crc = 0;
        for (int i = 0; i < 8; i++) crc ^= table[7 - i][(word >> (8 * i)) & 0xff];
    }
    while (size--) crc = (crc >> 8) ^ table[0][(crc ^ *p++) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    uint64_t state = ~crc;

    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        __builtin_memcpy(&word, p, 8);
        state = __builtin_ia32_crc32di(state, word);
    }
    while (size--) state = __builtin_ia32_crc32qi((uint32_t)state, *p++);
    return ~(uint32_t)state;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(crc, bytes, size) : crc32c_table(crc, bytes, size);
}
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>

uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;

    crc = ~crc;
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        __builtin_memcpy(&word, p, 8);
        crc = __crc32cd(crc, word);
    }
    while (size--) crc = __crc32cb(crc, *p++);
    return ~crc;
}
#else
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size)
{
    return crc32c_table(crc, bytes, size);
}
#endif
