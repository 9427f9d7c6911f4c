/* cdc/transforms.c: see transforms.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "cdc/transforms.h"

#include "base/bytes.h"

#include <errno.h>
#include <pcre2.h>
#include <stdio.h>

#define TOPIC_LENGTH_MAX 249 /* Kafka's */

struct router {
    pcre2_code *regex;
    char *replacement;
};

struct transform_chain {
    struct router *routers;
    uint32_t routers_count;
    struct unwrap *unwrap;
};

/* ---- reading the configuration ---- */

struct input {
    const struct cdc_pair *pairs;
    uint32_t pairs_count;
    const char *transform; /* its alias */
    char *property;        /* name of the property at hand; 128 bytes */
};

/* Value of transforms.ALIAS.NAME; NULL: not given. Leaves the property's name for errors. */
static const char *input_get(const struct input *in, const char *name)
{
    snprintf(in->property, 128, "transforms.%s.%s", in->transform, name);
    for (uint32_t i = 0; i < in->pairs_count; i++)
        if (strcmp(in->pairs[i].name, in->property) == 0) return in->pairs[i].value;
    return NULL;
}

static int input_flag(const struct input *in, const char *name, bool otherwise, bool *ret, struct err *err)
{
    const char *value = input_get(in, name);

    *ret = value ? strcasecmp(value, "true") == 0 : otherwise;
    if (!value || *ret || strcasecmp(value, "false") == 0) return 0;
    return err_set(err, -EINVAL, "Either 'true' or 'false' is expected");
}

static int parse_router(struct transform_chain *chain, const struct input *in, struct err *err)
{
    const char *replacement = input_get(in, "replacement");
    if (!replacement)
        return err_set(err, -EINVAL, "Missing required configuration \"replacement\" which has no default value.");
    const char *regex = input_get(in, "regex");
    if (!regex) return err_set(err, -EINVAL, "Missing required configuration \"regex\" which has no default value.");

    int code;
    PCRE2_SIZE at;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED,
                                         PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED, &code, &at, NULL);
    if (!compiled) {
        char reason[120];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof(reason));
        return err_set(err, -EINVAL, "Invalid regex: %s at position %zu", reason, at);
    }
    chain->routers = xrealloc(chain->routers, (chain->routers_count + 1) * sizeof(*chain->routers));
    chain->routers[chain->routers_count++] = (struct router){compiled, xstrdup(replacement)};
    return 0;
}

static bool word_in(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0) return true;
    return false;
}

/* The parts of the envelope: what path may begin with, or be by itself in Debezium, where it adds the whole part. */
static int check_path(const char *path, struct err *err)
{
    static const char *const rows[] = {"before", "after"}, *const blocks[] = {"source", "transaction"};
    const char *dot = strchr(path, '.');
    AUTO_FREE char *part = xstrdup(path);

    if (dot) part[dot - path] = '\0';
    if (word_in(part, rows, countof(rows)) || (!dot && word_in(part, blocks, countof(blocks))))
        return err_set(err, -EINVAL, "Adding \"%s\" is not supported yet", path);
    if (dot && !word_in(part, blocks, countof(blocks)))
        return err_set(err, -EINVAL, "The envelope has no struct \"%s\"", part);
    return 0;
}

/* add.fields or add.headers, "op,source.ts_ms,source.db:database", with a prefix for the names. */
static int parse_fields(const struct input *in, const char *property, struct unwrap_field **ret, uint32_t *ret_count,
                        struct err *err)
{
    AUTO_FREE char *prefix_property = xasprintf("%s.prefix", property);
    const char *prefix = input_get(in, prefix_property), *list = input_get(in, property);
    AUTO_FREE char *copy = xstrdup(list ? list : "");
    char *position = NULL;

    if (!prefix) prefix = "__";
    for (char *word = strtok_r(copy, ", \t", &position); word; word = strtok_r(NULL, ", \t", &position)) {
        char *alias = strchr(word, ':');
        if (alias && strchr(alias + 1, ':')) return err_set(err, -EINVAL, "Unexpected field name: %s", word);
        if (alias) *alias++ = '\0';
        int r = check_path(word, err);
        if (r < 0) return r;
        *ret = xrealloc(*ret, (*ret_count + 1) * sizeof(**ret));
        struct unwrap_field *f = &(*ret)[(*ret_count)++];
        f->path = xstrdup(word);
        f->name = xasprintf("%s%s", prefix, alias ? alias : word);
        for (char *p = f->name + strlen(prefix); *p && !alias; p++)
            if (*p == '.') *p = '_';
    }
    return 0;
}

/* The header that names fields to be dropped is made by other transforms, none of which is built: as in Debezium, nothing is dropped
 * when there is none. The headers that records do have are no lists, which fails there. */
