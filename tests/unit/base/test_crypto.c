/* Hashes and HMAC: test vectors of FIPS 180 and RFC 4231. */
#include "base/crypto.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void expect_hex(const uint8_t *bytes, enum crypto_hash hash, const char *expected)
{
    char text[2 * CRYPTO_HASH_BYTES_MAX + 1];
    for (uint32_t i = 0; i < crypto_hash_bytes(hash); i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    cr_expect_str_eq(text, expected);
}

Test(crypto, digests_and_macs_of_the_standards)
{
    uint8_t out[CRYPTO_HASH_BYTES_MAX];
    struct err err = ERR_NONE;
    struct slice jefe = SLICE("Jefe"), nothing = SLICE("what do ya want for nothing?");

    cr_assert_eq(crypto_digest(CRYPTO_SHA256, SLICE("abc"), out, &err), 0, "%s", err.text);
    expect_hex(out, CRYPTO_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    cr_assert_eq(crypto_hmac(CRYPTO_SHA256, jefe, nothing, out, &err), 0);
    expect_hex(out, CRYPTO_SHA256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    cr_assert_eq(crypto_hmac(CRYPTO_SHA512, jefe, nothing, out, &err), 0);
    expect_hex(
        out, CRYPTO_SHA512,
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d"
        "4a6b4b636e070a38bce737");
    cr_assert_eq(crypto_hmac(CRYPTO_SHA256, SLICE_EMPTY, SLICE_EMPTY, out, &err), 0);
    expect_hex(out, CRYPTO_SHA256, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}
