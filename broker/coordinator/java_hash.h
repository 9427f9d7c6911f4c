/* broker/coordinator/java_hash.h: Java's String.hashCode, which decides where Kafka keeps the state of a group or a
 * transactional id.
 *
 * Java hashes UTF-16 code units; our texts are UTF-8. Ill-formed bytes count as they are: any fixed choice will do.
 * Threads: any. */
#ifndef OTTLA_JAVA_HASH_H
#define OTTLA_JAVA_HASH_H

#include "base/slice.h"

static inline int32_t java_hash(struct slice text)
{
    uint32_t hash = 0;
    for (uint32_t i = 0; i < text.len;) {
        uint8_t b = text.ptr[i];
        uint32_t length = b < 0x80 ? 1 : b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : b >= 0xc0 ? 2 : 1;
        uint32_t c = length == 4 ? b & 7 : length == 3 ? b & 15 : length == 2 ? b & 31 : b;
        if (length > text.len - i) length = 1, c = b;
        for (uint32_t k = 1; k < length; k++) c = c << 6 | (text.ptr[i + k] & 63);
        if (c >= 0x10000) {
            hash = 31 * hash + (0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        hash = 31 * hash + c;
        i += length;
    }
    return (int32_t)hash;
}

#endif
