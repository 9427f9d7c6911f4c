/* broker/api/config_edit.c: see config_edit.h. */
#include "broker/api/config_edit.h"

#include "broker/api/config_access.h"

/* -- planning one resource -- */

const struct config_list *config_edits_list(struct request *rq, const struct config_edits *e)
{
    const struct metadata *m = request_metadata(rq);
    if (e->type != CONFIG_RESOURCE_TOPIC) return metadata_resource_config(m, e->type, e->name);
    const struct metadata_topic *t = metadata_topic(m, e->name);
    return t ? &t->config : NULL;
}

const uint8_t *config_edits_begin(struct request *rq, struct config_edits *e, struct doubles_key *names, int32_t count,
                                  size_t more)
{
    e->edits = arena_calloc(&rq->arena, (size_t)count + more + 1, sizeof e->edits[0]);
    const uint8_t *doubles = e->edits && names ? doubles_find(&rq->arena, names, count) : NULL;
    if (!doubles) err_set(&e->err, KAFKA_UNKNOWN_SERVER_ERROR, "the request is too large");
    return doubles;
}

struct config_edit *config_edits_add(struct request *rq, struct config_edits *e, struct slice name, struct slice value)
{
    struct config_edit *edit = &e->edits[e->count++];
    edit->name = arena_slice_str(&rq->arena, name);
    edit->value = arena_slice_str(&rq->arena, value);
    if (edit->name && (edit->value || !value.ptr)) return edit;
    err_set(&e->err, KAFKA_UNKNOWN_SERVER_ERROR, "the request is too large");
    return NULL;
}

/* -- the request -- */

struct config_alter {
    struct request *rq;
    struct api_wait *wait;
    config_plan_fn *plan;
    struct config_edits *all;
    int32_t count;
};

struct config_alter *config_alter_new(struct request *rq, int32_t count, config_plan_fn *plan)
{
    struct config_alter *a = arena_calloc(&rq->arena, 1, sizeof *a);
    if (!a) return NULL;
    *a = (struct config_alter){.rq = rq, .wait = api_wait_new(rq), .plan = plan};
    a->all = arena_calloc(&rq->arena, (size_t)count + 1, sizeof a->all[0]);
    return a->all && a->wait ? a : NULL;
}

void config_alter_add(struct config_alter *a, int8_t type, struct slice name, const void *asked, int16_t *error_code,
                      struct slice *error_message)
{
    a->all[a->count++] = (struct config_edits){
        .type = type, .name = name, .asked = asked, .error_code = error_code, .error_message = error_message};
}

static enum kafka_error check(struct request *rq, const struct config_edits *e, struct err *err)
{
    bool topic = e->type == CONFIG_RESOURCE_TOPIC, group = e->type == CONFIG_RESOURCE_GROUP;
    if (!topic && !group && e->type != CONFIG_RESOURCE_BROKER && e->type != CONFIG_RESOURCE_CLIENT_METRICS)
        return err_set(err, KAFKA_INVALID_REQUEST, "Unknown resource type %d", e->type);
    enum kafka_error refused = config_refusal(rq, ACL_ALTER_CONFIGS, e->type, e->name);
    return refused != KAFKA_NONE ? err_set(err, refused, "%s", kafka_error_text(refused)) : KAFKA_NONE;
}

/* Kafka's controller looks at a topic's name when it has looked at what the operations are and before the values. */
static enum kafka_error check_name(const struct config_edits *e, struct err *err)
{
    if (e->type != CONFIG_RESOURCE_TOPIC) return KAFKA_NONE;
    if (e->name.len == 0) return err_set(err, KAFKA_INVALID_REQUEST, "Default topic resources are not allowed.");
    enum kafka_error error = topic_name_check(e->name, err);
    return error != KAFKA_NONE ? error : topic_name_refuse_reserved(e->name, err);
}

static bool check_all(struct config_alter *a)
{
    struct doubles_key *names = arena_calloc(&a->rq->arena, (size_t)a->count + 1, sizeof *names);
    if (!names) return false;
    for (int32_t i = 0; i < a->count; i++)
        names[i] = (struct doubles_key){.kind = a->all[i].type, .name = a->all[i].name};
    const uint8_t *doubles = doubles_find(&a->rq->arena, names, a->count);
    if (!doubles) return false;
    for (int32_t i = 0; i < a->count; i++)
        if (doubles[i]) err_set(&a->all[i].err, KAFKA_INVALID_REQUEST, "Each resource must appear at most once.");
        else check(a->rq, &a->all[i], &a->all[i].err);
    return true;
}

static void edit(struct metadata_change *c, struct config_edits *e, bool validate_only)
{
    for (int32_t i = 0; i < e->count && e->err.code == KAFKA_NONE; i++) {
        enum kafka_error error = metadata_change_set_config(c, e->type, e->name, e->edits[i].name, e->edits[i].value,
                                                            validate_only, &e->err);
        e->err.code = error;
    }
    /* What is wrong with an option is said before that its topic is not there, as by Kafka. */
    if (e->err.code == KAFKA_NONE && e->type == CONFIG_RESOURCE_TOPIC &&
        !metadata_topic(metadata_change_view(c), e->name))
        err_set(&e->err, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "The topic '" SLICE_FMT "' does not exist.",
                SLICE_ARG(e->name));
}

static void committed(void *arg, enum kafka_error error)
{
    struct config_alter *a = arg;
    for (int32_t i = 0; i < a->count; i++) {
        struct config_edits *e = &a->all[i];
        *e->error_code = (int16_t)(e->err.code ? e->err.code : error);
        *e->error_message = e->err.code ? slice_of(e->err.text)
                            : error     ? slice_of(kafka_error_text(error))
                                        : SLICE_NULL;
    }
    api_wait_done(a->wait);
}

enum api_result config_alter_run(struct config_alter *a, bool validate_only)
{
    if (!check_all(a)) return API_CLOSE;
    for (int32_t i = 0; i < a->count; i++) {
        struct config_edits *e = &a->all[i];
        if (e->err.code == KAFKA_NONE) a->plan(a->rq, e);
        if (e->err.code == KAFKA_NONE) check_name(e, &e->err);
    }
    struct metadata_change *c = metadata_change_begin(a->rq->broker);
    for (int32_t i = 0; i < a->count; i++) edit(c, &a->all[i], true);
    metadata_change_abort(c);
    if (validate_only) {
        committed(a, KAFKA_NONE);
    } else {
        c = metadata_change_begin(a->rq->broker);
        for (int32_t i = 0; i < a->count; i++) edit(c, &a->all[i], false);
        metadata_change_commit(c, committed, a);
    }
    return api_wait_result(a->wait);
}
