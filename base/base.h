/* base/base.h: the few macros that every room uses. */
#ifndef OTTLA_BASE_H
#define OTTLA_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define WARN_UNUSED       __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define NORETURN          __attribute__((noreturn))
#define UNUSED            __attribute__((unused))

#define countof(array) (sizeof(array) / sizeof((array)[0]))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Local resources that are released when their variable goes out of scope. */
static inline void auto_fd_done(int *fd)
{
    if (*fd >= 0) close(*fd);
}
static inline void auto_free_done(void *p)
{
    free(*(void **)p);
}
#define AUTO_FD   __attribute__((cleanup(auto_fd_done)))
#define AUTO_FREE __attribute__((cleanup(auto_free_done)))

/* Big-endian loads and stores: the byte order of the Kafka protocol and of its files. */
static inline uint16_t be16_load(const void *p)
{
    uint16_t v;
    __builtin_memcpy(&v, p, 2);
    return __builtin_bswap16(v);
}
static inline uint32_t be32_load(const void *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}
static inline uint64_t be64_load(const void *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}
static inline void be16_store(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    __builtin_memcpy(p, &v, 2);
}
static inline void be32_store(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    __builtin_memcpy(p, &v, 4);
}
static inline void be64_store(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    __builtin_memcpy(p, &v, 8);
}

/* Memory for small control objects, whose size no peer chooses: never NULL, aborts with a message when there is none.
 * What a peer sizes is taken with malloc and its failure answered. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xasprintf(const char *format, ...) PRINTF_LIKE(1, 2);

bool text_ends_with(const char *text, const char *ending);

#endif
