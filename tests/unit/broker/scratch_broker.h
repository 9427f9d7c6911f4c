/* tests/unit/broker/scratch_broker.h: a broker in this process, on a free port and in a folder of its own. */
#ifndef OTTLA_SCRATCH_BROKER_H
#define OTTLA_SCRATCH_BROKER_H

#include "base/log.h"
#include "broker/broker.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

struct scratch_broker {
    char path[64];
    struct broker *broker;
};

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static inline struct broker_config *scratch_config(const struct scratch_broker *s)
{
    struct broker_config *c = broker_config_new();
    cr_assert_eq(broker_config_set(c, "listeners", "PLAINTEXT://127.0.0.1:0", NULL), 0);
    cr_assert_eq(broker_config_set(c, "log.dirs", s->path, NULL), 0);
    return c;
}

static inline void scratch_broker_open(struct scratch_broker *s)
{
    struct err err = ERR_NONE;
    cr_assert_eq(broker_open(scratch_config(s), &s->broker, &err), 0, "%s", err.text);
    cr_assert_eq(broker_serve(s->broker, &err), 0, "%s", err.text);
}

static inline void scratch_broker_new(struct scratch_broker *s)
{
    log_level_max = LOG_ERROR;
    snprintf(s->path, sizeof s->path, "/tmp/ottla-broker-XXXXXX");
    cr_assert(mkdtemp(s->path));
    scratch_broker_open(s);
}

static inline void scratch_broker_close(struct scratch_broker *s)
{
    broker_stop(s->broker);
    broker_close(s->broker);
}

static inline void scratch_broker_done(struct scratch_broker *s)
{
    scratch_broker_close(s);
    nftw(s->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
