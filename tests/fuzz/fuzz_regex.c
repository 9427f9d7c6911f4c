/* Any pattern against any names: it compiles or says why, matching takes steps in proportion to its size times the
 * name's length, and a pattern of plain letters matches itself. The pattern ends at the first NUL, names are what
 * lies between the following ones. An input that takes long is found by libFuzzer's -timeout. */
#include "broker/group/regex.h"
#include "protocol/kafka_error.h"

#include <ctype.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_plain(struct slice pattern)
{
    for (uint32_t i = 0; i < pattern.len; i++)
        if (!isalnum(pattern.ptr[i]) && pattern.ptr[i] != '_') return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_NONE;
    const uint8_t *end = data + size, *p = memchr(data, 0, size);

    if (size == 0 || size > UINT32_MAX / 2) return 0;
    if (!p) p = end;
    struct slice pattern = slice_make(data, (uint32_t)(p - data));
    struct regex *r = regex_compile(pattern, &err);
    assert(r ? err.code == 0 : err.code == KAFKA_INVALID_REGULAR_EXPRESSION && err.text[0]);
    assert(r || !is_plain(pattern) || pattern.len >= REGEX_STATES_MAX);
    if (r && is_plain(pattern)) assert(regex_matches(r, pattern));
    while (r && p < end) {
        const uint8_t *name = ++p;
        p = p < end ? memchr(p, 0, (size_t)(end - p)) : end;
        if (!p) p = end;
        struct slice subject = slice_make(name, (uint32_t)(p - name));
        bool matches = regex_matches(r, subject);
        assert(regex_matches(r, subject) == matches);
    }
    regex_free(r);
    return 0;
}
