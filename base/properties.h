/* base/properties.h: Java's .properties files, as Kafka's configuration is written.
 *
 * Grammar (java.util.Properties.load): a line is `key`, `key=value`, `key:value` or `key value`, white space around the
 * separator is dropped; `#` and `!` begin comments; a backslash at the end of a line continues it, leading white space
 * of the next line dropped; \t \n \r \f \uXXXX and \x for any x are escapes. Text is UTF-8. */
#ifndef OTTLA_PROPERTIES_H
#define OTTLA_PROPERTIES_H

#include "base/err.h"
#include "base/slice.h"

#define PROPERTIES_FILE_BYTES_MAX (1u << 20) /* a configuration by hand is some kilobytes */

/* Calls each(arg, key, value, line) in order; line is that of the key. each returns 0, or a negative error that ends
 * the parse and is returned. Returns 0, -EINVAL (malformed \u escape, a NUL byte) with err, or what each returned. */
int properties_parse(struct slice text, int (*each)(void *arg, const char *key, const char *value, int line), void *arg,
                     struct err *err) WARN_UNUSED;
/* Reads the file and parses it; texts of err begin with "path:line: ". Returns -errno when it cannot be read. */
int properties_read(const char *path, int (*each)(void *arg, const char *key, const char *value, int line), void *arg,
                    struct err *err) WARN_UNUSED;

#endif
