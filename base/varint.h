/* base/varint.h: Kafka's variable-length integers: base 128, least group first; signed ones zigzag. KIP-482, record format v2. */
#ifndef OTTLA_VARINT_H
#define OTTLA_VARINT_H

#include "base/base.h"

#define VARINT_BYTES_MAX  5
#define VARLONG_BYTES_MAX 10

/* Reads up to end. Returns the bytes used; 0: cut short or longer than the type. */
static inline int uvarint_read(const uint8_t *p, const uint8_t *end, uint32_t *ret_value)
{
    uint32_t value = 0;
    for (int i = 0; i < VARINT_BYTES_MAX && p + i < end; i++) {
        value |= (uint32_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] < 0x80) {
            *ret_value = value;
            return i + 1;
        }
    }
    return 0;
}

static inline int uvarlong_read(const uint8_t *p, const uint8_t *end, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (int i = 0; i < VARLONG_BYTES_MAX && p + i < end; i++) {
        value |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] < 0x80) {
            *ret_value = value;
            return i + 1;
        }
    }
    return 0;
}

static inline int varint_read(const uint8_t *p, const uint8_t *end, int32_t *ret_value)
{
    uint32_t u;
    int n = uvarint_read(p, end, &u);
    if (n) *ret_value = (int32_t)((u >> 1) ^ (0u - (u & 1)));
    return n;
}

static inline int varlong_read(const uint8_t *p, const uint8_t *end, int64_t *ret_value)
{
    uint64_t u;
    int n = uvarlong_read(p, end, &u);
    if (n) *ret_value = (int64_t)((u >> 1) ^ (0u - (u & 1)));
    return n;
}

/* Writes at most 5 (10) bytes; returns how many. */
static inline int uvarlong_write(uint8_t *p, uint64_t value)
{
    int n = 0;
    while (value >= 0x80) {
        p[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    p[n++] = (uint8_t)value;
    return n;
}
static inline int uvarint_write(uint8_t *p, uint32_t value)
{
    return uvarlong_write(p, value);
}
static inline int varint_write(uint8_t *p, int32_t value)
{
    return uvarlong_write(p, ((uint32_t)value << 1) ^ (uint32_t)(value >> 31));
}
static inline int varlong_write(uint8_t *p, int64_t value)
{
    return uvarlong_write(p, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

static inline int uvarlong_size(uint64_t value)
{
    int n = 1;
    while (value >= 0x80) value >>= 7, n++;
    return n;
}
static inline int uvarint_size(uint32_t value)
{
    return uvarlong_size(value);
}
static inline int varint_size(int32_t value)
{
    return uvarlong_size(((uint32_t)value << 1) ^ (uint32_t)(value >> 31));
}
static inline int varlong_size(int64_t value)
{
    return uvarlong_size(((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

#endif
