/* broker/group/consumer_regex.c: see consumer_regex.h. */
#include "broker/group/consumer_regex.h"

#include "base/log.h"
#include "broker/group/consumer_members.h"
#include "broker/group/regex.h"

/* Regular expressions are not resolved again before, however often topics are made. */
#define REGEX_REFRESH_MS_MIN 1000

struct matches {
    const struct consumer_heartbeat *in;
    struct regex *compiled;
    struct slice *topics;
    int32_t count, size;
};

static void match(void *arg, const struct group_topic *t)
{
    struct matches *m = arg;
    if (!regex_matches(m->compiled, t->name) || (m->in->may_see && !m->in->may_see(m->in->arg, t->name))) return;
    if (m->count == m->size) {
        m->size = m->size ? m->size * 2 : 16;
        m->topics = xrealloc(m->topics, (size_t)m->size * sizeof m->topics[0]);
    }
    m->topics[m->count++] = t->name;
}

/* Adds the expression's record to l if its topics are others than before. ret_topics: for the caller to free after the
 * commit. False: it does not compile. */
static bool regex_resolve(struct consumer_group *c, const struct consumer_heartbeat *in, struct slice text,
                          struct consumer_changes *l, struct slice **ret_topics, struct err *err)
{
    struct group_host *h = c->group.groups->host;
    struct matches m = {.in = in, .compiled = regex_compile(text, err)};
    *ret_topics = NULL;
    if (!m.compiled) return false;
    int64_t version = h->topics_each(h, match, &m);
    regex_free(m.compiled);
    const struct consumer_regex *r = consumer_regex_find(c, text);
    bool same = r && r->topics_count == m.count;
    for (int32_t i = 0; same && i < m.count; i++) same = slice_eq(r->topics[i], m.topics[i]);
    if (!same)
        consumer_changes_add(l, &(struct consumer_change){.type = CONSUMER_CHANGE_REGEX,
                                                          .key = text,
                                                          .topics = m.topics,
                                                          .topics_count = m.count,
                                                          .version = version,
                                                          .time_ms = clock_wall_ms(c->group.groups->host->clock)});
    *ret_topics = m.topics;
    return true;
}

static bool regexes_are_old(const struct consumer_group *c)
{
    if (!c->regexes) return false;
    int64_t age_ms =
        c->regex_time_ms == INT64_MIN ? INT64_MAX : clock_wall_ms(c->group.groups->host->clock) - c->regex_time_ms;
    return (c->topics_added && age_ms >= REGEX_REFRESH_MS_MIN) ||
           age_ms >= c->group.groups->config.consumer_regex_refresh_ms;
}

void consumer_names_done(struct consumer_names *n)
{
    for (uint32_t i = 0; i < n->count; i++) free(n->items[i]);
    free(n->items);
}

bool consumer_regexes_resolve(struct consumer_group *c, const struct consumer_heartbeat *in, struct slice fresh,
                              struct slice gone, struct consumer_changes *l, struct consumer_names *n, struct err *err)
{
    bool all = regexes_are_old(c);
    n->items = xcalloc((size_t)HASH_COUNT(c->regexes) + 1, sizeof n->items[0]);
    if (fresh.len && !consumer_regex_find(c, fresh) && !regex_resolve(c, in, fresh, l, &n->items[n->count++], err))
        return false;
    for (const struct consumer_regex *r = c->regexes; all && r; r = r->hh.next)
        if (!slice_eq(gone, consumer_regex_text(r)) &&
            !regex_resolve(c, in, consumer_regex_text(r), l, &n->items[n->count++], NULL))
            log_warn("group", "a stored expression does not compile group=%s regex=%s", c->group.id, r->text);
    if (all || n->count) {
        c->regex_time_ms = clock_wall_ms(c->group.groups->host->clock);
        c->topics_added = c->topics_added && !all;
    }
    return true;
}
