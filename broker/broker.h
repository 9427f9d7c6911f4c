/* broker/broker.h: the broker as the rooms above see it (cdc, connect, tools), in the same process.
 *
 * They use the paths that the handlers use: metadata snapshots to find a partition, partition_log_append() to write,
 * a broker_reader to read with wake-up, and metadata changes on the control thread, wrapped here for other threads.
 * Life: broker_open() -> recovery of the rooms above (no client yet) -> broker_serve() -> broker_stop() ->
 * broker_close().
 * Threads: as said at each function; "any" excludes the control thread where a call waits for it. */
#ifndef OTTLA_BROKER_H
#define OTTLA_BROKER_H

#include "base/bytes.h"
#include "base/err.h"
#include "broker/config/config.h"
#include "broker/metadata/metadata.h"

struct broker;
struct log_dir;
struct record_header;

/* -- life: main thread -- */

/* Binds the listeners, opens the data directory, replays the metadata, opens the logs, restores groups, starts the
 * control thread. Takes over config. On failure nothing is left running and err->text is one line for a person. */
int broker_open(struct broker_config *config, struct broker **ret_broker, struct err *err) WARN_UNUSED;
/* Begins to accept clients. */
int broker_serve(struct broker *b, struct err *err) WARN_UNUSED;
/* Closes listeners and connections, answers what is in work; the control thread and the logs still live. */
void broker_stop(struct broker *b);
/* Stops the control thread, syncs and closes the logs (clean mark). */
void broker_close(struct broker *b);

/* "HOST:PORT" of the first listener, as bound. */
const char *broker_address(const struct broker *b);
/* The options as given at start (file, overrides); constant. What may change live: metadata->config. */
const struct broker_config *broker_config(const struct broker *b);
struct log_dir *broker_log_dir(const struct broker *b);
const char *broker_cluster_id(const struct broker *b);

/* Appends what there is to measure in Prometheus' text format 0.0.4. Any thread, while the broker is open. */
void broker_write_metrics(struct broker *b, struct bytes *out);

/* -- the control thread -- */

/* fn(arg) runs on the control thread. Any thread. false: the broker is closing, nothing was taken. */
bool broker_control_post(struct broker *b, void (*fn)(void *arg), void *arg);
/* Its loop, for timers; only touched on the control thread. */
struct ev_loop *broker_control_loop(struct broker *b);

/* -- topics -- */

/* The log of a partition with a reference for the caller (partition_log_unref). NULL: unknown or offline. Any thread.
 * */
struct partition_log *broker_partition(struct broker *b, const char *topic, int32_t partition);

/* Creates a topic and waits until it is durable and visible. partitions_count -1: num.partitions. Any thread but
 * control. Returns a kafka_error and sets err; broker_topic_ensure() takes an existing topic as success, whatever its
 * settings. */
enum kafka_error broker_topic_create(struct broker *b, const char *name, int32_t partitions_count,
                                     const struct config_entry *config, uint32_t config_count,
                                     struct err *err) WARN_UNUSED;
enum kafka_error broker_topic_ensure(struct broker *b, const char *name, int32_t partitions_count,
                                     const struct config_entry *config, uint32_t config_count,
                                     struct err *err) WARN_UNUSED;
enum kafka_error broker_topic_delete(struct broker *b, const char *name, struct err *err) WARN_UNUSED;
/* Creates those of the topics that do not exist, in one change: one wait for the disk for all of them. */
struct broker_topic {
    const char *name;
    int32_t partitions_count;
    const struct config_entry *config;
    uint32_t config_count;
};
enum kafka_error broker_topics_ensure(struct broker *b, const struct broker_topic *topics, uint32_t topics_count,
                                      struct err *err) WARN_UNUSED;
/* broker_topic_create() without waiting: done(arg, error, text) runs on the control thread. Any thread. The arguments
 * are copied. An existing topic is TOPIC_ALREADY_EXISTS. */
void broker_topic_create_async(struct broker *b, const char *name, int32_t partitions_count,
                               const struct config_entry *config, uint32_t config_count,
                               void (*done)(void *arg, enum kafka_error error, const char *text), void *arg);

/* Told on the control thread, after the change is durable and visible, before the logs of a deleted topic go. */
enum topic_event { TOPIC_CREATED, TOPIC_GROWN, TOPIC_CONFIGURED, TOPIC_DELETED };
struct topic_watch {
    void (*changed)(struct topic_watch *w, enum topic_event event, const struct metadata_topic *topic);
    LIST_ENTRY(topic_watch) link;
};
/* Control thread, or before broker_serve(). */
void broker_watch_topics(struct broker *b, struct topic_watch *w);
void broker_unwatch_topics(struct topic_watch *w);

/* -- records -- */

/* Appends one record (key and value may be null) as a batch of its own, timestamp now; in the page cache when it
 * returns. For whole batches: partition_log_append() with APPEND_INTERNAL. Any thread. */
enum kafka_error broker_append_record(struct broker *b, struct partition_log *log, struct slice key, struct slice value,
                                      int64_t *ret_offset) WARN_UNUSED;
/* .. with headers. */
enum kafka_error broker_append_record_headers(struct broker *b, struct partition_log *log, struct slice key,
                                              struct slice value, const struct record_header *headers,
                                              int32_t headers_count, int64_t *ret_offset) WARN_UNUSED;

/* Reads one partition from an offset on. One thread at a time. */
struct broker_reader;
/* Takes a reference of its own on log. READ_LOG_END also shows what is held from clients. */
struct broker_reader *broker_reader_new(struct broker *b, struct partition_log *log, int64_t offset,
                                        enum read_isolation isolation);
void broker_reader_free(struct broker_reader *r);
/* The next whole batches, up to about size_max bytes (one batch at least), in r's buffer until the next call; iterate
 * them with protocol/record.h. Empty slice: none within timeout_ms (0: do not wait), or broker_reader_wake() was
 * called. The first batch may begin before the reader's offset: skip those records. Returns KAFKA_NONE,
 * OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR, NOT_LEADER_OR_FOLLOWER (deleted). */
enum kafka_error broker_reader_next(struct broker_reader *r, uint32_t size_max, int timeout_ms,
                                    struct slice *ret_batches) WARN_UNUSED;
int64_t broker_reader_offset(const struct broker_reader *r); /* of the first record that next() has not returned */
/* Ends a wait of broker_reader_next() from another thread. */
void broker_reader_wake(struct broker_reader *r);

#endif
