/* cdc/heartbeat.c: heartbeat.interval.ms: a record in the heartbeat topic, and heartbeat.action.query in the database.
 *
 * Neither is needed for a change to come through: a failure is told, and the stream goes on. Threads: the connector's. */
#include "cdc/session_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "broker/broker.h"

#include <errno.h>

static enum kafka_error heartbeat_write(struct broker *broker, const char *topic, const struct change_record *record,
                                        struct err *err)
{
    if (topic_name_is_internal(slice_of(topic)))
        return err_set(err, KAFKA_INVALID_TOPIC_EXCEPTION, "%s is an internal topic", topic);
    enum kafka_error error = broker_topic_ensure(broker, topic, -1, NULL, 0, err);
    if (error != KAFKA_NONE) return error;
    struct partition_log *log = broker_partition(broker, topic, 0);
    if (!log) return err_set(err, KAFKA_STORAGE_ERROR, "its partition 0 is offline");
    error = broker_append_record(broker, log, record->key, record->value, NULL);
    partition_log_unref(log);
    return error == KAFKA_NONE ? error : err_set(err, error, "%s", kafka_error_text(error));
}

/* A record of its own, outside of units: heartbeats are not replayed. The stream does not fail with them; that they stop, and
 * come again, is told once each. */
static int heartbeat_emit(void *arg, const struct change_record *record)
{
    struct cdc_connector *c = arg;
    struct err why = ERR_NONE;
    AUTO_FREE char *topic = slice_strdup(record->topic);

    bool missed = heartbeat_write(c->cdc->broker, topic, record, &why) != KAFKA_NONE;
    if (missed && !c->heartbeat_missed)
        log_warn("cdc", "heartbeats cannot be written, the stream goes on connector=%s topic=%s cause=%s",
                 c->config->name, topic, why.text);
    else if (!missed && c->heartbeat_missed)
        log_info("cdc", "heartbeats are written again connector=%s topic=%s", c->config->name, topic);
    c->heartbeat_missed = missed;
    return 0;
}

/* heartbeat.action.query. When it fails only its effect is missing: told, and the stream goes on, as Debezium's. */
static int heartbeat_query(struct cdc_connector *c)
{
    const char *sql = c->config->heartbeat_action_query;
    struct pg_conn *catalog;
    struct pg_error why;

    if (!sql || !*sql) return 0;
    int r = connector_catalog(c, &catalog, &why);
    if (r == 0) r = pg_exec(catalog, sql, NULL, 0, 0, NULL, &why);
    if (r == 0 || r == -ECANCELED) return r;
    log_warn("cdc", "heartbeat.action.query failed, the stream goes on connector=%s cause=%s sqlstate=%s",
             c->config->name, why.text, why.sqlstate);
    pg_conn_close(c->catalog); /* it may stand in a transaction that failed, or still be busy */
    c->catalog = NULL;
    return 0;
}

int session_heartbeat(struct cdc_connector *c, int64_t now_us)
{
    if (c->config->heartbeat_interval_ms <= 0 || now_us - c->heartbeat_us < c->config->heartbeat_interval_ms * 1000)
        return 0;
    c->heartbeat_us = now_us;
    int r = heartbeat_query(c);
    if (r < 0) return r;
    (void)!change_encoder_heartbeat(c->encoder, clock_system.wall_us(&clock_system) * 1000, heartbeat_emit, c);
    return 0;
}
