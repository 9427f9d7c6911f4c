/* broker/api/config_edit.c: see config_edit.h. */
#include "broker/api/config_edit.h"

#include "broker/api/doubles.h"

const struct config_list *config_edits_list(struct request *rq, int8_t type, struct slice name)
{
    const struct metadata *m = request_metadata(rq);
    if (type != CONFIG_RESOURCE_TOPIC) return metadata_resource_config(m, type, name);
    const struct metadata_topic *t = metadata_topic(m, name);
    return t ? &t->config : NULL;
}

static enum kafka_error check(struct request *rq, const struct config_edits *e, struct err *err)
{
    bool topic = e->type == CONFIG_RESOURCE_TOPIC, group = e->type == CONFIG_RESOURCE_GROUP;
    if (!topic && !group && e->type != CONFIG_RESOURCE_BROKER && e->type != CONFIG_RESOURCE_CLIENT_METRICS)
        return err_set(err, KAFKA_INVALID_REQUEST, "Unknown resource type %d", e->type);
    bool allowed = topic   ? request_authorize(rq, ACL_ALTER_CONFIGS, RESOURCE_TOPIC, e->name)
                   : group ? request_authorize(rq, ACL_ALTER_CONFIGS, RESOURCE_GROUP, e->name)
                           : request_authorize(rq, ACL_ALTER_CONFIGS, RESOURCE_CLUSTER, SLICE("kafka-cluster"));
    if (!allowed) {
        enum kafka_error error = topic   ? KAFKA_TOPIC_AUTHORIZATION_FAILED
                                 : group ? KAFKA_GROUP_AUTHORIZATION_FAILED
                                         : KAFKA_CLUSTER_AUTHORIZATION_FAILED;
        return err_set(err, error, "%s", kafka_error_text(error));
    }
    if (topic && e->name.len == 0)
        return err_set(err, KAFKA_INVALID_REQUEST, "Default topic resources are not allowed.");
    if (topic) return topic_name_check(e->name, err);
    return KAFKA_NONE;
}

bool config_edits_check(struct request *rq, struct config_edits *all, int32_t count)
{
    struct doubles_key *names = arena_calloc(&rq->arena, (size_t)count + 1, sizeof *names);
    if (!names) return false;
    for (int32_t i = 0; i < count; i++) names[i] = (struct doubles_key){.kind = all[i].type, .name = all[i].name};
    const uint8_t *doubles = doubles_find(&rq->arena, names, count);
    if (!doubles) return false;
    for (int32_t i = 0; i < count; i++)
        if (doubles[i]) err_set(&all[i].err, KAFKA_INVALID_REQUEST, "Each resource must appear at most once.");
        else check(rq, &all[i], &all[i].err);
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

void config_edits_apply(struct request *rq, struct config_edits *all, int32_t count, bool validate_only,
                        void (*done)(void *arg, enum kafka_error error), void *arg)
{
    struct metadata_change *c = metadata_change_begin(rq->broker);
    for (int32_t i = 0; i < count; i++) edit(c, &all[i], true);
    metadata_change_abort(c);
    if (validate_only) {
        done(arg, KAFKA_NONE);
        return;
    }
    c = metadata_change_begin(rq->broker);
    for (int32_t i = 0; i < count; i++) edit(c, &all[i], false);
    metadata_change_commit(c, done, arg);
}
