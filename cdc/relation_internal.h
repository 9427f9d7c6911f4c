/* cdc/relation_internal.h: what the files of relation share. */
#ifndef OTTLA_CDC_RELATION_INTERNAL_H
#define OTTLA_CDC_RELATION_INTERNAL_H

#include "cdc/relation.h"

/* A row of relation_types_sql. */
struct relation_type {
    uint32_t oid;
    const char *name;
    char kind;         /* typtype */
    uint32_t base_oid; /* of a domain; 0: none */
    int32_t base_typmod;
    uint32_t element_oid; /* of an array; 0: none */
    const char *enum_labels;
};

/* Computes all that is constant for the rows (relation_resolve.c). -EINVAL, -ENOMEM. */
int relation_resolve(struct relation *r, const struct pg_connector_config *config, struct err *err) WARN_UNUSED;

#endif
