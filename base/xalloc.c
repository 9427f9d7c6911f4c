#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void *checked(void *p)
{
    if (!p) {
        static const char message[] = "ottla: out of memory\n";
        (void)!write(2, message, sizeof message - 1);
        abort();
    }
    return p;
}

void *xmalloc(size_t size)
{
    return checked(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
    return checked(realloc(p, size ? size : 1));
}

char *xstrdup(const char *s)
{
    return checked(strdup(s));
}

char *xasprintf(const char *format, ...)
{
    va_list args;
    char *s = NULL;

    va_start(args, format);
    int r = vasprintf(&s, format, args);
    va_end(args);
    return checked(r < 0 ? NULL : s);
}

bool text_ends_with(const char *text, const char *ending)
{
    size_t len = strlen(text), ending_len = strlen(ending);
    return len >= ending_len && !memcmp(text + len - ending_len, ending, ending_len);
}
