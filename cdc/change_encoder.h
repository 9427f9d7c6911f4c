/* cdc/change_encoder.h: from row changes to records of topics.
 *
 * Output is a function of configuration, relation version, row and position: the same input gives the same key bytes,
 * so a replay falls into the same partitions. The wall clock appears in values only (ts_ms of the envelope). No
 * allocation per event once the buffers have grown. Threads: one encoder per connector thread. */
#ifndef OTTLA_CDC_CHANGE_ENCODER_H
#define OTTLA_CDC_CHANGE_ENCODER_H

#include "cdc/relation.h"
#include "cdc/source_position.h"

enum change_op {
    CHANGE_READ = 'r', /* snapshot */
    CHANGE_CREATE = 'c',
    CHANGE_UPDATE = 'u',
    CHANGE_DELETE = 'd',
    CHANGE_TRUNCATE = 't',
};

struct change_header {
    struct slice name;
    struct slice value;
};

#define CHANGE_HEADERS_MAX 64 /* of one record */

/* All slices are valid for the call of emit only. */
struct change_record {
    struct slice topic;
    struct slice key;   /* null: no key */
    struct slice value; /* null: a tombstone */
    const struct change_header *headers;
    uint32_t headers_count;
    int64_t timestamp_ms;
};

/* Anything but 0 ends the call that emits, which returns it. */
typedef int change_emit_fn(void *arg, const struct change_record *record);

struct change_encoder;

/*   run_id  36 characters of a UUID made at this start (header __debezium.context.runId)
 * config must outlive the encoder. */
struct change_encoder *change_encoder_new(const struct pg_connector_config *config, const char *run_id);
void change_encoder_free(struct change_encoder *e);

/* Emits the 0 to 3 records of one change of a captured table: none when the operation is skipped, delete + tombstone,
 * delete
 * + tombstone + create when the key changed.
 *   old_tuple  with pgoutput's old_kind; NULL when not sent
 *   new_tuple  NULL for delete and truncate
 * Returns 0; what emit returned; -EBADMSG: the tuple does not fit the relation, or a value that cannot be converted
 * under event.converting.failure.handling.mode=fail (err names table, column and value); -ENOMEM. */
int change_encoder_row(struct change_encoder *e, const struct relation *r, enum change_op op,
                       const struct tuple *old_tuple, const struct tuple *new_tuple,
                       const struct source_position *position, change_emit_fn *emit, void *arg,
                       struct err *err) WARN_UNUSED;

/* pg_logical_emit_message(): to topic PREFIX.message, unless its prefix is filtered out. xid -1 when not transactional.
 */
int change_encoder_message(struct change_encoder *e, const struct pgoutput_message_logical *message,
                           const struct source_position *position, change_emit_fn *emit, void *arg,
                           struct err *err) WARN_UNUSED;

/* The first and the last record of a transaction, with provide.transaction.metadata; without it they do nothing. In between the
 * events carry a transaction block with their number: a transaction that is read again from its middle must be counted
 * from its begin. position: xid, commit time and the LSN of the message. */
int change_encoder_begin(struct change_encoder *e, const struct source_position *position, change_emit_fn *emit,
                         void *arg) WARN_UNUSED;
int change_encoder_commit(struct change_encoder *e, const struct source_position *position, change_emit_fn *emit,
                          void *arg) WARN_UNUSED;

/* The heartbeat record. */
int change_encoder_heartbeat(struct change_encoder *e, int64_t now_ns, change_emit_fn *emit, void *arg) WARN_UNUSED;

/* Values that could not be converted and were written as null, since the encoder was made: for a counter and a log
 * line. */
uint64_t change_encoder_failures(const struct change_encoder *e);
/* The latest of them: table, column and why; "" when there was none. */
const char *change_encoder_failure_text(const struct change_encoder *e);

#endif
