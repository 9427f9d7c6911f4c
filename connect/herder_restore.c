/* connect/herder_restore.c: what is wanted of connectors, found again at the start in `connect-configs` and `connect-statuses`.
 *
 * The last record of a key counts. A record that cannot be read is never passed over for an older one: its connector stays, FAILED
 * with the place as its trace, until it gets another configuration or is deleted.
 * Threads: the main thread, before anything runs. */
#include "connect/herder_internal.h"

#include "base/log.h"

/* config NULL: it was deleted. unreadable (taken over) says why the stored one is not config. */
static void restore_connector(struct connector *c, json_t *config, char *unreadable)
{
    json_decref(c->config);
    c->config = json_incref(config);
    free(c->unreadable);
    c->unreadable = unreadable;
    c->generation++;
}

/* The connector stays, FAILED with what as its trace, until it gets another configuration or is deleted: an older one must
 * not run in its place. */
static void restore_unreadable(struct connector *c, char *what)
{
    json_t *name_only = json_pack("{s:s}", "name", c->name);

    restore_connector(c, name_only, what);
    json_decref(name_only);
}

static void restore_topic(struct connector *c, const struct connect_entry *e)
{
    struct written_topic *t;

    HASH_FIND_STR(c->topics, e->topic, t);
    if (t && e->discovered_ms < 0) {
        HASH_DEL(c->topics, t);
        free(t->name);
        free(t);
    } else if (!t && e->discovered_ms >= 0) {
        t = xcalloc(1, sizeof *t);
        t->name = xstrdup(e->topic);
        HASH_ADD_KEYPTR(hh, c->topics, t->name, strlen(t->name), t);
    }
}

struct restore {
    struct herder *herder;
    enum connect_topic topic;
    char *unreadable; /* the last batch that cannot be decoded, and why */
};

static void restore_record(void *arg, const struct stored_record *stored)
{
    struct restore *r = arg;
    struct connect_entry e;
    struct err cause = ERR_NONE;

    if (stored->unreadable) {
        log_error("connect",
                  "stored batch cannot be read, the changes in it are lost partition=%s offset=%lld cause=\"%s\"",
                  stored->partition, (long long)stored->offset, stored->unreadable);
        free(r->unreadable);
        r->unreadable = xasprintf("the batch at %s offset %lld cannot be read: %s", stored->partition,
                                  (long long)stored->offset, stored->unreadable);
        return;
    }
    if (r->topic == CONNECT_CONFIGS && slice_eq_text(stored->key, HERDER_SESSION_KEY)) r->herder->worker_seen = true;
    bool ok = connect_entry_parse(r->topic, stored->key, stored->value, &e, &cause);
    struct connector *c = e.name ? connector_get(r->herder, e.name) : NULL;
    if (!ok) {
        log_error("connect", "stored record cannot be read key=\"" SLICE_FMT "\" partition=%s offset=%lld cause=\"%s\"",
                  SLICE_ARG(stored->key), stored->partition, (long long)stored->offset, cause.text);
        if (e.type == ENTRY_CONNECTOR)
            restore_unreadable(c, xasprintf("the record at %s offset %lld cannot be read: %s", stored->partition,
                                            (long long)stored->offset, cause.text));
    } else if (e.type == ENTRY_CONNECTOR) {
        restore_connector(c, e.config, NULL);
        c->own = stored->own;
    } else if (e.type == ENTRY_TARGET) {
        c->target = e.target;
        c->target_stored = stored->value.ptr != NULL;
    } else if (e.type == ENTRY_TOPIC) {
        restore_topic(c, &e);
    }
    connect_entry_done(&e);
}

static int restore_from(struct herder *h, enum connect_topic topic, char **ret_unreadable, struct err *err)
{
    struct connect_store *store = h->options->store;
    struct restore r = {.herder = h, .topic = topic};

    int result = store->replay(store, topic, restore_record, &r, err);
    *ret_unreadable = r.unreadable;
    return result;
}

int herder_restore(struct herder *h, struct err *err)
{
    AUTO_FREE char *configs_unreadable = NULL;
    AUTO_FREE char *statuses_unreadable = NULL;
    struct connector *c, *next;

    int r = restore_from(h, CONNECT_CONFIGS, &configs_unreadable, err);
    if (r == 0) r = restore_from(h, CONNECT_STATUSES, &statuses_unreadable, err);
    if (r == 0) herder_worker_leave(h);
    HASH_ITER(hh, h->connectors, c, next)
    {
        /* A target state without a configuration is a creation that a crash cut off; but not when a batch is lost. */
        if (!c->config && c->target_stored && configs_unreadable) {
            log_error("connect", "connector without its configuration name=%s cause=\"%s\"", c->name,
                      configs_unreadable);
            restore_unreadable(c, xstrdup(configs_unreadable));
        }
        if (c->config) connector_offset_known(c, herder_offset_read(h, c->name, c->config));
        connector_free_if_gone(c);
    }
    return r;
}
