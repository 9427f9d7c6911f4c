/* broker/api/fetched.c: see fetched.h. */
#include "broker/api/fetched.h"

#include "broker/limits.h"

enum kafka_error fetched_records(const struct log_read *read, int64_t *copies_bytes, struct block **copied,
                                 struct wire_records *ret_records)
{
    if (read->length > FETCH_COPY_BYTES_MAX || *copies_bytes + read->length > FETCH_COPIES_BYTES_MAX) {
        *ret_records = (struct wire_records){.file = read->file, .position = read->position, .length = read->length};
        return KAFKA_NONE;
    }
    *copies_bytes += read->length;
    *copied = block_new(read->length);
    if (!*copied || log_read_bytes(read, (*copied)->bytes) < 0) return KAFKA_STORAGE_ERROR;
    *ret_records = (struct wire_records){.slice = slice_make((*copied)->bytes, read->length), .block = *copied};
    return KAFKA_NONE;
}

void fetched_release(struct log_read *read, struct block **copied)
{
    log_read_done(read);
    *read = (struct log_read){0};
    block_unref(*copied);
    *copied = NULL;
}
