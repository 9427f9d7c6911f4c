/* broker/access/quota_store.c: see quota_store.h. */
#include "broker/access/quota_store.h"

#include "broker/metadata/metadata_log.h"

#include <arpa/inet.h>
#include <math.h>

/* -- words -- */

static const char *const type_names[QUOTA_TYPES] = {
    [QUOTA_CLIENT_ID] = "client-id", [QUOTA_IP] = "ip", [QUOTA_USER] = "user"};

/* The values that a key takes: whole or not, up to which. */
static const struct {
    const char *name;
    bool of_address;  /* else of users and clients */
    double whole_max; /* 0: fractions are allowed */
} keys[QUOTA_KEYS] = {
    [QUOTA_PRODUCER_BYTE_RATE] = {"producer_byte_rate", false, (double)INT64_MAX},
    [QUOTA_CONSUMER_BYTE_RATE] = {"consumer_byte_rate", false, (double)INT64_MAX},
    [QUOTA_REQUEST_PERCENTAGE] = {"request_percentage", false, 0},
    [QUOTA_CONTROLLER_MUTATION_RATE] = {"controller_mutation_rate", false, 0},
    [QUOTA_CONNECTION_CREATION_RATE] = {"connection_creation_rate", true, INT32_MAX},
};

const char *quota_type_name(enum quota_type t)
{
    return type_names[t];
}

int quota_type_find(struct slice name)
{
    for (int t = 0; t < QUOTA_TYPES; t++)
        if (slice_eq_text(name, type_names[t])) return t;
    return -1;
}

const char *quota_key_name(enum quota_key k)
{
    return keys[k].name;
}

int quota_key_find(struct slice name)
{
    for (int k = 0; k < QUOTA_KEYS; k++)
        if (slice_eq_text(name, keys[k].name)) return k;
    return -1;
}

/* -- what may be stored -- */

/* Numbers only, in the forms that inet_aton() takes: the control thread does not wait for name servers. */
static bool is_address(struct slice s)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct in_addr four;
    struct in6_addr six;

    if (s.len >= sizeof text) return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return inet_aton(text, &four) || inet_pton(AF_INET6, text, &six) == 1;
}

enum kafka_error quota_entity_check(const struct quota_entity *e, struct err *err)
{
    int count = 0;

    for (int t = 0; t < QUOTA_TYPES; t++) {
        count += e->has[t];
        if (e->has[t] && e->name[t].ptr && e->name[t].len == 0)
            return err_set(err, KAFKA_INVALID_REQUEST, "Empty %s not supported", type_names[t]);
    }
    if (count == 0) return err_set(err, KAFKA_INVALID_REQUEST, "Invalid empty client quota entity");
    if (!e->has[QUOTA_IP]) return KAFKA_NONE;
    if (count > 1)
        return err_set(err, KAFKA_INVALID_REQUEST, "Invalid quota entity combination: ip goes with no other type");
    if (e->name[QUOTA_IP].ptr && !is_address(e->name[QUOTA_IP]))
        return err_set(err, KAFKA_INVALID_REQUEST, SLICE_FMT " is not a valid IP address",
                       SLICE_ARG(e->name[QUOTA_IP]));
    return KAFKA_NONE;
}

bool quota_key_suits(const struct quota_entity *e, int key)
{
    return key >= 0 && keys[key].of_address == e->has[QUOTA_IP];
}

enum kafka_error quota_value_check(const struct quota_entity *e, struct slice name, double value, struct err *err)
{
    int key = quota_key_find(name);

    if (!quota_key_suits(e, key))
        return err_set(err, KAFKA_INVALID_REQUEST, "Invalid configuration key " SLICE_FMT, SLICE_ARG(name));
    if (!(value > 0) || !isfinite(value))
        return err_set(err, KAFKA_INVALID_REQUEST, "Quota %s must be greater than 0", keys[key].name);
    if (keys[key].whole_max > 0 && (value >= keys[key].whole_max || value != floor(value)))
        return err_set(err, KAFKA_INVALID_REQUEST, "Configuration %s must be a whole number of at most %.0f",
                       keys[key].name, keys[key].whole_max);
    return KAFKA_NONE;
}

/* -- filters -- */

bool quota_matches(const struct quota_entity *e, const struct quota_filter *f)
{
    for (int t = 0; t < QUOTA_TYPES; t++) {
        switch (f->match[t]) {
        case QUOTA_MATCH_NONE:
            if (f->strict && e->has[t]) return false;
            break;
        case QUOTA_MATCH_EXACT:
        case QUOTA_MATCH_DEFAULT:
            if (!e->has[t] || !slice_eq(e->name[t], f->match[t] == QUOTA_MATCH_EXACT ? f->name[t] : SLICE_NULL))
                return false;
            break;
        case QUOTA_MATCH_ANY:
            if (!e->has[t]) return false;
            break;
        }
    }
    return true;
}

