#include "base/uuid.h"

#include <sys/random.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct uuid uuid_random(void)
{
    struct uuid u;
    do {
        if (getrandom(u.bytes, sizeof u.bytes, 0) != (ssize_t)sizeof u.bytes) abort();
        u.bytes[6] = (uint8_t)((u.bytes[6] & 0x0f) | 0x40);
        u.bytes[8] = (uint8_t)((u.bytes[8] & 0x3f) | 0x80);
    } while ((u.bytes[0] >> 2) == 62);
    return u;
}

void uuid_format(struct uuid u, char ret_text[UUID_TEXT_SIZE])
{
    char *out = ret_text;
    for (int i = 0; i < 15; i += 3) {
        uint32_t v = (uint32_t)u.bytes[i] << 16 | (uint32_t)u.bytes[i + 1] << 8 | u.bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6) *out++ = digits[(v >> shift) & 63];
    }
    *out++ = digits[u.bytes[15] >> 2];
    *out++ = digits[(u.bytes[15] & 3) << 4];
    *out = '\0';
}

bool uuid_parse(const char *text, struct uuid *ret_uuid)
{
    struct uuid u;
    uint32_t bits = 0;
    int bits_count = 0, used = 0;

    size_t length = strlen(text);
    if (length != UUID_TEXT_SIZE - 1 && (length != UUID_TEXT_MAX || strcmp(text + UUID_TEXT_SIZE - 1, "==") != 0))
        return false;
    for (int i = 0; i < UUID_TEXT_SIZE - 1; i++) {
        const char *digit = strchr(digits, text[i]);
        if (!digit) return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        bits_count += 6;
        if (bits_count >= 8 && used < 16) {
            bits_count -= 8;
            u.bytes[used++] = (uint8_t)(bits >> bits_count);
        }
    }
    *ret_uuid = u;
    return true;
}