static int parse_drop(const struct unwrap *u, const struct input *in, struct err *err)
{
    static const char context[] = "__debezium.";
    bool ignored, taken;
    int r;

    if ((r = input_flag(in, "drop.fields.from.key", false, &ignored, err)) < 0 ||
        (r = input_flag(in, "drop.fields.keep.schema.compatible", true, &ignored, err)) < 0)
        return r;
    const char *name = input_get(in, "drop.fields.header.name");
    if (!name) return 0;
    taken = strncmp(name, context, strlen(context)) == 0;
    for (uint32_t i = 0; i < u->headers_count; i++) taken = taken || strcmp(name, u->headers[i].name) == 0;
    return taken ? err_set(err, -EINVAL, "The header \"%s\" holds no list of fields", name) : 0;
}

/* delete.handling.mode and drop.tombstones of 2.x. */
static int parse_deletes_2(struct unwrap *u, const struct input *in, struct err *err)
{
    const char *mode = input_get(in, "delete.handling.mode");

    if (!mode || strcasecmp(mode, "drop") == 0) {
        u->deletes = (struct unwrap_deletes){0};
    } else if (strcasecmp(mode, "none") == 0) {
        u->deletes.null_value = true;
    } else if (strcasecmp(mode, "rewrite") == 0) {
        u->deletes.rewrite = true;
    } else {
        return err_set(err, -EINVAL, "Value must be one of drop, rewrite, none");
    }
    bool drop;
    int r = input_flag(in, "drop.tombstones", true, &drop, err);
    u->deletes.keep_tombstone = !drop;
    return r;
}

static int parse_deletes_3(struct unwrap *u, const struct input *in, const char *mode, struct err *err)
{
    (void)input_get(in, "delete.tombstone.handling.mode");
    if (!mode || strcasecmp(mode, "tombstone") == 0) u->deletes = (struct unwrap_deletes){.null_value = true};
    else if (strcasecmp(mode, "drop") == 0) u->deletes = (struct unwrap_deletes){0};
    else if (strcasecmp(mode, "rewrite") == 0) u->deletes = (struct unwrap_deletes){.rewrite = true};
    else if (strcasecmp(mode, "rewrite-with-tombstone") == 0)
        u->deletes = (struct unwrap_deletes){.rewrite = true, .keep_tombstone = true};
    else if (strcasecmp(mode, "delete-to-tombstone") == 0) u->deletes = (struct unwrap_deletes){.null_value = true};
    else
        return err_set(err, -EINVAL,
                       "Value must be one of drop, tombstone, rewrite, rewrite-with-tombstone, delete-to-tombstone");
    return 0;
}

static int parse_unwrap(struct transform_chain *chain, const struct input *in, bool profile_3, bool defects,
                        struct err *err)
{
    if (chain->unwrap) return err_set(err, -EINVAL, "A second ExtractNewRecordState would find no envelope");
    struct unwrap *u = chain->unwrap = xcalloc(1, sizeof(*u));
    const char *mode = input_get(in, "delete.tombstone.handling.mode");
    bool old_names = input_get(in, "delete.handling.mode") || input_get(in, "drop.tombstones");

    /* 3.x ignores the names of 2.x; as they change what deletes look like, we honour them. The new name came during 2.x. */
    int r = mode || (profile_3 && (!old_names || defects)) ? parse_deletes_3(u, in, mode, err)
                                                           : parse_deletes_2(u, in, err);
    if (r < 0 || (r = parse_fields(in, "add.fields", &u->fields, &u->fields_count, err)) < 0 ||
        (r = parse_fields(in, "add.headers", &u->headers, &u->headers_count, err)) < 0 ||
        (r = input_flag(in, "replace.null.with.default", true, &u->replace_null_with_default, err)) < 0 ||
        (r = parse_drop(u, in, err)) < 0)
        return r;
    if (u->headers_count > UNWRAP_HEADERS_MAX)
        return err_set(err, -EINVAL, "add.headers: %u names, and %d is the most", u->headers_count, UNWRAP_HEADERS_MAX);
    const char *route = input_get(in, "route.by.field");
    if (route && *route) u->route_by_field = xstrdup(route);
    u->routers_before = chain->routers_count;
    return 0;
}

bool unwrap_replaces_null(const struct unwrap *u)
{
    return u->deletes.rewrite && u->replace_null_with_default;
}

int transform_chain_parse(const struct cdc_pair *pairs, uint32_t pairs_count, bool profile_3, bool defects,
                          struct transform_chain **ret_chain, char *ret_property, struct err *err)
{
    struct transform_chain *chain = xcalloc(1, sizeof(*chain));
    struct input in = {.pairs = pairs, .pairs_count = pairs_count, .property = ret_property};
    const char *list = NULL;
    int r = 0;

