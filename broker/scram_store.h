/* broker/scram_store.h: SCRAM credentials: what may be stored, how it is derived, and their records.
 *
 * The credentials are part of the metadata snapshot (metadata->scram), folded from the records UserScramCredential and
 * RemoveUserScramCredential of the metadata log. A client sends the salted password (RFC 5802: Hi(password, salt, i)); what
 * is stored are StoredKey = H(HMAC(salted, "Client Key")) and ServerKey = HMAC(salted, "Server Key"), of which neither the
 * password nor the salted one can be computed. No API gives them out. Semantics: KIP-554.
 * Threads: as snapshots; changes on the control thread. */
#ifndef OTTLA_SCRAM_STORE_H
#define OTTLA_SCRAM_STORE_H

#include "base/err.h"
#include "base/crypto.h"
#include "base/slice.h"
#include "broker/shared_set.h"
#include "protocol/kafka_error.h"

struct metadata;
struct metadata_change;
struct user_scram_credential_record;

enum scram_mechanism { SCRAM_SHA_256 = 1, SCRAM_SHA_512 = 2 };

#define SCRAM_ITERATIONS_MIN  4096
#define SCRAM_ITERATIONS_MAX  16384
#define SCRAM_SALT_BYTES_MAX  1024 /* clients make some 30 */
#define SCRAM_MECHANISM_COUNT 2

struct scram_credential {
    struct shared_entry entry;
    int8_t mechanism;
    int32_t iterations;
    struct slice name; /* this and the salt: in the same block */
    struct slice salt;
    uint32_t key_size;
    uint8_t stored_key[CRYPTO_HASH_BYTES_MAX];
    uint8_t server_key[CRYPTO_HASH_BYTES_MAX];
    uint8_t text[];
};

/* What a client asks to store; borrowed. */
struct scram_upsertion {
    struct slice name;
    int8_t mechanism;
    int32_t iterations;
    struct slice salt;
    struct slice salted_password;
};

/* NULL: there is none. */
const struct scram_credential *scram_find(const struct metadata *m, struct slice name, int8_t mechanism);
/* All credentials of a user stand side by side: the first index, and how many. */
int32_t scram_of_user(const struct metadata *m, struct slice name, int32_t *ret_first);
static inline const struct scram_credential *scram_at(const struct shared_set *scram, int32_t i)
{
    return (const struct scram_credential *)scram->entries[i];
}

/* UNACCEPTABLE_CREDENTIAL, UNSUPPORTED_SASL_MECHANISM. */
enum kafka_error scram_upsertion_check(const struct scram_upsertion *u, struct err *err);
/* Likewise, and RESOURCE_NOT_FOUND. */
enum kafka_error scram_deletion_check(const struct metadata *m, struct slice name, int8_t mechanism, struct err *err);

/* Checked ones. POLICY_VIOLATION: the change is too large; UNKNOWN_SERVER_ERROR: libcrypto is missing. */
enum kafka_error scram_change_put(struct metadata_change *c, const struct scram_upsertion *u, struct err *err) WARN_UNUSED;
enum kafka_error scram_change_remove(struct metadata_change *c, struct slice name, int8_t mechanism, struct err *err) WARN_UNUSED;

/* Replay of the log into a snapshot that nobody else holds. false: the record makes no sense. */
bool scram_replay(struct metadata *m, const struct user_scram_credential_record *r);
bool scram_replay_removal(struct metadata *m, struct slice name, int8_t mechanism);

#endif
