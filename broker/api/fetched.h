/* broker/api/fetched.h: what Fetch and ShareFetch do with the range of a log that they answer with.
 *
 * Records leave as a file range (sendfile); up to FETCH_COPY_BYTES_MAX they are read into a block, while all such
 * blocks of the answer have no more than FETCH_COPIES_BYTES_MAX. Both are held until the answer is encoded.
 * Threads: the request's. */
#ifndef OTTLA_API_FETCHED_H
#define OTTLA_API_FETCHED_H

#include "broker/api.h"
#include "protocol/wire.h"
#include "storage/partition_log.h"

/* *copied: NULL before; a block if there is one. *copies_bytes: of the blocks of the answer so far. */
enum kafka_error fetched_records(const struct log_read *read, int64_t *copies_bytes, struct block **copied,
                                 struct wire_records *ret_records);
/* Gives both back; they are empty afterwards. */
void fetched_release(struct log_read *read, struct block **copied);

#endif
