/* base/crypto.h: hashes and HMAC of OpenSSL's libcrypto, loaded when first used: most brokers never need it.
 *
 * Threads: any. */
#ifndef OTTLA_CRYPTO_H
#define OTTLA_CRYPTO_H

#include "base/err.h"
#include "base/slice.h"

enum crypto_hash { CRYPTO_SHA256, CRYPTO_SHA512 };

#define CRYPTO_HASH_BYTES_MAX 64

static inline uint32_t crypto_hash_bytes(enum crypto_hash hash)
{
    return hash == CRYPTO_SHA256 ? 32 : 64;
}

/* Writes crypto_hash_bytes(hash) bytes. Returns 0; -ENOENT: libcrypto is not installed, err says so; -EIO: it refused.
 */
int crypto_digest(enum crypto_hash hash, struct slice data, uint8_t *ret_digest, struct err *err) WARN_UNUSED;
int crypto_hmac(enum crypto_hash hash, struct slice key, struct slice data, uint8_t *ret_mac,
                struct err *err) WARN_UNUSED;

#endif
