/* broker/access/security.h: access rules (ACLs) and what they allow; SCRAM credentials of users.
 *
 * Both are part of a metadata snapshot: records AccessControlEntry, UserScramCredential and their removals in the
 * metadata log. The decision about a request is that of Kafka's StandardAuthorizer (KIP-801): super users may all; a
 * matching DENY forbids; a matching ALLOW permits; rules for the resource without a match forbid; no rule at all:
 * allow.everyone.if.no.acl.found. A rule matches when resource (the name, "*", or a prefix), principal (or "User:*"),
 * host (or "*") and operation (or All) do. Allowing Read, Write, Delete or Alter allows Describe, AlterConfigs allows
 * DescribeConfigs; denying does not spread.
 *
 * Invariants: a published struct security never changes; changes make a new one that shares what stays.
 * Threads: any. */
#ifndef OTTLA_SECURITY_H
#define OTTLA_SECURITY_H

#include "base/slice.h"
#include "base/uuid.h"

#include <stdatomic.h>

/* Numbers of the protocol (DescribeAcls); operations and resource types: api.h. */
enum acl_pattern { ACL_PATTERN_ANY = 1, ACL_PATTERN_MATCH = 2, ACL_PATTERN_LITERAL = 3, ACL_PATTERN_PREFIXED = 4 };
enum acl_permission { ACL_PERMISSION_ANY = 1, ACL_PERMISSION_DENY = 2, ACL_PERMISSION_ALLOW = 3 };
#define ACL_ANY           1 /* of resource types and operations, in filters */
#define ACL_OPERATION_ALL 2
#define ACL_OPERATION_MAX 15
#define ACL_RESOURCE_MAX  7
#define ACL_CLUSTER_NAME  "kafka-cluster"

/* A rule as requests and records say it. */
struct acl_fields {
    struct slice resource_name;
    struct slice principal; /* "User:alice" */
    struct slice host;
    int8_t resource_type;
    int8_t pattern; /* enum acl_pattern: LITERAL or PREFIXED */
    int8_t operation;
    int8_t permission; /* enum acl_permission: DENY or ALLOW */
};

struct acl {
    atomic_uint refs;
    struct uuid id;
    struct acl_fields fields; /* the texts are owned */
};

/* Numbers of the protocol (KIP-554). */
enum scram_mechanism { SCRAM_SHA_256 = 1, SCRAM_SHA_512 = 2 };
#define SCRAM_ITERATIONS_MIN 4096
#define SCRAM_ITERATIONS_MAX 16384

/* What a server keeps of a password (RFC 5802): it cannot be used to log in elsewhere. */
struct scram_fields {
    struct slice user;
    struct slice salt;
    struct slice stored_key;
    struct slice server_key;
    int32_t iterations;
    int8_t mechanism; /* enum scram_mechanism */
};

struct scram_credential {
    atomic_uint refs;
    struct scram_fields fields; /* the texts are owned */
};

struct security {
    atomic_uint refs;
    int32_t acls_count;
    struct acl **acls;
    int32_t scram_count;
    struct scram_credential **scram;
};

/* Like struct acl_fields; null texts and ANY match all. pattern MATCH: rules that apply to resource_name. */
struct acl_filter {
    struct acl_fields fields;
};

const struct security *security_ref(const struct security *s);
void security_unref(const struct security *s);
/* s (NULL: none yet) with one rule more, or without the rule of this id. The caller gets a reference. */
const struct security *security_add(const struct security *s, struct uuid id, const struct acl_fields *fields);
const struct security *security_remove(const struct security *s, struct uuid id);

/* The same for a holder that builds the next state: in place when nobody else holds *s, so that ten thousand rules do
 * not make ten thousand copies. */
void security_add_to(const struct security **s, struct uuid id, const struct acl_fields *fields);
void security_remove_from(const struct security **s, struct uuid id);

/* With the credential of this user and mechanism set, or without it. */
const struct security *security_set_scram(const struct security *s, const struct scram_fields *fields);
const struct security *security_remove_scram(const struct security *s, struct slice user, int8_t mechanism);
/* NULL: none. s may be NULL. */
const struct scram_fields *security_scram(const struct security *s, struct slice user, int8_t mechanism);

bool acl_filter_matches(const struct acl_filter *f, const struct acl_fields *fields);
bool acl_fields_eq(const struct acl_fields *a, const struct acl_fields *b);

struct authorizer {
    const char *super_users; /* "User:a;User:b"; NULL: none */
    bool allow_if_no_acl_found;
};
/* s NULL: no rules. host: the peer's address as text. */
bool security_authorize(const struct security *s, const struct authorizer *a, const char *principal, struct slice host,
                        int operation, int resource_type, struct slice name);

#endif
