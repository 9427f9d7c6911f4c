/* base/crypto.c: see crypto.h. */
#include "base/crypto.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#define LIBRARY "libcrypto.so.3"

/* The few functions that are used, with OpenSSL's types as void. */
static struct {
    const void *(*sha256)(void);
    const void *(*sha512)(void);
    int (*digest)(const void *data, size_t count, unsigned char *md, unsigned *size, const void *type, void *engine);
    unsigned char *(*hmac)(const void *type, const void *key, int key_len, const unsigned char *data, size_t count,
                           unsigned char *md, unsigned *size);
    bool loaded;
} lib;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return;
    *(void **)&lib.sha256 = dlsym(handle, "EVP_sha256");
    *(void **)&lib.sha512 = dlsym(handle, "EVP_sha512");
    *(void **)&lib.digest = dlsym(handle, "EVP_Digest");
    *(void **)&lib.hmac = dlsym(handle, "HMAC");
    lib.loaded = lib.sha256 && lib.sha512 && lib.digest && lib.hmac;
}

static const void *hash_type(enum crypto_hash hash, struct err *err)
{
    pthread_once(&once, load);
    if (lib.loaded) return hash == CRYPTO_SHA256 ? lib.sha256() : lib.sha512();
    err_set(err, -ENOENT, "OpenSSL's %s is not installed", LIBRARY);
    return NULL;
}

int crypto_digest(enum crypto_hash hash, struct slice data, uint8_t *ret_digest, struct err *err)
{
    const void *type = hash_type(hash, err);
    unsigned size;
    if (!type) return -ENOENT;
    if (!lib.digest(data.ptr, data.len, ret_digest, &size, type, NULL)) return err_set(err, -EIO, "the hash failed");
    return 0;
}

int crypto_hmac(enum crypto_hash hash, struct slice key, struct slice data, uint8_t *ret_mac, struct err *err)
{
    const void *type = hash_type(hash, err);
    unsigned size;
    if (!type) return -ENOENT;
    /* A null key means "the last one" to OpenSSL. */
    if (!lib.hmac(type, key.len ? key.ptr : (const uint8_t *)"", (int)key.len, data.ptr, data.len, ret_mac, &size))
        return err_set(err, -EIO, "the message authentication code failed");
    return 0;
}
