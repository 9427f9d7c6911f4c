#include "base/murmur2.h"

int32_t murmur2(struct slice key)
{
    const uint32_t m = 0x5bd1e995;
    const uint8_t *p = key.ptr;
    uint32_t left = key.len;
    uint32_t h = 0x9747b28cu ^ key.len;

    for (; left >= 4; p += 4, left -= 4) {
        uint32_t k = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
    }
    switch (left) {
    case 3: h ^= (uint32_t)p[2] << 16; /* fall through */
    case 2: h ^= (uint32_t)p[1] << 8;  /* fall through */
    case 1: h ^= p[0], h *= m;
    }
    h ^= h >> 13;
    h *= m;
    h ^= h >> 15;
    return (int32_t)h;
}
