/* broker/access/security.c: see security.h. The lists are short and changed rarely: searched and copied whole. */
#include "broker/access/security.h"

#include "broker/api.h"

const struct security *security_ref(const struct security *s)
{
    if (s) atomic_fetch_add_explicit(&((struct security *)(uintptr_t)s)->refs, 1, memory_order_relaxed);
    return s;
}

static void acl_unref(struct acl *a)
{
    if (atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) > 1) return;
    free((void *)(uintptr_t)a->fields.resource_name.ptr);
    free((void *)(uintptr_t)a->fields.principal.ptr);
    free((void *)(uintptr_t)a->fields.host.ptr);
    free(a);
}

static void scram_unref(struct scram_credential *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1) return;
    free((void *)(uintptr_t)c->fields.user.ptr);
    free((void *)(uintptr_t)c->fields.salt.ptr);
    free((void *)(uintptr_t)c->fields.stored_key.ptr);
    free((void *)(uintptr_t)c->fields.server_key.ptr);
    free(c);
}

void security_unref(const struct security *security)
{
    struct security *s = (struct security *)(uintptr_t)security;
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) return;
    for (int32_t i = 0; i < s->acls_count; i++) acl_unref(s->acls[i]);
    for (int32_t i = 0; i < s->scram_count; i++) scram_unref(s->scram[i]);
    free(s->acls);
    free(s->scram);
    free(s);
}

/* What a copy leaves out. */
struct omission {
    const struct uuid *acl;
    struct slice scram_user; /* null: none */
    int8_t scram_mechanism;
};

/* Shares what from has, with room for one more of each kind. */
static struct security *copy_without(const struct security *from, struct omission o)
{
    int32_t acls_count = from ? from->acls_count : 0, scram_count = from ? from->scram_count : 0;
    struct security *s = xcalloc(1, sizeof *s);
    atomic_init(&s->refs, 1);
    s->acls = xcalloc((size_t)acls_count + 1, sizeof s->acls[0]);
    s->scram = xcalloc((size_t)scram_count + 1, sizeof s->scram[0]);
    for (int32_t i = 0; i < acls_count; i++) {
        if (o.acl && uuid_eq(from->acls[i]->id, *o.acl)) continue;
        atomic_fetch_add_explicit(&from->acls[i]->refs, 1, memory_order_relaxed);
        s->acls[s->acls_count++] = from->acls[i];
    }
    for (int32_t i = 0; i < scram_count; i++) {
        struct scram_credential *c = from->scram[i];
        if (slice_eq(c->fields.user, o.scram_user) && c->fields.mechanism == o.scram_mechanism) continue;
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
        s->scram[s->scram_count++] = c;
    }
    return s;
}

static struct slice text_copy(struct slice s)
{
    uint8_t *copy = xmalloc(s.len + 1);
    if (s.len) memcpy(copy, s.ptr, s.len);
    copy[s.len] = 0;
    return slice_make(copy, s.len);
}

static struct acl *acl_new(struct uuid id, const struct acl_fields *fields)
{
    struct acl *a = xcalloc(1, sizeof *a);
    atomic_init(&a->refs, 1);
    a->id = id;
    a->fields = *fields;
    a->fields.resource_name = text_copy(fields->resource_name);
    a->fields.principal = text_copy(fields->principal);
    a->fields.host = text_copy(fields->host);
    return a;
}

const struct security *security_add(const struct security *from, struct uuid id, const struct acl_fields *fields)
{
    struct security *s = copy_without(from, (struct omission){.acl = &id});
    s->acls[s->acls_count++] = acl_new(id, fields);
    return s;
}

const struct security *security_remove(const struct security *from, struct uuid id)
{
    return copy_without(from, (struct omission){.acl = &id});
}

/* NULL: others hold it too, or there is none yet. */
static struct security *sole(const struct security *s)
{
    struct security *own = (struct security *)(uintptr_t)s;
    return own && atomic_load_explicit(&own->refs, memory_order_acquire) == 1 ? own : NULL;
}

void security_add_to(const struct security **security, struct uuid id, const struct acl_fields *fields)
{
    struct security *s = sole(*security);
    if (!s) {
        const struct security *next = security_add(*security, id, fields);
        security_unref(*security);
        *security = next;
        return;
    }
    s->acls = xrealloc(s->acls, ((size_t)s->acls_count + 1) * sizeof s->acls[0]);
    s->acls[s->acls_count++] = acl_new(id, fields);
}

void security_remove_from(const struct security **security, struct uuid id)
{
    struct security *s = sole(*security);
    if (!s) {
        const struct security *next = security_remove(*security, id);
        security_unref(*security);
        *security = next;
        return;
    }
    for (int32_t i = 0; i < s->acls_count; i++) {
        if (!uuid_eq(s->acls[i]->id, id)) continue;
        acl_unref(s->acls[i]);
        s->acls_count--;
        memmove(&s->acls[i], &s->acls[i + 1], (size_t)(s->acls_count - i) * sizeof s->acls[0]);
        return;
    }
}

