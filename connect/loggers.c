/* connect/loggers.c: see loggers.h. log4j's seven levels become the four of base/log.h. Threads: any; the lock is a leaf. */
#include "connect/loggers.h"

#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name; /* of log4j */
    enum log_level level;
} levels[] = {{"TRACE", LOG_DEBUG}, {"DEBUG", LOG_DEBUG}, {"INFO", LOG_INFO}, {"WARN", LOG_WARN},
              {"ERROR", LOG_ERROR}, {"FATAL", LOG_ERROR}, {"OFF", LOG_ERROR}};

struct loggers {
    pthread_mutex_t lock; /* guards set */
    json_t *set;          /* name -> {"level", "last_modified"} */
};

struct loggers *loggers_new(void)
{
    struct loggers *l = xcalloc(1, sizeof *l);

    pthread_mutex_init(&l->lock, NULL);
    l->set = json_pack("{s:{s:s, s:n}}", "root", "level", "INFO", "last_modified");
    for (size_t i = 0; i < countof(levels); i++)
        if (levels[i].level == log_level_max)
            json_object_set_new(json_object_get(l->set, "root"), "level", json_string(levels[i].name));
    return l;
}

void loggers_free(struct loggers *l)
{
    if (!l) return;
    json_decref(l->set);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

json_t *loggers_json(struct loggers *l)
{
    pthread_mutex_lock(&l->lock);
    json_t *copy = json_deep_copy(l->set);
    pthread_mutex_unlock(&l->lock);
    return copy;
}

json_t *logger_json(struct loggers *l, const char *name)
{
    pthread_mutex_lock(&l->lock);
    json_t *copy = json_deep_copy(json_object_get(l->set, name));
    pthread_mutex_unlock(&l->lock);
    return copy;
}

static const char *level_find(const char *word, enum log_level *ret_level)
{
    for (size_t i = 0; i < countof(levels); i++)
        if (strcasecmp(levels[i].name, word) == 0) {
            *ret_level = levels[i].level;
            return levels[i].name;
        }
    return NULL;
}

int logger_set(struct loggers *l, const char *name, const char *word, struct err *err)
{
    enum log_level wanted, most = LOG_ERROR;
    const char *other, *level = level_find(word, &wanted);
    json_t *one;

    if (!level) return err_set(err, 404, "invalid log level '%s'.", word);
    if (strlen(name) > LOGGER_NAME_MAX) return err_set(err, 400, "The name of the logger is too long.");
    pthread_mutex_lock(&l->lock);
    if (!json_object_get(l->set, name) && json_object_size(l->set) >= LOGGERS_MAX) {
        pthread_mutex_unlock(&l->lock);
        return err_set(err, 400, "%d loggers have a level of their own already; set one of those, or root.",
                       LOGGERS_MAX);
    }
    json_object_set_new(
        l->set, name,
        json_pack("{s:s, s:I}", "level", level, "last_modified", (json_int_t)clock_wall_ms(&clock_system)));
    json_object_foreach(l->set, other, one)
    {
        level_find(json_string_value(json_object_get(one, "level")), &wanted);
        most = MAX(most, wanted);
    }
    __atomic_store_n(&log_level_max, most, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&l->lock);
    return 0;
}
