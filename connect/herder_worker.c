/* connect/herder_worker.c: a Kafka Connect worker (the real program, distributed mode) whose topics have the names of ours, as its
 * examples give them: connect-configs and so on. Its connectors are its own: we neither run nor show them.
 *
 * A worker is known by its session key in config.storage.topic. Then connectors there are ours only when an ottla has
 * written them (store.h, the header); new ones are refused, as the worker would run them, too. It is told once each time
 * the program runs.
 * Threads: herder_worker_leave() the main one, at the start; else any that may block. */
#include "connect/herder_internal.h"

#include "base/log.h"

/* Lock held. */
static uint32_t own_count(const struct herder *h)
{
    uint32_t count = 0;

    for (const struct connector *c = h->connectors; c; c = c->hh.next) count += c->config != NULL;
    return count;
}

static void tell(struct herder *h, uint32_t own, uint32_t left)
{
    const char *topic = h->options->store->name(h->options->store, CONNECT_CONFIGS);

    if (own > 0)
        log_error(
            "connect",
            "a Kafka Connect worker uses the topic of ottla's own connectors and runs them, too: give one of both "
            "other topics (config.storage.topic, offset.storage.topic, status.storage.topic) topic=%s own=%u",
            topic, own);
    else
        log_info("connect",
                 "the topic is a Kafka Connect worker's: its connectors are left to it, the REST API makes none "
                 "topic=%s connectors=%u",
                 topic, left);
}

void herder_worker_leave(struct herder *h)
{
    uint32_t left = 0;

    h->looked_end = h->options->store->end(h->options->store, CONNECT_CONFIGS);
    if (!h->worker_seen) return;
    for (struct connector *c = h->connectors; c; c = c->hh.next) {
        if (!c->config || c->own) continue;
        json_decref(c->config);
        c->config = NULL;
        free(c->unreadable);
        c->unreadable = NULL;
        c->target_stored = false;
        left++;
    }
    tell(h, own_count(h), left);
}

bool herder_worker_look(struct herder *h)
{
    struct connect_store *store = h->options->store;
    int64_t end = store->end(store, CONNECT_CONFIGS);

    pthread_mutex_lock(&h->lock);
    bool seen = h->worker_seen, unchanged = h->looked_end == end;
    pthread_mutex_unlock(&h->lock);
    if (seen || unchanged) return seen;
    AUTO_FREE char *key = store->last(store, CONNECT_CONFIGS, HERDER_SESSION_KEY);
    pthread_mutex_lock(&h->lock);
    bool first = key && !h->worker_seen;
    uint32_t own = own_count(h);
    h->worker_seen |= key != NULL;
    h->looked_end = end;
    pthread_mutex_unlock(&h->lock);
    if (first) tell(h, own, 0);
    return key != NULL;
}
