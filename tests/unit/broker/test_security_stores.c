/* SCRAM credentials and quotas: what is derived and stored, and that snapshots do not see each other's changes. */
#include "broker/metadata_log.h"
#include "broker/quota_store.h"
#include "broker/scram_store.h"

#include <criterion/criterion.h>

/* A snapshot of nothing else. */
static void begin(struct metadata *m)
{
    *m = (struct metadata){.scram = shared_set_new(), .quotas = shared_set_new()};
}

static void end(struct metadata *m)
{
    shared_set_unref(m->scram);
    shared_set_unref(m->quotas);
}

static void put(struct metadata *m, const char *name, int8_t mechanism, uint32_t key_size)
{
    static const uint8_t key[CRYPTO_HASH_BYTES_MAX] = {1, 2, 3};
    struct user_scram_credential_record r = {.name = slice_of(name),
                                             .mechanism = mechanism,
                                             .salt = SLICE("salt"),
                                             .stored_key = slice_make(key, key_size),
                                             .server_key = slice_make(key, key_size),
                                             .iterations = 4096};
    cr_assert(scram_replay(m, &r));
}

Test(scram, credentials_of_a_user_stand_side_by_side)
{
    struct metadata m;
    int32_t first;

    begin(&m);
    put(&m, "b", SCRAM_SHA_512, 64);
    put(&m, "a", SCRAM_SHA_256, 32);
    put(&m, "b", SCRAM_SHA_256, 32);
    put(&m, "ba", SCRAM_SHA_256, 32);
    cr_assert_eq(scram_of_user(&m, SLICE("b"), &first), 2);
    cr_assert_eq(scram_at(m.scram, first)->mechanism, SCRAM_SHA_256);
    cr_assert_eq(scram_at(m.scram, first + 1)->mechanism, SCRAM_SHA_512);
    cr_assert_eq(scram_of_user(&m, SLICE("c"), &first), 0);
    cr_assert(scram_replay_removal(&m, SLICE("b"), SCRAM_SHA_512));
    cr_assert_not(scram_replay_removal(&m, SLICE("b"), SCRAM_SHA_512));
    cr_assert_null(scram_find(&m, SLICE("b"), SCRAM_SHA_512));
    cr_assert_not_null(scram_find(&m, SLICE("b"), SCRAM_SHA_256));
    end(&m);
}

Test(scram, a_record_of_another_shape_is_refused)
{
    struct metadata m;
    struct user_scram_credential_record r = {.name = SLICE("a"), .mechanism = SCRAM_SHA_256, .iterations = 4096};

    begin(&m);
    cr_assert_not(scram_replay(&m, &r), "no keys");
    r.mechanism = 3;
    cr_assert_not(scram_replay(&m, &r));
    cr_assert_eq(m.scram->count, 0);
    end(&m);
}

Test(shared_set, a_snapshot_does_not_see_the_changes_of_the_next)
{
    struct metadata before, after;

    begin(&before);
    put(&before, "a", SCRAM_SHA_256, 32);
    put(&before, "b", SCRAM_SHA_256, 32);
    after = before;
    shared_set_ref(after.scram);
    shared_set_ref(after.quotas);
    put(&after, "c", SCRAM_SHA_256, 32);
    cr_assert(scram_replay_removal(&after, SLICE("a"), SCRAM_SHA_256));
    cr_assert_eq(before.scram->count, 2);
    cr_assert_not_null(scram_find(&before, SLICE("a"), SCRAM_SHA_256));
    cr_assert_null(scram_find(&after, SLICE("a"), SCRAM_SHA_256));
    cr_assert_eq(scram_find(&before, SLICE("b"), SCRAM_SHA_256), scram_find(&after, SLICE("b"), SCRAM_SHA_256), "shared, not copied");
    end(&before);
    cr_assert_not_null(scram_find(&after, SLICE("c"), SCRAM_SHA_256));
    end(&after);
}

static bool set(struct metadata *m, const char *user, const char *client, const char *key, double value, bool remove)
{
    struct client_quota_record_entity_data entity[2];
    struct client_quota_record r = {.entity = entity, .key = slice_of(key), .value = value, .remove = remove};
    if (user) entity[r.entity_count++] = (struct client_quota_record_entity_data){SLICE("user"), *user ? slice_of(user) : SLICE_NULL};
    if (client) entity[r.entity_count++] = (struct client_quota_record_entity_data){SLICE("client-id"), slice_of(client)};
    return quota_replay(m, &r);
}

