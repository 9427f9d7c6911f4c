#include "broker/scram_store.h"

#include "broker/metadata_log.h"

/* -- what may be stored -- */

static enum kafka_error check_key(struct slice name, int8_t mechanism, struct err *err)
{
    if (name.len == 0) return err_set(err, KAFKA_UNACCEPTABLE_CREDENTIAL, "Username must not be empty");
    if (mechanism != SCRAM_SHA_256 && mechanism != SCRAM_SHA_512)
        return err_set(err, KAFKA_UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism");
    return KAFKA_NONE;
}

enum kafka_error scram_upsertion_check(const struct scram_upsertion *u, struct err *err)
{
    enum kafka_error error = check_key(u->name, u->mechanism, err);

    if (error != KAFKA_NONE) return error;
    if (u->iterations < SCRAM_ITERATIONS_MIN) return err_set(err, KAFKA_UNACCEPTABLE_CREDENTIAL, "Too few iterations");
    if (u->iterations > SCRAM_ITERATIONS_MAX) return err_set(err, KAFKA_UNACCEPTABLE_CREDENTIAL, "Too many iterations");
    if (u->salt.len > SCRAM_SALT_BYTES_MAX)
        return err_set(err, KAFKA_UNACCEPTABLE_CREDENTIAL, "The salt is longer than %d bytes", SCRAM_SALT_BYTES_MAX);
    if (u->salted_password.len == 0) return err_set(err, KAFKA_UNACCEPTABLE_CREDENTIAL, "The salted password is empty");
    return KAFKA_NONE;
}

enum kafka_error scram_deletion_check(const struct metadata *m, struct slice name, int8_t mechanism, struct err *err)
{
    enum kafka_error error = check_key(name, mechanism, err);

    if (error == KAFKA_NONE && !scram_find(m, name, mechanism))
        return err_set(err, KAFKA_RESOURCE_NOT_FOUND, "Attempt to delete a user credential that does not exist");
    return error;
}

/* -- the set -- */

struct scram_key {
    struct slice name;
    int8_t mechanism;
};

static int compare(const struct shared_entry *e, const void *k)
{
    const struct scram_credential *c = (const struct scram_credential *)e;
    const struct scram_key *key = k;
    int r = slice_compare(c->name, key->name);
    return r ? r : c->mechanism - key->mechanism;
}

static int32_t find(const struct metadata *m, struct slice name, int8_t mechanism)
{
    return shared_set_find(m->scram, compare, &(struct scram_key){name, mechanism});
}

const struct scram_credential *scram_find(const struct metadata *m, struct slice name, int8_t mechanism)
{
    int32_t i = find(m, name, mechanism);
    return i < 0 ? NULL : scram_at(m->scram, i);
}

int32_t scram_of_user(const struct metadata *m, struct slice name, int32_t *ret_first)
{
    int32_t first = ~find(m, name, 0), count = 0;

    while (first + count < m->scram->count && slice_eq(scram_at(m->scram, first + count)->name, name)) count++;
    *ret_first = first;
    return count;
}

static enum crypto_hash algorithm(int8_t mechanism)
{
    return mechanism == SCRAM_SHA_256 ? CRYPTO_SHA256 : CRYPTO_SHA512;
}

static struct scram_credential *credential_new(struct slice name, int8_t mechanism, struct slice salt, int32_t iterations)
{
    struct scram_credential *c = xcalloc(1, sizeof *c + (size_t)name.len + salt.len + 1);

    memcpy(c->text, name.ptr, name.len);
    if (salt.len) memcpy(c->text + name.len, salt.ptr, salt.len);
    c->name = slice_make(c->text, name.len);
    c->salt = slice_make(c->text + name.len, salt.len);
    c->mechanism = mechanism;
    c->iterations = iterations;
    c->key_size = crypto_hash_bytes(algorithm(mechanism));
    return c;
}

static int derive(struct scram_credential *c, struct slice salted, struct err *err)
{
    enum crypto_hash a = algorithm(c->mechanism);
    uint8_t client_key[CRYPTO_HASH_BYTES_MAX];
    int r = crypto_hmac(a, salted, SLICE("Client Key"), client_key, err);

    if (r == 0) r = crypto_digest(a, slice_make(client_key, c->key_size), c->stored_key, err);
    if (r == 0) r = crypto_hmac(a, salted, SLICE("Server Key"), c->server_key, err);
    explicit_bzero(client_key, sizeof client_key);
    return r;
}

/* -- changes and replay -- */

enum kafka_error scram_change_put(struct metadata_change *c, const struct scram_upsertion *u, struct err *err)
{
    struct metadata *m = metadata_change_next(c);
    struct scram_credential *s;
    struct user_scram_credential_record r;

    if (metadata_change_full(c)) return err_set(err, KAFKA_POLICY_VIOLATION, "the request makes too large a change");
    s = credential_new(u->name, u->mechanism, u->salt, u->iterations);
    if (derive(s, u->salted_password, err) < 0) {
        free(s);
        if (err) err->code = KAFKA_UNKNOWN_SERVER_ERROR;
        return KAFKA_UNKNOWN_SERVER_ERROR;
    }
    user_scram_credential_record_init(&r);
    r.name = s->name;
    r.mechanism = s->mechanism;
    r.salt = s->salt;
    r.stored_key = slice_make(s->stored_key, s->key_size);
    r.server_key = slice_make(s->server_key, s->key_size);
    r.iterations = s->iterations;
    metadata_change_record(c, METADATA_USER_SCRAM_CREDENTIAL, &r);
    shared_set_own(&m->scram);
    shared_set_put(m->scram, find(m, u->name, u->mechanism), &s->entry);
    return KAFKA_NONE;
}

enum kafka_error scram_change_remove(struct metadata_change *c, struct slice name, int8_t mechanism, struct err *err)
{
    struct metadata *m = metadata_change_next(c);
    struct remove_user_scram_credential_record r;

    if (metadata_change_full(c)) return err_set(err, KAFKA_POLICY_VIOLATION, "the request makes too large a change");
    if (!scram_replay_removal(m, name, mechanism)) return KAFKA_NONE;
    remove_user_scram_credential_record_init(&r);
    r.name = name;
    r.mechanism = mechanism;
    metadata_change_record(c, METADATA_REMOVE_USER_SCRAM_CREDENTIAL, &r);
    return KAFKA_NONE;
}

bool scram_replay(struct metadata *m, const struct user_scram_credential_record *r)
{
    struct scram_credential *s;

    if (check_key(r->name, r->mechanism, NULL) != KAFKA_NONE || r->iterations <= 0) return false;
    s = credential_new(r->name, r->mechanism, r->salt, r->iterations);
    if (r->stored_key.len != s->key_size || r->server_key.len != s->key_size) {
        free(s);
        return false;
    }
    memcpy(s->stored_key, r->stored_key.ptr, s->key_size);
    memcpy(s->server_key, r->server_key.ptr, s->key_size);
    shared_set_own(&m->scram);
    shared_set_put(m->scram, find(m, r->name, r->mechanism), &s->entry);
    return true;
}

bool scram_replay_removal(struct metadata *m, struct slice name, int8_t mechanism)
{
    int32_t at = find(m, name, mechanism);

    if (at < 0) return false;
    shared_set_own(&m->scram);
    shared_set_remove(m->scram, at);
    return true;
}
