/* cdc/journal_store_internal.h: the state of the store, for journal_store.c and journal_store_load.c only. */
#ifndef OTTLA_CDC_JOURNAL_STORE_INTERNAL_H
#define OTTLA_CDC_JOURNAL_STORE_INTERNAL_H

#include "cdc/journal_store.h"

struct journal_store {
    struct broker *broker;
    struct partition_log *log; /* NULL: no connector ever ran */
    pthread_mutex_t lock;      /* of log, the fields below, and what journals say of being taken */
    pthread_cond_t returned;   /* a journal that was lent */
    struct err damage;         /* the first place that could not be read; code 0: none */
    bool blind;                /* .. and there may be journals that we do not know */
    struct batch_builder builder;
    struct stored_journal *journals;
    int32_t number_next;
    int64_t producer_id_next;
    int64_t log_start, log_end;
};

/* A journal that was not known. */
struct stored_journal *stored_journal_new(struct journal_store *s, int32_t number, struct slice name,
                                          struct slice topic_prefix, int64_t producer_id);
/* The journal is nobody's any more. With the lock, and nobody but the caller works on it. */
void stored_journal_forget(struct stored_journal *stored);
/* Reads the log: for all journals (only NULL), while nobody else knows the store, or for one that the caller has. What is damaged
 * stands in the journals' `failed` and `why` afterwards. */
void journal_store_load(struct journal_store *s, struct stored_journal *only);

#endif
