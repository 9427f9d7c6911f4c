/* http/no_tls.c: stands in for GnuTLS, which libmicrohttpd is linked with and we never use: no listener of ours speaks
 * TLS.
 *
 * Loading GnuTLS and what it loads costs 2.6 MB of memory and 14 ms at every start (measured: 4.1 MB against 1.5 MB for
 * a program that only links libmicrohttpd; 100 starts in 1.96 s against 0.57 s). So its static library is linked with
 * these names instead; meson.build falls back to the shared library when they do not suffice. */
#include <stdlib.h>

/* The library's constructor and destructor call them. */
int gnutls_global_init(void);
int gnutls_global_init(void)
{
    return 0;
}
void gnutls_global_deinit(void);
void gnutls_global_deinit(void) {}

/* clang-format off */
#define NEVER_CALLED(X) \
    X(gnutls_alpn_set_protocols) \
    X(gnutls_bye) \
    X(gnutls_certificate_allocate_credentials) \
    X(gnutls_certificate_free_credentials) \
    X(gnutls_certificate_server_set_request) \
    X(gnutls_certificate_set_dh_params) \
    X(gnutls_certificate_set_retrieve_function2) \
    X(gnutls_certificate_set_retrieve_function3) \
    X(gnutls_certificate_set_x509_key_mem) \
    X(gnutls_certificate_set_x509_key_mem2) \
    X(gnutls_certificate_set_x509_trust_mem) \
    X(gnutls_cipher_get) \
    X(gnutls_credentials_set) \
    X(gnutls_deinit) \
    X(gnutls_dh_params_deinit) \
    X(gnutls_dh_params_import_pkcs3) \
    X(gnutls_dh_params_init) \
    X(gnutls_handshake) \
    X(gnutls_init) \
    X(gnutls_malloc) \
    X(gnutls_priority_deinit) \
    X(gnutls_priority_init) \
    X(gnutls_priority_set) \
    X(gnutls_protocol_get_version) \
    X(gnutls_psk_allocate_server_credentials) \
    X(gnutls_psk_free_server_credentials) \
    X(gnutls_psk_set_server_credentials_function) \
    X(gnutls_record_check_pending) \
    X(gnutls_record_get_direction) \
    X(gnutls_record_recv) \
    X(gnutls_record_send) \
    X(gnutls_session_get_ptr) \
    X(gnutls_session_set_ptr) \
    X(gnutls_strerror) \
    X(gnutls_transport_set_int2)
/* clang-format on */

#define X(name)                                                                                                        \
    void name(void);                                                                                                   \
    void name(void)                                                                                                    \
    {                                                                                                                  \
        abort();                                                                                                       \
    }
NEVER_CALLED(X)
