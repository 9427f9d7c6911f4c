/* broker/access/quota_store.h: client quotas: entities, keys, which of them a filter means, and their records.
 *
 * An entity is a user, a client id, both together, or an address; a name of null stands for "every one without its own"
 * (the default). The quotas are part of the metadata snapshot (metadata->quotas), folded from the records ClientQuota
 * of the metadata log. Semantics: KIP-546. In force by quota.h.
 * Threads: as snapshots; changes on the control thread. */
#ifndef OTTLA_QUOTA_STORE_H
#define OTTLA_QUOTA_STORE_H

#include "base/err.h"
#include "base/slice.h"
#include "broker/metadata/shared_set.h"
#include "protocol/kafka_error.h"

struct client_quota_record;
struct metadata;
struct metadata_change;

/* In the order of their names: the order of a record's entity list. */
enum quota_type { QUOTA_CLIENT_ID, QUOTA_IP, QUOTA_USER, QUOTA_TYPES };
enum quota_key {
    QUOTA_PRODUCER_BYTE_RATE,
    QUOTA_CONSUMER_BYTE_RATE,
    QUOTA_REQUEST_PERCENTAGE,
    QUOTA_CONTROLLER_MUTATION_RATE,
    QUOTA_CONNECTION_CREATION_RATE,
    QUOTA_KEYS
};

/* Names in the protocol; -1: unknown. */
const char *quota_type_name(enum quota_type t);
int quota_type_find(struct slice name);
const char *quota_key_name(enum quota_key k);
int quota_key_find(struct slice name);

/* Which types it has, and their names (null: the default). */
struct quota_entity {
    bool has[QUOTA_TYPES];
    struct slice name[QUOTA_TYPES];
};

/* The order of the set; 0: the same entity. */
int quota_entity_compare(const struct quota_entity *a, const struct quota_entity *b);

/* As stored; the entity's names point into the same block. */
struct quota {
    struct shared_entry entry;
    struct quota_entity entity;
    bool has[QUOTA_KEYS];
    double value[QUOTA_KEYS];
    uint8_t text[];
};

static inline const struct quota *quota_at(const struct shared_set *quotas, int32_t i)
{
    return (const struct quota *)quotas->entries[i];
}

enum quota_match { QUOTA_MATCH_NONE = -1, QUOTA_MATCH_EXACT = 0, QUOTA_MATCH_DEFAULT = 1, QUOTA_MATCH_ANY = 2 };
struct quota_filter {
    enum quota_match match[QUOTA_TYPES];
    struct slice name[QUOTA_TYPES]; /* of exact matches */
    bool strict;                    /* no other types than those that the filter names */
};
bool quota_matches(const struct quota_entity *e, const struct quota_filter *f);

/* INVALID_REQUEST with the reason: types that do not go together, an empty name, an address that is none. */
enum kafka_error quota_entity_check(const struct quota_entity *e, struct err *err);
/* Is it a key, and one that such an entity can have? */
bool quota_key_suits(const struct quota_entity *e, int key);
/* INVALID_REQUEST: not a key of such an entity, or not a value of the key. */
enum kafka_error quota_value_check(const struct quota_entity *e, struct slice key, double value, struct err *err);

/* Sets a checked value or, with value NULL, removes the key; what is so already is no change. */
enum kafka_error quota_change_set(struct metadata_change *c, const struct quota_entity *e, enum quota_key key,
                                  const double *value, struct err *err) WARN_UNUSED;

/* The set as records, one per key. */
void quota_records(const struct shared_set *quotas, void (*put)(void *arg, const struct client_quota_record *r),
                   void *arg);
/* Replay of the log into a snapshot that nobody else holds. false: the record makes no sense. */
bool quota_replay(struct metadata *m, const struct client_quota_record *r);

#endif