    for (uint32_t i = 0; i < pairs_count; i++)
        if (strcmp(pairs[i].name, "transforms") == 0) list = pairs[i].value;
    AUTO_FREE char *copy = xstrdup(list ? list : "");
    char *position = NULL;
    for (char *alias = strtok_r(copy, ", \t", &position); alias && r == 0; alias = strtok_r(NULL, ", \t", &position)) {
        in.transform = alias;
        if (input_get(&in, "predicate")) {
            r = err_set(err, -EINVAL, "Predicates on transforms are not supported yet");
            break;
        }
        const char *type = input_get(&in, "type");
        if (!type) r = err_set(err, -EINVAL, "Not a Transformation");
        else if (strcmp(type, "org.apache.kafka.connect.transforms.RegexRouter") == 0)
            r = parse_router(chain, &in, err);
        else if (strcmp(type, "io.debezium.transforms.ExtractNewRecordState") == 0)
            r = parse_unwrap(chain, &in, profile_3, defects, err);
        else r = err_set(err, -EINVAL, "Transformation %s is not supported yet", type);
    }
    if (r < 0) {
        transform_chain_free(chain);
        return r;
    }
    *ret_chain = chain;
    return 0;
}

static void fields_free(struct unwrap_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(fields[i].path);
        free(fields[i].name);
    }
    free(fields);
}

void transform_chain_free(struct transform_chain *chain)
{
    if (!chain) return;
    for (uint32_t i = 0; i < chain->routers_count; i++) {
        pcre2_code_free(chain->routers[i].regex);
        free(chain->routers[i].replacement);
    }
    free(chain->routers);
    if (chain->unwrap) {
        fields_free(chain->unwrap->fields, chain->unwrap->fields_count);
        fields_free(chain->unwrap->headers, chain->unwrap->headers_count);
        free(chain->unwrap->route_by_field);
        free(chain->unwrap);
    }
    free(chain);
}

const struct unwrap *transform_chain_unwrap(const struct transform_chain *chain)
{
    return chain->unwrap;
}

/* ---- RegexRouter ---- */

/* Java's replacement: $1 and ${name} are groups, a backslash quotes the next character. */
static void expand(struct bytes *out, const struct router *r, const char *topic, pcre2_match_data *match)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(match);
    uint32_t groups = pcre2_get_ovector_count(match);

    for (const char *p = r->replacement; *p; p++) {
        if (*p == '\\' && p[1]) {
            bytes_append_byte(out, (uint8_t) * ++p);
        } else if (*p == '$' && p[1] >= '0' && p[1] <= '9') {
            uint32_t group = (uint32_t)(*++p - '0');
            /* A further digit counts when such a group exists. */
            while (p[1] >= '0' && p[1] <= '9' && group * 10 + (uint32_t)(p[1] - '0') < groups)
                group = group * 10 + (uint32_t)(*++p - '0');
            if (group < groups && at[2 * group] != PCRE2_UNSET)
                bytes_append(out, topic + at[2 * group], at[2 * group + 1] - at[2 * group]);
        } else if (*p == '$' && p[1] == '{' && strchr(p, '}')) {
            AUTO_FREE char *name = slice_strdup(slice_make(p + 2, (uint32_t)(strchr(p, '}') - p - 2)));
            int group = pcre2_substring_number_from_name(r->regex, (PCRE2_SPTR)name);
            if (group > 0 && at[2 * group] != PCRE2_UNSET)
                bytes_append(out, topic + at[2 * group], at[2 * group + 1] - at[2 * group]);
            p = strchr(p, '}');
        } else {
            bytes_append_byte(out, (uint8_t)*p);
        }
    }
}

static const char *routed(const struct transform_chain *chain, uint32_t first, struct arena *a, const char *topic)
{
    for (uint32_t i = first; i < chain->routers_count; i++) {
        const struct router *r = &chain->routers[i];
        struct bytes name = {0};
        pcre2_match_data *match = pcre2_match_data_create_from_pattern(r->regex, NULL);
        if (!match) return NULL;
        if (pcre2_match(r->regex, (PCRE2_SPTR)topic, strlen(topic), 0, 0, match, NULL) >= 0) {
            expand(&name, r, topic, match);
            topic =
                arena_slice_str(a, slice_make(name.ptr ? (const void *)name.ptr : "", MIN(name.len, TOPIC_LENGTH_MAX)));
        }
        bytes_done(&name);
        pcre2_match_data_free(match);
        if (!topic) return NULL;
    }
    return arena_strdup(a, topic);
}

const char *transform_chain_topic(const struct transform_chain *chain, struct arena *a, const char *topic)
{
    return routed(chain, 0, a, topic);
}

const char *transform_chain_routed_topic(const struct transform_chain *chain, struct arena *a, const char *topic)
{
    return routed(chain, chain->unwrap ? chain->unwrap->routers_before : 0, a, topic);
}