/* -- the set -- */

int quota_entity_compare(const struct quota_entity *a, const struct quota_entity *b)
{
    for (int t = 0; t < QUOTA_TYPES; t++) {
        int r = a->has[t] - b->has[t];
        if (r == 0 && a->has[t]) r = !!a->name[t].ptr - !!b->name[t].ptr;
        if (r == 0 && a->has[t]) r = slice_compare(a->name[t], b->name[t]);
        if (r) return r;
    }
    return 0;
}

static int compare(const struct shared_entry *e, const void *key)
{
    return quota_entity_compare(&((const struct quota *)e)->entity, key);
}

/* An empty quota of the entity. */
static struct quota *quota_new(const struct quota_entity *e)
{
    size_t size = 0;
    for (int t = 0; t < QUOTA_TYPES; t++) size += e->has[t] ? e->name[t].len : 0;

    struct quota *q = xcalloc(1, sizeof *q + size + 1);
    uint8_t *text = q->text;
    for (int t = 0; t < QUOTA_TYPES; t++) {
        q->entity.has[t] = e->has[t];
        if (!e->has[t] || !e->name[t].ptr) continue;
        memcpy(text, e->name[t].ptr, e->name[t].len);
        q->entity.name[t] = slice_make(text, e->name[t].len);
        text += e->name[t].len;
    }
    return q;
}

static bool is_empty(const struct quota *q)
{
    for (int k = 0; k < QUOTA_KEYS; k++)
        if (q->has[k]) return false;
    return true;
}

/* false: nothing was to be changed. */
static bool set(struct metadata *m, const struct quota_entity *e, enum quota_key key, const double *value)
{
    int32_t at = shared_set_find(m->quotas, compare, e);
    const struct quota *before = at < 0 ? NULL : quota_at(m->quotas, at);
    bool had = before && before->has[key];

    if (value ? had && before->value[key] == *value : !had) return false;
    struct quota *q = quota_new(e);
    if (before) {
        memcpy(q->has, before->has, sizeof q->has);
        memcpy(q->value, before->value, sizeof q->value);
    }
    q->has[key] = value != NULL;
    q->value[key] = value ? *value : 0;
    shared_set_own(&m->quotas);
    shared_set_put(m->quotas, at, &q->entry);
    if (is_empty(q)) shared_set_remove(m->quotas, at);
    return true;
}

/* -- changes and replay -- */

/* value NULL: the key is removed. entity takes what r points to. */
static void record_fill(struct client_quota_record *r, struct client_quota_record_entity_data entity[QUOTA_TYPES],
                        const struct quota_entity *e, enum quota_key key, const double *value)
{
    client_quota_record_init(r);
    r->entity = entity;
    for (int t = 0; t < QUOTA_TYPES; t++)
        if (e->has[t])
            entity[r->entity_count++] = (struct client_quota_record_entity_data){.entity_type = slice_of(type_names[t]),
                                                                                 .entity_name = e->name[t]};
    r->key = slice_of(keys[key].name);
    r->value = value ? *value : 0;
    r->remove = !value;
}

enum kafka_error quota_change_set(struct metadata_change *c, const struct quota_entity *e, enum quota_key key,
                                  const double *value, struct err *err)
{
    struct client_quota_record_entity_data entity[QUOTA_TYPES];
    struct client_quota_record r;

    if (!metadata_change_room(c)) return err_set(err, KAFKA_POLICY_VIOLATION, "the request makes too large a change");
    if (!set(metadata_change_next(c), e, key, value)) return KAFKA_NONE;
    record_fill(&r, entity, e, key, value);
    metadata_change_record(c, METADATA_CLIENT_QUOTA, &r);
    return KAFKA_NONE;
}

void quota_records(const struct shared_set *quotas, void (*put)(void *arg, const struct client_quota_record *r),
                   void *arg)
{
    struct client_quota_record_entity_data entity[QUOTA_TYPES];
    struct client_quota_record r;

    for (int32_t i = 0; quotas && i < quotas->count; i++) {
        const struct quota *q = quota_at(quotas, i);
        for (int key = 0; key < QUOTA_KEYS; key++) {
            if (!q->has[key]) continue;
            record_fill(&r, entity, &q->entity, (enum quota_key)key, &q->value[key]);
            put(arg, &r);
        }
    }
}

bool quota_replay(struct metadata *m, const struct client_quota_record *r)
{
    struct quota_entity e = {0};

    for (int32_t i = 0; i < r->entity_count; i++) {
        int t = quota_type_find(r->entity[i].entity_type);
        if (t < 0 || e.has[t]) return false;
        e.has[t] = true;
        e.name[t] = r->entity[i].entity_name;
    }
    int key = quota_key_find(r->key);
    if (r->entity_count == 0 || !quota_key_suits(&e, key)) return false;
    set(m, &e, (enum quota_key)key, r->remove ? NULL : &r->value);
    return true;
}
