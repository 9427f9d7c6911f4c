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

static bool input_true(const struct input *in, const char *name, bool otherwise)
{
    const char *value = input_get(in, name);

    return value ? strcasecmp(value, "true") == 0 : otherwise;
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

/* "op,source.ts_ms,source.db:database" with a prefix for what has no alias. */
static void parse_fields(const char *list, const char *prefix, struct unwrap_field **ret, uint32_t *ret_count)
{
    AUTO_FREE char *copy = xstrdup(list ? list : "");
    char *position = NULL;

    for (char *word = strtok_r(copy, ", \t", &position); word; word = strtok_r(NULL, ", \t", &position)) {
        char *alias = strchr(word, ':');
        if (alias) *alias++ = '\0';
        *ret = xrealloc(*ret, (*ret_count + 1) * sizeof(**ret));
        struct unwrap_field *f = &(*ret)[(*ret_count)++];
        f->path = xstrdup(word);
        f->name = xasprintf("%s%s", prefix, alias ? alias : word);
        for (char *p = f->name + strlen(prefix); *p && !alias; p++)
            if (*p == '.') *p = '_';
    }
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
    u->deletes.keep_tombstone = !input_true(in, "drop.tombstones", true);
    return 0;
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

    /* 3.x ignores the names of 2.x; as they change what deletes look like, we honour them. */
    int r = !profile_3 || (!mode && old_names && !defects) ? parse_deletes_2(u, in, err)
                                                           : parse_deletes_3(u, in, mode, err);
    if (r < 0) return r;
    const char *prefix = input_get(in, "add.fields.prefix");
    parse_fields(input_get(in, "add.fields"), prefix ? prefix : "__", &u->fields, &u->fields_count);
    prefix = input_get(in, "add.headers.prefix");
    parse_fields(input_get(in, "add.headers"), prefix ? prefix : "__", &u->headers, &u->headers_count);
    return 0;
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

const char *transform_chain_topic(const struct transform_chain *chain, struct arena *a, const char *topic)
{
    for (uint32_t i = 0; i < chain->routers_count; i++) {
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
