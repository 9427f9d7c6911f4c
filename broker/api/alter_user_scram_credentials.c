/* AlterUserScramCredentials, key 51 (KIP-554). Control thread (metadata). The client salts and hashes the password;
 * what the broker keeps is derived from that (RFC 5802 section 3): StoredKey = H(HMAC(SaltedPassword, "Client Key")),
 * ServerKey = HMAC(SaltedPassword, "Server Key"). Each user by itself; what is valid is one change. */
#include "base/crypto.h"
#include "broker/api/wait.h"
#include "broker/limits.h"
#include "broker/metadata/metadata.h"
#include "broker/access/security.h"
#include "protocol/api_handlers.h"

struct alter {
    struct api_wait *wait;
    struct alter_user_scram_credentials_response *out;
};

static void committed(void *arg, enum kafka_error error)
{
    struct alter *a = arg;
    for (int32_t i = 0; error != KAFKA_NONE && i < a->out->results_count; i++)
        if (a->out->results[i].error_code == KAFKA_NONE) a->out->results[i].error_code = (int16_t)error;
    api_wait_done(a->wait);
}

/* How often the request names the user; more than once is refused, as the order would decide. */
static int times_named(const struct alter_user_scram_credentials_request *in, struct slice user)
{
    int times = 0;
    for (int32_t i = 0; i < in->deletions_count; i++) times += slice_eq(in->deletions[i].name, user);
    for (int32_t i = 0; i < in->upsertions_count; i++) times += slice_eq(in->upsertions[i].name, user);
    return times;
}

static enum kafka_error check(enum kafka_error refused, const struct alter_user_scram_credentials_request *in,
                              struct slice user, int8_t mechanism, struct err *err)
{
    if (refused != KAFKA_NONE) return err_set(err, refused, "%s", kafka_error_text(refused));
    if (times_named(in, user) > 1)
        return err_set(err, KAFKA_DUPLICATE_RESOURCE, "A user credential cannot be altered twice in the same request");
    if (!user.len) return err_set(err, KAFKA_UNACCEPTABLE_CREDENTIAL, "Username must not be empty");
    if (mechanism != SCRAM_SHA_256 && mechanism != SCRAM_SHA_512)
        return err_set(err, KAFKA_UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism");
    return KAFKA_NONE;
}

static enum kafka_error delete_one(enum kafka_error refused, struct metadata_change *c,
                                   const struct alter_user_scram_credentials_request *in, int32_t index,
                                   struct err *err)
{
    const struct alter_user_scram_credentials_request_scram_credential_deletion *d = &in->deletions[index];
    enum kafka_error error = check(refused, in, d->name, d->mechanism, err);
    if (error != KAFKA_NONE) return error;
    if (!security_scram(metadata_change_view(c)->security, d->name, d->mechanism))
        return err_set(err, KAFKA_RESOURCE_NOT_FOUND, "Attempt to delete a user credential that does not exist");
    metadata_change_remove_scram(c, d->name, d->mechanism);
    return KAFKA_NONE;
}

static enum kafka_error set_one(enum kafka_error refused, struct metadata_change *c,
                                const struct alter_user_scram_credentials_request *in, int32_t index, struct err *err)
{
    const struct alter_user_scram_credentials_request_scram_credential_upsertion *u = &in->upsertions[index];
    enum kafka_error error = check(refused, in, u->name, u->mechanism, err);
    if (error != KAFKA_NONE) return error;
    if (u->iterations < SCRAM_ITERATIONS_MIN || u->iterations > SCRAM_ITERATIONS_MAX)
        return err_set(err, KAFKA_UNACCEPTABLE_CREDENTIAL, "Too %s iterations: %d, allowed are %d to %d",
                       u->iterations < SCRAM_ITERATIONS_MIN ? "few" : "many", u->iterations, SCRAM_ITERATIONS_MIN,
                       SCRAM_ITERATIONS_MAX);

    if (u->salt.len > SCRAM_SALT_BYTES_MAX)
        return err_set(err, KAFKA_UNACCEPTABLE_CREDENTIAL, "The salt is longer than %d bytes", SCRAM_SALT_BYTES_MAX);
    if (!u->salted_password.len) return err_set(err, KAFKA_UNACCEPTABLE_CREDENTIAL, "The salted password is empty");
    if (!metadata_change_room(c)) return err_set(err, KAFKA_POLICY_VIOLATION, "The request makes too many changes.");

    enum crypto_hash hash = u->mechanism == SCRAM_SHA_256 ? CRYPTO_SHA256 : CRYPTO_SHA512;
    uint32_t size = crypto_hash_bytes(hash);
    uint8_t client_key[CRYPTO_HASH_BYTES_MAX], stored_key[CRYPTO_HASH_BYTES_MAX], server_key[CRYPTO_HASH_BYTES_MAX];
    if (crypto_hmac(hash, u->salted_password, SLICE("Client Key"), client_key, err) < 0 ||
        crypto_digest(hash, slice_make(client_key, size), stored_key, err) < 0 ||
        crypto_hmac(hash, u->salted_password, SLICE("Server Key"), server_key, err) < 0)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    metadata_change_set_scram(c, &(struct scram_fields){.user = u->name,
                                                        .salt = u->salt,
                                                        .stored_key = slice_make(stored_key, size),
                                                        .server_key = slice_make(server_key, size),
                                                        .iterations = u->iterations,
                                                        .mechanism = u->mechanism});
    return KAFKA_NONE;
}

/* The result of a user; one that is named twice has one. */
static void add_result(struct request *rq, struct alter_user_scram_credentials_response *out, struct slice user,
                       enum kafka_error error, const struct err *err)
{
    for (int32_t i = 0; i < out->results_count; i++)
        if (slice_eq(out->results[i].user, user)) return;
    out->results[out->results_count++] = (struct alter_user_scram_credentials_response_result){
        .user = user,
        .error_code = (int16_t)error,
        .error_message = error == KAFKA_NONE ? SLICE_NULL : slice_of(arena_strdup(&rq->arena, err->text))};
}

API_HANDLER(alter_user_scram_credentials)
{
    size_t count = (size_t)MAX(in->deletions_count, 0) + (size_t)MAX(in->upsertions_count, 0);
    struct alter *a = arena_calloc(&rq->arena, 1, sizeof *a);
    struct api_wait *w = api_wait_new(rq);
    out->results = arena_calloc(&rq->arena, count + 1, sizeof out->results[0]);
    if (!a || !w || !out->results) return API_CLOSE;
    *a = (struct alter){.wait = w, .out = out};
    if (count > METADATA_CHANGE_RECORDS_MAX) return API_CLOSE; /* the checks take the square of it */
    enum kafka_error refused = request_refused(rq);
    struct metadata_change *c = metadata_change_begin(rq->broker);
    for (int32_t i = 0; i < in->deletions_count; i++) {
        struct err err = ERR_NONE;
        add_result(rq, out, in->deletions[i].name, delete_one(refused, c, in, i, &err), &err);
    }
    for (int32_t i = 0; i < in->upsertions_count; i++) {
        struct err err = ERR_NONE;
        add_result(rq, out, in->upsertions[i].name, set_one(refused, c, in, i, &err), &err);
    }
    metadata_change_commit(c, committed, a);
    return api_wait_result(w);
}
