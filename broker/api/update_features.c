/* UpdateFeatures, key 57 (KIP-584, KIP-778). Control thread (owns the metadata). metadata.version may only rise: what
 * was written at a level cannot be taken back. The first error refuses all;
 * before v2 each feature has an answer when there is none. */
#include "broker/api/wait.h"
#include "broker/config/feature_levels.h"
#include "broker/metadata/metadata_edit.h"
#include "protocol/api_handlers.h"

#include <stdio.h>

enum upgrade_type { UPGRADE = 1, SAFE_DOWNGRADE = 2, UNSAFE_DOWNGRADE = 3 };

static void committed(void *arg, enum kafka_error error)
{
    struct api_wait *w = arg;
    struct update_features_response *out = w->rq->out;

    if (error != KAFKA_NONE) {
        out->error_code = (int16_t)error;
        out->error_message = slice_of(kafka_error_text(error));
    }
    api_wait_done(w);
}

static enum kafka_error refuse(struct err *err, const struct update_features_request_feature_update_key *u,
                               const char *why)
{
    return err_set(err, KAFKA_INVALID_UPDATE_VERSION, "Invalid update version %d for feature " SLICE_FMT ". %s",
                   u->max_version_level, SLICE_ARG(u->feature), why);
}

static enum kafka_error apply(struct metadata_change *c, int16_t version, const struct update_features_request *in,
                              int32_t index, struct err *err)
{
    const struct update_features_request_feature_update_key *u = &in->feature_updates[index];
    const struct feature_range *f = feature_find(u->feature);
    int32_t node_id = (int32_t)metadata_change_view(c)->config->node_id;
    int type = version > 0 ? u->upgrade_type : u->allow_downgrade ? SAFE_DOWNGRADE : UPGRADE;

    for (int32_t i = 0; i < in->feature_updates_count; i++)
        if (i != index && slice_eq(in->feature_updates[i].feature, u->feature))
            return err_set(err, KAFKA_INVALID_REQUEST, "The feature " SLICE_FMT " is named twice.",
                           SLICE_ARG(u->feature));
    if (type < UPGRADE || type > UNSAFE_DOWNGRADE)
        return refuse(err, u, "The controller does not support the given upgrade type.");
    if (u->max_version_level < 0) return refuse(err, u, "A feature version cannot be less than 0.");
    if (!f) {
        char text[80];
        snprintf(text, sizeof text, "Local controller %d does not support this feature.", node_id);
        return refuse(err, u, text);
    }
    if (u->max_version_level < f->min || u->max_version_level > f->max) {
        char text[80];
        snprintf(text, sizeof text, "Local controller %d only supports versions %d-%d", node_id, f->min, f->max);
        return refuse(err, u, text);
    }
    int16_t now = metadata_feature_level(metadata_change_view(c), f->name);
    if (u->max_version_level < now && type == UPGRADE)
        return refuse(err, u,
                      "Can't downgrade the version of this feature without setting the upgrade type to either safe or "
                      "unsafe downgrade.");
    if (u->max_version_level > now && type != UPGRADE) return refuse(err, u, "Can't downgrade to a newer version.");
    if (u->max_version_level < now && strcmp(f->name, "metadata.version") == 0)
        return refuse(err, u, "A downgrade of metadata.version is not supported.");
    metadata_change_set_feature(c, f->name, u->max_version_level);
    return KAFKA_NONE;
}

API_HANDLER(update_features)
{
    int32_t count = MAX(in->feature_updates_count, 0);
    struct api_wait *w = api_wait_new(rq);

    out->error_message = SLICE_NULL;
    out->results = arena_calloc(&rq->arena, (size_t)count + 1, sizeof out->results[0]);
    if (!w || !out->results || count > METADATA_FEATURES_MAX) return API_CLOSE;
    out->error_code = (int16_t)request_refused(rq);
    if (out->error_code != KAFKA_NONE) return API_REPLY;
    struct metadata_change *c = metadata_change_begin(rq->broker);
    for (int32_t i = 0; i < count; i++) {
        struct err err = ERR_NONE;
        enum kafka_error error = apply(c, rq->version, in, i, &err);
        if (error != KAFKA_NONE) {
            metadata_change_abort(c);
            out->results_count = 0;
            out->error_code = (int16_t)error;
            out->error_message = slice_of(arena_printf(
                &rq->arena, "The update failed for all features since the following feature had an error: %s",
                err.text));
            return API_REPLY;
        }
        if (rq->version < 2)
            out->results[out->results_count++] = (struct update_features_response_updatable_feature_result){
                .feature = in->feature_updates[i].feature, .error_code = KAFKA_NONE, .error_message = SLICE("NONE")};
    }
    if (in->validate_only) {
        metadata_change_abort(c);
        return API_REPLY;
    }
    metadata_change_commit(c, committed, w);
    return api_wait_result(w);
}