const struct security *security_set_scram(const struct security *from, const struct scram_fields *fields)
{
    struct security *s =
        copy_without(from, (struct omission){.scram_user = fields->user, .scram_mechanism = fields->mechanism});
    struct scram_credential *c = xcalloc(1, sizeof *c);
    atomic_init(&c->refs, 1);
    c->fields = *fields;
    c->fields.user = text_copy(fields->user);
    c->fields.salt = text_copy(fields->salt);
    c->fields.stored_key = text_copy(fields->stored_key);
    c->fields.server_key = text_copy(fields->server_key);
    s->scram[s->scram_count++] = c;
    return s;
}

const struct security *security_remove_scram(const struct security *from, struct slice user, int8_t mechanism)
{
    return copy_without(from, (struct omission){.scram_user = user, .scram_mechanism = mechanism});
}

const struct scram_fields *security_scram(const struct security *s, struct slice user, int8_t mechanism)
{
    for (int32_t i = 0; s && i < s->scram_count; i++)
        if (s->scram[i]->fields.mechanism == mechanism && slice_eq(s->scram[i]->fields.user, user))
            return &s->scram[i]->fields;
    return NULL;
}

bool acl_fields_eq(const struct acl_fields *a, const struct acl_fields *b)
{
    return a->resource_type == b->resource_type && a->pattern == b->pattern && a->operation == b->operation &&
           a->permission == b->permission && slice_eq(a->resource_name, b->resource_name) &&
           slice_eq(a->principal, b->principal) && slice_eq(a->host, b->host);
}

static bool is_prefix(struct slice prefix, struct slice name)
{
    return prefix.len <= name.len && memcmp(prefix.ptr, name.ptr, prefix.len) == 0;
}

/* Whether a rule's resource covers the resource of this name. */
static bool covers(const struct acl_fields *rule, struct slice name)
{
    if (rule->pattern == ACL_PATTERN_PREFIXED) return is_prefix(rule->resource_name, name);
    return slice_eq(rule->resource_name, name) || slice_eq_text(rule->resource_name, "*");
}

bool acl_filter_matches(const struct acl_filter *filter, const struct acl_fields *rule)
{
    const struct acl_fields *f = &filter->fields;
    if (f->resource_type != ACL_ANY && f->resource_type != rule->resource_type) return false;
    if (f->operation != ACL_ANY && f->operation != rule->operation) return false;
    if (f->permission != ACL_PERMISSION_ANY && f->permission != rule->permission) return false;
    if (f->principal.ptr && !slice_eq(f->principal, rule->principal)) return false;
    if (f->host.ptr && !slice_eq(f->host, rule->host)) return false;
    switch (f->pattern) {
    case ACL_PATTERN_ANY: return !f->resource_name.ptr || slice_eq(f->resource_name, rule->resource_name);
    case ACL_PATTERN_MATCH: return !f->resource_name.ptr || covers(rule, f->resource_name);
    default:
        return f->pattern == rule->pattern &&
               (!f->resource_name.ptr || slice_eq(f->resource_name, rule->resource_name));
    }
}

/* What a rule's operation says about the asked one. */
static bool operation_matches(const struct acl_fields *rule, int operation)
{
    if (rule->operation == operation || rule->operation == ACL_OPERATION_ALL) return true;
    if (rule->permission != ACL_PERMISSION_ALLOW) return false;
    if (operation == ACL_DESCRIBE)
        return rule->operation == ACL_READ || rule->operation == ACL_WRITE || rule->operation == ACL_DELETE ||
               rule->operation == ACL_ALTER;
    return operation == ACL_DESCRIBE_CONFIGS && rule->operation == ACL_ALTER_CONFIGS;
}

static bool is_super(const char *super_users, const char *principal)
{
    size_t length = strlen(principal);
    for (const char *p = super_users; p && *p;) {
        size_t size = strcspn(p, ";");
        if (size == length && memcmp(p, principal, length) == 0) return true;
        p += size;
        p += *p == ';';
    }
    return false;
}

bool security_authorize(const struct security *s, const struct authorizer *a, const char *principal, struct slice host,
                        int operation, int resource_type, struct slice name)
{
    bool ruled = false, allowed = false;
    if (is_super(a->super_users, principal)) return true;
    for (int32_t i = 0; s && i < s->acls_count; i++) {
        const struct acl_fields *rule = &s->acls[i]->fields;
        if (rule->resource_type != resource_type || !covers(rule, name)) continue;
        ruled = true;
        if (!slice_eq_text(rule->principal, principal) && !slice_eq_text(rule->principal, "User:*")) continue;
        if (!slice_eq(rule->host, host) && !slice_eq_text(rule->host, "*")) continue;
        if (!operation_matches(rule, operation)) continue;
        if (rule->permission == ACL_PERMISSION_DENY) return false;
        allowed = true;
    }
    return allowed || (!ruled && a->allow_if_no_acl_found);
}
