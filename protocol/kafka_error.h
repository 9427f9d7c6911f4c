/* protocol/kafka_error.h: error codes of the Kafka protocol. Source: protocol guide "Error Codes", of Kafka 4.1. */
#ifndef OTTLA_KAFKA_ERROR_H
#define OTTLA_KAFKA_ERROR_H

#include "base/base.h"

/* X(name, number, retriable, text): retriable means that a client tries again by itself. */
#define KAFKA_ERROR_TABLE(X)                                                                                           \
    X(UNKNOWN_SERVER_ERROR, -1, 0, "the broker failed for a reason without a code")                                    \
    X(NONE, 0, 0, "no error")                                                                                          \
    X(OFFSET_OUT_OF_RANGE, 1, 0, "the offset is outside of the partition's log")                                       \
    X(CORRUPT_MESSAGE, 2, 1, "the batch is damaged: its checksum or length is wrong")                                  \
    X(UNKNOWN_TOPIC_OR_PARTITION, 3, 1, "the broker does not have this topic or partition")                            \
    X(INVALID_FETCH_SIZE, 4, 0, "the fetch size is not allowed")                                                       \
    X(LEADER_NOT_AVAILABLE, 5, 1, "the partition has no leader at the moment")                                         \
    X(NOT_LEADER_OR_FOLLOWER, 6, 1, "another broker leads the partition")                                              \
    X(REQUEST_TIMED_OUT, 7, 1, "the request was not finished in time")                                                 \
    X(BROKER_NOT_AVAILABLE, 8, 0, "the broker is not available")                                                       \
    X(REPLICA_NOT_AVAILABLE, 9, 1, "the replica is not available")                                                     \
    X(MESSAGE_TOO_LARGE, 10, 0, "the batch is larger than the topic allows")                                           \
    X(STALE_CONTROLLER_EPOCH, 11, 0, "the controller epoch is older than the current one")                             \
    X(OFFSET_METADATA_TOO_LARGE, 12, 0, "the metadata of the committed offset is too long")                            \
    X(NETWORK_EXCEPTION, 13, 1, "the connection was lost before the answer came")                                      \
    X(COORDINATOR_LOAD_IN_PROGRESS, 14, 1, "the coordinator is still reading its state")                               \
    X(COORDINATOR_NOT_AVAILABLE, 15, 1, "the coordinator is not available")                                            \
    X(NOT_COORDINATOR, 16, 1, "another broker is the coordinator")                                                     \
    X(INVALID_TOPIC_EXCEPTION, 17, 0, "the topic name is not allowed")                                                 \
    X(RECORD_LIST_TOO_LARGE, 18, 0, "the batches are larger than a log segment")                                       \
    X(NOT_ENOUGH_REPLICAS, 19, 1, "there are fewer replicas in sync than the topic requires")                          \
    X(NOT_ENOUGH_REPLICAS_AFTER_APPEND, 20, 1, "written, but by fewer replicas than the topic requires")               \
    X(INVALID_REQUIRED_ACKS, 21, 0, "acks must be -1, 0 or 1")                                                         \
    X(ILLEGAL_GENERATION, 22, 0, "the generation is not the group's current one")                                      \
    X(INCONSISTENT_GROUP_PROTOCOL, 23, 0, "the member's protocols do not fit the group's")                             \
    X(INVALID_GROUP_ID, 24, 0, "the group id is not allowed")                                                          \
    X(UNKNOWN_MEMBER_ID, 25, 0, "the group does not know this member")                                                 \
    X(INVALID_SESSION_TIMEOUT, 26, 0, "the session timeout is outside of the allowed range")                           \
    X(REBALANCE_IN_PROGRESS, 27, 0, "the group is rebalancing: join again")                                            \
    X(INVALID_COMMIT_OFFSET_SIZE, 28, 0, "the offset record is larger than allowed")                                   \
    X(TOPIC_AUTHORIZATION_FAILED, 29, 0, "no right to the topic")                                                      \
    X(GROUP_AUTHORIZATION_FAILED, 30, 0, "no right to the group")                                                      \
    X(CLUSTER_AUTHORIZATION_FAILED, 31, 0, "no right to the cluster")                                                  \
    X(INVALID_TIMESTAMP, 32, 0, "the timestamp of a record is outside of the allowed range")                           \
    X(UNSUPPORTED_SASL_MECHANISM, 33, 0, "the SASL mechanism is not enabled")                                          \
    X(ILLEGAL_SASL_STATE, 34, 0, "the request does not fit the state of authentication")                               \
    X(UNSUPPORTED_VERSION, 35, 0, "the version of the API is not supported")                                           \
    X(TOPIC_ALREADY_EXISTS, 36, 0, "there is a topic of this name already")                                            \
    X(INVALID_PARTITIONS, 37, 0, "the number of partitions is not allowed")                                            \
    X(INVALID_REPLICATION_FACTOR, 38, 0, "the replication factor is not possible")                                     \
    X(INVALID_REPLICA_ASSIGNMENT, 39, 0, "the assignment of replicas is not possible")                                 \
    X(INVALID_CONFIG, 40, 0, "the config is unknown or its value not allowed")                                         \
    X(NOT_CONTROLLER, 41, 1, "another node is the controller")                                                         \
    X(INVALID_REQUEST, 42, 0, "the request is contradictory or incomplete")                                            \
    X(UNSUPPORTED_FOR_MESSAGE_FORMAT, 43, 0, "the stored message format cannot answer this")                           \
    X(POLICY_VIOLATION, 44, 0, "a policy of the cluster forbids it")                                                   \
    X(OUT_OF_ORDER_SEQUENCE_NUMBER, 45, 0, "a batch before this one is missing")                                       \
    X(DUPLICATE_SEQUENCE_NUMBER, 46, 0, "the batch is in the log already")                                             \
    X(INVALID_PRODUCER_EPOCH, 47, 0, "the producer epoch is older than the current one")                               \
    X(INVALID_TXN_STATE, 48, 0, "the transaction is not in a state that permits this")                                 \
    X(INVALID_PRODUCER_ID_MAPPING, 49, 0, "the producer id does not belong to the transactional id")                   \
    X(INVALID_TRANSACTION_TIMEOUT, 50, 0, "the transaction timeout is larger than allowed")                            \
    X(CONCURRENT_TRANSACTIONS, 51, 1, "the transaction's former step is not finished yet")                             \
    X(TRANSACTION_COORDINATOR_FENCED, 52, 0, "the transaction coordinator has been replaced")                          \
    X(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 53, 0, "no right to the transactional id")                                \
    X(SECURITY_DISABLED, 54, 0, "no security feature is enabled")                                                      \
    X(OPERATION_NOT_ATTEMPTED, 55, 0, "not tried, as an earlier part of the request failed")                           \
    X(KAFKA_STORAGE_ERROR, 56, 1, "the disk of the partition failed")                                                  \
    X(LOG_DIR_NOT_FOUND, 57, 0, "the log directory does not exist or is not usable")                                   \
    X(SASL_AUTHENTICATION_FAILED, 58, 0, "the credentials are wrong")                                                  \
    X(UNKNOWN_PRODUCER_ID, 59, 0, "nothing is known about this producer id any more")                                  \
    X(REASSIGNMENT_IN_PROGRESS, 60, 0, "a reassignment of the partition is under way")                                 \
    X(DELEGATION_TOKEN_AUTH_DISABLED, 61, 0, "delegation tokens are not enabled")                                      \
    X(DELEGATION_TOKEN_NOT_FOUND, 62, 0, "the delegation token does not exist")                                        \
    X(DELEGATION_TOKEN_OWNER_MISMATCH, 63, 0, "the delegation token belongs to somebody else")                         \
    X(DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, 64, 0, "delegation tokens cannot be asked for on this connection")         \
    X(DELEGATION_TOKEN_AUTHORIZATION_FAILED, 65, 0, "no right to the delegation token")                                \
    X(DELEGATION_TOKEN_EXPIRED, 66, 0, "the delegation token has expired")                                             \
    X(INVALID_PRINCIPAL_TYPE, 67, 0, "the type of the principal is not supported")                                     \
    X(NON_EMPTY_GROUP, 68, 0, "the group still has members")                                                           \
    X(GROUP_ID_NOT_FOUND, 69, 0, "there is no such group")                                                             \
    X(FETCH_SESSION_ID_NOT_FOUND, 70, 1, "the fetch session is unknown")                                               \
    X(INVALID_FETCH_SESSION_EPOCH, 71, 1, "the epoch of the fetch session is not the expected one")                    \
    X(LISTENER_NOT_FOUND, 72, 1, "the leader has no listener of this name")                                            \
    X(TOPIC_DELETION_DISABLED, 73, 0, "deletion of topics is disabled")                                                \
    X(FENCED_LEADER_EPOCH, 74, 1, "the leader epoch is older than the broker's")                                       \
    X(UNKNOWN_LEADER_EPOCH, 75, 1, "the leader epoch is newer than the broker's")                                      \
    X(UNSUPPORTED_COMPRESSION_TYPE, 76, 0, "the version of the request cannot carry this compression")                 \
    X(STALE_BROKER_EPOCH, 77, 0, "the broker epoch is older than the current one")                                     \
    X(OFFSET_NOT_AVAILABLE, 78, 1, "the leader does not know yet how far it may show its log")                         \
    X(MEMBER_ID_REQUIRED, 79, 0, "join again with the member id that the answer gives")                                \
    X(PREFERRED_LEADER_NOT_AVAILABLE, 80, 1, "the preferred leader is not available")                                  \
    X(GROUP_MAX_SIZE_REACHED, 81, 0, "the group has as many members as allowed")                                       \
    X(FENCED_INSTANCE_ID, 82, 0, "another member has taken this instance id")                                          \
    X(ELIGIBLE_LEADERS_NOT_AVAILABLE, 83, 1, "no eligible leader is available")                                        \
    X(ELECTION_NOT_NEEDED, 84, 1, "the partition has the wanted leader already")                                       \
    X(NO_REASSIGNMENT_IN_PROGRESS, 85, 0, "no reassignment is under way")                                              \
    X(GROUP_SUBSCRIBED_TO_TOPIC, 86, 0, "members of the group are subscribed to the topic")                            \
    X(INVALID_RECORD, 87, 0, "a record of the batch is not acceptable")                                                \
    X(UNSTABLE_OFFSET_COMMIT, 88, 1, "a transaction over these offsets is still open")                                 \
    X(THROTTLING_QUOTA_EXCEEDED, 89, 1, "the quota is used up")                                                        \
    X(PRODUCER_FENCED, 90, 0, "a newer producer has taken the transactional id")                                       \
    X(RESOURCE_NOT_FOUND, 91, 0, "what the request names does not exist")                                              \
    X(DUPLICATE_RESOURCE, 92, 0, "the request names a thing twice or it exists already")                               \
    X(UNACCEPTABLE_CREDENTIAL, 93, 0, "the new credential is not acceptable")                                          \
    X(INCONSISTENT_VOTER_SET, 94, 0, "the voters differ from those that are known")                                    \
    X(INVALID_UPDATE_VERSION, 95, 0, "the feature level is not possible")                                              \
    X(FEATURE_UPDATE_FAILED, 96, 0, "the features could not be changed")                                               \
    X(PRINCIPAL_DESERIALIZATION_FAILURE, 97, 0, "the forwarded principal is not readable")                             \
    X(SNAPSHOT_NOT_FOUND, 98, 0, "there is no such snapshot")                                                          \
    X(POSITION_OUT_OF_RANGE, 99, 0, "the position is beyond the end of the snapshot")                                  \
    X(UNKNOWN_TOPIC_ID, 100, 1, "there is no topic of this id")                                                        \
    X(DUPLICATE_BROKER_REGISTRATION, 101, 0, "a broker of this id is registered already")                              \
    X(BROKER_ID_NOT_REGISTERED, 102, 0, "the broker is not registered")                                                \
    X(INCONSISTENT_TOPIC_ID, 103, 1, "the topic id is not that of the log")                                            \
    X(INCONSISTENT_CLUSTER_ID, 104, 0, "the cluster id is another one")                                                \
    X(TRANSACTIONAL_ID_NOT_FOUND, 105, 0, "there is no such transactional id")                                         \
    X(FETCH_SESSION_TOPIC_ID_ERROR, 106, 1, "the fetch session mixes topic ids and names")                             \
    X(INELIGIBLE_REPLICA, 107, 0, "the replica may not become a leader or join the in-sync set")                       \
    X(NEW_LEADER_ELECTED, 108, 0, "the change has made another broker the leader")                                     \
    X(OFFSET_MOVED_TO_TIERED_STORAGE, 109, 0, "the offset has moved to remote storage")                                \
    X(FENCED_MEMBER_EPOCH, 110, 0, "the member epoch is older than the current one: join again")                       \
    X(UNRELEASED_INSTANCE_ID, 111, 0, "the former owner of the instance id has not left yet")                          \
    X(UNSUPPORTED_ASSIGNOR, 112, 0, "the group knows no such assignor")                                                \
    X(STALE_MEMBER_EPOCH, 113, 0, "the member epoch is not the current one")                                           \
    X(MISMATCHED_ENDPOINT_TYPE, 114, 0, "the request was sent to the wrong kind of endpoint")                          \
    X(UNSUPPORTED_ENDPOINT_TYPE, 115, 0, "this kind of endpoint is not known")                                         \
    X(UNKNOWN_CONTROLLER_ID, 116, 0, "the controller id is not known")                                                 \
    X(UNKNOWN_SUBSCRIPTION_ID, 117, 0, "the telemetry subscription is not the current one")                            \
    X(TELEMETRY_TOO_LARGE, 118, 0, "the telemetry is larger than allowed")                                             \
    X(INVALID_REGISTRATION, 119, 0, "the registration is not acceptable")                                              \
    X(TRANSACTION_ABORTABLE, 120, 0, "the transaction must be aborted before it can go on")                            \
    X(INVALID_RECORD_STATE, 121, 0, "the record is not in a state that permits this")                                  \
    X(SHARE_SESSION_NOT_FOUND, 122, 1, "the share session is unknown")                                                 \
    X(INVALID_SHARE_SESSION_EPOCH, 123, 1, "the epoch of the share session is not the expected one")                   \
    X(FENCED_STATE_EPOCH, 124, 0, "the state epoch is older than the current one")                                     \
    X(INVALID_VOTER_KEY, 125, 0, "the voter's directory id is not the registered one")                                 \
    X(DUPLICATE_VOTER, 126, 0, "the node is a voter already")                                                          \
    X(VOTER_NOT_FOUND, 127, 0, "the node is no voter")                                                                 \
    X(INVALID_REGULAR_EXPRESSION, 128, 0, "the regular expression does not parse")                                     \
    X(REBOOTSTRAP_REQUIRED, 129, 0, "the client must start again from its bootstrap servers")                          \
    X(STREAMS_INVALID_TOPOLOGY, 130, 0, "the topology is not valid")                                                   \
    X(STREAMS_INVALID_TOPOLOGY_EPOCH, 131, 0, "the topology epoch is not valid")                                       \
    X(STREAMS_TOPOLOGY_FENCED, 132, 0, "the topology epoch is older than the group's")                                 \
    X(SHARE_SESSION_LIMIT_REACHED, 133, 1, "there are as many share sessions as allowed")

enum kafka_error {
#define X(name, number, retriable, text) KAFKA_##name = number,
    KAFKA_ERROR_TABLE(X)
#undef X
        KAFKA_STORAGE_ERROR = KAFKA_KAFKA_STORAGE_ERROR, /* Kafka's name begins with KAFKA already */
};

/* "UNKNOWN_TOPIC_OR_PARTITION"; "UNKNOWN" for a number that is none. */
const char *kafka_error_name(int code);
/* A sentence for people, without a full stop. */
const char *kafka_error_text(int code);
bool kafka_error_retriable(int code);

#endif
