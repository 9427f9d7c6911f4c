/* cdc/slot.h: the replication slot and the publication on the server, made as Debezium makes them.
 *
 * Source: PostgreSQL documentation, "Streaming Replication Protocol", "Logical Decoding Concepts", "CREATE PUBLICATION";
 * Debezium documentation, PostgreSQL connector, for what each mode does.
 * Every function runs statements on the caller's connection and fails with a text that says what to change.
 * Threads: the connection's. */
#ifndef OTTLA_CDC_SLOT_H
#define OTTLA_CDC_SLOT_H

#include "cdc/connector_config.h"
#include "cdc/pg_conn.h"

#define SLOT_SNAPSHOT_NAME_BYTES 64

struct slot {
    bool exists;
    bool active;
    bool lost; /* WAL that it needs is gone, or it was invalidated */
    char plugin[64];
    char database[64];
    uint64_t restart_lsn, confirmed_flush_lsn;
    int64_t catalog_xmin; /* 0: none */
};

/* A table that could be captured. */
struct pg_table {
    uint32_t oid;
    char *schema, *name;
    char replica_identity; /* relreplident */
    bool streams;          /* its changes come under its own name, not under its root's (or, a root's, its leaves') */
    double rows;           /* pg_class.reltuples */
};
struct pg_table_list {
    struct pg_table *tables;
    uint32_t count;
};

/* wal_level and the right to replicate: what would make every later step fail. */
int slot_check_server(struct pg_conn *c, struct pg_error *err) WARN_UNUSED;
/* pg_current_wal_lsn(); of a standby, how far it has replayed. ret_in_recovery: it is one; may be NULL. */
int slot_wal_end(struct pg_conn *c, uint64_t *ret_lsn, bool *ret_in_recovery, struct pg_error *err) WARN_UNUSED;
int slot_read(struct pg_conn *c, const char *name, struct slot *ret_slot, struct pg_error *err) WARN_UNUSED;
/* On a replication connection: makes a slot and exports the snapshot of its consistent point, which lives until the next
 * statement on that connection. temporary: the slot too. */
int slot_create(struct pg_conn *replication, const char *name, bool temporary, bool failover,
                uint64_t *ret_consistent_lsn, char ret_snapshot_name[SLOT_SNAPSHOT_NAME_BYTES],
                struct pg_error *err) WARN_UNUSED;
int slot_drop(struct pg_conn *c, const char *name, struct pg_error *err) WARN_UNUSED;
/* On a replication connection: begins to stream from lsn. */
int slot_start(struct pg_conn *replication, const struct pg_connector_config *config, uint64_t lsn,
               struct pg_error *err) WARN_UNUSED;

/* The captured tables by schema and name, partitions and their roots among them: a snapshot reads all, as Debezium does. */
int tables_read(struct pg_conn *c, const struct pg_connector_config *config, struct pg_table_list *ret_tables,
                struct pg_error *err) WARN_UNUSED;
void tables_done(struct pg_table_list *l);

/* The publication as publication.autocreate.mode says. */
int publication_ensure(struct pg_conn *c, const struct pg_connector_config *config, const struct pg_table_list *tables,
                       struct pg_error *err) WARN_UNUSED;
/* ALTER TABLE ... REPLICA IDENTITY as replica.identity.autoset.values says. */
int replica_identity_set(struct pg_conn *c, const struct pg_connector_config *config,
                         const struct pg_table_list *tables, struct pg_error *err) WARN_UNUSED;

#endif
