/* broker/config/config.c: the broker's options: from file and overrides, checked, with dynamic values applied, shared
 * by reference. Threads: built by one, then immutable. */
#include "broker/config/config.h"

#include "base/log.h"
#include "base/properties.h"
#include "broker/net/connection_limits.h"

#include <errno.h>
#include <stdio.h>

struct broker_config *broker_config_new(void)
{
    struct broker_config *c = xcalloc(1, sizeof *c);
    option_defaults(broker_options, broker_options_count, c);
    return c;
}

struct broker_config *broker_config_copy(const struct broker_config *c)
{
    struct broker_config *copy = xcalloc(1, sizeof *copy);
    option_copy(broker_options, broker_options_count, copy, c);
    copy->given = config_list_copy(&c->given);
    return copy;
}

void broker_config_free(struct broker_config *c)
{
    if (!c) return;
    options_done(broker_options, broker_options_count, c);
    config_list_done(&c->given);
    free(c);
}

bool option_gzip_level_check(const struct option *row, const char *text, struct err *err)
{
    char *end;
    long level = strtol(text, &end, 10);

    if (strcmp(row->name, "compression.gzip.level") != 0 || *end || level == -1 || (level >= 1 && level <= 9))
        return true;
    err_set(err, -EINVAL, "Invalid value %s for configuration %s: Value must be between 1 and 9 or equal to -1", text,
            row->name);
    return false;
}

bool broker_option_check(const struct option *row, const char *text, struct err *err)
{
    if (!option_gzip_level_check(row, text, err) || !option_check(row, text, err)) return false;
    if (strcmp(row->name, "max.connections.per.ip.overrides") == 0) return connection_overrides_check(text, err) == 0;
    if (strcmp(row->name, "authorizer.class.name") == 0 && *text && !strstr(text, "StandardAuthorizer")) {
        err_set(err, -EINVAL, "%s=%s: only org.apache.kafka.metadata.authorizer.StandardAuthorizer is there", row->name,
                text);
        return false;
    }
    return true;
}

int broker_config_set(struct broker_config *c, const char *name, const char *value, struct err *err)
{
    if (strcmp(name, "broker.id") == 0) name = "node.id"; /* its name before KRaft */
    const struct option *row = option_find(broker_options, broker_options_count, name);

    if (!row) return err_set(err, -EINVAL, "unknown option %s (`ottla --list-options` shows all)", name);
    if (!broker_option_check(row, value, err) || !option_set(row, c, value, err)) return -EINVAL;
    config_list_set(&c->given, name, value);
    return 0;
}

static int set_line(void *arg, const char *key, const char *value, int line)
{
    struct {
        struct broker_config *config;
        struct err *err;
    } *target = arg;
    int r = broker_config_set(target->config, key, value, target->err);
    if (r < 0) err_prefix(target->err, "line %d", line);
    return r;
}

int broker_config_read(struct broker_config *c, const char *path, struct err *err)
{
    struct {
        struct broker_config *config;
        struct err *err;
    } target = {c, err};
    return properties_read(path, set_line, &target, err);
}

void broker_config_report(const struct broker_config *c)
{
    for (uint32_t i = 0; i < c->given.count; i++) {
        const struct option *row = option_find(broker_options, broker_options_count, c->given.entries[i].name);
        if (row->flags & OPTION_UNUSED) log_warn("config", "option has no effect here name=%s", row->name);
    }
}

struct broker_config_ref {
    atomic_uint refs;
    struct broker_config *config;
};

struct broker_config_ref *broker_config_ref_new(struct broker_config *c)
{
    struct broker_config_ref *r = xcalloc(1, sizeof *r);
    r->config = c;
    atomic_init(&r->refs, 1);
    return r;
}

struct broker_config_ref *broker_config_ref_get(struct broker_config_ref *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void broker_config_ref_put(struct broker_config_ref *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) > 1) return;
    broker_config_free(r->config);
    free(r);
}

const struct broker_config *broker_config_ref_config(const struct broker_config_ref *r)
{
    return r->config;
}

static void apply_dynamic(struct broker_config *c, const struct config_list *l)
{
    for (uint32_t i = 0; l && i < l->count; i++) {
        const struct option *row = option_find(broker_options, broker_options_count, l->entries[i].name);
        struct err err;
        if (row && !option_set(row, c, l->entries[i].value, &err))
            log_warn("config", "dynamic value is not taken: %s", err.text);
    }
}

struct broker_config *broker_config_with(const struct broker_config *file, const struct config_list *all,
                                         const struct config_list *own)
{
    struct broker_config *c = broker_config_copy(file);
    apply_dynamic(c, all);
    apply_dynamic(c, own);
    return c;
}