Test(quota, records_fold_to_one_entry_of_each_entity)
{
    struct metadata m;

    begin(&m);
    cr_assert(set(&m, "a", NULL, "producer_byte_rate", 1, false));
    cr_assert(set(&m, "", NULL, "producer_byte_rate", 2, false));
    cr_assert(set(&m, "a", "x", "producer_byte_rate", 3, false));
    cr_assert(set(&m, "a", NULL, "consumer_byte_rate", 4, false));
    cr_assert_eq(m.quotas->count, 3);
    cr_assert(set(&m, "a", NULL, "producer_byte_rate", 0, true));
    cr_assert_eq(m.quotas->count, 3, "it has another key");
    cr_assert(set(&m, "a", NULL, "consumer_byte_rate", 0, true));
    cr_assert_eq(m.quotas->count, 2);
    cr_assert(set(&m, "nobody", NULL, "consumer_byte_rate", 0, true), "nothing to remove");
    cr_assert_not(set(&m, "a", NULL, "no_such_rate", 1, false));
    cr_assert_not(set(&m, "a", NULL, "connection_creation_rate", 1, false), "a key of addresses");
    cr_assert_not(set(&m, NULL, NULL, "producer_byte_rate", 1, false));
    cr_assert_eq(m.quotas->count, 2);
    end(&m);
}

Test(quota, addresses_are_numbers)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {{"10.0.0.1", true},    {"::1", true},  {"1.2.3", true}, {"fe80::1234:5678:9abc:def0", true}, {"localhost", false},
                {"10.0.0.256", false}, {"::g", false}, {"a:b", false},  {"0123456789012345678901234567890123456789012345678901234567890", false}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct quota_entity e = {.has[QUOTA_IP] = true, .name[QUOTA_IP] = slice_of(rows[i].text)};
        cr_expect_eq(quota_entity_check(&e, NULL) == KAFKA_NONE, rows[i].good, "%s", rows[i].text);
    }
}

/* The example of RFC 7677: user "user", password "pencil". */
Test(crypto, stored_and_server_key_are_those_of_the_rfc)
{
    static const uint8_t salted[32] = {0xc4, 0xa4, 0x95, 0x10, 0x32, 0x3a, 0xb4, 0xf9, 0x52, 0xca, 0xc1, 0xfa, 0x99, 0x44, 0x19, 0x39,
                                          0xe7, 0x8e, 0xa7, 0x4d, 0x6b, 0xe8, 0x1d, 0xdf, 0x70, 0x96, 0xe8, 0x75, 0x13, 0xdc, 0x61, 0x5d};
    static const uint8_t stored[32] = {0x58, 0x6e, 0x5d, 0xf2, 0x83, 0xe6, 0xdc, 0xeb, 0x5c, 0x3e, 0x79, 0x1d, 0x8b, 0x85, 0x28, 0xec,
                                          0x19, 0x1e, 0x66, 0x40, 0x45, 0xce, 0x97, 0x17, 0x92, 0xe2, 0xe6, 0xb5, 0xbb, 0x13, 0xe2, 0xa6};
    static const uint8_t server[32] = {0xc1, 0xf3, 0xcb, 0xc1, 0xc1, 0x3a, 0x9d, 0x35, 0xa1, 0x4c, 0x09, 0x90, 0xee, 0xd9, 0x76, 0x29,
                                          0xea, 0x22, 0x58, 0x63, 0xe5, 0x66, 0xa4, 0x31, 0x4a, 0xb9, 0x9f, 0x3f, 0x00, 0xe5, 0xd9, 0xd5};
    uint8_t key[CRYPTO_HASH_BYTES_MAX], digest[CRYPTO_HASH_BYTES_MAX];
    struct err err = ERR_NONE;

    cr_assert_eq(crypto_hmac(CRYPTO_SHA256, slice_make(salted, 32), SLICE("Client Key"), key, &err), 0, "%s", err.text);
    cr_assert_eq(crypto_digest(CRYPTO_SHA256, slice_make(key, 32), digest, &err), 0, "%s", err.text);
    cr_assert_arr_eq(digest, stored, 32);
    cr_assert_eq(crypto_hmac(CRYPTO_SHA256, slice_make(salted, 32), SLICE("Server Key"), key, &err), 0, "%s", err.text);
    cr_assert_arr_eq(key, server, 32);
}
