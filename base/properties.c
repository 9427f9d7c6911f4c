#include "base/properties.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

struct parser {
    const uint8_t *p, *end;
    int line;
    struct err *err;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool at_line_end(const struct parser *r)
{
    return r->p == r->end || *r->p == '\n' || *r->p == '\r';
}

/* \r\n counts once. */
static void skip_line_end(struct parser *r)
{
    if (r->p == r->end) return;
    if (*r->p == '\r' && r->p + 1 < r->end && r->p[1] == '\n') r->p++;
    r->p++, r->line++;
}

static void skip_blanks(struct parser *r)
{
    while (r->p < r->end && is_blank(*r->p)) r->p++;
}

static bool read_hex4(struct parser *r, uint32_t *ret_code)
{
    uint32_t code = 0;
    if (r->end - r->p < 4) return false;
    for (int i = 0; i < 4; i++, r->p++) {
        uint8_t c = *r->p | 0x20;
        if (*r->p >= '0' && *r->p <= '9') code = code << 4 | (*r->p - '0');
        else if (c >= 'a' && c <= 'f') code = code << 4 | (c - 'a' + 10);
        else return false;
    }
    *ret_code = code;
    return true;
}

static int utf8_write(char *to, uint32_t code)
{
    if (code < 0x80) return to[0] = (char)code, 1;
    if (code < 0x800) return to[0] = (char)(0xc0 | code >> 6), to[1] = (char)(0x80 | (code & 0x3f)), 2;
    if (code < 0x10000)
        return to[0] = (char)(0xe0 | code >> 12), to[1] = (char)(0x80 | (code >> 6 & 0x3f)),
               to[2] = (char)(0x80 | (code & 0x3f)), 3;
    to[0] = (char)(0xf0 | code >> 18), to[1] = (char)(0x80 | (code >> 12 & 0x3f));
    to[2] = (char)(0x80 | (code >> 6 & 0x3f)), to[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* The code after "\u", joined with the low surrogate that follows a high one. */
static bool read_unicode(struct parser *r, uint32_t *ret_code)
{
    uint32_t code, low;
    if (!read_hex4(r, &code)) return false;
    if (code >= 0xd800 && code < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u') {
        const uint8_t *before = r->p;
        r->p += 2;
        if (!read_hex4(r, &low)) return false;
        if (low >= 0xdc00 && low < 0xe000) code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        else r->p = before;
    }
    *ret_code = code;
    return true;
}

/* A key (ends at a separator) or a value (ends with the line), unescaped into `to`, which has room for the whole text.
 * */
static int read_word(struct parser *r, bool is_key, char *to)
{
    int line = r->line;
    while (!at_line_end(r)) {
        uint8_t c = *r->p;
        uint32_t code;

        if (is_key && (is_blank(c) || c == '=' || c == ':')) break;
        if (c == '\0') return err_set(r->err, -EINVAL, "line %d: a NUL byte", line);
        r->p++;
        if (c != '\\') {
            *to++ = (char)c;
            continue;
        }
        if (at_line_end(r)) { /* the line goes on */
            skip_line_end(r);
            skip_blanks(r);
            continue;
        }
        c = *r->p++;
        switch (c) {
        case 't': *to++ = '\t'; break;
        case 'n': *to++ = '\n'; break;
        case 'r': *to++ = '\r'; break;
        case 'f': *to++ = '\f'; break;
        case 'u':
            if (!read_unicode(r, &code) || code == 0)
                return err_set(r->err, -EINVAL, "line %d: malformed \\u escape", line);
            to += utf8_write(to, code);
            break;
        default: *to++ = (char)c;
        }
    }
    *to = '\0';
    return 0;
}

int properties_parse(struct slice text, int (*each)(void *arg, const char *key, const char *value, int line), void *arg,
                     struct err *err)
{
    struct parser r = {.p = text.ptr, .end = text.ptr + text.len, .line = 1, .err = err};
    AUTO_FREE char *key = xmalloc((size_t)text.len + 1);
    AUTO_FREE char *value = xmalloc((size_t)text.len + 1);

    while (r.p < r.end) {
        skip_blanks(&r);
        if (at_line_end(&r)) {
            skip_line_end(&r);
            continue;
        }
        if (*r.p == '#' || *r.p == '!') {
            while (!at_line_end(&r)) r.p++;
            continue;
        }
        int line = r.line;
        int result = read_word(&r, true, key);
        if (result < 0) return result;
        skip_blanks(&r);
        if (r.p < r.end && (*r.p == '=' || *r.p == ':')) {
            r.p++;
            skip_blanks(&r);
        }
        result = read_word(&r, false, value);
        if (result < 0) return result;
        result = each(arg, key, value, line);
        if (result < 0) return result;
    }
    return 0;
}

int properties_read(const char *path, int (*each)(void *arg, const char *key, const char *value, int line), void *arg,
                    struct err *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) return err_set(err, -errno, "%s: %m", path);
    if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
        return err_set(err, -EINVAL, "%s: not a file", path);

    /* Read to its end rather than to st_size: a pipe (<(...) of a shell) has none. */
    AUTO_FREE uint8_t *bytes = xmalloc(PROPERTIES_FILE_BYTES_MAX + 1);
    size_t size = 0;
    for (;;) {
        ssize_t n = read(fd, bytes + size, PROPERTIES_FILE_BYTES_MAX + 1 - size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set(err, -errno, "%s: %m", path);
        if (n == 0) break;
        size += (size_t)n;
        if (size > PROPERTIES_FILE_BYTES_MAX)
            return err_set(err, -EFBIG, "%s: longer than %u bytes", path, PROPERTIES_FILE_BYTES_MAX);
    }
    int r = properties_parse(slice_make(bytes, (uint32_t)size), each, arg, err);
    if (r < 0) err_prefix(err, "%s", path);
    return r;
}
