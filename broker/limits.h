/* broker/limits.h: what bounds memory and time when clients send too much, or do not read. */
#ifndef OTTLA_LIMITS_H
#define OTTLA_LIMITS_H

/* Bytes that one read of a connection takes, and so the small requests of one wake-up: no client starves the others. */
#define LOOP_SCRATCH_BYTES (64 * 1024)

/* First room for a frame that did not arrive whole; it doubles as bytes arrive, whatever the length field claims. */
#define FRAME_ROOM_BYTES (64 * 1024)

/* Most bytes read into one large frame per wake-up. */
#define FRAME_READ_BYTES_MAX (1024 * 1024)

/* Requests of one connection whose answers wait for the disk while the next ones are worked on: Kafka's clients keep 5
 * in flight, and one sync serves all that came meanwhile. */
#define REQUESTS_IN_WORK_MAX 16

/* Unsent bytes in memory above which a connection's next requests wait (file ranges are not in memory). */
#define UNSENT_BYTES_MAX (1024 * 1024)

/* Bytes that one wake-up sends on one connection before others get their turn. */
#define SEND_BYTES_MAX (1024 * 1024)

/* Arrays that a request's decoding and its answer take: a frame of 100 MiB can ask for large ones; Metadata of 100,000
 * partitions takes 16 MiB. */
#define REQUEST_ARENA_BYTES_MAX (256u << 20)

/* Records of at most this many bytes are read into the response; longer ranges go by sendfile (measured: equal at 1
 * KiB, twice as fast at 64 KiB). */
#define FETCH_COPY_BYTES_MAX (16 * 1024)

/* All that one answer has of them; of further partitions even short records stay in their files until they are sent. */
#define FETCH_COPIES_BYTES_MAX (1024 * 1024)

/* Partitions that all fetch sessions hold together: about 160 bytes each. */
#define FETCH_SESSION_PARTITIONS_MAX (1 << 18)

/* A fetch session that was not used for so long, or a small one that is so old, may be evicted for a new one
 * (Kafka's). */
#define FETCH_SESSION_EVICT_MS 120000

/* What client quotas remember of who used how much: about 400 bytes per user and client id. The longest unused go
 * first. */
#define QUOTA_USAGE_BYTES_MAX ((size_t)16 << 20)

/* Addresses of clients that are remembered for max.connections.per.ip and connection_creation_rate beside those that
 * are connected: about 500 bytes each when they have a rate. */
#define CONNECTION_ADDRESSES_MAX 10000

/* Connections that came too fast and are held until they are closed; beyond, they are closed at once. */
#define DELAYED_CLOSES_MAX 1000

/* Descriptors that connections leave to segments (512 open ones), their reads, connectors and the REST interface; half
 * of all where there are few. */
#define FILES_RESERVED 1024

/* After so long without use they forget it, as Kafka does. */
#define QUOTA_IDLE_MS 3600000

/* Over the limit of request memory, a connection whose frame, or whose reading of its answers, makes no progress for so
 * long is closed. */
#define FRAME_STALL_MS 10000

/* How often connections are looked at for idleness, stalls, and clients that went while they waited. */
#define CONNECTION_SWEEP_MS 5000

/* Partitions that one request may create, as in Kafka: their logs are opened one after the other on the control
 * thread. */
#define PARTITIONS_PER_CHANGE_MAX 10000

/* Protocols that a member of a group may offer; real clients offer one to four. Each is compared with those of all
 * members. */
#define GROUP_PROTOCOLS_MAX 100

/* Topics that the members of a group subscribe together, for knowing which ones are: sorting them takes about 50 ms of
 * the control thread. Of more it is not known, and none counts as not subscribed. */
#define GROUP_TOPICS_MAX (1 << 18)

/* Of all groups together: ids, members, their metadata and assignments, offsets [bytes]. Beyond it newcomers and
 * offsets of further partitions are refused, and members and assignments that do not fit, so that clients cannot grow
 * the broker without bound. Holds about 2 million offsets. */
#define GROUPS_BYTES_MAX ((size_t)256 << 20)

/* Records of one change of a coordinator are split into batches of about this size: below the max.message.bytes that
 * readers of its topic expect. */
#define COORDINATOR_BATCH_BYTES_MAX (512u << 10)

/* Memory of one append that a coordinator keeps for the next. */
#define COORDINATOR_SCRATCH_BYTES (256u << 10)

/* Read of a coordinator's log in one go, before other work of the control thread. */
#define COORDINATOR_LOAD_BYTES (1u << 20)

/* One compressed batch of a coordinator's log, unpacked. */
#define COORDINATOR_CONTENT_BYTES_MAX (256u << 20)

/* One record of a coordinator, decoded: the members of a group, the partitions of a transaction; stored ones have at
 * most some MiB. */
#define COORDINATOR_RECORD_BYTES_MAX (64u << 20)

/* Of all transactional ids together, with the partitions of open transactions: holds about half a million idle ids.
 * Beyond it new ids and further partitions are refused. */
#define TXNS_BYTES_MAX ((size_t)128 << 20)

/* Topics that one Metadata request may create: a client names what it uses. */
#define TOPICS_CREATED_MAX 1000

/* Salt of a SCRAM credential: clients make some 30 bytes. */
#define SCRAM_SALT_BYTES_MAX 1024

/* Records that one ShareFetch acquires, whatever it asks for; clients ask for 500. */
#define SHARE_FETCH_RECORDS_MAX 10000

/* A share partition's state that holds back so many records of its log is written anew. */
#define SHARE_LOG_RECORDS_MAX 10000

/* Clients whose subscription of metrics, and as many whose metrics, are remembered: Kafka's size of its cache. */
#define TELEMETRY_CLIENTS_MAX 16384

/* What the former take: a client id may have 32 KiB; common ones make 500 bytes each. */
#define TELEMETRY_BYTES_MAX ((size_t)16 << 20)

/* One push, decompressed; Java's clients push some 30 KiB. */
#define TELEMETRY_CONTENT_BYTES_MAX (16u << 20)

/* After so long without a request, or three push intervals, a subscription is forgotten, as in Kafka. */
#define TELEMETRY_KEEP_MS  60000
#define TELEMETRY_SWEEP_MS 10000

/* Metrics that clients pushed, all together, and so the text that a reader gets: some 100,000 values. */
#define CLIENT_METRICS_BYTES_MAX ((size_t)32 << 20)

/* What one client has of it: some 5,000 values; a Java client pushes some hundreds. When all together are too many the
 * longest silent client's go. */
#define CLIENT_METRICS_CLIENT_BYTES_MAX ((size_t)2 << 20)

/* One name of a metric, of a label, or of a client; all labels of one value. */
#define CLIENT_METRICS_NAME_BYTES_MAX   256
#define CLIENT_METRICS_SERIES_BYTES_MAX 4096

/* Values of one push that are kept; the rest is read and left out. A Java client has some hundreds. */
#define CLIENT_METRICS_PUSH_POINTS_MAX 20000

/* A value that was not pushed for so long, or three push intervals, is forgotten: as long as Prometheus looks back, so
 * that what a client pushed at its end is read. */
#define CLIENT_METRICS_KEEP_MS  300000
#define CLIENT_METRICS_SWEEP_MS 10000

/* Name and version that a client's library says of itself; longer ones are taken as not said. */
#define CLIENT_SOFTWARE_BYTES_MAX 64

/* How long a stop waits for requests in work. */
#define STOP_WAIT_MS 10000

#endif
